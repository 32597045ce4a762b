//! The price of a copy, before anything moves. Only reading requests are sent.

use futures_util::future::{try_join, try_join_all};
use sealift_domain::{digest::Digest, reference::Repository};
use sealift_engine::ports::{
    copy::{CopyPlan, CopyRequest},
    registry::RegistryError,
};

use super::attached::COSIGN;
use crate::{blob::BlobRef, graph::Graph, referrers::suffixed_tag, transport::Http};

/// Requests for a blob that moves: the opening of the upload, the reading, the writing.
const PER_MOVED: u64 = 3;
/// Requests for a blob that is mounted or turns out to be there: the opening of an upload tells.
const PER_MOUNTED: u64 = 1;
/// Requests around everything: what the source and the destination have, and the reading back.
const AROUND: u64 = 3;
/// Requests that look for what refers to one manifest: the list, its fallback tag and three tags of cosign.
const PER_SUBJECT: u64 = 5;

impl Http {
    /// What [`Http::copy`] would do.
    pub(crate) async fn plan_copy(&self, request: &CopyRequest) -> Result<CopyPlan, RegistryError> {
        let from = &request.from.repository;
        let root = self.root(request).await?.raw.digest;
        let graph = self.graph_to_copy(&from.at(root), &request.to).await?;
        let (mut plan, referrers) =
            try_join(self.plan_content(&graph, request), self.plan_referrers(&graph, request)).await?;
        plan.referrers = referrers;
        plan.manifests += referrers;
        plan.requests += referrers * (PER_MOVED + 1);
        Ok(plan)
    }

    async fn plan_content(&self, graph: &Graph, request: &CopyRequest) -> Result<CopyPlan, RegistryError> {
        let (from, to) = (&request.from.repository, &request.to);
        let mut plan = CopyPlan::default();
        let manifests = graph.nodes().len() as u64;
        if from != to {
            plan.manifests = manifests;
        }
        let blobs = graph.blobs().iter();
        let blobs = blobs.map(|(digest, size)| BlobRef { repository: to.clone(), digest: *digest, size: *size });
        for (blob, present) in self.presence(blobs.collect()).await? {
            match present {
                true => plan.blobs_present += 1,
                false if from.registry() == to.registry() => plan.blobs_mountable += 1,
                false => {
                    plan.blobs_missing += 1;
                    plan.bytes += blob.size;
                }
            }
        }
        // Each manifest but the root is read once and put once; the root's reading is counted around everything.
        let looking = if request.referrers { manifests * PER_SUBJECT } else { 0 };
        plan.requests = AROUND
            + (manifests - 1)
            + plan.manifests
            + plan.blobs_missing * PER_MOVED
            + (plan.blobs_mountable + plan.blobs_present) * PER_MOUNTED
            + looking;
        Ok(plan)
    }

    /// How many manifests refer to those of the graph and would come along.
    async fn plan_referrers(&self, graph: &Graph, request: &CopyRequest) -> Result<u64, RegistryError> {
        let from = &request.from.repository;
        if !request.referrers || *from == request.to {
            return Ok(0);
        }
        let finds = graph.nodes().iter().map(|node| async {
            let image = from.at(node.raw.digest);
            let tags = COSIGN.map(|suffix| self.has_tag(from, node.raw.digest, suffix));
            let (listed, tags) = try_join(self.referrers(&image), try_join_all(tags)).await?;
            Ok::<_, RegistryError>(listed.len() as u64 + tags.into_iter().filter(|there| *there).count() as u64)
        });
        Ok(try_join_all(finds).await?.into_iter().sum())
    }

    async fn has_tag(&self, repository: &Repository, subject: Digest, suffix: &str) -> Result<bool, RegistryError> {
        Ok(self.resolve(repository, &suffixed_tag(subject, suffix)?).await?.is_some())
    }
}
