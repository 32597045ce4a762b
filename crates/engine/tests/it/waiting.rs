//! Conditions, consent, supersession and notices that nobody takes.

use std::collections::BTreeSet;

use sealift_domain::{
    approval::{Approval, Decision as Verdict},
    event::{Event, PromotionChanged},
    policy::{ApprovalRule, Person},
    promotion::{Kind, PromotionEvent, PromotionId, Status, Step},
    quantity::Period,
};
use sealift_engine::{act::Signed, book::Decision, decide, ports::clock::Clock, record};

use super::stubs::{NoSignatures, Stage, environment, nonce, policy, proof};

pub(crate) fn with_approval() -> sealift_domain::policy::Policy {
    let mut policy = policy();
    let lead: sealift_domain::name::Role = "lead".parse().unwrap();
    let person = Person { roles: [lead.clone()].into(), ssh: ["ssh-ed25519 AAAA".to_owned()].into() };
    policy.people.insert("ana".parse().unwrap(), person);
    let rule = ApprovalRule {
        roles: [lead].into(),
        count: 1,
        expires: Period::from_secs(3600),
        not: BTreeSet::new(),
        accepts: ApprovalRule::default_accepts(),
    };
    policy.environments.get_mut(&environment("production")).unwrap().approval = Some(rule);
    policy
}

pub(crate) async fn staged(policy: sealift_domain::policy::Policy) -> Stage {
    let stage = Stage::new(policy).await;
    stage.build(1).await;
    let id = stage.ask(Kind::Promote, 1, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    stage.forget();
    stage
}

pub(crate) async fn approve(stage: &Stage, id: sealift_domain::promotion::PromotionId) {
    let book = stage.book().await;
    let ledger = book.ledger().await.unwrap();
    let statement = decide::statement(
        &ledger,
        id,
        &"ana".parse().unwrap(),
        (Verdict::Approve, None),
        stage.clock.now(),
        nonce("n"),
    )
    .unwrap();
    let bytes = serde_json::to_vec(&statement).unwrap();
    let world = stage.world("approver");
    let signed = sealift_engine::act::Signed { statement: bytes, signature: b"signature".to_vec() };
    assert_eq!(decide::accept(&book, world.signatures.as_ref(), &signed).await.unwrap(), id);
}

#[tokio::test]
async fn a_promotion_waits_for_consent_and_goes_on_with_it() {
    let stage = staged(with_approval()).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    let size = stage.book().await.ledger().await.unwrap().size;
    assert_eq!(stage.run(id).await, Status::Pending);
    assert_eq!(stage.book().await.ledger().await.unwrap().size, size, "asking again writes nothing");
    approve(&stage, id).await;
    assert_eq!(stage.run(id).await, Status::Completed);
    let delivered = stage.script.delivered.lock().unwrap().join(" ");
    let expected = ["approval-wanted", "started", "completed"].map(|kind| format!("{id} promotion.{kind}")).join(" ");
    assert_eq!(delivered, expected);
}

/// Ana signs that she no longer approves; whether that was accepted.
async fn revoke(book: &sealift_engine::book::Book, now: jiff::Timestamp, id: PromotionId) -> Result<(), String> {
    let ledger = book.ledger().await.unwrap();
    let decision = (Verdict::Revoke, None);
    let statement = decide::statement(&ledger, id, &"ana".parse().unwrap(), decision, now, nonce("revokes"));
    let statement = serde_json::to_vec(&statement.map_err(|error| error.to_string())?).unwrap();
    let signed = Signed { statement, signature: b"signature".to_vec() };
    decide::accept(book, &NoSignatures, &signed).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn attack_10_an_approval_that_is_taken_back_while_work_goes_on_ends_it_before_the_switch() {
    for (step, discarded) in [(Step::Copy, 0), (Step::Migrate, 0), (Step::Prepare, 1)] {
        let stage = staged(with_approval()).await;
        let id = stage.ask(Kind::Promote, 1, "production").await;
        assert_eq!(stage.run(id).await, Status::Pending);
        approve(&stage, id).await;
        let (book, now) = (stage.book().await, stage.clock.now());
        let takes_back = Box::new(move || {
            std::thread::scope(|scope| {
                let work = async { revoke(&book, now, id).await.unwrap() };
                scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work));
            });
        });
        stage.script.during.lock().unwrap().insert(step, takes_back);
        assert_eq!(stage.run(id).await, Status::Cancelled, "{step}");
        assert_eq!((stage.script.count(Step::Discard), stage.script.count(Step::Switch)), (discarded, 0), "{step}");
    }
}

