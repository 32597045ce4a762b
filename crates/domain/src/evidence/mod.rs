//! Evidence: what others say about an artifact, read and checked. Facts for gates, no judgement.
//!
//! Whoever gathers evidence finds bytes ([`Form`], [`Origin`]); crate `evidence` reads them into an [`Evidence`], which says
//! whom it is by, what it is about and what it claims. What that is worth is for a gate to say.

mod claim;
mod trust;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use claim::{
    Claim, Finding, Provenance, Sbom, Scan, Severity, TestResult, Vex, VexStatement, VexStatus, VulnerabilityId,
};
pub use trust::{Certificate, Identity, Signer, Trust, TrustRoot};

use crate::{digest::Digest, image::PlatformImage};

/// How a piece of evidence is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A payload with a detached signature, as cosign 2 signs images (sigstore/cosign, `specs/SIGNATURE_SPEC.md`).
    SimpleSigning,
    /// A Sigstore bundle (`application/vnd.dev.sigstore.bundle.v0.3+json`, and v0.1 and v0.2 as they are still found).
    Bundle,
    /// A bare DSSE envelope (secure-systems-lab/dsse, `envelope.md`) with an in-toto statement, as cosign 2 attests.
    Envelope,
    /// An in-toto statement that nobody signed, as BuildKit puts it into an index.
    Statement,
    /// A document as a tool wrote it: a report of a scanner, an SBOM.
    Document,
}

/// Where a piece of evidence was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Attached to the artifact in a registry. Anybody who may push there can put it there.
    Attached,
    /// A child of the index itself, named by its digest. It is as good as a signature over that index.
    Index(Digest),
    /// Handed in to the log with `sealift record`, by whoever may write the log.
    Recorded {
        /// When.
        at: Timestamp,
        /// The digest of the log's body.
        receipt: Digest,
    },
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The digest of the bytes as they were found. Under it they are kept beside the log.
    pub digest: Digest,
    /// How it is wrapped.
    pub form: Form,
    /// Where it was found.
    pub origin: Origin,
    /// The signature that lay beside the bytes, where it is no part of them ([`Form::SimpleSigning`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<DetachedSignature>,
    /// What it is about, by its own word; for what is signed, by the signer's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub subjects: BTreeSet<Digest>,
    /// The image configurations that it names ("image ID"). A scanner that is asked for an index looks at one platform and names
    /// the index all the same; the configuration tells which platform it was.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub configs: BTreeSet<Digest>,
    /// Who signed it, of those that were asked for. Empty: nobody, or nobody that anyone trusts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Signer>,
    /// What it says.
    pub claim: Claim,
    /// Why it has no signer though it is signed, or why it says nothing. Foreign text is not repeated in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// A signature that is stored beside what it signs, as cosign 2 does in annotations (sigstore/cosign, `specs/SIGNATURE_SPEC.md`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachedSignature {
    /// The signature, in base64.
    pub signature: String,
    /// The certificate of who signed, in PEM; `None` where a key signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The certificates above it, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// What the transparency log promised, in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
}

impl Evidence {
    /// Whether it is about `digest`, and not only about one platform of it.
    pub fn is_about(&self, digest: Digest) -> bool {
        self.configs.is_empty() && self.subjects.contains(&digest)
    }

    /// Whether it is about the image of this platform.
    pub fn is_about_platform(&self, platform: &PlatformImage) -> bool {
        match (self.configs.is_empty(), platform.config) {
            (true, _) => self.subjects.contains(&platform.digest),
            (false, config) => config.is_some_and(|config| self.configs.contains(&config)),
        }
    }

    /// The signer that `trust` accepts, if one does.
    pub fn signed_by(&self, trust: &Trust) -> Option<&Signer> {
        self.signers.iter().find(|signer| trust.accepts(signer))
    }
}
