//! Signed consent: what is signed, whose it is, and whether it is enough.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    name::{AppName, ComponentName, EnvironmentName, PersonId},
    policy::{ApprovalRule, Excluded, Person},
    promotion::{Kind, PromotionId, Requester},
    reference::Pinned,
};

/// The SSHSIG namespace of an approval (OpenSSH `PROTOCOL.sshsig`): a signature made for anything else is none of ours.
pub const APPROVAL_NAMESPACE: &str = "promotion-approval@sealift.dev/v1";

/// The SSHSIG namespace of a request.
pub const REQUEST_NAMESPACE: &str = "promotion-request@sealift.dev/v1";

/// The SSHSIG namespace of a change of policy.
pub const POLICY_NAMESPACE: &str = "policy-acceptance@sealift.dev/v1";

/// The version of the statements below.
pub const STATEMENT_VERSION: u32 = 1;

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The promotion may go on.
    Approve,
    /// The promotion ends.
    Reject,
}

/// What a person signs to decide on a promotion. The signed bytes are this, as compact JSON with fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalStatement {
    /// [`STATEMENT_VERSION`].
    pub v: u32,
    /// The promotion. With it a statement can be used only once.
    pub promotion: PromotionId,
    /// The application.
    pub app: AppName,
    /// Every component, as it will be in the target.
    pub release: BTreeMap<ComponentName, Pinned>,
    /// Where it comes from.
    pub from: Option<EnvironmentName>,
    /// Where it goes.
    pub to: EnvironmentName,
    /// The policy in force.
    pub policy_digest: Digest,
    /// The evidence that the passing gates used.
    pub evidence_digest: Digest,
    /// Yes or no.
    pub decision: Decision,
    /// Who signs.
    pub approver: PersonId,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// 32 random hexadecimal digits.
    pub nonce: String,
}

/// What a person signs to ask for a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestStatement {
    /// [`STATEMENT_VERSION`].
    pub v: u32,
    /// The application.
    pub app: AppName,
    /// Promotion or rollback.
    pub kind: Kind,
    /// The digests asked for.
    pub release: BTreeMap<ComponentName, Digest>,
    /// Where it goes.
    pub to: EnvironmentName,
    /// Why.
    pub reason: Option<String>,
    /// Who asks.
    pub requester: PersonId,
    /// When.
    pub issued_at: Timestamp,
    /// 32 random hexadecimal digits.
    pub nonce: String,
}

/// How a statement was proven to be its author's.
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
}

/// A decision as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What was signed.
    pub statement: ApprovalStatement,
    /// How we know.
    pub proof: Proof,
    /// When it was accepted, by our own clock.
    pub at: Timestamp,
}

/// What an approval must be bound to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The promotion.
    pub promotion: PromotionId,
    /// The application.
    pub app: AppName,
    /// Every component, as it will be in the target.
    pub release: BTreeMap<ComponentName, Pinned>,
    /// Where it comes from.
    pub from: Option<EnvironmentName>,
    /// Where it goes.
    pub to: EnvironmentName,
    /// The policy in force.
    pub policy_digest: Digest,
    /// The evidence that the passing gates used.
    pub evidence_digest: Digest,
}

/// Why an approval does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// Of another form than this program knows.
    #[error("its form is version {0}, this program knows {STATEMENT_VERSION}")]
    Version(u32),
    /// For another promotion, release, path, policy or set of evidence.
    #[error("it was given for another {0}")]
    Other(&'static str),
    /// Its time is over.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// It is dated after now.
    #[error("it is dated {0}, in the future")]
    Future(Timestamp),
    /// It lives longer than the policy lets it.
    #[error("it would live longer than the policy allows")]
    TooLong,
    /// Nobody by that name in the policy.
    #[error("`{0}` is not in the policy")]
    Stranger(PersonId),
    /// The key is not one of the person's.
    #[error("the key is not one of `{0}`'s in the policy")]
    ForeignKey(PersonId),
    /// The person lacks a role.
    #[error("`{0}` has none of the roles that may approve")]
    Role(PersonId),
    /// The person asked for it.
    #[error("`{0}` asked for this promotion, and requesters may not approve")]
    IsRequester(PersonId),
    /// It is not known who asked.
    #[error("nobody knows who asked for this promotion, and requesters may not approve")]
    RequesterUnknown,
    /// The person wrote the code.
    #[error("`{0}` wrote the source commit, and authors may not approve")]
    IsAuthor(PersonId),
    /// It is not known who wrote the code.
    #[error("nobody knows who wrote the source commit, and authors may not approve")]
    AuthorUnknown,
}

