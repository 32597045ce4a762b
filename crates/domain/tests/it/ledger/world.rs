//! A log with its fold, into which entries are written as a store would, and watched by an oracle.

use jiff::Timestamp;
use sealift_domain::{
    digest::Digest,
    entry::{Entry, Leaf},
    event::{Event, LeaseReleased, LeaseTaken, PromotionChanged},
    ledger::{IllegalEntry, Ledger},
    name::EnvironmentName,
    personal::{Personal, Salt},
    promotion::{Promotion, PromotionEvent, PromotionId, Request},
    quantity::Period,
    release::Release,
};

use super::{
    oracle::Oracle,
    values::{at, holder, labels_of},
};

/// What a store keeps of an entry, read back.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) time: Timestamp,
    pub(super) body: Digest,
    pub(super) event: Event,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) ledger: Ledger,
    pub(super) log: Vec<Stored>,
    pub(super) oracle: Oracle,
    /// Whether images carry schema labels.
    pub(super) labelled: bool,
    seconds: u64,
    runs: u64,
}

/// Seals an event and reads it back, which must give the same event.
pub(super) fn store(time: Timestamp, event: &Event) -> Stored {
    let actor = Personal::new("ana@laptop", Salt([9; 32]));
    let sealed = Entry { time, actor, event: event.clone() }.seal().unwrap();
    let leaf = Leaf::parse(&sealed.leaf).unwrap();
    let body = sealed.objects.iter().find(|object| Digest::of(object) == leaf.body).unwrap();
    let read = leaf.event(Some(body)).unwrap();
    assert_eq!((&read, leaf.time, leaf.body), (event, time, sealed.body));
    assert_eq!(leaf.kind, event.kind());
    Stored { time, body: leaf.body, event: read }
}

impl World {
    /// What the images of a release say in this world.
    pub(super) fn labels(&self, release: &Release) -> Option<(u64, u64)> {
        labels_of(release).filter(|_| self.labelled)
    }

    pub(super) fn now(&self) -> Timestamp {
        at(self.seconds)
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
    }

    /// Writes an entry. What is refused must leave everything as it was; what is taken must keep every rule.
    pub(super) fn write(&mut self, event: Event) -> Result<u64, IllegalEntry> {
        self.seconds += 1;
        let index = self.ledger.size;
        let stored = store(self.now(), &event);
        let before = self.ledger.clone();
        match self.ledger.apply(index, stored.time, stored.body, stored.event.clone()) {
            Ok(()) => {
                assert_eq!(self.ledger.size, index + 1);
                self.log.push(stored);
                self.oracle.watch(index, self.now(), &before, &event, &self.ledger, self.labelled);
                Ok(index)
            }
            Err(refused) => {
                assert_eq!(self.ledger, before, "a refused entry changed the ledger");
                Err(refused)
            }
        }
    }

    pub(super) fn request(&mut self, request: Request) -> PromotionId {
        let promotion = PromotionId(self.ledger.size);
        let change = PromotionEvent::Requested(request);
        let written =
            self.write(Event::Promotion(Box::new(PromotionChanged { promotion, lease: None, cost: None, change })));
        assert_eq!(written, Ok(promotion.0));
        promotion
    }

    /// Writes what happened to a promotion, under the lease that its environment has now if it is about a step.
    pub(super) fn change(&mut self, promotion: PromotionId, change: PromotionEvent) -> Result<u64, IllegalEntry> {
        let step = matches!(change, PromotionEvent::Done(_) | PromotionEvent::Failed { .. });
        let lease = self.fence(promotion).filter(|_| step);
        self.write(Event::Promotion(Box::new(PromotionChanged { promotion, lease, cost: None, change })))
    }

    pub(super) fn promotion(&self, id: PromotionId) -> &Promotion {
        &self.ledger.promotions[&id]
    }

    /// The fencing number of the lease on the promotion's environment.
    pub(super) fn fence(&self, id: PromotionId) -> Option<u64> {
        let to = &self.ledger.promotions.get(&id)?.to;
        self.ledger.leases.get(to).map(|lease| lease.fence)
    }

    /// Takes the environment for a promotion, as a run that was never seen before.
    pub(super) fn take(&mut self, environment: EnvironmentName, promotion: PromotionId) -> Result<u64, IllegalEntry> {
        self.runs += 1;
        let holder = holder(&format!("run {}", self.runs));
        let expires_at = Period::from_secs(60).after(self.now());
        self.write(Event::LeaseTaken(LeaseTaken { environment, promotion, holder, expires_at }))
    }

    /// Gives the environment back.
    pub(super) fn give_back(&mut self, environment: EnvironmentName) -> Result<u64, IllegalEntry> {
        let lease = self.ledger.leases.get(&environment).map_or(0, |lease| lease.fence);
        self.write(Event::LeaseReleased(LeaseReleased { environment, lease }))
    }
}

/// Folds a log from the beginning.
pub(super) fn fold(log: &[Stored]) -> Ledger {
    fold_on(Ledger::default(), log)
}

/// Folds what follows onto a ledger.
pub(super) fn fold_on(mut ledger: Ledger, log: &[Stored]) -> Ledger {
    for stored in log {
        ledger.apply(ledger.size, stored.time, stored.body, stored.event.clone()).unwrap();
    }
    ledger
}

/// A ledger as another program would read it.
pub(super) fn through_json(ledger: &Ledger) -> Ledger {
    serde_json::from_str(&serde_json::to_string(ledger).unwrap()).unwrap()
}
