//! Ed25519 keys of the C2SP signed-note format (c2sp.org/signed-note), in the text forms of Go's `sumdb/note`.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The signature type of Ed25519 in the signed-note format.
const ED25519_TYPE: u8 = 0x01;

/// Why a key cannot be used. Never quotes key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has a space, a `+` or a control character in it.
    #[error("a key name has 1 to 200 characters, none of them a space, `+` or a control character")]
    Name,
    /// The text is not `name+id+base64`.
    #[error("this is not a public key: expected `<name>+<8 hexadecimal digits>+<base64>`")]
    VerifierForm,
    /// The text is not `PRIVATE+KEY+name+id+base64`.
    #[error("this is not a signing key: expected `PRIVATE+KEY+<name>+<8 hexadecimal digits>+<base64>`")]
    SigningForm,
    /// The algorithm byte is not that of Ed25519, or the key has not 32 bytes.
    #[error("the key is not an Ed25519 key")]
    Algorithm,
    /// The key id is not that of the name and the key.
    #[error("the key id does not belong to this name and key: the text was mistyped or edited")]
    Id,
    /// The cryptographic library refused.
    #[error("the Ed25519 key cannot be used")]
    Refused,
    /// A key ring holds keys of different logs.
    #[error("all keys of one log must have its name: expected `{expected}`, found `{found}`")]
    OtherLog {
        /// The name of the current key.
        expected: String,
        /// The name of the key that was added.
        found: String,
    },
}

/// Whether `name` may name a key: it stands between spaces in a note and between `+` in a key.
fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.chars().count() > 200 || name.contains(bad) { Err(KeyError::Name) } else { Ok(()) }
}

/// A public key with the name of the log that it signs for, written `name+hexid+base64(0x01 || key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// A key from its name and its 32 bytes (RFC 8032).
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let hash = Sha256::new_with_prefix(name).chain_update([b'\n', ED25519_TYPE]).chain_update(public).finalize();
        let mut id = [0; 4];
        id.copy_from_slice(&hash[..4]);
        Ok(Self { name: name.to_owned(), id, public })
    }

    /// The name of the key, which is the origin of the log it signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key id: the first four bytes of SHA-256 over name, newline, algorithm and key.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(&self.name, self.id, &self.public))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, public) = parts(text).ok_or(KeyError::VerifierForm)?;
        let key = Self::new(name, bytes(&public)?)?;
        if key.id == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

/// `name+hexid+base64(type || key)`.
fn text(name: &str, id: [u8; 4], key: &[u8; 32]) -> String {
    let typed: Vec<u8> = [&[ED25519_TYPE], key.as_slice()].concat();
    format!("{name}+{}+{}", hex::encode(id), STANDARD.encode(typed))
}

/// The name, the id and the decoded rest of `name+hexid+base64`. Base64 itself may contain `+`, a name may not.
fn parts(text: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (name, rest) = text.split_once('+')?;
    let (hex_id, key) = rest.split_once('+')?;
    let mut id = [0; 4];
    hex::decode_to_slice(hex_id, &mut id).ok()?;
    Some((name, id, STANDARD.decode(key).ok()?))
}

/// The 32 key bytes behind the algorithm byte.
fn bytes(typed: &[u8]) -> Result<[u8; 32], KeyError> {
    match typed {
        [ED25519_TYPE, key @ ..] => key.try_into().map_err(|_| KeyError::Algorithm),
        _ => Err(KeyError::Algorithm),
    }
}

/// A private key with its public half. Shows only the latter.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, secret redacted)", self.verifier)
    }
}

