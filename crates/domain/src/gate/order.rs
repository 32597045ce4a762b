//! No environment is skipped.

use super::{Facts, Finding};
use crate::promotion::Kind;

pub(super) const CODE: &str = "G003";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "A release goes through the environments in their declared order and skips none.";

pub(super) fn judge(facts: &Facts) -> Finding {
    let to = &facts.path.to;
    if facts.kind == Kind::Rollback {
        return Finding::pass(format!("a rollback within {to}"));
    }
    if facts.path.declared.as_ref() == Some(to) {
        return Finding::error(
            format!("{to} is said to come from itself, so its order cannot be judged"),
            "correct `from` in the configuration: it names the environment before",
        );
    }
    match (&facts.path.asked, &facts.path.declared) {
        (None, None) => Finding::pass(format!("{to} is the first environment")),
        (None, Some(declared)) => Finding::pass(format!("{declared} → {to}")),
        (Some(asked), Some(declared)) if asked == declared => Finding::pass(format!("{declared} → {to}")),
        (Some(asked), Some(declared)) => Finding::fail(
            format!("{to} is entered from {declared}, not from {asked}"),
            format!("promote to {declared} first: `sealift promote --to {declared}`"),
        ),
        (Some(asked), None) => Finding::fail(
            format!("{to} is the first environment; nothing comes to it from {asked}"),
            format!("promote without an origin: `sealift promote --to {to}`"),
        ),
    }
}
