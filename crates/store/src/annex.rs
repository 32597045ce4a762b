//! What lies beside the tree and is signed too: which leaves are snapshots, which objects each names, where commits end.
//!
//! The tree covers the bytes of the leaves only. Without this, whoever can write the file could drop an object together
//! with the row that says a leaf names it, and nobody would miss it. So a hash chain over these facts goes along, and its
//! value at each commit is signed by the key of the log, under a first line that no checkpoint can have.

use std::collections::BTreeSet;

use sealift_domain::digest::Digest;
use sha2::{Digest as _, Sha256};

use crate::{
    checkpoint,
    key::{Keyring, SigningKey},
    merkle::Hash,
    note,
};

/// The chain up to some leaf or commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annex(Hash);

impl Annex {
    /// The next leaf.
    pub(crate) fn leaf(&mut self, snapshot: bool, objects: &BTreeSet<Digest>) {
        let mut hash = Sha256::new_with_prefix([0, u8::from(snapshot)]).chain_update(self.0);
        for digest in objects {
            hash.update(digest.as_bytes());
        }
        self.0 = hash.finalize().into();
    }

    /// The end of a commit, after which the log has `size` leaves.
    pub(crate) fn commit(&mut self, size: u64) {
        self.0 = Sha256::new_with_prefix([1]).chain_update(self.0).chain_update(size.to_be_bytes()).finalize().into();
    }

    /// The signed note about the chain at a commit.
    pub(crate) fn sign(self, size: u64, key: &SigningKey) -> String {
        note::sign(&checkpoint::body(&origin(key.verifier().name()), size, &self.0), key)
    }

    /// The chain at the commit of `size` leaves, from its signed note; what is wrong with it otherwise.
    pub(crate) fn verify(text: &str, size: u64, keys: &Keyring) -> Result<Self, String> {
        let verified = note::verify(text, keys).map_err(|e| e.to_string())?;
        let at = checkpoint::parse(verified.text, &origin(keys.origin())).map_err(|e| e.to_string())?;
        if at.size == size { Ok(Self(at.root)) } else { Err(format!("it was signed for {} entries", at.size)) }
    }
}

/// A key name has no space, so this is not the origin of any checkpoint.
fn origin(log: &str) -> String {
    format!("{log} annex")
}
