//! What is going on, as one stream of typed events. Terminal bars, plain lines and JSON are views of it.

use jiff::Timestamp;
use sealift_domain::{
    gate::Judged,
    name::{AppName, EnvironmentName, PersonId},
    promotion::{Kind, PromotionId, Status, Step},
    quantity::Period,
};
use serde::Serialize;

use crate::ports::{copy::CopyEvent, probe::CheckResult};

/// Something happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Progress {
    /// Work on a promotion begins, or goes on after an interruption.
    Began {
        /// The promotion.
        promotion: PromotionId,
        /// The application.
        app: AppName,
        /// What it is for.
        kind: Kind,
        /// What is live now, in words; `None` if nothing is.
        live: Option<String>,
        /// What is to be live, in words.
        release: String,
        /// The target.
        to: EnvironmentName,
        /// Whether an earlier run was interrupted.
        resumed: bool,
    },
    /// The gates were judged.
    Gates {
        /// Each of them.
        gates: Vec<Judged>,
        /// How long it took.
        took: Period,
    },
    /// There is consent.
    Consent {
        /// Who gave it.
        by: Vec<PersonId>,
        /// When it was complete.
        at: Timestamp,
    },
    /// The log has consent that could not be verified again, so it does not count: `sealift audit verify` says more.
    Unproven {
        /// Whose, and why, in words.
        consent: Vec<String>,
    },
    /// What people handed in who cannot write to the log was looked at.
    TakenIn {
        /// What became of each statement, in words.
        statements: Vec<String>,
    },
    /// The promotion waits.
    Waiting {
        /// For what, in words.
        reason: String,
        /// When that lapses, or is worth another look.
        until: Timestamp,
    },
    /// A step begins.
    StepBegan {
        /// The step.
        step: Step,
        /// How long it took the last few times, if it ever was done here.
        usually: Option<Period>,
    },
    /// Something worth a line within a step.
    Note {
        /// The step.
        step: Step,
        /// The words.
        text: String,
    },
    /// Bytes and blobs move.
    Copy {
        /// What moved.
        #[serde(skip)]
        event: CopyEvent,
    },
    /// A check ended.
    Check {
        /// How.
        result: CheckResult,
    },
    /// A part of a rehearsal begins, which belongs to no promotion.
    Trying {
        /// What, in words.
        what: String,
    },
    /// A part of a rehearsal went well.
    Tried {
        /// What it found, in words.
        found: String,
        /// How long it took.
        took: Period,
    },
    /// A step failed for now and is tried again.
    Retry {
        /// The step.
        step: Step,
        /// Which try failed, from 1.
        attempt: u32,
        /// Why.
        why: String,
    },
    /// A step is done.
    StepDone {
        /// The step.
        step: Step,
        /// What it did, in words.
        found: String,
        /// How long it took.
        took: Period,
    },
    /// A step failed for good.
    StepFailed {
        /// The step.
        step: Step,
        /// The error code.
        code: String,
        /// Why.
        why: String,
        /// How long it took.
        took: Period,
    },
    /// The promotion reached a state in which nothing more happens now.
    Rested {
        /// The promotion.
        promotion: PromotionId,
        /// Its state.
        status: Status,
    },
}

/// Watches the stream. Called from any task, so it must be quick.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn on(&self, progress: &Progress);
}

/// Ignores everything.
impl Observer for () {
    fn on(&self, _: &Progress) {}
}
