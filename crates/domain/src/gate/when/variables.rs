//! What conditions may ask about. Every number is a signed integer, so that they can be reckoned with one another, and
//! what is not known is not there: to ask for it is an error, and `has(build.version)` says whether it is.

use std::collections::{BTreeMap, BTreeSet};

use cel::Context;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::super::{ComponentFacts, Fact, Facts, Finding, vulnerabilities::is_in_the_future};
use crate::{
    digest::Digest,
    evidence::{Claim, Evidence, Origin, Scan, Severity, TestResult},
    image::{Image, PlatformImage},
    name::ComponentName,
    promotion::Kind,
};

/// The names of the variables.
pub(super) const NAMES: &[&str] = &["image", "build", "component", "release", "from", "to", "kind", "now", "evidence"];

/// How many platforms an image may have for a condition.
const MAX_PLATFORMS: usize = 64;
/// How many labels or annotations.
const MAX_LABELS: usize = 128;
/// How long all labels and annotations may be together, in bytes.
const MAX_TEXT: usize = 32 << 10;

/// The variables for one component.
pub(super) struct Variables {
    image: ImageValue,
    build: Option<BuildValue>,
    component: String,
    release: BTreeMap<String, String>,
    from: Option<String>,
    to: String,
    kind: &'static str,
    now: Instant,
    evidence: Option<EvidenceValue>,
    digests: BTreeSet<Digest>,
}

#[derive(Serialize)]
struct ImageValue {
    digest: String,
    media_type: String,
    /// Compressed bytes of the largest platform.
    size: i64,
    platforms: Vec<PlatformValue>,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct PlatformValue {
    platform: String,
    digest: String,
    size: i64,
    layers: i64,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct BuildValue {
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    repository: String,
    recorded_at: Instant,
}

/// An instant, in UTC. `weekday` is 1 on Monday and 7 on Sunday.
#[derive(Serialize)]
struct Instant {
    unix: i64,
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    weekday: i64,
}

/// What evidence there is, of what is signed by one whom a gate of the environment names, or was handed in.
#[derive(Serialize)]
struct EvidenceValue {
    signature: bool,
    provenance: bool,
    sbom: bool,
    tests: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    vulnerabilities: Option<Counts>,
}

/// How many vulnerabilities the newest scans find, by severity.
#[derive(Default, Serialize)]
struct Counts {
    critical: i64,
    high: i64,
    unknown: i64,
    medium: i64,
    low: i64,
    negligible: i64,
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        let utc = at.to_zoned(TimeZone::UTC);
        Self {
            unix: at.as_second(),
            year: utc.year().into(),
            month: utc.month().into(),
            day: utc.day().into(),
            hour: utc.hour().into(),
            minute: utc.minute().into(),
            weekday: utc.weekday().to_monday_one_offset().into(),
        }
    }
}

impl Variables {
    /// # Errors
    /// The finding that stands for facts that are missing, or too many to go through.
    pub(super) fn of(facts: &Facts, name: &ComponentName, image: &Image, evidence: bool) -> Result<Self, Finding> {
        let Some(component) = facts.components.get(name) else {
            return Err(Finding::error(format!("nothing is known of {name}"), "run the command again"));
        };
        bounded(name, image)?;
        component.recorded_commit(name)?;
        let mut digests: BTreeSet<Digest> = component.build_receipt().into_iter().collect();
        let evidence = match evidence {
            true => Some(EvidenceValue::of(component.read_evidence(name)?, image, facts.now, &mut digests)),
            false => None,
        };
        Ok(Self {
            image: ImageValue::from(image),
            build: BuildValue::of(component),
            component: name.to_string(),
            release: facts.release.components().map(|(name, digest)| (name.to_string(), digest.to_string())).collect(),
            from: facts.path.declared.as_ref().map(ToString::to_string),
            to: facts.path.to.to_string(),
            kind: if facts.kind == Kind::Rollback { "rollback" } else { "promote" },
            now: facts.now.into(),
            evidence,
            digests,
        })
    }

