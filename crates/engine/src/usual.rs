//! What the log says about how long things take.

use sealift_domain::{
    ledger::Ledger,
    name::EnvironmentName,
    promotion::{PromotionId, Step},
    quantity::Period,
};

/// How many earlier times are looked at.
const LAST: usize = 5;

/// How long a step usually takes in an environment: the median of its last five times. `except` is not one of them.
pub fn usual(ledger: &Ledger, to: &EnvironmentName, step: Step, except: Option<PromotionId>) -> Option<Period> {
    let earlier = ledger.promotions.values().rev().filter(|p| p.to == *to && Some(p.id) != except);
    let mut times: Vec<Period> = earlier
        .filter_map(|p| {
            let at = p.timeline.iter().position(|moment| moment.what == step.as_str())?;
            let before = p.timeline.get(at.checked_sub(1)?)?;
            Some(Period::between(before.at, p.timeline.get(at)?.at))
        })
        .take(LAST)
        .collect();
    times.sort();
    times.get(times.len() / 2).copied()
}
