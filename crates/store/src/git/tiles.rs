//! What hash tiles tell of a tree without its leaves: the frontier at an earlier size, and that a later tree continues it.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{TILE, width};
use crate::{
    merkle::{Frontier, Hash},
    tile::Tile,
};

/// Levels of hash tiles that a tree of 2^64 leaves can have.
const LEVELS: usize = 8;

/// A hash tile: its level and its number there.
pub(super) type Name = (usize, u64);

/// The tiles that [`Tiles::frontier`] reads for this size.
pub(super) fn for_frontier(size: u64) -> BTreeSet<Name> {
    digits(size).map(|(level, tile, _)| (level, tile)).collect()
}

/// The tiles that [`Tiles::reach`] reads to get from one size to another.
pub(super) fn for_reach(from: u64, to: u64) -> BTreeSet<Name> {
    steps(from, to).map(|(level, tile, _)| (level, tile)).collect()
}

/// For each level from the highest: the tile at the right edge, and how many of its hashes belong to the tree of this size.
fn digits(size: u64) -> impl Iterator<Item = (usize, u64, usize)> {
    let levels = (0..LEVELS).rev().map(move |level| {
        let hashes = size.checked_shr(8 * level as u32).unwrap_or(0);
        (level, hashes / TILE, usize::try_from(hashes % TILE).unwrap_or(0))
    });
    levels.filter(|(.., digit)| *digit > 0)
}

/// The largest whole parts of the tree that lead from one size to another: tile and position of the hash of each.
fn steps(from: u64, to: u64) -> impl Iterator<Item = (usize, u64, usize)> {
    let mut size = from;
    std::iter::from_fn(move || {
        let whole = |level: &usize| {
            let part = 1u64.checked_shl(8 * *level as u32).unwrap_or(u64::MAX);
            size.is_multiple_of(part) && size.checked_add(part).is_some_and(|end| end <= to)
        };
        let level = (0..LEVELS).rev().find(whole)?;
        let number = size >> (8 * level);
        size += 1 << (8 * level);
        Some((level, number / TILE, usize::try_from(number % TILE).unwrap_or(0)))
    })
}

/// Tiles that were read.
#[derive(Debug, Default)]
pub(super) struct Tiles(BTreeMap<Name, Vec<Hash>>);

impl Tiles {
    /// Takes in the file of a tile in a tree of `size` leaves; whether it has the right length.
    pub(super) fn add(&mut self, name: Name, size: u64, bytes: &[u8]) -> bool {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let right = rest.is_empty() && hashes.len() == width(size, name.0, name.1);
        if right {
            self.0.insert(name, hashes.to_vec());
        }
        right
    }

    /// Takes in the hashes of a tile that come from elsewhere.
    pub(super) fn put(&mut self, name: Name, hashes: Vec<Hash>) {
        self.0.insert(name, hashes);
    }

    /// The hashes of a tile.
    pub(super) fn get(&self, name: Name) -> &[Hash] {
        self.0.get(&name).map_or(&[], Vec::as_slice)
    }

    /// The frontier of the first `size` leaves.
    pub(super) fn frontier(&self, size: u64) -> Option<Frontier> {
        let mut peaks = Vec::new();
        for (level, tile, digit) in digits(size) {
            let hashes = self.get((level, tile)).get(..digit)?;
            peaks.extend_from_slice(hashes.iter().copied().collect::<Frontier>().peaks());
        }
        Frontier::from_peaks(size, peaks)
    }

    /// The frontier of the first `to` leaves, grown out of an earlier one.
    pub(super) fn reach(&self, mut frontier: Frontier, to: u64) -> Option<Frontier> {
        for (level, tile, position) in steps(frontier.size(), to) {
            let hash = *self.get((level, tile)).get(position)?;
            frontier.push_tree(8 * level as u32, hash);
        }
        (frontier.size() == to).then_some(frontier)
    }
}

/// The tiles of a tree that grows from `old` leaves to more: whole and partial ones, those above the leaves too. `edge` holds
/// the partial tiles of the smaller tree, and `leaves` the hashes from the beginning of its last tile on.
pub(super) fn grown(old: u64, edge: &Tiles, leaves: Vec<Hash>) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let (mut hashes, mut first) = (leaves, old / TILE);
    for level in 0..LEVELS {
        for (index, chunk) in (first..).zip(hashes.chunks(TILE as usize)) {
            tiles.push(Tile { level, index, hashes: chunk.to_vec() });
        }
        let full: Vec<Hash> = hashes.chunks_exact(TILE as usize).map(crate::merkle::root).collect();
        if full.is_empty() {
            break;
        }
        // The hashes of this level that were there before, from the beginning of its last tile on, and the new ones.
        let above = (level + 1, first / TILE);
        let known = usize::try_from(first % TILE).unwrap_or(0);
        hashes = edge.get(above).get(..known).unwrap_or_default().iter().copied().chain(full).collect();
        first = above.1;
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{merkle, tile};

    fn hashes(size: u64) -> Vec<Hash> {
        (0..size).map(|i| merkle::leaf_hash(&i.to_be_bytes())).collect()
    }

    fn read(size: u64, names: impl IntoIterator<Item = Name>) -> Tiles {
        let all: BTreeMap<Name, Tile> =
            tile::tiles(&hashes(size)).into_iter().map(|tile| ((tile.level, tile.index), tile)).collect();
        let mut tiles = Tiles::default();
        for name in names {
            assert!(tiles.add(name, size, &all[&name].bytes()), "{name:?}");
        }
        tiles
    }

    #[test]
    fn a_frontier_follows_from_few_tiles_and_grows_to_the_whole_tree() {
        let size = 66_100;
        let whole: Frontier = hashes(size).into_iter().collect();
        for at in [0, 1, 2, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 66_048, 66_049, size] {
            let expected: Frontier = hashes(at).into_iter().collect();
            let tiles = read(size, for_frontier(at));
            assert_eq!(tiles.frontier(at), Some(expected.clone()), "{at}");
            let names = for_reach(at, size);
            assert!(names.len() <= 6, "{at}: {names:?}");
            assert_eq!(read(size, names).reach(expected, size), Some(whole.clone()), "{at}");
        }
    }

    #[test]
    fn a_tree_that_grows_has_the_tiles_that_it_would_have_had() {
        for (old, new) in
            [(0, 1), (0, 300), (255, 256), (256, 257), (300, 301), (300, 700), (65_500, 65_600), (65_536, 66_100)]
        {
            let edge: BTreeSet<Name> = for_frontier(old);
            let from = old / TILE * TILE;
            let leaves = hashes(new).split_off(from as usize);
            let grown = grown(old, &read(old, edge), leaves);
            let expected: Vec<Tile> = tile::tiles(&hashes(new))
                .into_iter()
                .filter(|tile| {
                    width(new, tile.level, tile.index) != width(old, tile.level, tile.index) || grown.contains(tile)
                })
                .collect();
            assert_eq!(grown, expected, "from {old} to {new}");
        }
    }

    #[test]
    fn a_tile_of_another_length_is_not_taken() {
        let mut tiles = Tiles::default();
        assert!(!tiles.add((0, 0), 3, &[0; 64]));
        assert!(!tiles.add((0, 0), 3, &[0; 97]));
        assert!(tiles.add((0, 0), 3, &[0; 96]));
        assert_eq!(tiles.frontier(4), None);
    }
}
