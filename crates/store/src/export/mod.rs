//! The log as static files (c2sp.org/tlog-tiles) that anyone verifies with the public key and without a database:
//! `checkpoint`, `tile/<level>/<number>`, `tile/entries/<number>`, and the objects at `objects/<aa>/<64 hex digits>`.

mod verify;

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, Log, LogError};

use crate::{
    checkpoint,
    merkle::{Frontier, Hash, leaf_hash},
    note::MAX_NOTE,
    tile::{self, WIDTH},
};

pub use verify::verify;

/// Writes the log and these `objects` to `dir`, or brings an earlier export there up to date. Each file is replaced as a
/// whole and the checkpoint last, so a reader at any moment finds a log that verifies. Files of smaller trees stay.
///
/// An export that is there already must be of the beginning of this log; otherwise nothing is written, because it is
/// evidence of a fork. Erased objects are left out, and removed if an earlier export has them and they are in `objects`.
pub async fn export(log: &dyn Log, objects: &[Digest], dir: &Path) -> Result<Head, LogError> {
    let text = log.checkpoint().await?;
    let head = checkpoint::unverified(&text).map_err(|e| damaged(&format!("the checkpoint: {e}")))?;
    let earlier = earlier(dir)?;
    let hashes = hashes(log, head, earlier).await?;
    for (index, from) in (0..).zip((0..head.size).step_by(WIDTH)) {
        let leaves = log.leaves(from, head.size.min(from + WIDTH as u64)).await?;
        let bundle = tile::entry_bundle(&leaves).ok_or_else(|| damaged("an entry has 64 KiB or more"))?;
        write(dir, &tile::entries_path(index, leaves.len()), &bundle)?;
    }
    for tile in tile::tiles(&hashes) {
        write(dir, &tile.path(), &tile.bytes())?;
    }
    for digest in objects {
        let path = object_path(*digest);
        match log.objects(&[*digest]).await?.pop().flatten() {
            Some(bytes) => write(dir, &path, &bytes)?,
            None => remove(&dir.join(path))?,
        }
    }
    write(dir, "checkpoint", text.as_bytes())?;
    Ok(head)
}

/// Where an object lies: two hexadecimal digits name the directory, all of them the file.
pub fn object_path(digest: Digest) -> String {
    let hex = digest.hex();
    format!("objects/{}/{hex}", hex.get(..2).unwrap_or_default())
}

/// The hash of every leaf, after checking that they have the root of the checkpoint and continue an earlier export.
async fn hashes(log: &dyn Log, head: Head, earlier: Option<Head>) -> Result<Vec<Hash>, LogError> {
    let (mut hashes, mut frontier) = (Vec::new(), Frontier::default());
    let mut continues = earlier.is_none_or(|earlier| earlier == Head { size: 0, root: frontier.root() });
    for from in (0..head.size).step_by(WIDTH) {
        for leaf in log.leaves(from, head.size.min(from + WIDTH as u64)).await? {
            let hash = leaf_hash(&leaf);
            hashes.push(hash);
            frontier.push(hash);
            let reached = earlier.filter(|earlier| earlier.size == frontier.size());
            continues |= reached.is_some_and(|earlier| earlier.root == frontier.root());
        }
    }
    if (Head { size: frontier.size(), root: frontier.root() }) != head {
        return Err(damaged("the entries do not have the root of the checkpoint"));
    }
    if !continues {
        return Err(damaged(
            "the log does not continue what was exported there before: one of both is forked or truncated",
        ));
    }
    Ok(hashes)
}

/// What was exported to `dir` before.
fn earlier(dir: &Path) -> Result<Option<Head>, LogError> {
    let path = dir.join("checkpoint");
    match read(&path, MAX_NOTE) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|e| failed(&path, &e.to_string()))?;
            checkpoint::unverified(&text).map(Some).map_err(|e| failed(&path, &e.to_string()))
        }
        Err(LogError::Unavailable { .. }) if !path.exists() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file of at most `limit` bytes.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| io::copy(&mut io::Read::take(file, limit as u64 + 1), &mut bytes))
        .map_err(|e| failed(path, &e.to_string()))?;
    if bytes.len() > limit { Err(failed(path, &format!("it has more than {limit} bytes"))) } else { Ok(bytes) }
}

/// Replaces a file as a whole, unless it has these bytes already.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    let path = dir.join(name);
    if fs::metadata(&path).is_ok_and(|file| file.len() == bytes.len() as u64)
        && fs::read(&path).is_ok_and(|is| is == bytes)
    {
        return Ok(());
    }
    let new = dir.join(format!("{name}.new"));
    let parent = path.parent().unwrap_or(dir);
    fs::create_dir_all(parent)
        .and_then(|()| File::create(&new))
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|e| failed(&path, &e.to_string()))
}

fn remove(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, &error.to_string())),
        _ => Ok(()),
    }
}

fn failed(path: &Path, why: &str) -> LogError {
    LogError::Unavailable { place: path.display().to_string(), why: why.to_owned() }
}

fn damaged(what: &str) -> LogError {
    LogError::Tampered { what: what.to_owned(), at: None }
}
