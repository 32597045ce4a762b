//! Reports in SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format", sections 3.14, 3.19, 3.27, 3.49).
//!
//! How bad a result is stands in its rule: `properties.security-severity`, a CVSS score, as Trivy, Grype and CodeQL
//! write it. Where there is none, the `level` counts: that of the result, else the rule's `defaultConfiguration.level`, else
//! `warning` (section 3.27.10). An `error` is high, a `warning` medium, a `note` low, and `none` unknown. A suppressed result is a finding all
//! the same: what does not matter is for those to say whom the policy trusts with that.

use std::{borrow::Cow, collections::HashMap};

use sealift_domain::evidence::{Claim, Finding, Scan, Severity};
use serde::{Deserialize, Deserializer};

use super::{
    Read,
    either::{IfObject, Shown},
    read::{Kept, List, MAX_FINDINGS, Reason, TOO_MANY_FINDINGS, Text, Time, each, items, keep, moment, refuse},
    severity,
};

/// A report.
#[derive(Deserialize)]
pub(super) struct Report<'a> {
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    runs: Option<List<Run<'a>>>,
}

#[derive(Deserialize)]
struct Run<'a> {
    #[serde(borrow)]
    tool: Tool<'a>,
    #[serde(borrow)]
    results: Option<Results<'a>>,
    invocations: Option<List<Invocation>>,
}

#[derive(Deserialize)]
struct Invocation {
    #[serde(rename = "endTimeUtc")]
    end: Option<Time>,
    #[serde(rename = "executionSuccessful")]
    successful: Option<bool>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    driver: Component<'a>,
    /// CodeQL's rules stand in its query packs.
    #[serde(borrow)]
    extensions: Option<List<Component<'a>>>,
}

#[derive(Deserialize)]
struct Component<'a> {
    name: Option<Kept>,
    version: Option<Shown>,
    #[serde(rename = "semanticVersion")]
    semantic: Option<Shown>,
    #[serde(borrow)]
    rules: Option<Rules<'a>>,
}

/// The rules of a component, in their order.
#[derive(Default)]
struct Rules<'a>(Vec<(Cow<'a, str>, Rated)>);

/// How bad what a rule finds is: by its score, and by its level where it has no score.
#[derive(Clone, Copy, Default)]
struct Rated {
    score: Option<Severity>,
    level: Option<Severity>,
}

impl Rated {
    /// The worse of two rules of one name; a score goes before a level.
    fn or_worse(self, other: Self) -> Self {
        Self { score: self.score.max(other.score), level: self.level.max(other.level) }
    }
}

#[derive(Deserialize)]
struct Rule<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    properties: Option<IfObject<Properties>>,
    #[serde(rename = "defaultConfiguration", borrow)]
    usual: Option<IfObject<Usual<'a>>>,
}

#[derive(Deserialize)]
struct Usual<'a> {
    #[serde(borrow)]
    level: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "security-severity")]
    severity: Option<Score>,
}

/// A score as a number or as a text.
struct Score(Severity);

/// The results that are findings.
#[derive(Default)]
struct Results<'a>(Vec<Found<'a>>);

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(rename = "ruleId", borrow)]
    id: Option<Text<'a>>,
    #[serde(rename = "ruleIndex")]
    index: Option<i64>,
    #[serde(borrow)]
    rule: Option<RuleReference<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    level: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<IfObject<Message<'a>>>,
}

#[derive(Deserialize)]
struct RuleReference<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scores;
        impl serde::de::Visitor<'_> for Scores {
            type Value = Score;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a score")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Score, E> {
                severity::of_text(text).map(Score).map_err(refuse)
            }

            fn visit_f64<E>(self, score: f64) -> Result<Score, E> {
                Ok(Score(severity::of_score(score)))
            }

            fn visit_u64<E>(self, score: u64) -> Result<Score, E> {
                Ok(Score(u32::try_from(score).map_or(Severity::Unknown, |score| severity::of_score(score.into()))))
            }
        }
        deserializer.deserialize_any(Scores)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Rules<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rules = Vec::new();
        each(deserializer, |rule: Rule<'de>| {
            if rules.len() == MAX_FINDINGS {
                return Err("it has more than 100000 rules");
            }
            let score = rule.properties.and_then(|properties| properties.0?.severity);
            let level = rule.usual.and_then(|usual| usual.0?.level).map(|level| of_level(&level)).transpose()?;
            rules.push((rule.id.0, Rated { score: score.map(|score| score.0), level }));
            Ok(())
        })?;
        Ok(Self(rules))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Results<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut results = Vec::new();
        each(deserializer, |result: Found<'de>| {
            // A result may say that something is in order, or was not looked at (3.27.9).
            if matches!(result.kind.as_deref(), Some("pass" | "notApplicable")) {
                return Ok(());
            }
            if results.len() == MAX_FINDINGS {
                return Err(TOO_MANY_FINDINGS);
            }
            results.push(result);
            Ok(())
        })?;
        Ok(Self(results))
    }
}

