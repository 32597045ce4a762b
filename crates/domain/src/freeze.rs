//! Freezes and holds: reasons why nothing, or one thing, may enter an environment.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{digest::Digest, name::EnvironmentName};

/// A window in which entry is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// When it begins (RFC 3339, with an offset or `Z`).
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// When it ends.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// What a hold blocks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldScope {
    /// This digest, everywhere.
    Digest(Digest),
    /// Everything into this environment.
    Environment(EnvironmentName),
}

/// A block on one digest or one environment, until somebody releases it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is blocked.
    pub scope: HoldScope,
    /// Why.
    pub reason: String,
}

impl Freeze {
    /// Whether `now` lies in the window; its end does not.
    pub fn covers(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

impl std::fmt::Display for HoldScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::Environment(name) => write!(f, "{name}"),
        }
    }
}
