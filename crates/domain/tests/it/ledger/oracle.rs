//! What must be so, kept apart from the ledger and by other means, and compared after every entry.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealift_domain::{
    event::{Event, PromotionChanged},
    freeze::HoldScope,
    ledger::Ledger,
    name::{ChannelName, EnvironmentName},
    notice::NoticeKind,
    offline::Outcome,
    promotion::{Done, Ended, Kind, Promotion, PromotionEvent, PromotionId, Stage, Status, Step, Wait},
    release::Release,
    undo::{Observed, Undo},
};

use super::values::{labels_of, production, staging};

#[derive(Default)]
pub(super) struct Oracle {
    /// Releases that passed a verification in staging; a baseline did not.
    verified_in_staging: BTreeSet<Release>,
    /// Releases that were recorded in production, or verified there.
    known_in_production: BTreeSet<Release>,
    undo: BTreeMap<PromotionId, Undo>,
    fences: BTreeMap<EnvironmentName, u64>,
    /// What each channel has still to be told.
    untold: BTreeMap<u64, (PromotionId, NoticeKind, BTreeSet<ChannelName>)>,
    /// What each database is at, and the oldest schema that works on it.
    databases: BTreeMap<EnvironmentName, (u64, u64)>,
    /// How often a release was not brought back because of the database, and how often one was on a labelled database.
    pub(super) past_database: usize,
    pub(super) restored_on_migrated: usize,
    pub(super) reached: BTreeSet<Status>,
    pub(super) switched_in_production: Vec<Kind>,
}

/// The state that a promotion is in, as far as anybody wants to be told.
fn told_as(promotion: &Promotion) -> Option<NoticeKind> {
    Some(match &promotion.stage {
        Stage::Waiting(Wait::Approval { .. }) => NoticeKind::ApprovalWanted,
        Stage::Forward { step: Step::Copy, cancel: None } => NoticeKind::Started,
        Stage::Ended(Ended::Completed { .. }) => NoticeKind::Completed,
        Stage::Ended(Ended::Failed { .. }) => NoticeKind::Failed,
        Stage::Ended(Ended::RolledBack { .. }) => NoticeKind::RolledBack,
        Stage::Ended(Ended::Cancelled { .. }) => NoticeKind::Cancelled,
        Stage::Ended(Ended::Stuck { .. }) => NoticeKind::Stuck,
        _ => return None,
    })
}

impl Oracle {
    /// Looks at an entry that was taken, with the ledger before and after it.
    pub(super) fn watch(
        &mut self,
        index: u64,
        now: Timestamp,
        before: &Ledger,
        event: &Event,
        after: &Ledger,
        labelled: bool,
    ) {
        if labelled {
            self.database(before, event, after);
        }
        match event {
            Event::DeploymentRecorded(recorded) if recorded.environment == production() => {
                self.known_in_production.insert(recorded.release.clone());
            }
            Event::VerificationRecorded(recorded) if recorded.passed => {
                self.verified(&recorded.environment, &recorded.release);
            }
            Event::Promotion(changed) => self.promotion(index, now, before, changed, after),
            Event::OfflineRollback(rollback) => {
                let to = &rollback.environment;
                let live = after.environments[to].live.as_ref().map(|live| live.release.clone());
                if let (true, Observed::Running { release, .. }) = (rollback.moved(), &rollback.running) {
                    assert_eq!(live.as_ref(), Some(release), "what ran at the end is live");
                    if *to == production() {
                        self.known_in_production.insert(release.clone());
                    }
                }
                if let Outcome::Verified { .. } = rollback.outcome {
                    self.verified(to, &rollback.to);
                }
                assert!(!after.leases.contains_key(to), "whoever worked there takes a new lease");
                let open = before.promotions.values().filter(|p| p.to == rollback.environment && !p.has_ended());
                for was in open {
                    self.tell(index, was, &after.promotions[&was.id], after);
                }
            }
            Event::LeaseTaken(taken) => {
                let earlier = self.fences.insert(taken.environment.clone(), index);
                assert!(earlier.is_none_or(|earlier| earlier < index), "fencing numbers only grow");
                assert_eq!(after.leases[&taken.environment].fence, index);
            }
            Event::NoticeDelivered(receipt) | Event::NoticeRefused(receipt) => {
                let (_, _, channels) = self.untold.get_mut(&receipt.notice).unwrap();
                assert!(channels.remove(&receipt.channel), "a channel took a notice twice");
                self.untold.retain(|_, (_, _, channels)| !channels.is_empty());
            }
            _ => {}
        }
        self.always(after);
    }

