//! Commits of the log, read from the files of the branch.

use std::collections::{BTreeMap, BTreeSet};

use sealift_engine::ports::log::LogError;

use super::{
    blobs::{Blobs, Oid},
    layout::{self, Beside, TILE, tampered},
    repository::{Fault, Listing},
    tiles::{Name, Tiles},
};
use crate::{record::Record, tile};

/// The files of commits that begin in a tile, in order.
pub(super) fn files_of_tile(files: &Listing, tile: u64) -> Vec<(String, Oid)> {
    let joined = layout::joined_path(tile);
    if let Some(oid) = files.get(&joined) {
        return vec![(joined, oid.clone())];
    }
    let folder = layout::tail_folder(tile);
    let tail = files.range(folder.clone()..).take_while(|(path, _)| path.starts_with(&folder));
    let numbered = tail.filter_map(|(path, oid)| {
        let first: u64 = path.get(folder.len()..)?.parse().ok()?;
        (first / TILE == tile).then(|| (first, (path.clone(), oid.clone())))
    });
    numbered.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Everything that is needed to read the commits that begin in these tiles of a log of `size` leaves.
pub(super) fn blobs_of_tiles(files: &Listing, size: u64, from: u64, to: u64) -> BTreeSet<Oid> {
    let mut wanted = BTreeSet::new();
    for tile in from..to.min(size.div_ceil(TILE).max(1)) {
        wanted.extend(files_of_tile(files, tile).into_iter().map(|(_, oid)| oid));
        wanted.extend(layout::entries_path(size, tile).and_then(|path| files.get(&path).cloned()));
    }
    wanted
}

/// The blobs of these hash tiles.
pub(super) fn blobs_of_names(files: &Listing, size: u64, names: &BTreeSet<Name>) -> BTreeSet<Oid> {
    let paths = names.iter().filter_map(|(level, tile)| layout::tile_path(size, *level, *tile));
    paths.filter_map(|path| files.get(&path).cloned()).collect()
}

/// A file that must be there.
pub(super) fn oid<'a>(files: &'a Listing, path: &str) -> Result<&'a Oid, LogError> {
    files.get(path).ok_or_else(|| tampered(&format!("the file `{path}` is missing on the branch")))
}

/// Reads files of one commit of the branch, whose blobs are here.
pub(super) struct Reader<'a> {
    files: &'a Listing,
    size: u64,
    blobs: Blobs,
    entries: BTreeMap<u64, Vec<Vec<u8>>>,
}

impl<'a> Reader<'a> {
    /// For a log of `size` leaves.
    pub(super) fn new(files: &'a Listing, size: u64, blobs: Blobs) -> Self {
        Self { files, size, blobs, entries: BTreeMap::new() }
    }

    /// A file.
    pub(super) async fn file(&mut self, path: &str) -> Result<Vec<u8>, Fault> {
        self.blobs.get(oid(self.files, path)?).await
    }

    /// A file, nothing if there is none.
    pub(super) async fn file_if_any(&mut self, path: &str) -> Result<Vec<u8>, Fault> {
        if self.files.contains_key(path) { self.file(path).await } else { Ok(Vec::new()) }
    }

    /// Hash tiles.
    pub(super) async fn tiles(&mut self, names: &BTreeSet<Name>) -> Result<Tiles, Fault> {
        let mut tiles = Tiles::default();
        for name in names {
            let path = layout::tile_path(self.size, name.0, name.1);
            let path = path.ok_or_else(|| tampered("a tile is asked for that the tree does not have"))?;
            let bytes = self.file(&path).await?;
            if !tiles.add(*name, self.size, &bytes) {
                return Err(tampered(&format!("the file `{path}` has another length than its name says")).into());
            }
        }
        Ok(tiles)
    }

    /// The entries of a tile.
    pub(super) async fn bundle(&mut self, tile: u64) -> Result<Vec<Vec<u8>>, Fault> {
        let Some(path) = layout::entries_path(self.size, tile) else { return Ok(Vec::new()) };
        let bytes = self.file(&path).await?;
        let leaves = tile::read_bundle(&bytes).filter(|leaves| leaves.len() == layout::width(self.size, 0, tile));
        leaves
            .ok_or_else(|| tampered(&format!("the file `{path}` does not hold the entries that its name says")).into())
    }

    /// The files of commits that begin in a tile, as one.
    pub(super) async fn beside(&mut self, tile: u64) -> Result<Option<Beside>, Fault> {
        let mut all: Option<Beside> = None;
        for (path, oid) in files_of_tile(self.files, tile) {
            let found = Beside::parse(&path, &self.blobs.get(&oid).await?)?;
            match &mut all {
                None => all = Some(found),
                Some(all) => all.commits.extend(found.commits),
            }
        }
        if let Some(found) = all.as_ref().filter(|found| found.after.size / TILE != tile) {
            let what = format!("the commits of tile {tile} are said to begin after {} entries", found.after.size);
            return Err(tampered(&what).into());
        }
        Ok(all)
    }

    /// The commits that begin in a tile at `after` or later, and not at `end` or later. `after` moves along.
    pub(super) async fn records(&mut self, tile: u64, after: &mut u64, end: u64) -> Result<Vec<Record>, Fault> {
        let mut records = Vec::new();
        let Some(beside) = self.beside(tile).await? else { return Ok(records) };
        let mut begin = beside.after.size;
        for commit in beside.commits {
            let next = commit.at.size;
            if next <= begin || next > self.size {
                return Err(tampered(&format!("a commit leads from {begin} to {next} entries")).into());
            }
            if begin >= *after && begin < end {
                if begin != *after {
                    return Err(tampered(&format!("the commit after {after} entries is missing")).into());
                }
                records.push(commit.record(begin, self.leaves(begin, next).await?)?);
                *after = next;
            }
            begin = next;
        }
        self.entries.retain(|known, _| *known >= *after / TILE);
        Ok(records)
    }

    async fn leaves(&mut self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Fault> {
        let mut leaves = Vec::new();
        for index in from..to {
            let tile = index / TILE;
            if !self.entries.contains_key(&tile) {
                let bundle = self.bundle(tile).await?;
                self.entries.insert(tile, bundle);
            }
            let position = usize::try_from(index % TILE).unwrap_or(0);
            let leaf = self.entries.get(&tile).and_then(|leaves| leaves.get(position));
            leaves.push(leaf.cloned().ok_or_else(|| tampered(&format!("entry {index} is missing")))?);
        }
        Ok(leaves)
    }
}
