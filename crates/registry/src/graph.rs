//! The graph under a digest: index → manifests → configuration and layers. What a copy moves is decided here, how it is
//! moved is not.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::{RawManifest, RegistryError, RegistryErrorKind};

use crate::{
    error::{error, printable},
    manifest::{Content, Descriptor, Manifest, is_index, read},
};

/// How deep indexes may nest: an index of indexes of … of images.
pub const MAX_DEPTH: usize = 4;
/// The most manifests in one graph.
pub const MAX_MANIFESTS: usize = 1000;
/// The most bytes of manifests in one graph, since all of them are held in memory.
pub const MAX_MANIFEST_BYTES: usize = 64 << 20;
/// Manifests read at a time.
const PARALLEL: usize = 8;

/// Gives out manifests by digest, with bytes that have this digest.
#[async_trait]
pub trait ManifestSource: Send + Sync {
    /// The manifest with `digest`.
    async fn manifest(&self, digest: Digest) -> Result<RawManifest, RegistryError>;
}

/// A manifest in a graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its bytes.
    pub raw: RawManifest,
    /// What the bytes say.
    pub manifest: Manifest,
}

/// Everything under one digest.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    blobs: BTreeMap<Digest, u64>,
}

impl Node {
    /// The children, if this is an index.
    pub fn children(&self) -> &[Descriptor] {
        match &self.manifest.content {
            Content::Index { manifests } => manifests,
            Content::Image { .. } => &[],
        }
    }

    /// Configuration and layers that are moved, if this is an image. Foreign layers are not.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, layers) = match &self.manifest.content {
            Content::Image { config, layers } => (Some(config), layers.as_slice()),
            Content::Index { .. } => (None, [].as_slice()),
        };
        config.into_iter().chain(layers.iter().filter(|layer| !layer.is_foreign()))
    }
}

impl Graph {
    /// The manifests, every child before whoever lists it, the root last.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The distinct blobs with their sizes in bytes.
    pub fn blobs(&self) -> &BTreeMap<Digest, u64> {
        &self.blobs
    }

    /// The node with `digest`.
    pub fn node(&self, digest: Digest) -> Option<&Node> {
        self.nodes.iter().find(|node| node.raw.digest == digest)
    }
}

fn malformed(root: Digest, why: String) -> RegistryError {
    error(RegistryErrorKind::Malformed, format!("the graph of {root} cannot be used: {why}"))
}

/// How much of a graph has been read, against its limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    root: Digest,
    manifests: usize,
    bytes: usize,
}

impl Extent {
    /// Nothing read of the graph under `root`.
    pub(crate) fn of(root: Digest) -> Self {
        Self { root, manifests: 0, bytes: 0 }
    }

    /// Counts a manifest that stands `depth` indexes below the root.
    pub(crate) fn admit(&mut self, raw: &RawManifest, depth: usize) -> Result<(), RegistryError> {
        self.manifests += 1;
        self.bytes += raw.bytes.len();
        let why = if depth > MAX_DEPTH {
            format!("indexes are nested deeper than {MAX_DEPTH}")
        } else if self.manifests > MAX_MANIFESTS {
            format!("it has more than {MAX_MANIFESTS} manifests")
        } else if self.bytes > MAX_MANIFEST_BYTES {
            format!("its manifests are larger than {MAX_MANIFEST_BYTES} bytes")
        } else {
            return Ok(());
        };
        Err(malformed(self.root, why))
    }
}

impl Node {
    /// Understands a manifest.
    ///
    /// # Errors
    /// Those of [`read`]; `Malformed` if a child of an index is no manifest.
    pub fn new(raw: RawManifest) -> Result<Self, RegistryError> {
        let node = Self { manifest: read(&raw)?, raw };
        for child in node.children() {
            is_index("a child of an index", &child.media_type)?;
        }
        Ok(node)
    }
}

