//! Logs that are copies of a log elsewhere, and mirrors, which may begin anywhere in it.

use std::{collections::BTreeSet, path::Path, sync::Mutex};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, LogError};

use super::{SqliteLog, import, place::Place, read, rows::Commit, schema};
use crate::{
    key::Keyring,
    merkle::Hash,
    record::{Base, Record},
};

impl SqliteLog {
    /// Creates a log in a new file that begins as another one did, with that one's `first` record; no private key is
    /// needed for that, nor for [`SqliteLog::import`].
    pub fn create_copy(path: &Path, keys: Keyring, first: &Record) -> Result<Self, LogError> {
        let place = Place::of(path);
        let base = first.first().ok_or_else(|| place.unavailable("a log begins with the commit that created it"))?;
        Self::create_at(place, path, keys, &base)
    }

    /// Opens a log to import commits into it: for writing, whether or not there is a private key.
    pub fn open_copy(path: &Path, keys: Keyring) -> Result<Self, LogError> {
        Self::open_at(Place::of(path), path, keys, true)
    }

    /// Creates a mirror in a new file. It begins at `base`; what is before that, it does not have. It is not taken for a
    /// log by [`SqliteLog::open`], and an audit of it fails unless it begins at the beginning.
    pub fn create_mirror(path: &Path, keys: Keyring, base: &Base) -> Result<Self, LogError> {
        Self::create_at(Place::mirror(path), path, keys, base)
    }

    /// Opens a mirror, for writing.
    pub fn open_mirror(path: &Path, keys: Keyring) -> Result<Self, LogError> {
        Self::open_at(Place::mirror(path), path, keys, true)
    }

    fn create_at(place: Place, path: &Path, keys: Keyring, base: &Base) -> Result<Self, LogError> {
        base.verify(&keys)?;
        let connection = schema::create(&place, path, |connection| {
            Commit::write(&place, connection, &base.frontier, &base.note, &base.annex)
        })?;
        Ok(Self { connection: Mutex::new(connection), keys, place })
    }

    /// Where it begins: for a log, before everything.
    pub fn base(&self) -> Result<Base, LogError> {
        self.read(|connection| Ok(import::oldest(&self.place, connection)?.base()))
    }

    /// The newest commit.
    pub fn tip(&self) -> Result<Base, LogError> {
        Ok(self.newest()?.base())
    }

    /// The commit after which there are `size` entries, if one ends there.
    pub fn commit_at(&self, size: u64) -> Result<Option<Base>, LogError> {
        self.read(|connection| Ok(import::at(&self.place, connection, size)?.map(Commit::base)))
    }

    /// The commits after the one at `after` entries, in order: as many as fit a page, none at the end.
    pub fn records(&self, after: u64) -> Result<Vec<Record>, LogError> {
        self.read(|connection| import::records(&self.place, connection, &self.keys, after))
    }

    /// Appends commits of another store as they are, in one transaction, after verifying signatures, tree, chain and
    /// objects. No private key is needed; a log that was opened to read only refuses.
    pub fn import(&self, records: &[Record]) -> Result<Head, LogError> {
        self.with(|connection| import::import(&self.place, connection, &self.keys, records))
    }

    /// Lets a mirror begin earlier, at `base`, from where `records` lead to where it begins now.
    pub(crate) fn import_below(&self, base: &Base, records: &[Record]) -> Result<(), LogError> {
        self.with(|connection| import::import_below(&self.place, connection, &self.keys, base, records))
    }

    /// Stores objects that its leaves name.
    pub(crate) fn add_objects(&self, objects: &[(Digest, Vec<u8>)]) -> Result<(), LogError> {
        self.with(|connection| import::add_objects(&self.place, connection, objects))
    }

    /// Forgets objects that were erased elsewhere.
    pub(crate) fn forget_objects(&self, digests: &[Digest]) -> Result<(), LogError> {
        digests.iter().try_for_each(|digest| self.delete_object(*digest).map(drop))
    }

    /// Those of these objects that are stored.
    pub(crate) fn stored(&self, digests: &BTreeSet<Digest>) -> Result<Vec<Digest>, LogError> {
        self.read(|connection| {
            let sql = |e| self.place.failed(e);
            let mut statement = connection.prepare("SELECT 1 FROM object WHERE digest = ?1").map_err(sql)?;
            let mut stored = Vec::new();
            for digest in digests {
                if statement.exists([digest.as_bytes()]).map_err(sql)? {
                    stored.push(*digest);
                }
            }
            Ok(stored)
        })
    }

    /// The hashes of all its leaves, if it begins at the beginning.
    pub(crate) fn leaf_hashes(&self, size: u64) -> Result<Vec<Hash>, LogError> {
        self.read(|connection| read::hashes(&self.place, connection, size))
    }

    /// The sizes at which the commits begin that name an object.
    pub(crate) fn named_by(&self, digest: Digest) -> Result<Vec<u64>, LogError> {
        let query = "SELECT DISTINCT (SELECT max(size) FROM checkpoint WHERE size <= leaf_object.idx) FROM leaf_object \
                     WHERE digest = ?1";
        self.read(|connection| {
            let sql = |e| self.place.failed(e);
            let mut statement = connection.prepare(query).map_err(sql)?;
            let rows = statement.query_map([digest.as_bytes()], |row| row.get::<_, Option<i64>>(0)).map_err(sql)?;
            let sizes: Vec<Option<i64>> = rows.collect::<Result<_, _>>().map_err(sql)?;
            Ok(sizes.into_iter().flatten().filter_map(|size| u64::try_from(size).ok()).collect())
        })
    }

    /// The objects that leaves name and that are not stored here.
    pub(crate) fn absent(&self) -> Result<BTreeSet<Digest>, LogError> {
        let query = "SELECT DISTINCT digest FROM leaf_object WHERE digest NOT IN (SELECT digest FROM object)";
        self.read(|connection| {
            let sql = |e| self.place.failed(e);
            let mut statement = connection.prepare(query).map_err(sql)?;
            let rows = statement.query_map([], |row| row.get(0).map(Digest::from_bytes)).map_err(sql)?;
            rows.collect::<Result<_, _>>().map_err(sql)
        })
    }
}
