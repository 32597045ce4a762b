//! Attestations beside images: finding those that count, from nothing but the registry and the key.

use bytes::Bytes;
use futures_util::StreamExt;
use sealift_domain::{
    attestation::{Attestation, Expected, PREDICATE_TYPE},
    digest::Digest,
    ledger::Ledger,
    name::EnvironmentName,
    promotion::{Promotion, PromotionId},
    reference::{Pinned, Tag},
    release::Release,
    signature::PublicKey,
};
use serde::Deserialize;

use crate::ports::{
    attest::{Attestor, BUNDLE, PREDICATE_ANNOTATION},
    registry::{Registry, RegistryError, RegistryErrorKind},
};

/// The most bundles beside one image that are looked at.
const MAX_BUNDLES: usize = 256;
/// The largest bundle that is read, in bytes. Ours have a few thousand.
const MAX_BUNDLE: u64 = 2 << 20;

/// An attestation that lies beside an image and whose signature holds.
#[derive(Clone, Debug)]
pub struct Found {
    /// The manifest that refers to the image.
    pub manifest: Digest,
    /// What it says.
    pub attestation: Attestation,
    /// The bytes that were signed.
    pub statement: Vec<u8>,
    /// The envelope.
    pub envelope: Vec<u8>,
    /// The key.
    pub key: PublicKey,
}

/// What was found beside an image.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The attestations by one of the keys.
    pub found: Vec<Found>,
    /// What else claims to be one, and why it is none.
    pub refused: Vec<(Digest, String)>,
    /// How many bundles there are, of any kind.
    pub bundles: usize,
}

/// Why an image is not attested.
#[derive(Debug, thiserror::Error)]
pub enum NotAttested {
    /// The registry does not tell.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is none that says what is wanted.
    #[error("{image} has no attestation that it is {level}{}", said(.refused))]
    None {
        /// The image.
        image: Pinned,
        /// What is wanted, by its name.
        level: String,
        /// What is there instead, and why it does not count.
        refused: Vec<(Digest, String)>,
    },
    /// There is one, and the log says that it does not count any more.
    #[error("{image}: {why}")]
    Withdrawn {
        /// The image.
        image: Pinned,
        /// What the log says.
        why: String,
    },
}

/// The first refusals, for people.
fn said(refused: &[(Digest, String)]) -> String {
    match refused.split_first() {
        None => ": there is none at all".to_owned(),
        Some(((digest, why), [])) => format!(": of {}, {why}", digest.short()),
        Some(((digest, why), more)) => format!(": of {}, {why} (and {} more)", digest.short(), more.len()),
    }
}

/// As much of a manifest as it takes to read a bundle.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Digest,
    size: u64,
}

/// Finds the attestations beside an image that one of `keys` has signed. What they say is not compared with anything yet.
///
/// # Errors
/// The registry fails, or names what is not there.
pub async fn look(
    registry: &dyn Registry,
    attestor: &dyn Attestor,
    image: &Pinned,
    keys: &[PublicKey],
) -> Result<Looked, RegistryError> {
    let mut looked = Looked::default();
    for referrer in registry.referrers(image).await? {
        if referrer.artifact_type != BUNDLE && !referrer.artifact_type.is_empty() {
            continue;
        }
        looked.bundles += 1;
        if looked.bundles > MAX_BUNDLES {
            let message = format!("{image}: there are more than {MAX_BUNDLES} bundles beside it");
            return Err(RegistryError { kind: RegistryErrorKind::Malformed, message });
        }
        match bundle(registry, &image.repository.at(referrer.digest)).await? {
            Bundle::Other => {}
            Bundle::Refused(why) => looked.refused.push((referrer.digest, why)),
            Bundle::Read(bytes) => match opened(attestor, &bytes, keys) {
                Ok((attestation, statement, envelope, key)) => {
                    looked.found.push(Found { manifest: referrer.digest, attestation, statement, envelope, key });
                }
                Err(why) => looked.refused.push((referrer.digest, why)),
            },
        }
    }
    Ok(looked)
}

/// The attestation of an image that says what is wanted.
///
/// # Errors
/// See [`NotAttested`].
pub async fn attested(
    registry: &dyn Registry,
    attestor: &dyn Attestor,
    keys: &[PublicKey],
    expected: &Expected<'_>,
) -> Result<Found, NotAttested> {
    let Looked { found, mut refused, .. } = look(registry, attestor, expected.image, keys).await?;
    for found in found {
        match found.attestation.check(expected) {
            Ok(()) => return Ok(found),
            Err(why) => refused.push((found.manifest, why.to_string())),
        }
    }
    let level = expected.level.name(expected.environment);
    Err(NotAttested::None { image: expected.image.clone(), level, refused })
}

