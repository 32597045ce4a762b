//! Signatures as cosign 2 stores them, under a tag beside the image.

use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Tag},
};
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind, SimpleSignature, StoredSignatures};

use crate::{
    blob::BlobRef,
    error::{error, printable},
    manifest::{self, Content, Descriptor},
    referrers::suffixed_tag,
    transport::Http,
};

/// The media type of a payload (sigstore/cosign, `specs/SIGNATURE_SPEC.md`).
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a payload's layer that holds the signature, in base64 (the same specification).
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The most layers of a signature manifest that are read.
pub const MAX_SIGNATURES: usize = 64;
/// The largest payload that is read, in bytes. Real ones have a few hundred.
pub const MAX_PAYLOAD: u64 = 64 << 10;

/// The tag under which cosign 2 keeps the signatures of an image.
///
/// # Errors
/// None: a digest always makes a tag. The type of [`Tag`] does not know.
pub fn signature_tag(digest: Digest) -> Result<Tag, RegistryError> {
    suffixed_tag(digest, ".sig")
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
}
