//! The image has no vulnerability that the policy does not bear.

mod newest;
mod vex;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::newest::is_in_the_future;
use self::{newest::newest, vex::Waivers};
use super::{
    Asks, ComponentFacts, Facts, Finding,
    believed::{SCAN, believed, resting_on},
    words::{count, day, first_few, is_over, names_package, shown},
};
use crate::{
    digest::Digest,
    evidence::{self, Severity, Trust},
    image::{Image, PlatformImage},
    name::ComponentName,
    quantity::Period,
};

pub(super) const CODE: &str = "G016";
pub(super) const VERSION: u32 = 1;
pub(super) const SUMMARY: &str =
    "How bad a vulnerability may be that a scan of every platform finds, and how old the scan.";
pub(super) const REQUIRE: &str = "vulnerabilities: {fail_on: high, max_age: 7d}";

/// Which vulnerabilities are borne.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written", rename = "VulnerabilitiesGate")]
pub struct Config(Written);

/// The gate as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The severity from which on a finding fails. `unknown` lies between medium and high.
    fail_on: Severity,
    /// Whether only those count that a newer version of the package mends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    only_fixable: bool,
    /// How old the scan may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age: Option<Period>,
    /// How old the scanner's database may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database_max_age: Option<Period>,
    /// Vulnerabilities that are borne for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<Ignored>,
    /// Whose VEX documents waive findings. Without it, none do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vex: Option<VexBy>,
    /// Whose signature under a scan counts. Without it, only what was handed in to the log does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Trust>,
}

/// Whose VEX documents count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VexBy {
    /// Somebody else than `by`: who builds and scans does not also say what does not matter.
    by: Trust,
}

/// A vulnerability that is borne for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ignored {
    /// Its name or one of its other names: `CVE-2026-1234`, `GHSA-…`.
    #[schemars(length(min = 1))]
    id: String,
    /// Only in this package: `name`, `name@version`, or the beginning of it with `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// Why.
    #[schemars(length(min = 1))]
    reason: String,
    /// The last day on which it counts, in UTC.
    #[serde(deserialize_with = "day")]
    #[schemars(with = "String", extend("format" = "date"))]
    until: Date,
}

impl TryFrom<Written> for Config {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        if written.ignore.iter().any(|ignored| ignored.id.trim().is_empty() || ignored.reason.trim().is_empty()) {
            return Err("what is ignored has an `id` and a `reason`");
        }
        if let (Some(vex), Some(by)) = (&written.vex, &written.by)
            && same_person(&vex.by, by)
        {
            return Err(
                "`vex.by` must be somebody else than `by`: who builds and scans does not also say what does not matter",
            );
        }
        Ok(Self(written))
    }
}

/// Whether two descriptions of trust accept a signer in common, as far as they say so themselves.
fn same_person(one: &Trust, other: &Trust) -> bool {
    match (one, other) {
        (Trust::Keys(one), Trust::Keys(other)) => !one.is_disjoint(other),
        (one, other) => one == other,
    }
}

impl From<Config> for Written {
    fn from(Config(written): Config) -> Self {
        written
    }
}

/// What to do where there is no scan, or none that counts any more.
const REMEDY: &str = "scan each platform and attest it: `trivy image --format cosign-vuln --output scan.json REPOSITORY@PLATFORM-DIGEST`, then \
     `cosign attest --type vuln --predicate scan.json --key cosign.key REPOSITORY@PLATFORM-DIGEST`";

pub(super) fn asks(Config(config): &Config) -> Asks<'_> {
    Asks::evidence(config.by.iter().chain(config.vex.iter().map(|vex| &vex.by)))
}

pub(super) fn judge(Config(config): &Config, facts: &Facts) -> Finding {
    if let Some(admitted) = facts.was_admitted() {
        return admitted;
    }
    facts.each_image(|name, image| match facts.components.get(name) {
        Some(component) => borne(config, facts, name, component, image).unwrap_or_else(|finding| finding),
        None => Finding::error(format!("nothing is known of {name}"), "run the command again"),
    })
}

