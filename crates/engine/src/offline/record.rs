//! The record of a rollback without the log, as the host keeps it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sealift_domain::{
    approval::{ACT_NAMESPACE, Act, ActStatement, Proof, STATEMENT_VERSION},
    digest::Digest,
    name::{ComponentName, EnvironmentName},
    offline::{OfflineRollback, Outcome},
    reference::Pinned,
    release::Release,
    schema::Schema,
    undo::Observed,
};
use serde::{Deserialize, Serialize};

use crate::{
    act::Signed,
    error::EngineError,
    ports::{offline::Kept, signature::Signatures},
};

/// The version of [`Record`].
pub const RECORD_VERSION: u32 = 1;

/// Who rolled what back, what was live before, and how it ended. The statement is signed; the rest is what the program found,
/// and as trustworthy as the host that keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub v: u32,
    /// The key of the deployment that it makes: `offline-` and the nonce of the statement.
    pub key: String,
    /// The exact bytes that were signed: an [`ActStatement`].
    pub statement: String,
    /// The armoured signature (OpenSSH `PROTOCOL.sshsig`).
    pub signature: String,
    /// What ran when it began.
    pub before: Observed,
    /// The deployment that was live when it began.
    pub before_key: Option<String>,
    /// The deployment of the past that it goes back to.
    pub target_key: String,
    /// The images, under the names that the host has them by.
    pub images: BTreeMap<ComponentName, Pinned>,
    /// The definition that it is started from.
    pub definition: String,
    /// What the labels of the image say of the database.
    pub schema: Option<Schema>,
    /// How it ended; `None` while it is under way.
    pub end: Option<End>,
}

/// How a rollback without the log ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// What was read running.
    pub running: Observed,
    /// How.
    pub outcome: Outcome,
    /// The checks that were asked.
    pub checks: Vec<Asked>,
}

/// A check that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The check in a few words.
    pub check: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was seen.
    pub found: String,
}

/// What was signed, and how it is known.
pub(super) struct Said {
    pub(super) statement: ActStatement,
    pub(super) proof: Proof,
    pub(super) environment: EnvironmentName,
    pub(super) from: Option<Release>,
    pub(super) despite_schema: bool,
}

/// What whoever made a rollback has signed that they do.
pub fn act(rollback: &OfflineRollback) -> Act {
    Act::OfflineRollback {
        environment: rollback.environment.clone(),
        from: rollback.from.clone(),
        to: rollback.to.clone(),
        definition: rollback.definition,
        fence: rollback.fence,
        despite_schema: rollback.despite_schema,
    }
}

impl Record {
    /// The record that a host keeps.
    ///
    /// # Errors
    /// [`EngineError::BadRecord`].
    pub fn read(kept: &Kept) -> Result<Self, EngineError> {
        let bad = |why: String| EngineError::BadRecord { key: kept.key.clone(), why };
        let record: Self = serde_json::from_slice(&kept.bytes).map_err(|e| bad(e.to_string()))?;
        if record.key != kept.key {
            return Err(bad(format!("it calls itself {}", record.key)));
        }
        Ok(record)
    }

    /// The record as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        // A record has nothing that JSON could not say.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// What the person signed.
    pub(super) fn signed(&self) -> Signed {
        Signed { statement: self.statement.clone().into_bytes(), signature: self.signature.clone().into_bytes() }
    }

    /// The release to go back to.
    pub fn release(&self) -> Option<Release> {
        Release::new(self.images.iter().map(|(name, image)| (name.clone(), image.digest)).collect())
    }

    /// What was signed, verified, and compared with everything else that the record says.
    ///
    /// # Errors
    /// [`EngineError::BadRecord`] with what is wrong.
    pub(super) fn verify(&self, signatures: &dyn Signatures) -> Result<Said, EngineError> {
        self.verified(signatures).map_err(|why| EngineError::BadRecord { key: self.key.clone(), why })
    }

    fn verified(&self, signatures: &dyn Signatures) -> Result<Said, String> {
        if self.v != RECORD_VERSION {
            return Err(format!("it has version {}, and this program knows version {RECORD_VERSION}", self.v));
        }
        let signed = self.signed();
        let key = signed.key(signatures).map_err(|e| e.to_string())?;
        let proof = signed.proof(signatures, key, ACT_NAMESPACE).map_err(|e| e.to_string())?;
        let statement: ActStatement = serde_json::from_str(&self.statement).map_err(|e| e.to_string())?;
        let Act::OfflineRollback { environment, from, to, definition, despite_schema, .. } = statement.act.clone()
        else {
            return Err("what was signed is no rollback without the log".to_owned());
        };
        let wrong = [
            (statement.v != STATEMENT_VERSION, "the statement has a form that this program does not know"),
            (self.key != format!("offline-{}", statement.nonce), "its key is not that of the statement"),
            (self.release().as_ref() != Some(&to), "its images are not those of the statement"),
            (Digest::of(self.definition.as_bytes()) != definition, "its definition is not that of the statement"),
            (statement.reason.trim().is_empty(), "it says no reason"),
            (
                matches!(&self.before, Observed::Running { release, .. } if Some(release) != from.as_ref()),
                "what ran before is not what the statement says",
            ),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, why)) => Err(why.to_owned()),
            None => Ok(Said { statement, proof, environment, from, despite_schema }),
        }
    }
}

impl Said {
    /// The fencing number that was signed.
    pub(super) fn fence(&self) -> u64 {
        match &self.statement.act {
            Act::OfflineRollback { fence, .. } => *fence,
            // Nothing else comes in here.
            _ => 0,
        }
    }
}
