//! Whether a decision counts, and whether there is consent.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Approval, ApprovalStatement, Binding, Decision, Proof, ProofKind, STATEMENT_VERSION};
use crate::{
    digest::Digest,
    name::PersonId,
    policy::{ApprovalRule, Excluded, Person},
    promotion::{PromotionId, Requester},
    quantity::Period,
};

/// The log index of the policy since which each person has had each key. Whoever is not in it was registered before that was
/// kept.
pub type Registered = BTreeMap<PersonId, BTreeMap<String, u64>>;

/// Why an approval does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// Of another form than this program knows.
    #[error("its form is version {0}, this program knows {STATEMENT_VERSION}")]
    Version(u32),
    /// For another promotion, release, path, policy or set of evidence.
    #[error("it was given for another {0}")]
    Other(&'static str),
    /// Its author took it back.
    #[error("it was revoked at {0}")]
    Revoked(Timestamp),
    /// Its time is over.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// It is dated after now.
    #[error("it is dated {0}, in the future")]
    Future(Timestamp),
    /// It lives longer than the policy lets it.
    #[error("it would live longer than the policy allows")]
    TooLong,
    /// The rule does not accept this kind of proof.
    #[error("its proof is a {}, and this environment accepts only {accepts}", kind.in_words())]
    Kind {
        /// What it is.
        kind: ProofKind,
        /// What would be accepted, for people.
        accepts: String,
    },
    /// What it rests on does not lie beside the log, or does not prove it.
    #[error("its signature could not be verified again from what lies beside the log")]
    Unproven,
    /// A proof that nobody can verify here, or that speaks for no person.
    #[error("its proof is a {0}, which this program cannot verify as a person's consent")]
    Unverifiable(&'static str),
    /// Nobody by that name in the policy.
    #[error("`{0}` is not in the policy")]
    Stranger(PersonId),
    /// The key is not one of the person's.
    #[error("the key is not one of `{0}`'s in the policy")]
    ForeignKey(PersonId),
    /// The person, or the key, came into the policy after the request.
    #[error(
        "the key of `{who}` came into the policy with entry {since} of the log, after promotion {request} was asked for"
    )]
    Late {
        /// Who.
        who: PersonId,
        /// The index of the policy that brought the key.
        since: u64,
        /// The promotion.
        request: PromotionId,
    },
    /// The person's account may have come into the policy after the request.
    #[error(
        "the account of `{who}` came into the policy, or may have, after promotion {request} was asked for: since when each \
         account is there is told by the acceptance of the policy alone"
    )]
    LateAccount {
        /// Who.
        who: PersonId,
        /// The promotion.
        request: PromotionId,
    },
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
    /// The person put the code into the repository.
    #[error("`{0}` committed the source commit, and committers may not approve")]
    IsCommitter(PersonId),
    /// It is not known who put it there.
    #[error("nobody knows who committed the source commit, and committers may not approve")]
    CommitterUnknown,
    /// The person started the run that built it.
    #[error("`{0}` started the run that built it, and who did that may not approve")]
    IsActor(PersonId),
    /// It is not known who started it.
    #[error("nobody knows who started the run that built it, and who did that may not approve")]
    ActorUnknown,
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

/// Who had a hand in what is to be approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties<'a> {
    /// Who asked.
    pub requester: &'a Requester,
    /// Who wrote each component's source commit; `None` where that is unknown.
    pub authors: Vec<Option<PersonId>>,
    /// Who put each of them into the repository.
    pub committers: Vec<Option<PersonId>>,
    /// Who started the run that built each component.
    pub actors: Vec<Option<PersonId>>,
}

/// Who may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Voters<'a> {
    /// The people of the policy.
    pub people: &'a BTreeMap<PersonId, Person>,
    /// Since when.
    pub registered: &'a Registered,
    /// The log index of the acceptance of the policy in force; `None` where that was not kept.
    pub policy_since: Option<u64>,
}

impl Voters<'_> {
    /// Whether the holder of `key` is that person, and was so before `request` was asked for.
    ///
    /// # Errors
    /// [`NotCounted::Stranger`], [`NotCounted::ForeignKey`] or [`NotCounted::Late`].
    pub fn registered_before(&self, who: &PersonId, key: &str, request: PromotionId) -> Result<&Person, NotCounted> {
        let person = self.people.get(who).ok_or_else(|| NotCounted::Stranger(who.clone()))?;
        if !person.ssh.contains(key) {
            return Err(NotCounted::ForeignKey(who.clone()));
        }
        match self.registered.get(who).and_then(|keys| keys.get(key)) {
            Some(&since) if since > request.0 => Err(NotCounted::Late { who: who.clone(), since, request }),
            _ => Ok(person),
        }
    }

    /// Whether that person, with the accounts that the policy gives them, was there before `request` was asked for. Of accounts
    /// nothing says since when, so the policy in force must be older than the request.
    ///
    /// # Errors
    /// [`NotCounted::Stranger`] or [`NotCounted::LateAccount`].
    pub fn known_before(&self, who: &PersonId, request: PromotionId) -> Result<&Person, NotCounted> {
        let person = self.people.get(who).ok_or_else(|| NotCounted::Stranger(who.clone()))?;
        match self.policy_since {
            Some(since) if since < request.0 => Ok(person),
            _ => Err(NotCounted::LateAccount { who: who.clone(), request }),
        }
    }
}

