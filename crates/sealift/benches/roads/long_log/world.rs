//! What a made-up history happens in: a driver that does at once what it is told, checks that hold unless the version says
//! otherwise, a clock that is turned forward.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sealift::{
    system::{SystemClock, ThisHost},
    wiring,
};
use sealift_domain::{
    check::{AvailabilityCheck, Check},
    quantity::Period,
    undo::Observed,
};
use sealift_engine::{
    ports::{
        clock::Clock,
        driver::{Deployment, Driver, DriverError, DriverErrorKind, DriverObserver, Prepared, definition_digest},
        probe::{Availability, CheckContext, CheckResult, LogSource, Prober, Watch},
    },
    world::World,
};
use sealift_registry::{
    client::{Client, Options},
    credentials::CredentialSource,
};

use crate::Failed;

/// What the version of a release ends with that staging bears and production does not.
pub(crate) const BAD: &str = "-bad";

/// The adapters of a made-up history.
pub(crate) fn made_up(clock: Arc<TurnedClock>) -> Result<World, Failed> {
    let options = Options { credentials: CredentialSource::from_variables(|_| None), ..Options::default() };
    let driver = || Arc::new(MadeUpDriver::default());
    Ok(World {
        registry: Arc::new(Client::new(options, Arc::new(SystemClock))?),
        drivers: [("staging".parse()?, driver() as Arc<dyn Driver>), ("production".parse()?, driver())].into(),
        prober: Arc::new(MadeUpChecks),
        notifiers: std::collections::BTreeMap::new(),
        signatures: wiring::signatures(),
        evidence: wiring::evidence(),
        attestor: Arc::new(sealift::promotion_keys::PromotionKeys::none()),
        sources: wiring::sources(),
        clock,
        host: Arc::new(ThisHost::new()),
        inbox: None,
    })
}

/// A clock that moves on by a little whenever it is read, and by hours when it is told to.
pub(crate) struct TurnedClock {
    began: Timestamp,
    milliseconds: AtomicI64,
}

impl TurnedClock {
    /// A clock that begins then.
    pub(crate) fn from(began: Timestamp) -> Self {
        Self { began, milliseconds: AtomicI64::new(0) }
    }

    /// Turns it forward.
    pub(crate) fn forward(&self, hours: i64) {
        self.milliseconds.fetch_add(hours * 3_600_000, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for TurnedClock {
    fn now(&self) -> Timestamp {
        self.began + SignedDuration::from_millis(self.milliseconds.fetch_add(37, Ordering::Relaxed))
    }

    async fn sleep(&self, period: Period) {
        SystemClock.sleep(period).await;
    }
}

/// What it was told to make live last is what is live.
#[derive(Default)]
struct MadeUpDriver(Mutex<Option<Deployment>>);

impl MadeUpDriver {
    fn set(&self, live: Option<&Deployment>) -> Observed {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = live.cloned();
        self.get()
    }

    fn get(&self) -> Observed {
        let live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = live.as_ref().and_then(|live| Some((live.release()?, definition_digest(&live.definition))));
        running.map_or(Observed::Nothing, |(release, definition)| Observed::Running {
            release,
            definition: Some(definition),
        })
    }
}

#[async_trait]
impl Driver for MadeUpDriver {
    fn kind(&self) -> &'static str {
        "made-up"
    }

    fn definition(&self) -> Result<Vec<u8>, DriverError> {
        Ok(br#"{"listen":8080,"ports":[18080,18081],"env":{"LOG":"info"}}"#.to_vec())
    }

    async fn observe(&self) -> Result<Observed, DriverError> {
        Ok(self.get())
    }

    async fn migrate(&self, _: &Deployment, _: &[String], _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        let message = "no migration is configured".to_owned();
        Err(DriverError { kind: DriverErrorKind::Migrate, message, output: Vec::new() })
    }

    async fn prepare(&self, _: &Deployment, _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        Ok(Prepared::default())
    }

    async fn switch(&self, deployment: &Deployment, _: &dyn DriverObserver) -> Result<Observed, DriverError> {
        Ok(self.set(Some(deployment)))
    }

    async fn restore(
        &self,
        _: &Deployment,
        previous: Option<&Deployment>,
        _: &dyn DriverObserver,
    ) -> Result<Observed, DriverError> {
        Ok(self.set(previous))
    }

    async fn retire(&self, _: &Deployment, _: u32, _: &dyn DriverObserver) -> Result<(), DriverError> {
        Ok(())
    }

    async fn discard(&self, _: &Deployment, _: &dyn DriverObserver) -> Result<(), DriverError> {
        Ok(())
    }

    async fn logs(&self, _: &Deployment, _: usize) -> Result<Vec<u8>, DriverError> {
        Ok(b"hello listens on 0.0.0.0:18080\n".to_vec())
    }
}

/// Checks that hold for every version but [`BAD`] ones, which only staging takes: its check has the longer `within`.
struct MadeUpChecks;

#[async_trait]
impl Prober for MadeUpChecks {
    async fn run(&self, check: &Check, context: &CheckContext, _: &dyn LogSource) -> CheckResult {
        let bad = context.values.get("version").is_some_and(|version| version.ends_with(BAD));
        let production = context.environment.get("SEALIFT_ENVIRONMENT").is_some_and(|name| name == "production");
        let passed = !(bad && production);
        let found = if passed { "200 after 6 ms" } else { "503 {\"status\":\"error\"} for 1 s" }.to_owned();
        let check = match check {
            Check::Http(check) => format!("http {}", check.http),
            _ => "a check".to_owned(),
        };
        CheckResult { check, passed, found, output: Vec::new() }
    }

    async fn watch(&self, _: &AvailabilityCheck, _: &CheckContext) -> Result<Box<dyn Watch>, String> {
        Ok(Box::new(Steady))
    }
}

/// Requests that all succeed.
struct Steady;

#[async_trait]
impl Watch for Steady {
    fn so_far(&self) -> Availability {
        Availability { requests: 100, failed: 0, retried: 0, longest_gap_ms: 12 }
    }

    async fn stop(self: Box<Self>) -> Availability {
        self.so_far()
    }
}
