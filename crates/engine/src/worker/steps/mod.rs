//! The steps. Each file does one stretch of the road: the registry's side, the deployment, the verification, the way back.

mod attest;
mod back;
mod deploy;
mod images;
mod still;
mod verify;

use std::sync::Arc;

use sealift_domain::{
    digest::Digest,
    failure::Failure,
    ledger::Ledger,
    promotion::{Done, Promotion, Step},
};

pub(crate) use back::for_known_good;
pub(crate) use verify::{availability_result, check_context, summarise};

use super::Worker;
use crate::{
    code,
    error::EngineError,
    ports::{
        driver::{DriverError, DriverObserver},
        registry::RegistryError,
    },
    progress::{Observer, Progress},
};

/// A step that is done.
pub(super) struct Outcome {
    /// For the log.
    pub(super) done: Done,
    /// Objects that it refers to.
    pub(super) evidence: Vec<Vec<u8>>,
    /// For people.
    pub(super) found: String,
    /// Bytes that the host pulled for it, if its driver could tell.
    pub(super) pulled: Option<u64>,
}

/// A step that failed for good.
#[derive(Debug)]
pub(super) struct StepError {
    /// For the log.
    pub(super) failure: Failure,
    /// Objects that it refers to.
    pub(super) evidence: Vec<Vec<u8>>,
    /// Whether it is certain that the step began nothing.
    pub(super) untouched: bool,
}

impl Outcome {
    fn new(done: Done, found: impl Into<String>) -> Self {
        Self { done, evidence: Vec::new(), found: found.into(), pulled: None }
    }
}

impl StepError {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { failure: code::failure(code, message), evidence: Vec::new(), untouched: false }
    }

    /// Keeps `object` beside the log.
    fn keep(mut self, object: Vec<u8>) -> Self {
        if !object.is_empty() {
            self.failure.evidence.push(Digest::of(&object));
            self.evidence.push(object);
        }
        self
    }
}

impl From<RegistryError> for StepError {
    fn from(error: RegistryError) -> Self {
        Self { failure: code::registry_failure(&error), evidence: Vec::new(), untouched: false }
    }
}

impl From<DriverError> for StepError {
    fn from(error: DriverError) -> Self {
        let untouched = error.kind.began_nothing();
        Self { failure: code::driver_failure(&error), evidence: Vec::new(), untouched }.keep(error.output)
    }
}

impl From<EngineError> for StepError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Registry(error) => error.into(),
            EngineError::Driver(error) => error.into(),
            other => Self::new("E0001", other.to_string()),
        }
    }
}

/// What a step works on.
pub(super) struct Context<'a> {
    pub(super) ledger: &'a Arc<Ledger>,
    pub(super) promotion: &'a Promotion,
    pub(super) step: Step,
    pub(super) fence: u64,
}

/// Hands a driver's words on as progress of a step.
struct Notes<'a> {
    observer: &'a dyn Observer,
    step: Step,
}

impl DriverObserver for Notes<'_> {
    fn note(&self, text: &str) {
        self.observer.on(&Progress::Note { step: self.step, text: text.to_owned() });
    }
}

impl Worker<'_> {
    /// Does one step.
    pub(super) async fn perform(
        &self,
        ledger: &Arc<Ledger>,
        promotion: &Promotion,
        step: Step,
        fence: u64,
    ) -> Result<Outcome, StepError> {
        let context = Context { ledger, promotion, step, fence };
        if matches!(step, Step::Migrate | Step::Prepare | Step::Switch) {
            self.still_may(&context).await?;
            self.admitted(&context).await?;
        }
        match step {
            Step::Admit => self.admit(&context).await,
            Step::AttestVerified => self.attest_verified(&context).await,
            Step::WithdrawAdmission => self.withdraw_admission(&context).await,
            Step::Copy => self.copy(&context).await,
            Step::TagImmutable => self.tag_immutable(&context).await,
            Step::RecordUndo => self.record_undo(&context).await,
            Step::Migrate => self.migrate(&context).await,
            Step::Prepare => self.prepare(&context).await,
            Step::Switch => self.switch(&context).await,
            Step::Verify => self.verify(&context).await,
            Step::MoveTags => self.move_tags(&context).await,
            Step::Retire => self.retire(&context).await,
            Step::Discard => self.discard(&context).await,
            Step::Restore => self.restore(&context).await,
            Step::ConfirmRestored => self.confirm_restored(&context).await,
            Step::RestoreTags => self.restore_tags(&context).await,
        }
    }

    fn notes(&self, step: Step) -> Notes<'_> {
        Notes { observer: self.observer, step }
    }
}