impl ApprovalStatement {
    /// The digest of the bytes that were signed.
    pub fn digest(&self) -> Digest {
        // It always serialises; were that ever untrue, no two statements may look alike.
        let bytes = serde_json::to_vec(self).unwrap_or_else(|why| format!("{self:?} {why}").into_bytes());
        Digest::of(&bytes)
    }

    fn bound_to(&self, binding: &Binding) -> Result<(), NotCounted> {
        let same = [
            ("promotion", self.promotion == binding.promotion),
            ("application", self.app == binding.app),
            ("release", self.release == binding.release),
            ("origin", self.from == binding.from),
            ("target", self.to == binding.to),
            ("policy", self.policy_digest == binding.policy_digest),
            ("set of evidence", self.evidence_digest == binding.evidence_digest),
            ("way, expedited or not", self.expedited == binding.expedited),
            ("set of waived gates", self.waived == binding.waived),
        ];
        match same.iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(NotCounted::Other(what)),
            None => Ok(()),
        }
    }

    fn in_time(&self, rule: &ApprovalRule, now: Timestamp) -> Result<(), NotCounted> {
        // A minute of grace for the approver's clock; the policy's period bounds the life either way.
        let soon = Period::from_secs(60).after(now);
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
    voters: Voters<'_>,
    parties: &Parties<'_>,
    now: Timestamp,
) -> Result<(), NotCounted> {
    let statement = &approval.statement;
    if statement.v != STATEMENT_VERSION {
        return Err(NotCounted::Version(statement.v));
    }
    if let Some(at) = approval.revoked {
        return Err(NotCounted::Revoked(at));
    }
    statement.bound_to(binding)?;
    statement.in_time(rule, now)?;
    accepted(&approval.proof, rule)?;
    let id = &statement.approver;
    let person = match &approval.proof {
        Proof::Sshsig { key, .. } => voters.registered_before(id, key, binding.promotion)?,
        // Whose account wrote it was found out when it was taken in, and is again before it counts.
        Proof::GithubComment { .. } if statement.decision == Decision::Approve => {
            voters.known_before(id, binding.promotion)?
        }
        other => return Err(NotCounted::Unverifiable(other.as_str())),
    };
    if person.roles.is_disjoint(&rule.roles) {
        return Err(NotCounted::Role(id.clone()));
    }
    separate(id, rule, parties)
}

/// Whether the rule accepts such a proof.
fn accepted(proof: &Proof, rule: &ApprovalRule) -> Result<(), NotCounted> {
    let kind = proof.kind().ok_or(NotCounted::Unverifiable(proof.as_str()))?;
    if rule.accepts.contains(&kind) {
        return Ok(());
    }
    let accepts: Vec<&str> = rule.accepts.iter().map(|kind| kind.as_str()).collect();
    Err(NotCounted::Kind { kind, accepts: accepts.join(", ") })
}

/// Says of a person why they are excluded.
type Excludes = fn(PersonId) -> NotCounted;

/// Separation of duties, over persons: whoever is excluded, or might be, may not approve.
fn separate(approver: &PersonId, rule: &ApprovalRule, parties: &Parties<'_>) -> Result<(), NotCounted> {
    let requester = [parties.requester.person().cloned()];
    for excluded in &rule.not {
        let (known, unknown, same) = match excluded {
            Excluded::Requester => {
                (requester.as_slice(), NotCounted::RequesterUnknown, NotCounted::IsRequester as Excludes)
            }
            Excluded::Author => (parties.authors.as_slice(), NotCounted::AuthorUnknown, NotCounted::IsAuthor as _),
            Excluded::Committer => {
                (parties.committers.as_slice(), NotCounted::CommitterUnknown, NotCounted::IsCommitter as _)
            }
            Excluded::Actor => (parties.actors.as_slice(), NotCounted::ActorUnknown, NotCounted::IsActor as _),
        };
        if known.is_empty() || known.iter().any(Option::is_none) {
            return Err(unknown);
        }
        if known.iter().flatten().any(|person| person == approver) {
            return Err(same(approver.clone()));
        }
    }
    Ok(())
}

/// Whether the approvals so far are enough. Each person counts once. `proven` holds the digests of the statements whose
/// signatures were verified again just now ([`ApprovalStatement::digest`]): that the log says somebody approved is no proof
/// that they did.
pub fn consent(
    approvals: &[Approval],
    proven: &BTreeSet<Digest>,
    rule: &ApprovalRule,
    binding: &Binding,
    voters: Voters<'_>,
    parties: &Parties<'_>,
    now: Timestamp,
) -> Consent {
    let by: BTreeSet<PersonId> = approvals
        .iter()
        .filter(|a| a.statement.decision == Decision::Approve)
        .filter(|a| proven.contains(&a.statement.digest()))
        .filter(|a| counts(a, rule, binding, voters, parties, now).is_ok())
        .map(|a| a.statement.approver.clone())
        .collect();
    let have = u32::try_from(by.len()).unwrap_or(u32::MAX);
    match rule.count.saturating_sub(have) {
        0 if rule.count > 0 => Consent::Given(by),
        missing => Consent::Wanted { by, missing: missing.max(1) },
    }
}
