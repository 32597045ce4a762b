//! Inclusion and consistency proofs: made as RFC 6962, sections 2.1.1 and 2.1.2 define them, verified as RFC 9162,
//! sections 2.1.3.2 and 2.1.4.2 describe.

use super::{Hash, node_hash, root};

/// The inclusion proof of the leaf at `index` in the tree over `leaves`, deepest sibling first. `None` if there is no
/// such leaf.
pub fn inclusion_proof(index: usize, leaves: &[Hash]) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    path(index, leaves, &mut proof);
    Some(proof)
}

/// `PATH(m, D[n])` of RFC 6962, section 2.1.1.
fn path(index: usize, leaves: &[Hash], proof: &mut Vec<Hash>) {
    if leaves.len() <= 1 {
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if index < left.len() {
        path(index, left, proof);
        proof.push(root(right));
    } else {
        path(index - left.len(), right, proof);
        proof.push(root(left));
    }
}

/// The consistency proof between the trees over the first `old` leaves and over all `leaves`. Empty if either tree is
/// the other or the old one is empty; `None` if `old` is more than there are.
pub fn consistency_proof(old: usize, leaves: &[Hash]) -> Option<Vec<Hash>> {
    if old > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    if old > 0 {
        subproof(old, leaves, true, &mut proof);
    }
    Some(proof)
}

/// `SUBPROOF(m, D[n], b)` of RFC 6962, section 2.1.2. `known`: whether the verifier has the root of this subtree.
fn subproof(old: usize, leaves: &[Hash], known: bool, proof: &mut Vec<Hash>) {
    if old == leaves.len() {
        if !known {
            proof.push(root(leaves));
        }
        return;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if old <= left.len() {
        subproof(old, left, known, proof);
        proof.push(root(right));
    } else {
        subproof(old - left.len(), right, false, proof);
        proof.push(root(left));
    }
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// Whether `proof` shows that the leaf with this hash is at `index` in the tree of `size` leaves with this root.
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        match climb.step() {
            None => return false,
            Some(Side::Left) => hash = node_hash(sibling, &hash),
            Some(Side::Right) => hash = node_hash(&hash, sibling),
        }
    }
    climb.last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `old` leaves is the beginning of the tree of `new` leaves. Every tree begins
/// with the empty one, whose proof is empty.
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == new || old == 0 {
        let known = if old == new { new_root } else { &root(&[]) };
        return old <= new && proof.is_empty() && old_root == known;
    }
    if old > new {
        return false;
    }
    // If the old tree is perfect, its root is the first node of the path, and the proof leaves it out.
    let (first, rest) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some(split) => split,
        None => return false,
    };
    let shared = (old - 1).trailing_ones();
    let mut climb = Climb { node: (old - 1) >> shared, last: (new - 1) >> shared };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        match climb.step() {
            None => return false,
            Some(Side::Left) => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Some(Side::Right) => new_hash = node_hash(&new_hash, sibling),
        }
    }
    climb.last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// Which side of the current node the next hash of a proof is on.
enum Side {
    Left,
    Right,
}

