//! The log on a branch of a git repository, for machines that share no disk.
//!
//! The branch holds the log as static files in the forms of c2sp.org/tlog-tiles, and beside them what SQLite keeps in further
//! tables; `docs/ledger.md` describes it. `git` itself talks to the remote. What was read is kept in a cache: a bare partial
//! clone, and a mirror in SQLite through which all reading goes, so that nothing is believed that does not lead to a
//! signature. Every commit of the log is one push that the remote takes only on top of what the writer had seen.
//!
//! A process that is killed leaves the log whole and a cache that is mended or made again.

mod blobs;
mod cache;
mod changes;
mod delta;
mod empty;
mod erase;
mod inbox;
mod layout;
mod objects;
mod options;
mod program;
mod publish;
mod reader;
mod remote;
mod repository;
mod session;
mod sync;
mod tiles;
mod whole;
mod words;

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{AuditReport, Head, Log, LogError, MAX_LEAF, NewLeaf};
use tokio::sync::OnceCell;

use self::{cache::Cache, repository::Fault, session::Attempts};
use crate::{
    key::{Keyring, SigningKey},
    record::{Base, Record},
    sqlite::MAX_OBJECT,
};

pub use inbox::Waiting;
pub use options::{GitOptions, Token};
pub use remote::{Remote, RemoteError};

/// The log on a branch.
pub struct GitLog {
    remote: Remote,
    options: Arc<GitOptions>,
    keys: Keyring,
    cache: Cache,
    /// Whether this machine's configuration says how `ssh` is started, once it is known.
    ssh: Arc<OnceCell<bool>>,
}

impl fmt::Debug for GitLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitLog").field("remote", &self.remote).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Does a piece of work on the cache, again with a new one if it turns out to be damaged.
macro_rules! work {
    ($log:expr, |$session:ident| $work:expr) => {{
        let mut attempts = Attempts::default();
        loop {
            let mut $session = $log.begin(&attempts).await?;
            let outcome: Result<_, Fault> = async { $work }.await;
            drop($session);
            match outcome {
                Ok(value) => break Ok(value),
                Err(fault) => attempts.after($log, fault).await?,
            }
        }
    }};
}

impl GitLog {
    /// Creates an empty log on a new branch, signed by `key`, whose name is the origin of the log. A branch that is there is
    /// refused and stays as it is.
    pub async fn create(remote: Remote, options: GitOptions, key: SigningKey) -> Result<Self, LogError> {
        let first = Record::create(&key);
        Self::create_copy(remote, options, Keyring::writer(key), &first).await
    }

    /// Creates a log on a new branch that begins as another one did, with that one's first record; no private key is needed.
    pub async fn create_copy(
        remote: Remote,
        options: GitOptions,
        keys: Keyring,
        first: &Record,
    ) -> Result<Self, LogError> {
        let log = Self::new(remote, options, keys)?;
        work!(&log, |session| session.create(first).await)?;
        Ok(log)
    }

    /// Opens a log, and reads it as far as a fold needs: every signature is verified, and what was seen before must be
    /// continued. The public key is enough to read, and to use the inbox.
    pub async fn open(remote: Remote, options: GitOptions, keys: Keyring) -> Result<Self, LogError> {
        let log = Self::new(remote, options, keys)?;
        work!(&log, |session| session.open().await)?;
        Ok(log)
    }

    fn new(remote: Remote, options: GitOptions, keys: Keyring) -> Result<Self, LogError> {
        let cache = Cache::open(&remote, &options.cache)?;
        Ok(Self { remote, options: Arc::new(options), keys, cache, ssh: Arc::default() })
    }

    /// The keys that it was opened with.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// Where it lies.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Erases an object, at the end of its retention; whether there was one. The branch gets a commit without history, by
    /// force, so that the remote can drop the bytes when it next cleans up; the log itself stays the same. Other caches drop
    /// the object when they next look at the remote.
    pub async fn erase_object(&self, digest: Digest) -> Result<bool, LogError> {
        self.writable()?;
        work!(self, |session| session.erase(digest).await)
    }

