//! What cannot follow what.

use sealift_domain::{
    event::{Event, FreezeLifted, HoldReleased, LeaseReleased, NoticeReceipt, PromotionChanged},
    ledger::{IllegalEntry, Lease, Ledger},
    promotion::{Done, Kind, PromotionEvent, PromotionId, Status, Step},
    undo::Observed,
};

use super::{
    engine::{Luck, done, judge},
    steps::{app, world},
    values::{NOBODY, at, build, digest, failure, holder, production, release, request, staging},
    world::{World, through_json},
};

#[test]
fn entries_are_folded_in_order_and_only_once() {
    let mut ledger = Ledger::default();
    let event = || Event::BuildRecorded(build(digest("a")));
    let refused = ledger.apply(1, at(0), digest("body"), event()).unwrap_err();
    assert_eq!(refused, IllegalEntry::OutOfOrder { index: 1, size: 0 });
    assert_eq!(refused.to_string(), "entry 1 cannot follow after 0 entries");
    ledger.apply(0, at(0), digest("body"), event()).unwrap();
    assert!(ledger.apply(0, at(0), digest("body"), event()).is_err());
    let built = &ledger.builds[&digest("a")];
    assert_eq!((built.at, built.receipt, built.fact.digest), (at(0), digest("body"), digest("a")));
    assert_eq!((ledger.newest_build, ledger.size), (Some(digest("a")), 1));
}

#[test]
fn a_request_bears_its_own_index() {
    let mut world = world();
    let change = PromotionEvent::Requested(request(Kind::Promote, staging(), release(1)));
    let refused = world.change(PromotionId(7), change);
    assert_eq!(refused, Err(IllegalEntry::Misnumbered { index: 1, id: PromotionId(7) }));
    assert_eq!(world.change(NOBODY, PromotionEvent::Lapsed), Err(IllegalEntry::NoPromotion(NOBODY)));
}

#[test]
fn only_what_is_there_can_be_taken_away() {
    let mut world = world();
    let reason = || "no".to_owned();
    let receipt = |channel: &str| NoticeReceipt { notice: 1, channel: channel.parse().unwrap(), detail: None };
    for (event, words) in [
        (
            Event::HoldReleased(HoldReleased { scope: app(1), reason: reason(), by: None, proof: None }),
            "a hold on sha256:",
        ),
        (Event::FreezeLifted(FreezeLifted { environment: staging(), reason: reason() }), "a freeze of staging"),
        (Event::NoticeDelivered(receipt("chat")), "notice 1 to chat"),
        (Event::NoticeRefused(receipt("chat")), "notice 1 to chat"),
    ] {
        let refused = world.write(event).unwrap_err().to_string();
        assert!(refused.starts_with(words) && refused.ends_with(" is not there"), "{refused}");
    }
    let released = LeaseReleased { environment: staging(), lease: 3 };
    assert_eq!(world.write(Event::LeaseReleased(released)), Err(IllegalEntry::NoLease(3)));
}

#[test]
fn a_lease_is_given_back_only_by_its_number() {
    let mut world = world();
    let id = world.request(request(Kind::Promote, staging(), release(1)));
    let fence = world.take(staging(), id).unwrap();
    let release = |lease| Event::LeaseReleased(LeaseReleased { environment: staging(), lease });
    assert_eq!(world.write(release(fence + 1)), Err(IllegalEntry::NoLease(fence + 1)));
    world.write(release(fence)).unwrap();
    assert_eq!(world.fence(id), None);
}

#[test]
fn an_environment_is_taken_for_one_promotion_at_a_time() {
    let mut world = world();
    let first = world.request(request(Kind::Promote, staging(), release(1)));
    let second = world.request(request(Kind::Promote, staging(), release(2)));
    world.take(staging(), first).unwrap();
    let held = Err(IllegalEntry::Held { environment: "staging".into(), other: first });
    assert_eq!(world.take(staging(), second), held);
    assert!(world.take(staging(), first).is_ok(), "another run may take over the same promotion");
    world.take(production(), second).unwrap();
    world.change(first, PromotionEvent::Withdrawn { by: None, reason: "no".into() }).unwrap();
    assert!(world.take(staging(), second).is_ok(), "what is over holds nothing");
}

#[test]
fn whoever_gives_the_lease_back_in_the_middle_keeps_the_environment() {
    let mut world = world();
    let first = world.at_step(1, Step::Copy);
    world.give_back(staging()).unwrap();
    let second = world.request(request(Kind::Promote, staging(), release(1)));
    let held = IllegalEntry::Held { environment: "staging".into(), other: first };
    assert_eq!(world.take(staging(), second), Err(held.clone()));
    assert_eq!(held.to_string(), "promotion 3 holds staging");
    assert_eq!(world.finish(first), Status::Completed, "it is taken up again");
    assert_eq!(world.finish(second), Status::Completed);
}

#[test]
fn work_begins_only_under_the_promotion_s_own_lease() {
    let mut world = world();
    world.built(1);
    let first = world.request(request(Kind::Promote, staging(), release(1)));
    let second = world.request(request(Kind::Promote, staging(), release(1)));
    let admit = |world: &World, id| PromotionEvent::Judged(judge(world, id));
    let without = world.change(first, admit(&world, first)).unwrap_err().to_string();
    assert_eq!(without, "a lease of staging for promotion 3 is not there");
    world.take(staging(), second).unwrap();
    let held = Err(IllegalEntry::Held { environment: "staging".into(), other: second });
    assert_eq!(world.change(first, admit(&world, first)), held);
    assert!(world.change(second, admit(&world, second)).is_ok());
}