/// What is left of the findings of all platforms, and what was taken away.
#[derive(Default)]
struct Sum<'a> {
    /// By vulnerability and package, the worst that any scan says of it.
    left: BTreeMap<(&'a str, &'a str, &'a str), &'a evidence::Finding>,
    waived: BTreeSet<(&'a str, &'a str)>,
    ignored: BTreeSet<(&'a str, &'a str)>,
    /// What would be ignored, had it not ended.
    over: BTreeSet<(&'a str, Date)>,
    scanners: BTreeSet<String>,
    /// The VEX documents that waived something.
    documents: BTreeSet<Digest>,
}

fn borne(
    config: &Written,
    facts: &Facts,
    name: &ComponentName,
    component: &ComponentFacts,
    image: &Image,
) -> Result<Finding, Finding> {
    let by = config.by.as_ref();
    let scans = believed(&SCAN, by, name, component, image)?;
    let waivers = Waivers::read(config, facts.now, name, component, image)?;
    let mut sum = Sum::default();
    let mut digests = Vec::new();
    for (platform, pieces) in scans.of_each_platform(by, REMEDY)? {
        let of = format!("{name} for {}", platform.platform);
        for scan in newest(config, facts.now, &of, &pieces)? {
            digests.extend(scan.digests());
            sum.scanners.insert(shown(&scan.claim.scanner));
            let Some(findings) = &scan.claim.findings else {
                let reason = format!("the scan of {of} does not say what it found, which is unknown and not clean");
                return Err(Finding::error(reason, REMEDY));
            };
            for finding in findings {
                sum.add(config, facts, &waivers, image, platform, finding);
            }
        }
    }
    match sum.left.is_empty() {
        true => Ok(resting_on(Finding::pass(sum.found(config, name, image)), digests.into_iter().chain(sum.documents))),
        false => Err(sum.fail(name, &waivers)),
    }
}

impl<'a> Sum<'a> {
    fn add(
        &mut self,
        config: &'a Written,
        facts: &Facts,
        waivers: &Waivers<'_>,
        image: &Image,
        platform: &PlatformImage,
        finding: &'a evidence::Finding,
    ) {
        if finding.severity < config.fail_on || (config.only_fixable && finding.fixed_in.is_none()) {
            return;
        }
        let short = (finding.id.as_str(), finding.package.as_str());
        if let Some(documents) = waivers.waive(finding, image, platform) {
            self.documents.extend(documents);
            self.waived.insert(short);
            return;
        }
        let for_it: Vec<&Ignored> = config.ignore.iter().filter(|ignored| ignored.is_for(finding)).collect();
        if for_it.iter().any(|ignored| !is_over(ignored.until, facts.now)) {
            self.ignored.insert(short);
            return;
        }
        self.over.extend(for_it.iter().map(|ignored| (ignored.id.as_str(), ignored.until)));
        let kept = self.left.entry((&finding.id, &finding.package, &finding.version)).or_insert(finding);
        if kept.severity < finding.severity {
            *kept = finding;
        }
    }

    fn found(&self, config: &Written, name: &ComponentName, image: &Image) -> String {
        let fixable = if config.only_fixable { " that can be mended" } else { "" };
        let waived =
            if self.waived.is_empty() { String::new() } else { format!(", {} waived by VEX", self.waived.len()) };
        let ignored = if self.ignored.is_empty() {
            String::new()
        } else {
            format!(", {} ignored for a time", self.ignored.len())
        };
        let on = count(image.platforms.len(), "platform");
        let scanners = first_few(self.scanners.iter().cloned());
        format!(
            "{name}: no vulnerability{fixable} from {} on, {on}, by {scanners}{waived}{ignored}",
            word(config.fail_on)
        )
    }

    fn fail(&self, name: &ComponentName, waivers: &Waivers<'_>) -> Finding {
        let mut worst: Vec<&evidence::Finding> = self.left.values().copied().collect();
        worst.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
        let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
        worst.iter().for_each(|finding| *counts.entry(finding.severity).or_default() += 1);
        let counts: Vec<String> =
            counts.iter().rev().map(|(severity, count)| format!("{count} {}", word(*severity))).collect();
        let few = first_few(worst.iter().map(|finding| described(finding)));
        let over: String =
            self.over.iter().map(|(id, until)| format!("; `ignore` of {} ended with {until}", shown(id))).collect();
        let beside = if waivers.beside() == 0 {
            ""
        } else {
            "; a VEX document beside it is not by whom `vex.by` names and waives nothing"
        };
        Finding::fail(
            format!("{name} has vulnerabilities, {}: {few}{over}{beside}", counts.join(", ")),
            "build with the versions that are without them; what does not matter, say in a VEX document by whom `vex.by` names, or bear it \
             for a time with `ignore`, a `reason` and an end, `until`",
        )
    }
}

fn described(finding: &evidence::Finding) -> String {
    let at = if finding.version.is_empty() { String::new() } else { format!(" {}", shown(&finding.version)) };
    let fixed = finding.fixed_in.as_deref().map(|fixed| format!(", mended in {}", shown(fixed))).unwrap_or_default();
    format!("{} in {}{at} ({}{fixed})", shown(&finding.id), shown(&finding.package), word(finding.severity))
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Negligible => "negligible",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::Unknown => "unknown",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

impl Ignored {
    fn is_for(&self, finding: &evidence::Finding) -> bool {
        let package = || match finding.version.is_empty() {
            true => finding.package.clone(),
            false => format!("{}@{}", finding.package, finding.version),
        };
        let named = self.id == finding.id || finding.aliases.contains(&self.id);
        named && self.package.as_ref().is_none_or(|pattern| names_package(pattern, &package()))
    }
}
