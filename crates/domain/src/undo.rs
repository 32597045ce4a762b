//! What to go back to. Recorded before anything live is touched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, name::ComponentName, reference::Tag, release::Release, schema::AfterMigration};

/// What a driver finds running in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Observed {
    /// Nothing runs.
    Nothing,
    /// These digests run, read from what runs them and never assumed.
    Running {
        /// What runs.
        release: Release,
        /// The digest of the definition it was started from, if the driver knows.
        definition: Option<Digest>,
    },
    /// Something runs that has no digest the driver can read.
    Unknown {
        /// What was seen.
        what: String,
    },
}

/// The state to restore when a promotion fails after it touched what is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// What ran.
    pub previous: Observed,
    /// What each moving tag named; `None` where the tag did not exist.
    pub tags: BTreeMap<ComponentName, BTreeMap<Tag, Option<Digest>>>,
    /// Whether what ran still works once the candidate has migrated the database; `None` where no label says anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<AfterMigration>,
}
