//! The reducer over the whole log.

use std::{ops::Add, sync::Arc};

use jiff::Timestamp;

use super::{EnvironmentRecord, Lease, Ledger, Live, Notice};
use crate::{
    digest::Digest,
    event::{
        DatabaseRecorded, DeploymentRecorded, Event, LeaseReleased, LeaseTaken, PromotionChanged, VerificationRecorded,
    },
    freeze::{Hold, HoldScope},
    name::EnvironmentName,
    promotion::{
        Done, Ended, IllegalEvent, Kind, PAST_DATABASE, Promotion, PromotionEvent, PromotionId, Stage, Status, Step,
        refused_to_switch,
    },
    record::{Grade, Recorded},
    schema::{Expected, Schema},
    undo::Observed,
};

/// How the codes of registries' failures begin in the error catalogue.
const REGISTRY: &str = "E03";

/// An entry that cannot follow what stands before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEntry {
    /// An event cannot happen to its promotion.
    #[error(transparent)]
    Promotion(#[from] IllegalEvent),
    /// A promotion is named that was never requested.
    #[error("promotion {0} was never requested")]
    NoPromotion(PromotionId),
    /// A request does not bear its own index.
    #[error("a request at index {index} calls itself promotion {id}")]
    Misnumbered {
        /// Where it stands.
        index: u64,
        /// What it says.
        id: PromotionId,
    },
    /// Something else has the environment.
    #[error("promotion {other} holds {environment}")]
    Held {
        /// The environment.
        environment: String,
        /// What has it.
        other: PromotionId,
    },
    /// A lease is released that is not held.
    #[error("no lease {0} is held")]
    NoLease(u64),
    /// Nothing of that kind is there to be changed.
    #[error("{0} is not there")]
    Nothing(String),
    /// A rollback without the log says two things that cannot both be so.
    #[error("the rollback without the log contradicts itself: {0}")]
    Contradictory(&'static str),
    /// A rollback without the log is in the log already.
    #[error("the rollback of statement {0} is in the log already")]
    Merged(Digest),
    /// A snapshot differs from the fold of what stands before it.
    #[error("the snapshot at index {0} is not the fold of the entries before it")]
    ForeignSnapshot(u64),
    /// A fact about an environment comes from somebody else than its writer.
    #[error("`{kind}` is a fact about {} and counts only from its writer key: {}", names(environments), found(by.as_ref()))]
    ForeignWriter {
        /// Whose keys may write it: of any of these environments.
        environments: Vec<EnvironmentName>,
        /// What the entry is.
        kind: String,
        /// Whose writer signed it, if one did.
        by: Option<EnvironmentName>,
    },
    /// Entries must be applied in order, from the beginning or from a snapshot.
    #[error("entry {index} cannot follow after {size} entries")]
    OutOfOrder {
        /// What was offered.
        index: u64,
        /// What was folded.
        size: u64,
    },
}

fn names(environments: &[EnvironmentName]) -> String {
    let names: Vec<&str> = environments.iter().map(EnvironmentName::as_str).collect();
    names.join(" or ")
}

fn found(by: Option<&EnvironmentName>) -> String {
    by.map_or("no writer signed the entry".to_owned(), |by| format!("the writer of {by} signed the entry"))
}

/// Where an entry stands, for what its event leaves in the ledger.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) index: u64,
    pub(super) time: Timestamp,
    pub(super) body: Digest,
}

impl Ledger {
    /// A ledger that begins at a snapshot which is entry `index`.
    pub fn from_snapshot(snapshot: Self, index: u64) -> Result<Self, IllegalEntry> {
        if snapshot.size != index {
            return Err(IllegalEntry::ForeignSnapshot(index));
        }
        Ok(Self { size: index + 1, ..snapshot })
    }

    /// Folds entry `index`, which no writer signed, with its time, the digest of its body and its event. On error nothing has changed.
    pub fn apply(&mut self, index: u64, time: Timestamp, body: Digest, event: Event) -> Result<(), IllegalEntry> {
        self.apply_by(index, time, body, event, None)
    }

    /// The same where a writer may have signed it: the environment of that writer's key in the policy in force, after the signature
    /// was verified.
    pub fn apply_by(
        &mut self,
        index: u64,
        time: Timestamp,
        body: Digest,
        event: Event,
        writer: Option<&EnvironmentName>,
    ) -> Result<(), IllegalEntry> {
        if index != self.size {
            return Err(IllegalEntry::OutOfOrder { index, size: self.size });
        }
        self.check_writer(&event, writer)?;
        self.take(At { index, time, body }, event)?;
        self.size += 1;
        Ok(())
    }

