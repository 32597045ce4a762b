//! Random histories of a pipeline, each entry of which is watched by the oracle.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::Index};
use sealift_domain::{
    approval::Decision,
    event::{
        DatabaseRecorded, DeploymentRecorded, Event, FreezeLifted, FreezePlaced, HoldPlaced, HoldReleased,
        NoticeReceipt, VerificationRecorded,
    },
    freeze::{Freeze, Hold, HoldScope},
    ledger::Ledger,
    promotion::{Kind, PromotionEvent, PromotionId, Requester},
    quantity::Period,
    release::Release,
};

use super::{
    acts::{Act, Word, act},
    engine::{Luck, statement},
    values::{NOBODY, accepted, build, environment, failure, policy, proof, release, request, schema},
    world::{World, fold, fold_on, store, through_json},
};

impl World {
    /// Where nothing else is said, an act may be refused; `write` checks that it then changed nothing.
    fn act(&mut self, act: &Act) {
        match act {
            Act::Build(n) => {
                for (_, digest) in release(*n).components() {
                    self.write(Event::BuildRecorded(build(digest))).unwrap();
                }
            }
            Act::Deploy { production, release: n, baseline } => {
                // Production is only ever entered by promotions here, but for what ran there at first.
                let baseline = *baseline || *production;
                let recorded = DeploymentRecorded {
                    environment: environment(*production),
                    release: release(*n),
                    definition: None,
                    baseline,
                    schema: self.labels(&release(*n)).map(schema),
                    report: None,
                };
                let free = self.ledger.running_promotion(&recorded.environment).is_none();
                assert_eq!(self.write(Event::DeploymentRecorded(recorded)).is_ok(), free);
            }
            Act::Verify { production, release: n, passed } => {
                let (environment, summary) = (environment(*production), "checked by hand".to_owned());
                let recorded = VerificationRecorded { environment, release: release(*n), passed: *passed, summary };
                let live = self.ledger.environments.get(&recorded.environment).and_then(|r| r.live.as_ref());
                let is_live = live.is_some_and(|live| live.release == recorded.release);
                assert_eq!(self.write(Event::VerificationRecorded(recorded)).is_ok(), is_live || !passed);
            }
            Act::Work { production, luck } => luck.iter().for_each(|luck| {
                if let Some(id) = self.open(*production) {
                    self.work(id, *luck);
                }
            }),
            Act::Say { production, what } => self.say(*production, *what),
            Act::Policy(approvals) => drop(self.write(accepted(policy(*approvals))).unwrap()),
            Act::Restore { production, to } => {
                let (environment, reason) = (environment(*production), "restored".to_owned());
                let free = self.ledger.running_promotion(&environment).is_none();
                let recorded = DatabaseRecorded { environment, schema: schema((*to, *to)), reason };
                assert_eq!(self.write(Event::DatabaseRecorded(recorded)).is_ok(), free);
            }
            Act::Offline { production, to, ended } => self.goes_back_offline(environment(*production), *to, *ended),
            Act::Pass(seconds) => self.pass(u64::from(*seconds)),
            Act::Snapshot => self.snapshot(),
            Act::Nonsense => self.nonsense(),
            Act::Request { .. } => self.ask(act),
            Act::Ship { release, luck } => self.ship(*release, luck),
            Act::GoBack { luck } => {
                let record = self.ledger.environments.get(&environment(true));
                if let Some(past) = record.and_then(|record| record.known_good.first()).cloned() {
                    self.try_production(Kind::Rollback, past.release, luck);
                }
            }
            _ => self.operate(act),
        }
    }

    fn ship(&mut self, n: u8, luck: &[Luck]) {
        self.act(&Act::Build(n));
        let staged = self.request(request(Kind::Promote, environment(false), release(n)));
        self.act(&Act::Work { production: false, luck: vec![Luck::Good; 11] });
        self.pass(if self.promotion(staged).has_ended() { 130 } else { 10 });
        self.try_production(Kind::Promote, release(n), luck);
    }

    /// A request that is approved at once, if it may be, and then worked on.
    fn try_production(&mut self, kind: Kind, release: Release, luck: &[Luck]) {
        let id = self.request(request(kind, environment(true), release));
        self.work(id, Luck::Good);
        let approval = statement(self, id, "bo", Decision::Approve);
        let _ = self.change(id, PromotionEvent::Approved(approval));
        luck.iter().for_each(|luck| self.work(id, *luck));
    }