    /// Gives them to the interpreter. What is not known stays undeclared; where nothing is before, `from` is null.
    pub(super) fn declare(&self, context: &mut Context<'_, '_>) -> Result<(), String> {
        let why = |e: cel::SerializationError| format!("the facts cannot be told: {e}");
        context.add_variable("image", &self.image).map_err(why)?;
        context.add_variable("component", &self.component).map_err(why)?;
        context.add_variable("release", &self.release).map_err(why)?;
        context.add_variable("from", &self.from).map_err(why)?;
        context.add_variable("to", &self.to).map_err(why)?;
        context.add_variable("kind", self.kind).map_err(why)?;
        context.add_variable("now", &self.now).map_err(why)?;
        if let Some(build) = &self.build {
            context.add_variable("build", build).map_err(why)?;
        }
        if let Some(evidence) = &self.evidence {
            context.add_variable("evidence", evidence).map_err(why)?;
        }
        Ok(())
    }

    /// The digests of what they were taken from, apart from the image.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.digests.iter().copied()
    }
}

fn bounded(name: &ComponentName, image: &Image) -> Result<(), Finding> {
    let all = || image.platforms.iter().map(|platform| &platform.labels).chain([&image.annotations]);
    let few = image.platforms.len() <= MAX_PLATFORMS && all().all(|texts| texts.len() <= MAX_LABELS);
    let bytes: usize = all().flatten().map(|(key, value)| key.len() + value.len()).sum();
    if few && bytes <= MAX_TEXT {
        return Ok(());
    }
    let reason = format!(
        "{name} has more than {MAX_PLATFORMS} platforms, {MAX_LABELS} labels or {MAX_TEXT} bytes of labels and annotations, \
         which no condition goes through"
    );
    Err(Finding::error(reason, "build it with fewer and shorter labels"))
}

impl From<&Image> for ImageValue {
    fn from(image: &Image) -> Self {
        let platforms: Vec<PlatformValue> = image
            .platforms
            .iter()
            .map(|platform| PlatformValue {
                platform: platform.platform.clone(),
                digest: platform.digest.to_string(),
                size: integer(platform.compressed_bytes),
                layers: integer(platform.layers as u64),
                labels: platform.labels.clone(),
            })
            .collect();
        Self {
            digest: image.digest.to_string(),
            media_type: image.media_type.clone(),
            size: platforms.iter().map(|platform| platform.size).max().unwrap_or(0),
            platforms,
            annotations: image.annotations.clone(),
        }
    }
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl BuildValue {
    fn of(component: &ComponentFacts) -> Option<Self> {
        let Fact::Known(build) = &component.build else { return None };
        Some(Self {
            commit: build.fact.commit.clone(),
            version: build.fact.version.clone(),
            run_id: build.fact.run_id.clone(),
            author: build.fact.author.as_ref().map(ToString::to_string),
            repository: build.fact.repository.to_string(),
            recorded_at: build.at.into(),
        })
    }
}

impl EvidenceValue {
    fn of(found: &[Evidence], image: &Image, now: Timestamp, digests: &mut BTreeSet<Digest>) -> Self {
        // Whom to trust for what is for the other gates to say; here counts what anybody answers for whom one of them names.
        let counts = |e: &&Evidence| !e.signers.is_empty() || matches!(e.origin, Origin::Recorded { .. });
        let counted: Vec<&Evidence> = found.iter().filter(counts).collect();
        digests.extend(counted.iter().map(|evidence| evidence.digest));
        let whole = |is: fn(&Claim) -> bool| counted.iter().any(|e| is(&e.claim) && e.is_about(image.digest));
        let each = |is: fn(&Claim) -> bool| {
            let any = |p| counted.iter().any(|e| is(&e.claim) && is_about_platform(e, image, p));
            !image.platforms.is_empty() && image.platforms.iter().all(any)
        };
        Self {
            signature: counted
                .iter()
                .any(|e| e.claim == Claim::Signature && !e.signers.is_empty() && e.is_about(image.digest)),
            provenance: whole(|c| matches!(c, Claim::Provenance(_))) || each(|c| matches!(c, Claim::Provenance(_))),
            sbom: each(|claim| matches!(claim, Claim::Sbom(sbom) if sbom.packages > 0)),
            tests: tested(&counted, image),
            vulnerabilities: Counts::of(&counted, image, now),
        }
    }
}

/// Whether evidence is about one platform. Where there is one platform only, the image as a whole is it.
fn is_about_platform(evidence: &Evidence, image: &Image, platform: &PlatformImage) -> bool {
    evidence.is_about_platform(platform) || (image.platforms.len() == 1 && evidence.is_about(image.digest))
}

/// Whether there are tests of the whole image or of every platform, and none that counts says otherwise.
fn tested(counted: &[&Evidence], image: &Image) -> bool {
    let whole = passed(counted.iter().copied().filter(|e| e.is_about(image.digest)));
    let of = |p| passed(counted.iter().copied().filter(|e| is_about_platform(e, image, p)));
    let each: Vec<Option<bool>> = image.platforms.iter().map(of).collect();
    let failed = whole == Some(false) || each.contains(&Some(false));
    let all = !each.is_empty() && each.iter().all(Option::is_some);
    !failed && (whole.is_some() || all)
}

/// Whether tests passed; `None` if nobody says. Of those that were recorded the newest decides. What is only attached has no
/// date, so that all of it counts.
fn passed<'a>(about: impl Iterator<Item = &'a Evidence>) -> Option<bool> {
    let results: Vec<(Option<Timestamp>, &TestResult)> = about
        .filter_map(|e| match (&e.claim, &e.origin) {
            (Claim::Tests(result), Origin::Recorded { at, .. }) => Some((Some(*at), result)),
            (Claim::Tests(result), _) => Some((None, result)),
            _ => None,
        })
        .collect();
    let newest = results.iter().filter_map(|(at, _)| *at).max();
    let mut last = results.iter().filter(|(at, _)| at.is_none() || *at == newest);
    // Nothing that was tested is nothing that passed.
    (!results.is_empty()).then(|| last.all(|(_, result)| result.passed && result.tests_passed > 0))
}

