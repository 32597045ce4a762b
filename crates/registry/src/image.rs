//! Small images from parts, for tests and the demo: a single image or an index, as OCI or as Docker schema 2.

use std::{collections::BTreeMap, io, path::Path};

use bytes::Bytes;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::RawManifest;
use serde_json::{Value, json};

use crate::manifest::{
    DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Platform,
};

/// Which media types are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OCI Image Specification 1.1.
    Oci,
    /// Docker image manifest version 2, schema 2.
    Docker,
}

/// A layer as it is stored.
#[derive(Clone, Debug)]
pub struct Layer {
    bytes: Bytes,
    kind: Kind,
    diff_id: Digest,
    annotations: BTreeMap<String, String>,
}

/// What a layer's media type says.
#[derive(Clone, Debug)]
enum Kind {
    Tar,
    Gzip,
    /// This, in either format.
    Other(String),
}

impl Layer {
    /// An uncompressed tar.
    pub fn tar(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { diff_id: Digest::of(&bytes), bytes, kind: Kind::Tar, annotations: BTreeMap::new() }
    }

    /// A gzip-compressed tar; `diff_id` is the digest of the tar inside.
    pub fn gzip(bytes: impl Into<Bytes>, diff_id: Digest) -> Self {
        Self { bytes: bytes.into(), kind: Kind::Gzip, diff_id, annotations: BTreeMap::new() }
    }

    /// Anything else: an artifact in the shape of an image.
    pub fn of_type(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Other(media_type.to_owned()), ..Self::tar(bytes) }
    }

    /// Adds an annotation to the layer's descriptor.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// How a manifest of this format lists the layer.
    fn descriptor(&self, format: Format) -> Descriptor {
        let media_type = match (&self.kind, format) {
            (Kind::Tar, Format::Oci) => "application/vnd.oci.image.layer.v1.tar",
            (Kind::Gzip, Format::Oci) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Kind::Tar, Format::Docker) => "application/vnd.docker.image.rootfs.diff.tar",
            (Kind::Gzip, Format::Docker) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Kind::Other(media_type), _) => media_type,
        };
        Descriptor { annotations: self.annotations.clone(), ..descriptor(media_type, &self.bytes) }
    }
}

/// An image with everything under it.
#[derive(Clone, Debug)]
pub struct Built {
    /// Manifests, every child before its index, the root last.
    pub manifests: Vec<RawManifest>,
    /// Configurations and layers.
    pub blobs: Vec<Bytes>,
    /// The root.
    pub digest: Digest,
    media_type: String,
    size: u64,
    platform: Option<Platform>,
}

/// Puts a single image together.
#[derive(Clone, Debug)]
pub struct Builder {
    format: Format,
    platform: Platform,
    labels: BTreeMap<String, String>,
    runtime: BTreeMap<String, Value>,
    annotations: BTreeMap<String, String>,
    created: Option<String>,
    artifact_type: Option<String>,
    subject: Option<Descriptor>,
    layers: Vec<Layer>,
}

impl Default for Builder {
    fn default() -> Self {
        let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None };
        Self {
            format: Format::Oci,
            platform,
            labels: BTreeMap::new(),
            runtime: BTreeMap::new(),
            annotations: BTreeMap::new(),
            created: None,
            artifact_type: None,
            subject: None,
            layers: Vec::new(),
        }
    }
}

