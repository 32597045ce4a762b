//! The release works on the database of the environment, as far as schema labels tell.

use super::{Facts, Finding};
use crate::{
    digest::Digest,
    promotion::Kind,
    record::Recorded,
    release::Release,
    schema::{COMPATIBLE_LABEL, Expected, Outlook, SCHEMA_LABEL, Schema},
};

pub(super) const CODE: &str = "G012";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "The release works on the database of the environment, by the schema labels of its image.";

pub(super) fn judge(facts: &Facts) -> Finding {
    let candidate = match facts.read_schema() {
        Ok(candidate) => candidate,
        Err(finding) => return finding,
    };
    match (facts.kind, &facts.database.at) {
        (_, None) if candidate.is_none() => Finding::pass("no schema labels, so nothing is claimed of a database"),
        (Kind::Promote, at) => forward(facts, candidate, at.as_ref()).with(evidence(facts)),
        (Kind::Rollback, Some(at)) => back(facts, candidate, at).with(evidence(facts)),
        (Kind::Rollback, None) => {
            Finding::pass("no schema is on record for the database, so none is against it").with(evidence(facts))
        }
    }
}

/// A promotion migrates. It may bring a newer schema; an older one must still be served, for no database goes back by itself.
fn forward(facts: &Facts, candidate: Option<Schema>, at: Option<&Recorded<Schema>>) -> Finding {
    let to = &facts.path.to;
    let database = at.map(|at| at.fact);
    match (candidate, database) {
        // A database at schema 0 is at what releases without a label leave behind.
        (None, Some(database)) if database.at() > 0 => Finding::fail(
            format!("the image carries no label {SCHEMA_LABEL}, and the database of {to} is at {database}"),
            format!("build with `--label {SCHEMA_LABEL}=N`, where N is the schema that its migration leaves behind"),
        ),
        (Some(candidate), Some(database)) if candidate.at() < database.compatible_from() => Finding::fail(
            format!("the release {}, and the database of {to} is at {database}", Expected::Schema(candidate)),
            format!(
                "promote a release whose schema is {} or newer; if the database was restored, say so: `sealift record \
                 database --in {to} --schema {} --reason \"…\"`",
                database.compatible_from(),
                candidate.at()
            ),
        ),
        _ => {
            let live = facts.database.live.as_ref().map(|live| live.schema);
            let outlook = Outlook::new(database, candidate, live);
            Finding::pass(outlook.map(|outlook| outlook.to_string()).unwrap_or_default())
        }
    }
}

/// A rollback runs no migration, so the release must work on the database as it is.
fn back(facts: &Facts, target: Option<Schema>, at: &Recorded<Schema>) -> Finding {
    let (to, database) = (&facts.path.to, at.fact);
    let expected = Expected::from(target);
    if expected.works_on(database) {
        return Finding::pass(format!("it {expected}, and the database is at {database}"));
    }
    let reason = format!("the release {expected}, and the database of {to} is at {database}");
    let instead = match &facts.database.oldest_safe {
        Some(release) => format!("the oldest release that works on it is {}", command(to.as_str(), release)),
        None => "no other release on record works on it".to_owned(),
    };
    let choices = match target {
        // It would have to be migrated first, and a rollback does not.
        Some(target) if target.at() > database.at() => format!("promote it instead: `sealift promote --to {to}`"),
        Some(target) => format!(
            "or go forward: `sealift promote --to {to}`; or restore the database by hand, then `sealift record database --in \
             {to} --schema {} --reason \"…\"` and ask again",
            target.at()
        ),
        None => format!(
            "or go forward: `sealift promote --to {to}`; if it does work on the database, build it again with the labels \
             {SCHEMA_LABEL} and {COMPATIBLE_LABEL} and promote that build; or restore the database by hand to what it was \
             before there were labels, then `sealift record database --in {to} --schema 0 --reason \"…\"` and ask again"
        ),
    };
    Finding::fail(reason, format!("{instead}; {choices}"))
}

fn command(to: &str, release: &Release) -> String {
    let one = release.components().count() == 1;
    let digests = release.components().map(|(name, digest)| match one {
        true => format!(" --digest {digest}"),
        false => format!(" --digest {name}={digest}"),
    });
    format!("`sealift rollback --in {to}{}`", digests.collect::<String>())
}

/// What an approver consents to with it: the images, what is on record of the database, and what could come back.
fn evidence(facts: &Facts) -> Vec<Digest> {
    let images = facts.components.values().map(|component| component.digest);
    let record = facts.database.at.iter().map(|at| at.receipt);
    let live = facts.database.live.iter().flat_map(|live| live.release.components().map(|(_, digest)| digest));
    images.chain(record).chain(live).collect()
}