    fn take(&mut self, at: At, event: Event) -> Result<(), IllegalEntry> {
        match event {
            Event::PolicyAccepted(accepted) => self.policy_accepted(*accepted, at),
            Event::PolicyProposed(proposed) => self.policy_proposed(*proposed, at),
            Event::PolicySigned(signed) => self.policy_signed(signed, at)?,
            Event::PolicyRejected(rejected) => self.policy_rejected(rejected.proposal)?,
            Event::BuildRecorded(build) => {
                self.newest_build = Some(build.digest);
                let recorded = Recorded { at: at.time, receipt: at.body, fact: build };
                self.builds.insert(recorded.fact.digest, recorded);
            }
            Event::DeploymentRecorded(recorded) => self.deployment_recorded(recorded, at)?,
            Event::DatabaseRecorded(recorded) => self.database_recorded(recorded, at)?,
            Event::VerificationRecorded(recorded) => self.verification_recorded(recorded, at)?,
            Event::OfflineRollback(rollback) => self.offline_rollback(*rollback, at)?,
            Event::EvidenceRecorded(recorded) => {
                let handed_in = self.evidence.entry(recorded.artifact).or_default();
                handed_in.retain(|before| before.fact.object != recorded.object);
                handed_in.push(Recorded { at: at.time, receipt: at.body, fact: recorded });
            }
            Event::RebuildMeasured(measured) => {
                let rebuild = Recorded { at: at.time, receipt: at.body, fact: measured.rebuild };
                self.environment(&measured.environment).rebuild = Some(rebuild);
            }
            Event::Promotion(changed) => self.promotion_changed(*changed, at)?,
            Event::LeaseTaken(taken) => self.lease_taken(taken, at)?,
            Event::LeaseReleased(released) => self.lease_released(&released)?,
            Event::HoldPlaced(placed) => self.hold(placed.hold),
            Event::HoldReleased(released) => {
                if self.holds.remove(&released.scope).is_none() {
                    return Err(IllegalEntry::Nothing(format!("a hold on {}", released.scope)));
                }
            }
            Event::FreezePlaced(placed) => self.freezes.entry(placed.environment).or_default().push(placed.freeze),
            Event::FreezeLifted(lifted) => {
                if self.freezes.remove(&lifted.environment).is_none() {
                    return Err(IllegalEntry::Nothing(format!("a freeze of {}", lifted.environment)));
                }
            }
            Event::NoticeDelivered(receipt) | Event::NoticeRefused(receipt) => {
                if !self.outbox.settle(receipt.notice, &receipt.channel) {
                    return Err(IllegalEntry::Nothing(format!("notice {} to {}", receipt.notice, receipt.channel)));
                }
            }
            Event::Snapshot(snapshot) => {
                if *snapshot != *self {
                    return Err(IllegalEntry::ForeignSnapshot(at.index));
                }
            }
        }
        Ok(())
    }

    pub(super) fn environment(&mut self, name: &EnvironmentName) -> &mut EnvironmentRecord {
        self.environments.entry(name.clone()).or_default()
    }

    fn deployment_recorded(&mut self, recorded: DeploymentRecorded, at: At) -> Result<(), IllegalEntry> {
        let DeploymentRecorded { environment, release, definition, baseline, schema, report: _ } = recorded;
        // What a promotion goes on to verify must be what it switched to.
        self.nothing_runs(&environment)?;
        let record = self.environment(&environment);
        record.goes_live(Live { release: release.clone(), promotion: None, since: at.time, definition, schema });
        if let Some(schema) = schema {
            record.serves_live(schema, at.time, at.body);
        }
        if baseline {
            record.verified(&release, Grade::Baseline, at.time, at.body);
        }
        Ok(())
    }

    fn database_recorded(&mut self, recorded: DatabaseRecorded, at: At) -> Result<(), IllegalEntry> {
        // A promotion under way has on record what the database would be at, and whether there is a way back.
        self.nothing_runs(&recorded.environment)?;
        let database = Recorded { fact: recorded.schema, at: at.time, receipt: at.body };
        self.environment(&recorded.environment).database = Some(database);
        Ok(())
    }

    fn nothing_runs(&self, environment: &EnvironmentName) -> Result<(), IllegalEntry> {
        match self.running_promotion(environment) {
            Some(running) => Err(IllegalEntry::Held { environment: environment.to_string(), other: running.id }),
            None => Ok(()),
        }
    }

