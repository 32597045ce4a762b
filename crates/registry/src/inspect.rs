//! What an image is, read from its registry: facts for gates.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::{
    digest::Digest,
    image::{Image, PlatformImage},
    reference::{Pinned, Repository},
};
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind};
use serde::Deserialize;

use crate::{
    blob::BlobRef,
    error::{error, printable},
    graph::{Graph, Node, walk},
    manifest::{Content, DOCKER_CONFIG, Descriptor, OCI_CONFIG, Platform},
    manifest_http::InRepository,
    transport::Http,
};

/// The largest image configuration that is read, in bytes.
const MAX_CONFIG: u64 = 4 << 20;

/// The parts of an image configuration that are reported (OCI Image Specification 1.1, "Image Configuration").
#[derive(Deserialize, Default)]
struct Config {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    created: Option<String>,
    config: Option<Runtime>,
}

#[derive(Deserialize, Default)]
struct Runtime {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Config {
    fn platform(&self) -> Option<Platform> {
        let (os, architecture) = (self.os.clone()?, self.architecture.clone()?);
        Some(Platform { os, architecture, variant: self.variant.clone() })
    }
}

/// A manifest of the graph that somebody can run.
struct Runnable<'a> {
    node: &'a Node,
    platform: Option<Platform>,
}

/// The images to run, in the order of the indexes. BuildKit's attestations are part of the graph but not of this list.
fn runnable<'a>(graph: &'a Graph, node: &'a Node, platform: Option<&Platform>, found: &mut Vec<Runnable<'a>>) {
    if platform.is_some_and(Platform::is_unknown) {
        return;
    }
    if matches!(node.manifest.content, Content::Image { .. }) {
        if !found.iter().any(|known| known.node.raw.digest == node.raw.digest) {
            found.push(Runnable { node, platform: platform.cloned() });
        }
        return;
    }
    for child in node.children() {
        if let Some(below) = graph.node(child.digest) {
            runnable(graph, below, child.platform.as_ref(), found);
        }
    }
}

impl Http {
    /// Reads an image by digest.
    pub(crate) async fn inspect(&self, image: &Pinned) -> Result<Image, RegistryError> {
        let repository = &image.repository;
        let graph = walk(&InRepository { http: self, repository }, image.digest).await?;
        let root = graph
            .node(image.digest)
            .ok_or_else(|| error(RegistryErrorKind::Malformed, format!("{image} has no root")))?;
        let mut images = Vec::new();
        runnable(&graph, root, None, &mut images);
        let missing = self.missing(repository, &images).await?;
        let mut platforms = Vec::with_capacity(images.len());
        for image in &images {
            platforms.push(self.platform_image(repository, image, &missing).await?);
        }
        let annotations = root.manifest.annotations.clone();
        Ok(Image { digest: image.digest, media_type: root.raw.media_type.clone(), platforms, annotations })
    }

    /// The blobs of these images that the registry does not have.
    async fn missing(
        &self,
        repository: &Repository,
        images: &[Runnable<'_>],
    ) -> Result<BTreeSet<Digest>, RegistryError> {
        let sizes: BTreeMap<Digest, u64> =
            images.iter().flat_map(|i| i.node.blobs()).map(|b| (b.digest, b.size)).collect();
        let refer = |(digest, size)| BlobRef { repository: repository.clone(), digest, size };
        let answers = self.presence(sizes.into_iter().map(refer).collect()).await?;
        Ok(answers.into_iter().filter(|(_, present)| !present).map(|(blob, _)| blob.digest).collect())
    }

    async fn platform_image(
        &self,
        repository: &Repository,
        image: &Runnable<'_>,
        missing: &BTreeSet<Digest>,
    ) -> Result<PlatformImage, RegistryError> {
        let digest = image.node.raw.digest;
        let Content::Image { config: descriptor, layers } = &image.node.manifest.content else {
            return Err(error(RegistryErrorKind::Malformed, format!("{repository}@{digest} is not an image")));
        };
        let config = match missing.contains(&descriptor.digest) {
            true => Config::default(),
            false => self.config(repository, descriptor).await?,
        };
        let platform = image.platform.clone().or_else(|| config.platform());
        let of_this = |blob: &&Descriptor| missing.contains(&blob.digest);
        let absent: BTreeSet<Digest> = image.node.blobs().filter(of_this).map(|blob| blob.digest).collect();
        Ok(PlatformImage {
            platform: platform.map_or_else(|| "unknown".to_owned(), |platform| platform.to_string()),
            digest,
            config: Some(descriptor.digest),
            compressed_bytes: layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size)),
            layers: layers.len(),
            missing: absent.into_iter().collect(),
            labels: config.config.unwrap_or_default().labels.unwrap_or_default(),
            created: config.created,
        })
    }

    async fn config(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Config, RegistryError> {
        let what = format!("{repository} configuration {}", descriptor.digest);
        if !matches!(descriptor.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            let why = format!("{what} is `{}`: an artifact, not a container image", printable(&descriptor.media_type));
            return Err(error(RegistryErrorKind::Unsupported, why));
        }
        if descriptor.size > MAX_CONFIG {
            let why = format!("{what} has {} bytes; the limit is {MAX_CONFIG}", descriptor.size);
            return Err(error(RegistryErrorKind::Malformed, why));
        }
        let blob = BlobRef { repository: repository.clone(), digest: descriptor.digest, size: descriptor.size };
        let bytes = self.small_blob(&blob).await?;
        serde_json::from_slice(&bytes)
            .map_err(|why| error(RegistryErrorKind::Malformed, format!("{what} cannot be read: {why}")))
    }
}
