//! Edits, each of which changes what the log says.

use std::path::Path;

use rusqlite::{Connection, Result, params};
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::Head;
use sealift_store::{
    checkpoint,
    key::SigningKey,
    merkle::{Frontier, Hash, leaf_hash},
};

use crate::fixture::{Random, attacker};

type Edit = fn(&Connection, &mut Random) -> Result<()>;

/// Every kind of edit.
const EDITS: [(&str, Edit); 24] = [
    ("bytes of a leaf", |db, random| edit_blob(db, random, "leaf", "bytes")),
    ("stored hash of a leaf", |db, random| edit_blob(db, random, "leaf", "hash")),
    ("content of an object", |db, random| edit_blob(db, random, "object", "bytes")),
    ("digest of an object", |db, random| edit_blob(db, random, "object", "digest")),
    ("stored frontier", |db, random| edit_blob(db, random, "checkpoint", "peaks")),
    ("text of a checkpoint", |db, random| edit_text(db, random, "note")),
    ("text of an annex", |db, random| edit_text(db, random, "annex")),
    ("leaf with its hash", |db, random| rewrite_leaf(db, random).map(drop)),
    ("leaf with everything but the signatures", |db, random| {
        rewrite_leaf(db, random)?;
        recompute(db, None)
    }),
    ("leaf with everything, signed by another key", |db, random| {
        rewrite_leaf(db, random)?;
        recompute(db, Some(&SigningKey::generate("log.example/shop").unwrap()))
    }),
    ("deleted leaf", |db, random| db.execute("DELETE FROM leaf WHERE idx = ?1", [below(random, 60)]).map(drop)),
    ("deleted leaf, the rest moved up", |db, random| {
        let at = below(random, 60);
        db.execute("DELETE FROM leaf WHERE idx = ?1", [at])?;
        shift(db, at, -1)?;
        db.execute("DELETE FROM checkpoint WHERE size > 59", [])?;
        recompute(db, None)
    }),
    ("swapped leaves", |db, random| {
        let (one, other) = pair(random, 60);
        db.execute_batch(&format!(
            "UPDATE leaf SET idx = -1 WHERE idx = {one}; UPDATE leaf SET idx = {one} WHERE idx = {other};
             UPDATE leaf SET idx = {other} WHERE idx = -1"
        ))
    }),
    ("truncated to a commit", |db, random| truncate(db, 3 * below(random, 20))),
    ("truncated leaves only", |db, random| {
        db.execute("DELETE FROM leaf WHERE idx >= ?1", [below(random, 60)]).map(drop)
    }),
    ("deleted checkpoint", |db, random| {
        db.execute("DELETE FROM checkpoint WHERE size = ?1", [3 * below(random, 21)]).map(drop)
    }),
    ("older checkpoint under the size of a newer one", |db, random| {
        let (one, other) = pair(random, 21);
        let copy = "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = ?1) WHERE size = ?2";
        db.execute(copy, [3 * one, 3 * other]).map(drop)
    }),
    ("added leaf", |db, random| {
        let bytes = vec![b'x'; random.below(50)];
        add_leaf(db, 60, &bytes)
    }),
    ("inserted leaf", |db, random| {
        let at = below(random, 60);
        shift(db, at, 1)?;
        add_leaf(db, at, b"inserted")?;
        recompute(db, None)
    }),
    ("renumbered leaf", |db, random| {
        db.execute("UPDATE leaf SET idx = ?2 WHERE idx = ?1", [below(random, 60), 60 + below(random, 9)]).map(drop)
    }),
    ("snapshot mark", |db, random| {
        db.execute("UPDATE leaf SET snapshot = 1 - snapshot WHERE idx = ?1", [below(random, 60)]).map(drop)
    }),
    ("object dropped with its links", |db, random| {
        let digest = nth_digest(db, random)?;
        db.execute("DELETE FROM object WHERE digest = ?1", [digest])?;
        db.execute("DELETE FROM leaf_object WHERE digest = ?1", [digest]).map(drop)
    }),
    ("added object", |db, random| {
        let (object, idx) = ([below(random, 256).to_le_bytes(), *b"planted!"].concat(), below(random, 60));
        let digest = *Digest::of(&object).as_bytes();
        db.execute("INSERT INTO object (digest, bytes) VALUES (?1, ?2)", params![digest, object])?;
        if random.below(2) == 0 {
            db.execute("INSERT INTO leaf_object (idx, digest) VALUES (?1, ?2)", params![idx, digest])?;
        }
        Ok(())
    }),
    ("dropped table", |db, random| {
        let table = ["leaf", "object", "leaf_object", "checkpoint"][random.below(4)];
        db.execute_batch(&format!("DROP TABLE {table}"))
    }),
];

