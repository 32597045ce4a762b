//! What comes between the admission and the switch is not overlooked.

use sealift_domain::{
    digest::Digest,
    event::{Event, PromotionChanged},
    freeze::{Freeze, HoldScope},
    policy::Policy,
    promotion::{Done, Ended, Kind, PromotionEvent, PromotionId, Stage as At, Status, Step},
    quantity::Period,
};
use sealift_engine::{
    book::Decision,
    init::{self, Acceptance},
    ports::clock::Clock,
    record,
    worker::{RunOptions, Worker},
};

use super::{
    stubs::{NoSignatures, Stage, environment, policy, release},
    waiting::{approve, staged, with_approval},
};

/// Something that happens while a promotion is under way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comes {
    HeldRelease,
    HeldEnvironment,
    Freeze,
    Policy,
    LongAgo,
}

const ALL: [Comes; 5] = [Comes::HeldRelease, Comes::HeldEnvironment, Comes::Freeze, Comes::Policy, Comes::LongAgo];

fn other() -> Policy {
    let mut policy = with_approval();
    policy.source = Some("https://example.com/app".into());
    policy
}

async fn happens(stage: &Stage, what: Comes) {
    let book = stage.book().await;
    let hold = async |scope| record::hold(&book, &NoSignatures, (scope, "wait".to_owned()), None).await.unwrap();
    let now = stage.clock.now();
    match what {
        Comes::HeldRelease => {
            let (_, digest) = release(1).components().next().unwrap();
            hold(HoldScope::Digest(digest)).await;
        }
        Comes::HeldEnvironment => {
            hold(HoldScope::Environment(environment("production"))).await;
        }
        Comes::Freeze => {
            let freeze = Freeze { from: now, until: Period::from_secs(600).after(now), reason: "sale".into() };
            record::freeze(&book, environment("production"), freeze).await.unwrap();
        }
        Comes::Policy => {
            let signed = [Acceptance { signature: b"signature".to_vec() }];
            init::change(&book, &NoSignatures, other(), Default::default(), &signed).await.unwrap();
        }
        Comes::LongAgo => stage.clock.advance(Period::from_secs(3600)),
    }
}

/// Lets something happen while a step runs.
fn during(stage: &std::sync::Arc<Stage>, step: Step, what: Comes) {
    let there = stage.clone();
    let action = Box::new(move || {
        std::thread::scope(|scope| {
            let work = async { happens(&there, what).await };
            scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work));
        });
    });
    stage.script.during.lock().unwrap().insert(step, action);
}

/// A promotion that everybody consented to, and nobody has worked on yet.
async fn consented() -> (std::sync::Arc<Stage>, PromotionId) {
    let stage = staged(with_approval()).await;
    *stage.script.live.lock().unwrap() = None;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    approve(&stage, id).await;
    (std::sync::Arc::new(stage), id)
}

async fn ended_untouched(stage: &Stage, id: PromotionId, of: &str) {
    let ledger = stage.book().await.ledger().await.unwrap();
    let At::Ended(Ended::Failed { failure, .. }) = &ledger.promotions[&id].stage else {
        panic!("{of}: {:?}", ledger.promotions[&id].stage)
    };
    assert_eq!(failure.code.as_str(), "E0404", "{of}: {}", failure.message);
    assert_eq!(stage.script.count(Step::Switch) + stage.script.count(Step::Restore), 0, "{of}");
    assert!(ledger.environments.get(&environment("production")).is_none_or(|record| record.live.is_none()), "{of}");
}

#[tokio::test]
async fn attack_10_what_comes_while_a_promotion_is_under_way_ends_it_before_the_switch() {
    for what in ALL {
        for (step, discarded) in [(Step::Copy, 0), (Step::RecordUndo, 0), (Step::Migrate, 1), (Step::Prepare, 1)] {
            let (stage, id) = consented().await;
            let of = format!("{what:?} during {step}");
            during(&stage, step, what);
            assert_eq!(stage.run(id).await, Status::Failed, "{of}");
            ended_untouched(&stage, id, &of).await;
            assert_eq!(stage.script.count(Step::Discard), discarded, "{of}");
            let holds = stage.book().await.ledger().await.unwrap().holds.len();
            assert_eq!(holds, usize::from(matches!(what, Comes::HeldRelease | Comes::HeldEnvironment)), "{of}");
        }
    }
}

#[tokio::test]
async fn attack_10_a_run_that_goes_on_before_the_switch_looks_whether_it_was_made() {
    for (what, switched) in ALL.into_iter().flat_map(|what| [(what, false), (what, true)]) {
        let (stage, id) = consented().await;
        let of = format!("{what:?}, switched: {switched}");
        let (book, world) = (stage.book().await, stage.world("first"));
        let worker = Worker::new(&book, &world, &(), RunOptions::default());
        let (reached, reach) = tokio::sync::oneshot::channel();
        stage
            .script
            .during
            .lock()
            .unwrap()
            .insert(Step::Prepare, Box::new(move || reached.send(()).unwrap_or_default()));
        // Cut off when the preparation is over and nothing is committed of it: then one more run to the switch.
        tokio::select! {
            biased;
            _ = reach => {}
            status = worker.run(id) => panic!("{of}: it ended: {status:?}"),
        }
        stage.gone.lock().unwrap().insert("first".into());
        drop(worker);
        let prepared = Done::Prepare { definition: Digest::of(b"definition") };
        let ledger = stage.book().await.ledger().await.unwrap();
        let lease = Some(ledger.leases[&environment("production")].fence);
        let changed = PromotionChanged { promotion: id, lease, cost: None, change: PromotionEvent::Done(prepared) };
        let event = Event::Promotion(Box::new(changed));
        let again = || vec![event.clone().into()];
        stage.book().await.commit(|_| Ok(Decision { drafts: again(), value: () })).await.unwrap();
        if switched {
            *stage.script.live.lock().unwrap() = Some((release(1), Digest::of(b"definition")));
        }
        happens(&stage, what).await;
        let status = stage.run_as("second", id).await.unwrap();
        match switched {
            true => assert_eq!(status, Status::Completed, "{of}: only a rollback leads back"),
            false => {
                assert_eq!(status, Status::Failed, "{of}");
                ended_untouched(&stage, id, &of).await;
            }
        }
    }
}

#[tokio::test]
async fn a_freeze_stops_no_rollback_on_its_way() {
    let stage = Stage::new(policy()).await;
    stage.bring(1).await;
    stage.bring(2).await;
    let id = stage.ask(Kind::Rollback, 1, "production").await;
    let stage = std::sync::Arc::new(stage);
    stage.forget();
    during(&stage, Step::Prepare, Comes::Freeze);
    during(&stage, Step::TagImmutable, Comes::HeldEnvironment);
    assert_eq!(stage.run(id).await, Status::Completed);
}