#[tokio::test]
async fn attack_10_an_approval_is_not_taken_back_once_the_switch_has_begun() {
    let stage = staged(with_approval()).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    approve(&stage, id).await;
    let (book, now) = (stage.book().await, stage.clock.now());
    let takes_back = Box::new(move || {
        std::thread::scope(|scope| {
            let work = async { revoke(&book, now, id).await.unwrap_err() };
            let refused = scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work)).join().unwrap();
            assert!(refused.contains("roll back instead"), "{refused}");
        });
    });
    stage.script.during.lock().unwrap().insert(Step::Switch, takes_back);
    assert_eq!(stage.run(id).await, Status::Completed);
}

#[tokio::test]
async fn attack_10_an_approval_that_has_expired_is_asked_for_anew() {
    let stage = staged(with_approval()).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    approve(&stage, id).await;
    stage.clock.advance(Period::from_secs(3600));
    assert_ne!(stage.run(id).await, Status::Completed);
    assert_eq!(stage.script.count(Step::Switch), 0);
}

#[tokio::test]
async fn an_approval_is_no_bypass() {
    let stage = staged(with_approval()).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    approve(&stage, id).await;
    let now = stage.clock.now();
    let freeze =
        sealift_domain::freeze::Freeze { from: now, until: Period::from_secs(60).after(now), reason: "sale".into() };
    record::freeze(&stage.book().await, environment("production"), freeze).await.unwrap();
    assert_eq!(stage.run(id).await, Status::Pending);
    assert_eq!(stage.script.count(Step::Copy), 0);
    stage.clock.advance(Period::from_secs(61));
    assert_eq!(stage.run(id).await, Status::Completed, "the approval still counts when the freeze is over");
}

#[tokio::test]
async fn a_request_that_nobody_approves_lapses() {
    let stage = staged(with_approval()).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    stage.clock.advance(Period::from_secs(3599));
    assert_eq!(stage.run(id).await, Status::Pending);
    stage.clock.advance(Period::from_secs(1));
    assert_eq!(stage.run(id).await, Status::Cancelled);
}

#[tokio::test]
async fn a_newer_request_supersedes_a_pending_one() {
    let stage = staged(with_approval()).await;
    let old = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(old).await, Status::Pending);
    stage.build(2).await;
    let id = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    let new = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(new).await, Status::Pending);
    assert_eq!(stage.run(old).await, Status::Cancelled);
    assert_eq!(stage.ask(Kind::Promote, 2, "production").await, new, "the same request is the same promotion");
}

#[tokio::test]
async fn a_soak_is_waited_for() {
    let mut policy = policy();
    policy.environments.get_mut(&environment("production")).unwrap().gates.soak = Some(Period::from_secs(10));
    let stage = staged(policy).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    let (book, world) = (stage.book().await, stage.world("run"));
    let options = sealift_engine::worker::RunOptions { wait: true };
    let worker = sealift_engine::worker::Worker::new(&book, &world, &(), options);
    assert_eq!(worker.run(id).await.unwrap(), Status::Completed);
}

#[tokio::test]
async fn a_notice_that_nobody_takes_is_kept_and_delivered_later_in_order() {
    let stage = staged(policy()).await;
    *stage.script.deaf.lock().unwrap() = true;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    assert_eq!(stage.book().await.ledger().await.unwrap().outbox.pending().count(), 2);
    *stage.script.deaf.lock().unwrap() = false;
    assert_eq!(stage.run(id).await, Status::Completed);
    let delivered = stage.script.delivered.lock().unwrap().clone();
    assert_eq!(delivered, [format!("{id} promotion.started"), format!("{id} promotion.completed")]);
    assert_eq!(stage.book().await.ledger().await.unwrap().outbox.pending().count(), 0);
}

#[tokio::test]
async fn what_cannot_follow_is_never_written() {
    let stage = staged(with_approval()).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    let book = stage.book().await;
    let ledger = book.ledger().await.unwrap();
    let mut statement = decide::statement(
        &ledger,
        id,
        &"ana".parse().unwrap(),
        (Verdict::Approve, None),
        stage.clock.now(),
        nonce("n"),
    )
    .unwrap();
    statement.promotion.0 += 1;
    let approval = Approval { statement, proof: proof(), at: stage.clock.now(), revoked: None };
    let changed =
        PromotionChanged { promotion: id, lease: None, cost: None, change: PromotionEvent::Approved(approval) };
    let event = Event::Promotion(Box::new(changed));
    let refused = book.commit(|_| Ok(Decision { drafts: vec![event.clone().into()], value: () })).await;
    assert!(refused.is_err());
    assert_eq!(book.ledger().await.unwrap().size, ledger.size);
}
