//! Manifests and indexes, read strictly. The bytes are never written again from what is read here.

use std::collections::BTreeMap;

use bytes::Bytes;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::{RawManifest, RegistryError, RegistryErrorKind};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::error::{error, printable};

/// OCI image manifest (OCI Image Specification 1.1, "Media Types").
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What is asked for with `Accept`.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// The largest manifest, in bytes: what the OCI Distribution Specification 1.1 ("Pushing Manifests") asks registries to take.
pub const MAX_MANIFEST: usize = 4 << 20;
/// The most manifests one index may list.
pub const MAX_CHILDREN: usize = 1000;
/// The most layers one manifest may list.
pub const MAX_LAYERS: usize = 1000;

/// A pointer to content (OCI Image Specification 1.1, "Descriptors").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// For a child of an index: what it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free text by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system, as Go names it.
    pub os: String,
    /// Processor, as Go names it.
    pub architecture: String,
    /// Variant of the processor, for instance `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// BuildKit marks attestations in an index with a platform that nothing runs on.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl Platform {
    /// Whether this is the platform that a person names, `os/architecture[/variant]`. Without a variant, any one will do.
    pub fn is(&self, wanted: &str) -> bool {
        self.to_string() == wanted || format!("{}/{}", self.os, self.architecture) == wanted
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

impl Descriptor {
    /// Layers that may not be redistributed stay where their `urls` say and are never pushed.
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains(".nondistributable.") || self.media_type.contains(".foreign.")
    }
}

/// A manifest that has been understood.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// What it says it is, where its own type does not say enough (OCI Image Specification 1.1, "Image Manifest").
    pub artifact_type: Option<String>,
    /// What it refers to, if it is a referrer.
    pub subject: Option<Descriptor>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What it lists.
    pub content: Content,
}

/// The two shapes of a manifest.
#[derive(Clone, Debug)]
pub enum Content {
    /// One image, or an artifact in the shape of one.
    Image {
        /// The configuration blob.
        config: Descriptor,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
    },
    /// A list of manifests.
    Index {
        /// The children, in their order.
        manifests: Vec<Descriptor>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    fs_layers: Option<IgnoredAny>,
    artifact_type: Option<String>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

fn malformed(what: &str, why: impl std::fmt::Display) -> RegistryError {
    error(RegistryErrorKind::Malformed, format!("{what} cannot be used: {why}"))
}

/// Whether `media_type` is an index (true), an image manifest (false), or nothing that is promoted.
pub(crate) fn is_index(what: &str, media_type: &str) -> Result<bool, RegistryError> {
    match media_type {
        OCI_INDEX | DOCKER_LIST => Ok(true),
        OCI_MANIFEST | DOCKER_MANIFEST => Ok(false),
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Err(schema_1(what)),
        other => Err(malformed(what, format!("`{}` is not the media type of an image or index", printable(other)))),
    }
}

fn schema_1(what: &str) -> RegistryError {
    let why =
        "is a Docker schema 1 manifest, which has no stable digest: build and push it again as OCI or Docker schema 2";
    error(RegistryErrorKind::Unsupported, format!("{what} {why}"))
}

/// Takes manifest bytes that were read from a registry: checks `Content-Type` against the bytes and computes the digest.
pub(crate) fn raw(what: &str, bytes: Bytes, content_type: Option<&str>) -> Result<RawManifest, RegistryError> {
    let header = content_type.map(|text| text.split(';').next().unwrap_or(text).trim()).filter(|text| !text.is_empty());
    // Schema 1 is told first: it has none of the fields that are missed below.
    if let Some(header) = header {
        is_index(what, header)?;
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(|why| malformed(what, why))?;
    if document.schema_version == 1 || document.fs_layers.is_some() {
        return Err(schema_1(what));
    }
    let media_type = match (header, document.media_type.as_deref()) {
        (Some(header), Some(inside)) if header != inside => {
            let why = format!("the registry calls it `{}`, the bytes say `{}`", printable(header), printable(inside));
            return Err(malformed(what, why));
        }
        (Some(known), _) | (None, Some(known)) => known.to_owned(),
        (None, None) => return Err(malformed(what, "it has no media type")),
    };
    Ok(RawManifest { digest: Digest::of(&bytes), bytes, media_type })
}

/// Reads a manifest.
///
/// # Errors
/// `Malformed` if it is not one, is over a limit, or could be taken for an image and an index at once (CVE-2021-41190);
/// `Unsupported` for Docker schema 1.
pub fn read(raw: &RawManifest) -> Result<Manifest, RegistryError> {
    let what = format!("manifest {}", raw.digest);
    let mut document: Document = serde_json::from_slice(&raw.bytes).map_err(|why| malformed(&what, why))?;
    if document.schema_version != 2 {
        return Err(malformed(&what, format!("schemaVersion is {}, not 2", document.schema_version)));
    }
    let annotations = document.annotations.take().unwrap_or_default();
    let (artifact_type, subject) = (document.artifact_type.take(), document.subject.take());
    let content = match (is_index(&what, &raw.media_type)?, document) {
        (true, Document { manifests: Some(manifests), config: None, layers: None, .. }) => Content::Index { manifests },
        (false, Document { config: Some(config), layers: Some(layers), manifests: None, .. }) => {
            Content::Image { config, layers }
        }
        (true, _) => return Err(malformed(&what, "an index has `manifests` and neither `config` nor `layers`")),
        (false, _) => return Err(malformed(&what, "an image manifest has `config` and `layers` and no `manifests`")),
    };
    match &content {
        Content::Index { manifests } if manifests.len() > MAX_CHILDREN => {
            return Err(malformed(
                &what,
                format!("it lists {} manifests; the limit is {MAX_CHILDREN}", manifests.len()),
            ));
        }
        Content::Image { layers, .. } if layers.len() > MAX_LAYERS => {
            return Err(malformed(&what, format!("it lists {} layers; the limit is {MAX_LAYERS}", layers.len())));
        }
        _ => {}
    }
    Ok(Manifest { artifact_type, subject, annotations, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(json: &str, content_type: Option<&str>) -> Result<Manifest, RegistryError> {
        read(&raw("manifest", Bytes::copy_from_slice(json.as_bytes()), content_type)?)
    }

    fn descriptor(media_type: &str, size: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{size}}}"#, Digest::of(b""))
    }

    fn image(extra: &str) -> String {
        let (config, layer) = (descriptor(OCI_CONFIG, "0"), descriptor("application/vnd.oci.image.layer.v1.tar", "0"));
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]{extra}}}"#)
    }