/// Whether the log still stands by an attestation: the promotion that it names attested just this statement, has neither failed
/// nor been withdrawn, and nothing is on hold.
///
/// # Errors
/// [`NotAttested::Withdrawn`], with what the log says.
pub fn counts(ledger: &Ledger, found: &Found) -> Result<(), NotAttested> {
    let id = found.attestation.details.promotion;
    let withdrawn = |why: String| NotAttested::Withdrawn { image: found.attestation.image.clone(), why };
    let promotion = ledger.promotions.get(&id).map(AsRef::as_ref);
    let promotion = promotion.ok_or_else(|| withdrawn(format!("there is no promotion {id} in the log")))?;
    if !names(promotion, found) {
        return Err(withdrawn(format!("promotion {id} of the log did not attest this")));
    }
    if !promotion.admission_counts() {
        return Err(withdrawn(format!("promotion {id} is {}: what it attested is withdrawn", promotion.status())));
    }
    not_held(ledger, &promotion.release, &promotion.to, id).map_err(withdrawn)
}

/// Whether the log names a statement as one of the promotion's.
fn names(promotion: &Promotion, found: &Found) -> bool {
    let statement = Digest::of(&found.statement);
    let attested = promotion.attested.iter().flat_map(|attested| attested.admitted.iter().chain(&attested.verified));
    let mut of_component = attested.filter(|(name, _)| **name == found.attestation.details.component);
    of_component.any(|(_, attachment)| attachment.statement == statement)
}

/// Whether nothing is on hold that a promotion brings, or where it goes.
pub(crate) fn not_held(
    ledger: &Ledger,
    release: &Release,
    to: &EnvironmentName,
    id: PromotionId,
) -> Result<(), String> {
    match ledger.holds_on(release, to).first() {
        Some(hold) => Err(format!("{} is on hold, so promotion {id} does not count: {}", hold.scope, hold.reason)),
        None => Ok(()),
    }
}

/// What a manifest turned out to be.
enum Bundle {
    /// It says itself that it is something else.
    Other,
    /// It cannot be read, and why.
    Refused(String),
    /// The bytes of a bundle.
    Read(Bytes),
}

async fn bundle(registry: &dyn Registry, place: &Pinned) -> Result<Bundle, RegistryError> {
    let raw = registry.manifest(place).await?;
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&raw.bytes) else { return Ok(Bundle::Other) };
    if manifest.annotations.get(PREDICATE_ANNOTATION).is_some_and(|kind| kind != PREDICATE_TYPE) {
        return Ok(Bundle::Other);
    }
    let [layer] = manifest.layers.as_slice() else { return Ok(Bundle::Other) };
    if layer.media_type != BUNDLE {
        return Ok(Bundle::Other);
    }
    if layer.size > MAX_BUNDLE {
        return Ok(Bundle::Refused(format!("its bundle has {} bytes, and {MAX_BUNDLE} are read", layer.size)));
    }
    let mut blob = registry.blob(&place.repository, layer.digest, layer.size).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(Bundle::Read(bytes.into()))
}

type Parts = (Attestation, Vec<u8>, Vec<u8>, PublicKey);

fn opened(attestor: &dyn Attestor, bundle: &[u8], keys: &[PublicKey]) -> Result<Parts, String> {
    let opened = attestor.verify(bundle, keys)?;
    let attestation = Attestation::parse(&opened.statement).map_err(|refusal| refusal.to_string())?;
    Ok((attestation, opened.statement, opened.envelope, opened.key))
}

/// Whether an image has signatures as cosign 2 makes them and no bundle: programs that find a bundle look for nothing else.
///
/// # Errors
/// The registry fails.
pub(crate) async fn would_hide_signatures(
    registry: &dyn Registry,
    image: &Pinned,
    looked: &Looked,
) -> Result<bool, RegistryError> {
    if looked.bundles > 0 {
        return Ok(false);
    }
    for suffix in ["sig", "att"] {
        let Ok(tag) = format!("sha256-{}.{suffix}", image.digest.hex()).parse::<Tag>() else { continue };
        if registry.resolve(&image.repository, &tag).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
