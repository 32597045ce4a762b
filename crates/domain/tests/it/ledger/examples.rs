//! What entries leave in the ledger.

use sealift_domain::{
    cost::{Cost, Rebuild},
    event::{
        Event, FreezeLifted, FreezePlaced, HoldReleased, NoticeReceipt, PolicyProposed, PolicyRejected, PolicySigned,
        RebuildMeasured,
    },
    freeze::{Freeze, FreezeRule, HoldScope},
    personal::{Personal, Salt},
    policy::Contact,
    promotion::{Intent, Kind, Promotion, PromotionEvent, PromotionId, Status, Step},
    quantity::Period,
    record::Grade,
    undo::Observed,
};

use super::{
    engine::Luck,
    steps::{FAILS, app, worker, world},
    values::{
        NOBODY, accepted, at, cost, digest, environment, person, policy, production, proof, release, request, staging,
    },
    world::{World, through_json},
};

#[test]
fn a_release_is_verified_only_where_it_is_live_and_may_fail_at_any_time() {
    let mut world = world();
    let refused = world.checked(staging(), release(1), true).unwrap_err().to_string();
    assert_eq!(refused, format!("{}, live in staging, is not there", release(1)));
    world.runs(staging(), release(1), false).unwrap();
    assert_eq!(world.record(&staging()).verified_now(), None, "deployed is not verified");
    assert!(world.checked(staging(), release(2), true).is_err());
    assert!(world.checked(production(), release(1), true).is_err());
    let entry = world.checked(staging(), release(1), true).unwrap();
    let verified = world.standing(1).verified.clone().unwrap();
    assert_eq!((verified.fact, verified.receipt), (Grade::Verified, world.log[entry as usize].body));
    assert_eq!(world.record(&staging()).verified_now(), Some(&release(1)));
    world.checked(staging(), release(2), false).unwrap();
    let failed = world.standing(2).failed.clone().unwrap();
    assert_eq!((failed.fact.as_str(), world.standing(2).verified.is_none()), ("checked", true));
    assert_eq!(world.record(&staging()).verified_now(), Some(&release(1)));
    world.checked(staging(), release(1), false).unwrap();
    assert_eq!(world.record(&staging()).verified_now(), None);
    assert_eq!(world.record(&staging()).known_good, [], "what failed is nothing to go back to");
}

#[test]
fn verification_holds_while_the_release_is_live_and_begins_anew_when_it_comes_back() {
    let mut world = world();
    world.runs(staging(), release(1), false).unwrap();
    world.checked(staging(), release(1), true).unwrap();
    let first = world.standing(1).verified.clone().unwrap();
    world.pass(100);
    world.checked(staging(), release(1), true).unwrap();
    world.runs(staging(), release(1), false).unwrap();
    assert_eq!(world.standing(1).verified, Some(first.clone()), "the first receipt counts on without a break");
    assert_eq!(world.standing(1).soaked(world.now()).unwrap().as_millis(), 102_000);

    world.runs(staging(), release(2), false).unwrap();
    assert_eq!((world.standing(1).until, &world.standing(1).verified), (Some(world.now()), &Some(first)));
    world.pass(100);
    assert_eq!(world.standing(1).soaked(world.now()).unwrap().as_millis(), 103_000, "it stopped when it was replaced");

    world.runs(staging(), release(1), false).unwrap();
    assert_eq!((world.standing(1).until, &world.standing(1).verified), (None, &None));
    assert_eq!(world.standing(1).soaked(world.now()), None);
    assert!(world.standing(2).until.is_some());
}

#[test]
fn releases_to_go_back_to_stand_once_each_and_the_newest_last() {
    let mut world = world();
    let (one, two) = (world.shipped(1), world.shipped(2));
    let again = world.shipped(1);
    let known: Vec<_> =
        world.record(&staging()).known_good.iter().map(|past| (past.release.clone(), past.promotion)).collect();
    assert_eq!(known, [(release(2), Some(two)), (release(1), Some(again))]);
    assert_ne!(one, again);
}

#[test]
fn a_release_that_fails_its_verification_is_held_and_the_one_before_is_live_again() {
    let mut world = world();
    let first = world.shipped(1);
    let id = world.at_step(2, Step::Verify);
    assert_eq!(world.live(), Some(&release(2)));
    world.work(id, FAILS);
    assert_eq!(world.standing(2).failed.as_ref().unwrap().fact, "it broke");
    assert!(world.ledger.holds.contains_key(&app(2)));
    assert!(!world.ledger.holds.contains_key(&worker(2)), "the worker did not change: it is part of what is live");
    assert!(world.ledger.holds[&app(2)].reason.ends_with("failed in staging: it broke"));
    assert_eq!(world.finish(id), Status::RolledBack);
    let live = world.record(&staging()).live.clone().unwrap();
    assert_eq!((live.release, live.promotion), (release(1), Some(first)));
    assert_eq!(world.record(&staging()).verified_now(), Some(&release(1)), "it was verified again");
    assert_eq!(world.ledger.holds_on(&release(2), &staging()).len(), 1);
    assert_eq!(world.ledger.holds_on(&release(1), &staging()), []);
}

