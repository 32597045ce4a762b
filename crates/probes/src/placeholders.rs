//! `{commit}`, `{digest}` and the like in the texts of a check.

use std::collections::BTreeMap;

use serde_json::Value;

/// Why a text of a check cannot be completed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{{{name}}}` has no value here; known are: {known}")]
pub(crate) struct PlaceholderError {
    name: String,
    known: String,
}

/// Replaces each `{name}` of `text` by its value.
///
/// A placeholder is a lower-case letter followed by lower-case letters, digits or `_`, between single braces. Other
/// braces, such as those of a JSON text (`{"a":1}`) or doubled ones of a template (`{{name}}`), stay as they are.
/// A name without a value is an error, so that a check never passes by comparing with nothing.
pub(crate) fn fill(text: &str, values: &BTreeMap<String, String>) -> Result<String, PlaceholderError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let doubled = rest[..open].is_empty() && filled.ends_with('{');
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        match name_at(rest).filter(|_| !doubled) {
            Some(name) => {
                filled.push_str(values.get(name).ok_or_else(|| unknown(name, values))?);
                rest = &rest[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// [`fill`] for every string of a JSON value; keys and other values stay as they are.
pub(crate) fn fill_json(value: &Value, values: &BTreeMap<String, String>) -> Result<Value, PlaceholderError> {
    Ok(match value {
        Value::String(text) => Value::String(fill(text, values)?),
        Value::Array(items) => Value::Array(items.iter().map(|v| fill_json(v, values)).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(k, v)| Ok((k.clone(), fill_json(v, values)?))).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

// The name of the placeholder that `text`, which starts with `{`, starts with.
fn name_at(text: &str) -> Option<&str> {
    let end = text.find('}')?;
    let name = &text[1..end];
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    well_formed.then_some(name)
}

fn unknown(name: &str, values: &BTreeMap<String, String>) -> PlaceholderError {
    let known: Vec<_> = values.keys().map(|k| format!("`{{{k}}}`")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    PlaceholderError { name: name.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> BTreeMap<String, String> {
        [("commit", "abcdef0123"), ("commit7", "abcdef0")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn placeholders_are_replaced_wherever_they_stand() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("{commit}", "abcdef0123"),
            ("v-{commit7}-{commit}.", "v-abcdef0-abcdef0123."),
            (r#"{"version":"{commit7}"}"#, r#"{"version":"abcdef0"}"#),
            ("{{end}} {} { commit } {Commit} {", "{{end}} {} { commit } {Commit} {"),
            ("é{commit7}é}", "éabcdef0é}"),
        ] {
            assert_eq!(fill(text, &values()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_name_without_a_value_is_an_error_that_lists_the_known_ones() {
        let error = fill("x {version} y", &values()).unwrap_err().to_string();
        assert_eq!(error, "`{version}` has no value here; known are: `{commit}`, `{commit7}`");
        let error = fill("{commit}", &BTreeMap::new()).unwrap_err().to_string();
        assert_eq!(error, "`{commit}` has no value here; known are: none");
    }

    #[test]
    fn json_values_are_filled_in_depth() {
        let value = serde_json::json!({"{commit}": ["{commit7}", {"x": "{commit}"}, 1, null, true]});
        let expected = serde_json::json!({"{commit}": ["abcdef0", {"x": "abcdef0123"}, 1, null, true]});
        assert_eq!(fill_json(&value, &values()).unwrap(), expected);
        assert!(fill_json(&serde_json::json!([["{other}"]]), &values()).is_err());
    }

    #[test]
    fn a_value_is_never_expanded_again() {
        let values = [("commit".to_owned(), "{commit}".to_owned())].into();
        assert_eq!(fill("{commit}", &values).unwrap(), "{commit}");
    }
}
