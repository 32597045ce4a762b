//! What is known about an image by reading it: facts, no judgement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// An image or index as it was read from a registry by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The digest of the manifest bytes that were read, computed by the reader.
    pub digest: Digest,
    /// The media type of the top-level manifest.
    pub media_type: String,
    /// The images to run, one for each platform; a single manifest has one.
    pub platforms: Vec<PlatformImage>,
    /// Annotations of the top-level manifest.
    pub annotations: BTreeMap<String, String>,
}

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformImage {
    /// `os/architecture[/variant]`, for instance `linux/arm64/v8`.
    pub platform: String,
    /// The digest of this platform's manifest.
    pub digest: Digest,
    /// The digest of its configuration, which tools call the image ID; `None` in records of before it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Digest>,
    /// The sum of the layers' sizes as they are stored and moved, in bytes.
    pub compressed_bytes: u64,
    /// How many layers the manifest lists.
    pub layers: usize,
    /// Configuration and layers that the registry does not have, or has with another size.
    pub missing: Vec<Digest>,
    /// The labels of the image configuration (OCI Image Specification 1.1, `config.Labels`). Self-asserted by the builder.
    pub labels: BTreeMap<String, String>,
    /// `created` of the image configuration, as written there.
    pub created: Option<String>,
}