/// Does one edit, chosen by `number`, in one transaction, and names it.
pub(crate) fn any(db: &Connection, random: &mut Random, number: u64) -> Result<&'static str> {
    let (name, edit) = EDITS[usize::try_from(number).unwrap() % EDITS.len()];
    db.execute_batch("BEGIN")?;
    edit(db, random)?;
    db.execute_batch("COMMIT")?;
    Ok(name)
}

/// Damages the bytes of the file: flipped bits, a cut end, a page zeroed, two pages swapped.
pub(crate) fn raw(bytes: &mut Vec<u8>, random: &mut Random, number: u64) {
    const PAGE: usize = 4096;
    let pages = bytes.len() / PAGE;
    match number % 8 {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let at = PAGE * random.below(pages);
            bytes[at..at + PAGE].fill(0);
        }
        2 => {
            let (one, other) = pair(random, pages);
            let (one, other) = (usize::try_from(one).unwrap() * PAGE, usize::try_from(other).unwrap() * PAGE);
            let first = bytes[one..one + PAGE].to_vec();
            bytes.copy_within(other..other + PAGE, one);
            bytes[other..other + PAGE].copy_from_slice(&first);
        }
        _ => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
    }
}

/// Runs `edit` with `table` not STRICT for the moment, so that any column takes any value.
pub(crate) fn untyped(dir: &Path, table: &str, edit: &str) -> Result<()> {
    let schema = |sql: &str| {
        let db = attacker(dir);
        db.execute_batch("PRAGMA writable_schema = ON")?;
        db.execute("UPDATE sqlite_schema SET sql = ?1 WHERE name = ?2", params![sql, table])
    };
    let strict: String =
        attacker(dir).query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))?;
    schema(&strict.replace(" STRICT,", "").replace(" STRICT", ""))?;
    attacker(dir).execute_batch(edit)?;
    schema(&strict).map(drop)
}

fn below(random: &mut Random, limit: usize) -> i64 {
    i64::try_from(random.below(limit)).unwrap()
}

/// Two different numbers below `limit`.
fn pair(random: &mut Random, limit: usize) -> (i64, i64) {
    let (one, step) = (random.below(limit), 1 + random.below(limit - 1));
    (i64::try_from(one).unwrap(), i64::try_from((one + step) % limit).unwrap())
}

/// Flips a bit, removes a byte or adds one.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(4) {
        0 => drop(bytes.remove(at)),
        1 => bytes.insert(at, bytes[at] ^ 1),
        _ => bytes[at] ^= 1 << random.below(8),
    }
}

