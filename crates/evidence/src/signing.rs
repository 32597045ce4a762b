//! Signing statements with a promotion key: ECDSA over P-256 with SHA-256, which is what `cosign generate-key-pair` makes and every
//! verifier of bundles and envelopes knows.
//!
//! A key of its own for promotions, and for nothing else: `cosign verify` takes any statement by a key for a signature.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{json, value::RawValue};
use zeroize::Zeroizing;

use crate::{
    bundle,
    dsse::{PAYLOAD_TYPE, pae},
    pem,
    public_key::PublicKey,
};

/// The longest text of a private key that is read, in bytes. One for P-256 has about 240.
pub const MAX_TEXT: usize = 16 << 10;
/// What stands in the lines around a key (RFC 7468, section 10).
const LABEL: &str = "PRIVATE KEY";

/// Why a text is no key to sign with. No error repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// Under a passphrase, as `cosign generate-key-pair` writes keys.
    #[error(
        "it is encrypted, and only a key without a passphrase is read; make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
    )]
    Encrypted,
    /// The public half.
    #[error("it is a public key; name the private one")]
    Public,
    /// In an older form.
    #[error("it is a key in another form than PKCS#8; convert it with `openssl pkcs8 -topk8 -nocrypt`")]
    OtherForm,
    /// No key in PEM.
    #[error("it is not one PEM block that begins with `-----BEGIN PRIVATE KEY-----`")]
    NotPem,
    /// Not a key for P-256, or a damaged one.
    #[error("what is between its lines is no ECDSA key over P-256")]
    Unsupported,
}

/// Why there is no key or no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library could not {0}")]
pub struct SigningError(&'static str);

/// A private key that promotions are signed with. It does not print.
pub struct PromotionKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl PromotionKey {
    /// A new key.
    ///
    /// # Errors
    /// [`SigningError`], if the operating system has no random numbers.
    pub fn generate() -> Result<Self, SigningError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        pair.ok().and_then(Self::new).ok_or(SigningError("make a key"))
    }

    /// Reads a key from an unencrypted PKCS#8 file (RFC 5958, in the PEM of RFC 7468, section 10).
    ///
    /// # Errors
    /// See [`PrivateKeyError`].
    pub fn from_pem(text: &str) -> Result<Self, PrivateKeyError> {
        let der = pem::read(text, LABEL, MAX_TEXT).map(Zeroizing::new).ok_or_else(|| instead(text))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der);
        pair.ok().and_then(Self::new).ok_or(PrivateKeyError::Unsupported)
    }

    fn new(pair: EcdsaKeyPair) -> Option<Self> {
        let der = pair.public_key().as_der().ok()?;
        let public = PublicKey::from_der(der.as_ref().to_vec()).ok()?;
        Some(Self { pair, public })
    }

    /// The key as the text of a file that [`from_pem`](Self::from_pem) reads. It is wiped from memory after use.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SigningError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| SigningError("write the key"))?;
        Ok(Zeroizing::new(pem::write(LABEL, der.as_ref())))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs an in-toto statement and returns the envelope with it, in JSON: what is attached as [`crate::dsse::MEDIA_TYPE`], and
    /// what goes into a [`bundle()`]. It has one signature and no `keyid`, which nobody could believe.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn sign_statement(&self, statement: &[u8]) -> Result<Box<RawValue>, SigningError> {
        let signature = self.pair.sign(&SystemRandom::new(), &pae(PAYLOAD_TYPE, statement));
        let signature = signature.map_err(|_| SigningError("sign"))?;
        let envelope = json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": STANDARD.encode(statement),
            "signatures": [{"sig": STANDARD.encode(signature.as_ref())}],
        });
        serde_json::value::to_raw_value(&envelope).map_err(|_| SigningError("write the envelope"))
    }
}

impl fmt::Debug for PromotionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PromotionKey({}, …)", self.public.fingerprint().short())
    }
}

/// The Sigstore bundle with an envelope, in JSON: what is attached as [`bundle::MEDIA_TYPE`]. It names the key by the base64 of
/// the SHA-256 of its DER, as cosign does, and has no log entry.
///
/// # Errors
/// [`SigningError`].
pub fn bundle(envelope: &RawValue, key: &PublicKey) -> Result<String, SigningError> {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Written<'a> {
        media_type: &'static str,
        verification_material: serde_json::Value,
        dsse_envelope: &'a RawValue,
    }
    let hint = STANDARD.encode(key.fingerprint().as_bytes());
    let written = Written {
        media_type: bundle::MEDIA_TYPE,
        verification_material: json!({"publicKey": {"hint": hint}}),
        dsse_envelope: envelope,
    };
    serde_json::to_string(&written).map_err(|_| SigningError("write the bundle"))
}

/// What a text is instead of a key that can be read.
fn instead(text: &str) -> PrivateKeyError {
    // `ENCRYPTED PRIVATE KEY` (PKCS#8), `ENCRYPTED SIGSTORE PRIVATE KEY` and `ENCRYPTED COSIGN PRIVATE KEY`; older forms say so
    // inside.
    if text.contains("ENCRYPTED") {
        PrivateKeyError::Encrypted
    } else if text.contains("-----BEGIN PUBLIC KEY-----") {
        PrivateKeyError::Public
    } else if text.contains(" PRIVATE KEY-----") && !text.contains("-----BEGIN PRIVATE KEY-----") {
        PrivateKeyError::OtherForm
    } else {
        PrivateKeyError::NotPem
    }
}
