//! Rollbacks that were made without the log, because it could not be reached, and came into it afterwards.
//!
//! Such a rollback has happened by the time the log hears of it. So the event is taken whoever made it: what is judged is
//! whether the record holds together, and what is told is whether the person was entitled.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    approval::Proof,
    digest::Digest,
    failure::Code,
    name::{EnvironmentName, PersonId},
    policy::Policy,
    release::Release,
    schema::Schema,
    undo::Observed,
};

/// How a rollback without the log ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The earlier release is live, and the checks that could be asked hold.
    Verified {
        /// How many checks hold.
        passed: u32,
    },
    /// Traffic was moved, or may have been, and then something failed. A person is needed.
    Failing {
        /// What.
        why: String,
    },
    /// It failed before traffic was moved: what was live is live.
    Unchanged {
        /// The code of what failed.
        code: Code,
        /// Why.
        why: String,
    },
}

/// See [`Event::OfflineRollback`](crate::event::Event::OfflineRollback).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineRollback {
    /// Where.
    pub environment: EnvironmentName,
    /// What was live before; `None` if nothing that has a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Release>,
    /// What was to be live again.
    pub to: Release,
    /// What was read running at the end.
    pub running: Observed,
    /// How it ended.
    pub outcome: Outcome,
    /// The fencing number on the host. It is no index of the log.
    pub fence: u64,
    /// What the labels of the host's image say of the database that `to` expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Whether the person signed that the release is to run although it is not known to work on the database.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub despite_schema: bool,
    /// When it began, by the host's clock.
    pub began_at: Timestamp,
    /// When it ended, by the host's clock.
    pub ended_at: Timestamp,
    /// Who made it.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// How we know.
    pub proof: Proof,
    /// Why the person was not entitled to it, by the policy in force when it came into the log; `None` if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_entitled: Option<String>,
    /// The record as it was found on the host, beside the log.
    pub record: Digest,
    /// The definition that it was started from, beside the log.
    pub definition: Digest,
}

/// What is kept of a rollback without the log, with its environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflinePast {
    /// The index in the log of the entry that it came in with.
    pub entry: u64,
    /// What was signed: no statement comes in twice.
    pub statement: Digest,
    /// Its fencing number on the host, by which several are told apart as to their order.
    pub fence: u64,
    /// Whether a later one was in the log before it, so that it says nothing of what is live.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Who made it.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// What was live before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Release>,
    /// What was to be live again.
    pub to: Release,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended, by the host's clock.
    pub ended_at: Timestamp,
    /// When it came into the log.
    pub merged_at: Timestamp,
    /// Why the person was not entitled to it; `None` if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_entitled: Option<String>,
}

impl OfflineRollback {
    /// Whether traffic was moved, or may have been.
    pub fn moved(&self) -> bool {
        !matches!(self.outcome, Outcome::Unchanged { .. })
    }

    /// What was signed, if it was signed by SSH.
    pub fn statement(&self) -> Option<Digest> {
        match &self.proof {
            Proof::Sshsig { statement, .. } => Some(*statement),
            _ => None,
        }
    }

    /// What is wrong with it in itself, in words.
    pub fn contradicts_itself(&self) -> Option<&'static str> {
        let runs = |release: &Release| matches!(&self.running, Observed::Running { release: r, .. } if r == release);
        if self.statement().is_none() {
            return Some("it is proven by no signature");
        }
        if self.from.as_ref() == Some(&self.to) {
            return Some("it goes back to what was live");
        }
        match &self.outcome {
            Outcome::Verified { .. } if !runs(&self.to) => Some("it was verified and something else runs"),
            Outcome::Unchanged { .. } if runs(&self.to) => Some("it changed nothing and what it goes back to runs"),
            _ => None,
        }
    }
}

/// Why a person may not roll `environment` back without the log, by `policy`; `None` if they may. It takes a role of the
/// environment's approvals or of its expedited way; where neither is wanted, any person of the policy will do.
pub fn not_entitled(policy: &Policy, environment: &EnvironmentName, who: &PersonId) -> Option<String> {
    let Some(person) = policy.people.get(who) else { return Some(format!("`{who}` is nobody in the policy")) };
    let Some(rules) = policy.environments.get(environment) else {
        return Some(format!("the policy has no environment `{environment}`"));
    };
    let usual = rules.approval.iter().flat_map(|rule| &rule.roles);
    let mut roles: Vec<_> = usual.chain(rules.expedited.iter().flat_map(|way| &way.roles)).collect();
    if roles.is_empty() || roles.iter().any(|role| person.roles.contains(*role)) {
        return None;
    }
    roles.sort();
    roles.dedup();
    let roles: Vec<&str> = roles.into_iter().map(|role| role.as_str()).collect();
    Some(format!("`{who}` has no role that approves for {environment}: it takes {}", roles.join(" or ")))
}
