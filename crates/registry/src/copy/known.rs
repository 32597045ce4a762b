//! What the destination is thought to have already, from what its tags name. A hint and no fact: where the registry says
//! otherwise, everything is asked for again.

use std::collections::HashSet;

use futures_util::future::{join_all, try_join_all, try_join3};
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository, Tag},
};
use sealift_engine::ports::{
    copy::CopyRequest,
    registry::{RawManifest, RegistryError, RegistryErrorKind},
};

use crate::{graph::Node, transport::Http};

/// How many children of an index are read for a hint.
const MAX_READ: usize = 64;

/// What is thought to be there.
#[derive(Default)]
pub(super) struct Known {
    /// What the tag that is to be written names now.
    named: Option<Digest>,
    nodes: Vec<Node>,
    manifests: HashSet<Digest>,
    blobs: HashSet<Digest>,
}

impl Known {
    /// Nothing is known.
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    /// Whether a manifest is there, with everything under it.
    pub(super) fn has(&self, manifest: Digest) -> bool {
        self.manifests.contains(&manifest)
    }

    /// Whether the tag names this manifest.
    pub(super) fn is_named(&self, manifest: Digest) -> bool {
        self.named == Some(manifest)
    }

    /// Whether a blob is there.
    pub(super) fn has_blob(&self, blob: Digest) -> bool {
        self.blobs.contains(&blob)
    }

    fn add(&mut self, node: Node) {
        self.manifests.insert(node.raw.digest);
        self.manifests.extend(node.children().iter().map(|child| child.digest));
        self.blobs.extend(node.blobs().map(|blob| blob.digest));
        self.nodes.push(node);
    }
}

/// A hint that cannot be had is none. Only a registry that does not answer is worth an error: nothing else would work either.
fn hint(read: Result<Option<RawManifest>, RegistryError>) -> Result<Option<Node>, RegistryError> {
    match read {
        Ok(raw) => Ok(raw.and_then(|raw| Node::new(raw).ok())),
        Err(failed) if failed.kind == RegistryErrorKind::Transient => Err(failed),
        Err(_) => Ok(None),
    }
}

impl Http {
    /// Reads what the destination's tags name, and whether the image itself is there.
    pub(super) async fn known(&self, request: &CopyRequest) -> Result<Known, RegistryError> {
        let to = &request.to;
        if request.from.repository == *to {
            return Ok(Known::nothing());
        }
        let named = async {
            match &request.tag {
                Some(tag) => self.named(to, tag).await,
                None => Ok(None),
            }
        };
        let itself = async {
            match request.from.digest.filter(|_| request.platform.is_none()) {
                Some(digest) => self.there(&to.at(digest)).await,
                None => Ok(None),
            }
        };
        let others = request.hints.iter().filter(|tag| request.tag.as_ref() != Some(tag));
        let others = try_join_all(others.map(|tag| self.named(to, tag)));
        let (named, itself, others) = try_join3(named, itself, others).await?;
        let mut known = Known { named: named.as_ref().map(|node| node.raw.digest), ..Known::default() };
        named.into_iter().chain(itself).chain(others.into_iter().flatten()).for_each(|node| known.add(node));
        Ok(known)
    }

    async fn named(&self, repository: &Repository, tag: &Tag) -> Result<Option<Node>, RegistryError> {
        hint(self.tagged_manifest(repository, tag).await)
    }

    async fn there(&self, image: &Pinned) -> Result<Option<Node>, RegistryError> {
        hint(self.manifest(&image.repository, image.digest).await.map(Some))
    }

    /// Reads what known indexes list, for the blobs of their images.
    pub(super) async fn expand(&self, known: &mut Known, repository: &Repository) {
        let children: HashSet<Digest> =
            known.nodes.iter().flat_map(|node| node.children().iter().take(MAX_READ)).map(|c| c.digest).collect();
        let reads = children.into_iter().map(|digest| async move { self.there(&repository.at(digest)).await });
        join_all(reads).await.into_iter().filter_map(|read| read.ok().flatten()).for_each(|node| known.add(node));
    }
}
