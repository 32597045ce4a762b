//! The environment is not frozen.

use super::{Facts, Finding};
use crate::{freeze::Freeze, promotion::Kind};

pub(super) const CODE: &str = "G006";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "The target environment is not in a freeze. Rollbacks are exempt.";

pub(super) fn judge(facts: &Facts) -> Finding {
    if facts.kind == Kind::Rollback {
        return Finding::pass("freezes do not stop a rollback");
    }
    if let Some(broken) = facts.freezes.iter().find(|freeze| freeze.until <= freeze.from) {
        return Finding::error(
            format!("a freeze ends at {} and begins at {}, so it cannot be judged", broken.until, broken.from),
            "correct the freeze: it must end after it begins",
        );
    }
    let active = facts.freezes.iter().filter(|freeze| freeze.covers(facts.now));
    let (through, stopping): (Vec<_>, Vec<_>) = active.map(|freeze| (freeze, overridden(facts, freeze))).partition(|(_, by)| by.is_some());
    match stopping.into_iter().map(|(freeze, _)| freeze).max_by_key(|freeze| freeze.until) {
        None if !through.is_empty() => {
            let words = through.iter().filter_map(|(freeze, by)| Some(format!("{} ({})", freeze.reason, by.as_ref()?)));
            let words = format!("{} is frozen, overridden for this promotion: {}", facts.path.to, words.collect::<Vec<_>>().join("; "));
            Finding::pass(words).with(through.iter().map(|(freeze, _)| freeze.digest()))
        }
        None => Finding::pass(format!("{} is not frozen", facts.path.to)),
        Some(freeze) => Finding::fail(
            format!("{} is frozen until {}: {}", facts.path.to, freeze.until, freeze.reason),
            format!(
                "wait; a freeze that was placed by hand is ended by `sealift freeze {} --lift --reason \"…\"`",
                facts.path.to
            ),
        )
        .clears(freeze.until),
    }
}

/// Who overrode a freeze, in words.
fn overridden(facts: &Facts, freeze: &Freeze) -> Option<String> {
    let given = facts.overridden.iter().find(|given| given.freeze == freeze.digest() && !given.by.is_empty())?;
    Some(given.by.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "))
}