    fn verification_recorded(&mut self, recorded: VerificationRecorded, at: At) -> Result<(), IllegalEntry> {
        let live = self.environments.get(&recorded.environment).and_then(|record| record.live.as_ref());
        // Nothing is verified where it does not run; that it failed there is taken at any time.
        if recorded.passed && live.is_none_or(|live| live.release != recorded.release) {
            let what = format!("{}, live in {},", recorded.release, recorded.environment);
            return Err(IllegalEntry::Nothing(what));
        }
        let record = self.environment(&recorded.environment);
        if recorded.passed {
            record.verified(&recorded.release, Grade::Verified, at.time, at.body);
        } else {
            record.failed(&recorded.release, recorded.summary, at.time, at.body);
        }
        Ok(())
    }

    pub(super) fn hold(&mut self, hold: Hold) {
        self.holds.insert(hold.scope.clone(), hold);
    }

    fn lease_taken(&mut self, taken: LeaseTaken, at: At) -> Result<(), IllegalEntry> {
        if let Some(held) = self.leases.get(&taken.environment) {
            let over = self.promotions.get(&held.promotion).is_none_or(|promotion| promotion.has_ended());
            // The same promotion may be taken over: its holder died. Another one must wait for it to end.
            if held.promotion != taken.promotion && !over {
                return Err(IllegalEntry::Held { environment: taken.environment.to_string(), other: held.promotion });
            }
        }
        if let Some(running) = self.running_promotion(&taken.environment).filter(|p| p.id != taken.promotion) {
            return Err(IllegalEntry::Held { environment: taken.environment.to_string(), other: running.id });
        }
        let lease =
            Lease { fence: at.index, promotion: taken.promotion, holder: taken.holder, expires_at: taken.expires_at };
        self.leases.insert(taken.environment, lease);
        Ok(())
    }

    fn lease_released(&mut self, released: &LeaseReleased) -> Result<(), IllegalEntry> {
        match self.leases.get(&released.environment) {
            Some(lease) if lease.fence == released.lease => {
                self.leases.remove(&released.environment);
                Ok(())
            }
            _ => Err(IllegalEntry::NoLease(released.lease)),
        }
    }

    fn promotion_changed(&mut self, changed: PromotionChanged, at: At) -> Result<(), IllegalEntry> {
        let id = changed.promotion;
        if let PromotionEvent::Requested(request) = changed.change {
            if id.0 != at.index {
                return Err(IllegalEntry::Misnumbered { index: at.index, id });
            }
            self.promotions.insert(id, Arc::new(Promotion::request(id, request, at.time)));
            return Ok(());
        }
        let before = self.promotions.get(&id).ok_or(IllegalEntry::NoPromotion(id))?;
        self.under_its_lease(before, &changed)?;
        let mut after = Promotion::clone(before);
        after.apply(changed.change.clone(), at.time)?;
        // The judgement that admits it is what its attestation names.
        if let Some(attested) = &mut after.attested {
            attested.authorised_by.get_or_insert(at.index);
        }
        after.cost = after.cost.into_iter().chain(changed.cost).reduce(Add::add);
        self.one_at_a_time(before, &after)?;
        let told = before.notice();
        if let Some(schema) = after.schema.filter(|_| after.migrated && !before.migrated) {
            self.environments.entry(after.to.clone()).or_default().migrated(schema, at.time, at.body);
        }
        self.leave_traces(&changed.change, &after, at);
        if after.notice() != told {
            self.tell(&after, at);
        }
        self.promotions.insert(id, Arc::new(after));
        Ok(())
    }

    /// A step counts only under the lease that is held now: whoever lost it has nothing more to say.
    fn under_its_lease(&self, promotion: &Promotion, changed: &PromotionChanged) -> Result<(), IllegalEntry> {
        if !matches!(changed.change, PromotionEvent::Done(_) | PromotionEvent::Failed { .. }) {
            return Ok(());
        }
        let lease = self.leases.get(&promotion.to).filter(|lease| lease.promotion == promotion.id);
        let held = lease.map(|lease| lease.fence);
        match changed.lease {
            Some(lease) if held == Some(lease) => Ok(()),
            lease => Err(IllegalEntry::NoLease(lease.unwrap_or_default())),
        }
    }

    /// Work begins only under the environment's lease, so only one promotion works on it.
    fn one_at_a_time(&self, before: &Promotion, after: &Promotion) -> Result<(), IllegalEntry> {
        if before.status() == Status::InProgress || after.status() != Status::InProgress {
            return Ok(());
        }
        let held = |other| IllegalEntry::Held { environment: after.to.to_string(), other };
        match self.leases.get(&after.to) {
            Some(lease) if lease.promotion == after.id => {}
            Some(lease) => return Err(held(lease.promotion)),
            None => return Err(IllegalEntry::Nothing(format!("a lease of {} for promotion {}", after.to, after.id))),
        }
        match self.running_promotion(&after.to) {
            Some(other) if other.id != after.id => Err(held(other.id)),
            _ => Ok(()),
        }
    }