    /// Keeps what each database is at, by the labels of the releases and not by what the ledger took from them.
    fn database(&mut self, before: &Ledger, event: &Event, after: &Ledger) {
        match event {
            Event::DatabaseRecorded(recorded) => {
                let schema = (recorded.schema.at(), recorded.schema.compatible_from());
                self.databases.insert(recorded.environment.clone(), schema);
            }
            Event::DeploymentRecorded(recorded) => {
                let known = self.databases.get(&recorded.environment).map_or(-1, |(at, _)| i128::from(*at));
                let said = labels_of(&recorded.release).filter(|(at, _)| i128::from(*at) > known);
                self.databases.extend(said.map(|said| (recorded.environment.clone(), said)));
            }
            Event::OfflineRollback(rollback) if rollback.moved() => {
                let known = self.databases.get(&rollback.environment).map_or(-1, |(at, _)| i128::from(*at));
                let said = labels_of(&rollback.to).filter(|(at, _)| i128::from(*at) > known);
                self.databases.extend(said.map(|said| (rollback.environment.clone(), said)));
            }
            Event::Promotion(changed) => self.promotion_on_database(before, changed, after),
            _ => {}
        }
        for (name, record) in &after.environments {
            let database = record.database.as_ref().map(|database| database.fact);
            let database = database.map(|database| (database.at(), database.compatible_from()));
            assert_eq!(database.as_ref(), self.databases.get(name), "the database of {name} after {event:?}");
        }
    }

    fn promotion_on_database(&mut self, before: &Ledger, changed: &PromotionChanged, after: &Ledger) {
        let Some(was) = before.promotions.get(&changed.promotion) else { return };
        let is = &after.promotions[&changed.promotion];
        let said = labels_of(&is.release);
        let works = |said: Option<(u64, u64)>, (at, from): (u64, u64)| match said {
            Some((expects, _)) => from <= expects && expects <= at,
            None => from == 0,
        };
        let database = self.databases.get(&is.to).copied();
        if was.status() == Status::Pending
            && is.status() == Status::InProgress
            && let Some((at, from)) = database
        {
            match is.kind {
                Kind::Rollback => assert!(works(said, (at, from)), "{} goes back to {said:?} on {at}, {from}", is.id),
                Kind::Promote => {
                    assert!(said.map_or(at == 0, |(expects, _)| expects >= from), "{said:?} on {at}, {from}")
                }
            }
        }
        // A migration, or a start, that began: whether or not it came to an end. A first release that is live counts too.
        let began = match &changed.change {
            PromotionEvent::Done(Done::Migrate { ran, .. }) => *ran && is.kind == Kind::Promote,
            PromotionEvent::Done(Done::Prepare { .. }) => is.kind == Kind::Promote,
            PromotionEvent::Failed { step: Step::Migrate | Step::Prepare, untouched, .. } => {
                !untouched && is.kind == Kind::Promote
            }
            PromotionEvent::Done(Done::Switch { .. }) => database.is_none(),
            _ => false,
        };
        if began && let Some(said) = said.filter(|said| database.is_none_or(|database| said.0 >= database.0)) {
            self.databases.insert(is.to.clone(), said);
        }
        let Some(database) = self.databases.get(&is.to).copied() else { return };
        let previous = match is.undo.as_ref().map(|undo| &undo.previous) {
            Some(Observed::Running { release, .. }) => labels_of(release),
            _ => return,
        };
        match &is.stage {
            Stage::Back { step: Step::Restore, .. } if matches!(was.stage, Stage::Forward { .. }) => {
                assert!(works(previous, database), "{} brings {previous:?} back on {database:?}", is.id);
                self.restored_on_migrated += 1;
            }
            Stage::Ended(Ended::Stuck { blocked, .. }) if blocked.code.as_str() == "E0420" => {
                assert!(!works(previous, database), "{} is stuck, and {previous:?} works on {database:?}", is.id);
                self.past_database += 1;
            }
            _ => {}
        }
    }

    fn verified(&mut self, environment: &EnvironmentName, release: &Release) {
        let known =
            if *environment == staging() { &mut self.verified_in_staging } else { &mut self.known_in_production };
        known.insert(release.clone());
    }

    fn promotion(
        &mut self,
        index: u64,
        now: Timestamp,
        ledger: &Ledger,
        changed: &PromotionChanged,
        ledger_after: &Ledger,
    ) {
        let id = changed.promotion;
        let after = &ledger_after.promotions[&id];
        self.reached.insert(after.status());
        let Some(before) = ledger.promotions.get(&id) else {
            assert_eq!((id.0, after.status()), (index, Status::Pending));
            return;
        };
        if let PromotionEvent::Done(done) = &changed.change {
            self.done(done, after, ledger_after);
        }
        if matches!(changed.change, PromotionEvent::Done(_) | PromotionEvent::Failed { .. }) {
            let lease = &ledger.leases[&after.to];
            assert_eq!((changed.lease, lease.promotion), (Some(lease.fence), id), "a step without its lease");
        }
        if before.status() == Status::Pending && after.status() == Status::InProgress {
            may_enter(now, ledger, after);
        }
        if let PromotionEvent::Failed { step: Step::Switch | Step::Verify, .. } = changed.change {
            is_on_record_as_failed(after, ledger_after);
        }
        if after.status() == Status::Stuck {
            let scope = HoldScope::Environment(after.to.clone());
            assert!(ledger_after.holds.contains_key(&scope), "{id} is stuck and {} is not held", after.to);
        }
        self.tell(index, before, after, ledger);
    }

