//! Every package in the image is under a licence that the policy allows.

mod expression;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil::Date};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::expression::{Terms, Unknown};
use super::{
    Asks, ComponentFacts, Facts, Finding,
    believed::{SBOM, believed, resting_on},
    sbom,
    words::{count, day, first_few, is_over, names_package, shown},
};
use crate::{digest::Digest, evidence::Trust, image::Image, name::ComponentName};

pub(super) const CODE: &str = "G015";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str = "Which licences the packages in the image may have, by its bill of materials.";
pub(super) const REQUIRE: &str = "licenses: {deny: [\"AGPL-*\", \"GPL-3.0\"]}";

/// Which licences are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written", rename = "LicensesGate")]
pub struct Config {
    written: Written,
    terms: Terms,
}

/// The gate as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The only licences that are allowed: SPDX identifiers, also `ID WITH EXCEPTION`, or the beginning of some with `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    /// Licences that are never allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    /// Packages that are looked over for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<Exception>,
    /// What counts for a package whose licence nobody says, or says in no known words.
    #[serde(default, skip_serializing_if = "Unknown::is_denied")]
    unknown: Unknown,
    /// Whose SBOM counts. Without it, only what was handed in to the log does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Trust>,
}

/// A package that is looked over, and why, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Exception {
    /// `name`, `name@version`, or the beginning of it with `*`.
    #[schemars(length(min = 1))]
    package: String,
    /// The licence that is looked over, as the SBOM writes it. Without it, every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    /// Why.
    #[schemars(length(min = 1))]
    reason: String,
    /// The last day on which it counts, in UTC.
    #[serde(deserialize_with = "day")]
    #[schemars(with = "String", extend("format" = "date"))]
    until: Date,
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        if written.allow.is_empty() && written.deny.is_empty() {
            return Err("`licenses` says which licences: `allow`, `deny` or both".to_owned());
        }
        for exception in &written.exceptions {
            if exception.package.trim().is_empty() || exception.reason.trim().is_empty() {
                return Err("an exception names a `package` and says its `reason`".to_owned());
            }
        }
        let terms = Terms::new(&written.allow, &written.deny, written.unknown)?;
        Ok(Self { written, terms })
    }
}

impl From<Config> for Written {
    fn from(config: Config) -> Self {
        config.written
    }
}

pub(super) fn asks(config: &Config) -> Asks<'_> {
    Asks::evidence(&config.written.by)
}

pub(super) fn judge(config: &Config, facts: &Facts) -> Finding {
    if let Some(admitted) = facts.was_admitted() {
        return admitted;
    }
    facts.each_image(|name, image| match facts.components.get(name) {
        Some(component) => allowed(config, facts.now, name, component, image).unwrap_or_else(|finding| finding),
        None => Finding::error(format!("nothing is known of {name}"), "run the command again"),
    })
}

/// The packages of all platforms by licence, and the documents that say so.
struct Listed<'a> {
    licences: BTreeMap<&'a str, BTreeSet<&'a str>>,
    documents: BTreeSet<Digest>,
}

fn listed<'a>(
    config: &Config,
    name: &'a ComponentName,
    component: &'a ComponentFacts,
    image: &'a Image,
) -> Result<Listed<'a>, Finding> {
    let by = config.written.by.as_ref();
    let believed = believed(&SBOM, by, name, component, image)?;
    let mut listed = Listed { licences: BTreeMap::new(), documents: BTreeSet::new() };
    for (platform, pieces) in believed.of_each_platform(by, sbom::REMEDY)? {
        let mut packages = 0;
        for piece in pieces {
            listed.documents.extend(piece.digests());
            packages += piece.claim.packages;
            for (licence, of) in &piece.claim.licences {
                listed.licences.entry(licence).or_default().extend(of.iter().map(String::as_str));
            }
            if piece.claim.packages > 0 && piece.claim.licences.is_empty() {
                let reason = format!(
                    "the SBOM of {name} for {} does not say under which licences its packages are",
                    platform.platform
                );
                return Err(Finding::error(reason, sbom::REMEDY));
            }
        }
        if packages == 0 {
            let reason = format!("the SBOM of {name} for {} is empty", platform.platform);
            return Err(Finding::fail(
                reason,
                "let the tool that makes it look into the image and not into an empty folder",
            ));
        }
    }
    Ok(listed)
}

fn allowed(
    config: &Config,
    now: Timestamp,
    name: &ComponentName,
    component: &ComponentFacts,
    image: &Image,
) -> Result<Finding, Finding> {
    let listed = listed(config, name, component, image)?;
    let mut offenders: Vec<(&str, &str)> = Vec::new();
    let (mut excepted, mut over) = (0, BTreeSet::new());
    for (licence, packages) in &listed.licences {
        if config.terms.accept(licence) {
            continue;
        }
        for package in packages {
            let mut for_it =
                config.written.exceptions.iter().filter(|exception| exception.is_for(package, licence)).peekable();
            match for_it.clone().any(|exception| !is_over(exception.until, now)) {
                true => excepted += 1,
                false => {
                    over.extend(for_it.peek().map(|exception| (exception.package.as_str(), exception.until)));
                    offenders.push((package, licence));
                }
            }
        }
    }
    let packages: BTreeSet<&str> = listed.licences.values().flatten().copied().collect();
    if offenders.is_empty() {
        let excepted = if excepted == 0 { String::new() } else { format!(", {excepted} by exception") };
        let found = format!("{name}: {} under licences that are allowed{excepted}", count(packages.len(), "package"));
        return Ok(resting_on(Finding::pass(found), listed.documents));
    }
    offenders.sort_unstable();
    let few = first_few(offenders.iter().map(|(package, licence)| format!("{} ({})", shown(package), said(licence))));
    let over = over.into_iter().map(|(package, until)| format!("; the exception for {package} ended with {until}"));
    Err(Finding::fail(
        format!(
            "{} of {} packages of {name} have licences that are not allowed: {few}{}",
            offenders.len(),
            packages.len(),
            over.collect::<String>()
        ),
        "replace the package, or look over it for a time: an exception of `licenses` has a `package`, a `reason` and an end, `until`",
    ))
}

fn said(licence: &str) -> String {
    if licence.is_empty() { "nothing is said".to_owned() } else { shown(licence) }
}

impl Exception {
    fn is_for(&self, package: &str, licence: &str) -> bool {
        let this = self.license.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(licence));
        this && names_package(&self.package, package)
    }
}
