//! The public keys of writers: whoever writes facts about an environment into the log signs them with the key of that environment.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// Hexadecimal digits of a key id.
const ID: usize = 8;
/// Characters of the base64 of an algorithm byte and 32 bytes of a key.
const MATERIAL: usize = 44;
/// The longest name, in bytes.
const MAX_NAME: usize = 200;

/// A public key as c2sp.org/signed-note writes it: `<name>+<8 hexadecimal digits>+<base64>`, Ed25519. Only the form is looked at here;
/// a key that cannot be used verifies nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct WriterKey(String);

/// Why a text is no key of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key of a writer is `<name>+<8 hexadecimal digits>+<base64>`, as `sealift keys writer ENVIRONMENT` prints it"
)]
pub struct NotAWriterKey;

impl WriterKey {
    /// The name.
    pub fn name(&self) -> &str {
        self.parts().0
    }

    /// The key id: 8 hexadecimal digits.
    pub fn id(&self) -> &str {
        self.parts().1
    }

    /// The key itself, in base64. Two keys with other names may be one.
    pub fn material(&self) -> &str {
        self.parts().2
    }

    fn parts(&self) -> (&str, &str, &str) {
        parts(&self.0).unwrap_or_default()
    }
}

fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('+')?;
    let (id, material) = rest.split_once('+')?;
    Some((name, id, material))
}

impl FromStr for WriterKey {
    type Err = NotAWriterKey;

    fn from_str(text: &str) -> Result<Self, NotAWriterKey> {
        let (name, id, material) = parts(text).ok_or(NotAWriterKey)?;
        let named =
            !name.is_empty() && name.len() <= MAX_NAME && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        let hex = id.len() == ID && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        let key = material.len() == MATERIAL && material.bytes().all(base64);
        if named && hex && key { Ok(Self(text.to_owned())) } else { Err(NotAWriterKey) }
    }
}

impl fmt::Display for WriterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WriterKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Keys for tests of this crate.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) const DEV: &str = "web/dev+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_apart_where_its_text_does_and_base64_may_have_a_plus_in_it() {
        let text = "web/dev+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T+";
        let key: WriterKey = text.parse().unwrap();
        assert_eq!((key.name(), key.id()), ("web/dev", "c74f20a3"));
        assert_eq!(key.material(), "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T+");
        assert_eq!(key.to_string(), text);
        assert_eq!(serde_json::from_str::<WriterKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
    }

    #[test]
    fn what_has_not_the_form_of_a_key_is_none() {
        let private = format!("PRIVATE+KEY+{}", testing::DEV);
        for text in [
            "",
            "web.pub",
            &private,
            "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "two words+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "web+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "web+c74f20+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "web+c74f20a3+ARpc",
            "web+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T ",
        ] {
            assert_eq!(text.parse::<WriterKey>(), Err(NotAWriterKey), "{text}");
            assert!(serde_json::from_value::<WriterKey>(text.into()).is_err(), "{text}");
        }
    }
}
