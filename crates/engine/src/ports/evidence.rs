//! Evidence about artifacts: bytes in, facts out.

use bytes::Bytes;
use sealift_domain::evidence::{DetachedSignature, Evidence, Form, Origin, Trust};

/// A piece of evidence as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// How it is wrapped.
    pub form: Form,
    /// Where.
    pub origin: Origin,
    /// Its bytes.
    pub bytes: Bytes,
    /// The signature that was stored with it ([`Form::SimpleSigning`]).
    pub detached: Option<DetachedSignature>,
}

/// Reads and verifies evidence.
pub trait EvidenceReader: Send + Sync {
    /// What each piece says, about what, and which of those that are trusted signed it, in their order. What cannot be read
    /// says so by itself.
    ///
    /// # Errors
    /// A key or a trust root cannot be used.
    fn read(&self, found: &[Found], trusts: &[&Trust]) -> Result<Vec<Evidence>, String>;

    /// How the bytes of a file are wrapped.
    fn form_of(&self, bytes: &[u8]) -> Form;
}
