//! Why something did not work, as it is recorded and shown.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A stable code of the error catalogue, for instance `E0301` or `G004`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(String);

/// A failure with its code, its words and what was kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The code in the error catalogue.
    pub code: Code,
    /// What failed, where and why.
    pub message: String,
    /// Objects beside the log: a failing response, the end of a log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Digest>,
}

impl Code {
    /// A code by its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_as_it_is_written() {
        let code = Code::new("E0301");
        assert_eq!((code.as_str(), code.to_string(), format!("{code:?}")), ("E0301", "E0301".into(), "E0301".into()));
        assert_eq!(serde_json::to_string(&code).unwrap(), r#""E0301""#);
    }
}
