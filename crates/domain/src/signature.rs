//! Public keys that evidence is signed with.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// How the text of a public key begins (RFC 7468, section 13).
const ARMOUR: &str = "-----BEGIN PUBLIC KEY-----\n";

/// A public key that images are signed with: the key itself as PEM (a `SubjectPublicKeyInfo`, RFC 7468, section 13) in its
/// one canonical spelling, which whoever reads key files sees to. Never the name of a file: what is in a file can be
/// replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PublicKey(String);

/// Why a text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key is PEM that begins with `-----BEGIN PUBLIC KEY-----`")]
pub struct NotAKey;

impl PublicKey {
    /// A key from its canonical PEM. Only the armour is looked at here; a key that cannot be used verifies nothing.
    ///
    /// # Errors
    /// The text is not armoured as a public key, for instance because it is the name of a file.
    pub fn from_canonical_pem(text: impl Into<String>) -> Result<Self, NotAKey> {
        let text = text.into();
        if text.starts_with(ARMOUR) { Ok(Self(text)) } else { Err(NotAKey) }
    }

    /// The PEM.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_canonical_pem(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Editors see the file, and there a key is the name of a file.
impl JsonSchema for PublicKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PublicKeyFile".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "A PEM file with a public key, such as cosign.pub, relative to the configuration.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_is_no_key() {
        let key =
            PublicKey::from_canonical_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap();
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&text).unwrap(), key);
        for text in ["cosign.pub", "", "-----BEGIN PRIVATE KEY-----\nAAAA\n"] {
            assert_eq!(PublicKey::from_canonical_pem(text), Err(NotAKey));
            assert!(serde_json::from_value::<PublicKey>(text.into()).is_err(), "{text}");
        }
    }
}