    /// What an engine would go on with: what is in progress, else what is newest.
    fn open(&self, production: bool) -> Option<PromotionId> {
        let to = environment(production);
        let open = self.ledger.running_promotion(&to).or_else(|| self.ledger.open_promotion(&to));
        open.map(|promotion| promotion.id)
    }

    fn ask(&mut self, act: &Act) {
        let Act::Request { production, rollback, release: n, by_hand, unknown } = act else { return };
        let to = environment(*production);
        let (kind, known) = if *rollback {
            let record = self.ledger.environments.get(&to);
            (Kind::Rollback, record.and_then(|r| r.known_good.first()).map(|past| past.release.clone()))
        } else if *production {
            let record = self.ledger.environments.get(&environment(false));
            (Kind::Promote, record.and_then(|r| r.verified_now()).cloned())
        } else {
            (Kind::Promote, None)
        };
        let release = n.map(release).or(known).unwrap_or_else(|| release(0));
        let mut asked = request(kind, to, release);
        asked.by_hand = *by_hand;
        if *unknown {
            asked.requester = Requester::Unknown;
        }
        self.request(asked);
    }

    fn say(&mut self, production: bool, what: Word) {
        let Some(id) = self.open(production) else { return };
        let (by, reason) = (super::values::person("bo"), "no".to_owned());
        let change = match what {
            Word::Approve(who) => PromotionEvent::Approved(statement(self, id, who, Decision::Approve)),
            Word::Reject => PromotionEvent::Rejected { by, reason, proof: proof("bo") },
            Word::Withdraw => PromotionEvent::Withdrawn { by: Some(by), reason },
            Word::Supersede => PromotionEvent::Superseded { by: PromotionId(self.ledger.size) },
            Word::Lapse => PromotionEvent::Lapsed,
        };
        let _ = self.change(id, change);
    }

    fn operate(&mut self, act: &Act) {
        let reason = || "somebody said so".to_owned();
        match act {
            Act::Hold { release: n, production } => {
                let digest = n.map(|n| release(n).components().next().unwrap().1);
                let scope = digest.map_or(HoldScope::Environment(environment(*production)), HoldScope::Digest);
                self.write(Event::HoldPlaced(HoldPlaced {
                    hold: Hold { scope, reason: reason(), by: None },
                    proof: None,
                }))
                .unwrap();
            }
            Act::Unhold(index) if !self.ledger.holds.is_empty() => {
                let scopes: Vec<HoldScope> = self.ledger.holds.keys().cloned().collect();
                let scope = index.get(&scopes).clone();
                self.write(Event::HoldReleased(HoldReleased { scope, reason: reason(), by: None, proof: None }))
                    .unwrap();
            }
            Act::Freeze { production, minutes } => {
                let until = Period::from_secs(10 * u64::from(*minutes)).after(self.now());
                let freeze = Freeze { from: self.now(), until, reason: reason() };
                let placed = FreezePlaced { environment: environment(*production), freeze };
                self.write(Event::FreezePlaced(placed)).unwrap();
            }
            Act::Lift { production } => {
                let environment = environment(*production);
                let frozen = self.ledger.freezes.contains_key(&environment);
                let written = self.write(Event::FreezeLifted(FreezeLifted { environment, reason: reason() }));
                assert_eq!(written.is_ok(), frozen);
            }
            Act::Deliver { notice, taken } => self.deliver(notice, *taken),
            Act::GiveBack { production } => {
                let held = self.ledger.leases.contains_key(&environment(*production));
                assert_eq!(self.give_back(environment(*production)).is_ok(), held);
            }
            Act::Steal { production, by } if !self.ledger.promotions.is_empty() => {
                let ids: Vec<PromotionId> = self.ledger.promotions.keys().copied().collect();
                let _ = self.take(environment(*production), *by.get(&ids));
            }
            _ => {}
        }
    }

    fn deliver(&mut self, index: &Index, taken: bool) {
        let pending: Vec<(u64, _)> = self.ledger.outbox.pending().map(|(at, n)| (at, n.channels[0].clone())).collect();
        if pending.is_empty() {
            return;
        }
        let (notice, channel) = index.get(&pending).clone();
        let receipt = NoticeReceipt { notice, channel, detail: None };
        let event = if taken { Event::NoticeDelivered } else { Event::NoticeRefused };
        self.write(event(receipt.clone())).unwrap();
        assert!(self.write(event(receipt)).is_err(), "a notice is delivered once to each channel");
    }

