//! What evidence says, in the few words that gates need. Everything in it is by the word of whoever made the evidence.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a piece of evidence says of its subjects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "kebab-case")]
pub enum Claim {
    /// That the signer stands for it, and nothing more.
    Signature,
    /// How it was built.
    Provenance(Provenance),
    /// What is in it.
    Sbom(Sbom),
    /// Which vulnerabilities a scanner found.
    Scan(Scan),
    /// Which vulnerabilities do not matter, and why.
    Vex(Vex),
    /// How tests went.
    Tests(TestResult),
    /// Something that no gate asks for, or in a form that nothing here reads: its predicate type or media type.
    Other {
        /// The type.
        kind: String,
    },
    /// Something that should be one of the above and cannot be read; [`super::Evidence::why_not`] says why.
    Unreadable {
        /// What it should be: a predicate type, media type, or the name of a format.
        kind: String,
    },
}

/// SLSA provenance (`https://slsa.dev/provenance/v1`, and v0.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The predicate type.
    pub format: String,
    /// Who built it: `runDetails.builder.id`, or `builder.id`.
    pub builder: Option<String>,
    /// What kind of build it was: `buildDefinition.buildType`, or `buildType`.
    pub build_type: Option<String>,
    /// The source repository, as a URI without reference and without `git+`.
    pub source: Option<String>,
    /// The source commit, 40 or 64 lower-case hexadecimal digits.
    pub commit: Option<String>,
    /// The run: `runDetails.metadata.invocationId`, or `metadata.buildInvocationId`.
    pub run: Option<String>,
    /// When the build ended, if that is said.
    pub finished_at: Option<Timestamp>,
}

/// A software bill of materials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sbom {
    /// The format with its version, for instance `SPDX 2.3` or `CycloneDX 1.6`.
    pub format: String,
    /// What made it, as it says itself.
    pub tool: Option<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// How many packages it lists.
    pub packages: u64,
    /// The packages (`name@version`) by what is said of their licence: an SPDX licence expression, or a name that is none.
    /// The concluded licence counts before the declared one; a package of which nothing is said is under the empty text.
    pub licences: BTreeMap<String, BTreeSet<String>>,
}

/// What a scanner found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The scanner with its version, if it says so.
    pub scanner: String,
    /// When it ran.
    pub scanned_at: Option<Timestamp>,
    /// When its database was made.
    pub database_at: Option<Timestamp>,
    /// What it found. `None`: the report does not say, which is something else than nothing.
    pub findings: Option<Vec<Finding>>,
}

/// One vulnerability in one package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Which: `CVE-2026-1234`, `GHSA-…`.
    pub id: VulnerabilityId,
    /// Its other names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub aliases: BTreeSet<VulnerabilityId>,
    /// How bad.
    pub severity: Severity,
    /// The package's name.
    pub package: String,
    /// The package's version as it is installed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The package as a package URL (ECMA-427), if the report says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// The version that is without it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_in: Option<String>,
}

/// The name of a vulnerability, as its database writes it.
pub type VulnerabilityId = String;

/// How bad a vulnerability is. One of unknown severity is not harmless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Of no consequence.
    Negligible,
    /// CVSS up to 3.9.
    Low,
    /// CVSS 4.0 to 6.9.
    Medium,
    /// The scanner does not know. It counts above medium.
    #[default]
    Unknown,
    /// CVSS 7.0 to 8.9.
    High,
    /// CVSS from 9.0.
    Critical,
}

/// A VEX document (OpenVEX 0.2.0).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vex {
    /// Who says so, by the document's own word. Only a signer proves it.
    pub author: String,
    /// When it was issued or last changed.
    pub at: Option<Timestamp>,
    /// What it says, in the document's order: of several about the same, the newest counts.
    pub statements: Vec<VexStatement>,
}

/// What a VEX document says of one vulnerability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VexStatement {
    /// The vulnerability and its aliases.
    pub vulnerabilities: BTreeSet<VulnerabilityId>,
    /// The products: package URLs, digests (`sha256:…`) or other identifiers. Empty: the subject of the document.
    pub products: BTreeSet<String>,
    /// Parts of the products that it is limited to. Empty: the whole product.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub subcomponents: BTreeSet<String>,
    /// What is so.
    pub status: VexStatus,
    /// Why it does not matter: the justification, or the impact statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// When it was said, if otherwise than the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// The status of a vulnerability in a product (OpenVEX, "Status Labels").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VexStatus {
    /// It does not matter there.
    NotAffected,
    /// It matters.
    Affected,
    /// It is mended.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

/// How tests went (`https://in-toto.io/attestation/test-result/v0.1`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// Whether they passed; warnings pass.
    pub passed: bool,
    /// How many passed.
    pub tests_passed: u64,
    /// The names of those that failed.
    pub failed: Vec<String>,
    /// Where the run can be seen.
    pub url: Option<String>,
}
