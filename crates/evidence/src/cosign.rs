//! Signatures of images as cosign 2 makes them with a key: a small JSON document, the payload, and a signature over its
//! exact bytes (sigstore/cosign, `specs/SIGNATURE_SPEC.md`; containers/image, `docs/containers-signature.5.md`).
//! Those that it made with a certificate become a bundle ([`Keyless`]).

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_domain::{digest::Digest, evidence::DetachedSignature};
use serde::Deserialize;
use serde_json::json;

use crate::{pem, public_key::PublicKey};

/// The media type of a payload in a registry.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What `critical.type` says of an image's signature.
const TYPE: &str = "cosign container image signature";
/// The longest signature that is looked at, in characters of base64. One by RSA of 8192 bits has 1368.
const MAX_SIGNATURE: usize = 4096;

/// What a payload and its signature are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The digest of the image that the payload speaks of; `None` if it is not about an image. Anybody can write that:
    /// it is worth something only with a `signer`.
    pub signs: Option<Digest>,
    /// Which of the keys signed the payload.
    pub signer: Option<usize>,
    /// Why the signature proves nothing, if that is so. Foreign text is not repeated in it.
    pub why_not: Option<String>,
}

impl Checked {
    /// A payload that is stored without a signature.
    pub fn unsigned() -> Self {
        Self { signs: None, signer: None, why_not: Some("it is stored without its signature".to_owned()) }
    }
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// Checks `signature`, in base64, over the exact bytes of `payload`.
///
/// `critical.identity.docker-reference` is not compared: an image keeps its signature when it is copied to another
/// repository, and its digest says all about what it is.
pub fn check(payload: &[u8], signature: &str, keys: &[PublicKey]) -> Checked {
    let signs = signs(payload);
    let signer = match decode(signature) {
        Err(why) => Err(why),
        Ok(signature) => {
            let of = |key: &PublicKey| key.verifies(payload, &signature);
            keys.iter().position(of).ok_or("no trusted key made its signature over these bytes")
        }
    };
    let why_not = match (&signs, &signer) {
        (_, Err(why)) => Some((*why).to_owned()),
        (Err(why), Ok(_)) => Some(why.clone()),
        (Ok(_), Ok(_)) => None,
    };
    Checked { signs: signs.ok(), signer: signer.ok(), why_not }
}

fn decode(signature: &str) -> Result<Vec<u8>, &'static str> {
    if signature.len() > MAX_SIGNATURE {
        return Err("it is longer than any signature");
    }
    STANDARD.decode(signature).map_err(|_| "it is not base64")
}

/// The image that a payload speaks of. Anybody can write that.
pub(crate) fn signs(payload: &[u8]) -> Result<Digest, String> {
    let payload: Payload = serde_json::from_slice(payload).map_err(|why| {
        format!("what was signed is no payload of cosign (line {}, column {})", why.line(), why.column())
    })?;
    if payload.critical.kind != TYPE {
        return Err(format!("what was signed is not a `{TYPE}`"));
    }
    Ok(payload.critical.image.digest)
}

/// What cosign 2 puts beside a signature that a certificate made: annotations of the layer with the payload.
#[derive(Clone, Copy, Debug)]
pub struct Keyless<'a> {
    /// `dev.sigstore.cosign/certificate`: the certificate in PEM.
    pub certificate: &'a str,
    /// `dev.sigstore.cosign/chain`: the certificates above it in PEM.
    pub chain: Option<&'a str>,
    /// `dev.sigstore.cosign/bundle`: what Rekor promised when the signature was entered into its log.
    pub bundle: Option<&'a str>,
}

impl<'a> Keyless<'a> {
    /// What lay beside a signature, if a certificate made it.
    pub fn of(detached: &'a DetachedSignature) -> Option<Self> {
        let certificate = detached.certificate.as_deref()?;
        Some(Self { certificate, chain: detached.chain.as_deref(), bundle: detached.bundle.as_deref() })
    }
}

/// The longest annotation that is read, in bytes. All of a manifest's have no more than 4 MiB.
const MAX_ANNOTATION: usize = 1 << 20;
/// The most certificates above that of the signer.
const MAX_CHAIN: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Promise {
    signed_entry_timestamp: String,
    payload: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

impl Keyless<'_> {
    /// The same as a Sigstore bundle of version 0.1, which is all that they lack to be verified like one. Nothing is believed by
    /// that: what is wrong in it fails there.
    pub(crate) fn bundle(&self, payload: &[u8], signature: &str) -> Result<Vec<u8>, &'static str> {
        let damaged = "the certificate beside its signature, or what is above it, is damaged";
        let read = |text: &str, most| pem::read_all(text, "CERTIFICATE", MAX_ANNOTATION, most).ok_or(damaged);
        let mut certificates = read(self.certificate, 1)?;
        if let Some(chain) = self.chain.filter(|chain| !chain.trim().is_empty()) {
            certificates.extend(read(chain, MAX_CHAIN)?);
        }
        let certificates: Vec<_> = certificates.iter().map(|der| json!({"rawBytes": STANDARD.encode(der)})).collect();
        let entry =
            self.bundle.ok_or("a certificate made its signature, and no log entry says when; sign it as a bundle")?;
        let entry = Some(entry).filter(|text| text.len() <= MAX_ANNOTATION);
        let entry = entry.and_then(|text| serde_json::from_str::<Promise>(text).ok()).and_then(Promise::entry);
        let entry = entry.ok_or("the log entry beside its signature is damaged")?;
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
            "verificationMaterial": {"x509CertificateChain": {"certificates": certificates}, "tlogEntries": [entry]},
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(Digest::of(payload).as_bytes())},
                "signature": signature,
            },
        });
        Ok(bundle.to_string().into_bytes())
    }
}

impl Promise {
    fn entry(self) -> Option<serde_json::Value> {
        // The digest of the log's key: 64 digits, as digests have.
        let log: Digest = format!("sha256:{}", self.payload.log_id).parse().ok()?;
        Some(json!({
            "logIndex": self.payload.log_index.to_string(),
            "logId": {"keyId": STANDARD.encode(log.as_bytes())},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
            "integratedTime": self.payload.integrated_time.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": self.signed_entry_timestamp},
            "canonicalizedBody": self.payload.body,
        }))
    }
}
