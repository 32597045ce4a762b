//! One piece of work on the cache, while nobody else works there.

use std::{fs::File, sync::Arc};

use sealift_engine::ports::log::{Head, LogError};

use super::{
    GitLog,
    blobs::Oid,
    cache::Cache,
    layout::tampered,
    repository::{Fault, Listing, Repository},
};
use crate::{checkpoint, key::Keyring, sqlite::SqliteLog};

/// How many unpacked objects or packs the clone may have before it is made anew.
const MAX_CLUTTER: (usize, usize) = (8192, 256);
/// The mirror's file in its directory.
const MIRROR: &str = "log.db";

/// The cache, locked.
pub(super) struct Session<'a> {
    pub(super) log: &'a GitLog,
    pub(super) repository: Repository,
    mirror: Option<SqliteLog>,
    /// The note of what was pushed and may have arrived, where history does not tell.
    pub(super) unknown: Option<String>,
    _lock: Arc<File>,
}

/// How often work was tried that a damaged cache may have spoilt.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    renewed: bool,
    again: bool,
}

impl Attempts {
    /// Whether to try once more after this fault, which is the outcome otherwise.
    pub(super) async fn after(&mut self, log: &GitLog, fault: Fault) -> Result<(), LogError> {
        match fault {
            Fault::Cache(_) if !self.renewed => {
                self.renewed = true;
                let session = log.begin(self).await?;
                session.repository.renew(&log.remote, None)
            }
            // Either the cache is damaged, or the branch. A mirror that is made from the branch alone tells.
            Fault::Log(LogError::Tampered { .. }) if !self.again => {
                self.again = true;
                Ok(())
            }
            Fault::Log(error) => Err(error),
            Fault::Cache(why) => {
                let why = format!("its cache in {} is damaged: {why}", log.cache.directory().display());
                Err(LogError::Unavailable { place: log.remote.to_string(), why })
            }
        }
    }
}

impl GitLog {
    /// Waits for the lock and opens what is there.
    pub(super) async fn begin(&self, attempts: &Attempts) -> Result<Session<'_>, LogError> {
        let lock = self.cache.lock(self.options.timeout * 5).await?;
        let repository =
            Repository::open(&self.options, &self.remote, &self.cache.repository(), lock.clone(), &self.ssh)?;
        let (objects, packs) = repository.clutter();
        if objects > MAX_CLUTTER.0 || packs > MAX_CLUTTER.1 {
            repository.renew(&self.remote, None)?;
        }
        let path = self.cache.mirror().join(MIRROR);
        let mirror = if attempts.again { None } else { SqliteLog::open_mirror(&path, self.keys.public()).ok() };
        Ok(Session { log: self, repository, mirror, unknown: None, _lock: lock })
    }
}

impl Session<'_> {
    /// The mirror, once there is one.
    pub(super) fn mirror(&self) -> Result<&SqliteLog, Fault> {
        self.mirror.as_ref().ok_or_else(|| Fault::Cache("there is no mirror".into()))
    }

    pub(super) fn has_mirror(&self) -> bool {
        self.mirror.is_some()
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.log.cache
    }

    pub(super) fn keys(&self) -> &Keyring {
        &self.log.keys
    }

    /// The head of the mirror.
    pub(super) fn head(&self) -> Result<Head, Fault> {
        let tip = self.mirror()?.tip()?;
        Ok(Head { size: tip.frontier.size(), root: tip.frontier.root() })
    }

    /// Makes a mirror with `make` in a file of its own and takes it, in place of the present one.
    pub(super) fn take_mirror(&mut self, built: SqliteLog) -> Result<(), Fault> {
        // Both are closed before files are moved: what SQLite has beside them is gone then.
        drop(built);
        self.mirror = None;
        self.cache().replace_mirror()?;
        self.mirror = Some(SqliteLog::open_mirror(&self.cache().mirror().join(MIRROR), self.keys().public())?);
        Ok(())
    }

    /// Where a mirror is built.
    pub(super) fn new_mirror(&self) -> Result<std::path::PathBuf, Fault> {
        Ok(self.cache().begin_mirror()?.join(MIRROR))
    }

    /// The files of the commit that the mirror was brought up to, without asking the remote if that is not needed.
    pub(super) async fn known_files(&mut self) -> Result<(Oid, Listing), Fault> {
        match self.repository.seen() {
            Some(seen) if self.has_mirror() => {
                let files = self.repository.files(&seen).await?;
                Ok((seen, files))
            }
            _ => {
                let seen = self.sync().await?;
                let files = self.repository.files(&seen).await?;
                Ok((seen, files))
            }
        }
    }

    /// A mirror that is not behind the remote by more than nothing if there was none yet.
    pub(super) async fn some_mirror(&mut self) -> Result<(), Fault> {
        if !self.has_mirror() {
            self.sync().await?;
        }
        Ok(())
    }

    /// The checkpoints that what lies at the remote must continue: the one that this cache has kept, and the one given.
    pub(super) fn kept(&self) -> Result<Vec<(Head, String)>, Fault> {
        let own = self.cache().kept()?.map(|text| (text, format!("in {}", self.cache().directory().display())));
        let given =
            self.log.options.checkpoint.clone().map(|text| (text, "in the checkpoint that was given".to_owned()));
        let mut kept = Vec::new();
        for (text, place) in own.into_iter().chain(given) {
            let verified = checkpoint::verify(&text, self.keys());
            let verified = verified.map_err(|why| tampered(&format!("the checkpoint kept {place}: {why}")))?;
            kept.push((verified.head, place));
        }
        Ok(kept)
    }

    /// What lies at the remote does not continue what was seen.
    pub(super) fn rewritten(&self, seen: Head, kept: &str, found: String) -> Fault {
        let seen = format!("{seen:?} ({kept})");
        LogError::Rewritten { place: self.log.remote.to_string(), seen, found }.into()
    }
}
