//! Reports of Trivy, JSON, schema version 2 (aquasecurity/trivy, `pkg/types/report.go`).
//!
//! What Trivy was told to ignore, by a file of its own or by a VEX document, stands in `ExperimentalModifiedFindings` of the
//! result (`--show-suppressed`). It is a finding all the same, whatever its status: what does not matter is for those to say
//! whom the policy trusts with that.
//!
//! Trivy leaves out what is empty. A result of packages (`Class` is `os-pkgs` or
//! `lang-pkgs`) without `Vulnerabilities` is how it writes that none was found there, and is read so; a report
//! without any such result says nothing, because it looks the same whether there were no packages or nobody looked.
//!
//! `Metadata.RepoDigests` is what was asked for, which for an image of several platforms is the index, though one
//! platform was scanned. `Metadata.ImageID`, the digest of the configuration, says which.

use std::collections::BTreeSet;

use sealift_domain::evidence::{Claim, Finding, Scan, Severity};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    Read,
    either::{IfObject, Shown},
    names,
    read::{Kept, List, MAX_FINDINGS, Reason, TOO_MANY_FINDINGS, Text, Time, each, items, moment, said},
    severity,
};

/// A report.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report<'a> {
    schema_version: u64,
    trivy: Option<IfObject<Program>>,
    created_at: Option<Time>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    results: Option<Results>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Program {
    version: Option<Shown>,
    /// Only where a server scanned.
    server: Option<IfObject<Server>>,
}

#[derive(Deserialize)]
struct Server {
    #[serde(rename = "VulnerabilityDB")]
    database: Option<IfObject<Database>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Database {
    updated_at: Option<Time>,
}

#[derive(Default, Deserialize)]
struct Metadata<'a> {
    #[serde(rename = "ImageID", borrow)]
    image: Option<Text<'a>>,
    #[serde(rename = "RepoDigests", borrow)]
    digests: Option<List<Text<'a>>>,
}

#[derive(Default)]
struct Results {
    /// Whether a result says that vulnerabilities were looked for.
    looked: bool,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OneResult<'a> {
    #[serde(borrow)]
    class: Option<Text<'a>>,
    vulnerabilities: Option<Vulnerabilities>,
    #[serde(rename = "ExperimentalModifiedFindings")]
    modified: Option<Modified>,
}

/// The vulnerabilities among what was modified.
#[derive(Default)]
struct Modified(Vec<Finding>);

/// Something of which the scanner was told how it is to be taken. Of what type it is, comes before it or after it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModifiedFinding<'a> {
    #[serde(rename = "Type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    finding: Option<&'a RawValue>,
}

#[derive(Default)]
struct Vulnerabilities(Vec<Finding>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability<'a> {
    #[serde(rename = "VulnerabilityID")]
    id: Kept,
    #[serde(rename = "VendorIDs")]
    others: Option<List<Kept>>,
    pkg_name: Kept,
    installed_version: Option<Kept>,
    fixed_version: Option<Kept>,
    #[serde(borrow)]
    severity: Option<Text<'a>>,
    pkg_identifier: Option<Identifier>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "PURL")]
    purl: Option<Kept>,
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut results = Self::default();
        each(deserializer, |result: OneResult<'de>| {
            results.looked |= match result.class.as_deref() {
                Some("os-pkgs" | "lang-pkgs") => true,
                _ => {
                    result.vulnerabilities.is_some()
                        || result.modified.as_ref().is_some_and(|modified| !modified.0.is_empty())
                }
            };
            results.findings.append(&mut result.vulnerabilities.unwrap_or_default().0);
            results.findings.append(&mut result.modified.unwrap_or_default().0);
            if results.findings.len() > MAX_FINDINGS { Err(TOO_MANY_FINDINGS) } else { Ok(()) }
        })?;
        Ok(results)
    }
}

impl<'de> Deserialize<'de> for Modified {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Vec::new();
        each(deserializer, |modified: ModifiedFinding<'de>| {
            if modified.kind.is_some_and(|kind| &*kind != "vulnerability") {
                return Ok(());
            }
            if found.len() == MAX_FINDINGS {
                return Err(TOO_MANY_FINDINGS);
            }
            let finding = modified.finding.map_or("null", RawValue::get);
            let finding: Vulnerability<'de> =
                serde_json::from_str(finding).map_err(|_| "a finding that was ignored cannot be read")?;
            found.push(finding.finding()?);
            Ok(())
        })?;
        Ok(Self(found))
    }
}

impl<'de> Deserialize<'de> for Vulnerabilities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Vec::new();
        each(deserializer, |vulnerability: Vulnerability<'de>| {
            if found.len() == MAX_FINDINGS {
                return Err(TOO_MANY_FINDINGS);
            }
            found.push(vulnerability.finding()?);
            Ok(())
        })?;
        Ok(Self(found))
    }
}

impl Vulnerability<'_> {
    fn finding(self) -> Result<Finding, Reason> {
        // Advisories of distributions cover several vulnerabilities at once and are no other name of any of them.
        let is_name = |id: &String| id.starts_with("GHSA-") || id.starts_with("CVE-");
        let aliases: BTreeSet<_> = items(self.others).into_iter().map(|id| id.0).filter(is_name).collect();
        Ok(Finding {
            id: self.id.0,
            aliases,
            severity: self.severity.map_or(Ok(Severity::Unknown), |word| severity::of_word(&word))?,
            package: self.pkg_name.0,
            version: self.installed_version.unwrap_or_default().0,
            purl: said(self.pkg_identifier.and_then(|identifier| identifier.purl)),
            fixed_in: said(self.fixed_version),
        })
    }
}

impl Report<'_> {
    /// What it says.
    pub(super) fn read(self) -> Result<Read, Reason> {
        if self.schema_version != 2 {
            return Err("only version 2 of Trivy's schema is read");
        }
        let program = self.trivy.and_then(|program| program.0);
        let (version, server) = program.map_or((None, None), |program| (program.version, program.server));
        let database = server.and_then(|server| server.0?.database?.0);
        let metadata = self.metadata.unwrap_or_default();
        let scan = Scan {
            scanner: match version.and_then(|version| version.0) {
                Some(version) => format!("Trivy {version}"),
                None => "Trivy".to_owned(),
            },
            scanned_at: moment(self.created_at),
            database_at: moment(database.and_then(|database| database.updated_at)),
            findings: self.results.and_then(|results| results.looked.then_some(results.findings)),
        };
        Ok(Read {
            claim: Claim::Scan(scan),
            subjects: items(metadata.digests).iter().filter_map(|name| names::digest(name)).collect(),
            configs: metadata.image.and_then(|image| names::digest(&image)).into_iter().collect(),
            ..Read::default()
        })
    }
}
