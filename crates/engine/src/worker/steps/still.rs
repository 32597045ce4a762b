//! What is read again before each step that leads towards traffic: a run may go on days after the gates were judged.

use std::sync::atomic::Ordering;

use sealift_domain::{
    digest::Digest,
    ledger::Ledger,
    promotion::{Promotion, Step},
    undo::Observed,
};

use super::{Context, StepError};
use crate::{code, decide, error::EngineError, gather::Gathered, judge, places, proven, worker::Worker};

/// The gates that ask what people have decided meanwhile. They need nothing but the log.
const ASKED_AGAIN: [&str; 2] = ["hold", "freeze"];

impl Worker<'_> {
    /// Refuses to go on where something stands against it by now: another policy, a hold, a freeze, or consent that is older than
    /// the policy lets consent be. Nothing live was changed then.
    pub(super) async fn still_may(&self, context: &Context<'_>) -> Result<(), StepError> {
        self.take_in(context.promotion.id).await?;
        let ledger = self.book.ledger().await?;
        let promotion = decide::promotion(&ledger, context.promotion.id)?;
        let Some(why) = self.against(&ledger, promotion).await? else { return Ok(()) };
        // Of the step that this run begins with, one that was cut off may have done a part.
        let untouched = self.went_on.load(Ordering::Relaxed);
        let refused = StepError { untouched, ..StepError::new(code::REFUSED, why) };
        if untouched || context.step != Step::Switch {
            return Err(refused);
        }
        let running = self.world.driver(&promotion.to)?.observe().await?;
        let before = promotion.undo.as_ref().map(|undo| &undo.previous);
        match &running {
            same if before == Some(same) => Err(StepError { untouched: true, ..refused }),
            Observed::Running { release, .. } if *release == promotion.release => Ok(()),
            _ => Err(refused),
        }
    }

    /// What stands against a promotion that was admitted, in words.
    async fn against(&self, ledger: &Ledger, promotion: &Promotion) -> Result<Option<String>, EngineError> {
        let now = self.world.clock.now();
        if let Some(why) = other_policy(promotion, places::policy(ledger)?.digest()) {
            return Ok(Some(why));
        }
        if let (Some((at, _)), Some(rule)) = (&promotion.consent, judge::rule(ledger, promotion)?)
            && now >= rule.expires.after(*at)
        {
            let over = rule.expires.after(*at);
            return Ok(Some(format!(
                "the consent to promotion {} was complete at {at} and good until {over}",
                promotion.id
            )));
        }
        let proven = proven::verify(self.book, self.world.signatures.as_ref(), ledger, promotion, now).await?;
        let facts = judge::facts(ledger, promotion, Gathered { proven, ..Gathered::default() }, now)?;
        let gates = places::environment(ledger, &promotion.to)?.gates.judge(&facts);
        let mut asked = gates.iter().filter(|judged| ASKED_AGAIN.contains(&judged.gate.as_str()) && !judged.passed());
        // What was waived was this finding, and no other of the same gate.
        let waived = |words: &str, gate: &str| {
            let mut before = promotion.judged.iter().filter(|before| before.waived && before.gate == gate);
            before.any(|before| before.words() == words)
        };
        let against = asked.find(|judged| !waived(judged.words(), &judged.gate));
        Ok(against.map(|judged| format!("since promotion {} was admitted: {}", promotion.id, judged.words())))
    }
}

fn other_policy(promotion: &Promotion, now: Digest) -> Option<String> {
    let (id, before) = (promotion.id, promotion.policy);
    (before != now).then(|| {
        format!("promotion {id} was admitted under the policy {}, and {} is in force now", before.short(), now.short())
    })
}
