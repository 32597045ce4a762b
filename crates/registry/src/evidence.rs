//! Evidence as it is stored beside an artifact: under cosign's tags, as referrers, and in the index itself.
//!
//! Bytes are read and compared with their digests; nothing of what they say is looked at here.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::{try_join_all, try_join3};
use sealift_domain::{
    digest::Digest,
    evidence::{DetachedSignature, Form},
    reference::{Pinned, Tag},
};
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind, StoredEvidence};

use crate::{
    blob::BlobRef,
    error::{error, printable},
    manifest::{self, Content, Descriptor},
    referrers::suffixed_tag,
    transport::Http,
};

/// The media type of a payload that cosign 2 signed (sigstore/cosign, `specs/SIGNATURE_SPEC.md`).
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a payload's layer that holds the signature, in base64 (the same specification).
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The annotation that holds the certificate of who signed, in PEM (the same specification).
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
/// The annotation that holds the certificates above it.
pub const CHAIN_ANNOTATION: &str = "dev.sigstore.cosign/chain";
/// The annotation that holds what the transparency log promised.
pub const LOG_ANNOTATION: &str = "dev.sigstore.cosign/bundle";
/// The media type of an attestation of cosign 2 (sigstore/cosign, `specs/ATTESTATION_SPEC.md`).
pub const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// How the media types of all Sigstore bundles begin (sigstore/protobuf-specs, `sigstore_bundle.proto`).
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// The media type of a statement that BuildKit puts into an index (moby/buildkit, `docs/attestations/attestation-storage.md`).
pub const STATEMENT: &str = "application/vnd.in-toto+json";
/// The annotation by which BuildKit marks attestations among the children of an index (the same document).
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// The most pieces of evidence that are read about one artifact.
pub const MAX_PIECES: usize = 256;
/// The largest piece that is read, in bytes.
pub const MAX_PIECE: u64 = 64 << 20;
/// The largest payload of a detached signature that is read, in bytes. Real ones have a few hundred.
pub const MAX_PAYLOAD: u64 = 64 << 10;
/// The most that is read about one artifact with its platforms, in bytes.
pub const MAX_TOTAL: u64 = 128 << 20;

/// The tag under which cosign 2 keeps the signatures of an image.
///
/// # Errors
/// None: a digest always makes a tag. The type of [`Tag`] does not know.
pub fn signature_tag(digest: Digest) -> Result<Tag, RegistryError> {
    suffixed_tag(digest, ".sig")
}

/// The tag under which cosign 2 keeps the attestations of an image.
///
/// # Errors
/// None, as for [`signature_tag`].
pub fn attestation_tag(digest: Digest) -> Result<Tag, RegistryError> {
    suffixed_tag(digest, ".att")
}

/// What may still be read about one artifact.
struct Allowance {
    bytes: AtomicU64,
    pieces: AtomicU64,
}

impl Allowance {
    fn new() -> Self {
        Self { bytes: AtomicU64::new(0), pieces: AtomicU64::new(0) }
    }

    fn take(&self, what: &str, size: u64, limit: u64) -> Result<(), RegistryError> {
        let pieces = self.pieces.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        let why = if size > limit {
            format!("it has {size} bytes; the limit is {limit}")
        } else if pieces > MAX_PIECES as u64 {
            format!("there are more than {MAX_PIECES} pieces of evidence")
        } else if bytes > MAX_TOTAL {
            format!("the evidence has more than {MAX_TOTAL} bytes in total")
        } else {
            return Ok(());
        };
        Err(error(
            RegistryErrorKind::Malformed,
            format!("{what} cannot be used: {why}; delete it there if it does not belong there"),
        ))
    }
}

/// How a layer of this media type is read, if at all.
fn form(media_type: &str) -> Option<Form> {
    match media_type {
        SIMPLE_SIGNING => Some(Form::SimpleSigning),
        ENVELOPE => Some(Form::Envelope),
        STATEMENT => Some(Form::Statement),
        bundle if bundle.starts_with(BUNDLE) => Some(Form::Bundle),
        _ => None,
    }
}

/// The signature in the annotations of a layer.
fn detached(layer: &mut Descriptor) -> Option<DetachedSignature> {
    let mut take = |name: &str| layer.annotations.remove(name);
    Some(DetachedSignature {
        signature: take(SIGNATURE_ANNOTATION)?,
        certificate: take(CERTIFICATE_ANNOTATION),
        chain: take(CHAIN_ANNOTATION),
        bundle: take(LOG_ANNOTATION),
    })
}

