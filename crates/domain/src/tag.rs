//! The names that Sealift gives: templates for moving and immutable tags.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::{ReferenceError, Tag};

/// A tag to write, as the configuration states it: `main`, or `{immutable: "main-{commit7}"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TagTemplate {
    /// Written before the deployment, never overwritten.
    Immutable {
        /// The name, with placeholders.
        immutable: String,
    },
    /// Moved last, after verification. A name with a placeholder is written the same way.
    Moving(String),
}

/// Why a template gives no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagTemplateError {
    /// A placeholder has no value for this release.
    #[error("tag template `{template}` needs `{{{name}}}`, which this release does not have; known here: {known}")]
    NoValue {
        /// The template.
        template: String,
        /// The placeholder.
        name: String,
        /// The placeholders that have a value.
        known: String,
    },
    /// A `{` without its `}`.
    #[error("tag template `{0}` has an unclosed `{{`")]
    Unclosed(String),
    /// The result is not a tag.
    #[error("tag template `{template}` gives no tag: {source}")]
    NotATag {
        /// The template.
        template: String,
        /// Why.
        source: ReferenceError,
    },
}

impl TagTemplate {
    /// The template as written.
    pub fn template(&self) -> &str {
        match self {
            Self::Immutable { immutable } => immutable,
            Self::Moving(name) => name,
        }
    }

    /// Whether the tag may never name anything else.
    pub fn is_immutable(&self) -> bool {
        matches!(self, Self::Immutable { .. })
    }

    /// The tag for a release whose placeholders have these values.
    pub fn render(&self, values: &BTreeMap<String, String>) -> Result<Tag, TagTemplateError> {
        let template = self.template();
        let text = fill(template, values)?;
        text.parse().map_err(|source| TagTemplateError::NotATag { template: template.to_owned(), source })
    }
}

fn fill(template: &str, values: &BTreeMap<String, String>) -> Result<String, TagTemplateError> {
    let mut text = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        let close = rest[open..].find('}').ok_or_else(|| TagTemplateError::Unclosed(template.to_owned()))?;
        let name = &rest[open + 1..open + close];
        let value = values.get(name).ok_or_else(|| TagTemplateError::NoValue {
            template: template.to_owned(),
            name: name.to_owned(),
            known: values.keys().map(|k| format!("{{{k}}}")).collect::<Vec<_>>().join(", "),
        })?;
        text.push_str(value);
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_or_refused() {
        let values =
            BTreeMap::from([("commit7".to_owned(), "7a3f9c2".to_owned()), ("bad".to_owned(), "a b".to_owned())]);
        let render = |text: &str| TagTemplate::Moving(text.to_owned()).render(&values).map(|t| t.to_string());
        assert_eq!(render("main"), Ok("main".to_owned()));
        assert_eq!(render("main-{commit7}"), Ok("main-7a3f9c2".to_owned()));
        assert!(matches!(render("{n}"), Err(TagTemplateError::NoValue { name, .. }) if name == "n"));
        assert!(matches!(render("{n"), Err(TagTemplateError::Unclosed(_))));
        assert!(matches!(render("x{bad}"), Err(TagTemplateError::NotATag { .. })));
        let immutable: TagTemplate = serde_json::from_str(r#"{"immutable":"v{commit7}"}"#).unwrap();
        assert!(immutable.is_immutable());
        assert!(!serde_json::from_str::<TagTemplate>(r#""main""#).unwrap().is_immutable());
    }
}
