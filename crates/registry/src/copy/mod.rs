//! The copy of an image between repositories: what is read first, in which order things are written, and what happens when the
//! destination turns out to lack what it was thought to have.
//!
//! - [`content`] brings what is under a manifest: children and blobs.
//! - [`attached`] brings what refers to it: referrers and the tags of cosign.
//! - [`known`] is what the destination has already.
//! - [`plan`] is the price of all that.

mod attached;
mod content;
mod known;
mod plan;

use std::sync::atomic::Ordering;

use futures_util::future::try_join;
use sealift_domain::reference::{Repository, Tag};
use sealift_engine::ports::{
    copy::{Copied, CopyEvent, CopyObserver, CopyRequest, CopyTally},
    registry::{RawManifest, RegistryError, RegistryErrorKind},
};

use self::{content::Copying, known::Known};
use crate::{
    blob::BlobRef,
    error::error,
    graph::{Node, walk},
    manifest_http::InRepository,
    retry::{TRIES, backoff},
    transport::Http,
};

/// The tag that is meant where neither tag nor digest is given.
const LATEST: &str = "latest";

impl Http {
    /// Copies an image. Nothing is asked for twice, and nothing is asked for that an answer to come will tell anyway.
    pub(crate) async fn copy(
        &self,
        request: &CopyRequest,
        observer: &dyn CopyObserver,
    ) -> Result<Copied, RegistryError> {
        let http = self.between(&request.from.repository, &request.to);
        let (root, mut known) = try_join(http.root(request), http.known(request)).await?;
        if !known.has(root.raw.digest) {
            http.expand(&mut known, &request.to).await;
        }
        let mut tally = match request.from.repository == request.to {
            true => http.copy_within(&root, request, observer).await?,
            false => http.copy_across(&root, known, request, observer).await?,
        };
        tally.requests = http.requests.load(Ordering::Relaxed);
        Ok(Copied { digest: root.raw.digest, tally })
    }

    /// The manifest to copy. The one request for a tag tells its digest; everything after it is asked for by digest.
    async fn root(&self, request: &CopyRequest) -> Result<Node, RegistryError> {
        let root = Node::new(self.read_reference(request).await?)?;
        match &request.platform {
            Some(platform) => self.for_platform(&request.from.repository, root, platform).await,
            None => Ok(root),
        }
    }

    async fn read_reference(&self, request: &CopyRequest) -> Result<RawManifest, RegistryError> {
        let from = &request.from;
        if let Some(digest) = from.digest {
            return match from.repository == request.to {
                true => self.manifest(&from.repository, digest).await,
                false => self.manifest_anywhere(&from.repository, digest).await,
            };
        }
        let tag = match &from.tag {
            Some(tag) => tag.clone(),
            None => LATEST.parse().map_err(|_| error(RegistryErrorKind::Malformed, "no tag"))?,
        };
        let raw = self.tagged_manifest(&from.repository, &tag).await?;
        raw.ok_or_else(|| error(RegistryErrorKind::NotFound, format!("{}:{tag} does not exist", from.repository)))
    }

    /// The image for one platform.
    async fn for_platform(&self, repository: &Repository, root: Node, wanted: &str) -> Result<Node, RegistryError> {
        let platforms: Vec<String> =
            root.children().iter().filter_map(|c| c.platform.as_ref()).map(ToString::to_string).collect();
        let child = root.children().iter().find(|child| child.platform.as_ref().is_some_and(|p| p.is(wanted)));
        if let Some(child) = child {
            return Node::new(self.manifest(repository, child.digest).await?);
        }
        let found = match platforms.is_empty() {
            false => format!("there is {}", platforms.join(", ")),
            true => "it is no index of platforms, so leave the platform away".to_owned(),
        };
        let why = format!("{repository}@{} has no image for {wanted}: {found}", root.raw.digest);
        Err(error(RegistryErrorKind::NotFound, why))
    }

