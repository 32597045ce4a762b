//! What people and programs do, in few words, for the examples.

use sealift_domain::{
    event::{DeploymentRecorded, Event, HoldPlaced, VerificationRecorded},
    freeze::{Hold, HoldScope},
    ledger::{EnvironmentRecord, IllegalEntry},
    name::EnvironmentName,
    promotion::{Intent, Kind, PromotionId, Status, Step},
    record::Standing,
    release::Release,
};

use super::{
    engine::Luck,
    values::{accepted, build, digest, policy, release, request, schema, staging},
    world::World,
};

/// A world with a policy that wants no approvals.
pub(super) fn world() -> World {
    let mut world = World::default();
    world.write(accepted(policy(0))).unwrap();
    world
}

impl World {
    pub(super) fn built(&mut self, n: u8) {
        for (_, digest) in release(n).components() {
            self.write(Event::BuildRecorded(build(digest))).unwrap();
        }
    }

    pub(super) fn runs(
        &mut self,
        environment: EnvironmentName,
        release: Release,
        baseline: bool,
    ) -> Result<u64, IllegalEntry> {
        let definition = Some(digest("definition"));
        let labels = self.labels(&release).map(schema);
        self.write(Event::DeploymentRecorded(DeploymentRecorded {
            environment,
            release,
            definition,
            baseline,
            schema: labels,
            report: None,
        }))
    }

    pub(super) fn checked(
        &mut self,
        environment: EnvironmentName,
        release: Release,
        passed: bool,
    ) -> Result<u64, IllegalEntry> {
        let summary = "checked".to_owned();
        self.write(Event::VerificationRecorded(VerificationRecorded { environment, release, passed, summary }))
    }

    /// A promotion of release `n` into staging that is at `step`.
    pub(super) fn at_step(&mut self, n: u8, step: Step) -> PromotionId {
        self.built(n);
        let id = self.request(request(Kind::Promote, staging(), release(n)));
        while !matches!(self.promotion(id).intent(), Intent::Perform(at) if at == step) {
            assert!(!self.promotion(id).has_ended(), "{:?}", self.promotion(id).stage);
            self.advance(id);
        }
        id
    }

    /// One turn, which must lead on: a test does not wait for what never comes.
    pub(super) fn advance(&mut self, id: PromotionId) {
        let before = self.promotion(id).clone();
        self.work(id, Luck::Good);
        assert_ne!(*self.promotion(id), before, "nothing goes on");
    }

    /// Works until the promotion is over.
    pub(super) fn finish(&mut self, id: PromotionId) -> Status {
        while !self.promotion(id).has_ended() {
            self.advance(id);
        }
        self.promotion(id).status()
    }

    pub(super) fn shipped(&mut self, n: u8) -> PromotionId {
        let id = self.at_step(n, Step::Copy);
        assert_eq!(self.finish(id), Status::Completed);
        id
    }

    pub(super) fn record(&self, environment: &EnvironmentName) -> &EnvironmentRecord {
        &self.ledger.environments[environment]
    }

    pub(super) fn standing(&self, n: u8) -> &Standing {
        self.ledger.standing(&staging(), &release(n)).unwrap()
    }

    pub(super) fn live(&self) -> Option<&Release> {
        self.record(&staging()).live.as_ref().map(|live| &live.release)
    }

    pub(super) fn hold(&mut self, scope: HoldScope) {
        self.write(Event::HoldPlaced(HoldPlaced {
            hold: Hold { scope, reason: "broken".into(), by: None },
            proof: None,
        }))
        .unwrap();
    }
}

pub(super) fn app(n: u8) -> HoldScope {
    HoldScope::Digest(digest(&format!("app {n}")))
}

pub(super) fn worker(n: u8) -> HoldScope {
    HoldScope::Digest(digest(&format!("worker {}", n / 4)))
}

pub(super) const FAILS: Luck = Luck::Fails { automatic: true };
