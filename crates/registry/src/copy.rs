//! The copy of a graph between repositories, by digest. No tag is written here.

use futures_util::{StreamExt, TryStreamExt, stream};
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository},
};
use sealift_engine::ports::registry::{
    Copied, CopyEvent, CopyObserver, CopyPlan, RawManifest, RegistryError, RegistryErrorKind,
};

use crate::{blob::BlobRef, error::error, graph::Graph, retry::retrying, transport::Http, upload::Moved};

/// The blobs of a graph in `repository`, the largest first: the longest transfer should not be the last to start.
fn blobs_of(graph: &Graph, repository: &Repository) -> Vec<BlobRef> {
    let refer =
        |(digest, size): (&Digest, &u64)| BlobRef { repository: repository.clone(), digest: *digest, size: *size };
    let mut blobs: Vec<BlobRef> = graph.blobs().iter().map(refer).collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    blobs
}

impl Http {
    /// What [`Http::copy`] would move.
    pub(crate) async fn plan_copy(&self, from: &Pinned, to: &Repository) -> Result<CopyPlan, RegistryError> {
        let graph = self.graph_to_copy(from, to).await?;
        let mut plan = CopyPlan::default();
        if from.repository != *to {
            plan.manifests = graph.nodes().len() as u64;
        }
        let mountable = from.repository.registry() == to.registry();
        for (blob, present) in self.presence(blobs_of(&graph, to)).await? {
            match present {
                true => plan.blobs_present += 1,
                false if mountable => plan.blobs_mountable += 1,
                false => {
                    plan.blobs_missing += 1;
                    plan.bytes += blob.size;
                }
            }
        }
        Ok(plan)
    }

    /// Asks for each blob whether it is there, some at a time; in any order.
    pub(crate) async fn presence(&self, blobs: Vec<BlobRef>) -> Result<Vec<(BlobRef, bool)>, RegistryError> {
        let questions: Vec<_> = blobs.into_iter().map(|blob| self.present(blob)).collect();
        stream::iter(questions).buffer_unordered(self.shared.concurrency).try_collect().await
    }

    async fn present(&self, blob: BlobRef) -> Result<(BlobRef, bool), RegistryError> {
        let present = self.has_blob(&blob).await?;
        Ok((blob, present))
    }

    /// Copies the graph of `from` to `to`: blobs first, then manifests, every child before its index, each one read back.
    pub(crate) async fn copy(
        &self,
        from: &Pinned,
        to: &Repository,
        observer: &dyn CopyObserver,
    ) -> Result<Copied, RegistryError> {
        let graph = self.graph_to_copy(from, to).await?;
        let blobs = blobs_of(&graph, &from.repository);
        let total = blobs.iter().map(|blob| blob.size).sum();
        observer.on(CopyEvent::Found { blobs: blobs.len() as u64, bytes: total });
        let mut copied = Copied::default();
        if from.repository == *to {
            self.verify_presence(blobs, observer, &mut copied).await?;
        } else {
            self.copy_blobs(blobs, to, observer, &mut copied).await?;
            for node in graph.nodes() {
                self.put_and_read_back(to, &node.raw).await?;
                copied.manifests += 1;
            }
        }
        copied.requests = self.requests.load(std::sync::atomic::Ordering::Relaxed);
        Ok(copied)
    }

    /// Within one repository there is nothing to move, but everything must be there.
    async fn verify_presence(
        &self,
        blobs: Vec<BlobRef>,
        observer: &dyn CopyObserver,
        copied: &mut Copied,
    ) -> Result<(), RegistryError> {
        for (blob, present) in self.presence(blobs).await? {
            if !present {
                let why = format!("{} does not have blob {} of {} bytes", blob.repository, blob.digest, blob.size);
                return Err(error(RegistryErrorKind::NotFound, why));
            }
            copied.blobs_skipped += 1;
            observer.on(CopyEvent::BlobSkipped(blob.size));
        }
        Ok(())
    }

    async fn copy_blobs(
        &self,
        blobs: Vec<BlobRef>,
        to: &Repository,
        observer: &dyn CopyObserver,
        copied: &mut Copied,
    ) -> Result<(), RegistryError> {
        let transfers: Vec<_> = blobs.into_iter().map(|blob| self.transfer(blob, to, observer)).collect();
        let mut transfers = stream::iter(transfers).buffer_unordered(self.shared.concurrency);
        while let Some((size, moved)) = transfers.try_next().await? {
            let event = match moved {
                Moved::Streamed => {
                    copied.blobs_copied += 1;
                    copied.bytes += size;
                    CopyEvent::BlobCopied(size)
                }
                Moved::Mounted => {
                    copied.blobs_mounted += 1;
                    CopyEvent::BlobMounted(size)
                }
                Moved::Skipped => {
                    copied.blobs_skipped += 1;
                    CopyEvent::BlobSkipped(size)
                }
            };
            observer.on(event);
        }
        Ok(())
    }

    /// One blob, started over when it broke.
    async fn transfer(
        &self,
        blob: BlobRef,
        to: &Repository,
        observer: &dyn CopyObserver,
    ) -> Result<(u64, Moved), RegistryError> {
        let moved = retrying(&*self.shared.clock, || self.transfer_once(&blob, to, observer)).await?;
        Ok((blob.size, moved))
    }

    async fn put_and_read_back(&self, to: &Repository, raw: &RawManifest) -> Result<(), RegistryError> {
        self.put_manifest(to, &raw.digest.to_string(), raw).await?;
        let there = self.manifest(to, raw.digest).await?;
        if there.bytes != raw.bytes || there.media_type != raw.media_type {
            let why = format!(
                "{to} gives manifest {} back as `{}`, it was `{}`",
                raw.digest, there.media_type, raw.media_type
            );
            return Err(error(RegistryErrorKind::Corrupt, why));
        }
        Ok(())
    }
}
