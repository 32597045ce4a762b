//! Signatures of images as cosign 2 makes them with a key: a small JSON document, the payload, and a signature over its
//! exact bytes (sigstore/cosign, `specs/SIGNATURE_SPEC.md`; containers/image, `docs/containers-signature.5.md`).

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_domain::digest::Digest;
use serde::Deserialize;

use crate::public_key::PublicKey;

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
            keys.iter().position(of).ok_or("no trusted key made it over these bytes")
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

/// The image that a payload speaks of.
fn signs(payload: &[u8]) -> Result<Digest, String> {
    let payload: Payload = serde_json::from_slice(payload).map_err(|why| {
        format!("what was signed is no payload of cosign (line {}, column {})", why.line(), why.column())
    })?;
    if payload.critical.kind != TYPE {
        return Err(format!("what was signed is not a `{TYPE}`"));
    }
    Ok(payload.critical.image.digest)
}
