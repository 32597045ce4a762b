//! Second names for what every append writes anew, so that git sends and keeps only what has changed.
//!
//! Where the formats want a new name for each size of a tile, git would not know which older file to compare it with: for a
//! push it looks at the same path in the commit before, and for `git gc` it sorts files by the last 16 characters of the first
//! path at which it meets them. Below `delta/`, which git meets before `objects/` and `tile/`, the same blobs have names that
//! stay while a tile grows, and that sort next to the name it has when it is full. Nothing here is ever read: it proves nothing.

use std::collections::BTreeSet;

use sealift_domain::digest::Digest;

use super::{
    layout::{self, INLINE, LARGE, TILE},
    repository::{Changes, Listing},
    tiles::for_frontier,
};
use crate::record::Record;

/// The directory of second names.
pub(super) const DELTA: &str = "delta/";
/// The last part of the names of bodies of snapshots. It has 16 characters, so that git takes all of them for versions of one
/// file.
const BODY: &str = "body-of-snapshot";

/// The second name of a file below `tile/`.
fn second(path: &str) -> Option<String> {
    let name = path.strip_prefix("tile/")?;
    let whole = name.split_once(".p/").map_or(name, |(whole, _)| whole);
    Some(format!("{DELTA}{whole}"))
}

/// The second name of the newest snapshot's body.
pub(super) fn newest_body() -> String {
    format!("{DELTA}{BODY}")
}

/// The second name of the body of the snapshot at this entry.
fn body_at(index: u64) -> String {
    format!("{DELTA}snapshots/{index}/{BODY}")
}

/// The files below `delta/`.
fn present(files: &Listing) -> impl Iterator<Item = &str> {
    files.range(DELTA.to_owned()..).map(|(path, _)| path.as_str()).take_while(|path| path.starts_with(DELTA))
}

/// Gives a second name to what `changes` writes, on top of `files` with `old` entries, and takes away those that are of no
/// more use. `known`: whether a file's blob is in the clone. Git compares with what has the same path in the commit before and
/// gives up where that is not here, so such a path is left empty once.
pub(super) fn name_again(
    files: &Listing,
    known: impl Fn(&str) -> bool,
    (old, new): (u64, u64),
    bodies: Vec<(u64, Vec<u8>)>,
    changes: &mut Changes,
) {
    let mut names = Changes::new();
    let (grown, growing) = (partial(old), partial(new));
    for (path, bytes) in changes.iter() {
        let (Some(bytes), Some(name)) = (bytes, second(path)) else { continue };
        // A tile that was filled at once has nothing to be compared with, now or later.
        if growing.contains(&name) || grown.contains(&name) {
            names.insert(name, Some(bytes.clone()));
        }
    }
    if let Some((_, newest)) = bodies.last() {
        names.insert(newest_body(), Some(newest.clone()));
    }
    names.extend(bodies.into_iter().map(|(index, bytes)| (body_at(index), Some(bytes))));
    for path in present(files) {
        let stays = path.ends_with(BODY) || growing.contains(path);
        match names.get_mut(path) {
            Some(change) if !known(path) => *change = None,
            None if !stays => drop(names.insert(path.to_owned(), None)),
            _ => {}
        }
    }
    changes.extend(names);
}

/// The second names of the partial tiles of a log of this size.
fn partial(size: u64) -> BTreeSet<String> {
    let tiles = for_frontier(size).into_iter().filter_map(|(level, tile)| layout::tile_path(size, level, tile));
    let entries = Some(size).filter(|size| !size.is_multiple_of(TILE));
    let entries = entries.and_then(|size| layout::entries_path(size, size / TILE));
    tiles.chain(entries).filter_map(|path| second(&path)).collect()
}

/// The body of each snapshot among these commits: the largest of its objects that are files of their own, `elsewhere` if those
/// above a megabyte are not.
pub(super) fn bodies(records: &[Record], elsewhere: bool) -> Vec<(u64, Vec<u8>)> {
    let mut bodies = Vec::new();
    for record in records {
        for (index, leaf) in (record.after..).zip(&record.leaves).filter(|(_, leaf)| leaf.snapshot) {
            let objects = leaf.objects.iter().filter_map(|digest| record.objects.get(digest));
            let own = objects.filter(|bytes| bytes.len() > INLINE && !(elsewhere && bytes.len() > LARGE));
            bodies.extend(own.max_by_key(|bytes| bytes.len()).map(|bytes| (index, bytes.clone())));
        }
    }
    bodies
}

/// The second names of an object, which go when it is erased.
pub(super) fn names_of(files: &Listing, digest: Digest) -> Vec<String> {
    let Some(oid) = files.get(&layout::object_path(digest)) else { return Vec::new() };
    present(files).filter(|path| files.get(*path) == Some(oid)).map(str::to_owned).collect()
}