impl Counts {
    /// What the newest scans of every platform find; nothing at all where a platform has none, or one that does not say.
    /// A scan that is dated in the future would be the newest for a long time, and does not count.
    fn of(counted: &[&Evidence], image: &Image, now: Timestamp) -> Option<Self> {
        let mut worst: BTreeMap<(&str, &str, &str), Severity> = BTreeMap::new();
        for platform in &image.platforms {
            let scans: Vec<&Scan> = counted
                .iter()
                .filter(|e| is_about_platform(e, image, platform))
                .filter_map(|e| if let Claim::Scan(scan) = &e.claim { Some(scan) } else { None })
                .filter(|scan| scan.scanned_at.is_none_or(|at| !is_in_the_future(at, now)))
                .collect();
            let newest = scans.iter().map(|scan| scan.scanned_at).max()?;
            for scan in scans.iter().filter(|scan| scan.scanned_at == newest) {
                for finding in scan.findings.as_ref()? {
                    let of = (finding.id.as_str(), finding.package.as_str(), finding.version.as_str());
                    let severity = worst.entry(of).or_insert(finding.severity);
                    *severity = (*severity).max(finding.severity);
                }
            }
        }
        let mut counts = Self::default();
        for severity in worst.values() {
            *counts.of_severity(*severity) += 1;
        }
        Some(counts)
    }

    fn of_severity(&mut self, severity: Severity) -> &mut i64 {
        match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Unknown => &mut self.unknown,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Negligible => &mut self.negligible,
        }
    }
}

/// Variables of a small image, for tests.
#[cfg(test)]
pub(super) fn sample() -> Variables {
    let digest = crate::testing::digest("image");
    let platform = PlatformValue {
        platform: "linux/amd64".to_owned(),
        digest: digest.to_string(),
        size: 1000,
        layers: 2,
        labels: BTreeMap::new(),
    };
    Variables {
        image: ImageValue {
            digest: digest.to_string(),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            size: 1000,
            platforms: vec![platform],
            annotations: BTreeMap::new(),
        },
        build: None,
        component: "app".to_owned(),
        release: BTreeMap::from([("app".to_owned(), digest.to_string())]),
        from: None,
        to: "production".to_owned(),
        kind: "promote",
        now: crate::testing::at(0).into(),
        evidence: None,
        digests: BTreeSet::new(),
    }
}
