//! The policy: people, environments, and what it takes to enter each of them. It counts as last accepted in the log.

mod expedited;
mod identity;
mod validate;
mod writers;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use expedited::{Expedited, NEVER_WAIVED, OverrideRule};
pub use identity::IdentityProvider;
pub use validate::PolicyError;

use crate::{
    approval::ProofKind,
    check::Check,
    digest::Digest,
    freeze::FreezeRule,
    gate::Gates,
    name::{AppName, ChannelName, ComponentName, EnvironmentName, PersonId, Role},
    notice::NoticeKind,
    personal::Personal,
    quantity::Period,
    reference::Repository,
    signature::PublicKey,
    tag::TagTemplate,
    writer::WriterKey,
};

/// What was agreed: who may do what, and what must hold before a release enters an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The application.
    pub app: AppName,
    /// Where its source is, a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The people who may sign.
    #[serde(default)]
    pub people: BTreeMap<PersonId, Person>,
    /// Who may say which workload asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityProvider>,
    /// The environments by name. Their order is told by `from`.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// Where notices go, and which.
    #[serde(default)]
    pub notify: BTreeMap<ChannelName, BTreeSet<NoticeKind>>,
}

/// A person's rights and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// What this person may do.
    pub roles: BTreeSet<Role>,
    /// OpenSSH public keys that this person signs with, without their comments.
    pub ssh: BTreeSet<String>,
}

/// How to reach a person: erasable, and no part of the policy's digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal>,
    /// Account name on GitHub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github: Option<Personal>,
}

/// What holds for one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The environment that a release must have been verified in before; `None` for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EnvironmentName>,
    /// Where each component's image is kept for this environment.
    pub components: BTreeMap<ComponentName, Repository>,
    /// The names that Sealift gives.
    #[serde(default)]
    pub tags: Vec<TagTemplate>,
    /// The gates that are required beyond those that always are.
    #[serde(default)]
    pub gates: Gates,
    /// Whose consent is needed; `None` was written as `approval: none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
    /// Whose consent is needed, and what may be waived, where a promotion cannot wait; `None` if there is no such way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expedited: Option<Expedited>,
    /// When nothing may enter.
    #[serde(default)]
    pub freezes: Vec<FreezeRule>,
    /// Who can let one promotion through a freeze; `None` if nobody can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_override: Option<OverrideRule>,
    /// A command to run once from the candidate before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Vec<String>>,
    /// What must hold after a deployment.
    #[serde(default)]
    pub verify: Vec<Check>,
    /// How to go back.
    #[serde(default)]
    pub rollback: RollbackRule,
    /// Whether what is admitted is attested, and by which keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attest: Option<AttestRule>,
    /// The keys of those who write facts about it into the log; empty if anybody may. More than one only while a key is being replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writer: Vec<WriterKey>,
}

/// How what is admitted to an environment is attested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestRule {
    /// The keys whose attestations count, and one of which signs. More than one only while a key is being replaced.
    pub keys: Vec<PublicKey>,
    /// Whether the envelope is also kept under the tag that cosign 2 and its policy controller read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_att: bool,
}

/// Whose consent is needed to enter an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// Roles that may approve.
    pub roles: BTreeSet<Role>,
    /// How many different persons must approve.
    #[serde(default = "ApprovalRule::default_count")]
    pub count: u32,
    /// How long a request waits, and how long an approval lives.
    #[serde(default = "ApprovalRule::default_expires")]
    pub expires: Period,
    /// Who may not approve.
    #[serde(default = "ApprovalRule::default_not")]
    pub not: BTreeSet<Excluded>,
    /// Which kinds of proof count.
    #[serde(default = "ApprovalRule::default_accepts", skip_serializing_if = "ApprovalRule::is_default_accepts")]
    pub accepts: BTreeSet<ProofKind>,
}

/// Somebody who may not approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Excluded {
    /// Who asked for the promotion.
    Requester,
    /// Who wrote the source commit.
    Author,
    /// Who put the source commit into the repository.
    Committer,
    /// Who started the run that built the image.
    Actor,
}

/// How an environment goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRule {
    /// Whether a failed verification restores the previous release by itself.
    #[serde(default = "RollbackRule::default_automatic")]
    pub automatic: bool,
    /// How many earlier releases stay ready on the host.
    #[serde(default = "RollbackRule::default_keep")]
    pub keep: u32,
}

impl ApprovalRule {
    fn default_count() -> u32 {
        1
    }

    fn default_expires() -> Period {
        Period::from_secs(24 * 3600)
    }

    fn default_not() -> BTreeSet<Excluded> {
        BTreeSet::from([Excluded::Requester])
    }

    /// Signatures, and nothing weaker.
    pub fn default_accepts() -> BTreeSet<ProofKind> {
        BTreeSet::from([ProofKind::Sshsig])
    }

    // The default is left out of the policy's digest, so that policies accepted before it existed keep theirs.
    fn is_default_accepts(accepts: &BTreeSet<ProofKind>) -> bool {
        *accepts == Self::default_accepts()
    }
}

impl RollbackRule {
    fn default_automatic() -> bool {
        true
    }

    fn default_keep() -> u32 {
        10
    }
}

impl Default for RollbackRule {
    fn default() -> Self {
        Self { automatic: true, keep: Self::default_keep() }
    }
}

impl Policy {
    /// The digest that approvals are bound to: that of the policy's JSON form.
    pub fn digest(&self) -> Digest {
        // Maps with text keys and plain values always serialise; were that ever untrue, no two policies may look alike.
        let bytes = serde_json::to_vec(self).unwrap_or_else(|e| format!("{self:?} {e}").into_bytes());
        Digest::of(&bytes)
    }

    /// The environments that come from `name`.
    pub fn next_after<'a>(&'a self, name: &'a EnvironmentName) -> impl Iterator<Item = &'a EnvironmentName> {
        self.environments.iter().filter(move |(_, e)| e.from.as_ref() == Some(name)).map(|(n, _)| n)
    }

    /// The environments, each after the one that it comes from.
    pub fn in_order(&self) -> Vec<&EnvironmentName> {
        let mut order: Vec<&EnvironmentName> =
            self.environments.iter().filter(|(_, e)| e.from.is_none()).map(|(n, _)| n).collect();
        let mut next = 0;
        while let Some(name) = order.get(next).copied() {
            order.extend(self.next_after(name));
            next += 1;
        }
        order
    }

    /// The person who signs with `key`, an OpenSSH public key without its comment.
    pub fn owner_of_key(&self, key: &str) -> Option<(&PersonId, &Person)> {
        self.people.iter().find(|(_, person)| person.ssh.contains(key))
    }
}

#[cfg(test)]
mod tests;