#[test]
fn a_step_counts_only_under_the_lease_of_its_promotion_that_is_held_now() {
    let mut world = world();
    let id = world.at_step(1, Step::Copy);
    let old = world.fence(id).unwrap();
    let step = |world: &World, lease| {
        let change = PromotionEvent::Done(done(world, id, Step::Copy, Luck::Good));
        Event::Promotion(Box::new(PromotionChanged { promotion: id, lease, cost: None, change }))
    };
    let new = world.take(staging(), id).unwrap();
    assert_eq!(world.write(step(&world, Some(old))), Err(IllegalEntry::NoLease(old)));
    assert_eq!(world.write(step(&world, None)), Err(IllegalEntry::NoLease(0)));
    let failed =
        PromotionEvent::Failed { step: Step::Copy, failure: failure("late"), automatic: true, untouched: false };
    let late =
        Event::Promotion(Box::new(PromotionChanged { promotion: id, lease: Some(old), cost: None, change: failed }));
    assert_eq!(world.write(late), Err(IllegalEntry::NoLease(old)));
    assert!(world.write(step(&world, Some(new))).is_ok());
    world.give_back(staging()).unwrap();
    let gone = world.change(id, PromotionEvent::Done(done(&world, id, Step::TagImmutable, Luck::Good)));
    assert_eq!(gone, Err(IllegalEntry::NoLease(0)));
}

#[test]
fn a_lease_is_free_for_its_own_run_and_for_all_once_it_is_over() {
    let lease = Lease { fence: 1, promotion: PromotionId(1), holder: holder("a"), expires_at: at(10) };
    assert!(lease.is_free_for("a", at(9)));
    assert!(!lease.is_free_for("b", at(9)));
    assert!(lease.is_free_for("b", at(10)) && lease.is_free_for("b", at(11)));
}

#[test]
fn nothing_is_recorded_as_deployed_while_a_promotion_is_at_work_there() {
    let mut world = world();
    let id = world.at_step(1, Step::Verify);
    let held = Err(IllegalEntry::Held { environment: "staging".into(), other: id });
    assert_eq!(world.runs(staging(), release(2), false), held);
    assert!(world.runs(production(), release(2), true).is_ok());
    assert_eq!(world.finish(id), Status::Completed);
    assert!(world.runs(staging(), release(2), false).is_ok());
}

#[test]
fn a_ledger_survives_json_and_a_broken_one_is_refused() {
    let mut world = world();
    world.shipped(1);
    world.hold(app(9));
    assert_eq!(through_json(&world.ledger), world.ledger);
    let text = serde_json::to_string(&world.ledger).unwrap();
    let promotion = text.find(r#""promotions":{"3":"#).expect("promotions stand under their numbers");
    let bad = |what: &str| format!("{}{what}{}", &text[..promotion + 14], &text[promotion + 17..]);
    assert!(serde_json::from_str::<Ledger>(&bad(r#""3""#)).is_ok());
    let refused = serde_json::from_str::<Ledger>(&bad(r#""x""#)).unwrap_err().to_string();
    assert!(refused.contains("key `x`"), "{refused}");
    let list = format!("{}[]}}", &text[..promotion + 13]);
    let refused = serde_json::from_str::<Ledger>(&list).unwrap_err().to_string();
    assert!(refused.contains("expected a map with numbers as keys"), "{refused}");
    let outbox = text.rfind(r#""outbox":{"#).unwrap() + 10;
    let twice = format!("{}{},{}", &text[..outbox], &text[outbox..text.len() - 2], &text[outbox..]);
    let refused = serde_json::from_str::<Ledger>(&twice).unwrap_err().to_string();
    assert!(refused.contains("twice"), "{refused}");
}

#[test]
fn only_the_fold_so_far_is_a_snapshot() {
    let mut world = world();
    world.shipped(1);
    let mut other = world.ledger.clone();
    other.size -= 1;
    let index = world.ledger.size;
    let refused = world.write(Event::Snapshot(Box::new(other.clone()))).unwrap_err();
    assert_eq!(refused, IllegalEntry::ForeignSnapshot(index));
    assert!(Ledger::from_snapshot(other, index).is_err());
    let begun = Ledger::from_snapshot(world.ledger.clone(), index).unwrap();
    world.write(Event::Snapshot(Box::new(world.ledger.clone()))).unwrap();
    assert_eq!(begun, world.ledger);
}

#[test]
fn what_a_driver_reads_must_be_what_was_to_run() {
    let mut world = world();
    let id = world.at_step(1, Step::Switch);
    let nothing = world.change(id, PromotionEvent::Done(Done::Switch { running: Observed::Nothing }));
    assert!(matches!(nothing, Err(IllegalEntry::Promotion(_))));
    assert!(nothing.unwrap_err().to_string().contains("what runs is not what was switched to"));
    assert!(!world.ledger.environments.contains_key(&staging()), "nothing is live yet");
}