    /// What a promotion's step means for its environment, for holds and for notices.
    fn leave_traces(&mut self, event: &PromotionEvent, after: &Promotion, at: At) {
        match event {
            PromotionEvent::Done(done) => self.step_done(done, after, at),
            // Before the switch, what is attested is read again. Where the registry fails at that, nothing ran and nothing is known
            // against the release.
            PromotionEvent::Failed { step: Step::Switch, failure, .. }
                if after.attested.is_some() && failure.code.as_str().starts_with(REGISTRY) => {}
            // Nor where something stood against the switch.
            PromotionEvent::Failed { step, failure, untouched, .. }
                if refused_to_switch(*step, failure, *untouched) => {}
            // Only what ran and was found wanting counts against the release; a registry that would not move a tag does not.
            PromotionEvent::Failed { step: Step::Switch | Step::Verify, failure, .. } => {
                let record = self.environment(&after.to);
                record.failed(&after.release, failure.message.clone(), at.time, at.body);
                self.hold_release(after, &failure.message);
            }
            _ => {}
        }
        if let Stage::Ended(Ended::Stuck { blocked, .. }) = &after.stage {
            let why = match blocked.code.as_str() {
                PAST_DATABASE => "the release before does not work on the migrated database",
                _ => &blocked.message,
            };
            let reason = format!("promotion {} is stuck: {why}", after.id);
            self.hold(Hold { scope: HoldScope::Environment(after.to.clone()), reason, by: None });
        }
    }

    fn step_done(&mut self, done: &Done, after: &Promotion, at: At) {
        let to = after.to.clone();
        match done {
            Done::Switch { .. } => {
                let live = Live {
                    release: after.release.clone(),
                    promotion: Some(after.id),
                    since: at.time,
                    definition: after.definition,
                    schema: after.schema,
                };
                let record = self.environment(&to);
                record.goes_live(live);
                if let Some(schema) = after.schema {
                    record.serves_live(schema, at.time, at.body);
                }
            }
            Done::Verify(_) => self.environment(&to).verified(&after.release, Grade::Verified, at.time, at.body),
            Done::Restore { running: Observed::Running { release, definition } } => {
                let record = self.environment(&to);
                let known = record.known_good.iter().find(|known| known.release == *release);
                let live = Live {
                    release: release.clone(),
                    promotion: known.and_then(|known| known.promotion),
                    since: at.time,
                    definition: *definition,
                    schema: known.and_then(|known| known.schema).or_else(|| restored_schema(after)),
                };
                record.goes_live(live);
            }
            Done::Restore { running: Observed::Nothing } => self.environment(&to).goes_dark(at.time),
            Done::ConfirmRestored(_) => {
                let record = self.environment(&to);
                if let Some(release) = record.live.as_ref().map(|live| live.release.clone()) {
                    record.verified(&release, Grade::Verified, at.time, at.body);
                }
            }
            _ => {}
        }
    }

    /// A release that failed while it was live is not tried again before somebody has looked at it.
    fn hold_release(&mut self, failed: &Promotion, why: &str) {
        if failed.kind == Kind::Rollback {
            return;
        }
        let live_elsewhere = |digest: Digest| {
            let undo = failed.undo.as_ref().map(|undo| &undo.previous);
            matches!(undo, Some(Observed::Running { release, .. }) if release.contains(digest))
        };
        for (_, digest) in failed.release.components() {
            // A component that did not change is part of what was live before; holding it would block the way back.
            if !live_elsewhere(digest) {
                let reason = format!("promotion {} failed in {}: {why}", failed.id, failed.to);
                self.hold(Hold { scope: HoldScope::Digest(digest), reason, by: None });
            }
        }
    }

    pub(super) fn tell(&mut self, after: &Promotion, at: At) {
        let Some(kind) = after.notice() else { return };
        let channels = self.policy.iter().flat_map(|policy| &policy.notify);
        let channels = channels.filter(|(_, on)| on.contains(&kind)).map(|(name, _)| name.clone()).collect();
        self.outbox.put(at.index, Notice { promotion: after.id, kind, at: at.time, channels });
    }
}

/// What the release that a promotion restored expects, as its undo record has it.
fn restored_schema(promotion: &Promotion) -> Option<Schema> {
    match &promotion.undo.as_ref()?.database.as_ref()?.previous {
        Expected::Schema(schema) => Some(*schema),
        Expected::Nothing | Expected::Unreadable(_) => None,
    }
}