impl Http {
    /// Everything that lies beside an image and beside the images of its platforms, and what is in the index itself. A tag or
    /// a list that names something which is not there is an error, never a lack of evidence.
    pub(crate) async fn evidence(
        &self,
        image: &Pinned,
        platforms: &[Digest],
    ) -> Result<Vec<StoredEvidence>, RegistryError> {
        let allowance = Allowance::new();
        let others = platforms.iter().filter(|digest| **digest != image.digest);
        let digests = std::iter::once(&image.digest).chain(others);
        let beside = try_join_all(digests.map(|digest| self.beside(image.repository.at(*digest), &allowance)));
        let (mut found, embedded) = futures_util::future::try_join(beside, self.embedded(image, &allowance)).await?;
        found.push(embedded);
        Ok(found.into_iter().flatten().collect())
    }

    /// What lies beside one manifest.
    async fn beside(&self, image: Pinned, allowance: &Allowance) -> Result<Vec<StoredEvidence>, RegistryError> {
        let (signatures, attestations) = (signature_tag(image.digest)?, attestation_tag(image.digest)?);
        let (signatures, attestations, referrers) = try_join3(
            self.under_tag(&image, &signatures, allowance),
            self.under_tag(&image, &attestations, allowance),
            self.referring(&image, allowance),
        )
        .await?;
        Ok(signatures.into_iter().chain(attestations).chain(referrers).collect())
    }

    async fn under_tag(
        &self,
        image: &Pinned,
        tag: &Tag,
        allowance: &Allowance,
    ) -> Result<Vec<StoredEvidence>, RegistryError> {
        let Some(digest) = self.resolve(&image.repository, tag).await? else { return Ok(Vec::new()) };
        // After the tag was resolved, everything is read by digest.
        self.layers(&image.repository.at(digest), None, None, allowance).await
    }

    async fn referring(&self, image: &Pinned, allowance: &Allowance) -> Result<Vec<StoredEvidence>, RegistryError> {
        let referrers = self.referrers(image).await?;
        let read = referrers.into_iter().map(|referrer| async move {
            let place = image.repository.at(referrer.digest);
            self.layers(&place, Some(referrer.artifact_type), None, allowance).await
        });
        Ok(try_join_all(read).await?.into_iter().flatten().collect())
    }

    /// What BuildKit put into the index: manifests that are named by digest among its children.
    async fn embedded(&self, image: &Pinned, allowance: &Allowance) -> Result<Vec<StoredEvidence>, RegistryError> {
        let raw = self.manifest(&image.repository, image.digest).await?;
        let Content::Index { manifests } = manifest::read(&raw)?.content else { return Ok(Vec::new()) };
        let attests = |child: &Descriptor| {
            child.annotations.get(REFERENCE_TYPE).is_some_and(|kind| kind == "attestation-manifest")
        };
        let read = manifests.into_iter().filter(attests).map(|child| async move {
            self.layers(&image.repository.at(child.digest), None, Some(image.digest), allowance).await
        });
        Ok(try_join_all(read).await?.into_iter().flatten().collect())
    }

    /// The layers of one manifest, those of a known type with their bytes.
    async fn layers(
        &self,
        place: &Pinned,
        listed_as: Option<String>,
        index: Option<Digest>,
        allowance: &Allowance,
    ) -> Result<Vec<StoredEvidence>, RegistryError> {
        let raw = self.manifest(&place.repository, place.digest).await?;
        let read = manifest::read(&raw)?;
        let unread = |kind: String| {
            let (form, detached, bytes) = (None, None, Bytes::new());
            StoredEvidence { form, kind, digest: place.digest, bytes, detached, index }
        };
        let Content::Image { config, layers } = read.content else {
            // A referrer may be an index, of which nothing here knows what it would say.
            allowance.take(&place.to_string(), 0, 0)?;
            return Ok(vec![unread(printable(&listed_as.unwrap_or(raw.media_type)))]);
        };
        let says = read.artifact_type.unwrap_or(config.media_type);
        if layers.iter().all(|layer| form(&layer.media_type).is_none()) {
            allowance.take(&place.to_string(), 0, 0)?;
            return Ok(vec![unread(printable(&says))]);
        }
        let pieces = layers.into_iter().map(|layer| self.piece(place, layer, index, allowance));
        try_join_all(pieces).await
    }

    async fn piece(
        &self,
        place: &Pinned,
        mut layer: Descriptor,
        index: Option<Digest>,
        allowance: &Allowance,
    ) -> Result<StoredEvidence, RegistryError> {
        let form = form(&layer.media_type);
        let limit = if form == Some(Form::SimpleSigning) { MAX_PAYLOAD } else { MAX_PIECE };
        allowance.take(&place.to_string(), form.map_or(0, |_| layer.size), limit)?;
        let bytes = match form {
            // The manifest names this blob, so its absence is damage and not a lack of evidence.
            Some(_) => {
                let blob = BlobRef { repository: place.repository.clone(), digest: layer.digest, size: layer.size };
                self.small_blob(&blob).await?
            }
            None => Bytes::new(),
        };
        let detached = detached(&mut layer);
        Ok(StoredEvidence { form, kind: printable(&layer.media_type), digest: layer.digest, bytes, detached, index })
    }
}
