//! Database schemas: which one a release expects, and which releases a migrated database still serves.
//!
//! An image says it in two labels, which are its builder's own word:
//! - `dev.sealift.schema: N`, an unsigned decimal number: the schema that this release expects, and that its migration
//!   leaves behind.
//! - `dev.sealift.schema.compatible-from: M`, at most `N`, and `N` where it is missing: the oldest schema whose releases
//!   still work on the database once this release has migrated it (expand and contract).
//!
//! So on a database that release (N, M) has migrated, a release of schema S works if M ≤ S ≤ N. A release that carries no
//! label counts as older than every number but 0: it works only where M is 0.
//!
//! A database never goes back by itself. What counts is the newest schema that it was ever migrated to, whichever release
//! is live.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    image::{Image, PlatformImage},
    name::EnvironmentName,
};

/// The label that says which schema a release expects.
pub const SCHEMA_LABEL: &str = "dev.sealift.schema";
/// The label that says from which schema on releases still work.
pub const COMPATIBLE_LABEL: &str = "dev.sealift.schema.compatible-from";

/// What the labels of an image say, and what a database is at once that image has migrated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Numbers")]
pub struct Schema {
    at: u64,
    compatible_from: u64,
}

/// The JSON form of a [`Schema`], not checked yet.
#[derive(Deserialize)]
struct Numbers {
    at: u64,
    compatible_from: u64,
}

impl TryFrom<Numbers> for Schema {
    type Error = SchemaError;

    fn try_from(numbers: Numbers) -> Result<Self, SchemaError> {
        Self::new(numbers.at, numbers.compatible_from)
    }
}

/// Labels that say nothing which could be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A label is no number.
    #[error("label {label} is {text:?}, which is no number")]
    NoNumber {
        /// Which.
        label: &'static str,
        /// What it says.
        text: String,
    },
    /// Compatible with the future only.
    #[error("compatible from schema {compatible_from} on, which is newer than its own schema {at}")]
    Newer {
        /// `dev.sealift.schema`.
        at: u64,
        /// `dev.sealift.schema.compatible-from`.
        compatible_from: u64,
    },
    /// The second label without the first.
    #[error("label {COMPATIBLE_LABEL} is there, and {SCHEMA_LABEL} is not")]
    Alone,
    /// Two platforms of one image say different things.
    #[error("its labels for {one} and for {other} differ")]
    Platforms {
        /// A platform.
        one: String,
        /// Another one.
        other: String,
    },
    /// The image configuration, where labels stand, is not in the registry.
    #[error("its configuration for {0} may be missing from the registry, and the labels with it")]
    NoConfiguration(String),
}

impl Schema {
    /// Schema `at`, on which releases from `compatible_from` on work.
    pub fn new(at: u64, compatible_from: u64) -> Result<Self, SchemaError> {
        if compatible_from > at {
            return Err(SchemaError::Newer { at, compatible_from });
        }
        Ok(Self { at, compatible_from })
    }

    /// What labels say; `None` where neither is there.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Result<Option<Self>, SchemaError> {
        let at = labels.get(SCHEMA_LABEL).map(|text| number(SCHEMA_LABEL, text)).transpose()?;
        let from = labels.get(COMPATIBLE_LABEL).map(|text| number(COMPATIBLE_LABEL, text)).transpose()?;
        match (at, from) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(SchemaError::Alone),
            (Some(at), from) => Self::new(at, from.unwrap_or(at)).map(Some),
        }
    }

    /// What an image says, which must be the same for every platform.
    pub fn of_image(image: &Image) -> Result<Option<Self>, SchemaError> {
        let mut first: Option<(&str, Option<Self>)> = None;
        for platform in &image.platforms {
            let said = of_platform(platform)?;
            match first {
                None => first = Some((&platform.platform, said)),
                Some((_, before)) if before == said => {}
                Some((one, _)) => {
                    return Err(SchemaError::Platforms { one: one.to_owned(), other: platform.platform.clone() });
                }
            }
        }
        Ok(first.and_then(|(_, said)| said))
    }

    /// The schema that the release expects, and that the database is at.
    pub fn at(self) -> u64 {
        self.at
    }

    /// The oldest schema whose releases work on the database.
    pub fn compatible_from(self) -> u64 {
        self.compatible_from
    }

    /// Whether a release works on a database that is at this schema. `None` is a release without a label.
    pub fn serves(self, release: Option<Self>) -> bool {
        match release {
            Some(release) => (self.compatible_from..=self.at).contains(&release.at),
            None => self.compatible_from == 0,
        }
    }

    /// What a database at `before` is at once this release has migrated it. The newest schema wins; of the same one, what
    /// the newest release says of it.
    pub fn after(self, before: Option<Self>) -> Self {
        before.filter(|before| before.at > self.at).unwrap_or(self)
    }
}

