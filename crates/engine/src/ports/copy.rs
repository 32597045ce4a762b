//! Copies: what is asked for, what they would cost, how they go, and what they did.

use std::ops::AddAssign;

use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Reference, Repository, Tag},
};

/// What to copy, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRequest {
    /// The image. A tag is read once, everything after that is asked for by digest; without tag and digest, `latest` is read.
    pub from: Reference,
    /// The repository that it is brought to.
    pub to: Repository,
    /// The tag that is written when everything is there, and read back. None: the image is there by digest only.
    pub tag: Option<Tag>,
    /// Tags of `to` whose images probably share blobs with this one, such as the one of the release before. Only a hint: what
    /// they name is taken to be there, and all of it is looked at again if the registry says otherwise.
    pub hints: Vec<Tag>,
    /// Whether signatures, attestations and whatever else refers to the image come along.
    pub referrers: bool,
    /// Of an index only the image for this platform, `os/architecture[/variant]`. The digest of the index does not survive that.
    pub platform: Option<String>,
}

impl CopyRequest {
    /// A copy of everything: the whole graph with its referrers, under no tag.
    pub fn new(from: Reference, to: Repository) -> Self {
        Self { from, to, tag: None, hints: Vec::new(), referrers: true, platform: None }
    }

    /// A copy of everything under a digest.
    pub fn pinned(from: &Pinned, to: &Repository) -> Self {
        let from = Reference { repository: from.repository.clone(), tag: None, digest: Some(from.digest) };
        Self::new(from, to.clone())
    }

    /// The same under a tag.
    #[must_use]
    pub fn tagged(mut self, tag: Option<Tag>) -> Self {
        self.tag = tag;
        self
    }

    /// The same with hints.
    #[must_use]
    pub fn hinted(mut self, hints: impl IntoIterator<Item = Tag>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// The same without referrers.
    #[must_use]
    pub fn without_referrers(mut self) -> Self {
        self.referrers = false;
        self
    }
}

/// What a copy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What is at the destination now.
    pub digest: Digest,
    /// What it took.
    pub tally: CopyTally,
}

/// What copies took, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyTally {
    /// Bytes of blobs that were streamed through this machine and arrived.
    pub bytes: u64,
    /// Blobs streamed from source to destination.
    pub blobs_copied: u64,
    /// Blobs mounted within the destination registry.
    pub blobs_mounted: u64,
    /// Blobs that were already there.
    pub blobs_skipped: u64,
    /// Manifests put.
    pub manifests: u64,
    /// Signatures, attestations and other manifests that refer to the image and came along or were there.
    pub referrers: u64,
    /// HTTP requests sent, token requests included.
    pub requests: u64,
}

impl AddAssign for CopyTally {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blobs_copied += other.blobs_copied;
        self.blobs_mounted += other.blobs_mounted;
        self.blobs_skipped += other.blobs_skipped;
        self.manifests += other.manifests;
        self.referrers += other.referrers;
        self.requests += other.requests;
    }
}

/// What a copy would cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyPlan {
    /// Bytes to move, mounts taken as free.
    pub bytes: u64,
    /// Blobs to stream.
    pub blobs_missing: u64,
    /// Blobs that a mount should provide.
    pub blobs_mountable: u64,
    /// Blobs already there.
    pub blobs_present: u64,
    /// Manifests to put.
    pub manifests: u64,
    /// Of these, the ones that refer to the image.
    pub referrers: u64,
    /// Requests that the copy would send, without those for tokens.
    pub requests: u64,
}

impl AddAssign for CopyPlan {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blobs_missing += other.blobs_missing;
        self.blobs_mountable += other.blobs_mountable;
        self.blobs_present += other.blobs_present;
        self.manifests += other.manifests;
        self.referrers += other.referrers;
        self.requests += other.requests;
    }
}

/// Steps of a running copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEvent {
    /// More of the graph is known: this many further blobs of this many bytes.
    Found {
        /// Number of distinct blobs.
        blobs: u64,
        /// Their sizes added up, in bytes.
        bytes: u64,
    },
    /// This many more bytes were streamed.
    Moved(u64),
    /// One blob is complete, by streaming.
    BlobCopied(u64),
    /// One blob of this size was mounted.
    BlobMounted(u64),
    /// One blob of this size was there already.
    BlobSkipped(u64),
}

/// Watches a copy. Called from any task, so it must be quick.
pub trait CopyObserver: Send + Sync {
    /// Something happened.
    fn on(&self, event: CopyEvent);
}

/// Ignores everything.
impl CopyObserver for () {
    fn on(&self, _: CopyEvent) {}
}
