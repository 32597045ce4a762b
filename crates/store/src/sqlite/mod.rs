//! The log in one SQLite file.
//!
//! Rows are inserted and never updated: leaves, the objects they name, and for each commit a signed checkpoint with the
//! frontier of the tree, so that appending costs the depth of the tree and not its size. Every read goes through a
//! signature. The file coordinates processes of one machine; it must not lie on a network file system.
//!
//! Calls block the thread for as long as SQLite takes: well under a millisecond for most, one sync to disk for an append,
//! up to ten seconds while another process writes, and a pass over everything for an audit. A multi-threaded runtime
//! bears that; no lock is held across an `await`.

mod append;
mod audit;
mod import;
mod mirror;
mod place;
mod read;
mod rows;
mod schema;

use std::{
    fmt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use rusqlite::Connection;
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{AuditReport, Head, Log, LogError, NewLeaf};

use self::{
    place::{Place, tampered},
    rows::Commit,
};
use crate::{
    checkpoint,
    key::{Keyring, SigningKey},
    merkle::{self, Hash},
    record::Record,
};

pub use rows::MAX_OBJECT;

/// The log in an SQLite file.
pub struct SqliteLog {
    connection: Mutex<Connection>,
    keys: Keyring,
    place: Place,
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog").field("place", &self.place).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl SqliteLog {
    /// Creates an empty log in a new file, signed by `key`, whose name is the origin of the log.
    pub fn create(path: &Path, key: SigningKey) -> Result<Self, LogError> {
        let first = Record::create(&key);
        Self::create_copy(path, Keyring::writer(key), &first)
    }

    /// Opens a log and checks that its newest checkpoint is signed by one of `keys`. Without a private key it is opened
    /// read-only.
    pub fn open(path: &Path, keys: Keyring) -> Result<Self, LogError> {
        let write = keys.signing().is_some();
        Self::open_at(Place::of(path), path, keys, write)
    }

    fn open_at(place: Place, path: &Path, keys: Keyring, write: bool) -> Result<Self, LogError> {
        let connection = schema::open(&place, path, write)?;
        let log = Self { connection: Mutex::new(connection), keys, place };
        log.newest()?;
        Ok(log)
    }

    /// The keys that it was opened with.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// Erases an object, at the end of its retention; whether there was one. The leaves that name it stay, and audits
    /// report it as erased. Its bytes are overwritten in the file; copies in the write-ahead file go with the next
    /// moment at which nobody reads.
    pub fn erase_object(&self, digest: Digest) -> Result<bool, LogError> {
        self.keys.signing().ok_or_else(|| append::read_only(&self.place))?;
        self.delete_object(digest)
    }

    fn delete_object(&self, digest: Digest) -> Result<bool, LogError> {
        self.with(|connection| {
            let sql = |e| self.place.failed(e);
            let erased =
                connection.execute("DELETE FROM object WHERE digest = ?1", [digest.as_bytes()]).map_err(sql)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(sql)?;
            Ok(erased > 0)
        })
    }

    /// The digests of all objects that leaves name and that are not erased, in order.
    pub fn object_digests(&self) -> Result<Vec<Digest>, LogError> {
        self.with(|connection| {
            let sql = |e| self.place.failed(e);
            let mut statement = connection.prepare("SELECT digest FROM object ORDER BY digest").map_err(sql)?;
            let rows = statement.query_map([], |row| row.get(0).map(Digest::from_bytes)).map_err(sql)?;
            rows.collect::<Result<_, _>>().map_err(sql)
        })
    }

    /// The inclusion proof of the leaf `index` in the tree of the first `size` leaves.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        let hashes = self.with(|connection| read::hashes(&self.place, connection, size))?;
        let proof = usize::try_from(index).ok().and_then(|index| merkle::inclusion_proof(index, &hashes));
        proof.ok_or_else(|| self.place.unavailable(&format!("there is no entry {index} among the first {size}")))
    }

    /// The proof that the first `old` leaves are the beginning of the first `new` ones.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        let hashes = self.with(|connection| read::hashes(&self.place, connection, new))?;
        let proof = usize::try_from(old).ok().and_then(|old| merkle::consistency_proof(old, &hashes));
        proof.ok_or_else(|| self.place.unavailable(&format!("{old} entries are not the beginning of {new}")))
    }

    /// Uses the connection. A panic elsewhere leaves no open transaction behind, so a poisoned lock is as good as any.
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, LogError>) -> Result<T, LogError> {
        work(&mut self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads at one point in time, whatever others append meanwhile. Two statements outside a transaction could see a
    /// commit between them and take it for damage.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, LogError>) -> Result<T, LogError> {
        self.with(|connection| work(&*connection.transaction().map_err(|e| self.place.failed(e))?))
    }

    pub(crate) fn leaves_now(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError> {
        self.read(|connection| read::leaves(&self.place, connection, &self.keys, from, to))
    }

    pub(crate) fn objects_now(&self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LogError> {
        self.read(|connection| rows::objects(&self.place, connection, digests))
    }

    pub(crate) fn last_snapshot_now(&self, size: u64) -> Result<Option<u64>, LogError> {
        self.read(|connection| read::last_snapshot(&self.place, connection, size))
    }

    pub(crate) fn audit_now(&self, kept: Option<&str>) -> Result<AuditReport, LogError> {
        let kept = kept.map(|text| checkpoint::verify(text, &self.keys)).transpose();
        let kept = kept.map_err(|e| tampered(&format!("the kept checkpoint: {e}"), None))?;
        self.read(|connection| {
            schema::check_tables(&self.place, connection)?;
            audit::audit(&self.place, connection, &self.keys, kept.map(|kept| kept.head))
        })
    }

    fn newest(&self) -> Result<Commit, LogError> {
        self.read(|connection| Commit::newest(&self.place, connection, &self.keys))
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn head(&self) -> Result<Head, LogError> {
        Ok(self.newest()?.head())
    }

    fn can_write(&self) -> bool {
        self.keys.signing().is_some()
    }

    /// An empty batch changes nothing and is only compared.
    async fn append(&self, expected: Head, batch: Vec<NewLeaf>) -> Result<Head, LogError> {
        self.with(|connection| append::append(&self.place, connection, &self.keys, expected, batch))
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError> {
        self.leaves_now(from, to)
    }

    async fn objects(&self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LogError> {
        self.objects_now(digests)
    }

    async fn last_snapshot(&self, size: u64) -> Result<Option<u64>, LogError> {
        self.last_snapshot_now(size)
    }

    async fn checkpoint(&self) -> Result<String, LogError> {
        Ok(self.newest()?.note)
    }

    async fn audit(&self, kept: Option<&str>) -> Result<AuditReport, LogError> {
        self.audit_now(kept)
    }
}

#[cfg(test)]
mod tests;
