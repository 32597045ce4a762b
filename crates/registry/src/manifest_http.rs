//! Manifests over HTTP: read by digest or tag, written by digest or tag.

use async_trait::async_trait;
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use sealift_domain::{
    digest::Digest,
    reference::{Repository, Tag},
};
use sealift_engine::ports::registry::{RawManifest, RegistryError, RegistryErrorKind};

use crate::{
    error::{error, printable},
    graph::ManifestSource,
    manifest::{self, MAX_MANIFEST},
    retry::{Failure, retrying},
    transport::{Call, Http},
};

/// The header in which registries name what they answer with.
pub(crate) const CONTENT_DIGEST: &str = "docker-content-digest";
/// The header in which a registry says that it lists what was put as a referrer of this digest.
const SUBJECT: &str = "oci-subject";

/// A digest header that is there must name `digest`.
pub(crate) fn check_digest_header(subject: &str, headers: &HeaderMap, digest: Digest) -> Result<(), Failure> {
    let Some(header) = headers.get(CONTENT_DIGEST) else { return Ok(()) };
    let text = header.to_str().unwrap_or_default();
    if text.parse() == Ok(digest) {
        return Ok(());
    }
    let why = format!("{subject}: the registry calls it {}, its digest is {digest}", printable(text));
    Err(Failure::last(RegistryErrorKind::Corrupt, why))
}

impl Http {
    /// A call about a manifest. `reference` is a digest or a tag.
    pub(crate) fn manifest_call(
        &self,
        method: Method,
        repository: &Repository,
        reference: &str,
    ) -> Result<Call, RegistryError> {
        let what = if reference.starts_with("sha256:") { "manifest" } else { "tag" };
        let call = self.call(method, repository, &format!("manifests/{reference}"), format!("{what} {reference}"))?;
        Ok(call.header(ACCEPT, manifest::ACCEPT))
    }

    /// Reads a manifest by digest; the bytes have it.
    pub(crate) async fn manifest(&self, repository: &Repository, digest: Digest) -> Result<RawManifest, RegistryError> {
        retrying(&*self.shared.clock, || self.manifest_once(repository, digest)).await
    }

    /// [`Http::manifest`], in one try.
    pub(crate) async fn manifest_once(&self, repository: &Repository, digest: Digest) -> Result<RawManifest, Failure> {
        let call = self.manifest_call(Method::GET, repository, &digest.to_string())?;
        let raw = self.read_manifest_once(&call).await?;
        if raw.digest != digest {
            let why = format!("{}: the bytes have the digest {}", call.subject(), raw.digest);
            return Err(Failure::last(RegistryErrorKind::Corrupt, why));
        }
        Ok(raw)
    }

    /// Reads the manifest that a call names, and checks everything but the digest that was asked for.
    pub(crate) async fn read_manifest(&self, call: &Call) -> Result<RawManifest, RegistryError> {
        retrying(&*self.shared.clock, || self.read_manifest_once(call)).await
    }

    async fn read_manifest_once(&self, call: &Call) -> Result<RawManifest, Failure> {
        let subject = call.subject();
        let response = self.once(call).await?;
        let headers = response.headers().clone();
        let bytes = self.read(&subject, response, MAX_MANIFEST).await?;
        check_digest_header(&subject, &headers, Digest::of(&bytes))?;
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(manifest::raw(&subject, bytes, content_type)?)
    }

    /// The manifest that a tag names now; `None` if the tag does not exist.
    pub(crate) async fn tagged_manifest(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let call = self.manifest_call(Method::GET, repository, tag.as_str())?;
        match self.read_manifest(&call).await {
            Ok(raw) => Ok(Some(raw)),
            Err(refused) if refused.kind == RegistryErrorKind::NotFound => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Writes a manifest, byte for byte, under a digest or a tag. Says whether the registry keeps it in the list of referrers of
    /// its subject (OCI Distribution Specification 1.1, "Pushing Manifests with Subject").
    pub(crate) async fn put_manifest(
        &self,
        to: &Repository,
        reference: &str,
        raw: &RawManifest,
    ) -> Result<bool, RegistryError> {
        let mut call = self.manifest_call(Method::PUT, to, reference)?;
        let media_type = HeaderValue::try_from(raw.media_type.as_str())
            .map_err(|_| error(RegistryErrorKind::Malformed, "the media type is not a header value"))?;
        call.headers.insert(CONTENT_TYPE, media_type);
        call.body = Some(raw.bytes.clone());
        call.expect = &[200, 201, 202];
        let response = self.send(&call).await?;
        check_digest_header(&call.subject(), response.headers(), raw.digest).map_err(|failure| failure.error)?;
        Ok(response.headers().contains_key(SUBJECT))
    }

    /// What a tag names must be these bytes, to the last one.
    pub(crate) async fn read_back(&self, to: &Repository, tag: &Tag, raw: &RawManifest) -> Result<(), RegistryError> {
        let there = self.tagged_manifest(to, tag).await?;
        if there.as_ref().is_some_and(|there| there.bytes == raw.bytes && there.media_type == raw.media_type) {
            return Ok(());
        }
        let found = there.map_or("nothing".to_owned(), |there| format!("{} (`{}`)", there.digest, there.media_type));
        let why = format!("{to}:{tag} was written as {} (`{}`) and names {found}", raw.digest, raw.media_type);
        Err(error(RegistryErrorKind::Corrupt, why))
    }
}

/// The manifests of one repository.
pub(crate) struct InRepository<'a> {
    pub(crate) http: &'a Http,
    pub(crate) repository: &'a Repository,
}

#[async_trait]
impl ManifestSource for InRepository<'_> {
    async fn manifest(&self, digest: Digest) -> Result<RawManifest, RegistryError> {
        self.http.manifest(self.repository, digest).await
    }
}
