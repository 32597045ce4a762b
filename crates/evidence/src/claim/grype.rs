//! Reports of Grype, JSON (anchore/grype, `grype/presenter/models`).
//!
//! `source.target.repoDigests` can be the index of an image of several platforms, of which one was scanned;
//! `manifestDigest` and `imageID` say which. What Grype was told to ignore stands in
//! `ignoredMatches` and not in `matches`. It is a finding all the same: what does not matter is for those to say whom the
//! policy trusts with that.

use sealift_domain::evidence::{Claim, Finding, Scan, Severity};
use serde::{Deserialize, Deserializer};

use super::{
    Read,
    either::{IfObject, Shown},
    names,
    read::{Kept, List, MAX_FINDINGS, Reason, TOO_MANY_FINDINGS, Text, Time, each, items, moment, said},
    severity,
};

/// A report.
#[derive(Deserialize)]
pub(super) struct Report<'a> {
    matches: Option<Matches>,
    #[serde(rename = "ignoredMatches")]
    ignored: Option<Matches>,
    #[serde(borrow)]
    source: Option<Source<'a>>,
    descriptor: Option<Descriptor>,
}

#[derive(Default)]
struct Matches(Vec<Finding>);

#[derive(Deserialize)]
struct Match<'a> {
    #[serde(borrow)]
    vulnerability: Vulnerability<'a>,
    #[serde(rename = "relatedVulnerabilities")]
    related: Option<List<Related>>,
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Vulnerability<'a> {
    id: Kept,
    #[serde(borrow)]
    severity: Option<Text<'a>>,
    #[serde(borrow)]
    fix: Option<Fix<'a>>,
}

#[derive(Deserialize)]
struct Fix<'a> {
    versions: Option<List<Kept>>,
    #[serde(borrow)]
    state: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Related {
    id: Kept,
}

#[derive(Deserialize)]
struct Artifact {
    name: Kept,
    version: Option<Kept>,
    purl: Option<Kept>,
}

/// What was scanned. Its `target` is an object for images, a text for everything else.
#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    target: Option<IfObject<Target<'a>>>,
}

#[derive(Deserialize)]
struct Target<'a> {
    #[serde(rename = "imageID", borrow)]
    image: Option<Text<'a>>,
    #[serde(rename = "manifestDigest", borrow)]
    manifest: Option<Text<'a>>,
    #[serde(rename = "repoDigests", borrow)]
    digests: Option<List<Text<'a>>>,
}

#[derive(Deserialize)]
struct Descriptor {
    version: Option<Shown>,
    timestamp: Option<Time>,
    db: Option<IfObject<Database>>,
}

/// `built` stood here until version 5 of the database, and stands in `status` since version 6.
#[derive(Deserialize)]
struct Database {
    built: Option<Time>,
    status: Option<IfObject<Status>>,
}

#[derive(Deserialize)]
struct Status {
    built: Option<Time>,
}

impl<'de> Deserialize<'de> for Matches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Vec::new();
        each(deserializer, |one: Match<'de>| {
            if found.len() == MAX_FINDINGS {
                return Err(TOO_MANY_FINDINGS);
            }
            found.push(one.finding()?);
            Ok(())
        })?;
        Ok(Self(found))
    }
}

impl Match<'_> {
    fn finding(self) -> Result<Finding, Reason> {
        let Vulnerability { id, severity, fix } = self.vulnerability;
        let id = id.0;
        let fix = fix.filter(|fix| fix.state.as_deref() == Some("fixed"));
        Ok(Finding {
            aliases: items(self.related).into_iter().map(|related| related.id.0).filter(|alias| *alias != id).collect(),
            id,
            severity: severity.map_or(Ok(Severity::Unknown), |word| severity::of_word(&word))?,
            package: self.artifact.name.0,
            version: self.artifact.version.unwrap_or_default().0,
            purl: said(self.artifact.purl),
            fixed_in: fix.and_then(|fix| said(items(fix.versions).into_iter().next())),
        })
    }
}

impl Report<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        let descriptor = self.descriptor.ok_or("it does not say what made it")?;
        let target = self.source.and_then(|source| source.target?.0);
        let database = descriptor.db.and_then(|db| db.0);
        let built = database.and_then(|db| moment(db.built).or_else(|| moment(db.status?.0?.built)));
        let mut findings = self.matches.map(|matches| matches.0);
        if let (Some(findings), Some(Matches(mut ignored))) = (&mut findings, self.ignored) {
            findings.append(&mut ignored);
            if findings.len() > MAX_FINDINGS {
                return Err(TOO_MANY_FINDINGS);
            }
        }
        let scan = Scan {
            scanner: match descriptor.version.and_then(|version| version.0) {
                Some(version) => format!("Grype {version}"),
                None => "Grype".to_owned(),
            },
            scanned_at: moment(descriptor.timestamp),
            database_at: built,
            findings,
        };
        let mut read = Read { claim: Claim::Scan(scan), ..Read::default() };
        if let Some(target) = target {
            read.configs.extend(target.image.and_then(|image| names::digest(&image)));
            read.subjects.extend(target.manifest.and_then(|manifest| names::digest(&manifest)));
            read.subjects.extend(items(target.digests).iter().filter_map(|name| names::digest(name)));
        }
        Ok(read)
    }
}