/// Whether there is consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Enough persons approved.
    Given(BTreeSet<PersonId>),
    /// More approvals are wanted.
    Wanted {
        /// Who approved so far, and counts.
        by: BTreeSet<PersonId>,
        /// How many more.
        missing: u32,
    },
}

/// Who asked for and who wrote what is to be approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties<'a> {
    /// Who asked.
    pub requester: &'a Requester,
    /// Who wrote each component's source commit; `None` where that is unknown.
    pub authors: Vec<Option<PersonId>>,
}

impl ApprovalStatement {
    fn bound_to(&self, binding: &Binding) -> Result<(), NotCounted> {
        let same = [
            ("promotion", self.promotion == binding.promotion),
            ("application", self.app == binding.app),
            ("release", self.release == binding.release),
            ("origin", self.from == binding.from),
            ("target", self.to == binding.to),
            ("policy", self.policy_digest == binding.policy_digest),
            ("set of evidence", self.evidence_digest == binding.evidence_digest),
        ];
        match same.iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(NotCounted::Other(what)),
            None => Ok(()),
        }
    }

    fn in_time(&self, rule: &ApprovalRule, now: Timestamp) -> Result<(), NotCounted> {
        // A minute of grace for the approver's clock; the policy's period bounds the life either way.
        let soon = crate::quantity::Period::from_secs(60).after(now);
        if self.issued_at > soon {
            return Err(NotCounted::Future(self.issued_at));
        }
        if now >= self.expires_at {
            return Err(NotCounted::Expired(self.expires_at));
        }
        if self.expires_at > rule.expires.after(self.issued_at) {
            return Err(NotCounted::TooLong);
        }
        Ok(())
    }
}

/// Whether one decision counts under the rule, for what is to be decided now.
pub fn counts(
    approval: &Approval,
    rule: &ApprovalRule,
    binding: &Binding,
    people: &BTreeMap<PersonId, Person>,
    parties: &Parties<'_>,
    now: Timestamp,
) -> Result<(), NotCounted> {
    let statement = &approval.statement;
    if statement.v != STATEMENT_VERSION {
        return Err(NotCounted::Version(statement.v));
    }
    statement.bound_to(binding)?;
    statement.in_time(rule, now)?;
    let id = &statement.approver;
    let person = people.get(id).ok_or_else(|| NotCounted::Stranger(id.clone()))?;
    let Proof::Sshsig { key, .. } = &approval.proof;
    if !person.ssh.contains(key) {
        return Err(NotCounted::ForeignKey(id.clone()));
    }
    if person.roles.is_disjoint(&rule.roles) {
        return Err(NotCounted::Role(id.clone()));
    }
    separate(id, rule, parties)
}

/// Separation of duties, over persons: whoever is excluded, or might be, may not approve.
fn separate(approver: &PersonId, rule: &ApprovalRule, parties: &Parties<'_>) -> Result<(), NotCounted> {
    if rule.not.contains(&Excluded::Requester) {
        match parties.requester {
            Requester::Unknown => return Err(NotCounted::RequesterUnknown),
            Requester::Person { id, .. } if id == approver => return Err(NotCounted::IsRequester(id.clone())),
            Requester::Person { .. } => {}
        }
    }
    if rule.not.contains(&Excluded::Author) {
        if parties.authors.is_empty() || parties.authors.iter().any(Option::is_none) {
            return Err(NotCounted::AuthorUnknown);
        }
        if parties.authors.iter().flatten().any(|author| author == approver) {
            return Err(NotCounted::IsAuthor(approver.clone()));
        }
    }
    Ok(())
}

/// Whether the approvals so far are enough. Each person counts once.
pub fn consent(
    approvals: &[Approval],
    rule: &ApprovalRule,
    binding: &Binding,
    people: &BTreeMap<PersonId, Person>,
    parties: &Parties<'_>,
    now: Timestamp,
) -> Consent {
    let by: BTreeSet<PersonId> = approvals
        .iter()
        .filter(|a| a.statement.decision == Decision::Approve)
        .filter(|a| counts(a, rule, binding, people, parties, now).is_ok())
        .map(|a| a.statement.approver.clone())
        .collect();
    let have = u32::try_from(by.len()).unwrap_or(u32::MAX);
    match rule.count.saturating_sub(have) {
        0 if rule.count > 0 => Consent::Given(by),
        missing => Consent::Wanted { by, missing: missing.max(1) },
    }
}

#[cfg(test)]
mod tests;
