//! The database file: its tables, its version, and how it is opened.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};
use sealift_engine::ports::log::LogError;

use super::place::{Place, tampered};

/// Marks the file as ours in its header: `SLFT`.
const APPLICATION_ID: i64 = 0x534C_4654;

/// The same for a mirror of a log that lies elsewhere: `SLFM`. It is never taken for the log itself.
const MIRROR_ID: i64 = 0x534C_464D;

fn application_id(place: &Place) -> i64 {
    if place.is_mirror() { MIRROR_ID } else { APPLICATION_ID }
}

/// The version of [`TABLES`], in the header's `user_version`.
const VERSION: i64 = 1;

/// How long a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Every table and index with the exact text that SQLite keeps of it. Rows are only ever inserted; the one exception is the
/// erasure of objects.
const TABLES: [(&str, &str); 5] = [
    (
        "leaf",
        "CREATE TABLE leaf (\n  idx INTEGER PRIMARY KEY,\n  snapshot INTEGER NOT NULL,\n  hash BLOB NOT NULL,\n  \
         bytes BLOB NOT NULL\n) STRICT",
    ),
    ("leaf_snapshot", "CREATE INDEX leaf_snapshot ON leaf (idx) WHERE snapshot = 1"),
    ("object", "CREATE TABLE object (\n  digest BLOB NOT NULL PRIMARY KEY,\n  bytes BLOB NOT NULL\n) STRICT"),
    (
        "leaf_object",
        "CREATE TABLE leaf_object (\n  idx INTEGER NOT NULL,\n  digest BLOB NOT NULL,\n  \
         PRIMARY KEY (idx, digest)\n) STRICT, WITHOUT ROWID",
    ),
    (
        "checkpoint",
        "CREATE TABLE checkpoint (\n  size INTEGER PRIMARY KEY,\n  note TEXT NOT NULL,\n  peaks BLOB NOT NULL,\n  \
         annex TEXT NOT NULL\n) STRICT",
    ),
];

/// Opens the file, which must exist unless `create`, and sets up the connection. Nothing of its content is looked at.
fn connect(place: &Place, path: &Path, flags: OpenFlags) -> Result<Connection, LogError> {
    let sql = |e| place.failed(e);
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(sql)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql)?;
    // Whoever can write the file could plant triggers and views in it; they must not run with our rights.
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    ] {
        connection.set_db_config(setting, on).map_err(sql)?;
    }
    // What is erased is overwritten, not only forgotten.
    connection.pragma_update(None, "secure_delete", "ON").map_err(sql)?;
    Ok(connection)
}

/// Creates the tables in a new or empty file, with their `first` rows in the same transaction.
pub(super) fn create(
    place: &Place,
    path: &Path,
    first: impl FnOnce(&Connection) -> Result<(), LogError>,
) -> Result<Connection, LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(place, path, flags)?;
    refuse_content(place, &connection)?;
    durable(place, &connection)?;
    let sql = |e| place.failed(e);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    // Looked at again: another process may have created its log since.
    refuse_content(place, &transaction)?;
    for (_, table) in TABLES {
        transaction.execute_batch(table).map_err(sql)?;
    }
    first(&transaction)?;
    transaction.pragma_update(None, "application_id", application_id(place)).map_err(sql)?;
    transaction.pragma_update(None, "user_version", VERSION).map_err(sql)?;
    transaction.commit().map_err(sql)?;
    Ok(connection)
}

/// Opens a log that exists and checks that it is one, of this version, with its tables as they were created.
pub(super) fn open(place: &Place, path: &Path, write: bool) -> Result<Connection, LogError> {
    let flags = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let connection = connect(place, path, flags)?;
    let (application, version) =
        (pragma(place, &connection, "application_id")?, pragma(place, &connection, "user_version")?);
    if application != application_id(place) {
        return Err(place.unavailable("this file is not a Sealift log"));
    }
    if version > VERSION {
        let why = format!("a newer Sealift wrote it (schema {version}; this one reads schema {VERSION}): update");
        return Err(place.unavailable(&why));
    }
    if version != VERSION {
        return Err(tampered(&format!("the file says schema {version}, which never existed"), None));
    }
    check_tables(place, &connection)?;
    if write {
        durable(place, &connection)?;
    }
    Ok(connection)
}

/// Refuses a file in which anything is stored already.
fn refuse_content(place: &Place, connection: &Connection) -> Result<(), LogError> {
    let count = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(count, [], |row| row.get(0)).map_err(|e| place.failed(e))?;
    match (pragma(place, connection, "application_id")?, tables) {
        (0, 0) => Ok(()),
        (APPLICATION_ID | MIRROR_ID, _) => Err(place.unavailable("a log exists there already")),
        _ => Err(place.unavailable("the file holds something else already")),
    }
}

/// Write-ahead log with a sync at each commit: what was appended survives a power cut. Read back, because SQLite ignores
/// what it cannot set.
fn durable(place: &Place, connection: &Connection) -> Result<(), LogError> {
    let sql = |e| place.failed(e);
    let journal = "PRAGMA journal_mode = WAL";
    let mode: String = connection.query_row(journal, [], |row| row.get(0)).map_err(sql)?;
    // What a mirror loses in a power cut is fetched again.
    let (level, number) = if place.is_mirror() { ("NORMAL", 1) } else { ("FULL", 2) };
    connection.pragma_update(None, "synchronous", level).map_err(sql)?;
    match (mode.as_str(), pragma(place, connection, "synchronous")?) {
        ("wal", found) if found == number => Ok(()),
        (mode, level) => {
            let why = format!("no durable writes there: journal {mode}, synchronous {level}; use a local disk");
            Err(place.unavailable(&why))
        }
    }
}

/// Compares the text of each table with the one it was created with. Additional tables do not matter.
pub(super) fn check_tables(place: &Place, connection: &Connection) -> Result<(), LogError> {
    let text = "SELECT sql FROM sqlite_schema WHERE name = ?1";
    for (name, expected) in TABLES {
        let found = connection.query_row(text, [name], |row| row.get::<_, String>(0));
        match found {
            Ok(found) if found == expected => {}
            Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => {
                return Err(tampered(&format!("the table or index `{name}` is missing or was altered"), None));
            }
            Err(error) => return Err(place.failed(error)),
        }
    }
    Ok(())
}

/// A number that a pragma reports.
pub(super) fn pragma(place: &Place, connection: &Connection, name: &str) -> Result<i64, LogError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| place.failed(e))
}
