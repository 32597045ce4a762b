//! A digest given by hand must be the one that was verified.

use super::{Facts, Finding};
use crate::promotion::Kind;

pub(super) const CODE: &str = "G002";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "A digest that a person names must equal the one verified in the environment before.";

pub(super) fn judge(facts: &Facts) -> Finding {
    let Some(named) = &facts.by_hand else {
        return Finding::pass("the digest comes from the record, not from a person");
    };
    if *named != facts.release {
        return Finding::error(
            format!("{named} was named and {} is to be promoted", facts.release),
            "run the command again",
        );
    }
    // A rollback, and the first environment, have no environment before; there `verified` and `same_digest` decide.
    let before = match &facts.path.declared {
        Some(before) if facts.kind != Kind::Rollback => before,
        _ => return Finding::pass("named by hand; what is on record of it, `verified` and `same_digest` say"),
    };
    match &facts.verified_there {
        Some(verified) if verified == named => Finding::pass("named by hand, and equal to the verified one"),
        Some(verified) => Finding::fail(
            format!("{named} was named by hand, and {verified} is what was verified"),
            "leave the digest out, and what was verified is promoted",
        ),
        None => Finding::fail(
            format!("{named} was named by hand, and nothing is verified to compare it with"),
            format!("deploy and verify it in the environment before: `sealift promote --to {before}`"),
        ),
    }
}
