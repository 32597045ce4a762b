//! Nobody has put the digest or the environment on hold.

use super::{Facts, Finding};
use crate::{freeze::HoldScope, promotion::Kind};

pub(super) const CODE: &str = "G005";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "Neither a digest of the release nor the target environment is on hold.";

pub(super) fn judge(facts: &Facts) -> Finding {
    let blocking = facts.holds.iter().find(|hold| match &hold.scope {
        HoldScope::Digest(digest) => facts.release.contains(*digest),
        // Going back to a known-good release is how a held environment is mended.
        HoldScope::Environment(name) => facts.kind == Kind::Promote && *name == facts.path.to,
    });
    // Holds on something else were gathered for another question; the right ones may be missing.
    let foreign = facts.holds.iter().find(|hold| match &hold.scope {
        HoldScope::Digest(digest) => !facts.release.contains(*digest),
        HoldScope::Environment(name) => *name != facts.path.to,
    });
    match blocking {
        None if foreign.is_some() => Finding::error(
            format!("the holds that were gathered are not those of {} in {}", facts.release, facts.path.to),
            "run the command again",
        ),
        None => Finding::pass("nothing is on hold"),
        Some(hold) => Finding::fail(
            format!("{} is on hold: {}", hold.scope, hold.reason),
            format!("when the reason is gone: `sealift hold release {} --reason \"…\"`", hold.scope),
        ),
    }
}
