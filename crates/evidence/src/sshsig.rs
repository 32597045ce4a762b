//! Verifying signatures made with `ssh-keygen -Y sign`, as OpenSSH's `PROTOCOL.sshsig` describes them.
//!
//! Supported are Ed25519, ECDSA over P-256 and P-384, RSA of 2048 to 4096 bits with SHA-2, and the FIDO security keys
//! `sk-ssh-ed25519` and `sk-ecdsa-sha2-nistp256` (`PROTOCOL.u2f`). Everything else, SHA-1 above all, is refused.

use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey, Signature, SshSig, public::KeyData};

use crate::envelope::{ARMOUR_LIMIT, Envelope};

// The rsa crate refuses larger moduli, so that a signature cannot be used to burn time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

// Flags of a security key's signature, from the authenticator data of WebAuthn (section 6.1).
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;

const DAMAGED: SshsigError = SshsigError::NotASignature("its key or its innermost part is damaged");

/// Why a signature does not prove what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshsigError {
    /// The text is no armoured SSH signature, or a damaged one.
    #[error("not an SSH signature: {0}")]
    NotASignature(&'static str),
    /// The public key's text cannot be read.
    #[error("not an OpenSSH public key (`ssh-ed25519 AAAA…`)")]
    NotAKey,
    /// A kind of signature or key that is unknown, or too weak to prove anything.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The signature was made for another purpose.
    #[error("signed for the namespace `{}`, not for `{}`", .found.escape_debug(), .expected.escape_debug())]
    OtherNamespace {
        /// The namespace in the signature.
        found: String,
        /// The namespace asked for.
        expected: String,
    },
    /// The signature names another key as its maker.
    #[error("signed by the key {found}, not by {expected}")]
    OtherKey {
        /// The fingerprint of the key in the signature.
        found: String,
        /// The fingerprint of the key asked for.
        expected: String,
    },
    /// The key did not sign these bytes: they were altered, or the signature was.
    #[error("the signature is not over these bytes")]
    BadSignature,
    /// A security key signed without anyone touching it, so no person consented.
    #[error("the security key signed without being touched")]
    NotTouched,
}

/// What a right signature proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The signing key's fingerprint, as [`fingerprint`] gives it.
    pub fingerprint: String,
    /// The signature algorithm, for instance `ssh-ed25519` or `rsa-sha2-512`.
    pub algorithm: String,
    /// What a security key says of the moment of signing; nothing for other keys.
    pub security_key: Option<SecurityKey>,
}

/// What a FIDO security key adds to its signature. It was touched, or there would be no [`Verified`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityKey {
    /// Whether it checked a PIN or a fingerprint.
    pub user_verified: bool,
    /// Its count of signatures; 0 if it does not count.
    pub counter: u32,
}

/// The key that a signature names as its maker. Nothing is proven by that: see [`verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedKey {
    /// Its fingerprint, as [`fingerprint`] gives it.
    pub fingerprint: String,
    /// Its OpenSSH text without a comment.
    pub openssh: String,
}

/// Verifies that `public_key` (one line of OpenSSH text) signed `message` for `namespace`.
///
/// # Errors
/// [`SshsigError`]; none of them lets anything be concluded about the message.
pub fn verify(public_key: &str, namespace: &str, message: &[u8], armored: &[u8]) -> Result<Verified, SshsigError> {
    let expected = read_key(public_key)?;
    let envelope = Envelope::read(armored)?;
    let claimed = claimed_key(&envelope)?;
    if claimed != *expected.key_data() {
        return Err(SshsigError::OtherKey { found: print(&claimed), expected: print(expected.key_data()) });
    }
    if envelope.namespace != namespace {
        return Err(SshsigError::OtherNamespace { found: envelope.namespace, expected: namespace.to_owned() });
    }
    let signature = signature(&envelope, &claimed)?;
    let signature = SshSig::new(claimed.clone(), namespace, envelope.hash, signature).map_err(|_| DAMAGED)?;
    expected.verify(namespace, message, &signature).map_err(|_| SshsigError::BadSignature)?;
    let security_key = read_trailer(&envelope)?;
    Ok(Verified { fingerprint: print(&claimed), algorithm: envelope.algorithm, security_key })
}

