//! Verification of an export, from its files and the public key alone.

use std::path::Path;

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, LogError, MAX_LEAF};

use super::{damaged, read};
use crate::{
    checkpoint,
    key::Keyring,
    merkle::{self, Hash, leaf_hash},
    note::MAX_NOTE,
    sqlite::MAX_OBJECT,
    tile::{self, WIDTH},
};

/// The largest entry bundle, in bytes.
const MAX_BUNDLE: usize = WIDTH * (MAX_LEAF + 2);

/// Verifies the export in `dir`: checkpoint by our key, entries with its root, tiles of just these entries, and each of
/// the `objects` that is there by its digest. Returns the head. A file that is missing or has other content is
/// [`LogError::Unavailable`] or [`LogError::Tampered`].
pub fn verify(dir: &Path, keys: &Keyring, objects: &[Digest]) -> Result<Head, LogError> {
    let text = String::from_utf8(read(&dir.join("checkpoint"), MAX_NOTE)?)
        .map_err(|_| damaged("the exported checkpoint is not text"))?;
    let head = checkpoint::verify(&text, keys).map_err(|e| damaged(&format!("the exported checkpoint: {e}")))?.head;
    let hashes = entries(dir, head.size)?;
    if merkle::root(&hashes) != head.root {
        return Err(damaged("the exported entries do not have the root of the checkpoint"));
    }
    for tile in tile::tiles(&hashes) {
        if read(&dir.join(tile.path()), WIDTH * size_of::<Hash>())? != tile.bytes() {
            return Err(damaged(&format!("`{}` is not the tile of these entries", tile.path())));
        }
    }
    for digest in objects {
        let path = dir.join(super::object_path(*digest));
        if path.exists() && Digest::of(&read(&path, MAX_OBJECT)?) != *digest {
            return Err(damaged(&format!("the exported object {digest} has other content")));
        }
    }
    Ok(head)
}

/// The hashes of the exported entries.
fn entries(dir: &Path, size: u64) -> Result<Vec<Hash>, LogError> {
    let mut hashes = Vec::new();
    for (index, from) in (0..).zip((0..size).step_by(WIDTH)) {
        let width = usize::try_from(size - from).map_or(WIDTH, |left| left.min(WIDTH));
        let path = tile::entries_path(index, width);
        let leaves = tile::read_bundle(&read(&dir.join(&path), MAX_BUNDLE)?);
        let leaves = leaves.filter(|leaves| leaves.len() == width);
        let leaves = leaves.ok_or_else(|| damaged(&format!("`{path}` does not hold {width} entries")))?;
        hashes.extend(leaves.iter().map(|leaf| leaf_hash(leaf)));
    }
    Ok(hashes)
}