    fn snapshot(&mut self) {
        let mut false_one = self.ledger.clone();
        false_one.newest_build = Some(super::values::digest("never built"));
        assert!(self.write(Event::Snapshot(Box::new(false_one))).is_err());
        let copy = Box::new(self.ledger.clone());
        self.write(Event::Snapshot(copy)).unwrap();
    }

    /// Entries that are never legal.
    fn nonsense(&mut self) {
        let index = self.ledger.size;
        let change = || PromotionEvent::Withdrawn { by: None, reason: "no".into() };
        assert!(self.change(NOBODY, change()).is_err());
        assert!(
            self.change(NOBODY, PromotionEvent::Requested(request(Kind::Promote, environment(true), release(1))))
                .is_err()
        );
        assert!(self.write(Event::Snapshot(Box::default())).is_err() || index == 0);
        for id in self.ledger.promotions.keys().copied().collect::<Vec<_>>() {
            if self.promotion(id).has_ended() {
                assert!(self.change(id, change()).is_err(), "{id} is over");
                let step = sealift_domain::promotion::Step::Verify;
                let failed =
                    PromotionEvent::Failed { step, failure: failure("late"), automatic: true, untouched: false };
                assert!(self.change(id, failed).is_err(), "{id} is over");
            }
        }
    }
}

/// A history that begins with a policy.
fn history(acts: &[Act], labelled: bool) -> World {
    let mut world = World::default();
    world.labelled = labelled;
    world.write(accepted(policy(1))).unwrap();
    for act in acts {
        world.act(act);
    }
    world
}

fn acts(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), length)
}

/// A quarter of the usual number of cases, which `PROPTEST_CASES` sets: each is a long history.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(4), failure_persistence: None, max_shrink_iters: 4000, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_history_keeps_the_rules_and_folds_to_the_same_ledger(acts in acts(1..80), labelled: bool) {
        let world = history(&acts, labelled);
        prop_assert_eq!(&fold(&world.log), &world.ledger, "folding the log again gives another ledger");
        prop_assert_eq!(&through_json(&world.ledger), &world.ledger);
    }

    #[test]
    fn a_fold_may_begin_at_any_snapshot(acts in acts(1..40), cut in any::<Index>(), labelled: bool) {
        let mut world = history(&acts, labelled);
        world.snapshot();
        let cut = cut.index(world.log.len());
        let there = fold(&world.log[..cut]);
        // A snapshot taken at any point is the fold so far, also as another program reads it.
        let snapshot = store(world.now(), &Event::Snapshot(Box::new(there.clone())));
        let Event::Snapshot(read) = snapshot.event else { panic!("not a snapshot") };
        prop_assert_eq!(&*read, &there);
        prop_assert_eq!(&fold_on(*read, &world.log[cut..]), &world.ledger);
        // A snapshot that stands in the log is a beginning too.
        for (index, stored) in (0u64..).zip(&world.log) {
            if let Event::Snapshot(snapshot) = &stored.event {
                let begun = Ledger::from_snapshot((**snapshot).clone(), index).unwrap();
                prop_assert_eq!(&fold_on(begun, &world.log[index as usize + 1..]), &world.ledger);
                prop_assert!(Ledger::from_snapshot((**snapshot).clone(), index + 1).is_err());
            }
        }
    }
}

/// Histories that never come far would prove nothing: together they must reach every end.
#[test]
fn histories_reach_every_state() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    let mut switched: Vec<Kind> = Vec::new();
    let (mut past_database, mut restored) = (0, 0);
    for number in 0..200 {
        let acts = acts(60..80).new_tree(&mut runner).unwrap().current();
        let world = history(&acts, number % 2 == 0);
        past_database += world.oracle.past_database;
        restored += world.oracle.restored_on_migrated;
        reached.extend(world.oracle.reached.iter().map(|status| status.as_str()));
        switched.extend(&world.oracle.switched_in_production);
    }
    let all = ["Cancelled", "Completed", "Failed", "In progress", "Pending", "Rolled back", "Stuck"];
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), all);
    assert!(past_database > 0, "no release ever failed on a database that the one before does not work on");
    assert!(restored > 0, "no release ever came back on a database that serves it");
    for kind in [Kind::Promote, Kind::Rollback] {
        let times = switched.iter().filter(|switched| **switched == kind).count();
        assert!(times > 2, "production saw {times} of {kind:?}");
    }
}
