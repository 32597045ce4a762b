//! Sigstore bundles, versions 0.1 to 0.3 (sigstore/protobuf-specs, `sigstore_bundle.proto`, in the JSON of Protocol Buffers): what
//! was signed, and what it is verified with.
//!
//! A bundle by a key is verified here, by the keys of the policy. What a log says of it is not looked at: who trusts a key needs no
//! log to, and cosign 3 makes such bundles without one. One by a certificate is verified under a trust root.

use std::borrow::Cow;

use sealift_domain::digest::Digest;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    dsse::{self, DsseError, Envelope, MAX_BYTES, decode, decode_signature},
    public_key::PublicKey,
};

/// The media type of a bundle, and its version. This is what is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The versions that are read. The last is how early programs wrote 0.3.
const MEDIA_TYPES: [&str; 4] = [
    MEDIA_TYPE,
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
];
/// The most entries of logs, time stamps and certificates in a bundle, each: every one of them costs a verification. Other programs
/// stop at 32, too.
const MAX_MATERIAL: usize = 32;
/// The hash that an image's digest is made with, as a bundle names it.
const SHA256: &str = "SHA2_256";

/// Why bytes are no bundle that can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There are more bytes than are read.
    #[error("it is longer than {} MiB", MAX_BYTES >> 20)]
    TooLong,
    /// They are no bundle.
    #[error("it is no Sigstore bundle (line {line}, column {column})")]
    NotABundle {
        /// Where in the JSON that shows.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A version that is not known, or no bundle at all.
    #[error("its `mediaType` is not that of a bundle of version 0.1, 0.2 or 0.3")]
    Version,
    /// Not exactly one of key and certificate.
    #[error("it must be by either a key or a certificate")]
    Material,
    /// More than is verified.
    #[error("it has more than {MAX_MATERIAL} log entries, time stamps or certificates")]
    TooMuch,
    /// Not exactly one of envelope and signature.
    #[error("it must have either an envelope or a message's signature")]
    Content,
    /// More signatures than one: which of them is meant, a bundle does not say.
    #[error("its envelope has more than one signature")]
    Signatures,
    /// The envelope in it cannot be read.
    #[error("its envelope cannot be read: {0}")]
    Envelope(DsseError),
    /// A message's signature without a SHA-256 of the message, so that nobody knows what it is about.
    #[error("it does not say which SHA-256 its message has")]
    Digest,
    /// The signature is no base64, or longer than any is.
    #[error("its signature is damaged")]
    Damaged,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow)]
    media_type: Cow<'a, str>,
    verification_material: Material,
    #[serde(borrow)]
    dsse_envelope: Option<dsse::Written<'a>>,
    #[serde(borrow)]
    message_signature: Option<MessageSignature<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<IgnoredAny>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<Chain>,
    tlog_entries: Option<Vec<IgnoredAny>>,
    timestamp_verification_data: Option<Stamps>,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Stamps {
    #[serde(rename = "rfc3161Timestamps")]
    rfc3161: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature<'a> {
    #[serde(borrow)]
    message_digest: Option<MessageDigest<'a>>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
}

#[derive(Deserialize)]
struct MessageDigest<'a> {
    #[serde(borrow)]
    algorithm: Cow<'a, str>,
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

/// A bundle. Nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What was signed.
    pub content: Content,
    /// Whether it is by a certificate, and not by a key.
    pub keyless: bool,
}

/// What a bundle's signature is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An envelope with a statement and one signature.
    Envelope(Envelope),
    /// Bytes that are elsewhere, such as the manifest of an image.
    Message {
        /// The SHA-256 of the bytes. The signature is over it.
        digest: Digest,
        /// The signature.
        signature: Vec<u8>,
    },
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    /// [`BundleError`]. No error repeats what was read.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BYTES {
            return Err(BundleError::TooLong);
        }
        let not = |why: serde_json::Error| BundleError::NotABundle { line: why.line(), column: why.column() };
        let written: Written<'_> = serde_json::from_slice(bytes).map_err(not)?;
        if !MEDIA_TYPES.contains(&&*written.media_type) {
            return Err(BundleError::Version);
        }
        let keyless = written.verification_material.is_keyless()?;
        let content = match (written.dsse_envelope, written.message_signature) {
            (Some(envelope), None) => Content::envelope(&envelope)?,
            (None, Some(message)) => Content::message(&message)?,
            _ => return Err(BundleError::Content),
        };
        Ok(Self { content, keyless })
    }

    /// Which of `keys` signed it, in their order; none if it is by a certificate.
    pub fn signed_by(&self, keys: &[PublicKey]) -> Vec<usize> {
        match &self.content {
            _ if self.keyless => Vec::new(),
            Content::Envelope(envelope) => envelope.signed_by(keys),
            Content::Message { digest, signature } => {
                let signed = |key: &PublicKey| key.verifies_digest(*digest, signature);
                keys.iter().enumerate().filter(|(_, key)| signed(key)).map(|(index, _)| index).collect()
            }
        }
    }
}

impl Material {
    fn is_keyless(&self) -> Result<bool, BundleError> {
        let chain = self.x509_certificate_chain.as_ref().map_or(0, |chain| chain.certificates.len());
        let entries = self.tlog_entries.as_ref().map_or(0, Vec::len);
        let stamps = self.timestamp_verification_data.as_ref().and_then(|stamps| stamps.rfc3161.as_ref());
        if [chain, entries, stamps.map_or(0, Vec::len)].into_iter().any(|number| number > MAX_MATERIAL) {
            return Err(BundleError::TooMuch);
        }
        match (&self.public_key, &self.certificate, &self.x509_certificate_chain) {
            (Some(_), None, None) => Ok(false),
            (None, Some(_), None) | (None, None, Some(_)) => Ok(true),
            _ => Err(BundleError::Material),
        }
    }
}

impl Content {
    fn envelope(written: &dsse::Written<'_>) -> Result<Self, BundleError> {
        let envelope = Envelope::of(written).map_err(BundleError::Envelope)?;
        if envelope.signatures().len() != 1 {
            return Err(BundleError::Signatures);
        }
        Ok(Self::Envelope(envelope))
    }

    fn message(written: &MessageSignature<'_>) -> Result<Self, BundleError> {
        let digest = written.message_digest.as_ref().filter(|digest| digest.algorithm == SHA256);
        let digest = digest.filter(|digest| digest.digest.len() < 64).and_then(|digest| decode(&digest.digest));
        let digest = digest.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or(BundleError::Digest)?;
        let signature = decode_signature(&written.signature).ok_or(BundleError::Damaged)?;
        Ok(Self::Message { digest: Digest::from_bytes(digest), signature })
    }
}
