//! How it is known who said something.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{digest::Digest, name::PersonId};

/// How a statement was proven to be its author's. The kinds are told apart because they are not worth the same: a rule says
/// which it accepts ([`ApprovalRule::accepts`](crate::policy::ApprovalRule::accepts)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Proof {
    /// An SSH signature, verified when it was accepted. Both objects lie beside the log and can be verified again.
    Sshsig {
        /// The signing key, in OpenSSH form without comment.
        key: String,
        /// The signed bytes.
        statement: Digest,
        /// The armoured signature.
        signature: Digest,
    },
    /// A review of a deployment on GitHub. GitHub says neither what was reviewed nor when, so the run must have submitted the
    /// digest, and the time is that of the webhook's delivery.
    GithubReview {
        /// The workflow run that waited for the review.
        run: u64,
        /// The reviewer's account: GitHub's number of it, which stays when the account is renamed.
        reviewer: u64,
        /// The digest that the run had submitted before it waited.
        submitted: Digest,
        /// When GitHub delivered the webhook `deployment_review`.
        delivered_at: Timestamp,
        /// What was delivered, beside the log.
        delivery: Digest,
    },
    /// A decision made while signed in at the server's own pages.
    ServerSession {
        /// A digest of the session's name: enough to find it in the server's own records, and no key to it.
        session: Digest,
        /// When the person had signed in.
        signed_in_at: Timestamp,
        /// The bytes that the page showed and the person confirmed.
        statement: Digest,
    },
    /// A comment on GitHub with the words that were asked for. The weakest kind: nothing of it is signed.
    GithubComment {
        /// GitHub's number of the comment.
        comment: u64,
        /// The author's account: GitHub's number of it.
        author: u64,
        /// When what GitHub's webhook `issue_comment` delivered was taken in, by our own clock.
        delivered_at: Timestamp,
        /// What was delivered, beside the log.
        delivery: Digest,
    },
    /// A token of an identity provider (OpenID Connect Core 1.0, section 2), verified when it was accepted. It says which
    /// workload speaks, never that a person consents.
    Oidc {
        /// The token, beside the log.
        token: Digest,
        /// The keys that it was verified with, beside the log: a JSON Web Key Set (RFC 7517).
        keys: Digest,
    },
}

/// The kinds of proof that an approval can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProofKind {
    /// A signature by the person's SSH key.
    Sshsig,
    /// A review of a deployment on GitHub.
    GithubReview,
    /// A decision made while signed in at the server's pages.
    ServerSession,
    /// A comment on GitHub.
    GithubComment,
}

/// A run of a pipeline that asked for something, and what its identity provider says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Who says so: the claim `iss`.
    pub issuer: String,
    /// Which workload: the claim `sub`.
    pub subject: String,
    /// The person of the policy who started it; `None` if that is nobody known. The account's name is in the token only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<PersonId>,
    /// The number of the account that started it, which stays when the account is renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// The branch or tag.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The workflow, with the branch or tag that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_ref: Option<String>,
    /// How we know.
    pub proof: Proof,
}

impl Proof {
    /// The kind of approval that this can prove; `None` for what speaks for no person.
    pub fn kind(&self) -> Option<ProofKind> {
        match self {
            Self::Sshsig { .. } => Some(ProofKind::Sshsig),
            Self::GithubReview { .. } => Some(ProofKind::GithubReview),
            Self::ServerSession { .. } => Some(ProofKind::ServerSession),
            Self::GithubComment { .. } => Some(ProofKind::GithubComment),
            Self::Oidc { .. } => None,
        }
    }

    /// What it refers to beside the log.
    pub fn objects(&self) -> Vec<Digest> {
        match self {
            Self::Sshsig { statement, signature, .. } => vec![*statement, *signature],
            Self::GithubReview { delivery, .. } | Self::GithubComment { delivery, .. } => vec![*delivery],
            Self::ServerSession { statement, .. } => vec![*statement],
            Self::Oidc { token, keys } => vec![*token, *keys],
        }
    }

    /// The proof in words.
    pub fn as_str(&self) -> &'static str {
        self.kind().map_or("token of an identity provider", ProofKind::in_words)
    }
}

impl ProofKind {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sshsig => "sshsig",
            Self::GithubReview => "github-review",
            Self::ServerSession => "server-session",
            Self::GithubComment => "github-comment",
        }
    }

    /// The kind as people read it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Sshsig => "SSH signature",
            Self::GithubReview => "GitHub review",
            Self::ServerSession => "signed-in decision",
            Self::GithubComment => "GitHub comment",
        }
    }

    /// Whether this version of the program can verify such a proof. What it cannot verify never counts.
    pub fn is_verifiable(self) -> bool {
        matches!(self, Self::Sshsig | Self::GithubComment)
    }
}

impl std::fmt::Display for ProofKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