    /// Within one repository there is nothing to move, but all of it must be there before a further tag names it: not every
    /// registry looks by itself.
    async fn copy_within(
        &self,
        root: &Node,
        request: &CopyRequest,
        observer: &dyn CopyObserver,
    ) -> Result<CopyTally, RegistryError> {
        let repository = &request.to;
        let mut tally = CopyTally::default();
        let graph = walk(&InRepository { http: self, repository }, root.raw.digest).await?;
        let blobs: Vec<BlobRef> = graph
            .blobs()
            .iter()
            .map(|(digest, size)| BlobRef { repository: repository.clone(), digest: *digest, size: *size })
            .collect();
        let bytes = blobs.iter().map(|blob| blob.size).sum();
        observer.on(CopyEvent::Found { blobs: blobs.len() as u64, bytes });
        for (blob, present) in self.presence(blobs).await? {
            if !present {
                let why = format!("{} does not have blob {} of {} bytes", blob.repository, blob.digest, blob.size);
                return Err(error(RegistryErrorKind::NotFound, why));
            }
            tally.blobs_skipped += 1;
            observer.on(CopyEvent::BlobSkipped(blob.size));
        }
        if let Some(tag) = &request.tag {
            self.put_manifest(repository, tag.as_str(), &root.raw).await?;
            self.read_back(repository, tag, &root.raw).await?;
            tally.manifests = 1;
        }
        Ok(tally)
    }

    /// From one repository to another. What the destination is thought to have is not asked for; where it says that something
    /// is missing after all, everything is looked at once more, with a question for each blob.
    async fn copy_across(
        &self,
        root: &Node,
        known: Known,
        request: &CopyRequest,
        observer: &dyn CopyObserver,
    ) -> Result<CopyTally, RegistryError> {
        let hopeful = Copying::new(self, request, root, known, observer);
        match hopeful.run(root, request.tag.as_ref()).await {
            Ok(()) => Ok(hopeful.tally()),
            Err(_) if hopeful.was_wrong() => self.copy_carefully(root, request, observer).await,
            Err(failed) => Err(failed),
        }
    }

    /// With a question for each blob. A registry that is written to by others at the same time may not find for a moment what
    /// it has, so it is given that moment.
    async fn copy_carefully(
        &self,
        root: &Node,
        request: &CopyRequest,
        observer: &dyn CopyObserver,
    ) -> Result<CopyTally, RegistryError> {
        let mut tried = 0;
        loop {
            let careful = Copying::new(self, request, root, Known::nothing(), observer).carefully();
            tried += 1;
            match careful.run(root, request.tag.as_ref()).await {
                Ok(()) => return Ok(careful.tally()),
                Err(_) if careful.was_wrong() && tried < TRIES => self.shared.clock.sleep(backoff(tried)).await,
                Err(failed) => return Err(failed),
            }
        }
    }
}

impl Copying<'_> {
    /// Brings everything, in an order in which nothing names what is not there: blobs, children, the image, what refers to it,
    /// the tag.
    async fn run(&self, root: &Node, tag: Option<&Tag>) -> Result<(), RegistryError> {
        let digest = root.raw.digest;
        let (complete, named) = (self.known.has(digest), self.known.is_named(digest));
        // An image that is there is put once more: that is how the registry is asked whether all of it is.
        let asked_again = complete && (named || tag.is_none());
        let content = async {
            self.descend(root, 0, complete).await?;
            if asked_again { self.put(root).await.map(drop) } else { Ok(()) }
        };
        let ((), attached) = try_join(content, self.find_attached(digest, 0)).await?;
        if !complete && (tag.is_none() || !attached.is_empty()) {
            self.put(root).await?;
        }
        self.put_attached(attached).await?;
        match tag {
            Some(tag) if !(named && asked_again) => self.put_tag(tag, root).await,
            Some(_) => Ok(()),
            None if asked_again => Ok(()),
            None => self.check_there(root).await,
        }
    }

    /// Writes a tag and reads it back: whoever asks for it gets these bytes.
    async fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), RegistryError> {
        self.put_as(tag.as_str(), node).await?;
        self.http.read_back(&self.to, tag, &node.raw).await
    }

    /// What stands under the digest must be these bytes.
    async fn check_there(&self, node: &Node) -> Result<(), RegistryError> {
        let there = self.http.manifest(&self.to, node.raw.digest).await?;
        if there.media_type == node.raw.media_type {
            return Ok(());
        }
        let why = format!(
            "{} gives manifest {} back as `{}`, it was `{}`",
            self.to, node.raw.digest, there.media_type, node.raw.media_type
        );
        Err(error(RegistryErrorKind::Corrupt, why))
    }
}
