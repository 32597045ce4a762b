//! Which format something has: by its predicate type, or by its first telling field.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::{
    Read, cosign_vuln, cyclonedx,
    either::Shown,
    grype, in_toto_vulns, openvex,
    read::{Reason, Text, reason, refuse},
    sarif, slsa, spdx, test_result, trivy,
};

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Spdx,
    CycloneDx,
    Trivy,
    Grype,
    Sarif,
    CosignVuln,
    InTotoVulns,
    OpenVex,
    Slsa1,
    Slsa02,
    TestResult,
}

/// What a predicate type stands for.
pub(super) enum Type {
    /// A format that is read.
    Known(Kind),
    /// One that ought to be, and is not.
    Unread(Reason),
    /// Something that nobody asks for.
    Other,
}

/// `$schema` of SARIF 2.1.0: it has no predicate type of its own, so its schema's address is taken for one.
const SARIF: [&str; 5] = [
    "https://json.schemastore.org/sarif-2.1.0.json",
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
    "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json",
    "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json",
];

impl Type {
    /// What `predicate_type` stands for.
    pub(super) fn of(predicate_type: &str) -> Self {
        // Of these, later versions are told apart by what stands in the predicate.
        let version_of = |name: &str| {
            let rest = predicate_type.strip_prefix(name)?;
            if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
        };
        if let Some(version) = version_of("https://spdx.dev/Document") {
            return if version.starts_with("v3") { Self::Unread(SPDX_3) } else { Self::Known(Kind::Spdx) };
        }
        if version_of("https://cyclonedx.org/bom").is_some() {
            return Self::Known(Kind::CycloneDx);
        }
        if version_of("https://openvex.dev/ns").is_some() {
            return Self::Known(Kind::OpenVex);
        }
        match predicate_type {
            slsa::V1 => Self::Known(Kind::Slsa1),
            slsa::V02 => Self::Known(Kind::Slsa02),
            "https://slsa.dev/provenance/v0.1" => Self::Unread("SLSA provenance 0.1 is not read, only 0.2 and 1"),
            // Cosign before 1.9 wrote it without scheme.
            "https://cosign.sigstore.dev/attestation/vuln/v1" | "cosign.sigstore.dev/attestation/vuln/v1" => {
                Self::Known(Kind::CosignVuln)
            }
            "https://in-toto.io/attestation/vulns/v0.1" | "https://in-toto.io/attestation/vulns/v0.2" => {
                Self::Known(Kind::InTotoVulns)
            }
            "https://in-toto.io/attestation/test-result/v0.1" => Self::Known(Kind::TestResult),
            other if SARIF.contains(&other) => Self::Known(Kind::Sarif),
            _ => Self::Other,
        }
    }
}

/// Why SPDX 3 is not read.
pub(super) const SPDX_3: Reason = "SPDX 3 is not read, only SPDX 2.2 and 2.3";

impl Kind {
    /// What it is called where there is no predicate type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spdx => "SPDX",
            Self::CycloneDx => "CycloneDX",
            Self::Trivy => "Trivy",
            Self::Grype => "Grype",
            Self::Sarif => "SARIF",
            Self::CosignVuln => "https://cosign.sigstore.dev/attestation/vuln/v1",
            Self::InTotoVulns => "https://in-toto.io/attestation/vulns/v0.2",
            Self::OpenVex => "OpenVEX",
            Self::Slsa1 => slsa::V1,
            Self::Slsa02 => slsa::V02,
            Self::TestResult => "https://in-toto.io/attestation/test-result/v0.1",
        }
    }

    /// Reads a document of this kind.
    pub(super) fn read(self, text: &str) -> Result<Read, String> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = self.read_from(&mut deserializer).map_err(|error| reason(&error))?;
        deserializer.end().map_err(|error| reason(&error))?;
        Ok(read)
    }

    /// Reads a document of this kind where it stands.
    pub(super) fn read_from<'de, D: Deserializer<'de>>(self, from: D) -> Result<Read, D::Error> {
        match self {
            Self::Spdx => spdx::Document::deserialize(from)?.read(),
            Self::CycloneDx => cyclonedx::Document::deserialize(from)?.read(),
            Self::Trivy => trivy::Report::deserialize(from)?.read(),
            Self::Grype => grype::Report::deserialize(from)?.read(),
            Self::Sarif => sarif::Report::deserialize(from)?.read(),
            Self::CosignVuln => cosign_vuln::Predicate::deserialize(from)?.read(),
            Self::InTotoVulns => in_toto_vulns::Predicate::deserialize(from)?.read(),
            Self::OpenVex => openvex::Document::deserialize(from)?.read(),
            Self::Slsa1 => slsa::Predicate1::deserialize(from)?.read(),
            Self::Slsa02 => slsa::Predicate02::deserialize(from)?.read(),
            Self::TestResult => test_result::Predicate::deserialize(from)?.read(),
        }
        .map_err(refuse)
    }

    /// The kind of a scanner's report.
    pub(super) fn of_report(text: &str) -> Option<Self> {
        match Shape::of(text) {
            Ok(Shape::Kind(kind @ (Self::Trivy | Self::Grype | Self::Sarif))) => Some(kind),
            _ => None,
        }
    }
}

