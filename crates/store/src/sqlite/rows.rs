//! Rows of the tables, read strictly: what has not the form in which it was written is damage.

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, LogError, MAX_LEAF};

use super::place::{Place, tampered};
use crate::{
    annex::Annex,
    checkpoint,
    key::Keyring,
    merkle::{Frontier, Hash},
    record::{Base, Point},
};

/// A row of `checkpoint`: what one commit left behind.
pub(super) struct Commit {
    /// Leaves after the commit.
    pub(super) size: u64,
    /// The signed checkpoint.
    pub(super) note: String,
    /// The frontier after the commit.
    pub(super) frontier: Frontier,
    /// The signed annex.
    pub(super) annex: String,
}

/// The columns that [`Commit::read`] takes, in its order.
pub(super) const COMMIT: &str = "SELECT size, note, peaks, annex FROM checkpoint";

impl Commit {
    pub(super) fn read(place: &Place, row: &Row<'_>) -> Result<Self, LogError> {
        let sql = |e| place.failed(e);
        let size = number(place, row)?;
        let peaks = row.get_ref(2).map_err(sql)?.as_blob().map_err(|e| tampered(&e.to_string(), None))?;
        let (chunks, rest) = peaks.as_chunks::<32>();
        let frontier = Frontier::from_peaks(size, chunks.to_vec()).filter(|_| rest.is_empty());
        let frontier =
            frontier.ok_or_else(|| tampered(&format!("the tree at {size} entries is not readable"), None))?;
        Ok(Self { size, note: row.get(1).map_err(sql)?, frontier, annex: row.get(3).map_err(sql)? })
    }

    /// The first commit found by `query`, which begins with [`COMMIT`].
    pub(super) fn find(
        place: &Place,
        connection: &Connection,
        query: &str,
        size: u64,
    ) -> Result<Option<Self>, LogError> {
        let mut statement = connection.prepare(query).map_err(|e| place.failed(e))?;
        let mut rows = statement.query([integer(size)]).map_err(|e| place.failed(e))?;
        rows.next().map_err(|e| place.failed(e))?.map(|row| Self::read(place, row)).transpose()
    }

    /// The newest commit, after checking that its checkpoint is ours, that the frontier has the signed root, and that there
    /// are as many leaves as it says.
    pub(super) fn newest(place: &Place, connection: &Connection, keys: &Keyring) -> Result<Self, LogError> {
        let query = format!("{COMMIT} WHERE size <= ?1 ORDER BY size DESC LIMIT 1");
        let commit = Self::find(place, connection, &query, u64::MAX)?;
        let commit = commit.ok_or_else(|| tampered("no checkpoint is left", None))?;
        commit.verify(keys)?;
        // A mirror may begin anywhere and hold nothing yet.
        let next = "SELECT coalesce(max(idx) + 1, iif(?1, (SELECT min(size) FROM checkpoint), 0)) FROM leaf";
        let leaves: i64 =
            connection.query_row(next, [place.is_mirror()], |row| row.get(0)).map_err(|e| place.failed(e))?;
        if u64::try_from(leaves) != Ok(commit.size) {
            let what = format!("the newest checkpoint covers {} entries, the log holds {leaves}", commit.size);
            return Err(tampered(&what, Some(commit.size)));
        }
        Ok(commit)
    }

    /// Size and root.
    pub(super) fn head(&self) -> Head {
        Head { size: self.size, root: self.frontier.root() }
    }

    /// Checks the signature of the checkpoint and that it says what the frontier says. Returns which key signed.
    pub(super) fn verify(&self, keys: &Keyring) -> Result<usize, LogError> {
        let wrong = |why: &str| tampered(&format!("the checkpoint of {} entries: {why}", self.size), None);
        let verified = checkpoint::verify(&self.note, keys).map_err(|e| wrong(&e.to_string()))?;
        if verified.head != self.head() {
            return Err(wrong("it does not agree with the stored tree"));
        }
        Ok(verified.key)
    }

    /// The signed chain of what lies beside the tree.
    pub(super) fn annex(&self, keys: &Keyring) -> Result<Annex, LogError> {
        Annex::verify(&self.annex, self.size, keys)
            .map_err(|why| tampered(&format!("the annex of {} entries: {why}", self.size), None))
    }

