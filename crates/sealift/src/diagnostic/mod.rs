//! Errors as people read them: what, where, what was found, what state the world is in, what to do next.

pub mod catalogue;
mod render;

use sealift_domain::failure::Code;
use serde_json::{Value, json};

use catalogue::Exit;

/// The version of the JSON form.
pub const SCHEMA_VERSION: u32 = 1;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// The line of a file that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, without its end.
    pub line: String,
    /// How many characters to underline, from the column of the location.
    pub length: usize,
}

/// An error, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code in the [`catalogue`].
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub title: String,
    /// Where.
    pub at: Option<Location>,
    /// The key of the configuration, or another name of the place.
    pub where_: Option<String>,
    /// The line in question.
    pub excerpt: Option<Excerpt>,
    /// The evidence.
    pub found: Option<String>,
    /// What state the world is in now.
    pub state: Option<String>,
    /// What to do, commands between back-ticks.
    pub next: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// An error of this code.
    pub fn new(code: &str, title: impl Into<String>) -> Self {
        Self {
            code: Code::new(code),
            title: title.into(),
            at: None,
            where_: None,
            excerpt: None,
            found: None,
            state: None,
            next: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// With its place.
    #[must_use]
    pub fn at(mut self, at: Location) -> Self {
        self.at = Some(at);
        self
    }

    /// With the key of the configuration that it is about.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.where_ = Some(key.into());
        self
    }

    /// With what was found.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// With the state that the world is in.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// With one more thing to do.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// With one more thing to know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The exit code of a command that ends with this error.
    pub fn exit(&self) -> Exit {
        catalogue::exit(self.code.as_str())
    }

    /// The error as one JSON object; keys without a value are left out.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "schema_version": SCHEMA_VERSION,
            "code": self.code.as_str(),
            "title": self.title,
            "exit_code": self.exit().code(),
        });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object[key] = value;
            }
        };
        set("at", self.at.as_ref().map(|at| json!({"file": at.file, "line": at.line, "column": at.column})));
        set("where", self.where_.as_ref().map(|key| json!(key)));
        set("found", self.found.as_ref().map(|text| json!(text)));
        set("state", self.state.as_ref().map(|text| json!(text)));
        set("next", (!self.next.is_empty()).then(|| json!(self.next)));
        set("notes", (!self.notes.is_empty()).then(|| json!(self.notes)));
        object
    }
}

#[cfg(test)]
mod tests;
