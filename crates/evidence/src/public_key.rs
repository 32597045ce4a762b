//! Public keys of images' signers: PEM files as cosign and OpenSSL write them.
//!
//! A key is a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7) in PEM (RFC 7468, section 13). Supported are ECDSA over P-256
//! (what `cosign generate-key-pair` makes) and P-384 (RFC 5480), RSA of 2048 to 8192 bits (RFC 3279) and Ed25519 (RFC 8410).

use std::cell::OnceCell;

use aws_lc_rs::{
    digest::{self, SHA256, SHA384},
    encoding::{AsDer, PublicKeyX509Der},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
    },
};
use sealift_domain::{digest::Digest, signature};

use crate::{
    der::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, element},
    pem,
};

/// The longest text of a key that is read, in bytes. An RSA key of 8192 bits has about 1500.
pub const MAX_TEXT: usize = 16 << 10;
/// What stands in the lines around a key (RFC 7468, section 13).
const LABEL: &str = "PUBLIC KEY";
/// The lengths of an RSA modulus, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// 1.2.840.10045.2.1, `id-ecPublicKey`.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7, `secp256r1`.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.132.0.34, `secp384r1`.
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.2.840.113549.1.1.1, `rsaEncryption`.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.3.101.112, `id-Ed25519`.
const EDWARDS: &[u8] = &[0x2b, 0x65, 0x70];

/// Why a text is no public key that signatures can be verified with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// A private key. It has no business where a public one is wanted.
    #[error("it is a private key; name the public one, such as cosign.pub")]
    Private,
    /// The text is not one PEM block with a public key.
    #[error("it is not one PEM block that begins with `-----BEGIN PUBLIC KEY-----`")]
    NotPem,
    /// What is in the block is damaged, or weaker than what is supported.
    #[error("what is between its lines is not a usable public key")]
    Damaged,
    /// A kind of key that is not supported.
    #[error("this kind of key is not supported; ECDSA over P-256 or P-384, RSA from 2048 bits and Ed25519 are")]
    Unsupported,
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey {
    der: Vec<u8>,
    /// The key under every algorithm that signatures are made with. P-384 has two: cosign hashed with SHA-256 whatever the
    /// curve for years, and takes the curve's own SHA-384 since.
    verifiers: Vec<ParsedPublicKey>,
    /// Whether it signs messages and not their digests, as Ed25519 does.
    whole: bool,
}

/// Bytes that several signatures by several keys may be over. They are hashed once, however many there are: sixteen signatures of
/// a large statement would take long otherwise, and who wrote them is a stranger.
pub struct Message<'a> {
    head: &'a [u8],
    bytes: &'a [u8],
    sha256: OnceCell<digest::Digest>,
    sha384: OnceCell<digest::Digest>,
}

impl<'a> Message<'a> {
    /// A message of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::framed(&[], bytes)
    }

    /// A message of `head` and then these bytes, which may be many and are not put together.
    pub fn framed(head: &'a [u8], bytes: &'a [u8]) -> Self {
        Self { head, bytes, sha256: OnceCell::new(), sha384: OnceCell::new() }
    }

    fn hashed(&self, algorithm: &'static digest::Algorithm) -> digest::Digest {
        let mut context = digest::Context::new(algorithm);
        context.update(self.head);
        context.update(self.bytes);
        context.finish()
    }

    /// Whether one of the key's algorithms fits. Only a key of two kinds of hash is worth hashing twice for.
    fn verified_by(&self, verifier: &ParsedPublicKey, signature: &[u8], hashes: usize) -> bool {
        let digests = [(&self.sha256, &SHA256), (&self.sha384, &SHA384)];
        digests.into_iter().take(hashes).any(|(cell, algorithm)| {
            let digest = cell.get_or_init(|| self.hashed(algorithm));
            // A digest by another algorithm than the verifier's is an error.
            verifier.verify_digest_sig(digest, signature).is_ok()
        })
    }
}

impl PublicKey {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// See [`PublicKeyError`]. No error repeats the text.
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(PublicKeyError::Private);
        }
        Self::from_der(pem::read(text, LABEL, MAX_TEXT).ok_or(PublicKeyError::NotPem)?)
    }

    /// Reads a key's DER. A point that is written otherwise than uncompressed is the same key.
    ///
    /// # Errors
    /// See [`PublicKeyError`].
    pub fn from_der(der: Vec<u8>) -> Result<Self, PublicKeyError> {
        let (kind, algorithms, key) = read(&der)?;
        let whole = kind == EDWARDS;
        let parse = |algorithm: &&'static dyn VerificationAlgorithm| parsed(*algorithm, key);
        let verifiers: Vec<ParsedPublicKey> = algorithms.iter().map(parse).collect::<Result<_, _>>()?;
        let der = match verifiers.first() {
            Some(verifier) if kind == EC => uncompressed(verifier)?,
            _ => der,
        };
        Ok(Self { verifiers, whole, der })
    }

    /// The key as PEM, in one spelling for one key.
    pub fn to_pem(&self) -> String {
        pem::write(LABEL, &self.der)
    }

    /// The key as the policy holds it.
    ///
    /// # Errors
    /// None: [`PublicKey::to_pem`] is armoured. The type is that of whoever reads one.
    pub fn canonical(&self) -> Result<signature::PublicKey, signature::NotAKey> {
        signature::PublicKey::from_canonical_pem(self.to_pem())
    }

    /// The SHA-256 of the key's DER, as `openssl pkey -pubin -outform DER | sha256sum` prints it for a point that is not
    /// compressed.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Whether `signature` is this key's over exactly these bytes.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifies_message(&Message::new(message), signature)
    }

    /// Whether `signature` is this key's over exactly this message.
    pub fn verifies_message(&self, message: &Message<'_>, signature: &[u8]) -> bool {
        self.verifiers.iter().any(|verifier| match self.whole {
            true => verifier.verify_sig(&[message.head, message.bytes].concat(), signature).is_ok(),
            false => message.verified_by(verifier, signature, self.verifiers.len()),
        })
    }

    /// Whether `signature` is this key's over the bytes with this SHA-256, which need not be there. Ed25519 hashes otherwise, so
    /// no signature of its passes.
    pub fn verifies_digest(&self, digest: Digest, signature: &[u8]) -> bool {
        let Ok(digest) = digest::Digest::import_less_safe(digest.as_bytes(), &SHA256) else { return false };
        self.verifiers.iter().any(|verifier| verifier.verify_digest_sig(&digest, signature).is_ok())
    }
}