impl fmt::Display for Schema {
    /// `schema 8, for releases from schema 7 on`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema {}, for releases from schema {} on", self.at, self.compatible_from)
    }
}

/// An unsigned decimal number and nothing else: no sign, no space.
fn number(label: &'static str, text: &str) -> Result<u64, SchemaError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|_| digits);
    parsed.ok_or_else(|| SchemaError::NoNumber { label, text: text.chars().take(64).collect() })
}

fn of_platform(platform: &PlatformImage) -> Result<Option<Schema>, SchemaError> {
    // Without its configuration an image reads as one without labels, which is another thing.
    if platform.labels.is_empty() && !platform.missing.is_empty() {
        return Err(SchemaError::NoConfiguration(platform.platform.clone()));
    }
    Schema::of_labels(&platform.labels)
}

/// What a release says of the schema that it expects, as far as that could be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// This one.
    Schema(Schema),
    /// It carries no label.
    Nothing,
    /// Its labels cannot be read, and why.
    Unreadable(String),
}

impl Expected {
    /// Whether the release works on a database at `database`. What cannot be read does not.
    pub fn works_on(&self, database: Schema) -> bool {
        match self {
            Self::Schema(schema) => database.serves(Some(*schema)),
            Self::Nothing => database.serves(None),
            Self::Unreadable(_) => false,
        }
    }
}

impl From<Option<Schema>> for Expected {
    fn from(schema: Option<Schema>) -> Self {
        schema.map_or(Self::Nothing, Self::Schema)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(schema) => write!(f, "expects schema {}", schema.at),
            Self::Nothing => write!(f, "carries no label {SCHEMA_LABEL}"),
            Self::Unreadable(why) => write!(f, "does not say which schema it expects: {why}"),
        }
    }
}

/// The database of an environment as a way back would find it: recorded with the undo record, before anything is migrated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterMigration {
    /// What the database is at once the candidate has migrated it.
    pub database: Schema,
    /// What the release before expects.
    pub previous: Expected,
}

impl AfterMigration {
    /// Whether the release before works on the migrated database.
    pub fn is_open(&self) -> bool {
        self.previous.works_on(self.database)
    }

    /// Why the release before is not brought back into `to`, and what a person can do: each choice with its commands.
    pub fn choices(&self, to: &EnvironmentName) -> String {
        let Self { database, previous } = self;
        let old = match previous {
            Expected::Schema(schema) => schema.at.to_string(),
            Expected::Nothing => "0".to_owned(),
            Expected::Unreadable(_) => "NUMBER".to_owned(),
        };
        format!(
            "the database was migrated, or may have been, to {database}; the release before {previous}, so it is not brought \
             back by itself. There are three ways. Forward: build a release whose schema is {from} or newer, then \
             `sealift hold release {to} --reason \"…\"` and `sealift promote --to {to}`. Back: restore the database to schema \
             {old} by hand, then `sealift record database --in {to} --schema {old} --reason \"…\"` and `sealift rollback --in \
             {to}`. If the label is wrong, and the release before does work on schema {at}: build again with the label \
             {COMPATIBLE_LABEL}={old}, and promote that build as in the first way",
            from = database.compatible_from,
            at = database.at,
        )
    }
}

/// What a promotion would mean for the database, and for the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What the database is at by the record.
    pub before: Option<Schema>,
    /// What it is at once the candidate has migrated it.
    pub after: Schema,
    /// What the live release expects, if something is live.
    pub live: Option<Option<Schema>>,
}

impl Outlook {
    /// What a candidate that expects `candidate` means; `None` where no label says anything.
    pub fn new(before: Option<Schema>, candidate: Option<Schema>, live: Option<Option<Schema>>) -> Option<Self> {
        let after = candidate.map(|candidate| candidate.after(before)).or(before)?;
        Some(Self { before, after, live })
    }

    /// Whether the live release could come back by itself.
    pub fn is_open(&self) -> bool {
        self.live.is_none_or(|live| self.after.serves(live))
    }

    /// What it means for the way back, in words.
    pub fn way_back(&self) -> String {
        let Some(live) = self.live else { return "nothing is live that could come back".to_owned() };
        let live = live.map_or_else(|| "no schema on record".to_owned(), |live| format!("schema {}", live.at));
        if self.is_open() {
            format!("the live release ({live}) works on it too")
        } else {
            format!("no automatic way back for the live release ({live})")
        }
    }
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            Some(before) if before.at == self.after.at => write!(f, "database stays at {}", before.at)?,
            Some(before) => write!(f, "database {} → {}", before.at, self.after.at)?,
            None => write!(f, "database at {}", self.after.at)?,
        }
        write!(f, "; {}", self.way_back())
    }
}

#[cfg(test)]
mod tests;
