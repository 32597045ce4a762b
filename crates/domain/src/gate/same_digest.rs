//! The digest that was built is the digest that was verified is the digest that is there now.

use super::{Fact, Facts, Finding};
use crate::promotion::Kind;

pub(super) const CODE: &str = "G001";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "The digest of the build record, of the verified release and of the bytes in the registry now are one and the same.";

pub(super) fn judge(facts: &Facts) -> Finding {
    let read_now = facts.each_image(|name, _| Finding::pass(format!("{name} reads as promoted")));
    if !matches!(read_now.verdict, super::Verdict::Pass { .. }) {
        return read_now;
    }
    let mut evidence = Vec::new();
    for (name, component) in &facts.components {
        if facts.release.digest(name) != Some(component.digest) {
            return Finding::error(format!("facts about {name} are of another digest"), "run the command again");
        }
        match &component.build {
            Fact::Known(build) if build.fact.digest == component.digest => evidence.push(build.receipt),
            Fact::Known(build) => {
                return Finding::fail(
                    format!("{name} was built as {}, and {} is to be promoted", build.fact.digest, component.digest),
                    format!("promote what was built, without a digest: `sealift promote --to {}`", facts.path.to),
                );
            }
            // What ran before Sealift came has no build record; it may be gone back to, not promoted.
            Fact::Missing if facts.kind == Kind::Rollback => {}
            Fact::Missing => {
                return Finding::error(
                    format!("there is no build record of {name} with {}", component.digest),
                    format!("record it where it is built: `sealift record build <repository>@{}`", component.digest),
                );
            }
            Fact::Unreadable(why) => {
                return Finding::error(
                    format!("the build record of {name} is unreadable: {why}"),
                    "run `sealift audit verify`",
                );
            }
        }
    }
    if facts.components.len() != facts.release.components().count() {
        return Finding::error("facts are missing for a component of the release", "run the command again");
    }
    let found = if evidence.len() == facts.components.len() {
        "built as the same digest that is read now"
    } else {
        "read now as the same digest; it ran before builds were recorded"
    };
    Finding::pass(found).with(read_now.evidence).with(evidence)
}
