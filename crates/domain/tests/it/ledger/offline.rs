//! What a rollback without the log leaves in the ledger.

use sealift_domain::{
    approval::Proof,
    event::Event,
    failure::Code,
    freeze::HoldScope,
    ledger::IllegalEntry,
    name::EnvironmentName,
    offline::{OfflineRollback, Outcome, not_entitled},
    promotion::{PromotionEvent, Status, Step},
    release::Release,
    undo::Observed,
};

use super::{
    engine::{Luck, done},
    steps::{app, worker, world},
    values::{at, digest, person, policy, production, release, schema, staging},
    world::{World, through_json},
};

/// Ana brought release `to` back in staging, where `from` was live.
fn back(from: u8, to: u8) -> OfflineRollback {
    let name = format!("{from} to {to}");
    OfflineRollback {
        environment: staging(),
        from: Some(release(from)),
        to: release(to),
        running: runs(release(to)),
        outcome: Outcome::Verified { passed: 2 },
        fence: 9,
        schema: None,
        despite_schema: false,
        began_at: at(1),
        ended_at: at(2),
        by: person("ana"),
        reason: "it burns".into(),
        proof: Proof::Sshsig { key: "ana".into(), statement: digest(&name), signature: digest("signature") },
        not_entitled: None,
        record: digest("record"),
        definition: digest("definition"),
    }
}

fn runs(release: Release) -> Observed {
    Observed::Running { release, definition: None }
}

impl World {
    /// Somebody goes back on the host, whatever is under way; only one that contradicts itself is refused.
    pub(super) fn goes_back_offline(&mut self, environment: EnvironmentName, to: u8, ended: u8) {
        let record = self.ledger.environments.get(&environment);
        let from = record.and_then(|record| record.live.as_ref()).map(|live| live.release.clone());
        let to = release(to);
        let (outcome, running) = match (ended, &from) {
            (0, _) => (Outcome::Verified { passed: 1 }, runs(to.clone())),
            (1, _) => (Outcome::Failing { why: "503".into() }, runs(to.clone())),
            (_, Some(from)) => {
                (Outcome::Unchanged { code: Code::new("E0503"), why: "it ended".into() }, runs(from.clone()))
            }
            (_, None) => (Outcome::Unchanged { code: Code::new("E0503"), why: "it ended".into() }, Observed::Nothing),
        };
        let statement = digest(&format!("offline {}", self.ledger.size));
        let proof = Proof::Sshsig { key: "ana".into(), statement, signature: digest("signature") };
        let schema = self.labels(&to).map(schema);
        let makes_sense = from.as_ref() != Some(&to);
        let rollback = OfflineRollback { environment, from, to, running, outcome, proof, schema, ..back(2, 1) };
        assert_eq!(write(self, rollback).is_ok(), makes_sense);
    }
}

fn write(world: &mut World, rollback: OfflineRollback) -> Result<u64, IllegalEntry> {
    world.write(Event::OfflineRollback(Box::new(rollback)))
}

#[test]
fn what_was_restored_is_live_and_what_was_gone_back_from_is_held() {
    let mut world = world();
    let (first, _) = (world.shipped(1), world.shipped(2));
    let entry = write(&mut world, back(2, 1)).unwrap();
    let record = world.record(&staging());
    let live = record.live.clone().unwrap();
    assert_eq!((live.release, live.promotion, live.definition), (release(1), Some(first), Some(digest("definition"))));
    assert_eq!(record.verified_now(), Some(&release(1)));
    assert_eq!(record.known_good.iter().map(|past| &past.release).collect::<Vec<_>>(), [&release(1)]);
    assert!(world.standing(2).failed.as_ref().unwrap().fact.contains("it burns"));
    assert!(world.ledger.holds.contains_key(&app(2)));
    assert!(!world.ledger.holds.contains_key(&worker(2)), "the worker did not change: it is part of what is live");
    assert!(!world.ledger.holds.contains_key(&HoldScope::Environment(staging())));
    let past = &record.offline[0];
    assert_eq!((past.entry, past.by.as_str(), past.reason.as_str()), (entry, "ana", "it burns"));
    assert_eq!(through_json(&world.ledger), world.ledger);
}

