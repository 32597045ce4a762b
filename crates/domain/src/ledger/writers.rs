//! Who may write what: facts about an environment come from the writer of that environment, where its policy names one.
//!
//! `docs/writers.md` has the same as a table, with the reasons.

use super::{IllegalEntry, Ledger};
use crate::{
    event::{Event, PromotionChanged},
    freeze::HoldScope,
    name::EnvironmentName,
    policy::Policy,
    promotion::{Judgement, Next, PromotionEvent},
};

/// What an entry is a fact about, and so whose writer must have signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// Nothing that an environment's runs alone may say: a person signed it, it carries its own proof, or it only blocks.
    Nobody,
    /// One environment.
    Environment(&'a EnvironmentName),
    /// What enters the pipeline: any environment that comes from nothing.
    First,
    /// The whole pipeline: any environment that nothing comes from.
    Last,
}

impl Ledger {
    /// What an entry is about.
    pub fn about<'a>(&'a self, event: &'a Event) -> About<'a> {
        match event {
            Event::BuildRecorded(_) => About::First,
            Event::DeploymentRecorded(recorded) => About::Environment(&recorded.environment),
            Event::DatabaseRecorded(recorded) => About::Environment(&recorded.environment),
            Event::VerificationRecorded(recorded) => About::Environment(&recorded.environment),
            Event::OfflineRollback(rollback) => About::Environment(&rollback.environment),
            Event::RebuildMeasured(measured) => About::Environment(&measured.environment),
            Event::LeaseTaken(taken) => About::Environment(&taken.environment),
            Event::LeaseReleased(released) => About::Environment(&released.environment),
            Event::FreezePlaced(placed) => About::Environment(&placed.environment),
            Event::FreezeLifted(lifted) => About::Environment(&lifted.environment),
            Event::Promotion(changed) => self.about_promotion(changed),
            Event::HoldReleased(released) => match &released.scope {
                _ if released.proof.is_some() => About::Nobody,
                HoldScope::Environment(environment) => About::Environment(environment),
                HoldScope::Digest(_) => About::Last,
            },
            // Where the policy names people they sign; where it names nobody, nobody could.
            Event::PolicyAccepted(_) => match &self.policy {
                Some(policy) if policy.people.is_empty() => About::Last,
                _ => About::Nobody,
            },
            Event::PolicyProposed(_)
            | Event::PolicySigned(_)
            | Event::PolicyRejected(_)
            | Event::EvidenceRecorded(_)
            | Event::HoldPlaced(_)
            | Event::NoticeDelivered(_)
            | Event::NoticeRefused(_)
            | Event::Snapshot(_) => About::Nobody,
        }
    }

    fn about_promotion<'a>(&'a self, changed: &'a PromotionChanged) -> About<'a> {
        // Of one that was never requested nothing can be said; that is refused elsewhere.
        let Some(promotion) = self.promotions.get(&changed.promotion) else { return About::Nobody };
        let target = About::Environment(&promotion.to);
        // Only a step has these, and a step is the target's.
        if changed.lease.is_some() || changed.cost.is_some() {
            return target;
        }
        match &changed.change {
            PromotionEvent::Done(_)
            | PromotionEvent::Failed { .. }
            | PromotionEvent::Judged(Judgement { next: Next::Admit { .. }, .. }) => target,
            PromotionEvent::Requested(_)
            | PromotionEvent::Judged(Judgement { next: Next::Wait(_) | Next::Refuse(_), .. })
            | PromotionEvent::Approved(_)
            | PromotionEvent::Revoked(_)
            | PromotionEvent::FreezeOverridden(_)
            | PromotionEvent::FollowUpClosed { .. }
            | PromotionEvent::Rejected { .. }
            | PromotionEvent::Withdrawn { .. }
            | PromotionEvent::Superseded { .. }
            | PromotionEvent::Lapsed => About::Nobody,
        }
    }

    /// Whether an entry comes from a writer that may say it.
    pub(super) fn check_writer(&self, event: &Event, writer: Option<&EnvironmentName>) -> Result<(), IllegalEntry> {
        let Some(policy) = self.policy.as_ref().filter(|policy| policy.has_writers()) else { return Ok(()) };
        let wanted = match self.about(event) {
            About::Nobody => return Ok(()),
            // Of an environment that the policy does not have, nobody can say anything: it may get a writer tomorrow.
            About::Environment(name) => match policy.environments.get(name) {
                Some(environment) if environment.writer.is_empty() => return Ok(()),
                _ => vec![name],
            },
            About::First => with_writer(policy, policy.first()),
            About::Last => with_writer(policy, policy.last()),
        };
        if wanted.is_empty() || writer.is_some_and(|writer| wanted.contains(&writer)) {
            return Ok(());
        }
        let environments = wanted.into_iter().cloned().collect();
        Err(IllegalEntry::ForeignWriter { environments, kind: event.kind(), by: writer.cloned() })
    }
}

fn with_writer<'a>(policy: &Policy, names: impl Iterator<Item = &'a EnvironmentName>) -> Vec<&'a EnvironmentName> {
    names
        .filter(|name| policy.environments.get(*name).is_some_and(|environment| !environment.writer.is_empty()))
        .collect()
}

#[cfg(test)]
mod tests;
