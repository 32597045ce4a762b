//! A log to tamper with.

use std::{fs, path::Path};

use rusqlite::{Connection, types::Value};
use sealift_engine::ports::log::{AuditReport, Log as _, LogError, NewLeaf};
use sealift_store::{
    key::{Keyring, SigningKey},
    sqlite::SqliteLog,
};

/// Random numbers (SplitMix64), the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}

/// Drives a future of this store, which never waits.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A log of 60 leaves in 20 commits, its file's bytes, and what somebody kept of it.
pub(crate) struct Original {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) bytes: Vec<u8>,
    secret: String,
    kept: String,
}

impl Original {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate("log.example/shop").unwrap();
        let secret = key.secret_text().unwrap();
        let log = SqliteLog::create(&dir.path().join("log.db"), key).unwrap();
        fill(&log, 60, "original");
        let kept = wait(log.checkpoint()).unwrap();
        drop(log);
        let bytes = fs::read(dir.path().join("log.db")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "everything is in the one file");
        Self { dir, bytes, secret, kept }
    }

    /// Puts the log into `dir` as it was.
    pub(crate) fn restore(&self, dir: &Path) {
        put(dir, &self.bytes);
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_text(&self.secret).unwrap()
    }

    pub(crate) fn writer(&self, dir: &Path) -> SqliteLog {
        SqliteLog::open(&dir.path_of_log(), Keyring::writer(self.key())).unwrap()
    }

    /// Another history, signed by the same key.
    pub(crate) fn rewrite(&self, dir: &Path, leaves: usize) -> SqliteLog {
        let log = SqliteLog::create(&dir.path_of_log(), self.key()).unwrap();
        fill(&log, leaves, if leaves < 60 { "original" } else { "rewritten" });
        log
    }
}

trait PathOfLog {
    fn path_of_log(&self) -> std::path::PathBuf;
}

impl PathOfLog for Path {
    fn path_of_log(&self) -> std::path::PathBuf {
        self.join("log.db")
    }
}

/// Appends in commits of three: every fourth leaf has a large object of its own, each one a small one, shared by two.
fn fill(log: &SqliteLog, leaves: usize, what: &str) {
    let leaf = |i: usize| NewLeaf {
        bytes: format!("{{\"n\":{i},\"what\":\"{what}\"}}").repeat(1 + i % 7).into_bytes(),
        objects: match i % 4 {
            0 => vec![vec![7; 3000 + i], format!("body {}", i / 2).into_bytes()],
            _ => vec![format!("body {}", i / 2).into_bytes()],
        },
        snapshot: i % 10 == 5,
    };
    let all: Vec<NewLeaf> = (0..leaves).map(leaf).collect();
    for batch in all.chunks(3) {
        let head = wait(log.head()).unwrap();
        wait(log.append(head, batch.to_vec())).unwrap();
    }
}

/// Makes these bytes the log in `dir`.
pub(crate) fn put(dir: &Path, bytes: &[u8]) {
    for suffix in ["-wal", "-shm", "-journal"] {
        drop(fs::remove_file(dir.join(format!("log.db{suffix}"))));
    }
    fs::write(dir.path_of_log(), bytes).unwrap();
}

/// A connection that may do anything to the file.
pub(crate) fn attacker(dir: &Path) -> Connection {
    let connection = Connection::open(dir.path_of_log()).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    connection
}

/// Opens the log with the public key and audits it against what was kept.
pub(crate) fn audit(original: &Original, dir: &Path) -> Result<AuditReport, LogError> {
    let keys = Keyring::reader(original.key().verifier().clone());
    let log = SqliteLog::open(&dir.path_of_log(), keys)?;
    wait(log.audit(Some(&original.kept)))
}

/// Everything the log means.
pub(crate) fn content(dir: &Path) -> Vec<Vec<Value>> {
    let connection = Connection::open(dir.path_of_log()).unwrap();
    let mut found = Vec::new();
    for (table, order) in
        [("leaf", "idx"), ("object", "digest"), ("leaf_object", "idx, digest"), ("checkpoint", "size")]
    {
        let mut rows = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}")).unwrap();
        let columns = rows.column_count();
        let rows = rows.query_map([], |row| (0..columns).map(|i| row.get(i)).collect()).unwrap();
        found.extend(rows.map(Result::unwrap));
    }
    found
}