    /// The digests of all objects that entries name and that are not erased, in order. Fetches all commits, but no large
    /// objects.
    pub async fn object_digests(&self) -> Result<Vec<Digest>, LogError> {
        let present: BTreeSet<Digest> = work!(self, |session| session.present().await)?;
        Ok(present.into_iter().collect())
    }

    /// Where the log begins; fetches all commits.
    pub async fn beginning(&self) -> Result<Base, LogError> {
        work!(self, |session| {
            session.some_mirror().await?;
            session.descend(0).await?;
            Ok(session.mirror()?.base()?)
        })
    }

    /// The commit after which there are `size` entries, if one ends there.
    pub async fn commit_at(&self, size: u64) -> Result<Option<Base>, LogError> {
        work!(self, |session| {
            session.some_mirror().await?;
            session.descend(size).await?;
            Ok(session.mirror()?.commit_at(size)?)
        })
    }

    /// The commits after the one at `after` entries, in order, with their objects: as many as fit a page, none at the end.
    pub async fn records(&self, after: u64) -> Result<Vec<Record>, LogError> {
        work!(self, |session| session.commits(after).await)
    }

    /// Appends commits of another store as they are, in one push, after verifying signatures, tree, chain and objects. No
    /// private key is needed.
    pub async fn import(&self, records: Vec<Record>) -> Result<Head, LogError> {
        work!(self, |session| session.import_all(records.clone()).await)
    }

    /// The directory of what was read of this remote.
    pub fn cache_directory(&self) -> &std::path::Path {
        self.cache.directory()
    }

    fn writable(&self) -> Result<&SigningKey, LogError> {
        let why = "it was opened with the public key only, so it can be read and audited, not written";
        let error = || LogError::Unavailable { place: self.remote.to_string(), why: why.to_owned() };
        self.keys.signing().ok_or_else(error)
    }

    fn check_sizes(&self, batch: &[NewLeaf]) -> Result<(), LogError> {
        for leaf in batch {
            if leaf.bytes.len() > MAX_LEAF {
                return Err(LogError::TooLarge(leaf.bytes.len()));
            }
            if let Some(object) = leaf.objects.iter().find(|object| object.len() > MAX_OBJECT) {
                let why = format!("an object of {} bytes is too large: at most {MAX_OBJECT} are stored", object.len());
                return Err(LogError::Refused { place: self.remote.to_string(), why });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Log for GitLog {
    /// One round trip, two if the log has moved.
    async fn head(&self) -> Result<Head, LogError> {
        work!(self, |session| {
            session.sync().await?;
            session.head()
        })
    }

    fn can_write(&self) -> bool {
        self.keys.signing().is_some()
    }

    async fn known_head(&self) -> Result<Head, LogError> {
        work!(self, |session| {
            session.some_mirror().await?;
            session.head()
        })
    }

    /// An empty batch changes nothing and is only compared.
    async fn append(&self, expected: Head, batch: Vec<NewLeaf>) -> Result<Head, LogError> {
        let key = self.writable()?;
        self.check_sizes(&batch)?;
        work!(self, |session| session.append(expected, batch.clone(), key).await)
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError> {
        if from >= to {
            return Ok(Vec::new());
        }
        work!(self, |session| {
            session.some_mirror().await?;
            session.descend(from).await?;
            Ok(session.mirror()?.leaves_now(from, to)?)
        })
    }

    async fn objects(&self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LogError> {
        work!(self, |session| session.objects(digests).await)
    }

    async fn last_snapshot(&self, size: u64) -> Result<Option<u64>, LogError> {
        work!(self, |session| session.last_snapshot(size).await)
    }

    async fn checkpoint(&self) -> Result<String, LogError> {
        work!(self, |session| {
            session.some_mirror().await?;
            Ok(session.mirror()?.tip()?.note)
        })
    }

    /// Reads the whole branch again, builds a mirror from it alone, and audits that.
    async fn audit(&self, kept: Option<&str>) -> Result<AuditReport, LogError> {
        work!(self, |session| session.audit(kept).await)
    }
}
