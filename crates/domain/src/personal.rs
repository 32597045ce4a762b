//! Personal data in a log that can never be edited: a salted commitment in the log, the opening beside it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;

/// 32 random bytes that keep a short text, a name for instance, from being guessed out of its digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

/// A personal text of which the log keeps only a salted commitment.
///
/// The commitment is the digest of the opening, a small document of salt and text that is stored beside the log by
/// that digest. Erase the opening and the text is gone; every hash above it still verifies.
#[derive(Clone)]
pub struct Personal {
    commitment: Digest,
    opening: Option<Opening>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Opening {
    salt: String,
    text: String,
}

impl Opening {
    fn bytes(&self) -> Vec<u8> {
        // Two strings always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Personal {
    /// Commits to `text` under a fresh random `salt`.
    pub fn new(text: impl Into<String>, salt: Salt) -> Self {
        let opening = Opening { salt: hex::encode(salt.0), text: text.into() };
        Self { commitment: Digest::of(&opening.bytes()), opening: Some(opening) }
    }

    /// What stands in the log.
    pub fn commitment(&self) -> Digest {
        self.commitment
    }

    /// The text, unless its opening was erased or has not been looked up.
    pub fn text(&self) -> Option<&str> {
        self.opening.as_ref().map(|o| o.text.as_str())
    }

    /// The opening as it is stored, by the digest that is the commitment.
    pub fn opening(&self) -> Option<Vec<u8>> {
        self.opening.as_ref().map(Opening::bytes)
    }

    /// Takes the stored opening, if it is the one committed to.
    pub fn open(&mut self, bytes: &[u8]) {
        if Digest::of(bytes) == self.commitment {
            self.opening = serde_json::from_slice(bytes).ok();
        }
    }
}

/// Two are equal when they commit to the same, whether or not they have been opened.
impl PartialEq for Personal {
    fn eq(&self, other: &Self) -> bool {
        self.commitment == other.commitment
    }
}

impl Eq for Personal {}

impl std::fmt::Debug for Personal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Personal({})", self.commitment.short())
    }
}

impl Serialize for Personal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.commitment.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Personal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { commitment: Digest::deserialize(deserializer)?, opening: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_a_commitment_and_the_text_can_be_erased() {
        let ana = Personal::new("ana@acme.dev", Salt([7; 32]));
        assert_ne!(ana.commitment(), Personal::new("ana@acme.dev", Salt([8; 32])).commitment());
        let stored = serde_json::to_string(&ana).unwrap();
        assert!(!stored.contains("ana") && !format!("{ana:?}").contains("ana"));

        let mut read: Personal = serde_json::from_str(&stored).unwrap();
        assert_eq!((read.commitment(), read.text()), (ana.commitment(), None));
        read.open(&Personal::new("eve", Salt([0; 32])).opening().unwrap());
        assert_eq!(read.text(), None, "another opening is not accepted");
        read.open(&ana.opening().unwrap());
        assert_eq!(read.text(), Some("ana@acme.dev"));
    }

    #[test]
    fn two_are_equal_when_they_commit_to_the_same() {
        let ana = Personal::new("ana", Salt([7; 32]));
        let erased: Personal = serde_json::from_str(&serde_json::to_string(&ana).unwrap()).unwrap();
        assert_eq!(ana, erased);
        assert_ne!(ana, Personal::new("ana", Salt([8; 32])));
        assert_eq!(format!("{ana:?}"), format!("Personal({})", ana.commitment().short()));
    }
}
