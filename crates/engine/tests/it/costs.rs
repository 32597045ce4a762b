//! What a deployment takes of its host.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use sealift_domain::{
    cost::{Cost, Rebuild},
    promotion::{Kind, Status, Step},
    undo::Observed,
};
use sealift_engine::{
    error::EngineError,
    meter,
    ports::driver::{Deployment, Driver, DriverError, DriverObserver, Prepared, Usage},
    record,
};

use super::stubs::{Stage, environment, policy};

/// A host that has done nothing but stands there.
struct Host {
    memory: Arc<AtomicU64>,
    readings: Arc<AtomicU64>,
    /// How many readings there are before it falls silent.
    tells: u64,
}

#[async_trait]
impl Driver for Host {
    fn kind(&self) -> &'static str {
        "host"
    }

    fn definition(&self) -> Result<Vec<u8>, DriverError> {
        unreachable!()
    }

    async fn observe(&self) -> Result<Observed, DriverError> {
        unreachable!()
    }

    async fn migrate(&self, _: &Deployment, _: &[String], _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        unreachable!()
    }

    async fn prepare(&self, _: &Deployment, _: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        unreachable!()
    }

    async fn switch(&self, _: &Deployment, _: &dyn DriverObserver) -> Result<Observed, DriverError> {
        unreachable!()
    }

    async fn restore(
        &self,
        _: &Deployment,
        _: Option<&Deployment>,
        _: &dyn DriverObserver,
    ) -> Result<Observed, DriverError> {
        unreachable!()
    }

    async fn retire(&self, _: &Deployment, _: u32, _: &dyn DriverObserver) -> Result<(), DriverError> {
        unreachable!()
    }

    async fn discard(&self, _: &Deployment, _: &dyn DriverObserver) -> Result<(), DriverError> {
        unreachable!()
    }

    async fn logs(&self, _: &Deployment, _: usize) -> Result<Vec<u8>, DriverError> {
        unreachable!()
    }

    async fn usage(&self) -> Option<Usage> {
        let reading = self.readings.fetch_add(1, Ordering::SeqCst);
        let usage = Usage { cpu_ms: 5000 + reading * 10, memory_bytes: self.memory.load(Ordering::SeqCst) };
        (reading < self.tells).then_some(usage)
    }
}

fn host(tells: u64) -> Host {
    Host { memory: Arc::new(AtomicU64::new(100)), readings: Arc::default(), tells }
}

#[tokio::test]
async fn the_highest_memory_between_beginning_and_end_is_seen_while_the_work_goes_on() {
    let stage = Stage::new(policy()).await;
    let host = host(u64::MAX);
    let (memory, readings) = (host.memory.clone(), host.readings.clone());
    let work = async {
        memory.store(900, Ordering::SeqCst);
        // The first reading was before the work.
        while readings.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        memory.store(150, Ordering::SeqCst);
        "done"
    };
    let (done, cost) = meter::measured(stage.clock.as_ref(), Some(&host), work).await;
    let cost = cost.unwrap();
    let samples = host.readings.load(Ordering::SeqCst) - 2;
    assert_eq!((done, samples > 0), ("done", true));
    assert_eq!(cost.cpu_ms, (samples + 1) * 10, "from the first reading to the last");
    assert_eq!(cost.peak_memory_bytes, 800, "above what it was when it began");
    assert_eq!(cost.elapsed_ms, samples * meter::SAMPLE.as_millis());
}

#[tokio::test]
async fn memory_that_falls_costs_nothing() {
    let stage = Stage::new(policy()).await;
    let host = host(u64::MAX);
    let memory = host.memory.clone();
    let (_, cost) = meter::measured(stage.clock.as_ref(), Some(&host), async {
        memory.store(1, Ordering::SeqCst);
    })
    .await;
    assert_eq!(cost, Some(Cost { cpu_ms: 10, peak_memory_bytes: 0, pulled_bytes: None, elapsed_ms: 0 }));
}

#[tokio::test]
async fn who_cannot_tell_before_or_after_has_no_cost_and_the_work_is_done_all_the_same() {
    let stage = Stage::new(policy()).await;
    for tells in [0, 1] {
        let host = host(tells);
        assert_eq!(meter::measured(stage.clock.as_ref(), Some(&host), async { 7 }).await, (7, None), "{tells}");
    }
    assert_eq!(meter::measured(stage.clock.as_ref(), None, async { 7 }).await, (7, None));
}

/// A stage with release 1 live everywhere and release 2 in staging, on a host that tells.
async fn metered() -> Stage {
    let stage = Stage::new(policy()).await;
    stage.bring(1).await;
    stage.build(2).await;
    let id = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    assert_eq!(stage.book().await.ledger().await.unwrap().promotions[&id].cost, None, "nobody could tell");
    *stage.script.live.lock().unwrap() =
        Some((super::stubs::release(1), sealift_domain::digest::Digest::of(b"definition")));
    stage.forget();
    *stage.script.metered.lock().unwrap() = true;
    stage
}

#[tokio::test]
async fn the_steps_that_deploy_are_measured_and_no_others() {
    let stage = metered().await;
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    let cost = stage.book().await.ledger().await.unwrap().promotions[&id].cost.unwrap();
    // Migration, preparation, switch and retirement: 10 ms each. Copy, tags, undo and verification are not the host's.
    assert_eq!((cost.cpu_ms, cost.peak_memory_bytes), (40, 1));
    assert_eq!(cost.pulled_bytes, Some(1007), "by the migration and by the preparation");
}

#[tokio::test]
async fn what_failed_and_the_way_back_are_measured_too() {
    let stage = metered().await;
    stage.fail(Step::Switch, u32::MAX);
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::RolledBack);
    let cost = stage.book().await.ledger().await.unwrap().promotions[&id].cost.unwrap();
    assert_eq!(cost.cpu_ms, 40, "migration, preparation, the switch that failed, and the restore");

    let stage = metered().await;
    stage.fail(Step::Prepare, u32::MAX);
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Failed);
    let cost = stage.book().await.ledger().await.unwrap().promotions[&id].cost.unwrap();
    assert_eq!((cost.cpu_ms, cost.pulled_bytes), (30, Some(1000)), "what a failed pull moved is not known");
}

#[tokio::test]
async fn a_rebuild_is_recorded_for_an_environment_that_exists() {
    let stage = Stage::new(policy()).await;
    let book = stage.book().await;
    let rebuild = Rebuild { command: vec!["make".into()], cost: Cost { cpu_ms: 5, ..Cost::default() } };
    record::rebuild(&book, &environment("production"), rebuild.clone()).await.unwrap();
    let kept = book.ledger().await.unwrap().environments[&environment("production")].rebuild.clone();
    assert_eq!(kept.map(|kept| kept.fact), Some(rebuild.clone()));
    let unknown = record::rebuild(&book, &environment("moon"), rebuild).await;
    assert!(matches!(unknown, Err(EngineError::UnknownEnvironment(_))), "{unknown:?}");
}
