//! Freezes and holds: reasons why nothing, or one thing, may enter an environment.

mod weekly;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use weekly::{Recurring, UnknownZone, Weekly};

use crate::{
    digest::Digest,
    name::{EnvironmentName, PersonId},
};

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

/// When entry is denied: once, or every week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum FreezeRule {
    /// Once.
    Once(Freeze),
    /// Every week.
    Every(Recurring),
}

/// A freeze that persons, as many as the policy wants, will not let stop a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// The freeze: [`Freeze::digest`].
    pub freeze: Digest,
    /// Who signed.
    pub by: Vec<PersonId>,
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
    /// Who placed it; `None` if a failure did, or somebody who did not prove who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
}

impl Freeze {
    /// Whether `now` lies in the window; its end does not.
    pub fn covers(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// What names this window with its reason: the digest of its JSON form.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_else(|why| format!("{self:?} {why}").into_bytes()))
    }
}

impl FreezeRule {
    /// The window that covers `now`, or the next one; for a freeze that comes once, that one.
    ///
    /// # Errors
    /// The time zone is not known.
    pub fn window(&self, now: Timestamp) -> Result<Freeze, UnknownZone> {
        match self {
            Self::Once(freeze) => Ok(freeze.clone()),
            Self::Every(every) => every.window(now),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, digest};

    #[test]
    fn a_freeze_begins_with_its_first_instant_and_ends_before_its_last() {
        let freeze = Freeze { from: at(10), until: at(20), reason: "the holidays".into() };
        let covered: Vec<bool> = [9, 10, 15, 19, 20, 21].map(|second| freeze.covers(at(second))).to_vec();
        assert_eq!(covered, [false, true, true, true, false, false]);
    }

    #[test]
    fn what_is_held_is_named_in_full() {
        assert_eq!(HoldScope::Digest(digest("a")).to_string(), digest("a").to_string());
        assert_eq!(HoldScope::Environment("staging".parse().unwrap()).to_string(), "staging");
    }
}
