//! Objects of a log that are too large for its store, each as an artifact of its own (OCI Image Specification 1.1, "Guidelines for
//! Artifact Usage"): one blob with the object's digest, under the tag `object-<hex>`, so that a registry keeps it.

use async_trait::async_trait;
use bytes::Bytes;
use sealift_domain::{
    digest::Digest,
    reference::{Repository, Tag},
};
use sealift_engine::ports::{
    large_objects::LargeObjects,
    log::LogError,
    registry::{RawManifest, RegistryError, RegistryErrorKind},
};
use serde_json::json;

use crate::{
    attach::{EMPTY, EMPTY_BYTES, written},
    blob::BlobRef,
    client::Client,
    error::error,
    manifest::{Content, OCI_MANIFEST, read},
    transport::Http,
};

/// What the artifact is.
const ARTIFACT: &str = "application/vnd.sealift.object.v1";
/// The media type of its blob.
const BLOB: &str = "application/octet-stream";
/// The largest object that is read, in bytes.
const MAX_OBJECT: u64 = 256 << 20;

/// A repository of a registry that holds large objects.
pub struct ObjectRepository {
    client: Client,
    repository: Repository,
}

impl ObjectRepository {
    /// The objects of `repository`, through `client`.
    pub fn new(client: Client, repository: Repository) -> Self {
        Self { client, repository }
    }

    fn http(&self) -> Http {
        self.client.http()
    }

    async fn store(&self, digest: Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        let (http, tag, raw) = (self.http(), tag(digest)?, manifest(digest, bytes.len() as u64)?);
        if http.resolve(&self.repository, &tag).await? == Some(raw.digest) {
            return Ok(());
        }
        let (empty, bytes) = (Bytes::from_static(EMPTY_BYTES), Bytes::copy_from_slice(bytes));
        let blobs = [http.upload_bytes(&self.repository, &empty), http.upload_bytes(&self.repository, &bytes)];
        futures_util::future::try_join_all(blobs).await?;
        http.put_manifest(&self.repository, tag.as_str(), &raw).await?;
        http.read_back(&self.repository, &tag, &raw).await
    }

    async fn load(&self, digest: Digest) -> Result<Option<Vec<u8>>, RegistryError> {
        let (http, tag) = (self.http(), tag(digest)?);
        let Some(raw) = http.tagged_manifest(&self.repository, &tag).await? else { return Ok(None) };
        let size = size_of(&raw, digest)
            .map_err(|why| error(RegistryErrorKind::Malformed, format!("{}:{tag} {why}", self.repository)))?;
        let blob = BlobRef { repository: self.repository.clone(), digest, size };
        http.small_blob(&blob).await.map(|bytes| Some(bytes.to_vec()))
    }

    async fn drop_tag(&self, digest: Digest) -> Result<(), RegistryError> {
        let (http, tag) = (self.http(), tag(digest)?);
        match http.resolve(&self.repository, &tag).await? {
            Some(manifest) => http.delete_manifest(&self.repository, manifest).await,
            None => Ok(()),
        }
    }

    fn failed(&self, failure: &RegistryError) -> LogError {
        let (place, why) = (self.repository.to_string(), failure.message.clone());
        match failure.kind {
            RegistryErrorKind::Unauthenticated | RegistryErrorKind::Denied | RegistryErrorKind::Unsupported => {
                LogError::Refused { place, why }
            }
            RegistryErrorKind::Corrupt => LogError::Tampered { what: why, at: None },
            _ => LogError::Unreachable { place, why },
        }
    }
}

#[async_trait]
impl LargeObjects for ObjectRepository {
    async fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), LogError> {
        self.store(digest, bytes).await.map_err(|failure| self.failed(&failure))
    }

    async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, LogError> {
        self.load(digest).await.map_err(|failure| self.failed(&failure))
    }

    async fn remove(&self, digest: Digest) -> Result<(), LogError> {
        self.drop_tag(digest).await.map_err(|failure| self.failed(&failure))
    }
}

/// Not `sha256-<hex>`, which is the fallback tag of referrers.
fn tag(digest: Digest) -> Result<Tag, RegistryError> {
    let name = format!("object-{}", digest.hex());
    name.parse().map_err(|why| error(RegistryErrorKind::Malformed, format!("{name}: {why}")))
}

/// The manifest of an object: the same bytes for the same object.
fn manifest(digest: Digest, size: u64) -> Result<RawManifest, RegistryError> {
    written(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT,
        "config": {"mediaType": EMPTY, "digest": Digest::of(EMPTY_BYTES), "size": EMPTY_BYTES.len()},
        "layers": [{"mediaType": BLOB, "digest": digest, "size": size}],
    }))
}

/// The size of the object in bytes, if this is its manifest.
fn size_of(raw: &RawManifest, digest: Digest) -> Result<u64, String> {
    let Content::Image { layers, .. } = read(raw).map_err(|why| why.to_string())?.content else {
        return Err("is an index, and no object of a log".to_owned());
    };
    match layers.as_slice() {
        [layer] if layer.digest != digest => Err(format!("holds the blob {}, not its own", layer.digest)),
        [layer] if layer.size > MAX_OBJECT => Err(format!("has {} bytes, at most {MAX_OBJECT} are read", layer.size)),
        [layer] => Ok(layer.size),
        _ => Err("has not one blob".to_owned()),
    }
}
