//! What gates judge: facts gathered beforehand, each known, missing or unreadable.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Finding;
use crate::{
    digest::Digest,
    evidence::Evidence,
    freeze::{Freeze, Hold, Overridden},
    image::Image,
    name::{ComponentName, EnvironmentName},
    promotion::Kind,
    record::{Build, Recorded, Standing},
    release::Release,
    schema::Schema,
};

/// A fact, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact<T> {
    /// It is known.
    Known(T),
    /// There is none.
    Missing,
    /// It could not be read, and why.
    Unreadable(String),
}

/// Where a release is to come from and go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The environment that the request names as origin; `None` if it leaves that to the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<EnvironmentName>,
    /// The environment that the policy declares; `None` for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<EnvironmentName>,
    /// The target.
    pub to: EnvironmentName,
}

/// What is known about one component of the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentFacts {
    /// The digest to be promoted.
    pub digest: Digest,
    /// The record of its build.
    pub build: Fact<Recorded<Build>>,
    /// The image as it was read by digest, just now, from the place it would be copied from.
    pub image: Fact<Image>,
    /// What others say of the image: attached to it, in its index, or handed in. Missing if there is nothing at all; `None` if
    /// no gate asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Fact<Vec<Evidence>>>,
    /// Where the source commit was found; `None` if no gate asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Fact<SourceFacts>>,
}

/// What a source repository says of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The repository that was asked, a URL without credentials.
    pub repository: String,
    /// The commit that was looked for, in full.
    pub commit: String,
    /// The branches, of those that were asked for, that contain it.
    pub branches: BTreeSet<String>,
}

/// Everything that gates may judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The instant of the judgement.
    pub now: Timestamp,
    /// Promotion or rollback.
    pub kind: Kind,
    /// From where to where.
    pub path: Path,
    /// What is to be promoted.
    pub release: Release,
    /// What a person named by hand, if anyone did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<Release>,
    /// The components of the release.
    pub components: BTreeMap<ComponentName, ComponentFacts>,
    /// How the release stands in the environment that it comes from; for a rollback, in the one that it goes back to.
    pub standing: Fact<Standing>,
    /// The release that the environment it comes from has verified last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_there: Option<Release>,
    /// Holds in force on a digest of the release or on the target.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Freezes of the target, past and coming ones too.
    #[serde(default)]
    pub freezes: Vec<Freeze>,
    /// Freezes that enough persons will not let stop this promotion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<Overridden>,
    /// What is on record of the target's database.
    #[serde(default, skip_serializing_if = "DatabaseFacts::is_silent")]
    pub database: DatabaseFacts,
}

/// What is on record of the database of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// What it is at; `None` where no release ever said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Recorded<Schema>>,
    /// What is live there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveFacts>,
    /// The oldest known-good release that works on it, other than the live one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_safe: Option<Release>,
    /// For a rollback: what the labels of the release said when it was promoted here, if they were judged then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetFacts>,
}

/// What was read of a release's labels when it was promoted. Labels cannot change under a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// What they say; `None` where there are none.
    pub schema: Option<Schema>,
}

/// The live release, and what it expects of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFacts {
    /// The release.
    pub release: Release,
    /// What its labels say, if that is on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
}

impl DatabaseFacts {
    fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

impl Facts {
    /// The place whose verification counts: where the release comes from, or for a rollback where it goes back to.
    pub(super) fn proving_ground(&self) -> Option<&EnvironmentName> {
        match self.kind {
            Kind::Rollback => Some(&self.path.to),
            Kind::Promote => self.path.declared.as_ref(),
        }
    }

    /// What a gate answers a rollback whose evidence changes with time (scans grow old, exceptions end, branches are deleted): the
    /// release was admitted and verified here before, and `verified` sees to that. The way back must not depend on the day.
    pub(super) fn was_admitted(&self) -> Option<Finding> {
        (self.kind == Kind::Rollback).then(|| Finding::pass("a rollback goes back to what was admitted here before"))
    }

    /// What the labels of the release's images say of the database, if every one of them can be read.
    pub fn schema(&self) -> Option<Schema> {
        self.read_schema().ok().flatten()
    }

    /// The same, or why it cannot be told. Of several components, those that carry labels must say the same.
    pub(super) fn read_schema(&self) -> Result<Option<Schema>, Finding> {
        let mut said: Option<(&ComponentName, Schema)> = None;
        let unreadable = self.components.values().any(|c| matches!(c.image, Fact::Unreadable(_)));
        // The way back must not depend on a registry: what is on record of the very digests is as good as reading again.
        if let (Kind::Rollback, true, Some(target)) = (self.kind, unreadable, self.database.target) {
            return Ok(target.schema);
        }
        for (name, component) in &self.components {
            let image = known_image(name, component)?;
            let schema = Schema::of_image(image).map_err(|why| {
                let remedy =
                    "build with `--label dev.sealift.schema=N`, the same for every platform, and record that build";
                Finding::error(format!("the schema labels of {name} cannot be relied on: {why}"), remedy)
            })?;
            match (said, schema) {
                (Some((other, before)), Some(schema)) if before != schema => {
                    let reason = format!("{other} says {before}, and {name} says {schema}");
                    let remedy = "set the schema labels on one component only, the one that migrates";
                    return Err(Finding::error(reason, remedy));
                }
                (None, Some(schema)) => said = Some((name, schema)),
                _ => {}
            }
        }
        Ok(said.map(|(_, schema)| schema))
    }

    /// Judges the image of every component with `judge`; the first that is not known, or does not pass, decides.
    pub(super) fn each_image(&self, judge: impl Fn(&ComponentName, &Image) -> Finding) -> Finding {
        let mut found = Vec::new();
        let mut evidence = Vec::new();
        for (name, component) in &self.components {
            let image = match known_image(name, component) {
                Ok(image) => image,
                Err(finding) => return finding,
            };
            let finding = judge(name, image).with([component.digest]);
            match finding.verdict {
                super::Verdict::Pass { found: words } => found.push(words),
                _ => return finding,
            }
            evidence.extend(finding.evidence);
        }
        if found.is_empty() {
            return Finding::error("the release has no component to judge", "promote a release with an image");
        }
        Finding::pass(found.join("; ")).with(evidence)
    }
}

/// The image of a component, or the error that stands for it. An image under another digest is no evidence at all.
fn known_image<'a>(name: &ComponentName, component: &'a ComponentFacts) -> Result<&'a Image, Finding> {
    match &component.image {
        Fact::Known(image) if image.digest == component.digest => Ok(image),
        Fact::Known(image) => Err(Finding::error(
            format!("what was read for {name} is {}, not {}", image.digest, component.digest),
            "run the command again; if it persists, the registry answers with foreign content",
        )),
        Fact::Missing => Err(Finding::error(
            format!("the image of {name}, {}, is not in the registry it would be copied from", component.digest),
            "push the built image again by the same digest, or build a new release",
        )),
        Fact::Unreadable(why) => Err(Finding::error(
            format!("the image of {name} cannot be read: {why}"),
            "check the registry and your credentials (`sealift look`), then run the command again",
        )),
    }
}
