//! Signing statements about images, and verifying whose they are.

use sealift_domain::signature::PublicKey;

/// The type of artifact and the media type under which a signed statement is attached (sigstore/protobuf-specs,
/// `sigstore_bundle.proto`).
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The annotation that names the type of the predicate in a bundle (sigstore/cosign, `specs/BUNDLE_SPEC.md`).
pub const PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";

/// A statement that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The DSSE envelope with the statement and its one signature, in JSON.
    pub envelope: Vec<u8>,
    /// The Sigstore bundle with that envelope, in JSON.
    pub bundle: Vec<u8>,
}

/// A bundle whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The bytes that were signed.
    pub statement: Vec<u8>,
    /// The DSSE envelope, in JSON.
    pub envelope: Vec<u8>,
    /// The key.
    pub key: PublicKey,
}

/// Signs statements with the promotion keys that are at hand, and verifies statements by any.
pub trait Attestor: Send + Sync {
    /// The first of `keys` whose private half is at hand.
    ///
    /// # Errors
    /// Why there is none, in words that name no secret.
    fn key_among(&self, keys: &[PublicKey]) -> Result<PublicKey, String>;

    /// Signs a statement with the private half of `key`.
    ///
    /// # Errors
    /// Why not.
    fn sign(&self, key: &PublicKey, statement: &[u8]) -> Result<Signed, String>;

    /// What is in a bundle that one of `keys` has signed.
    ///
    /// # Errors
    /// It is no such bundle, and why.
    fn verify(&self, bundle: &[u8], keys: &[PublicKey]) -> Result<Opened, String>;
}
