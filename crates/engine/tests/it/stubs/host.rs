//! A host that does as the script says: what deploys, and what looks whether it is well.

use std::sync::Arc;

use async_trait::async_trait;
use sealift_domain::{
    check::{AvailabilityCheck, Check},
    digest::Digest,
    promotion::Step,
    reference::Pinned,
    undo::Observed,
};
use sealift_engine::ports::{
    driver::{Candidate, Deployment, Driver, DriverError, DriverErrorKind, DriverObserver, Prepared, Usage},
    probe::{Availability, CheckContext, CheckResult, LogSource, Prober, Watch},
};

use super::Script;

pub(super) struct StubDriver(pub(super) Arc<Script>);

impl StubDriver {
    fn done(&self, step: Step, key: &str, kind: DriverErrorKind) -> Result<(), DriverError> {
        if self.0.step(step, key) {
            return Err(DriverError { kind, message: "the script says so".into(), output: b"last words".to_vec() });
        }
        Ok(())
    }

    fn pulled(&self, bytes: u64) -> Prepared {
        Prepared { pulled_bytes: self.0.metered.lock().unwrap().then_some(bytes) }
    }

    fn running(&self) -> Observed {
        match self.0.live.lock().unwrap().clone() {
            Some((release, definition)) => Observed::Running { release, definition: Some(definition) },
            None => Observed::Nothing,
        }
    }
}

#[async_trait]
impl Driver for StubDriver {
    fn kind(&self) -> &'static str {
        "stub"
    }

    fn definition(&self) -> Result<Vec<u8>, DriverError> {
        Ok(b"definition".to_vec())
    }

    async fn observe(&self) -> Result<Observed, DriverError> {
        let step = if self.0.count(Step::Restore) > 0 { Step::ConfirmRestored } else { Step::RecordUndo };
        self.done(step, "", DriverErrorKind::Unreachable)?;
        Ok(self.running())
    }

    async fn has(&self, _: &Pinned) -> Result<bool, DriverError> {
        Ok(*self.0.has_images.lock().unwrap())
    }

    async fn migrate(&self, d: &Deployment, argv: &[String], _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        assert_eq!(argv, ["migrate"]);
        self.done(Step::Migrate, &d.key, DriverErrorKind::Migrate)?;
        Ok(self.pulled(1000))
    }

    async fn prepare(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        let done = self.done(Step::Prepare, &d.key, DriverErrorKind::Unhealthy);
        tokio::task::yield_now().await;
        done.map(|()| self.pulled(7))
    }

    async fn switch(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<Observed, DriverError> {
        let failed = self.done(Step::Switch, &d.key, DriverErrorKind::Switch);
        // Traffic may have moved although the answer was lost.
        *self.0.live.lock().unwrap() = Some((d.release().unwrap(), Digest::of(&d.definition)));
        failed?;
        Ok(self.running())
    }

    async fn restore(
        &self,
        failed: &Deployment,
        previous: Option<&Deployment>,
        _: &dyn DriverObserver,
    ) -> Result<Observed, DriverError> {
        self.done(Step::Restore, &failed.key, DriverErrorKind::Start)?;
        *self.0.live.lock().unwrap() = previous.map(|d| (d.release().unwrap(), Digest::of(&d.definition)));
        Ok(self.running())
    }

    async fn retire(&self, d: &Deployment, _: u32, _: &dyn DriverObserver) -> Result<(), DriverError> {
        self.done(Step::Retire, &d.key, DriverErrorKind::Unreachable)
    }

    async fn discard(&self, d: &Deployment, _: &dyn DriverObserver) -> Result<(), DriverError> {
        self.done(Step::Discard, &d.key, DriverErrorKind::Unreachable)
    }

    async fn logs(&self, _: &Deployment, _: usize) -> Result<Vec<u8>, DriverError> {
        Ok(b"the log".to_vec())
    }

    fn candidate(&self) -> Candidate {
        self.0.candidate.lock().unwrap().unwrap_or(Candidate::Beside)
    }

    async fn usage(&self) -> Option<Usage> {
        let done = self.0.done.lock().unwrap().len() as u64;
        self.0.metered.lock().unwrap().then_some(Usage { cpu_ms: done * 10, memory_bytes: done })
    }
}

pub(super) struct StubProber(pub(super) Arc<Script>);

#[async_trait]
impl Prober for StubProber {
    async fn run(&self, _: &Check, _: &CheckContext, _: &dyn LogSource) -> CheckResult {
        let step = if self.0.count(Step::Restore) > 0 { Step::ConfirmRestored } else { Step::Verify };
        let passed = !self.0.step(step, "");
        let found = if passed { "200" } else { "503" };
        CheckResult { check: "http".into(), passed, found: found.into(), output: b"503".to_vec() }
    }

    async fn watch(&self, _: &AvailabilityCheck, _: &CheckContext) -> Result<Box<dyn Watch>, String> {
        Ok(Box::new(StubWatch))
    }
}

struct StubWatch;

#[async_trait]
impl Watch for StubWatch {
    fn so_far(&self) -> Availability {
        Availability { requests: 50, failed: 0, retried: 0, longest_gap_ms: 20 }
    }

    async fn stop(self: Box<Self>) -> Availability {
        self.so_far()
    }
}
