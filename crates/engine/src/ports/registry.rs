//! Registries.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use sealift_domain::{
    digest::Digest,
    evidence::{DetachedSignature, Form},
    image::Image,
    reference::{Pinned, Repository, Tag},
};

use super::copy::{Copied, CopyObserver, CopyPlan, CopyRequest};

/// A manifest exactly as the registry holds it.
#[derive(Clone, Debug)]
pub struct RawManifest {
    /// The bytes that the digest covers. Never re-encoded.
    pub bytes: Bytes,
    /// `Content-Type` of the answer, checked against `mediaType` in the bytes.
    pub media_type: String,
    /// The digest of `bytes`, computed here.
    pub digest: Digest,
}

/// Something that lies beside an artifact and says something of it. Nothing about it is verified but its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvidence {
    /// How it is wrapped; `None` if nothing here reads what it is.
    pub form: Option<Form>,
    /// Its media type, or the type of artifact where that says more.
    pub kind: String,
    /// Its digest; of its manifest where it is not read.
    pub digest: Digest,
    /// Its bytes; none where it is not read.
    pub bytes: Bytes,
    /// The signature that was stored with it ([`Form::SimpleSigning`]).
    pub detached: Option<DetachedSignature>,
    /// The index of which it is a part, named by its digest.
    pub index: Option<Digest>,
}

/// A manifest that refers to another as its subject (OCI Image Specification 1.1, "Referrers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// What it is, as it says itself; empty if it does not say.
    pub artifact_type: String,
}

/// An artifact of one blob, to be attached to an image (OCI Image Specification 1.1, "Guidelines for Artifact Usage").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReferrer {
    /// What it is.
    pub artifact_type: String,
    /// The media type of its blob.
    pub media_type: String,
    /// Its blob.
    pub bytes: Bytes,
    /// Annotations of its manifest. Where they are the same, so are the manifest's bytes and digest.
    pub annotations: BTreeMap<String, String>,
}

/// What became of an artifact that was taken off an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// It is gone.
    Removed,
    /// Nothing lists it any more; the registry does not remove the manifest itself.
    Unlisted,
}

/// How a tag may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagMode {
    /// The tag may name something else now.
    Moving,
    /// The tag must not exist, or must name this digest already.
    Immutable,
}

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryErrorKind {
    /// The repository, manifest or blob does not exist.
    NotFound,
    /// No credentials, or not accepted (401).
    Unauthenticated,
    /// Credentials accepted, right refused (403).
    Denied,
    /// The registry could not be reached, answered 429 or 5xx, or broke off, and went on doing so after every retry.
    Transient,
    /// No connection that both sides trust: the certificate of one of them is not accepted, or the registry does not speak
    /// TLS. Nothing was asked and nothing was answered.
    Untrusted,
    /// Bytes do not have the digest or size they must have.
    Corrupt,
    /// A manifest or index is malformed or over a limit.
    Malformed,
    /// The tag is immutable and names another digest.
    TagTaken,
    /// The registry does not offer this operation.
    Unsupported,
}

impl RegistryErrorKind {
    /// Whether the registry itself has said nothing: it was not reached, or whoever was reached did not prove to be it.
    pub fn is_silence(self) -> bool {
        matches!(self, Self::Transient | Self::Untrusted)
    }
}

/// Why a registry operation failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// What callers decide on.
    pub kind: RegistryErrorKind,
    /// What happened, with method, repository, digest and the registry's own words; never a credential.
    pub message: String,
}

/// Registries, all of them: the registry host is part of each repository.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The digest that `tag` names now; `None` if the tag does not exist.
    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, RegistryError>;

    /// The manifest at a digest; the bytes have that digest.
    async fn manifest(&self, image: &Pinned) -> Result<RawManifest, RegistryError>;

    /// A blob as a stream of at most `size` bytes. The stream ends with an error, never with its last chunk, if the bytes
    /// do not have the digest and size.
    async fn blob(
        &self,
        repository: &Repository,
        digest: Digest,
        size: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, RegistryError>>, RegistryError>;

    /// Reads an image by digest: manifests, configuration, and whether every blob is there.
    async fn inspect(&self, image: &Pinned) -> Result<Image, RegistryError>;

    /// What lies beside an image and beside the images of its `platforms`: signatures and attestations under the tags of cosign 2,
    /// referrers, and what BuildKit put into the index. A tag or list that leads nowhere is an error, not a lack of evidence. At
    /// most 256 pieces of at most 64 MiB, 128 MiB in total, are read; more is [`RegistryErrorKind::Malformed`].
    async fn evidence(&self, image: &Pinned, platforms: &[Digest]) -> Result<Vec<StoredEvidence>, RegistryError>;

    /// The manifests that refer to an image, from the registry's list or, where it keeps none, from the fallback tag
    /// `sha256-<hex>`. A list with more pages than are read is [`RegistryErrorKind::Malformed`], never shortened.
    async fn referrers(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError>;

    /// Every tag of a repository, in the registry's order; none if the repository does not exist.
    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, RegistryError>;

    /// What [`Registry::copy`] would move. Nothing is written.
    async fn plan_copy(&self, request: &CopyRequest) -> Result<CopyPlan, RegistryError>;

    /// Brings an image to another repository, bytes unchanged, with everything under it and, unless told otherwise, everything
    /// that refers to it. Blobs come first, every child before its index, the image after them, the tag last; whatever
    /// happens, no tag names what is not complete. What was completed is found by the next try.
    async fn copy(&self, request: &CopyRequest, observer: &dyn CopyObserver) -> Result<Copied, RegistryError>;

    /// Makes `tag` name `image`, which must be there, and reads it back.
    async fn tag(&self, image: &Pinned, tag: &Tag, mode: TagMode) -> Result<(), RegistryError>;

    /// Attaches an artifact to an image that is there, and returns the digest of its manifest. Where the registry keeps no list of
    /// referrers, it is listed under the fallback tag, and stays listed whoever else writes there. The same artifact again
    /// changes nothing.
    async fn attach(&self, subject: &Pinned, artifact: &NewReferrer) -> Result<Digest, RegistryError>;

    /// Takes the artifact with this manifest off an image; one that is not there is no error. Where the registry itself lists it
    /// and does not remove manifests: [`RegistryErrorKind::Unsupported`].
    async fn detach(&self, subject: &Pinned, manifest: Digest) -> Result<Detached, RegistryError>;

    /// Adds a DSSE envelope to the attestations under the tag that cosign 2 reads, `sha256-<hex>.att`, and keeps what is there.
    async fn add_envelope(&self, subject: &Pinned, envelope: &[u8], predicate_type: &str) -> Result<(), RegistryError>;

    /// Takes an envelope off that tag again; one that is not there is no error.
    async fn drop_envelope(&self, subject: &Pinned, envelope: Digest) -> Result<(), RegistryError>;

    /// Removes a tag and leaves what it named. Many registries do not offer this: [`RegistryErrorKind::Unsupported`].
    async fn untag(&self, repository: &Repository, tag: &Tag) -> Result<(), RegistryError>;
}
