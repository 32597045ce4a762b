//! Newtypes that are written as text, and words of others.

/// How much of a foreign text is repeated, in characters.
const WORDS: usize = 200;

/// A text of somebody else's, fit to be shown in one line: what is no printable ASCII is escaped, what is long is cut off.
pub(crate) fn printable(text: &str) -> String {
    let shown: String = text.chars().take(WORDS).flat_map(char::escape_default).collect();
    if text.chars().nth(WORDS).is_some() { format!("{shown}…") } else { shown }
}

/// Gives a type with `Display` and `FromStr` a serde form and a JSON Schema form: the text.
macro_rules! serde_as_text {
    ($type:ty, $name:literal, $pattern:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

pub(crate) use serde_as_text;