impl SigningKey {
    /// A new random key for the log named `name`, for instance `sealift.example.com/shop`.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        Self::of(name, Ed25519KeyPair::generate().map_err(|_| KeyError::Refused)?)
    }

    fn of(name: &str, pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Algorithm)?;
        Ok(Self { verifier: VerifierKey::new(name, public)?, pair })
    }

    /// The key of `PRIVATE+KEY+name+hexid+base64(0x01 || seed)`.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let rest = text.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::SigningForm)?;
        let (name, id, seed) = parts(rest).ok_or(KeyError::SigningForm)?;
        let seed: [u8; 32] = bytes(&seed)?;
        let key = Self::of(name, Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Refused)?)?;
        if key.verifier.id == id { Ok(key) } else { Err(KeyError::Id) }
    }

    /// The text that [`SigningKey::from_text`] reads. It is the secret: for a file that only its owner can read.
    pub fn secret_text(&self) -> Result<String, KeyError> {
        let seed = self.pair.seed().map_err(|_| KeyError::Refused)?;
        let seed = seed.as_be_bytes().map_err(|_| KeyError::Refused)?;
        let seed: &[u8; 32] = seed.as_ref().try_into().map_err(|_| KeyError::Refused)?;
        Ok(format!("PRIVATE+KEY+{}", text(&self.verifier.name, self.verifier.id, seed)))
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// The keys of one log: those that signed it before, oldest first, and the current one. With only the public half of the
/// current key, the log can be read and audited and not written.
#[derive(Debug)]
pub struct Keyring {
    trusted: Vec<VerifierKey>,
    signing: Option<SigningKey>,
}

impl Keyring {
    /// For whoever writes the log.
    pub fn writer(key: SigningKey) -> Self {
        Self { trusted: vec![key.verifier.clone()], signing: Some(key) }
    }

    /// For whoever only reads it.
    pub fn reader(key: VerifierKey) -> Self {
        Self { trusted: vec![key], signing: None }
    }

    /// Adds the keys that signed the log before the current one, oldest first. All have the same name.
    pub fn after(mut self, former: Vec<VerifierKey>) -> Result<Self, KeyError> {
        let expected = self.origin().to_owned();
        if let Some(other) = former.iter().find(|key| key.name != expected) {
            return Err(KeyError::OtherLog { expected, found: other.name.clone() });
        }
        self.trusted.splice(0..0, former);
        Ok(self)
    }

    /// The name of the log, which is the name of its keys.
    pub fn origin(&self) -> &str {
        self.trusted.last().map_or("", |key| &key.name)
    }

    /// Every trusted key, oldest first, the current one last.
    pub fn trusted(&self) -> &[VerifierKey] {
        &self.trusted
    }

    /// The same keys for whoever only reads.
    pub(crate) fn public(&self) -> Self {
        Self { trusted: self.trusted.clone(), signing: None }
    }

    /// The private key, if there is one.
    pub fn signing(&self) -> Option<&SigningKey> {
        self.signing.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

    #[test]
    fn keys_have_the_text_form_and_id_that_other_implementations_give_them() {
        let key = SigningKey::from_text(PRIVATE).unwrap();
        assert_eq!(key.verifier().to_string(), PUBLIC);
        assert_eq!(key.secret_text().unwrap(), PRIVATE);
        assert_eq!(PUBLIC.parse::<VerifierKey>().unwrap(), *key.verifier());
        assert_eq!(hex::encode(key.verifier().id()), "c74f20a3");
    }

    #[test]
    fn a_signing_key_shows_only_its_public_half() {
        let shown = format!("{:?}", Keyring::writer(SigningKey::from_text(PRIVATE).unwrap()));
        assert!(shown.contains("redacted") && shown.contains(PUBLIC), "{shown}");
        assert!(!shown.contains("AYEKFALV"), "{shown}");
    }

    #[test]
    fn an_edited_or_foreign_key_is_refused() {
        let refused = [
            ("", KeyError::VerifierForm),
            ("PeterNeumann", KeyError::VerifierForm),
            ("PeterNeumann+c74f20a3", KeyError::VerifierForm),
            ("PeterNeumann+c74f20+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::VerifierForm),
            ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Name),
            ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Name),
            ("PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Id),
            ("PeterNeumann+c74f20a3+AhpcS2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", KeyError::Algorithm),
            ("PeterNeumann+c74f20a3+AQ==", KeyError::Algorithm),
        ];
        for (text, why) in refused {
            assert_eq!(text.parse::<VerifierKey>(), Err(why), "{text}");
        }
        assert_eq!(SigningKey::from_text(PUBLIC).err(), Some(KeyError::SigningForm));
        assert_eq!(SigningKey::from_text(&PRIVATE.replace("c74f", "c74e")).err(), Some(KeyError::Id));
        assert_eq!(SigningKey::generate("two words").err(), Some(KeyError::Name));
    }

    #[test]
    fn a_key_ring_holds_the_keys_of_one_log_only() {
        let ring = Keyring::writer(SigningKey::generate("log.example/a").unwrap());
        let other = SigningKey::generate("log.example/b").unwrap();
        let refused = ring.after(vec![other.verifier().clone()]).err();
        assert_eq!(
            refused,
            Some(KeyError::OtherLog { expected: "log.example/a".into(), found: "log.example/b".into() })
        );
    }
}
