//! What commits change on the branch.

use std::collections::BTreeSet;

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::LogError;

use super::{
    blobs::Oid,
    delta,
    layout::{
        self, At, Beside, CHECKPOINT, Commit, ERASED, INLINE, LARGE, MAX_JOINED, MAX_WRITTEN, SNAPSHOTS, TILE, tampered,
    },
    reader::{Reader, blobs_of_names, blobs_of_tiles, files_of_tile},
    repository::{Changes, Fault, Listing},
    session::Session,
    tiles::{Name, for_frontier, grown},
};
use crate::{
    merkle::{Hash, leaf_hash},
    record::{Base, Record},
    tile,
};

impl Session<'_> {
    /// The changes of `records`, which follow the mirror's newest commit, to these files.
    pub(super) async fn changes(&self, files: &Listing, records: &[Record]) -> Result<Changes, Fault> {
        let tip = self.mirror()?.tip()?;
        let old = tip.frontier.size();
        let new = records.last().map_or(old, |record| record.size);
        let edge: BTreeSet<Name> = for_frontier(old).into_iter().filter(|(level, _)| *level > 0).collect();
        let mut wanted = blobs_of_tiles(files, old, old / TILE, old / TILE + 1);
        wanted.extend(partial_blobs(files, old));
        wanted.extend([SNAPSHOTS, ERASED].iter().filter_map(|path| files.get(*path).cloned()));
        self.repository.ensure(&wanted).await?;
        let mut reader = Reader::new(files, old, self.repository.blobs()?);
        let mut changes = Changes::new();
        tree(&mut reader, &tip, &edge, records, new, &mut changes).await?;
        beside(&mut reader, files, &tip, records, new, &mut changes).await?;
        self.object_files(files, records, &mut changes);
        self.second_names(files, (old, new), records, &mut changes).await?;
        lists(&mut reader, records, &mut changes).await?;
        let note = records.last().map_or(tip.note, |record| record.note.clone());
        changes.insert(CHECKPOINT.to_owned(), Some(note.into_bytes()));
        Ok(changes)
    }

    /// The names below `delta/`. What they replace must be here, or git has nothing to compare with.
    async fn second_names(
        &self,
        files: &Listing,
        (old, new): (u64, u64),
        records: &[Record],
        changes: &mut Changes,
    ) -> Result<(), Fault> {
        let bodies = delta::bodies(records, self.log.options.large.is_some());
        // Tiles were read for this append. The last snapshot's body need not have been, and is not fetched for this.
        let tiles = partial_blobs(files, old);
        let body = files.get(&delta::newest_body()).filter(|_| !bodies.is_empty());
        let body_is_here = match body {
            Some(oid) => self.repository.missing(&[oid.clone()].into()).await?.is_empty(),
            None => false,
        };
        let known = |path: &str| {
            let oid = files.get(path);
            (body_is_here && oid == body) || oid.is_some_and(|oid| tiles.contains(oid))
        };
        delta::name_again(files, known, (old, new), bodies, changes);
        Ok(())
    }

    /// Objects that are files of their own. Those that lie elsewhere were put there before.
    fn object_files(&self, files: &Listing, records: &[Record], changes: &mut Changes) {
        let elsewhere = self.log.options.large.is_some();
        for (digest, bytes) in records.iter().flat_map(|record| &record.objects) {
            if bytes.len() <= INLINE {
                continue;
            }
            let (path, bytes) = if elsewhere && bytes.len() > LARGE {
                (layout::elsewhere_path(*digest), format!("{}\n", bytes.len()).into_bytes())
            } else {
                (layout::object_path(*digest), bytes.clone())
            };
            if !files.contains_key(&path) {
                changes.insert(path, Some(bytes));
            }
        }
    }
}

/// Entries and hash tiles. What is there must have the root of the mirror's newest commit: nothing is built on tiles of others.
async fn tree(
    reader: &mut Reader<'_>,
    tip: &Base,
    edge: &BTreeSet<Name>,
    records: &[Record],
    new: u64,
    changes: &mut Changes,
) -> Result<(), Fault> {
    let (old, first) = (tip.frontier.size(), tip.frontier.size() / TILE);
    let mut leaves = if old.is_multiple_of(TILE) { Vec::new() } else { reader.bundle(first).await? };
    let mut tiles = reader.tiles(edge).await?;
    tiles.put((0, first), leaves.iter().map(|leaf| leaf_hash(leaf)).collect());
    if tiles.frontier(old).as_ref() != Some(&tip.frontier) {
        return Err(tampered("the entries and tiles on the branch do not have the root of its checkpoint").into());
    }
    leaves.extend(records.iter().flat_map(|record| &record.leaves).map(|leaf| leaf.bytes.clone()));
    for (tile, chunk) in (first..).zip(leaves.chunks(tile::WIDTH)) {
        let bundle = tile::entry_bundle(chunk).ok_or_else(|| tampered("an entry has 64 KiB or more"))?;
        changes.insert(tile::entries_path(tile, chunk.len()), Some(bundle));
    }
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    for tile in grown(old, &tiles, hashes) {
        changes.insert(tile.path(), Some(tile.bytes()));
    }
    replaced(old, new, changes);
    Ok(())
}