/// The one spelling of a key on a curve: its point can be written compressed, uncompressed or hybrid (SEC 1, section 2.3.3; RFC
/// 5480, section 2.2), and who is asked not to be somebody must not become another one by that.
fn uncompressed(key: &ParsedPublicKey) -> Result<Vec<u8>, PublicKeyError> {
    let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| PublicKeyError::Damaged)?;
    Ok(der.as_ref().to_vec())
}

fn parsed(algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> Result<ParsedPublicKey, PublicKeyError> {
    ParsedPublicKey::new(algorithm, key).map_err(|_| PublicKeyError::Damaged)
}

type Algorithms = &'static [&'static dyn VerificationAlgorithm];

/// The kind of key in a `SubjectPublicKeyInfo`, the algorithms that it verifies with, and the key inside.
fn read(der: &[u8]) -> Result<(&[u8], Algorithms, &[u8]), PublicKeyError> {
    let damaged = PublicKeyError::Damaged;
    let (info, rest) = element(der, SEQUENCE).ok_or(damaged.clone())?;
    let (algorithm, info) = element(info, SEQUENCE).ok_or(damaged.clone())?;
    let (bits, after) = element(info, BIT_STRING).ok_or(damaged.clone())?;
    // One key has one text: nothing may follow it, and no bit of its last octet is unused.
    let (Some((0, key)), [], []) = (bits.split_first(), rest, after) else { return Err(damaged) };
    let (kind, parameters) = element(algorithm, OBJECT_IDENTIFIER).ok_or(damaged.clone())?;
    let curve = element(parameters, OBJECT_IDENTIFIER).filter(|(_, rest)| rest.is_empty()).map(|(curve, _)| curve);
    let algorithms: Algorithms = match (kind, curve, parameters) {
        (EC, Some(P256), _) => &[&ECDSA_P256_SHA256_ASN1],
        (EC, Some(P384), _) => &[&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1],
        // RFC 3279, section 2.3.1: the parameters are NULL.
        (RSA, None, [0x05, 0x00]) if is_strong(key) => &[&RSA_PKCS1_2048_8192_SHA256],
        // RFC 8410, section 3: there are no parameters.
        (EDWARDS, None, []) => &[&ED25519],
        (EC | RSA | EDWARDS, _, _) if curve.is_none() => return Err(damaged),
        _ => return Err(PublicKeyError::Unsupported),
    };
    Ok((kind, algorithms, key))
}

/// Whether the modulus of an RSA key (RFC 8017, appendix A.1.1) has a length that signatures are verified with. Otherwise a weak
/// key would be accepted, and no signature by it.
fn is_strong(key: &[u8]) -> bool {
    let modulus = element(key, SEQUENCE).and_then(|(key, _)| element(key, INTEGER)).map_or(&[][..], |(n, _)| n);
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    RSA_BITS.contains(&(modulus.len() * 8 - unused))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(body: &str) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    /// Made with `openssl ec -pubout -conv_form …`: of each key all the spellings that OpenSSL knows.
    #[test]
    fn a_key_has_one_spelling_however_its_point_is_written() {
        let p256 = [
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQBFjuRgoknQctCJfvYno4lQe3DuU\nb+yjcu4Otr0pGxyMkiU23SmRRa1ne+DhAfAsBwExHPAHVcRGuGASYkY8bw==",
            "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADQBFjuRgoknQctCJfvYno4lQe3DuU\nb+yjcu4Otr0pGxw=",
        ];
        let p384 = [
            "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEu7VIzKLwW+XmNpkLxMdA6lDDdgAOCXp4\ns3hzh5HqTlsink23h54sajHWVhjIhP+Ks2a/ANbkha6jaavvRa5mPxBlh9sRAyBN\n5NKGKVmHjT7/TDoHyRboOaeZsmZiv0b6",
            "MEYwEAYHKoZIzj0CAQYFK4EEACIDMgACu7VIzKLwW+XmNpkLxMdA6lDDdgAOCXp4\ns3hzh5HqTlsink23h54sajHWVhjIhP+K",
        ];
        for [usual, compressed] in [p256, p384] {
            let key = PublicKey::from_pem(&pem(usual)).unwrap();
            assert_eq!(key.to_pem(), pem(usual), "what OpenSSL writes unasked is the one spelling");
            let same = PublicKey::from_pem(&pem(compressed)).unwrap();
            assert_eq!((same.to_pem(), same.fingerprint()), (key.to_pem(), key.fingerprint()));
        }
        let hybrid = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAHQBFjuRgoknQctCJfvYno4lQe3DuU\nb+yjcu4Otr0pGxyMkiU23SmRRa1ne+DhAfAsBwExHPAHVcRGuGASYkY8bw==";
        let hybrid = PublicKey::from_pem(&pem(hybrid)).map(|key| key.to_pem());
        assert!(hybrid.is_err() || hybrid == Ok(pem(p256[0])), "it is refused, or it is the same key");
    }
}