/// Edits one value of a blob column.
fn edit_blob(db: &Connection, random: &mut Random, table: &str, column: &str) -> Result<()> {
    let rows: u32 = db.query_row(&format!("SELECT count(*) FROM {table} WHERE {column} <> x''"), [], |r| r.get(0))?;
    let row = format!("SELECT rowid, {column} FROM {table} WHERE {column} <> x'' ORDER BY rowid LIMIT 1 OFFSET ?1");
    let (rowid, mut bytes): (i64, Vec<u8>) =
        db.query_row(&row, [below(random, rows as usize)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    mutate(&mut bytes, random);
    db.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2"), params![bytes, rowid]).map(drop)
}

/// Edits one character of a note.
fn edit_text(db: &Connection, random: &mut Random, column: &str) -> Result<()> {
    let size = 3 * below(random, 21);
    let row = format!("SELECT {column} FROM checkpoint WHERE size = ?1");
    let mut note: Vec<char> = db.query_row(&row, [size], |row| row.get::<_, String>(0))?.chars().collect();
    let at = random.below(note.len());
    note[at] = if note[at] == 'A' { 'B' } else { 'A' };
    let note: String = note.into_iter().collect();
    db.execute(&format!("UPDATE checkpoint SET {column} = ?1 WHERE size = ?2"), params![note, size]).map(drop)
}

/// Edits the bytes of a leaf and makes its hash fit.
fn rewrite_leaf(db: &Connection, random: &mut Random) -> Result<()> {
    let idx = below(random, 60);
    let mut bytes: Vec<u8> = db.query_row("SELECT bytes FROM leaf WHERE idx = ?1", [idx], |row| row.get(0))?;
    mutate(&mut bytes, random);
    let row = params![leaf_hash(&bytes), bytes, idx];
    db.execute("UPDATE leaf SET hash = ?1, bytes = ?2 WHERE idx = ?3", row).map(drop)
}

fn add_leaf(db: &Connection, idx: i64, bytes: &[u8]) -> Result<()> {
    let insert = "INSERT INTO leaf (idx, snapshot, hash, bytes) VALUES (?1, 0, ?2, ?3)";
    db.execute(insert, params![idx, leaf_hash(bytes), bytes]).map(drop)
}

/// Renumbers the leaves from `at` on, and their links.
fn shift(db: &Connection, at: i64, by: i64) -> Result<()> {
    for table in ["leaf", "leaf_object"] {
        // By way of negative numbers, so that no two rows ever have the same one.
        db.execute(&format!("UPDATE {table} SET idx = -1000 - idx WHERE idx >= ?1"), [at])?;
        db.execute(&format!("UPDATE OR IGNORE {table} SET idx = -1000 - idx + ?1 WHERE idx < -500"), [by])?;
    }
    Ok(())
}

/// Takes back everything after the commit of `size` leaves, leaving no trace.
fn truncate(db: &Connection, size: i64) -> Result<()> {
    db.execute("DELETE FROM leaf WHERE idx >= ?1", [size])?;
    db.execute("DELETE FROM checkpoint WHERE size > ?1", [size])?;
    db.execute("DELETE FROM leaf_object WHERE idx >= ?1", [size])?;
    db.execute("DELETE FROM object WHERE digest NOT IN (SELECT digest FROM leaf_object)", []).map(drop)
}

fn nth_digest(db: &Connection, random: &mut Random) -> Result<[u8; 32]> {
    let count: u32 = db.query_row("SELECT count(*) FROM object", [], |row| row.get(0))?;
    let row = "SELECT digest FROM object ORDER BY digest LIMIT 1 OFFSET ?1";
    db.query_row(row, [below(random, count as usize)], |row| row.get(0))
}

/// Makes frontiers and checkpoints fit the stored leaves: signed by `key`, or with the signature that was there.
fn recompute(db: &Connection, key: Option<&SigningKey>) -> Result<()> {
    let mut rows = db.prepare("SELECT hash FROM leaf ORDER BY idx")?;
    let hashes = rows.query_map([], |row| row.get(0))?.collect::<Result<Vec<Hash>>>()?;
    let mut rows = db.prepare("SELECT size, note FROM checkpoint")?;
    let notes = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<(i64, String)>>>()?;
    let any_key = SigningKey::generate("log.example/shop").unwrap();
    for (size, old) in notes {
        let frontier: Frontier = hashes.iter().copied().take(usize::try_from(size).unwrap()).collect();
        let head = Head { size: frontier.size(), root: frontier.root() };
        let mut note = checkpoint::sign(head, key.unwrap_or(&any_key));
        if key.is_none() {
            let text = &note[..note.find('—').unwrap()];
            note = format!("{text}{}", &old[old.find('—').unwrap()..]);
        }
        let row = params![note, frontier.peaks().concat(), size];
        db.execute("UPDATE checkpoint SET note = ?1, peaks = ?2 WHERE size = ?3", row)?;
    }
    Ok(())
}
