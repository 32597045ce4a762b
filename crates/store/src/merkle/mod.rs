//! The Merkle tree of RFC 6962, section 2.1, with SHA-256. Pure.

mod proof;

use sha2::{Digest as _, Sha256};

pub use proof::{consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};

/// The hash of a leaf, of an inner node, or of a whole tree.
pub type Hash = [u8; 32];

/// The hash of one leaf: SHA-256 over `0x00` and the leaf's bytes.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(leaf).finalize().into()
}

/// The hash of an inner node: SHA-256 over `0x01` and the hashes of both children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree over these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    leaves.iter().copied().collect::<Frontier>().root()
}

/// The right edge of a tree: the roots of its perfect subtrees, largest first. All that is needed to append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A frontier as it was stored: one peak for each bit set in `size`, largest subtree first. `None` if the number of
    /// peaks does not fit the size.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (usize::try_from(size.count_ones()) == Ok(peaks.len())).then_some(Self { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends one leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_tree(0, leaf);
    }

    /// Appends a perfect subtree of 2^`height` leaves by its root. The size must be a multiple of that, and stay below 2^64.
    pub(crate) fn push_tree(&mut self, height: u32, root: Hash) {
        let mut hash = root;
        // Each trailing one of the size is a perfect subtree that the new one completes to one of twice its size.
        for _ in 0..(self.size >> height).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1 << height;
    }

    /// The root of the tree; of an empty tree, the SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(&smallest) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(smallest, |right, left| node_hash(left, &right))
    }
}

impl FromIterator<Hash> for Frontier {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut frontier = Self::default();
        leaves.into_iter().for_each(|leaf| frontier.push(leaf));
        frontier
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The leaves that implementations of certificate transparency test with.
    pub(crate) fn known_leaves() -> Vec<Hash> {
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
            .map(|leaf| leaf_hash(&hex::decode(leaf).unwrap()))
            .to_vec()
    }

    pub(crate) fn hash(text: &str) -> Hash {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// The definition of RFC 6962, section 2.1, word for word.
    pub(crate) fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node_hash(&by_definition(&leaves[..k]), &by_definition(&leaves[k..]))
            }
        }
    }

    #[test]
    fn roots_are_those_that_other_implementations_compute() {
        let known = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, expected) in known.iter().enumerate() {
            assert_eq!(hex::encode(root(&known_leaves()[..size])), *expected, "{size} leaves");
        }
    }

    #[test]
    fn a_stored_frontier_must_have_one_peak_for_each_bit_of_its_size() {
        let frontier: Frontier = known_leaves().into_iter().take(7).collect();
        assert_eq!(Frontier::from_peaks(7, frontier.peaks().to_vec()), Some(frontier.clone()));
        assert_eq!(Frontier::from_peaks(6, frontier.peaks().to_vec()), None);
        assert_eq!(Frontier::from_peaks(8, vec![]), None);
        assert_eq!(Frontier::from_peaks(0, vec![]), Some(Frontier::default()));
    }

    proptest! {
        #[test]
        fn the_frontier_computes_the_root_of_the_definition(leaves in proptest::collection::vec(any::<Hash>(), 0..200)) {
            prop_assert_eq!(root(&leaves), by_definition(&leaves));
        }
    }
}