/// Reads the graph under `root`, level by level.
///
/// # Errors
/// Those of the source; `Malformed` if a limit is exceeded, sizes disagree, or a child is not a manifest.
pub async fn walk(source: &dyn ManifestSource, root: Digest) -> Result<Graph, RegistryError> {
    let mut found: BTreeMap<Digest, Node> = BTreeMap::new();
    let mut level: BTreeSet<Digest> = BTreeSet::from([root]);
    let mut extent = Extent::of(root);
    for depth in 0.. {
        if level.is_empty() {
            break;
        }
        let reads: Vec<_> = level.iter().map(|digest| source.manifest(*digest)).collect();
        let mut answers = stream::iter(reads).buffer_unordered(PARALLEL);
        let mut next = BTreeSet::new();
        while let Some(raw) = answers.try_next().await? {
            extent.admit(&raw, depth)?;
            let node = Node::new(raw)?;
            next.extend(node.children().iter().map(|child| child.digest));
            found.insert(node.raw.digest, node);
        }
        drop(answers);
        level = next.into_iter().filter(|digest| !found.contains_key(digest)).collect();
    }
    let nodes = in_order(root, found)?;
    let blobs = distinct_blobs(root, &nodes)?;
    Ok(Graph { nodes, blobs })
}

/// Children first. A cycle would need two digests that contain each other; it is refused all the same.
fn in_order(root: Digest, mut found: BTreeMap<Digest, Node>) -> Result<Vec<Node>, RegistryError> {
    let mut order = Vec::with_capacity(found.len());
    let mut placed: BTreeSet<Digest> = BTreeSet::new();
    while !found.is_empty() {
        let ready = |node: &Node| node.children().iter().all(|child| placed.contains(&child.digest));
        // Every round places at least the deepest remaining level, so there are at most MAX_DEPTH + 1 rounds.
        let round: Vec<Digest> = found.iter().filter(|(_, node)| ready(node)).map(|(digest, _)| *digest).collect();
        if round.is_empty() {
            return Err(malformed(root, "an index contains itself".to_owned()));
        }
        placed.extend(&round);
        order.extend(round.iter().filter_map(|digest| found.remove(digest)));
    }
    check_children(root, &order)?;
    Ok(order)
}

/// What an index says about its children must be true of them.
fn check_children(root: Digest, nodes: &[Node]) -> Result<(), RegistryError> {
    let by_digest: BTreeMap<Digest, &RawManifest> = nodes.iter().map(|node| (node.raw.digest, &node.raw)).collect();
    for child in nodes.iter().flat_map(Node::children) {
        if let Some(raw) = by_digest.get(&child.digest) {
            check_child(root, child, raw)?;
        }
    }
    Ok(())
}

/// What an index says about a child must be true of the child.
pub(crate) fn check_child(root: Digest, child: &Descriptor, raw: &RawManifest) -> Result<(), RegistryError> {
    if raw.bytes.len() as u64 == child.size && raw.media_type == child.media_type {
        return Ok(());
    }
    let why = format!(
        "the graph of {root} cannot be used: an index describes {} as {} bytes of `{}`, it is {} bytes of `{}`",
        child.digest,
        child.size,
        printable(&child.media_type),
        raw.bytes.len(),
        raw.media_type
    );
    Err(error(RegistryErrorKind::Corrupt, why))
}

