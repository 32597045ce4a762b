//! The state of a promotion.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attachment, Step, VerificationSummary};
use crate::{
    approval::{Approval, Proof, Workload},
    cost::Cost,
    digest::Digest,
    failure::Failure,
    gate::Judged,
    name::{ComponentName, EnvironmentName, PersonId},
    notice::NoticeKind,
    reference::Tag,
    release::Release,
    schema::Schema,
    undo::{Observed, Undo},
};

/// Names a promotion for ever: the index of its request in the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromotionId(pub u64);

/// What a promotion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Bring a release forward.
    Promote,
    /// Go back to an earlier, known-good release of the same environment.
    Rollback,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Requester {
    /// Nobody proved who they are.
    Unknown,
    /// A person of the policy, who signed the request.
    Person {
        /// Who.
        id: PersonId,
        /// How we know.
        proof: Proof,
    },
    /// A run of a pipeline, as its identity provider says.
    Workload(Box<Workload>),
}

/// Where a promotion is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "kebab-case")]
pub enum Stage {
    /// The gates are to be judged.
    Judging,
    /// Something must happen first.
    Waiting(Wait),
    /// On the way forward, with this step to do.
    Forward {
        /// What to do.
        step: Step,
        /// Somebody wants it to end; it does, at the next step before the switch.
        cancel: Option<Cause>,
    },
    /// On the way back, with this step to do.
    Back {
        /// What to do.
        step: Step,
        /// Why.
        cause: Cause,
    },
    /// It is over.
    Ended(Ended),
}

/// What a pending promotion waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "kebab-case")]
pub enum Wait {
    /// Consent.
    Approval {
        /// When the request lapses.
        until: Timestamp,
        /// How many more persons.
        missing: u32,
    },
    /// A gate that will pass by itself.
    Condition {
        /// When to judge again.
        until: Timestamp,
        /// What is waited for.
        reason: String,
    },
}

/// Why a promotion turned back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Cause {
    /// A step failed.
    Failed {
        /// Which.
        step: Step,
        /// How.
        failure: Failure,
    },
    /// Somebody wanted it to end.
    Withdrawn {
        /// Who, if that is known.
        by: Option<PersonId>,
        /// Why.
        reason: String,
    },
    /// A step failed and there is no way back, or the way back failed too. What was attested is withdrawn all the same.
    Blocked {
        /// What made it turn back.
        failure: Failure,
        /// Why the way back ended.
        blocked: Failure,
    },
}

/// What a promotion has attested of its images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The index in the log of the judgement that admitted the promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorised_by: Option<u64>,
    /// That they are admitted, by component; none before that was attached.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub admitted: BTreeMap<ComponentName, Attachment>,
    /// That they were verified.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verified: BTreeMap<ComponentName, Attachment>,
    /// What could not be removed from a registry when it was withdrawn, by component, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left: BTreeMap<ComponentName, String>,
}

/// How a promotion ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case")]
pub enum Ended {
    /// The release is live and verified, and the tags name it.
    Completed {
        /// When the release before could not be stopped; the new one is live all the same.
        leftover: Option<Failure>,
    },
    /// It did not happen, and nothing live was changed.
    Failed {
        /// Why.
        failure: Failure,
        /// What could not be cleaned up.
        leftover: Option<Failure>,
    },
    /// It failed, and what was live before is live again.
    RolledBack {
        /// Why it failed.
        failure: Failure,
    },
    /// It was rejected, withdrawn or superseded, or nobody approved in time.
    Cancelled {
        /// Why.
        reason: String,
        /// Who, if a person did.
        by: Option<PersonId>,
        /// The request that took its place.
        superseded_by: Option<PromotionId>,
    },
    /// A person is needed.
    Stuck {
        /// What made it turn back.
        failure: Failure,
        /// Why the way back ended.
        blocked: Failure,
    },
}

/// The states that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Waiting for approval or a condition.
    Pending,
    /// Running.
    InProgress,
    /// Live and verified.
    Completed,
    /// Did not happen; nothing live was changed.
    Failed,
    /// Failed; the previous release is live again.
    RolledBack,
    /// Rejected, withdrawn, superseded or lapsed.
    Cancelled,
    /// A person is needed.
    Stuck,
}

/// What an expedited promotion leaves to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// Until when.
    pub due: Timestamp,
    /// The gates that were waived.
    pub waived: BTreeSet<String>,
    /// When and how it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// How a follow-up was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: PersonId,
    /// What was done.
    pub reason: String,
}

/// That one person wants a freeze not to stop a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeOverride {
    /// The freeze: [`Freeze::digest`](crate::freeze::Freeze::digest).
    pub freeze: Digest,
    /// Who.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// How we know.
    pub proof: Proof,
}

/// When something happened, for the time line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When it was committed.
    pub at: Timestamp,
    /// What: a step or the name of an event.
    pub what: String,
}

