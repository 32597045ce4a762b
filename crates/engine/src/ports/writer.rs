//! The key with which this run writes facts about an environment, and the signatures of others who do.

use sealift_domain::writer::WriterKey;

/// Signs entries of the log, and verifies who signed them.
pub trait Writer: Send + Sync {
    /// The public half of this run's key, if it has one.
    fn key(&self) -> Option<WriterKey>;

    /// A signature with this run's key, in base64.
    ///
    /// # Errors
    /// This run has no key, or the key makes no signature; in words that name no secret.
    fn sign(&self, bytes: &[u8]) -> Result<String, String>;

    /// Whether `signature`, in base64, is `key`'s over `bytes`. A key or a signature that cannot be read makes none.
    fn verify(&self, key: &WriterKey, bytes: &[u8], signature: &str) -> bool;
}
