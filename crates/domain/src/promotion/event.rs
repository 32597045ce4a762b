//! What can happen to a promotion.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Done, FreezeOverride, Kind, PromotionId, Requester, Step, Wait, state::is_zero};
use crate::{
    approval::{Approval, Proof},
    digest::Digest,
    failure::Failure,
    gate::Judged,
    name::{EnvironmentName, PersonId},
    quantity::Period,
    release::Release,
    schema::Schema,
};

/// A request: the first event, whose log index is the promotion's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What it is for.
    pub kind: Kind,
    /// Where it comes from, by policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EnvironmentName>,
    /// The origin that was named, if one was.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run of the pipeline that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The policy in force.
    pub policy: Digest,
    /// Whether it is to go the expedited way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expedited: bool,
}

/// The outcome of judging the gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Every required gate.
    pub gates: Vec<Judged>,
    /// The digest over what the passing gates used.
    pub evidence: Digest,
    /// The policy they were judged under.
    pub policy: Digest,
    /// What follows.
    pub next: Next,
    /// What the labels of its images say of the database; `None` where they say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Whether the policy wants what it admits to be attested.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attests: bool,
    /// The facts that were judged, as JSON beside the log, so that the judgement can be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Digest>,
    /// The evidence that the facts were read from, beside the log.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects: BTreeSet<Digest>,
}

/// What follows from a judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "next", rename_all = "kebab-case")]
pub enum Next {
    /// Go on.
    Admit {
        /// Who consented; empty where no consent is needed.
        consent: Vec<PersonId>,
        /// How many the rule wants; 0 where that was not kept, and then all who consented.
        #[serde(default, skip_serializing_if = "is_zero")]
        needed: u32,
        /// For an expedited promotion: how long it may take until what was waived is made good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        follow_up: Option<Period>,
    },
    /// Wait.
    Wait(Wait),
    /// End.
    Refuse(Failure),
}

/// What can happen to a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PromotionEvent {
    /// Somebody asked for it.
    Requested(Request),
    /// The gates were judged.
    Judged(Judgement),
    /// A person consented.
    Approved(Approval),
    /// A person took an approval back.
    Revoked(Approval),
    /// A person wants a freeze not to stop it.
    FreezeOverridden(FreezeOverride),
    /// What was waived for it was made good.
    FollowUpClosed {
        /// Who says so.
        by: PersonId,
        /// What was done.
        reason: String,
        /// How we know.
        proof: Proof,
    },
    /// A person refused.
    Rejected {
        /// Who.
        by: PersonId,
        /// Why.
        reason: String,
        /// How we know.
        proof: Proof,
    },
    /// Somebody wants it to end.
    Withdrawn {
        /// Who, if that is known.
        by: Option<PersonId>,
        /// Why.
        reason: String,
    },
    /// A newer request takes its place.
    Superseded {
        /// The newer one.
        by: PromotionId,
    },
    /// Nobody approved in time.
    Lapsed,
    /// A step is done.
    Done(Done),
    /// A step failed for good.
    Failed {
        /// Which.
        step: Step,
        /// How.
        failure: Failure,
        /// Whether the policy lets the previous release be restored without asking.
        automatic: bool,
        /// Whether it is certain that the step began nothing: neither a migration nor a process.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        untouched: bool,
    },
}

impl PromotionEvent {
    /// The event in a word, for the time line and the log's `kind`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requested(_) => "requested",
            Self::Judged(_) => "judged",
            Self::Approved(_) => "approved",
            Self::Revoked(_) => "revoked",
            Self::FreezeOverridden(_) => "freeze-overridden",
            Self::FollowUpClosed { .. } => "follow-up-closed",
            Self::Rejected { .. } => "rejected",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Superseded { .. } => "superseded",
            Self::Lapsed => "lapsed",
            Self::Done(_) => "done",
            Self::Failed { .. } => "failed",
        }
    }
}
