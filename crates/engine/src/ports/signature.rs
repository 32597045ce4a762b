//! Signatures of people.

/// Checks signatures made by people over statements.
pub trait Signatures: Send + Sync {
    /// Whether `signature` is `key`'s over `message` in `namespace`; if not, why.
    fn verify(&self, key: &str, namespace: &str, message: &[u8], signature: &[u8]) -> Result<(), String>;

    /// The public key that a signature says it was made with, in OpenSSH form without comment.
    fn key_of(&self, signature: &[u8]) -> Result<String, String>;
}
