//! What a gate answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{digest::Digest, failure::Code};

/// Pass, fail or error. An error blocks just as a failure does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The requirement is met.
    Pass {
        /// What was found, in a few words.
        found: String,
    },
    /// The requirement is not met.
    Fail {
        /// What was found instead.
        reason: String,
        /// What to do about it: a command where there is one.
        remedy: String,
        /// When the gate will pass by itself, if nothing else changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clears_at: Option<Timestamp>,
    },
    /// The requirement could not be judged: evidence is missing, unreadable or foreign.
    Error {
        /// What could not be had.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
}

/// A verdict with the evidence that it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Digests of what was judged: images, and bodies of log entries. Never a clock value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Digest>,
}

/// The finding of one named gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The gate's name.
    pub gate: String,
    /// The gate's code in the error catalogue.
    pub code: Code,
    /// The version of the gate that judged.
    #[serde(default = "Judged::first", skip_serializing_if = "Judged::is_first")]
    pub version: u32,
    /// What it found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Whether the policy lets an expedited promotion go on all the same. The verdict stays what it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waived: bool,
}

impl Finding {
    pub(super) fn pass(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass { found: found.into() }, evidence: Vec::new() }
    }

    pub(super) fn fail(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        let verdict = Verdict::Fail { reason: reason.into(), remedy: remedy.into(), clears_at: None };
        Self { verdict, evidence: Vec::new() }
    }

    pub(super) fn error(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Error { reason: reason.into(), remedy: remedy.into() }, evidence: Vec::new() }
    }

    pub(super) fn clears(mut self, at: Timestamp) -> Self {
        if let Verdict::Fail { clears_at, .. } = &mut self.verdict {
            *clears_at = Some(at);
        }
        self
    }

    pub(super) fn with(mut self, evidence: impl IntoIterator<Item = Digest>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

impl Judged {
    pub(super) fn new(gate: &str, code: &str, version: u32, finding: Finding) -> Self {
        Self { gate: gate.to_owned(), code: Code::new(code), version, finding, waived: false }
    }

    fn first() -> u32 {
        1
    }

    fn is_first(version: &u32) -> bool {
        *version == Self::first()
    }

    /// Whether the gate does not stand in the way: it passed, or is waived.
    pub fn admits(&self) -> bool {
        self.passed() || self.waived
    }

    /// Whether the gate passed. Anything else blocks, unless it is waived.
    pub fn passed(&self) -> bool {
        matches!(self.finding.verdict, Verdict::Pass { .. })
    }

    /// When a failed gate will pass by itself.
    pub fn clears_at(&self) -> Option<Timestamp> {
        match &self.finding.verdict {
            Verdict::Fail { clears_at, .. } => *clears_at,
            _ => None,
        }
    }

    /// The words of the verdict: what was found, or why not.
    pub fn words(&self) -> &str {
        match &self.finding.verdict {
            Verdict::Pass { found } => found,
            Verdict::Fail { reason, .. } | Verdict::Error { reason, .. } => reason,
        }
    }

    /// What to do about a gate that did not pass.
    pub fn remedy(&self) -> Option<&str> {
        match &self.finding.verdict {
            Verdict::Pass { .. } => None,
            Verdict::Fail { remedy, .. } | Verdict::Error { remedy, .. } => Some(remedy),
        }
    }
}