/// One attempt to bring a release into an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Its name.
    pub id: PromotionId,
    /// What it is for.
    pub kind: Kind,
    /// Where it comes from.
    pub from: Option<EnvironmentName>,
    /// The origin that the request named, if it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_from: Option<EnvironmentName>,
    /// Where it goes.
    pub to: EnvironmentName,
    /// What it brings.
    pub release: Release,
    /// Whether a person named the digest.
    pub by_hand: bool,
    /// Who asked.
    pub requester: Requester,
    /// Why.
    pub reason: Option<String>,
    /// The run of the pipeline that asked.
    pub run_id: Option<String>,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// The newest judgement.
    pub judged: Vec<Judged>,
    /// The digest over the evidence of that judgement.
    pub evidence: Option<Digest>,
    /// The policy of that judgement.
    pub policy: Digest,
    /// Decisions given so far.
    pub approvals: Vec<Approval>,
    /// When the request lapses without consent; set when consent is first wanted, and kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapses_at: Option<Timestamp>,
    /// When consent was complete, if any was needed, and who gave it.
    pub consent: Option<(Timestamp, Vec<PersonId>)>,
    /// How many of them the rule wanted; 0 where that was not kept, and then all of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub needed: u32,
    /// Whether it goes the expedited way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expedited: bool,
    /// What is still to be made good of what was waived for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUp>,
    /// Freezes that are not to stop it, as far as persons said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<FreezeOverride>,
    /// The immutable names that the images were given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub immutable_tags: BTreeMap<ComponentName, Vec<Tag>>,
    /// What the labels of its images say of the database; `None` where they say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Whether it has migrated the database, or may have: a migration that failed may have done half of its work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub migrated: bool,
    /// What it attests; `None` where the environment did not want that when it was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attested>,
    /// Moving tags that may still name what they named before the end of it: the registry did not answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unmoved_tags: BTreeMap<ComponentName, Vec<Tag>>,
    /// What to go back to; recorded before anything live is touched, never lost.
    pub undo: Option<Undo>,
    /// The digest of the definition that the candidate was started from.
    pub definition: Option<Digest>,
    /// What its deployment took of the host so far, as far as the driver could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What the verification found.
    pub verification: Option<VerificationSummary>,
    /// What the verification of the restored release found.
    pub restored: Option<VerificationSummary>,
    /// Where it is.
    pub stage: Stage,
    /// What happened when.
    pub timeline: Vec<Moment>,
}

impl Requester {
    /// The person who asked, or who started the run that asked; `None` if that is nobody known.
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Unknown => None,
            Self::Person { id, .. } => Some(id),
            Self::Workload(workload) => workload.actor.as_ref(),
        }
    }

    /// How it is known who asked.
    pub fn proof(&self) -> Option<&Proof> {
        match self {
            Self::Unknown => None,
            Self::Person { proof, .. } => Some(proof),
            Self::Workload(workload) => Some(&workload.proof),
        }
    }
}

impl Promotion {
    /// The state that people see.
    pub fn status(&self) -> Status {
        match &self.stage {
            Stage::Judging | Stage::Waiting(_) => Status::Pending,
            Stage::Forward { .. } | Stage::Back { .. } => Status::InProgress,
            Stage::Ended(Ended::Completed { .. }) => Status::Completed,
            Stage::Ended(Ended::Failed { .. }) => Status::Failed,
            Stage::Ended(Ended::RolledBack { .. }) => Status::RolledBack,
            Stage::Ended(Ended::Cancelled { .. }) => Status::Cancelled,
            Stage::Ended(Ended::Stuck { .. }) => Status::Stuck,
        }
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// Whether what it attested counts: it did, and neither failed nor was withdrawn since. Holds are another matter.
    pub fn admission_counts(&self) -> bool {
        let attested = self.attested.as_ref().is_some_and(|attested| !attested.admitted.is_empty());
        attested && matches!(self.stage, Stage::Forward { cancel: None, .. } | Stage::Ended(Ended::Completed { .. }))
    }

    /// For a promotion that ended before the switch: what its migration means for the release that is live all the same.
    pub fn left_database(&self) -> Option<String> {
        if !self.migrated || !matches!(self.stage, Stage::Ended(Ended::Failed { .. } | Ended::Cancelled { .. })) {
            return None;
        }
        let undo = self.undo.as_ref().filter(|undo| matches!(undo.previous, Observed::Running { .. }))?;
        let words = match &undo.database {
            None => "no schema label says whether it works on it".to_owned(),
            Some(after) if after.is_open() => {
                format!("it {} and works on the database, at {}", after.previous, after.database)
            }
            Some(after) => format!("it {} and DOES NOT WORK on the database, at {}", after.previous, after.database),
        };
        Some(format!("the live release now runs on a database that was migrated, or may have been: {words}"))
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        if self.has_ended() { self.timeline.last().map(|moment| moment.at) } else { None }
    }

    /// The notice that reaching the present state is worth.
    pub(crate) fn notice(&self) -> Option<NoticeKind> {
        match (&self.stage, self.status()) {
            (Stage::Waiting(Wait::Approval { .. }), _) => Some(NoticeKind::ApprovalWanted),
            (Stage::Forward { step: Step::Copy, cancel: None }, _) => Some(NoticeKind::Started),
            (_, Status::Completed) => Some(NoticeKind::Completed),
            (_, Status::Failed) => Some(NoticeKind::Failed),
            (_, Status::RolledBack) => Some(NoticeKind::RolledBack),
            (_, Status::Cancelled) => Some(NoticeKind::Cancelled),
            (_, Status::Stuck) => Some(NoticeKind::Stuck),
            (_, Status::Pending | Status::InProgress) => None,
        }
    }
}

pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Status {
    /// The state as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "In progress",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::RolledBack => "Rolled back",
            Self::Cancelled => "Cancelled",
            Self::Stuck => "Stuck",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for PromotionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PromotionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl FromStr for PromotionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