#[test]
fn what_fails_before_the_switch_or_after_the_verification_says_nothing_about_the_release() {
    let mut world = world();
    world.shipped(1);
    let early = world.at_step(2, Step::Prepare);
    world.work(early, FAILS);
    assert_eq!((world.finish(early), world.ledger.holds.len()), (Status::Failed, 0));
    let late = world.at_step(2, Step::MoveTags);
    world.work(late, FAILS);
    assert_eq!((world.finish(late), world.ledger.holds.len()), (Status::RolledBack, 0));
    let standing = world.standing(2);
    assert!(standing.verified.is_some() && standing.failed.is_none() && standing.until.is_some());
}

#[test]
fn a_rollback_that_fails_holds_the_environment_and_not_the_release() {
    let mut world = world();
    world.shipped(1);
    world.shipped(2);
    let back = world.request(request(Kind::Rollback, staging(), release(1)));
    while world.promotion(back).intent() != Intent::Perform(Step::Verify) {
        world.advance(back);
    }
    world.work(back, FAILS);
    assert_eq!(world.promotion(back).status(), Status::Stuck);
    let held: Vec<_> = world.ledger.holds.keys().cloned().collect();
    assert_eq!(held, [HoldScope::Environment(staging())]);
    assert!(world.standing(1).failed.is_some());
}

#[test]
fn a_baseline_is_known_good_and_worth_less_than_a_verification() {
    let mut world = world();
    world.runs(staging(), release(1), true).unwrap();
    let record = world.record(&staging());
    let past = &record.known_good[0];
    assert_eq!((past.grade, &past.release, past.promotion), (Grade::Baseline, &release(1), None));
    assert_eq!((past.definition, past.verified_at), (Some(digest("definition")), world.now()));
    let live = record.live.as_ref().unwrap();
    assert_eq!((live.since, live.definition, live.promotion), (world.now(), Some(digest("definition")), None));
    assert_eq!(world.standing(1).verified.as_ref().unwrap().fact, Grade::Baseline);
    world.checked(staging(), release(1), true).unwrap();
    assert_eq!(world.standing(1).verified.as_ref().unwrap().fact, Grade::Verified);
    world.runs(staging(), release(1), true).unwrap();
    assert_eq!(world.standing(1).verified.as_ref().unwrap().fact, Grade::Verified, "a baseline takes nothing back");
}

#[test]
fn every_component_that_changed_is_held() {
    let mut world = world();
    world.shipped(1);
    let id = world.at_step(5, Step::Switch);
    world.work(id, FAILS);
    assert!(world.ledger.holds.contains_key(&app(5)) && world.ledger.holds.contains_key(&worker(5)));
    assert_eq!(world.finish(id), Status::RolledBack);
}

#[test]
fn where_nothing_ran_before_nothing_runs_after_a_failure() {
    let mut world = world();
    let id = world.at_step(1, Step::Verify);
    assert_eq!(world.promotion(id).undo.as_ref().unwrap().previous, Observed::Nothing);
    world.work(id, FAILS);
    world.work(id, Luck::Good);
    assert_eq!(world.live(), None);
    assert_eq!(world.standing(1).until, Some(world.now()));
    assert_eq!(world.finish(id), Status::Failed);
    assert_eq!(world.record(&staging()).known_good, []);
}

#[test]
fn a_promotion_that_is_stuck_holds_its_environment_but_not_a_way_back() {
    let mut world = world();
    world.shipped(1);
    let id = world.at_step(2, Step::Verify);
    world.work(id, FAILS);
    world.work(id, FAILS);
    assert_eq!(world.promotion(id).status(), Status::Stuck);
    let hold = &world.ledger.holds[&HoldScope::Environment(staging())];
    assert_eq!(hold.reason, format!("promotion {id} is stuck: it broke"));
    let forward = world.request(request(Kind::Promote, staging(), release(1)));
    world.work(forward, Luck::Good);
    assert_eq!(world.promotion(forward).status(), Status::Failed);
    let back = world.request(request(Kind::Rollback, staging(), release(1)));
    assert_eq!(world.finish(back), Status::Completed);
    assert_eq!(world.live(), Some(&release(1)));
}

