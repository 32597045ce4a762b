//! What is wrong with the file, and where, before it becomes a [`Diagnostic`](crate::diagnostic::Diagnostic).

use std::fmt::{self, Write};

use serde::de::{Expected, Unexpected};

use super::node::Span;

/// The way from the root to a value.
#[derive(Clone, Copy)]
pub(super) struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Path(&'a str),
    Key(&'a str),
    Index(usize),
}

impl<'a> Trail<'a> {
    /// The root itself.
    pub(super) const ROOT: Self = Self { parent: None, step: Step::Root };

    /// A way that was walked before, written out.
    pub(super) fn walked(path: &'a str) -> Self {
        Self { parent: None, step: Step::Path(path) }
    }

    /// The value under `key`.
    pub(super) fn key(parent: &'a Trail<'a>, key: &'a str) -> Self {
        Self { parent: Some(parent), step: Step::Key(key) }
    }

    /// The item with this number, from 0.
    pub(super) fn index(parent: &'a Trail<'a>, index: usize) -> Self {
        Self { parent: Some(parent), step: Step::Index(index) }
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = String::new();
        if let Some(parent) = self.parent {
            write!(before, "{parent}")?;
        }
        let dot = if before.is_empty() { "" } else { "." };
        match self.step {
            Step::Root => Ok(()),
            Step::Path(path) => f.write_str(path),
            Step::Key(key) => write!(f, "{before}{dot}{key}"),
            Step::Index(index) => write!(f, "{before}[{index}]"),
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) title: String,
    pub(super) span: Option<Span>,
    pub(super) path: String,
    pub(super) notes: Vec<String>,
    pub(super) next: Vec<String>,
}

impl Fault {
    /// Something wrong of this kind.
    pub(super) fn new(code: &'static str, title: impl Into<String>) -> Self {
        let (notes, next) = (Vec::new(), Vec::new());
        Self { code, title: title.into(), span: None, path: String::new(), notes, next }
    }

    /// A wrong value, or a missing key.
    pub(super) fn wrong(title: impl Into<String>) -> Self {
        Self::new("E0104", title)
    }

    /// A key that is not among those allowed.
    pub(super) fn unknown_key(key: &str, allowed: &[&str]) -> Self {
        let known =
            if allowed.is_empty() { "no key is allowed here".to_owned() } else { list("allowed here", allowed) };
        Self::new("E0103", format!("unknown key `{key}`")).note(known).suggest(key, allowed)
    }

    /// A word that is not among those allowed.
    pub(super) fn unknown_word(word: &str, allowed: &[&str]) -> Self {
        Self::wrong(format!("`{word}` is not known here")).note(list("allowed", allowed)).suggest(word, allowed)
    }

    /// At a place, unless a more precise one is known.
    #[must_use]
    pub(super) fn place(mut self, span: Span, trail: &Trail<'_>) -> Self {
        if self.span.is_none() {
            self.span = Some(span);
            self.path = trail.to_string();
        }
        self
    }

    /// With one more thing to do.
    #[must_use]
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// With one more thing to know.
    #[must_use]
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With the word of those `allowed` that may have been meant.
    #[must_use]
    pub(super) fn suggest(self, word: &str, allowed: &[&str]) -> Self {
        match nearest(word, allowed) {
            Some(near) => self.next(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

fn list(label: &str, words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("{label}: {}", quoted.join(", "))
}

/// The word that somebody may have meant.
fn nearest<'a>(word: &str, allowed: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let plain = word.to_lowercase().replace('-', "_");
    let distance = |other: &str| strsim::damerau_levenshtein(&plain, &other.replace('-', "_"));
    let best = allowed.iter().map(|other| (distance(other), *other)).min()?;
    (best.0 <= 1 + plain.len() / 4).then_some(best.1)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        // What serde says of an enum that is told by its content names the Rust type, and no key.
        let untold = message.starts_with("data did not match any variant");
        Self::wrong(if untold { "none of the forms that are allowed here".to_owned() } else { message })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = wanted(expected);
        let fault = Self::wrong(format!("expected {wanted}, found {}", shown(&found)));
        let quotable = matches!(
            found,
            Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_)
        );
        if quotable && wanted == "a text" { fault.next("put it in quotes") } else { fault }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::wrong(format!("expected {}, found {}", wanted(expected), shown(&found)))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::wrong(format!("expected {}, found {length}", wanted(expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_word(variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_key(field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::wrong(format!("`{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::wrong(format!("`{field}` stands twice"))
    }
}

fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" | "path string" | "str" => "a text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "a whole number".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other => match other.strip_prefix("an array of length ") {
            Some(length) => format!("a list of {length}"),
            None => other.to_owned(),
        },
    }
}

fn shown(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let allowed = ["image", "gates", "rollback", "plain_http", "approval-wanted"];
        assert_eq!(nearest("imgae", &allowed), Some("image"));
        assert_eq!(nearest("Gates", &allowed), Some("gates"));
        assert_eq!(nearest("plain-http", &allowed), Some("plain_http"));
        assert_eq!(nearest("approval_wanted", &allowed), Some("approval-wanted"));
        assert_eq!(nearest("soak", &allowed), None);
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(nearest(&"é".repeat(100), &allowed), None);
    }

    #[test]
    fn a_trail_reads_like_a_path() {
        let a = Trail::key(&Trail::ROOT, "a");
        let item = Trail::index(&a, 3);
        assert_eq!(Trail::key(&item, "b").to_string(), "a[3].b");
        let walked = Trail::walked("x.y");
        assert_eq!(Trail::key(&walked, "z").to_string(), "x.y.z");
    }
}
