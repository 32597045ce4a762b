//! The release was verified in the environment before, and has not failed there since.

use super::{Fact, Facts, Finding};
use crate::{
    promotion::Kind,
    record::{Grade, Standing},
};

pub(super) const CODE: &str = "G004";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "The release was deployed and verified in the environment before, with no failure since.";

pub(super) fn judge(facts: &Facts) -> Finding {
    let Some(place) = facts.proving_ground() else {
        return Finding::pass("the first environment: the build record is the origin");
    };
    let verify = format!("`sealift promote --to {place}` deploys and verifies it there");
    match &facts.standing {
        Fact::Known(standing) => judge_standing(facts, standing, place.as_str(), verify),
        Fact::Missing => Finding::fail(format!("{} was never deployed in {place}", facts.release), verify),
        Fact::Unreadable(why) => {
            Finding::error(format!("the record of {place} is unreadable: {why}"), "run `sealift audit verify`")
        }
    }
}

fn judge_standing(facts: &Facts, standing: &Standing, place: &str, verify: String) -> Finding {
    match (&standing.verified, &standing.failed) {
        (Some(verified), _) if verified.fact == Grade::Verified || facts.kind == Kind::Rollback => {
            let grade = if verified.fact == Grade::Baseline { "known there as baseline" } else { "verified there" };
            Finding::pass(format!("{place}: {grade}, no failure since")).with([verified.receipt])
        }
        (Some(_), _) => Finding::fail(
            format!(
                "{} is in {place} only as an imported baseline, which proves that it runs, not that it is good",
                facts.release
            ),
            format!("verify it there: `sealift verify --in {place}`"),
        ),
        (None, Some(failed)) => Finding::fail(
            format!("{} failed in {place}: {}", facts.release, failed.fact),
            format!("mend the cause, then verify again: `sealift verify --in {place}`"),
        ),
        (None, None) => Finding::fail(format!("{} was deployed in {place} and never verified", facts.release), verify),
    }
}