#[test]
fn attack_28_a_rollback_without_the_log_comes_in_once_and_only_if_it_holds_together() {
    let mut world = world();
    world.shipped(1);
    world.shipped(2);
    let unsigned = Proof::Oidc { token: digest("token"), keys: digest("keys") };
    let unchanged = Outcome::Unchanged { code: Code::new("E0503"), why: "it ended".into() };
    let contradictory = [
        OfflineRollback { proof: unsigned, ..back(2, 1) },
        back(1, 1),
        OfflineRollback { running: runs(release(2)), ..back(2, 1) },
        OfflineRollback { running: Observed::Nothing, ..back(2, 1) },
        OfflineRollback { outcome: unchanged, ..back(2, 1) },
    ];
    for rollback in contradictory {
        let refused = write(&mut world, rollback.clone()).unwrap_err();
        assert!(matches!(refused, IllegalEntry::Contradictory(_)), "{rollback:?}: {refused}");
    }
    write(&mut world, back(2, 1)).unwrap();
    assert_eq!(write(&mut world, back(2, 1)).unwrap_err(), IllegalEntry::Merged(digest("2 to 1")));
}

#[test]
fn a_promotion_that_was_live_ends_as_rolled_back_and_its_lease_with_it() {
    for step in [Step::Switch, Step::Verify, Step::MoveTags, Step::Retire] {
        let mut world = world();
        world.shipped(1);
        let id = world.at_step(2, step);
        write(&mut world, back(2, 1)).unwrap();
        assert_eq!(world.promotion(id).status(), Status::RolledBack, "{step}");
        assert!(world.ledger.leases.is_empty(), "{step}");
        assert_eq!(world.live(), Some(&release(1)), "{step}");
        // Whoever worked on it has nothing more to say, and the next one goes through.
        let done = PromotionEvent::Done(done(&world, id, step, Luck::Good));
        assert!(world.change(id, done).is_err(), "{step}");
        world.shipped(3);
    }
}

#[test]
fn a_promotion_that_touched_nothing_live_ends_as_failed() {
    for step in [Step::Copy, Step::RecordUndo, Step::Prepare] {
        let mut world = world();
        world.shipped(1);
        world.shipped(2);
        let id = world.at_step(3, step);
        write(&mut world, back(2, 1)).unwrap();
        assert_eq!(world.promotion(id).status(), Status::Failed, "{step}");
        assert!(world.ledger.leases.is_empty() && !world.ledger.holds.contains_key(&app(3)), "{step}");
    }
}

#[test]
fn one_that_changed_nothing_changes_nothing_but_the_record() {
    let mut world = world();
    world.shipped(1);
    world.shipped(2);
    let outcome = Outcome::Unchanged { code: Code::new("E0503"), why: "it ended".into() };
    write(&mut world, OfflineRollback { outcome, running: runs(release(2)), ..back(2, 1) }).unwrap();
    assert_eq!((world.live(), world.ledger.holds.len()), (Some(&release(2)), 0));
    assert_eq!(world.record(&staging()).verified_now(), Some(&release(2)));
    assert_eq!(world.record(&staging()).offline.len(), 1);
}

#[test]
fn one_that_needs_a_person_holds_the_environment() {
    let runnings = [runs(release(1)), Observed::Nothing, Observed::Unknown { what: "a shell".into() }];
    for running in runnings {
        let mut world = world();
        world.shipped(1);
        world.shipped(2);
        let outcome = Outcome::Failing { why: "503".into() };
        write(&mut world, OfflineRollback { outcome, running: running.clone(), ..back(2, 1) }).unwrap();
        assert!(world.ledger.holds.contains_key(&HoldScope::Environment(staging())), "{running:?}");
        let live = matches!(running, Observed::Running { .. }).then(|| release(1));
        assert_eq!(world.live(), live.as_ref());
        assert_eq!(world.record(&staging()).verified_now(), None);
        assert!(world.standing(1).failed.is_some() && world.standing(2).failed.is_some());
    }
}

#[test]
fn it_takes_a_role_that_approves_there() {
    let mut policy = policy(1);
    policy.people.get_mut(&person("bo")).unwrap().roles = ["developer".parse().unwrap()].into();
    let ask = |environment, who| not_entitled(&policy, &environment, &person(who));
    assert_eq!(ask(production(), "ana"), None);
    assert!(ask(production(), "bo").unwrap().contains("it takes lead"));
    assert_eq!(ask(staging(), "bo"), None, "nobody approves there, so anybody of the policy may");
    assert!(ask(staging(), "nobody").unwrap().contains("nobody in the policy"));
    assert!(ask("elsewhere".parse().unwrap(), "ana").unwrap().contains("no environment"));
}
