//! Commits of another store, taken in as they are, and handed out.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, TransactionBehavior, params};
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, LogError};

use super::{
    append::insert,
    place::{Place, tampered},
    rows::{self, COMMIT, Commit, Leaf, integer, leaf_query},
};
use crate::{
    key::Keyring,
    record::{Base, Point, Record, RecordLeaf},
};

/// The most commits that are handed out at once.
const PAGE_COMMITS: usize = 2048;
/// About the most memory that commits take which are handed out at once, in bytes. One commit is never divided.
const PAGE_BYTES: usize = 32 << 20;

/// Appends commits in one transaction: all of them or, if one does not verify, none.
pub(super) fn import(
    place: &Place,
    connection: &mut Connection,
    keys: &Keyring,
    records: &[Record],
) -> Result<Head, LogError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| place.failed(e))?;
    let newest = Commit::newest(place, &transaction, keys)?;
    let point = insert_all(place, &transaction, keys, newest.point(keys)?, records)?;
    transaction.commit().map_err(|e| place.failed(e))?;
    Ok(Head { size: point.frontier.size(), root: point.frontier.root() })
}

/// Lets a mirror begin earlier: `records` lead from `base` to where it begins now.
pub(super) fn import_below(
    place: &Place,
    connection: &mut Connection,
    keys: &Keyring,
    base: &Base,
    records: &[Record],
) -> Result<(), LogError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| place.failed(e))?;
    let oldest = oldest(place, &transaction)?;
    let (last, earlier) = records.split_last().ok_or_else(|| tampered("no entries lead to the known ones", None))?;
    let point = base.verify(keys)?;
    Commit::write(place, &transaction, &base.frontier, &base.note, &base.annex)?;
    let point = insert_all(place, &transaction, keys, point, earlier)?;
    let reached = last.follow(&point, keys)?;
    if reached.frontier != oldest.frontier || reached.annex != oldest.point(keys)?.annex {
        return Err(tampered("older entries do not lead to those that are known", Some(base.frontier.size())));
    }
    // The row of the last commit is there: it is where the mirror began.
    let delete = "DELETE FROM checkpoint WHERE size = ?1";
    transaction.execute(delete, [integer(last.size)]).map_err(|e| place.failed(e))?;
    insert(place, &transaction, &mut point.frontier.clone(), last)?;
    transaction.commit().map_err(|e| place.failed(e))
}

fn insert_all(
    place: &Place,
    connection: &Connection,
    keys: &Keyring,
    mut point: Point,
    records: &[Record],
) -> Result<Point, LogError> {
    for record in records {
        let next = record.follow(&point, keys)?;
        insert(place, connection, &mut point.frontier, record)?;
        point = next;
    }
    Ok(point)
}

/// The oldest commit: of a log, the one that created it; of a mirror, where it begins.
pub(super) fn oldest(place: &Place, connection: &Connection) -> Result<Commit, LogError> {
    let query = format!("{COMMIT} WHERE size >= ?1 ORDER BY size LIMIT 1");
    Commit::find(place, connection, &query, 0)?.ok_or_else(|| tampered("no checkpoint is left", None))
}

/// The commit after which there are `size` leaves.
pub(super) fn at(place: &Place, connection: &Connection, size: u64) -> Result<Option<Commit>, LogError> {
    Commit::find(place, connection, &format!("{COMMIT} WHERE size = ?1"), size)
}

/// The commits after the one of `after` leaves, as many as fit a page.
pub(super) fn records(
    place: &Place,
    connection: &Connection,
    keys: &Keyring,
    after: u64,
) -> Result<Vec<Record>, LogError> {
    let start = at(place, connection, after)?;
    let start = start.ok_or_else(|| place.unavailable(&format!("no commit ends at {after} entries")))?;
    let mut point = start.point(keys)?;
    let next = format!("{COMMIT} WHERE size > ?1 ORDER BY size LIMIT 1");
    let (mut page, mut weight) = (Vec::new(), 0);
    while page.len() < PAGE_COMMITS && weight < PAGE_BYTES {
        let Some(commit) = Commit::find(place, connection, &next, point.frontier.size())? else { break };
        let record = record(place, connection, point.frontier.size(), commit)?;
        point = record.follow(&point, keys)?;
        weight += record.weight();
        page.push(record);
    }
    Ok(page)
}

/// A commit with everything that belongs to it.
fn record(place: &Place, connection: &Connection, after: u64, commit: Commit) -> Result<Record, LogError> {
    let mut links = links(place, connection, after, commit.size)?;
    let query = leaf_query("WHERE idx >= ?1 AND idx < ?2 ORDER BY idx");
    let mut statement = connection.prepare(&query).map_err(|e| place.failed(e))?;
    let mut rows = statement.query([integer(after), integer(commit.size)]).map_err(|e| place.failed(e))?;
    let (mut leaves, mut idx) = (Vec::new(), after);
    while let Some(row) = rows.next().map_err(|e| place.failed(e))? {
        let leaf = Leaf::read(row, idx)?;
        let objects = links.remove(&idx).unwrap_or_default();
        leaves.push(RecordLeaf { bytes: leaf.bytes, snapshot: leaf.snapshot, objects });
        idx += 1;
    }
    let named: BTreeSet<Digest> = leaves.iter().flat_map(|leaf| leaf.objects.iter().copied()).collect();
    let named: Vec<Digest> = named.into_iter().collect();
    let found = rows::objects(place, connection, &named)?;
    let objects = named.into_iter().zip(found).filter_map(|(digest, bytes)| Some((digest, bytes?))).collect();
    Ok(Record { after, size: commit.size, note: commit.note, annex: commit.annex, leaves, objects })
}

/// Which leaf of `from..to` names which objects.
pub(super) fn links(
    place: &Place,
    connection: &Connection,
    from: u64,
    to: u64,
) -> Result<BTreeMap<u64, BTreeSet<Digest>>, LogError> {
    let sql = |e| place.failed(e);
    let query = "SELECT idx, digest FROM leaf_object WHERE idx >= ?1 AND idx < ?2";
    let mut statement = connection.prepare(query).map_err(sql)?;
    let mut rows = statement.query([integer(from), integer(to)]).map_err(sql)?;
    let mut links: BTreeMap<u64, BTreeSet<Digest>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let digest = Digest::from_bytes(row.get(1).map_err(sql)?);
        links.entry(rows::number(place, row)?).or_default().insert(digest);
    }
    Ok(links)
}

/// Stores objects that leaves name and that were not at hand when these were imported.
pub(super) fn add_objects(
    place: &Place,
    connection: &mut Connection,
    objects: &[(Digest, Vec<u8>)],
) -> Result<(), LogError> {
    let sql = |e| place.failed(e);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let add = "INSERT INTO object (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    for (digest, bytes) in objects {
        if Digest::of(bytes) != *digest {
            return Err(tampered(&format!("the object {digest} has other content"), None));
        }
        transaction.execute(add, params![digest.as_bytes(), bytes]).map_err(sql)?;
    }
    transaction.commit().map_err(sql)
}