/// The key that made a signature, by its own word, so that one can find the person to [`verify`] it for.
///
/// # Errors
/// [`SshsigError::NotASignature`] or [`SshsigError::Unsupported`].
pub fn key_of(armored: &[u8]) -> Result<ClaimedKey, SshsigError> {
    let key = claimed_key(&Envelope::read(armored)?)?;
    let fingerprint = print(&key);
    let openssh = PublicKey::from(key).to_openssh().map_err(|_| DAMAGED)?;
    Ok(ClaimedKey { fingerprint, openssh })
}

/// The fingerprint of a public key (one line of OpenSSH text), as `ssh-keygen -l` prints it: `SHA256:` and the
/// unpadded base64 of the SHA-256 of the encoded key.
///
/// # Errors
/// [`SshsigError::NotAKey`].
pub fn fingerprint(public_key: &str) -> Result<String, SshsigError> {
    read_key(public_key).map(|key| print(key.key_data()))
}

fn print(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn read_key(text: &str) -> Result<PublicKey, SshsigError> {
    if text.len() > ARMOUR_LIMIT {
        return Err(SshsigError::NotAKey);
    }
    PublicKey::from_openssh(text.trim()).map_err(|_| SshsigError::NotAKey)
}

fn claimed_key(envelope: &Envelope) -> Result<KeyData, SshsigError> {
    // Compared with its own encoding, for the decoder overlooks wrong lengths inside a key.
    let key = PublicKey::from_bytes(&envelope.public_key);
    let key = key.ok().filter(|key| key.to_bytes().is_ok_and(|bytes| bytes == envelope.public_key));
    key.map(KeyData::from).ok_or_else(|| match envelope.key_type() {
        // The key of a certificate, for one, has more parts than can be read here.
        Some(kind) if !is_known(&kind) => SshsigError::Unsupported(format!("a key of type `{}`", kind.escape_debug())),
        _ => DAMAGED,
    })
}

fn is_known(kind: &str) -> bool {
    Algorithm::new(kind).is_ok_and(|algorithm| !matches!(algorithm, Algorithm::Other(_)))
}

// The signature in the form of its algorithm, which must be one of the key's and a strong one.
fn signature(envelope: &Envelope, key: &KeyData) -> Result<Signature, SshsigError> {
    let algorithm = Algorithm::new(&envelope.algorithm);
    let algorithm = algorithm.ok().filter(|algorithm| suits(algorithm, key)).ok_or_else(|| {
        let (algorithm, key) = (envelope.algorithm.escape_debug(), key.algorithm());
        SshsigError::Unsupported(format!("a signature of type `{algorithm}` by a key of type `{key}`"))
    })?;
    if !envelope.trailer.is_empty() && !key.is_sk_ed25519() && !key.is_sk_ecdsa_p256() {
        return Err(DAMAGED);
    }
    if let Some(rsa) = key.rsa() {
        check_rsa_bits(rsa.n.as_positive_bytes().unwrap_or_default())?;
    }
    let bytes = [&envelope.signature[..], &envelope.trailer].concat();
    Signature::new(algorithm, bytes).map_err(|_| DAMAGED)
}

fn suits(algorithm: &Algorithm, key: &KeyData) -> bool {
    match algorithm {
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => *algorithm == key.algorithm(),
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 } => *algorithm == key.algorithm(),
        Algorithm::Rsa { hash: Some(_) } => key.is_rsa(),
        _ => false,
    }
}

fn check_rsa_bits(modulus: &[u8]) -> Result<(), SshsigError> {
    let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let bits = modulus.len() * 8 - unused;
    if RSA_BITS.contains(&bits) {
        return Ok(());
    }
    Err(SshsigError::Unsupported(format!("an RSA key of {bits} bits (2048 to 4096 are supported)")))
}

// Only after the signature was checked, for the trailer is under it.
fn read_trailer(envelope: &Envelope) -> Result<Option<SecurityKey>, SshsigError> {
    let Some((flags, counter)) = envelope.trailer.split_first() else { return Ok(None) };
    let counter = counter.try_into().map_err(|_| DAMAGED)?;
    if flags & USER_PRESENT == 0 {
        return Err(SshsigError::NotTouched);
    }
    Ok(Some(SecurityKey { user_verified: flags & USER_VERIFIED != 0, counter: u32::from_be_bytes(counter) }))
}
