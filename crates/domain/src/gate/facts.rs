//! What gates judge: facts gathered beforehand, each known, missing or unreadable.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Finding;
use crate::{
    digest::Digest,
    freeze::{Freeze, Hold},
    image::Image,
    name::{ComponentName, EnvironmentName},
    promotion::Kind,
    record::{Build, Recorded, Standing},
    release::Release,
    signature::Signatures,
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
    /// The signatures of the image: missing if it has none in any form, unread if no gate asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Fact<Signatures>>,
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
}

impl Facts {
    /// The place whose verification counts: where the release comes from, or for a rollback where it goes back to.
    pub(super) fn proving_ground(&self) -> Option<&EnvironmentName> {
        match self.kind {
            Kind::Rollback => Some(&self.path.to),
            Kind::Promote => self.path.declared.as_ref(),
        }
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
