//! One promotion works on an environment at a time, and a run that died is taken over.

use std::sync::Arc;

use sealift_domain::{
    event::{Event, LeaseTaken},
    promotion::{Kind, Status, Step},
    quantity::Period,
};
use sealift_engine::{
    book::Decision,
    decide,
    error::EngineError,
    ports::{clock::Clock, host::Host},
};

use super::stubs::{Stage, StubHost, artifact_says, attesting, environment, key, policy, release};

/// Leaves a promotion in the middle of its copy, as a run that was killed does.
async fn interrupted(stage: &Stage) -> sealift_domain::promotion::PromotionId {
    stage.build(1).await;
    let id = stage.ask(Kind::Promote, 1, "staging").await;
    let (book, world) = (stage.book().await, stage.world("first"));
    let worker = sealift_engine::worker::Worker::new(&book, &world, &(), Default::default());
    let (reached, reach) = tokio::sync::oneshot::channel();
    let hold = Box::new(move || reached.send(()).unwrap_or_default());
    stage.script.during.lock().unwrap().insert(Step::Prepare, hold);
    stage.fail(Step::Prepare, 0);
    tokio::select! {
        biased;
        _ = reach => {}
        status = worker.run(id) => panic!("it ended: {status:?}"),
    }
    id
}

#[tokio::test]
async fn a_living_run_keeps_its_environment() {
    let stage = Stage::new(policy()).await;
    let id = interrupted(&stage).await;
    let error = stage.run_as("second", id).await.unwrap_err();
    assert!(matches!(error, EngineError::Held { by, .. } if by == id), "{error}");
    stage.build(2).await;
    let ask = sealift_engine::request::Ask {
        kind: Kind::Promote,
        from: None,
        to: environment("staging"),
        release: release(2),
        by_hand: false,
        requester: sealift_domain::promotion::Requester::Unknown,
        proof: Vec::new(),
        reason: None,
        run_id: None,
        expedited: false,
    };
    let error = sealift_engine::request::ask(&stage.book().await, &ask).await.unwrap_err();
    assert!(matches!(error, EngineError::Held { by, .. } if by == id), "{error}");
}

#[tokio::test]
async fn a_run_that_is_gone_is_taken_over_at_once() {
    let stage = Stage::new(policy()).await;
    let id = interrupted(&stage).await;
    stage.gone.lock().unwrap().insert("first".into());
    assert_eq!(stage.run_as("second", id).await.unwrap(), Status::Completed);
}

#[tokio::test]
async fn a_run_that_nobody_hears_of_is_taken_over_when_its_lease_ends() {
    let stage = Stage::new(policy()).await;
    let id = interrupted(&stage).await;
    stage.clock.advance(Period::from_secs(14 * 60));
    assert!(stage.run_as("second", id).await.is_err());
    stage.clock.advance(Period::from_secs(60));
    assert_eq!(stage.run_as("second", id).await.unwrap(), Status::Completed);
}

#[tokio::test]
async fn a_run_that_lost_its_lease_writes_nothing_more() {
    let stage = Stage::new(policy()).await;
    stage.build(1).await;
    let id = stage.ask(Kind::Promote, 1, "staging").await;
    let (book, clock) = (Arc::new(stage.book().await), stage.clock.clone());
    // While the first run copies, another takes the lease over.
    let thief = StubHost { run: "thief".into(), gone: stage.gone.clone() };
    let steal = Box::new(move || {
        let now = clock.now();
        let taken = LeaseTaken {
            environment: environment("staging"),
            promotion: id,
            holder: thief.holder(),
            expires_at: Period::from_secs(900).after(now),
        };
        let decide = |_: &sealift_engine::book::Ground<'_>| {
            Ok(Decision { drafts: vec![Event::LeaseTaken(taken.clone()).into()], value: () })
        };
        std::thread::scope(|scope| {
            scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(book.commit(decide)).unwrap());
        });
    });
    stage.script.during.lock().unwrap().insert(Step::Copy, steal);
    let error = stage.run_as("first", id).await.unwrap_err();
    assert!(matches!(error, EngineError::Held { .. }), "{error}");
    let ledger = stage.book().await.ledger().await.unwrap();
    assert_eq!(ledger.leases[&environment("staging")].holder.run, "thief");
    assert_eq!(stage.script.count(Step::TagImmutable), 0);
    assert_eq!(stage.run_as("thief", id).await.unwrap(), Status::Completed);
}

#[tokio::test]
async fn a_withdrawal_during_a_step_takes_effect_after_it() {
    for (step, discarded) in [(Step::Copy, 0), (Step::Prepare, 1)] {
        let stage = Stage::new(policy()).await;
        stage.build(1).await;
        let id = stage.ask(Kind::Promote, 1, "staging").await;
        let book = stage.book().await;
        let withdraw = Box::new(move || {
            std::thread::scope(|scope| {
                let work = async { decide::withdraw(&book, id, None, "enough".into()).await.unwrap() };
                scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work));
            });
        });
        stage.script.during.lock().unwrap().insert(step, withdraw);
        assert_eq!(stage.run(id).await, Status::Cancelled, "{step}");
        assert_eq!(stage.script.count(Step::Discard), discarded, "{step}");
        assert_eq!(stage.script.count(Step::Switch), 0, "{step}");
        assert!(stage.book().await.ledger().await.unwrap().leases.is_empty());
    }
}

#[tokio::test]
async fn every_run_may_end_after_its_first_step() {
    every_run_ends_after_its_first_step(&Stage::new(policy()).await, &Step::FORWARD).await;
}

#[tokio::test]
async fn attack_23_every_run_may_end_after_its_first_step_where_what_is_admitted_is_attested() {
    let stage = Stage::new(attesting(policy(), "staging")).await;
    stage.script.keys.lock().unwrap().push(key("staging"));
    every_run_ends_after_its_first_step(&stage, &Step::ATTESTING).await;
    // However often a run was cut off, there is one statement of each kind.
    let attached = stage.script.attached.lock().unwrap();
    let says = |text| attached.iter().filter(|(.., artifact)| artifact_says(artifact, text)).count();
    assert_eq!((says("ADMITTED_TO_STAGING"), says("VERIFIED_IN_STAGING"), attached.len()), (1, 1, 2));
}

/// A new run of the program for every step: it takes the lease over, commits one more thing, and is gone.
async fn every_run_ends_after_its_first_step(stage: &Stage, steps: &[Step]) {
    stage.build(1).await;
    let id = stage.ask(Kind::Promote, 1, "staging").await;
    let mut runs = 0;
    loop {
        runs += 1;
        let name = format!("run-{runs}");
        let (book, world) = (stage.book().await, stage.world(&name));
        let before = book.ledger().await.unwrap().size;
        let worker = sealift_engine::worker::Worker::new(&book, &world, &(), Default::default());
        let observer = stage.book().await;
        let moved = async {
            while observer.ledger().await.unwrap().size < before + 2 {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::select! {
            biased;
            () = moved => None,
            status = worker.run(id) => Some(status.unwrap()),
        };
        stage.gone.lock().unwrap().insert(name);
        if ended == Some(Status::Completed) {
            break;
        }
        assert!(runs < 60, "it does not get on");
    }
    assert!(runs > 10, "{runs} runs");
    for step in steps {
        assert!(stage.script.count(*step) >= 1, "{step}");
    }
}
