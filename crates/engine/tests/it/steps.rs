//! Every step fails once, for good, and in every run.

use sealift_domain::promotion::{Ended, Kind, Stage as At, Status, Step};

use super::stubs::{Stage, environment, policy, release};

/// A stage with release 1 in production and release 2 verified in staging.
async fn ready() -> Stage {
    let stage = Stage::new(policy()).await;
    stage.bring(1).await;
    stage.build(2).await;
    let id = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    // Both environments share the scripted driver; production runs what it ran.
    *stage.script.live.lock().unwrap() = Some((release(1), sealift_domain::digest::Digest::of(b"definition")));
    stage.forget();
    stage
}

#[tokio::test]
async fn a_good_release_takes_every_step_once() {
    let stage = ready().await;
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    let done = stage.script.done.lock().unwrap().join(", ");
    let key = format!("p{id}");
    // What runs is read for the undo, and once more when the checks hold.
    assert_eq!(
        done,
        format!("copy, tag, undo, migrate {key}, prepare {key}, switch {key}, verify, undo, move tags, retire {key}")
    );
    assert_eq!(stage.tag("production"), release(2).components().next().map(|(_, d)| d));
    let delivered = stage.script.delivered.lock().unwrap().clone();
    assert_eq!(delivered, [format!("{id} promotion.started"), format!("{id} promotion.completed")]);
    let ledger = stage.book().await.ledger().await.unwrap();
    assert!(ledger.leases.is_empty() && ledger.outbox.pending().next().is_none());
    assert_eq!(stage.run(id).await, Status::Completed, "another run changes nothing");
    assert_eq!(stage.script.done.lock().unwrap().len(), 10);
}

#[tokio::test]
async fn each_failing_step_leads_where_it_must() {
    for step in Step::FORWARD {
        let stage = ready().await;
        stage.fail(step, u32::MAX);
        let id = stage.ask(Kind::Promote, 2, "production").await;
        let status = stage.run(id).await;
        let (expected, runs, notice) = match step {
            Step::Copy | Step::TagImmutable | Step::RecordUndo | Step::Migrate | Step::Prepare => {
                (Status::Failed, 1, "failed")
            }
            Step::Switch | Step::Verify | Step::MoveTags => (Status::RolledBack, 1, "rolled-back"),
            _ => (Status::Completed, 2, "completed"),
        };
        assert_eq!(status, expected, "{step}");
        assert_eq!(stage.script.live.lock().unwrap().clone().unwrap().0, release(runs), "{step}");
        assert_eq!(stage.tag("production"), release(runs).components().next().map(|(_, d)| d), "{step}");
        let delivered = stage.script.delivered.lock().unwrap().clone();
        assert_eq!(delivered, [format!("{id} promotion.started"), format!("{id} promotion.{notice}")], "{step}");
        let ledger = stage.book().await.ledger().await.unwrap();
        assert!(ledger.leases.is_empty(), "{step}");
        let record = &ledger.environments[&environment("production")];
        assert_eq!(record.live.as_ref().map(|live| &live.release), Some(&release(runs)), "{step}");
        assert!(record.verified_now().is_some(), "{step}");
        let held = matches!(step, Step::Switch | Step::Verify);
        assert_eq!(!ledger.holds.is_empty(), held, "{step}");
        assert_eq!(stage.script.count(Step::Discard), usize::from(step == Step::Prepare), "{step}");
        if step == Step::Copy {
            assert_eq!(stage.script.count(Step::Copy), 3, "a copy is tried three times");
        }
    }
}

#[tokio::test]
async fn a_copy_that_works_the_third_time_is_enough() {
    let stage = ready().await;
    stage.fail(Step::Copy, 2);
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    assert_eq!(stage.script.count(Step::Copy), 3);
}

#[tokio::test]
async fn a_way_back_that_fails_is_stuck_and_holds_the_environment() {
    for step in [Step::Restore, Step::ConfirmRestored, Step::RestoreTags] {
        let stage = ready().await;
        stage.fail(if step == Step::RestoreTags { Step::MoveTags } else { Step::Verify }, u32::MAX);
        stage.fail(step, u32::MAX);
        let id = stage.ask(Kind::Promote, 2, "production").await;
        assert_eq!(stage.run(id).await, Status::Stuck, "{step}");
        let ledger = stage.book().await.ledger().await.unwrap();
        let on_hold = ledger.holds_on(&release(3), &environment("production"));
        assert_eq!(on_hold.len(), 1, "{step}");
        let stage = &ledger.promotions[&id].stage;
        assert!(matches!(stage, At::Ended(Ended::Stuck { .. })), "{step}: {stage:?}");
        assert!(ledger.promotions[&id].undo.is_some(), "{step}");
    }
}

#[tokio::test]
async fn a_first_release_that_fails_leaves_nothing_behind() {
    let stage = Stage::new(policy()).await;
    stage.build(1).await;
    stage.fail(Step::Verify, u32::MAX);
    let id = stage.ask(Kind::Promote, 1, "staging").await;
    assert_eq!(stage.run(id).await, Status::Failed);
    assert_eq!(*stage.script.live.lock().unwrap(), None);
    let ledger = stage.book().await.ledger().await.unwrap();
    assert!(ledger.environments[&environment("staging")].live.is_none());
}

#[tokio::test]
async fn without_leave_to_roll_back_a_person_is_needed() {
    let mut policy = policy();
    for rules in policy.environments.values_mut() {
        rules.rollback.automatic = false;
    }
    let stage = Stage::new(policy).await;
    stage.bring(1).await;
    stage.build(2).await;
    stage.fail(Step::Verify, u32::MAX);
    stage.script.live.lock().unwrap().replace((release(1), sealift_domain::digest::Digest::of(b"d")));
    let id = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(id).await, Status::Stuck);
    assert_eq!(stage.script.count(Step::Restore), 0);
}

#[tokio::test]
async fn a_rollback_by_hand_is_a_promotion_and_is_never_rolled_back_by_itself() {
    let stage = ready().await;
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    stage.forget();
    let back = stage.ask(Kind::Rollback, 1, "production").await;
    assert_eq!(stage.run(back).await, Status::Completed);
    assert_eq!(stage.script.count(Step::Migrate), 0, "going back migrates nothing");
    assert_eq!(stage.script.live.lock().unwrap().clone().unwrap().0, release(1));
    assert_eq!(stage.tag("production"), release(1).components().next().map(|(_, d)| d));

    let stage = ready().await;
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    stage.fail(Step::Verify, u32::MAX);
    let back = stage.ask(Kind::Rollback, 1, "production").await;
    assert_eq!(stage.run(back).await, Status::Stuck);
    assert_eq!(stage.script.count(Step::Restore), 0);
}

#[tokio::test]
async fn what_a_failing_release_said_is_kept() {
    let stage = ready().await;
    stage.fail(Step::Verify, u32::MAX);
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::RolledBack);
    let book = stage.book().await;
    let ledger = book.ledger().await.unwrap();
    let At::Ended(Ended::RolledBack { failure }) = &ledger.promotions[&id].stage else { panic!() };
    let mut kept = Vec::new();
    for digest in &failure.evidence {
        kept.push(String::from_utf8(book.object(*digest).await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(kept, ["503", "the log"]);
}
