//! What a rollback without the log means for the ledger.

use super::{IllegalEntry, Ledger, Live, apply::At};
use crate::{
    failure::{Code, Failure},
    freeze::{Hold, HoldScope},
    offline::{OfflinePast, OfflineRollback, Outcome},
    promotion::Promotion,
    record::Grade,
    release::Release,
    undo::Observed,
};

/// The code of what ends a promotion whose environment was rolled back without the log.
const ENDED: &str = "E0426";

impl Ledger {
    /// Takes a rollback that has happened: what was restored is live, what was rolled back is held, and promotions into the
    /// environment that were open are over, with their lease.
    pub(super) fn offline_rollback(&mut self, rollback: OfflineRollback, at: At) -> Result<(), IllegalEntry> {
        if let Some(why) = rollback.contradicts_itself() {
            return Err(IllegalEntry::Contradictory(why));
        }
        let to = rollback.environment.clone();
        let Some(statement) = rollback.statement() else { return Err(IllegalEntry::Contradictory("unsigned")) };
        let record = self.environment(&to);
        if record.offline.iter().any(|past| past.statement == statement) {
            return Err(IllegalEntry::Merged(statement));
        }
        let late = self.is_late(&rollback);
        if !late {
            self.end_open(&rollback, at);
        }
        if rollback.moved() && !late {
            self.live_again(&rollback, at);
            self.hold_what_was_left(&rollback, at);
        }
        let past = OfflinePast {
            entry: at.index,
            statement,
            fence: rollback.fence,
            late,
            by: rollback.by,
            reason: rollback.reason,
            from: rollback.from,
            to: rollback.to,
            outcome: rollback.outcome,
            ended_at: rollback.ended_at,
            merged_at: at.time,
            not_entitled: rollback.not_entitled,
        };
        self.environment(&to).offline.push(past);
        Ok(())
    }

    /// Whether another such rollback with a higher number is in the log already. What is live is known from that.
    fn is_late(&self, rollback: &OfflineRollback) -> bool {
        let record = self.environments.get(&rollback.environment);
        record.is_some_and(|record| record.offline.iter().any(|past| past.fence > rollback.fence))
    }

    /// Promotions into the environment that were not over.
    fn end_open(&mut self, rollback: &OfflineRollback, at: At) {
        let open: Vec<_> =
            self.promotions.values().filter(|p| p.to == rollback.environment && !p.has_ended()).cloned().collect();
        let (moved, by) = (rollback.moved(), &rollback.by);
        // The host refuses its number from here on. What is not over is gone on with under another lease.
        self.leases.remove(&rollback.environment);
        for before in open {
            let message = format!("`{by}` rolled {} back without the log", rollback.environment);
            let failure = Failure { code: Code::new(ENDED), message, evidence: vec![rollback.record] };
            let mut after = Promotion::clone(&before);
            if !after.rolled_back_offline(moved, (by, &rollback.reason), failure, at.time) {
                continue;
            }
            if after.notice() != before.notice() {
                self.tell(&after, at);
            }
            self.promotions.insert(after.id, after.into());
        }
    }

    fn live_again(&mut self, rollback: &OfflineRollback, at: At) {
        let record = self.environment(&rollback.environment);
        match &rollback.running {
            Observed::Running { release, definition } => {
                let known = record.known_good.iter().find(|known| known.release == *release);
                let live = Live {
                    release: release.clone(),
                    promotion: known.and_then(|known| known.promotion),
                    since: at.time,
                    definition: definition.or(Some(rollback.definition).filter(|_| *release == rollback.to)),
                    schema: rollback.schema.filter(|_| *release == rollback.to).or_else(|| known?.schema),
                };
                let schema = live.schema;
                record.goes_live(live);
                if let Some(schema) = schema {
                    record.serves_live(schema, at.time, at.body);
                }
            }
            Observed::Nothing | Observed::Unknown { .. } => record.goes_dark(at.time),
        }
        match &rollback.outcome {
            Outcome::Verified { .. } => record.verified(&rollback.to, Grade::Verified, at.time, at.body),
            Outcome::Failing { why } => record.failed(&rollback.to, why.clone(), at.time, at.body),
            Outcome::Unchanged { .. } => {}
        }
    }

    /// The release that somebody did not want live is held as one that failed there, and the environment where it takes a
    /// person.
    fn hold_what_was_left(&mut self, rollback: &OfflineRollback, at: At) {
        let OfflineRollback { environment, by, reason, .. } = rollback;
        let runs = match &rollback.running {
            Observed::Running { release, .. } => Some(release),
            Observed::Nothing | Observed::Unknown { .. } => None,
        };
        if let Some(left) = rollback.from.as_ref().filter(|from| Some(*from) != runs) {
            let why = format!("`{by}` rolled {environment} back from it without the log: {reason}");
            self.environment(environment).failed(left, why.clone(), at.time, at.body);
            // A component that did not change is part of what is live again; holding it would block the way back.
            let stays =
                |digest| runs.is_some_and(|runs: &Release| runs.contains(digest)) || rollback.to.contains(digest);
            for (_, digest) in left.components().filter(|(_, digest)| !stays(*digest)) {
                self.hold(Hold { scope: HoldScope::Digest(digest), reason: why.clone(), by: None });
            }
        }
        if let Outcome::Failing { why } = &rollback.outcome {
            let reason = format!("the rollback that `{by}` made without the log needs a person: {why}");
            self.hold(Hold { scope: HoldScope::Environment(environment.clone()), reason, by: None });
        }
    }
}
