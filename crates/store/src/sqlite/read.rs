//! Reading. What is returned is what was signed: a range of leaves is hashed into the tree again, from the commit before
//! it to the commit after it, and must arrive at the signed root.

use rusqlite::Connection;
use sealift_engine::ports::log::LogError;

use super::{
    place::{Place, tampered},
    rows::{COMMIT, Commit, Leaf, integer, leaf_query, number},
};
use crate::{key::Keyring, merkle::Hash};

/// The bytes of the leaves `from..to`.
pub(super) fn leaves(
    place: &Place,
    connection: &Connection,
    keys: &Keyring,
    from: u64,
    to: u64,
) -> Result<Vec<Vec<u8>>, LogError> {
    if from >= to {
        return Ok(Vec::new());
    }
    let (before, after) = enclosing(place, connection, from, to)?;
    after.verify(keys)?;
    let query = leaf_query("WHERE idx >= ?1 AND idx < ?2 ORDER BY idx");
    let mut statement = connection.prepare(&query).map_err(|e| place.failed(e))?;
    let range = [integer(before.size), integer(after.size)];
    let mut rows = statement.query(range).map_err(|e| place.failed(e))?;
    let mut frontier = before.frontier;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next().map_err(|e| place.failed(e))? {
        let leaf = Leaf::read(row, frontier.size())?;
        frontier.push(leaf.hash);
        if (from..to).contains(&leaf.idx) {
            leaves.push(leaf.bytes);
        }
    }
    if frontier != after.frontier {
        let what = format!("the entries {} to {} are not those that were signed", before.size, after.size);
        return Err(tampered(&what, Some(before.size)));
    }
    Ok(leaves)
}

/// The newest commit not after `from` and the oldest not before `to`.
fn enclosing(place: &Place, connection: &Connection, from: u64, to: u64) -> Result<(Commit, Commit), LogError> {
    let last_before = format!("{COMMIT} WHERE size <= ?1 ORDER BY size DESC LIMIT 1");
    let first_after = format!("{COMMIT} WHERE size >= ?1 ORDER BY size LIMIT 1");
    let before = Commit::find(place, connection, &last_before, from)?;
    let before = before.ok_or_else(|| tampered("the checkpoint of the empty log is missing", None))?;
    let after = Commit::find(place, connection, &first_after, to)?;
    let after = after.ok_or_else(|| place.unavailable(&format!("it has fewer than {to} entries")))?;
    Ok((before, after))
}

/// The stored hashes of the first `size` leaves, to make proofs from. A wrong
/// hash makes a proof that does not verify.
pub(super) fn hashes(place: &Place, connection: &Connection, size: u64) -> Result<Vec<Hash>, LogError> {
    let sql = |e| place.failed(e);
    let mut statement = connection.prepare("SELECT hash FROM leaf WHERE idx < ?1 ORDER BY idx").map_err(sql)?;
    let rows = statement.query_map([integer(size)], |row| row.get(0)).map_err(sql)?;
    let hashes: Vec<Hash> = rows.collect::<Result<_, _>>().map_err(sql)?;
    if hashes.len() as u64 == size {
        Ok(hashes)
    } else {
        Err(place.unavailable(&format!("it has fewer than {size} entries")))
    }
}

/// The newest leaf below `size` at which a fold may begin.
pub(super) fn last_snapshot(place: &Place, connection: &Connection, size: u64) -> Result<Option<u64>, LogError> {
    let query = "SELECT idx FROM leaf WHERE snapshot = 1 AND idx < ?1 ORDER BY idx DESC LIMIT 1";
    let sql = |e| place.failed(e);
    let mut statement = connection.prepare(query).map_err(sql)?;
    let mut rows = statement.query([integer(size)]).map_err(sql)?;
    rows.next().map_err(sql)?.map(|row| number(place, row)).transpose()
}
