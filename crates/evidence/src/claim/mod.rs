//! What documents say: SBOMs, reports of scanners, provenance, test results, VEX, and in-toto statements about them.
//!
//! Everything here is by the document's own word. What is read of each format, and where that is written down, stands
//! in the module of its name. Reading fails closed: what is absent is unknown, never nothing; what is of the wrong type
//! where it matters makes the document unreadable; a key that stands there twice does too. What is not asked for is
//! skipped without being kept, so that a document takes little more memory than what is said of it.

mod cosign_vuln;
mod cyclonedx;
mod either;
mod grype;
mod in_toto_vulns;
mod kind;
mod names;
mod openvex;
mod predicate;
mod read;
mod sarif;
mod severity;
mod slsa;
mod spdx;
mod statement;
mod tally;
mod test_result;
mod trivy;

use std::collections::BTreeSet;

use sealift_domain::{digest::Digest, evidence::Claim};

use kind::{Kind, Shape};

/// The largest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 64 * 1024 * 1024;

/// What a document or a statement says of which image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The digests that it names as its subject; for a document, of manifests or of an index. A document of a tool can
    /// name none: then whoever hands it in must say what it is about.
    ///
    /// A scanner that is asked for an image of several platforms looks at one and may name the index all the same: see
    /// `configs`.
    pub subjects: BTreeSet<Digest>,
    /// The digests of image configurations that it names ("image ID"). A configuration belongs to one platform: where
    /// there is one, the document is about the platforms with such a configuration and not about the whole index.
    pub configs: BTreeSet<Digest>,
    /// What it says.
    pub claim: Claim,
    /// Why it says nothing, or not all. Nothing of the document is repeated in it.
    pub why_not: Option<String>,
}

/// Why something is not read. Nothing of it is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Why(String);

/// What the modules of the formats give back.
struct Read {
    claim: Claim,
    subjects: BTreeSet<Digest>,
    configs: BTreeSet<Digest>,
    why_not: Option<read::Reason>,
}

impl Default for Read {
    fn default() -> Self {
        Self {
            claim: Claim::Other { kind: String::new() },
            subjects: BTreeSet::new(),
            configs: BTreeSet::new(),
            why_not: None,
        }
    }
}

/// What a predicate of this type says, given its JSON text, and why it says nothing. A type that nobody asks for is
/// [`Claim::Other`], a predicate that cannot be read [`Claim::Unreadable`].
pub fn of_predicate(predicate_type: &str, predicate: &str) -> (Claim, Option<String>) {
    if predicate.len() > MAX_DOCUMENT {
        let kind = predicate_type.chars().take(read::MAX_TEXT / 4).collect();
        return (Claim::Unreadable { kind }, Some(TOO_LARGE.to_owned()));
    }
    let (read, why_not) = predicate::read(predicate_type, predicate);
    (read.claim, why_not)
}

/// What an in-toto statement says, and of what.
///
/// # Errors
///
/// If it is no statement, or names no subject by its SHA-256, or too many. A predicate that cannot be read is no error
/// but [`Claim::Unreadable`]: its subjects are known.
pub fn of_statement(bytes: &[u8]) -> Result<Said, Why> {
    statement::read(text(bytes)?)
}

/// What a document says, as a tool wrote it: an SBOM (SPDX, CycloneDX), a report (Trivy, Grype, cosign's frame around
/// one), OpenVEX, a test result, or an in-toto statement.
///
/// # Errors
///
/// If it is none of these or cannot be read, and for SARIF, which names no image.
pub fn of_document(bytes: &[u8]) -> Result<Said, Why> {
    let text = text(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let kind = match text.trim_start().as_bytes().first() {
        Some(b'{') => match Shape::of(text).map_err(Why)? {
            Shape::Kind(Kind::Sarif) => return Err(why("SARIF names no image: wrap it in a signed statement")),
            Shape::Kind(kind) => kind,
            Shape::Statement => return statement::read(text),
            Shape::Unread(reason) => return Err(why(reason)),
        },
        Some(b'<') => return Err(why(XML)),
        Some(_) => return Err(why("it is not a JSON object")),
        None => return Err(why("it is empty")),
    };
    let read = kind.read(text).map_err(|why| Why(format!("{} that cannot be read: {why}", kind.name())))?;
    let why_not = read.why_not.map(str::to_owned);
    Ok(Said { subjects: read.subjects, configs: read.configs, claim: read.claim, why_not })
}

const TOO_LARGE: &str = "it is larger than 64 MiB";
/// What to hand in instead of XML.
const XML: &str = "it is XML, and only JSON is read: hand in an SBOM in JSON, or for JUnit the predicate of a test result \
                   (https://in-toto.io/attestation/test-result/v0.1)";

fn why(text: &str) -> Why {
    Why(text.to_owned())
}

fn text(bytes: &[u8]) -> Result<&str, Why> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(why(TOO_LARGE));
    }
    std::str::from_utf8(bytes).map_err(|_| why("it is not UTF-8"))
}
