//! The release has been verified long enough in the environment before.

use super::{Asks, Fact, Facts, Finding};
use crate::{promotion::Kind, quantity::Period};

pub(super) const CODE: &str = "G007";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "How long the release must have been verified without a break in the environment before, by our own receipt.";
pub(super) const REQUIRE: &str = "soak: 1h";

/// The time that must have passed.
pub(super) type Config = Period;

pub(super) fn asks(_: &Config) -> Asks<'_> {
    Asks::nothing()
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Finding {
    if facts.kind == Kind::Rollback {
        return Finding::pass("a rollback does not soak again");
    }
    let Some(place) = facts.proving_ground() else {
        return Finding::error(
            "soak is required, and there is no environment before",
            "remove `soak`, or declare `from`",
        );
    };
    let standing = match &facts.standing {
        Fact::Known(standing) => standing,
        Fact::Missing => {
            return Finding::fail(
                format!("{} never ran in {place}", facts.release),
                format!("`sealift promote --to {place}`"),
            );
        }
        Fact::Unreadable(why) => {
            return Finding::error(format!("the record of {place} is unreadable: {why}"), "run `sealift audit verify`");
        }
    };
    let (Some(verified), Some(soaked)) = (&standing.verified, standing.soaked(facts.now)) else {
        return Finding::fail(
            format!("{} is not verified in {place}", facts.release),
            format!("`sealift verify --in {place}`"),
        );
    };
    if verified.at > facts.now {
        return Finding::error(
            format!("the receipt is dated {}, after now: a clock is wrong", verified.at),
            "set the clock of this machine right, then run the command again",
        );
    }
    if soaked >= *config {
        return Finding::pass(format!("{config} in {place} are over")).with([verified.receipt]);
    }
    match standing.until {
        Some(until) => Finding::fail(
            format!("{} soaked only {soaked} of {config} in {place} before it was replaced at {until}", facts.release),
            format!("promote what soaks now, or bring this back: `sealift rollback --to {place}`"),
        ),
        None => {
            let at = config.after(verified.at);
            Finding::fail(format!("{soaked} of {config} in {place}, until {at}"), "wait; the same command goes on then")
                .clears(at)
        }
    }
}