    /// The commit as others continue it, verified.
    pub(super) fn point(&self, keys: &Keyring) -> Result<Point, LogError> {
        Ok(Point { key: self.verify(keys)?, annex: self.annex(keys)?, frontier: self.frontier.clone() })
    }

    /// The commit as the beginning of a mirror.
    pub(super) fn base(self) -> Base {
        Base { frontier: self.frontier, note: self.note, annex: self.annex }
    }

    /// Writes the row of a commit.
    pub(super) fn write(
        place: &Place,
        connection: &Connection,
        frontier: &Frontier,
        note: &str,
        annex: &str,
    ) -> Result<(), LogError> {
        let row = params![integer(frontier.size()), note, frontier.peaks().concat(), annex];
        let insert = "INSERT INTO checkpoint (size, note, peaks, annex) VALUES (?1, ?2, ?3, ?4)";
        connection.execute(insert, row).map(drop).map_err(|e| place.failed(e))
    }
}

/// A row of `leaf`.
pub(super) struct Leaf {
    pub(super) idx: u64,
    pub(super) snapshot: bool,
    pub(super) hash: Hash,
    pub(super) bytes: Vec<u8>,
}

/// The columns that [`Leaf::read`] takes. Bytes over the limit are not even loaded.
pub(super) fn leaf_query(rest: &str) -> String {
    format!("SELECT idx, snapshot, hash, CASE WHEN length(bytes) <= {MAX_LEAF} THEN bytes END FROM leaf {rest}")
}

impl Leaf {
    /// Reads a row that must be leaf `expected`, and checks its bytes against its hash.
    pub(super) fn read(row: &Row<'_>, expected: u64) -> Result<Self, LogError> {
        let bad = |e: rusqlite::Error| tampered(&e.to_string(), Some(expected));
        let idx: i64 = row.get(0).map_err(bad)?;
        if u64::try_from(idx) != Ok(expected) {
            return Err(tampered(&format!("the next entry is numbered {idx}"), Some(expected)));
        }
        let snapshot: i64 = row.get(1).map_err(bad)?;
        if !matches!(snapshot, 0 | 1) {
            return Err(tampered("its snapshot mark is neither 0 nor 1", Some(expected)));
        }
        let (hash, bytes): (Hash, Vec<u8>) = (row.get(2).map_err(bad)?, row.get(3).map_err(bad)?);
        if crate::merkle::leaf_hash(&bytes) != hash {
            return Err(tampered("its bytes do not have its hash", Some(expected)));
        }
        Ok(Self { idx: expected, snapshot: snapshot == 1, hash, bytes })
    }
}

/// The largest object, in bytes.
pub const MAX_OBJECT: usize = 256 << 20;

/// Objects by their digests, each rehashed; `None` where there is none.
pub(super) fn objects(
    place: &Place,
    connection: &Connection,
    digests: &[Digest],
) -> Result<Vec<Option<Vec<u8>>>, LogError> {
    let query = format!("SELECT CASE WHEN length(bytes) <= {MAX_OBJECT} THEN bytes END FROM object WHERE digest = ?1");
    // Prepared once: a fold asks for thousands.
    let mut statement = connection.prepare(&query).map_err(|e| place.failed(e))?;
    digests.iter().map(|digest| object(place, &mut statement, *digest)).collect()
}

fn object(place: &Place, statement: &mut Statement<'_>, digest: Digest) -> Result<Option<Vec<u8>>, LogError> {
    let found: Option<Vec<u8>> =
        statement.query_row([digest.as_bytes()], |row| row.get(0)).optional().map_err(|e| place.failed(e))?;
    match found {
        Some(bytes) if Digest::of(&bytes) != digest => {
            Err(tampered(&format!("the object {digest} has other content"), None))
        }
        found => Ok(found),
    }
}

/// The number of leaves, or of a leaf, in the first column.
pub(super) fn number(place: &Place, row: &Row<'_>) -> Result<u64, LogError> {
    let number: i64 = row.get(0).map_err(|e| place.failed(e))?;
    u64::try_from(number).map_err(|_| tampered(&format!("an entry is numbered {number}"), None))
}

/// Numbers of leaves as SQLite stores them. A log never gets anywhere near the limit; a larger number asked for means "all".
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
