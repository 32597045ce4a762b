//! The one write.

use rusqlite::{Connection, TransactionBehavior, params};
use sealift_engine::ports::log::{Head, LogError, MAX_LEAF, NewLeaf};

use super::{
    place::Place,
    rows::{Commit, MAX_OBJECT, integer},
};
use crate::{
    key::Keyring,
    merkle::{self, Frontier},
    record::Record,
};

/// Appends `batch` in one transaction that holds the write lock from its first read on.
pub(super) fn append(
    place: &Place,
    connection: &mut Connection,
    keys: &Keyring,
    expected: Head,
    batch: Vec<NewLeaf>,
) -> Result<Head, LogError> {
    let key = keys.signing().ok_or_else(|| read_only(place))?;
    check_sizes(place, &batch)?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| place.failed(e))?;
    let newest = Commit::newest(place, &transaction, keys)?;
    let found = newest.head();
    if found != expected {
        return Err(LogError::Conflict { expected, found });
    }
    if batch.is_empty() {
        return Ok(found);
    }
    let record = Record::seal(&newest.point(keys)?, batch, key);
    let mut frontier = newest.frontier;
    insert(place, &transaction, &mut frontier, &record)?;
    transaction.commit().map_err(|e| place.failed(e))?;
    Ok(Head { size: frontier.size(), root: frontier.root() })
}

/// Writes the rows of one commit, whose leaves follow `frontier`.
pub(super) fn insert(
    place: &Place,
    connection: &Connection,
    frontier: &mut Frontier,
    record: &Record,
) -> Result<(), LogError> {
    let sql = |e| place.failed(e);
    let prepare = |text| connection.prepare(text).map_err(sql);
    let mut add_leaf = prepare("INSERT INTO leaf (idx, snapshot, hash, bytes) VALUES (?1, ?2, ?3, ?4)")?;
    let mut add_object = prepare("INSERT INTO object (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let mut add_link = prepare("INSERT INTO leaf_object (idx, digest) VALUES (?1, ?2)")?;
    for leaf in &record.leaves {
        let idx = integer(frontier.size());
        let hash = merkle::leaf_hash(&leaf.bytes);
        add_leaf.execute(params![idx, i64::from(leaf.snapshot), hash, leaf.bytes]).map_err(sql)?;
        for digest in &leaf.objects {
            add_link.execute(params![idx, digest.as_bytes()]).map_err(sql)?;
        }
        frontier.push(hash);
    }
    for (digest, bytes) in &record.objects {
        add_object.execute(params![digest.as_bytes(), bytes]).map_err(sql)?;
    }
    Commit::write(place, connection, frontier, &record.note, &record.annex)
}

fn check_sizes(place: &Place, batch: &[NewLeaf]) -> Result<(), LogError> {
    for leaf in batch {
        if leaf.bytes.len() > MAX_LEAF {
            return Err(LogError::TooLarge(leaf.bytes.len()));
        }
        if let Some(object) = leaf.objects.iter().find(|object| object.len() > MAX_OBJECT) {
            let why = format!("an object of {} bytes is too large: at most {MAX_OBJECT} are stored", object.len());
            return Err(place.unavailable(&why));
        }
    }
    Ok(())
}

/// The log was opened without the private key.
pub(super) fn read_only(place: &Place) -> LogError {
    place.unavailable("it was opened with the public key only, so it can be read and audited, not written")
}
