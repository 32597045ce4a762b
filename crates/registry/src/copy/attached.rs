//! What refers to an image: referrers and theirs, and what cosign keeps under tags. All of it is found and brought while the
//! image itself is under way; its manifests are put after the image's, so that nothing refers to what is not there.

use std::collections::{BTreeSet, HashSet};

use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join, try_join_all},
};
use sealift_domain::{digest::Digest, reference::Tag};
use sealift_engine::ports::registry::{RawManifest, RegistryError, RegistryErrorKind};

use super::content::Copying;
use crate::{error::error, fallback::Entry, graph::Node, manifest::Content, referrers::suffixed_tag};

/// How deep referrers may nest: a signature of an SBOM of an image is 2.
const MAX_NESTING: usize = 4;
/// The tags under which cosign 2 keeps signatures, attestations and SBOMs (sigstore/cosign, `specs/SIGNATURE_SPEC.md`).
pub(super) const COSIGN: [&str; 3] = [".sig", ".att", ".sbom"];

/// What refers to one manifest, with everything but the manifests themselves at the destination.
pub(super) struct Attached {
    subject: Digest,
    referrers: Vec<Found>,
    tags: Vec<(Tag, Node)>,
}

/// One referrer.
struct Found {
    /// Its manifest, unless the destination lists it already.
    node: Option<Node>,
    /// What refers to it in turn.
    attached: Attached,
}

impl Attached {
    /// Whether there is nothing to put.
    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.referrers.iter().all(|found| found.node.is_none() && found.attached.is_empty())
    }
}

impl Copying<'_> {
    /// Finds what refers to a manifest and brings what is under it. `nesting` counts referrers above.
    pub(super) fn find_attached(
        &self,
        subject: Digest,
        nesting: usize,
    ) -> BoxFuture<'_, Result<Attached, RegistryError>> {
        async move {
            if !self.referrers {
                return Ok(Attached { subject, referrers: Vec::new(), tags: Vec::new() });
            }
            let (referrers, tags) = try_join(self.find_referrers(subject, nesting), async {
                // Cosign signs images, never its own signatures.
                if nesting == 0 { self.find_tags(subject).await } else { Ok(Vec::new()) }
            })
            .await?;
            Ok(Attached { subject, referrers, tags })
        }
        .boxed()
    }

    async fn find_referrers(&self, subject: Digest, nesting: usize) -> Result<Vec<Found>, RegistryError> {
        let listed = self.http.referrers(&self.from.at(subject)).await?;
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        if nesting == MAX_NESTING {
            let why = format!("referrers of {}@{subject} are nested deeper than {MAX_NESTING}", self.from);
            return Err(error(RegistryErrorKind::Malformed, why));
        }
        let there: HashSet<Digest> =
            self.http.referrers(&self.to.at(subject)).await?.into_iter().map(|referrer| referrer.digest).collect();
        self.count(|tally| tally.referrers += listed.len() as u64);
        let finds = listed.iter().map(|referrer| async {
            let digest = referrer.digest;
            let node = async {
                match there.contains(&digest) {
                    true => Ok(None),
                    false => self.bring_referrer(subject, digest).await.map(Some),
                }
            };
            let (node, attached) = try_join(node, self.find_attached(digest, nesting + 1)).await?;
            Ok(Found { node, attached })
        });
        try_join_all(finds).await
    }

    /// Brings what is under a referrer. It must say itself that it refers to the subject: a list can say anything.
    async fn bring_referrer(&self, subject: Digest, digest: Digest) -> Result<Node, RegistryError> {
        let node = self.admit(self.http.manifest_anywhere(&self.from, digest).await?, 0)?;
        if node.manifest.subject.as_ref().map(|subject| subject.digest) != Some(subject) {
            let why = format!("{}@{digest} is listed as a referrer of {subject} and does not refer to it", self.from);
            return Err(error(RegistryErrorKind::Corrupt, why));
        }
        self.bring(&node, 0).await?;
        Ok(node)
    }

    /// What cosign keeps for an image and the destination does not have.
    async fn find_tags(&self, subject: Digest) -> Result<Vec<(Tag, Node)>, RegistryError> {
        let finds = COSIGN.iter().map(|suffix| self.find_tag(subject, suffix));
        Ok(try_join_all(finds).await?.into_iter().flatten().collect())
    }

    async fn find_tag(&self, subject: Digest, suffix: &str) -> Result<Option<(Tag, Node)>, RegistryError> {
        let tag = suffixed_tag(subject, suffix)?;
        let Some(raw) = self.http.tagged_manifest(&self.from, &tag).await? else { return Ok(None) };
        self.count(|tally| tally.referrers += 1);
        let node = self.admit(raw, 0)?;
        if let Some(there) = self.http.tagged_manifest(&self.to, &tag).await?
            && self.keeps(&tag, &node, there)?
        {
            return Ok(None);
        }
        self.bring(&node, 0).await?;
        Ok(Some((tag, node)))
    }

    /// Whether what a tag of cosign names at the destination stays, since it has everything that the source has. Where each
    /// side has something that the other has not, neither may be lost.
    fn keeps(&self, tag: &Tag, node: &Node, there: RawManifest) -> Result<bool, RegistryError> {
        if there.digest == node.raw.digest {
            return Ok(true);
        }
        let (ours, theirs) = (layers(node), layers(&Node::new(there)?));
        if theirs.is_superset(&ours) {
            return Ok(true);
        }
        if ours.is_superset(&theirs) {
            return Ok(false);
        }
        let why = format!(
            "{}:{tag} and {}:{tag} each have signatures or attestations that the other has not; writing one over the other \
             would lose some. Sign or attest again at one place, or copy without referrers",
            self.from, self.to
        );
        Err(error(RegistryErrorKind::TagTaken, why))
    }

    /// Puts what was found: referrers, then theirs, then the lists of registries that keep none, and the tags.
    pub(super) fn put_attached(&self, attached: Attached) -> BoxFuture<'_, Result<(), RegistryError>> {
        async move {
            let Attached { subject, referrers, tags } = attached;
            let puts = try_join_all(referrers.into_iter().map(|found| self.put_referrer(found)));
            let tags = try_join_all(tags.iter().map(|(tag, node)| self.put_tag(tag, node)));
            let (unlisted, _) = try_join(puts, tags).await?;
            let unlisted: Vec<Entry> = unlisted.into_iter().flatten().collect();
            if unlisted.is_empty() {
                return Ok(());
            }
            self.http.list_in_fallback(&self.to, subject, &unlisted).await
        }
        .boxed()
    }

    /// Puts a referrer. What the registry does not list by itself is to be listed under the fallback tag.
    async fn put_referrer(&self, found: Found) -> Result<Option<Entry>, RegistryError> {
        let unlisted = match &found.node {
            Some(node) => (!self.put(node).await?).then(|| Entry::of(node)),
            None => None,
        };
        self.put_attached(found.attached).await?;
        Ok(unlisted)
    }
}

fn layers(node: &Node) -> BTreeSet<Digest> {
    match &node.manifest.content {
        Content::Image { layers, .. } => layers.iter().map(|layer| layer.digest).collect(),
        Content::Index { manifests } => manifests.iter().map(|child| child.digest).collect(),
    }
}
