//! Attaching an artifact to an image and taking it off again.
//!
//! OCI Image Specification 1.1, "Guidelines for Artifact Usage", and OCI Distribution Specification 1.1, "Pushing Manifests with
//! Subject" and "Deleting Manifests".

use bytes::Bytes;
use reqwest::Method;
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository},
};
use sealift_engine::ports::registry::{Detached, NewReferrer, RawManifest, RegistryError, RegistryErrorKind};
use serde_json::json;

use crate::{
    error::error,
    fallback::Entry,
    graph::Node,
    manifest::{MAX_MANIFEST, OCI_MANIFEST},
    scope::Scopes,
    transport::{Call, Http},
};

/// The media type of the configuration of what has none.
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Its bytes.
pub(crate) const EMPTY_BYTES: &[u8] = b"{}";

/// A manifest from its JSON.
pub(crate) fn written(document: &serde_json::Value) -> Result<RawManifest, RegistryError> {
    let bytes = Bytes::from(document.to_string());
    if bytes.len() > MAX_MANIFEST {
        let why = format!("a manifest of {} bytes is larger than a manifest may be", bytes.len());
        return Err(error(RegistryErrorKind::Malformed, why));
    }
    Ok(RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_MANIFEST.to_owned() })
}

/// The manifest of an artifact: the same bytes for the same artifact and subject.
fn manifest_of(artifact: &NewReferrer, subject: &RawManifest) -> Result<RawManifest, RegistryError> {
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()});
    written(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact.artifact_type,
        "config": descriptor(EMPTY, EMPTY_BYTES),
        "layers": [descriptor(&artifact.media_type, &artifact.bytes)],
        "subject": descriptor(&subject.media_type, &subject.bytes),
        "annotations": artifact.annotations,
    }))
}

impl Http {
    /// Attaches an artifact to an image. Blobs come first, the manifest after them, and where the registry keeps no list of
    /// referrers, the entry under the fallback tag last.
    pub(crate) async fn attach(&self, subject: &Pinned, artifact: &NewReferrer) -> Result<Digest, RegistryError> {
        let repository = &subject.repository;
        let image = self.manifest(repository, subject.digest).await?;
        let node = Node::new(manifest_of(artifact, &image)?)?;
        let empty = Bytes::from_static(EMPTY_BYTES);
        let blobs = [self.upload_bytes(repository, &empty), self.upload_bytes(repository, &artifact.bytes)];
        futures_util::future::try_join_all(blobs).await?;
        if !self.put_manifest(repository, &node.raw.digest.to_string(), &node.raw).await? {
            self.list_in_fallback(repository, subject.digest, &[Entry::of(&node)]).await?;
        }
        Ok(node.raw.digest)
    }

    /// Takes an artifact off an image: out of the list first, so that no list ever names what is not there.
    pub(crate) async fn detach(&self, subject: &Pinned, manifest: Digest) -> Result<Detached, RegistryError> {
        let repository = &subject.repository;
        self.unlist_in_fallback(repository, subject.digest, manifest).await?;
        let delete = self.deletion(repository, manifest)?;
        let said = match self.send(&delete).await {
            Ok(response) => format!("it answered {}", response.status().as_u16()),
            // Whoever may write need not be allowed to remove.
            Err(refused) if refused.kind == RegistryErrorKind::Denied => refused.message,
            Err(other) => return Err(other),
        };
        if !self.is_there(&repository.at(manifest)).await? {
            return Ok(Detached::Removed);
        }
        // What the registry itself does not list is found by nobody who does not know its digest.
        let listed = self.referrers(subject).await?.iter().any(|referrer| referrer.digest == manifest);
        if !listed {
            return Ok(Detached::Unlisted);
        }
        let why = format!("{repository}: the registry does not remove manifest {manifest} ({said})");
        Err(error(RegistryErrorKind::Unsupported, why))
    }

    /// Removes a manifest with its tags; one that is not there is no error.
    pub(crate) async fn delete_manifest(&self, repository: &Repository, manifest: Digest) -> Result<(), RegistryError> {
        let status = self.send(&self.deletion(repository, manifest)?).await?.status().as_u16();
        if !self.is_there(&repository.at(manifest)).await? {
            return Ok(());
        }
        let why = format!("{repository}: the registry does not remove manifest {manifest} (it answered {status})");
        Err(error(RegistryErrorKind::Unsupported, why))
    }

    fn deletion(&self, repository: &Repository, manifest: Digest) -> Result<Call, RegistryError> {
        let mut delete = self.manifest_call(Method::DELETE, repository, &manifest.to_string())?;
        delete.scopes = Scopes::delete(repository);
        delete.expect = &[200, 202, 204, 400, 404, 405, 501];
        Ok(delete)
    }

    async fn is_there(&self, image: &Pinned) -> Result<bool, RegistryError> {
        match self.manifest(&image.repository, image.digest).await {
            Ok(_) => Ok(true),
            Err(refused) if refused.kind == RegistryErrorKind::NotFound => Ok(false),
            Err(other) => Err(other),
        }
    }
}