    fn tell(&mut self, index: u64, before: &Promotion, after: &Promotion, ledger: &Ledger) {
        let kind = told_as(after).filter(|kind| told_as(before) != Some(*kind));
        if let (Some(kind), Some(policy)) = (kind, &ledger.policy) {
            let wants = policy.notify.iter().filter(|(_, kinds)| kinds.contains(&kind));
            let channels: BTreeSet<ChannelName> = wants.map(|(channel, _)| channel.clone()).collect();
            self.untold.insert(index, (after.id, kind, channels));
        }
    }

    fn done(&mut self, done: &Done, promotion: &Promotion, after: &Ledger) {
        let (to, release) = (&promotion.to, &promotion.release);
        match done {
            Done::Switch { .. } => {
                let live = after.environments[to].live.as_ref().unwrap();
                assert_eq!((&live.release, live.promotion), (release, Some(promotion.id)));
                assert!(promotion.undo.is_some(), "switched without a record of what to go back to");
                if *to == production() {
                    self.switched_in_production.push(promotion.kind);
                    let known = match promotion.kind {
                        Kind::Promote => &self.verified_in_staging,
                        Kind::Rollback => &self.known_in_production,
                    };
                    assert!(known.contains(release), "{release} is live in production and was never proven");
                }
            }
            Done::Verify(_) => {
                self.verified(to, release);
                assert_eq!(after.environments[to].verified_now(), Some(release));
                assert!(after.environments[to].known_good.iter().any(|past| past.release == *release));
            }
            Done::ConfirmRestored(_) => {
                let previous = &promotion.undo.as_ref().unwrap().previous;
                let live = after.environments.get(to).and_then(|record| record.live.as_ref());
                match previous {
                    Observed::Running { release, .. } => {
                        self.verified(to, release);
                        assert_eq!(live.map(|live| &live.release), Some(release));
                    }
                    _ => assert_eq!(live, None, "nothing ran before"),
                }
            }
            _ => {}
        }
    }

    /// What is so after any entry.
    fn always(&mut self, ledger: &Ledger) {
        for environment in [staging(), production()] {
            let running: Vec<&Promotion> = ledger
                .promotions
                .values()
                .map(AsRef::as_ref)
                .filter(|p: &&Promotion| p.to == environment && p.status() == Status::InProgress)
                .collect();
            assert!(running.len() <= 1, "{} promotions work on {environment}", running.len());
            assert_eq!(ledger.running_promotion(&environment), running.first().copied());
        }
        let record = ledger.environments.get(&production());
        if let Some(live) = record.and_then(|record| record.live.as_ref()) {
            let known =
                self.verified_in_staging.contains(&live.release) || self.known_in_production.contains(&live.release);
            assert!(known, "{} is live in production and nobody knows it", live.release);
        }
        for (id, promotion) in &ledger.promotions {
            if let Some(undo) = self.undo.get(id) {
                assert_eq!(promotion.undo.as_ref(), Some(undo), "the undo record of {id} was lost");
            }
            if let Some(undo) = &promotion.undo {
                self.undo.insert(*id, undo.clone());
            }
        }
        let pending: BTreeMap<_, _> = ledger
            .outbox
            .pending()
            .map(|(index, n)| (index, (n.promotion, n.kind, n.channels.iter().cloned().collect::<BTreeSet<_>>())))
            .collect();
        assert_eq!(pending, self.untold, "the outbox is not what is still to be told");
    }
}

/// Whether the promotion may go to work, by what the log says and not by what its judgement says.
fn may_enter(now: Timestamp, ledger: &Ledger, promotion: &Promotion) {
    assert_eq!(ledger.leases[&promotion.to].promotion, promotion.id, "work without the lease");
    let held = ledger.holds_on(&promotion.release, &promotion.to);
    let by_digest = held.iter().any(|hold| matches!(hold.scope, HoldScope::Digest(_)));
    assert!(!by_digest, "a held release enters");
    if promotion.kind == Kind::Promote {
        assert_eq!(held, [], "something enters a held environment");
        assert!(
            !ledger.freezes_of(&promotion.to, now).unwrap().iter().any(|freeze| freeze.covers(now)),
            "{} is frozen",
            promotion.to
        );
    }
}

/// A release that failed while it was live is no longer good, and is on hold but for what was live before.
fn is_on_record_as_failed(promotion: &Promotion, ledger: &Ledger) {
    let record = &ledger.environments[&promotion.to];
    let standing = record.standing(&promotion.release).unwrap();
    assert!(standing.verified.is_none() && standing.failed.is_some());
    assert!(record.known_good.iter().all(|past| past.release != promotion.release));
    if promotion.kind == Kind::Rollback {
        return;
    }
    let previous = match promotion.undo.as_ref().map(|undo| &undo.previous) {
        Some(Observed::Running { release, .. }) => Some(release),
        _ => None,
    };
    for (_, digest) in promotion.release.components() {
        let unchanged = previous.is_some_and(|previous| previous.contains(digest));
        assert!(unchanged || ledger.holds.contains_key(&HoldScope::Digest(digest)), "{digest} failed and is not held");
    }
}
