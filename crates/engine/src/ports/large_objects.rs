//! Where objects lie that are too large for the store itself.

use async_trait::async_trait;
use sealift_domain::digest::Digest;

use super::log::LogError;

/// A place for objects by digest, beside a store that is not made for large ones.
///
/// It is trusted for nothing: whoever reads from it compares the digest.
#[async_trait]
pub trait LargeObjects: Send + Sync {
    /// Stores an object, and returns once it is there; what is there already stays.
    async fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), LogError>;

    /// An object, `None` if it is not there.
    async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, LogError>;

    /// Removes an object at the end of its retention. What is not there is no error.
    async fn remove(&self, digest: Digest) -> Result<(), LogError>;
}
