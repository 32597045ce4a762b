//! Tiles (c2sp.org/tlog-tiles): the tree and its leaves cut into static files of 256 hashes or entries.

use crate::merkle::{self, Hash};

/// Hashes in a full tile and entries in a full bundle.
pub const WIDTH: usize = 256;

/// The path of a hash tile, relative to the log's prefix. `width` is the number of hashes in it: a tile with fewer than
/// [`WIDTH`] is partial and has a path of its own for each width.
pub fn tile_path(level: usize, index: u64, width: usize) -> String {
    format!("tile/{level}/{}", numbered(index, width))
}

/// The path of an entry bundle, relative to the log's prefix, by number of entries like [`tile_path`].
pub fn entries_path(index: u64, width: usize) -> String {
    format!("tile/entries/{}", numbered(index, width))
}

/// `1234067` as `x001/x234/067`, so that no directory grows beyond a thousand names; partial with `.p/<width>`.
fn numbered(index: u64, width: usize) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH { format!("{path}.p/{width}") } else { path }
}

/// The entries of a bundle, each behind its length as a 16-bit big-endian number. `None` if one has 64 KiB or more.
pub fn entry_bundle(leaves: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut bundle = Vec::with_capacity(leaves.iter().map(|leaf| leaf.len() + 2).sum());
    for leaf in leaves {
        bundle.extend(u16::try_from(leaf.len()).ok()?.to_be_bytes());
        bundle.extend(leaf);
    }
    Some(bundle)
}

/// The entries of a bundle as [`entry_bundle`] wrote it. `None` if it is cut off, or has more than any bundle.
pub fn read_bundle(mut bundle: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut leaves = Vec::new();
    while !bundle.is_empty() {
        if leaves.len() == WIDTH {
            return None;
        }
        let (length, rest) = bundle.split_first_chunk::<2>()?;
        let (leaf, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        leaves.push(leaf.to_vec());
        bundle = rest;
    }
    Some(leaves)
}

/// A hash tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for leaf hashes; each level above holds the roots of full tiles below.
    pub level: usize,
    /// Its number within the level.
    pub index: u64,
    /// At most [`WIDTH`] hashes, at least one.
    pub hashes: Vec<Hash>,
}

impl Tile {
    /// The path of this tile, relative to the log's prefix.
    pub fn path(&self) -> String {
        tile_path(self.level, self.index, self.hashes.len())
    }

    /// The content of the file: the hashes one after the other.
    pub fn bytes(&self) -> Vec<u8> {
        self.hashes.concat()
    }
}

/// Every tile of the tree over these leaf hashes, level by level; the last of each level may be partial.
pub fn tiles(leaves: &[Hash]) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let mut hashes = leaves.to_vec();
    for level in 0.. {
        if hashes.is_empty() {
            break;
        }
        let of_level = (0..).zip(hashes.chunks(WIDTH));
        tiles.extend(of_level.map(|(index, chunk)| Tile { level, index, hashes: chunk.to_vec() }));
        hashes = hashes.chunks_exact(WIDTH).map(merkle::root).collect();
    }
    tiles
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path(2, 0, 256), "tile/2/000");
        assert_eq!(tile_path(0, 273, 112), "tile/0/273.p/112");
        assert_eq!(tile_path(1, 1, 17), "tile/1/001.p/17");
        assert_eq!(entries_path(1000, 256), "tile/entries/x001/000");
        assert_eq!(entries_path(0, 1), "tile/entries/000.p/1");
    }

    /// The example of the specification: a tree of 70,000 leaves.
    #[test]
    fn a_tree_of_seventy_thousand_leaves_has_the_tiles_of_the_specification() {
        let tiles = tiles(&vec![[7; 32]; 70_000]);
        let full = |level| tiles.iter().filter(|tile| tile.level == level && tile.hashes.len() == WIDTH).count();
        let partial: Vec<String> = tiles.iter().filter(|t| t.hashes.len() < WIDTH).map(Tile::path).collect();
        assert_eq!((full(0), full(1), full(2)), (273, 1, 0));
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    }

    #[test]
    fn a_bundle_that_is_cut_off_is_refused() {
        let bundle = entry_bundle(&[b"one".to_vec(), vec![], b"three".to_vec()]).unwrap();
        assert_eq!(bundle, b"\x00\x03one\x00\x00\x00\x05three");
        assert_eq!(read_bundle(&bundle), Some(vec![b"one".to_vec(), vec![], b"three".to_vec()]));
        assert_eq!(read_bundle(&bundle[..bundle.len() - 1]), None);
        assert_eq!(read_bundle(&bundle[..6]), None);
        assert_eq!(entry_bundle(&[vec![0; 65_536]]), None);
        assert_eq!(read_bundle(&[0; 2 * WIDTH]).map(|leaves| leaves.len()), Some(WIDTH));
        assert_eq!(read_bundle(&[0; 2 * WIDTH + 2]), None, "one entry too many");
    }

    proptest! {
        #[test]
        fn the_root_follows_from_the_hashes_of_the_topmost_tiles(size in 1usize..1500) {
            let leaves: Vec<Hash> = (0..size).map(|i| merkle::leaf_hash(&i.to_be_bytes())).collect();
            let tiles = tiles(&leaves);
            let level_zero: Vec<Hash> = tiles.iter().filter(|t| t.level == 0).flat_map(|t| t.hashes.clone()).collect();
            prop_assert_eq!(&level_zero, &leaves);
            let level_one: Vec<Hash> = tiles.iter().filter(|t| t.level == 1).flat_map(|t| t.hashes.clone()).collect();
            let expected: Vec<Hash> = leaves.chunks_exact(WIDTH).map(merkle::root).collect();
            prop_assert_eq!(level_one, expected);
        }
    }
}
