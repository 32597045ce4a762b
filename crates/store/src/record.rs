//! What one commit adds to a log, whatever keeps it. Stores hand these over to each other as they are: notes and annexes with
//! their signatures, bytes with their hashes.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, LogError, MAX_LEAF, NewLeaf};

use crate::{
    annex::Annex,
    checkpoint,
    key::{Keyring, SigningKey},
    merkle::{Frontier, leaf_hash},
};

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Leaves before the commit.
    pub after: u64,
    /// Leaves after it; the commit that creates a log has none.
    pub size: u64,
    /// The signed checkpoint at `size`.
    pub note: String,
    /// The signed chain of what lies beside the tree, at `size`.
    pub annex: String,
    /// The leaves `after..size`, in order.
    pub leaves: Vec<RecordLeaf>,
    /// The objects that these leaves name, but for those that were erased.
    pub objects: BTreeMap<Digest, Vec<u8>>,
}

/// A leaf of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLeaf {
    /// What is hashed into the tree.
    pub bytes: Vec<u8>,
    /// Whether a fold may begin here.
    pub snapshot: bool,
    /// The objects that it names.
    pub objects: BTreeSet<Digest>,
}

/// A place between two commits at which a mirror of a log may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The tree there.
    pub frontier: Frontier,
    /// Its signed checkpoint.
    pub note: String,
    /// Its signed annex.
    pub annex: String,
}

/// A base whose signatures were verified, or a commit that was verified from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) frontier: Frontier,
    pub(crate) annex: Annex,
    /// Which key of the ring signed: 0 is the oldest.
    pub(crate) key: usize,
}

impl Base {
    /// Verifies that both notes are signed and speak of this tree.
    pub(crate) fn verify(&self, keys: &Keyring) -> Result<Point, LogError> {
        let head = Head { size: self.frontier.size(), root: self.frontier.root() };
        let (key, annex) = signed(&self.note, &self.annex, head, keys)?;
        Ok(Point { frontier: self.frontier.clone(), annex, key })
    }
}

impl Record {
    /// The commit of a `batch` on top of `point`, signed.
    pub(crate) fn seal(point: &Point, batch: Vec<NewLeaf>, key: &SigningKey) -> Self {
        let (mut frontier, mut annex) = (point.frontier.clone(), point.annex);
        let after = frontier.size();
        let (mut leaves, mut objects) = (Vec::with_capacity(batch.len()), BTreeMap::new());
        for new in batch {
            let mut named = BTreeSet::new();
            for object in new.objects {
                let digest = Digest::of(&object);
                named.insert(digest);
                objects.insert(digest, object);
            }
            frontier.push(leaf_hash(&new.bytes));
            annex.leaf(new.snapshot, &named);
            leaves.push(RecordLeaf { bytes: new.bytes, snapshot: new.snapshot, objects: named });
        }
        annex.commit(frontier.size());
        let head = Head { size: frontier.size(), root: frontier.root() };
        let (note, annex) = (checkpoint::sign(head, key), annex.sign(head.size, key));
        Self { after, size: head.size, note, annex, leaves, objects }
    }

    /// The commit that creates a log, signed.
    pub fn create(key: &SigningKey) -> Self {
        let point = Point { frontier: Frontier::default(), annex: Annex::default(), key: 0 };
        Self::seal(&point, Vec::new(), key)
    }

    /// Verifies that this commit follows `point` and is signed; the point after it.
    pub(crate) fn follow(&self, point: &Point, keys: &Keyring) -> Result<Point, LogError> {
        let (mut frontier, mut annex) = (point.frontier.clone(), point.annex);
        let wrong =
            |what: &str| tampered(&format!("the commit of the entries {} to {}: {what}", self.after, self.size));
        if self.after != frontier.size() || self.size.checked_sub(self.after) != Some(self.leaves.len() as u64) {
            return Err(wrong(&format!("it does not follow {} entries with {}", frontier.size(), self.leaves.len())));
        }
        for leaf in &self.leaves {
            if leaf.bytes.len() > MAX_LEAF {
                return Err(wrong("an entry is too large"));
            }
            frontier.push(leaf_hash(&leaf.bytes));
            annex.leaf(leaf.snapshot, &leaf.objects);
        }
        annex.commit(self.size);
        let (key, signed) = signed(&self.note, &self.annex, Head { size: self.size, root: frontier.root() }, keys)?;
        if signed != annex {
            return Err(wrong("snapshot marks, object links or earlier checkpoints were edited"));
        }
        if key < point.key {
            return Err(wrong("a replaced key signed after the key that replaced it"));
        }
        self.check_objects()?;
        Ok(Point { frontier, annex, key })
    }

    /// Every object has its digest and is named by a leaf.
    fn check_objects(&self) -> Result<(), LogError> {
        for (digest, bytes) in &self.objects {
            if Digest::of(bytes) != *digest {
                return Err(tampered(&format!("the object {digest} has other content")));
            }
            if !self.leaves.iter().any(|leaf| leaf.objects.contains(digest)) {
                return Err(tampered(&format!("the object {digest} is named by no entry of its commit")));
            }
        }
        Ok(())
    }

    /// The state of a log right after it was created, if this is the commit that creates one.
    pub(crate) fn first(&self) -> Option<Base> {
        let empty = self.after == 0 && self.size == 0 && self.leaves.is_empty() && self.objects.is_empty();
        let base = Base { frontier: Frontier::default(), note: self.note.clone(), annex: self.annex.clone() };
        empty.then_some(base)
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let leaves: usize = self.leaves.iter().map(|leaf| leaf.bytes.len() + 64).sum();
        leaves + self.objects.values().map(|bytes| bytes.len() + 64).sum::<usize>() + 1024
    }
}

/// Verifies both notes of a commit at `head`. The key that signed, and the chain.
fn signed(note: &str, annex: &str, head: Head, keys: &Keyring) -> Result<(usize, Annex), LogError> {
    let wrong = |what: &str, why: &str| tampered(&format!("the {what} of {} entries: {why}", head.size));
    let verified = checkpoint::verify(note, keys).map_err(|e| wrong("checkpoint", &e.to_string()))?;
    if verified.head != head {
        return Err(wrong("checkpoint", "it does not agree with the tree"));
    }
    let annex = Annex::verify(annex, head.size, keys).map_err(|why| wrong("annex", &why))?;
    Ok((verified.key, annex))
}

fn tampered(what: &str) -> LogError {
    LogError::Tampered { what: what.to_owned(), at: None }
}