impl Builder {
    /// An OCI image for `linux/amd64` without layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the media types.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Sets what the image runs on, in Go's names.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let own = str::to_owned;
        self.platform = Platform { os: own(os), architecture: own(architecture), variant: variant.map(own) };
        self
    }

    /// Adds a label to the configuration.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key of the configuration's `config` object, for instance `Entrypoint` or `ExposedPorts`.
    #[must_use]
    pub fn runtime(mut self, key: &str, value: Value) -> Self {
        self.runtime.insert(key.to_owned(), value);
        self
    }

    /// Adds an annotation to the manifest.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets when the image was made, RFC 3339.
    #[must_use]
    pub fn created(mut self, created: &str) -> Self {
        self.created = Some(created.to_owned());
        self
    }

    /// Sets what an artifact in the shape of an image is, as a media type.
    #[must_use]
    pub fn artifact_type(mut self, artifact_type: &str) -> Self {
        self.artifact_type = Some(artifact_type.to_owned());
        self
    }

    /// Makes it refer to another manifest (OCI Image Specification 1.1, "Image Manifest", `subject`).
    #[must_use]
    pub fn subject(mut self, subject: &Built) -> Self {
        self.subject = Some(Descriptor { platform: None, ..subject.descriptor() });
        self
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    fn config(&self) -> Bytes {
        let mut runtime = self.runtime.clone();
        if !self.labels.is_empty() {
            runtime.insert("Labels".to_owned(), json!(self.labels));
        }
        let diff_ids: Vec<Digest> = self.layers.iter().map(|layer| layer.diff_id).collect();
        let mut config = json!({
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "config": runtime,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        if let Some(variant) = &self.platform.variant {
            config["variant"] = json!(variant);
        }
        if let Some(created) = &self.created {
            config["created"] = json!(created);
        }
        Bytes::from(config.to_string())
    }

    /// The image. The same parts make the same bytes.
    pub fn build(self) -> Built {
        let (manifest, config_type) = match self.format {
            Format::Oci => (OCI_MANIFEST, OCI_CONFIG),
            Format::Docker => (DOCKER_MANIFEST, DOCKER_CONFIG),
        };
        let config = self.config();
        let layers: Vec<Descriptor> = self.layers.iter().map(|layer| layer.descriptor(self.format)).collect();
        let mut document = json!({"config": descriptor(config_type, &config), "layers": layers});
        if let Some(artifact_type) = &self.artifact_type {
            document["artifactType"] = json!(artifact_type);
        }
        if let Some(subject) = &self.subject {
            document["subject"] = json!(subject);
        }
        let blobs = std::iter::once(config).chain(self.layers.iter().map(|layer| layer.bytes.clone())).collect();
        Built::top(manifest, document, &self.annotations, Some(self.platform), Vec::new(), blobs)
    }
}

fn descriptor(media_type: &str, bytes: &Bytes) -> Descriptor {
    let size = bytes.len() as u64;
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

/// An index over images or further indexes. Each child is listed with its own platform.
pub fn index(format: Format, children: &[Built]) -> Built {
    let media_type = if format == Format::Oci { OCI_INDEX } else { DOCKER_LIST };
    let list: Vec<Descriptor> = children.iter().map(Built::descriptor).collect();
    let manifests = children.iter().flat_map(|child| child.manifests.clone()).collect();
    let blobs = children.iter().flat_map(|child| child.blobs.clone()).collect();
    Built::top(media_type, json!({"manifests": list}), &BTreeMap::new(), None, manifests, blobs)
}

impl Built {
    /// A root that was put together elsewhere, without what is under it.
    pub fn of(root: RawManifest) -> Self {
        let (digest, media_type, size) = (root.digest, root.media_type.clone(), root.bytes.len() as u64);
        Self { manifests: vec![root], blobs: Vec::new(), digest, media_type, size, platform: None }
    }

    fn top(
        media_type: &str,
        mut document: Value,
        annotations: &BTreeMap<String, String>,
        platform: Option<Platform>,
        mut manifests: Vec<RawManifest>,
        blobs: Vec<Bytes>,
    ) -> Self {
        document["schemaVersion"] = json!(2);
        document["mediaType"] = json!(media_type);
        if !annotations.is_empty() {
            document["annotations"] = json!(annotations);
        }
        let bytes = Bytes::from(document.to_string());
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;

        manifests.push(RawManifest { bytes, media_type: media_type.to_owned(), digest });
        Self { manifests, blobs, digest, media_type: media_type.to_owned(), size, platform }
    }

    /// The root manifest.
    pub fn root(&self) -> Option<&RawManifest> {
        self.manifests.last()
    }

    /// How an index lists this image.
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest,
            size: self.size,
            platform: self.platform.clone(),
            annotations: BTreeMap::new(),
        }
    }

    /// Writes an OCI image layout (OCI Image Specification 1.1, "Image Layout Specification") with one named image.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_layout(&self, directory: &Path, name: &str) -> io::Result<()> {
        let blobs = directory.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        for bytes in self.blobs.iter().chain(self.manifests.iter().map(|raw| &raw.bytes)) {
            std::fs::write(blobs.join(Digest::of(bytes).hex()), bytes)?;
        }
        let mut root = self.descriptor();
        root.annotations.insert("org.opencontainers.image.ref.name".to_owned(), name.to_owned());
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [root]});
        std::fs::write(directory.join("index.json"), index.to_string())?;
        std::fs::write(directory.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Content, read};

    #[test]
    fn what_is_built_can_be_read() {
        for format in [Format::Oci, Format::Docker] {
            let arm =
                Builder::new().format(format).platform("linux", "arm64", Some("v8")).layer(Layer::tar("layer")).build();
            let amd = Builder::new().format(format).label("a", "b").layer(Layer::tar("layer")).build();
            let both = index(format, &[amd.clone(), arm.clone()]);
            assert_eq!((both.manifests.len(), both.blobs.len()), (3, 4));
            for raw in &both.manifests {
                assert_eq!(raw.digest, Digest::of(&raw.bytes));
                assert!(read(raw).is_ok());
            }
            let Content::Index { manifests } = read(both.root().unwrap()).unwrap().content else { panic!("an index") };
            assert_eq!(manifests[1].platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
            assert_eq!(manifests[0].digest, amd.digest);
        }
    }

    #[test]
    fn the_same_parts_make_the_same_bytes() {
        let build =
            || Builder::new().label("a", "b").created("2026-01-01T00:00:00Z").layer(Layer::tar("x")).build().digest;
        assert_eq!(build(), build());
    }
}