/// The blobs of the partial tiles and entries of a log of this size.
fn partial_blobs(files: &Listing, size: u64) -> BTreeSet<Oid> {
    let entries = layout::entries_path(size, size / TILE).and_then(|path| files.get(&path).cloned());
    blobs_of_names(files, size, &for_frontier(size)).into_iter().chain(entries).collect()
}

/// Partial files of the smaller tree, which larger ones replace.
fn replaced(old: u64, new: u64, changes: &mut Changes) {
    let mut drop_if_other = |before: Option<String>, after: Option<String>| {
        if let Some(path) = before.filter(|before| after.as_ref() != Some(before)) {
            changes.insert(path, None);
        }
    };
    for (level, tile) in for_frontier(old) {
        drop_if_other(layout::tile_path(old, level, tile), layout::tile_path(new, level, tile));
    }
    if !old.is_multiple_of(TILE) {
        drop_if_other(layout::entries_path(old, old / TILE), layout::entries_path(new, old / TILE));
    }
}

/// Files of commits: one each in the last tile, one for all of a tile that is full.
async fn beside(
    reader: &mut Reader<'_>,
    files: &Listing,
    tip: &Base,
    records: &[Record],
    new: u64,
    changes: &mut Changes,
) -> Result<(), Fault> {
    let mut before = At { size: tip.frontier.size(), note: tip.note.clone(), annex: tip.annex.clone() };
    for group in records.chunk_by(|one, next| one.after / TILE == next.after / TILE) {
        let Some(tile) = group.first().map(|record| record.after / TILE) else { continue };
        let mut all = match tile == tip.frontier.size() / TILE {
            true => reader.beside(tile).await?,
            false => None,
        }
        .unwrap_or_else(|| Beside { after: before.clone(), commits: Vec::new() });
        let mut single = Vec::new();
        for record in group {
            let commit = Commit::of(record);
            let file = Beside { after: before, commits: vec![commit.clone()] };
            single.push((layout::tail_path(record.after), file));
            before = commit.at.clone();
            all.commits.push(commit);
        }
        let joined =
            if new / TILE > tile { Some(all.encode()?).filter(|bytes| bytes.len() <= MAX_JOINED) } else { None };
        match joined {
            Some(bytes) => {
                changes.extend(files_of_tile(files, tile).into_iter().map(|(path, _)| (path, None)));
                changes.insert(layout::joined_path(tile), Some(bytes));
            }
            None => {
                for (path, file) in single {
                    let bytes = file.encode()?;
                    if bytes.len() > MAX_WRITTEN {
                        let why = format!(
                            "a commit of {} bytes is too large: at most {MAX_WRITTEN} are written",
                            bytes.len()
                        );
                        return Err(LogError::Unavailable { place: "the branch".to_owned(), why }.into());
                    }
                    changes.insert(path, Some(bytes));
                }
            }
        }
    }
    Ok(())
}

/// The lists of snapshots, and of what was erased: an object that is stored again is not.
async fn lists(reader: &mut Reader<'_>, records: &[Record], changes: &mut Changes) -> Result<(), Fault> {
    let mut snapshots = String::new();
    for record in records {
        let marked = (record.after..).zip(&record.leaves).filter(|(_, leaf)| leaf.snapshot);
        snapshots.extend(marked.map(|(index, _)| format!("{index}\n")));
    }
    if !snapshots.is_empty() {
        let mut list = reader.file_if_any(SNAPSHOTS).await?;
        list.extend_from_slice(snapshots.as_bytes());
        changes.insert(SNAPSHOTS.to_owned(), Some(list));
    }
    let erased = layout::digests(&reader.file_if_any(ERASED).await?);
    let stored = |digest: &Digest| records.iter().any(|record| record.objects.contains_key(digest));
    let still: BTreeSet<Digest> = erased.iter().copied().filter(|digest| !stored(digest)).collect();
    if still != erased {
        let list = (!still.is_empty()).then(|| layout::digest_list(&still));
        changes.insert(ERASED.to_owned(), list);
    }
    Ok(())
}
