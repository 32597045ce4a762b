//! Rehearsals over a driver that can be told to fail.

use std::{future::pending, task::Poll};

use sealift_domain::{
    digest::Digest,
    promotion::{Kind, Status, Step},
    release::Release,
};
use sealift_engine::{
    error::EngineError,
    ports::driver::{Candidate, DriverErrorKind},
    rehearse::{Rehearsal, RehearsalError, rehearse},
};

use super::stubs::{Stage, environment, policy, release};

/// A stage with releases 1 and 2 in production, the newer one live, and release 3 verified in staging.
async fn ready() -> Stage {
    let stage = Stage::new(policy()).await;
    stage.bring(1).await;
    stage.bring(2).await;
    stage.build(3).await;
    let id = stage.ask(Kind::Promote, 3, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    // Both environments share the scripted driver; production runs what it ran.
    *stage.script.live.lock().unwrap() = Some((release(2), Digest::of(b"definition")));
    stage.forget();
    stage
}

async fn rehearsed(stage: &Stage, stop: impl Future<Output = ()>) -> Result<Rehearsal, RehearsalError> {
    rehearsed_of(stage, None, stop).await
}

async fn rehearsed_of(
    stage: &Stage,
    named: Option<Release>,
    stop: impl Future<Output = ()>,
) -> Result<Rehearsal, RehearsalError> {
    let (book, world) = (stage.book().await, stage.world("rehearsal"));
    let before = book.ledger().await.unwrap();
    let result = rehearse(&book, &world, &(), &environment("production"), named, stop).await;
    assert_eq!(*book.ledger().await.unwrap(), *before, "a rehearsal writes nothing");
    result
}

fn key(n: u8) -> String {
    format!("rehearse-{}", Digest::of(&[n]).short())
}

fn done(stage: &Stage) -> String {
    stage.script.done.lock().unwrap().join(", ")
}

#[tokio::test]
async fn each_release_is_prepared_anew_and_discarded() {
    let stage = ready().await;
    let found = rehearsed(&stage, pending()).await.unwrap();
    let rollback = found.rollback.unwrap();
    assert_eq!((found.candidate.release, rollback.release), (release(3), release(1)));
    assert!(found.candidate.started && rollback.started);
    assert_eq!(found.notes, ["the migration `migrate` was not run: everything met the database as it is"]);
    let (new, old) = (key(3), key(1));
    assert_eq!(
        done(&stage),
        format!("undo, discard {new}, prepare {new}, discard {new}, discard {old}, prepare {old}, discard {old}, undo")
    );
}

#[tokio::test]
async fn what_never_gets_up_is_discarded_and_no_rollback_is_tried() {
    let stage = ready().await;
    stage.fail(Step::Prepare, 1);
    let failed = rehearsed(&stage, pending()).await.unwrap_err();
    let RehearsalError::NotUp { called, error, left: None } = failed else { panic!("{failed:?}") };
    assert_eq!((called, error.kind), (Digest::of(&[3]).short(), DriverErrorKind::Unhealthy));
    assert_eq!(error.output, b"last words");
    let new = key(3);
    assert_eq!(done(&stage), format!("undo, discard {new}, prepare {new}, discard {new}"));
}

#[tokio::test]
async fn what_cannot_be_discarded_is_said() {
    let stage = ready().await;
    stage.fail(Step::Discard, u32::MAX);
    let failed = rehearsed(&stage, pending()).await.unwrap_err();
    assert!(matches!(failed, RehearsalError::NotUp { left: Some(_), .. }), "{failed:?}");
    assert_eq!(stage.script.count(Step::Prepare), 0, "nothing is started beside what cannot be removed");
}

#[tokio::test]
async fn an_interruption_removes_what_was_started_and_begins_nothing_more() {
    let stage = ready().await;
    let stopped = rehearsed(&stage, async {}).await.unwrap_err();
    assert!(matches!(stopped, RehearsalError::Interrupted { left: None }), "{stopped:?}");
    assert_eq!(done(&stage), "undo");

    stage.forget();
    let script = stage.script.clone();
    let stop = std::future::poll_fn(move |_| match script.count(Step::Prepare) {
        0 => Poll::Pending,
        _ => Poll::Ready(()),
    });
    let stopped = rehearsed(&stage, stop).await.unwrap_err();
    assert!(matches!(stopped, RehearsalError::Interrupted { left: None }), "{stopped:?}");
    let new = key(3);
    assert_eq!(done(&stage), format!("undo, discard {new}, prepare {new}, discard {new}"));
}

#[tokio::test]
async fn something_else_that_is_live_afterwards_is_no_success() {
    let stage = ready().await;
    let script = stage.script.clone();
    let crash = Box::new(move || drop(script.live.lock().unwrap().take()));
    stage.script.during.lock().unwrap().insert(Step::Prepare, crash);
    let failed = rehearsed(&stage, pending()).await.unwrap_err();
    assert!(matches!(failed, RehearsalError::LiveChanged { .. }), "{failed:?}");
}

#[tokio::test]
async fn how_a_candidate_stands_beside_what_is_live_is_said() {
    let stage = ready().await;
    for (how, started, note) in
        [(Candidate::InPlaceOfKept, true, "made room"), (Candidate::NotStarted, false, "nothing was started")]
    {
        *stage.script.candidate.lock().unwrap() = Some(how);
        let found = rehearsed(&stage, pending()).await.unwrap();
        assert_eq!((found.candidate.started, found.rollback.unwrap().started), (started, started));
        assert!(found.notes.iter().any(|said| said.contains(note)), "{:?}", found.notes);
    }
}

#[tokio::test]
async fn a_promotion_at_work_is_left_alone_and_one_that_waits_is_not_in_the_way() {
    let stage = ready().await;
    let id = stage.ask(Kind::Promote, 3, "production").await;
    rehearsed(&stage, pending()).await.unwrap();
    stage.forget();
    // Its run dies in the middle: the next run of it goes on, and no rehearsal comes between.
    stage.fail(Step::Verify, 0);
    let book = stage.book().await;
    let world = stage.world("run");
    let worker = sealift_engine::worker::Worker::new(&book, &world, &(), Default::default());
    tokio::select! {
        biased;
        status = worker.run(id) => panic!("{status:?}"),
        () = std::future::poll_fn(|_| match stage.script.count(Step::Prepare) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        }) => {}
    }
    stage.forget();
    let refused = rehearsed(&stage, pending()).await.unwrap_err();
    assert!(matches!(&refused, RehearsalError::Engine(EngineError::Held { by, .. }) if *by == id), "{refused:?}");
    assert_eq!(done(&stage), "");
}

#[tokio::test]
async fn a_release_named_by_hand_must_have_an_origin() {
    let stage = ready().await;
    let unknown = rehearsed_of(&stage, Some(release(9)), pending()).await.unwrap_err();
    assert!(matches!(unknown, RehearsalError::Engine(EngineError::NotFound(_))), "{unknown:?}");
    assert_eq!(done(&stage), "");
    let older = rehearsed_of(&stage, Some(release(1)), pending()).await.unwrap();
    assert_eq!(older.candidate.release, release(1));
}
