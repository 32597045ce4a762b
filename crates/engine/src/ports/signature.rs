//! Signatures of people, and of images.

use std::collections::BTreeSet;

use sealift_domain::signature::{ImageSignature, PublicKey};

use super::registry::SimpleSignature;

/// Checks signatures made by people over statements.
pub trait Signatures: Send + Sync {
    /// Whether `signature` is `key`'s over `message` in `namespace`; if not, why.
    fn verify(&self, key: &str, namespace: &str, message: &[u8], signature: &[u8]) -> Result<(), String>;

    /// The public key that a signature says it was made with, in OpenSSH form without comment.
    fn key_of(&self, signature: &[u8]) -> Result<String, String>;
}

/// Checks signatures of images.
pub trait ImageSignatures: Send + Sync {
    /// What each of these signatures proves, in their order: about which image it is, and which of `keys` made it.
    ///
    /// # Errors
    /// One of the keys cannot be used.
    fn check(&self, signatures: &[SimpleSignature], keys: &BTreeSet<PublicKey>) -> Result<Vec<ImageSignature>, String>;
}
