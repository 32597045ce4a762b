//! What is stored beside an image: signatures as cosign 2 stores them, and whatever refers to it.

use bytes::Bytes;
use reqwest::{
    Method, Response, Url,
    header::{ACCEPT, LINK},
};
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Tag},
};
use sealift_engine::ports::registry::{Referrer, RegistryError, RegistryErrorKind, SimpleSignature, StoredSignatures};
use serde::Deserialize;

use crate::{
    blob::BlobRef,
    endpoint::origin,
    error::{error, printable},
    manifest::{self, Content, Descriptor, MAX_MANIFEST, OCI_INDEX},
    retry::{Failure, retrying},
    transport::{Call, Http},
};

/// The media type of a payload (sigstore/cosign, `specs/SIGNATURE_SPEC.md`).
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a payload's layer that holds the signature, in base64 (the same specification).
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The most layers of a signature manifest that are read.
pub const MAX_SIGNATURES: usize = 64;
/// The largest payload that is read, in bytes. Real ones have a few hundred.
pub const MAX_PAYLOAD: u64 = 64 << 10;
/// The most pages of a list of referrers that are read.
pub const MAX_PAGES: usize = 16;

/// The tag under which cosign 2 keeps the signatures of an image.
///
/// # Errors
/// None: a digest always makes a tag. The type of [`Tag`] does not know.
pub fn signature_tag(digest: Digest) -> Result<Tag, RegistryError> {
    tag(&format!("sha256-{}.sig", digest.hex()))
}

fn tag(text: &str) -> Result<Tag, RegistryError> {
    text.parse().map_err(|_| error(RegistryErrorKind::Malformed, format!("`{text}` is no tag")))
}

/// A list of referrers (OCI Distribution Specification 1.1, "Listing Referrers").
#[derive(Deserialize)]
struct List {
    manifests: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    digest: Digest,
    artifact_type: Option<String>,
}

impl List {
    fn read(what: &str, bytes: &[u8]) -> Result<Vec<Referrer>, RegistryError> {
        let list: Self = serde_json::from_slice(bytes)
            .map_err(|why| error(RegistryErrorKind::Malformed, format!("{what} cannot be used: {why}")))?;
        let referrer = |listed: Listed| Referrer {
            digest: listed.digest,
            artifact_type: printable(&listed.artifact_type.unwrap_or_default()),
        };
        Ok(list.manifests.into_iter().map(referrer).collect())
    }
}

impl Http {
    /// The signatures under the tag of cosign 2. After the tag was resolved, everything is read by digest.
    pub(crate) async fn signatures(&self, image: &Pinned) -> Result<StoredSignatures, RegistryError> {
        let repository = &image.repository;
        let tag = signature_tag(image.digest)?;
        let Some(digest) = self.resolve(repository, &tag).await? else { return Ok(StoredSignatures::default()) };
        let what = format!("{repository}:{tag} ({digest})");
        let malformed = |why: String| error(RegistryErrorKind::Malformed, format!("{what} cannot be used: {why}"));
        let raw = self.manifest(repository, digest).await?;
        let Content::Image { layers, .. } = manifest::read(&raw)?.content else {
            return Err(malformed("it is an index, not signatures".to_owned()));
        };
        if layers.len() > MAX_SIGNATURES {
            return Err(malformed(format!("it lists {} layers; the limit is {MAX_SIGNATURES}", layers.len())));
        }
        let mut stored = StoredSignatures::default();
        for layer in layers {
            if layer.media_type != SIMPLE_SIGNING {
                stored.other.push(printable(&layer.media_type));
                continue;
            }
            if layer.size > MAX_PAYLOAD {
                return Err(malformed(format!("a payload has {} bytes; the limit is {MAX_PAYLOAD}", layer.size)));
            }
            stored.simple.push(self.simple_signature(image, layer).await?);
        }
        Ok(stored)
    }

    async fn simple_signature(&self, image: &Pinned, mut layer: Descriptor) -> Result<SimpleSignature, RegistryError> {
        let blob = BlobRef { repository: image.repository.clone(), digest: layer.digest, size: layer.size };
        // The tag names the manifest and the manifest names this blob, so its absence is damage and not the lack of a signature.
        let payload = self.small_blob(&blob).await?;
        Ok(SimpleSignature { payload, signature: layer.annotations.remove(SIGNATURE_ANNOTATION) })
    }

    /// The referrers, from the registry's own list, or from the fallback tag where the registry keeps none (OCI Distribution
    /// Specification 1.1, "Unavailable Referrers API").
    pub(crate) async fn referrers(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        let path = format!("referrers/{}", image.digest);
        let mut call = self.call(Method::GET, &image.repository, &path, format!("referrers of {}", image.digest))?;
        call = call.header(ACCEPT, OCI_INDEX);
        // 404 is what the specification says; the others are what registries say that do not know the path.
        call.expect = &[200, 400, 404, 405, 406, 501];
        let mut found = Vec::new();
        for page in 0..MAX_PAGES {
            let (bytes, next) = match self.page(&call).await? {
                Some(page) => page,
                None if page == 0 => return self.fallback(image).await,
                None => return Err(error(RegistryErrorKind::Malformed, format!("{}: a page is gone", call.subject()))),
            };
            found.extend(List::read(&call.subject(), &bytes)?);
            match next {
                None => return Ok(found),
                Some(next) => call.url = next,
            }
        }
        let why = format!("{}: the list has more than {MAX_PAGES} pages", call.subject());
        Err(error(RegistryErrorKind::Malformed, why))
    }

    /// One page and where the next one is; `None` if there is no such list.
    async fn page(&self, call: &Call) -> Result<Option<(Bytes, Option<Url>)>, RegistryError> {
        let attempt = || async {
            let response = self.once(call).await?;
            if response.status() != 200 {
                return Ok(None);
            }
            let next = next_page(call, &response)?;
            let bytes = self.read(&call.subject(), response, MAX_MANIFEST).await?;
            Ok(Some((bytes, next)))
        };
        retrying(&*self.shared.clock, attempt).await
    }

    async fn fallback(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        let tag = tag(&format!("sha256-{}", image.digest.hex()))?;
        let Some(digest) = self.resolve(&image.repository, &tag).await? else { return Ok(Vec::new()) };
        let raw = self.manifest(&image.repository, digest).await?;
        List::read(&format!("{}:{tag}", image.repository), &raw.bytes)
    }
}

/// The page that the answer's `Link` names (RFC 8288), on the same registry and nowhere else.
fn next_page(call: &Call, response: &Response) -> Result<Option<Url>, Failure> {
    let Some(link) = response.headers().get(LINK) else { return Ok(None) };
    let malformed = || {
        let why = format!("{}: the link to the next page cannot be used", call.subject());
        Failure::last(RegistryErrorKind::Malformed, why)
    };
    let text = link.to_str().map_err(|_| malformed())?;
    let (target, parameters) =
        text.trim().strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(malformed)?;
    if !parameters.contains("rel=\"next\"") && !parameters.contains("rel=next") {
        return Ok(None);
    }
    let next = call.url.join(target).map_err(|_| malformed())?;
    if origin(&next) == origin(&call.url) { Ok(Some(next)) } else { Err(malformed()) }
}
