//! Statements handed in by people who have no key of the log.

use async_trait::async_trait;
use sealift_domain::digest::Digest;

use super::log::LogError;

/// The most statements that an inbox holds. More are not read.
pub const MAX_STATEMENTS: usize = 256;

/// The largest statement, in bytes.
pub const MAX_STATEMENT: usize = 512 * 1024;

/// Where signed statements wait until a run that can write takes them into the log.
///
/// Whoever may put something in here is trusted for nothing: a statement counts by what it is signed with, and what cannot be
/// read is as good as absent.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Hands in a statement and returns its digest; handing in what is there already changes nothing. More than
    /// [`MAX_STATEMENT`] bytes, or into an inbox that is full, is [`LogError::Refused`].
    async fn put(&self, bytes: &[u8]) -> Result<Digest, LogError>;

    /// What waits, by digest in ascending order; each has this digest. At most [`MAX_STATEMENTS`]; what is too large, has
    /// another digest than its name says, or is one too many, is left out.
    async fn list(&self) -> Result<Vec<(Digest, Vec<u8>)>, LogError>;

    /// Removes statements, once they are in the log or turned out to be of no use. What is not there is no error.
    async fn remove(&self, digests: &[Digest]) -> Result<(), LogError>;
}