#[test]
fn holds_and_freezes_are_found_by_what_they_concern() {
    let mut world = world();
    world.hold(app(1));
    world.hold(HoldScope::Environment(production()));
    let scopes = |n, production| {
        let holds = world.ledger.holds_on(&release(n), &environment(production));
        holds.into_iter().map(|hold| hold.scope).collect::<Vec<_>>()
    };
    assert_eq!(scopes(1, false), [app(1)]);
    assert_eq!(scopes(1, true), [app(1), HoldScope::Environment(production())]);
    assert_eq!(scopes(2, false), []);

    let freeze = |reason: &str| Freeze { from: at(0), until: at(10), reason: reason.into() };
    let mut frozen = policy(0);
    frozen.environments.get_mut(&production()).unwrap().freezes = vec![FreezeRule::Once(freeze("declared"))];
    world.write(accepted(frozen)).unwrap();
    world.write(Event::FreezePlaced(FreezePlaced { environment: production(), freeze: freeze("by hand") })).unwrap();
    let reasons = |world: &World, environment| {
        world
            .ledger
            .freezes_of(&environment, world.now())
            .unwrap()
            .into_iter()
            .map(|freeze| freeze.reason)
            .collect::<Vec<_>>()
    };
    assert_eq!(reasons(&world, production()), ["declared", "by hand"]);
    assert_eq!(reasons(&world, staging()), [""; 0]);
    world.write(Event::FreezeLifted(FreezeLifted { environment: production(), reason: "over".into() })).unwrap();
    assert_eq!(reasons(&world, production()), ["declared"]);
    world
        .write(Event::HoldReleased(HoldReleased { scope: app(1), reason: "mended".into(), by: None, proof: None }))
        .unwrap();
    assert_eq!(world.ledger.holds_on(&release(1), &staging()), []);
}

#[test]
fn the_newest_open_promotion_is_found_and_so_is_the_one_at_work() {
    let mut world = world();
    assert_eq!(world.ledger.open_promotion(&staging()), None);
    let first = world.at_step(1, Step::Copy);
    let second = world.request(request(Kind::Promote, staging(), release(2)));
    world.request(request(Kind::Promote, production(), release(2)));
    let id = |promotion: Option<&Promotion>| promotion.map(|p| p.id);
    assert_eq!(id(world.ledger.open_promotion(&staging())), Some(second));
    assert_eq!(id(world.ledger.running_promotion(&staging())), Some(first));
    assert_eq!(id(world.ledger.running_promotion(&production())), None);
    world.change(second, PromotionEvent::Superseded { by: NOBODY }).unwrap();
    assert_eq!(id(world.ledger.open_promotion(&staging())), Some(first));
}

#[test]
fn each_channel_is_told_once_of_what_it_asked_for() {
    let mut world = world();
    world.shipped(1);
    let told: Vec<_> = world.ledger.outbox.pending().map(|(index, notice)| (index, notice.clone())).collect();
    let kinds: Vec<_> = told.iter().map(|(_, notice)| notice.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "completed"]);
    let (index, notice) = &told[0];
    assert_eq!((notice.at, notice.promotion), (world.log[*index as usize].time, PromotionId(3)));
    let receipt = |channel: &str| {
        Event::NoticeDelivered(NoticeReceipt { notice: *index, channel: channel.parse().unwrap(), detail: None })
    };
    assert!(world.write(receipt("mail")).is_err(), "mail did not ask for it");
    world.write(receipt("chat")).unwrap();
    assert!(world.write(receipt("chat")).is_err());
    assert_eq!(world.ledger.outbox.pending().count(), 1);
}

#[test]
fn an_accepted_policy_takes_the_place_of_the_one_before_with_its_contacts() {
    let mut world = world();
    assert_eq!(world.ledger.contacts.len(), 1);
    world.write(accepted(policy(2))).unwrap();
    assert_eq!(world.ledger.policy, Some(policy(2)));
}