/// What a document as a tool wrote it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A format that is read.
    Kind(Kind),
    /// An in-toto statement.
    Statement,
    /// Something else that is known, and what to do about it.
    Unread(Reason),
}

impl Shape {
    /// The shape by the first field that only one format has. Nothing after that field is looked at, so this takes no
    /// time with the documents of real tools.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        let found = Cell::new(None);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match (deserializer.deserialize_map(Fields(&found)), found.get()) {
            (_, Some(shape)) => Ok(shape),
            (Err(error), None) => Err(reason(&error)),
            (Ok(()), None) => Err("it has none of the fields by which a format is known".to_owned()),
        }
    }

    fn of_field(name: &str) -> Option<Self> {
        Some(match name {
            "spdxVersion" | "SPDXID" | "dataLicense" => Self::Kind(Kind::Spdx),
            "bomFormat" | "specVersion" => Self::Kind(Kind::CycloneDx),
            "SchemaVersion" | "ArtifactName" | "Results" => Self::Kind(Kind::Trivy),
            "matches" | "ignoredMatches" | "descriptor" => Self::Kind(Kind::Grype),
            "runs" => Self::Kind(Kind::Sarif),
            "scanner" | "invocation" => Self::Kind(Kind::CosignVuln),
            "passedTests" | "warnedTests" | "failedTests" => Self::Kind(Kind::TestResult),
            "_type" | "predicateType" => Self::Statement,
            "buildDefinition" | "runDetails" | "buildType" => {
                Self::Unread("provenance names no image: hand in the statement around it")
            }
            "dsseEnvelope" | "payloadType" | "verificationMaterial" => {
                Self::Unread("it is a signed envelope, and only documents are read here: attach it to the image")
            }
            "artifacts" | "artifactRelationships" => {
                Self::Unread("it is Syft's own format: write it with `-o spdx-json` or `-o cyclonedx-json`")
            }
            _ => return None,
        })
    }
}

/// Looks at the fields of a document until one tells which format it is.
struct Fields<'f>(&'f Cell<Option<Shape>>);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut result = false;
        while let Some(name) = map.next_key::<Text<'de>>()? {
            let found = match &*name {
                "@context" => Some(context(&map.next_value::<Shown>()?.0.unwrap_or_default())),
                known => Shape::of_field(known),
            };
            if found.is_some() {
                self.0.set(found);
                return Err(A::Error::custom("found"));
            }
            result |= &*name == "result";
            map.next_value::<IgnoredAny>()?;
        }
        // A test result needs no list of tests; its other fields could be anybody's.
        if result {
            self.0.set(Some(Shape::Kind(Kind::TestResult)));
        }
        Ok(())
    }
}

/// What JSON-LD with this context is.
fn context(context: &str) -> Shape {
    if context.starts_with("https://openvex.dev/ns") {
        Shape::Kind(Kind::OpenVex)
    } else if context.starts_with("https://spdx.org/rdf/3") {
        Shape::Unread(SPDX_3)
    } else {
        Shape::Unread("it is JSON-LD, and of that only OpenVEX is read")
    }
}
