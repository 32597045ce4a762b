//! The keys of writers, which have the form of a log's own key (c2sp.org/signed-note), with Ed25519.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift_domain::writer::WriterKey;
use sealift_engine::ports::writer::Writer;

use crate::key::{SigningKey, VerifierKey};

/// Verifies what writers signed, and signs where a key is at hand.
#[derive(Debug, Default)]
pub struct WriterKeys(Option<SigningKey>);

impl WriterKeys {
    /// For a run with `key`, or for one that has none.
    pub fn new(key: Option<SigningKey>) -> Self {
        Self(key)
    }
}

impl Writer for WriterKeys {
    fn key(&self) -> Option<WriterKey> {
        self.0.as_ref()?.verifier().to_string().parse().ok()
    }

    fn sign(&self, bytes: &[u8]) -> Result<String, String> {
        let key = self.0.as_ref().ok_or_else(|| "this run has no writer key".to_owned())?;
        Ok(STANDARD.encode(key.sign(bytes)))
    }

    fn verify(&self, key: &WriterKey, bytes: &[u8], signature: &str) -> bool {
        let Ok(key) = key.to_string().parse::<VerifierKey>() else { return false };
        STANDARD.decode(signature).is_ok_and(|signature| key.verifies(bytes, &signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_writer_signed_is_its_own_and_about_those_bytes() {
        let (ours, theirs) = (WriterKeys::new(key("web/dev")), WriterKeys::new(key("web/dev")));
        let (our_key, their_key) = (ours.key().unwrap(), theirs.key().unwrap());
        let signature = ours.sign(b"fact").unwrap();
        let none = WriterKeys::default();
        assert!(none.verify(&our_key, b"fact", &signature), "whoever has no key can verify");
        assert!(!none.verify(&our_key, b"fake", &signature));
        assert!(!none.verify(&their_key, b"fact", &signature));
        for broken in ["", "?", &signature[1..], &format!("{signature} ")] {
            assert!(!none.verify(&our_key, b"fact", broken), "{broken}");
        }
        let renamed = our_key.to_string().replacen("web/dev", "web/prod", 1).parse().unwrap();
        assert!(!none.verify(&renamed, b"fact", &signature), "the id is not that of the name");
    }

    #[test]
    fn without_a_key_nothing_is_signed() {
        let none = WriterKeys::default();
        assert_eq!(none.key(), None);
        assert_eq!(none.sign(b"fact"), Err("this run has no writer key".to_owned()));
    }

    fn key(name: &str) -> Option<SigningKey> {
        Some(SigningKey::generate(name).unwrap())
    }
}