#[test]
fn since_when_each_key_is_registered_is_kept_and_people_of_older_policies_were_always_there() {
    let mut world = World::default();
    // A policy as earlier versions accepted it.
    let Event::PolicyAccepted(mut old) = accepted(policy(1)) else { panic!("an acceptance") };
    old.registers = false;
    world.write(Event::PolicyAccepted(old)).unwrap();
    assert!(world.ledger.registered.is_empty() && world.ledger.policy_since.is_none());
    let since = |world: &World, who: &str, key: &str| world.ledger.registered.get(&person(who))?.get(key).copied();

    let mut changed = policy(1);
    changed.people.get_mut(&person("ana")).unwrap().ssh.insert("ana's second".to_owned());
    changed.people.remove(&person("bo"));
    let mut dan = changed.people[&person("ana")].clone();
    dan.ssh = ["dan".to_owned()].into();
    changed.people.insert(person("dan"), dan);
    let first = world.write(accepted(changed)).unwrap();
    assert_eq!((since(&world, "ana", "ana"), since(&world, "ana", "ana's second")), (Some(0), Some(first)));
    assert_eq!((since(&world, "dan", "dan"), since(&world, "bo", "bo")), (Some(first), None));
    assert_eq!(world.ledger.policy_since, Some(first));

    // Whoever was away is registered anew, and so is a key that another person had.
    let second = world.write(accepted(policy(1))).unwrap();
    assert_eq!((since(&world, "ana", "ana"), since(&world, "bo", "bo")), (Some(0), Some(second)));
    let mut swapped = policy(1);
    swapped.people.get_mut(&person("ana")).unwrap().ssh = ["bo".to_owned()].into();
    swapped.people.get_mut(&person("bo")).unwrap().ssh = ["ana".to_owned()].into();
    let third = world.write(accepted(swapped)).unwrap();
    assert_eq!((since(&world, "ana", "bo"), since(&world, "bo", "ana")), (Some(third), Some(third)));
    assert_eq!(through_json(&world.ledger), world.ledger);
}

#[test]
fn a_proposal_is_signed_until_it_is_refused_lapses_or_the_policy_changes() {
    let mut world = world();
    let propose = |world: &mut World| {
        let contact = Contact { email: None, github: Some(Personal::new("ana-acme", Salt([4; 32]))) };
        let proposed = PolicyProposed {
            policy: policy(2),
            contacts: [(person("ana"), contact)].into(),
            by: person("cy"),
            reason: "more eyes".into(),
            proof: proof("cy"),
            expires_at: Period::from_secs(100).after(world.now()),
        };
        world.write(Event::PolicyProposed(Box::new(proposed))).unwrap()
    };
    let sign = |world: &mut World, proposal| {
        world.write(Event::PolicySigned(PolicySigned { proposal, by: person("bo"), proof: proof("bo") }))
    };
    let refuse = |world: &mut World, proposal| {
        let (by, reason, proof) = (person("bo"), "no".to_owned(), proof("bo"));
        world.write(Event::PolicyRejected(PolicyRejected { proposal, by, reason, proof }))
    };
    let first = propose(&mut world);
    sign(&mut world, first).unwrap();
    let open: Vec<_> = world.ledger.open_proposals(world.now()).collect();
    assert_eq!((open[0].id, open[0].accepted_by.keys().collect::<Vec<_>>()), (first, vec![&person("bo")]));
    assert_eq!(through_json(&world.ledger), world.ledger);
    assert_eq!(world.ledger.policy, Some(policy(0)), "a proposal is no policy");
    refuse(&mut world, first).unwrap();
    assert!(refuse(&mut world, first).is_err() && sign(&mut world, first).is_err());

    let second = propose(&mut world);
    world.pass(200);
    assert!(sign(&mut world, second).is_err(), "it has lapsed");
    assert_eq!(world.ledger.open_proposals(world.now()).count(), 0);

    let third = propose(&mut world);
    world.write(accepted(policy(1))).unwrap();
    assert!(sign(&mut world, third).is_err(), "it was a change of another policy");
}

#[test]
fn what_the_steps_of_a_promotion_took_is_added_up_in_the_order_of_the_log() {
    let mut world = world();
    let id = world.shipped(1);
    let written: Vec<Cost> = (0..world.log.len())
        .filter_map(|index| match &world.log[index].event {
            Event::Promotion(changed) if changed.promotion == id => changed.cost,
            _ => None,
        })
        .collect();
    assert_eq!(written.len(), Step::FORWARD.len() - 1, "every step but the copy has one here");
    let sum = written.iter().copied().reduce(|sum, cost| sum + cost);
    assert_eq!(world.promotion(id).cost, sum);
    assert_eq!(sum.unwrap().peak_memory_bytes, written.iter().map(|cost| cost.peak_memory_bytes).max().unwrap());
    assert_eq!(through_json(&world.ledger), world.ledger);
}

#[test]
fn an_environment_keeps_the_rebuild_that_was_measured_last() {
    let mut world = world();
    let measured = |n: u64| {
        let rebuild = Rebuild { command: vec!["docker".into(), "build".into()], cost: cost(n) };
        RebuildMeasured { environment: staging(), rebuild }
    };
    world.write(Event::RebuildMeasured(measured(7))).unwrap();
    let last = world.write(Event::RebuildMeasured(measured(9))).unwrap();
    let kept = world.record(&staging()).rebuild.clone().unwrap();
    assert_eq!((kept.fact.cost, kept.receipt), (cost(9), world.log[last as usize].body));
    assert_eq!((world.record(&staging()).live.is_none(), world.live()), (true, None), "nothing runs because of it");
    assert_eq!(through_json(&world.ledger), world.ledger);
}