impl Report<'_> {
    /// What it says. Of several runs each must say what it found, or nothing is known of the whole.
    pub(super) fn read(self) -> Result<Read, Reason> {
        if &*self.version != "2.1.0" {
            return Err("only SARIF 2.1.0 is read");
        }
        let mut scan = Scan::default();
        let (mut scanners, mut ends): (Vec<String>, Vec<_>) = Default::default();
        let mut findings = self.runs.is_some().then(Vec::new);
        let runs = items(self.runs);
        if runs.is_empty() {
            findings = None;
        }
        for run in runs {
            let scanner = run.tool.driver.scanner();
            if !scanners.contains(&scanner) {
                scanners.push(scanner);
            }
            let invocations = items(run.invocations);
            let failed = invocations.iter().any(|invocation| invocation.successful == Some(false));
            ends.push(invocations.into_iter().filter_map(|invocation| moment(invocation.end)).min());
            match (&mut findings, run.results) {
                (Some(findings), Some(results)) if !failed => run.tool.findings(results, findings)?,
                _ => findings = None,
            }
        }
        scan.scanner = keep(&scanners.join(", "))?;
        // The oldest run counts, and one that does not say when it was makes the whole undated.
        scan.scanned_at = ends.into_iter().collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().min());
        scan.findings = findings;
        Ok(Read { claim: Claim::Scan(scan), ..Read::default() })
    }
}

impl Component<'_> {
    fn scanner(&self) -> String {
        let name = self.name.as_ref().map_or("a tool without name", |name| &name.0);
        let version = [&self.semantic, &self.version].into_iter().flatten().find_map(|shown| shown.0.as_ref());
        version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
    }
}

impl Tool<'_> {
    fn findings(self, results: Results<'_>, findings: &mut Vec<Finding>) -> Result<(), Reason> {
        let driver = self.driver.rules.unwrap_or_default().0;
        let extensions = items(self.extensions);
        let more = extensions.iter().flat_map(|component| component.rules.iter().flat_map(|rules| &rules.0));
        let mut worst: HashMap<&str, Rated> = HashMap::new();
        for (id, rated) in driver.iter().chain(more) {
            let of_rule = worst.entry(id).or_default();
            *of_rule = of_rule.or_worse(*rated);
        }
        for result in results.0 {
            if findings.len() == MAX_FINDINGS {
                return Err(TOO_MANY_FINDINGS);
            }
            let by_index = result.index.and_then(|index| driver.get(usize::try_from(index).ok()?));
            let id = result.id.or(result.rule.and_then(|rule| rule.id)).map(|id| id.0);
            let id = id.or(by_index.map(|rule| rule.0.clone())).ok_or("a result does not say which rule it is of")?;
            let rated = worst.get(&*id).copied().or(by_index.map(|rule| rule.1)).unwrap_or_default();
            let level = result.level.map(|level| of_level(&level)).transpose()?;
            let severity = rated.score.or(level).or(rated.level).unwrap_or(Severity::Medium);
            let message = result.message.and_then(|message| message.0?.text).unwrap_or_default();
            findings.push(finding(&id, severity, &message)?);
        }
        Ok(())
    }
}

/// How bad a level is (section 3.27.10).
fn of_level(level: &str) -> Result<Severity, Reason> {
    match level {
        "error" => Ok(Severity::High),
        "warning" => Ok(Severity::Medium),
        "note" => Ok(Severity::Low),
        "none" => Ok(Severity::Unknown),
        _ => Err("a level in it is none that SARIF knows"),
    }
}

/// A finding, with the package as Trivy's message names it line by line (`pkg/report/sarif.go`).
fn finding(id: &str, severity: Severity, message: &str) -> Result<Finding, Reason> {
    let (mut package, mut version, mut fixed) = ("", "", "");
    for line in message.lines().take(16) {
        match line.split_once(": ") {
            Some(("Package", name)) => package = name.trim(),
            Some(("Installed Version", name)) => version = name.trim(),
            Some(("Fixed Version", name)) => fixed = name.trim(),
            _ => {}
        }
    }
    Ok(Finding {
        id: keep(id)?,
        aliases: Default::default(),
        severity,
        package: keep(package)?,
        version: keep(version)?,
        purl: None,
        fixed_in: Some(keep(fixed)?).filter(|version| !version.is_empty()),
    })
}