/// The way from a node to the root: `fn` and `sn` of RFC 9162.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// Goes up to the parent; `None` at the root.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The last node of a level has no sibling while it is a left child: those levels are skipped. `node` is
            // not zero here: it is odd, or it equals `last`.
            let alone = self.node.trailing_zeros();
            self.node >>= alone;
            self.last >>= alone;
            Side::Left
        } else {
            Side::Right
        };
        self.node >>= 1;
        self.last >>= 1;
        Some(side)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::{
        leaf_hash,
        tests::{hash, known_leaves},
    };

    const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const F: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
    const G: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const TWO: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
    const ONE: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";

    #[test]
    fn inclusion_proofs_are_those_that_other_implementations_make() {
        let known: [(usize, usize, &[&str]); 5] =
            [(0, 1, &[]), (0, 8, &[A, B, C]), (5, 8, &[D, E, F]), (2, 3, &[TWO]), (1, 5, &[ONE, B, D])];
        for (index, size, expected) in known {
            let leaves = &known_leaves()[..size];
            let expected: Vec<Hash> = expected.iter().map(|text| hash(text)).collect();
            assert_eq!(inclusion_proof(index, leaves), Some(expected.clone()), "leaf {index} of {size}");
            assert!(verify_inclusion(index as u64, size as u64, &leaves[index], &expected, &root(leaves)));
        }
    }

    #[test]
    fn consistency_proofs_are_those_that_other_implementations_make() {
        let known: [(usize, usize, &[&str]); 4] =
            [(1, 1, &[]), (1, 8, &[A, B, C]), (6, 8, &[G, E, F]), (2, 5, &[B, D])];
        for (old, new, expected) in known {
            let leaves = &known_leaves()[..new];
            let expected: Vec<Hash> = expected.iter().map(|text| hash(text)).collect();
            assert_eq!(consistency_proof(old, leaves), Some(expected.clone()), "{old} to {new}");
            let (before, after) = (root(&leaves[..old]), root(leaves));
            assert!(verify_consistency(old as u64, &before, new as u64, &after, &expected));
        }
    }

    #[test]
    fn there_is_no_proof_of_what_is_not_there() {
        assert_eq!(inclusion_proof(8, &known_leaves()), None);
        assert_eq!(consistency_proof(9, &known_leaves()), None);
        assert!(!verify_inclusion(0, 0, &leaf_hash(b""), &[], &root(&[])));
        assert!(!verify_consistency(0, &leaf_hash(b""), 8, &root(&known_leaves()), &[]));
        assert!(!verify_consistency(8, &root(&known_leaves()), 7, &root(&known_leaves()[..7]), &[]));
        assert!(!verify_consistency(3, &root(&known_leaves()[..3]), 8, &root(&known_leaves()), &[]));
    }

    #[test]
    fn every_proof_of_every_small_tree_verifies_and_only_at_its_place() {
        let leaves: Vec<Hash> = (0..40u8).map(|i| leaf_hash(&[i])).collect();
        for size in 0..=leaves.len() {
            let tree = &leaves[..size];
            let head = root(tree);
            for (index, leaf) in tree.iter().enumerate() {
                let proof = inclusion_proof(index, tree).unwrap();
                for at in 0..=size {
                    let holds = verify_inclusion(at as u64, size as u64, leaf, &proof, &head);
                    assert_eq!(holds, at == index, "leaf {index} of {size} at {at}");
                }
            }
            for old in 0..=size {
                let proof = consistency_proof(old, tree).unwrap();
                for claimed in 0..=size {
                    let old_root = root(&leaves[..old]);
                    let holds = verify_consistency(claimed as u64, &old_root, size as u64, &head, &proof);
                    assert_eq!(holds, claimed == old, "{old} of {size} as {claimed}");
                }
            }
        }
    }

    /// Changes one proof in one way that must make it worthless.
    fn damage(proof: &mut Vec<Hash>, at: prop::sample::Index, bit: u8, how: u8) {
        match (how % 3, proof.len()) {
            (0, 1..) => {
                let i = at.index(proof.len());
                proof[i][usize::from(bit / 8)] ^= 1 << (bit % 8);
            }
            (1, 1..) => drop(proof.remove(at.index(proof.len()))),
            (_, n) => proof.insert(at.index(n + 1), [bit; 32]),
        }
    }

    proptest! {
        #[test]
        fn a_damaged_inclusion_proof_does_not_verify(
            size in 1usize..300, index: prop::sample::Index, at: prop::sample::Index, bit: u8, how: u8,
        ) {
            let leaves: Vec<Hash> = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
            let index = index.index(size);
            let mut proof = inclusion_proof(index, &leaves).unwrap();
            prop_assert!(verify_inclusion(index as u64, size as u64, &leaves[index], &proof, &root(&leaves)));
            damage(&mut proof, at, bit, how);
            prop_assert!(!verify_inclusion(index as u64, size as u64, &leaves[index], &proof, &root(&leaves)));
        }

        #[test]
        fn a_damaged_consistency_proof_does_not_verify(
            size in 1usize..300, old: prop::sample::Index, at: prop::sample::Index, bit: u8, how: u8,
        ) {
            let leaves: Vec<Hash> = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
            let old = old.index(size + 1);
            let (before, after) = (root(&leaves[..old]), root(&leaves));
            let mut proof = consistency_proof(old, &leaves).unwrap();
            prop_assert!(verify_consistency(old as u64, &before, size as u64, &after, &proof));
            damage(&mut proof, at, bit, how);
            prop_assert!(!verify_consistency(old as u64, &before, size as u64, &after, &proof));
        }
    }
}