fn distinct_blobs(root: Digest, nodes: &[Node]) -> Result<BTreeMap<Digest, u64>, RegistryError> {
    let mut blobs: BTreeMap<Digest, u64> = BTreeMap::new();
    for blob in nodes.iter().flat_map(Node::blobs) {
        let size = *blobs.entry(blob.digest).or_insert(blob.size);
        if size != blob.size {
            return Err(malformed(
                root,
                format!("blob {} is said to have {size} and {} bytes", blob.digest, blob.size),
            ));
        }
    }
    // Sums of sizes are reported; they must be numbers.
    let total = blobs.values().try_fold(0_u64, |sum, size| sum.checked_add(*size));
    total.ok_or_else(|| malformed(root, "its blobs are larger than any storage".to_owned()))?;
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::manifest::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

    /// Manifests by the digest under which they are asked for, which need not be their own.
    struct Shelf(BTreeMap<Digest, RawManifest>);

    #[async_trait]
    impl ManifestSource for Shelf {
        async fn manifest(&self, digest: Digest) -> Result<RawManifest, RegistryError> {
            self.0.get(&digest).cloned().ok_or_else(|| error(RegistryErrorKind::NotFound, "not on the shelf"))
        }
    }

    fn raw(media_type: &str, json: String) -> RawManifest {
        let bytes = Bytes::from(json);
        RawManifest { digest: Digest::of(&bytes), bytes, media_type: media_type.to_owned() }
    }

    fn pointer(media_type: &str, digest: Digest, size: usize) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    }

    fn image(layer: &str, layer_type: &str) -> RawManifest {
        let config = pointer("application/vnd.oci.image.config.v1+json", Digest::of(b"{}"), 2);
        let layer = pointer(layer_type, Digest::of(layer.as_bytes()), layer.len());
        raw(OCI_MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#))
    }

    fn index(children: &[&RawManifest]) -> RawManifest {
        let list: Vec<_> = children.iter().map(|c| pointer(&c.media_type, c.digest, c.bytes.len())).collect();
        raw(OCI_INDEX, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list.join(",")))
    }

    fn shelf(manifests: &[&RawManifest]) -> Shelf {
        Shelf(manifests.iter().map(|m| (m.digest, (*m).clone())).collect())
    }

    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

    #[tokio::test]
    async fn children_come_before_whoever_lists_them_and_blobs_are_counted_once() {
        let (a, b) = (image("a", LAYER), image("b", LAYER));
        let inner = index(&[&b]);
        let top = index(&[&a, &inner, &b, &a]);
        let graph = walk(&shelf(&[&a, &b, &inner, &top]), top.digest).await.unwrap();
        let order: Vec<Digest> = graph.nodes().iter().map(|node| node.raw.digest).collect();
        let at = |raw: &RawManifest| order.iter().position(|digest| *digest == raw.digest).unwrap();
        assert_eq!((order.len(), at(&top)), (4, 3));
        assert!(at(&b) < at(&inner));
        assert_eq!(graph.blobs().len(), 3, "one configuration, two layers");
    }

    #[tokio::test]
    async fn foreign_layers_are_not_moved() {
        let only = image("x", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let graph = walk(&shelf(&[&only]), only.digest).await.unwrap();
        assert_eq!(graph.blobs().len(), 1);
        let only = image("x", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
        let graph = walk(&shelf(&[&only]), only.digest).await.unwrap();
        assert_eq!(graph.blobs().len(), 1);
    }

    #[tokio::test]
    async fn indexes_nest_as_deep_as_the_limit_and_no_deeper() {
        let mut all = vec![image("a", LAYER)];
        for _ in 0..MAX_DEPTH {
            all.push(index(&[all.last().unwrap()]));
        }
        assert!(walk(&shelf(&all.iter().collect::<Vec<_>>()), all.last().unwrap().digest).await.is_ok());
        all.push(index(&[all.last().unwrap()]));
        let refused = walk(&shelf(&all.iter().collect::<Vec<_>>()), all.last().unwrap().digest).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Malformed);
        assert!(refused.message.contains("deeper"), "{refused}");
    }

    #[tokio::test]
    async fn an_index_that_contains_itself_is_refused() {
        // Impossible with honest digests, so this source lies about them.
        let name = Digest::of(b"loop");
        let mut looped =
            raw(OCI_INDEX, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, pointer(OCI_INDEX, name, 1)));
        looped.digest = name;
        let refused = walk(&shelf(&[&looped]), name).await.unwrap_err();
        assert!(refused.message.contains("contains itself"), "{refused}");
    }

    #[tokio::test]
    async fn descriptors_that_do_not_fit_their_child_are_refused() {
        let child = image("a", LAYER);
        for pointer in
            [pointer(OCI_MANIFEST, child.digest, 1), pointer(DOCKER_MANIFEST, child.digest, child.bytes.len())]
        {
            let top = raw(OCI_INDEX, format!(r#"{{"schemaVersion":2,"manifests":[{pointer}]}}"#));
            let refused = walk(&shelf(&[&child, &top]), top.digest).await.unwrap_err();
            assert_eq!(refused.kind, RegistryErrorKind::Corrupt, "{refused}");
        }
    }

    #[tokio::test]
    async fn a_blob_with_two_sizes_is_refused() {
        let config = pointer("application/vnd.oci.image.config.v1+json", Digest::of(b"{}"), 2);
        let same = pointer(LAYER, Digest::of(b"{}"), 3);
        let only = raw(OCI_MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{same}]}}"#));
        let refused = walk(&shelf(&[&only]), only.digest).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{refused}");
    }
}