    #[test]
    fn an_image_and_an_index_are_told_by_their_type() {
        let manifest = take(
            &image(r#","annotations":{"a":"b"}"#),
            Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
        )
        .unwrap();
        assert!(matches!(&manifest.content, Content::Image { layers, .. } if layers.len() == 1));
        assert_eq!(manifest.annotations["a"], "b");
        let inside = image(&format!(r#","mediaType":"{OCI_MANIFEST}""#));
        assert!(take(&inside, None).is_ok());
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(OCI_MANIFEST, "7"));
        assert!(matches!(take(&index, Some(OCI_INDEX)).unwrap().content, Content::Index { .. }));
    }

    #[test]
    fn what_is_ambiguous_or_malformed_is_refused() {
        let lying = image(&format!(r#","mediaType":"{OCI_MANIFEST}""#));
        let twice = image(&format!(r#","mediaType":"{OCI_MANIFEST}","mediaType":"{OCI_INDEX}""#));
        let both = image(&format!(r#","manifests":[{}]"#, descriptor(OCI_MANIFEST, "7")));
        let many = vec![descriptor(OCI_MANIFEST, "7"); MAX_CHILDREN + 1].join(",");
        let long = format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#);
        let negative = image("").replace("\"size\":0", "\"size\":-1");
        for (json, content_type) in [
            (lying.as_str(), Some(DOCKER_MANIFEST)),
            (twice.as_str(), Some(OCI_MANIFEST)),
            (both.as_str(), Some(OCI_MANIFEST)),
            (both.as_str(), Some(OCI_INDEX)),
            (long.as_str(), Some(OCI_INDEX)),
            (negative.as_str(), Some(OCI_MANIFEST)),
            (image("").as_str(), None),
            (image("").as_str(), Some("application/json")),
            (image("").replace("sha256:", "sha512:").as_str(), Some(OCI_MANIFEST)),
            ("[]", Some(OCI_MANIFEST)),
            ("{\"schemaVersion\":3}", Some(OCI_MANIFEST)),
            ("", Some(OCI_MANIFEST)),
        ] {
            let refused = take(json, content_type).unwrap_err();
            assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{json:.200} {content_type:?}: {refused}");
        }
    }

    #[test]
    fn schema_1_is_refused_by_name() {
        let json = r#"{"schemaVersion":1,"name":"a","fsLayers":[{"blobSum":"x"}]}"#;
        for content_type in
            [None, Some("application/vnd.docker.distribution.manifest.v1+prettyjws"), Some(OCI_MANIFEST)]
        {
            let refused = take(json, content_type).unwrap_err();
            assert_eq!(refused.kind, RegistryErrorKind::Unsupported, "{refused}");
            assert!(refused.message.contains("schema 1"));
        }
    }

    #[test]
    fn platforms_read_as_people_write_them() {
        let platform = |variant: Option<&str>| Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            variant: variant.map(str::to_owned),
        };
        assert_eq!(platform(Some("v8")).to_string(), "linux/arm64/v8");
        assert_eq!(platform(None).to_string(), "linux/arm64");
        assert!(!platform(None).is_unknown());
    }
}
