//! Gathering what gates judge and only registries know: images, and signatures where a gate asks for them.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::{
    gate::Fact,
    image::Image,
    ledger::Ledger,
    name::ComponentName,
    promotion::Promotion,
    reference::Pinned,
    signature::{ImageSignature, PublicKey, Signatures},
};

use crate::{
    error::EngineError,
    places,
    ports::registry::{Registry, RegistryErrorKind},
    world::World,
};

/// Artifact types of signatures that no gate reads yet: a Sigstore bundle in any of its versions, and notation's.
const UNREAD: [&str; 2] = ["application/vnd.dev.sigstore.bundle", "application/vnd.cncf.notary.signature"];

/// What registries say about a promotion.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    pub(crate) images: BTreeMap<ComponentName, Fact<Image>>,
    /// The images whose registry does not answer at all ([`RegistryErrorKind::is_silence`]).
    pub(crate) silent: BTreeSet<ComponentName>,
    pub(crate) signatures: BTreeMap<ComponentName, Fact<Signatures>>,
}

/// Reads, by digest, the images that a promotion would copy, and their signatures if its target wants any.
pub async fn gather(world: &World, ledger: &Ledger, promotion: &Promotion) -> Result<Gathered, EngineError> {
    let sources = places::sources(ledger, promotion)?;
    let images = read_images(world.registry.as_ref(), &sources);
    let gates = &places::environment(ledger, &promotion.to)?.gates;
    let Some(gate) = &gates.signature else {
        let (images, silent) = images.await;
        return Ok(Gathered { images, silent, signatures: BTreeMap::new() });
    };
    let places = places::signed_at(ledger, promotion)?;
    let reads = places.iter().map(|(name, places)| async move {
        let fact = match signatures(world, places, gate.keys()).await {
            Ok(Some(signatures)) => Fact::Known(signatures),
            Ok(None) => Fact::Missing,
            Err(why) => Fact::Unreadable(why),
        };
        (name.clone(), fact)
    });
    let ((images, silent), signatures) =
        futures_util::future::join(images, futures_util::future::join_all(reads)).await;
    Ok(Gathered { images, silent, signatures: signatures.into_iter().collect() })
}

async fn read_images(
    registry: &dyn Registry,
    sources: &BTreeMap<ComponentName, Pinned>,
) -> (BTreeMap<ComponentName, Fact<Image>>, BTreeSet<ComponentName>) {
    let reads = sources.iter().map(|(name, pinned)| async move { (name.clone(), registry.inspect(pinned).await) });
    let (mut images, mut silent) = (BTreeMap::new(), BTreeSet::new());
    for (name, found) in futures_util::future::join_all(reads).await {
        let fact = match found {
            Ok(image) => Fact::Known(image),
            Err(error) if error.kind == RegistryErrorKind::NotFound => Fact::Missing,
            Err(error) => {
                if error.kind.is_silence() {
                    silent.insert(name.clone());
                }
                Fact::Unreadable(error.message)
            }
        };
        images.insert(name, fact);
    }
    (images, silent)
}

/// The signatures of one image at all of its places; `None` if there are none. The first place with a right one ends the
/// search, so that a registry further away is asked only where it decides.
async fn signatures(
    world: &World,
    places: &[Pinned],
    keys: &BTreeSet<PublicKey>,
) -> Result<Option<Signatures>, String> {
    let registry = world.registry.as_ref();
    let mut found = Signatures::default();
    let mut failed = None;
    for image in places {
        match signatures_at(world, image, keys).await {
            Ok(here) if here.read.iter().any(|signature| is_right(signature, image)) => return Ok(Some(here)),
            Ok(here) => {
                found.read.extend(here.read);
                found.unread.extend(here.unread);
            }
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    // What cannot be read might have been the right one, or the wrong one that says what happened.
    if let Some(why) = failed {
        return Err(why);
    }
    for image in places {
        let referrers = registry.referrers(image).await.map_err(|error| error.message)?;
        let types = referrers.into_iter().map(|referrer| referrer.artifact_type);
        found.unread.extend(types.filter(|kind| UNREAD.iter().any(|known| kind.starts_with(known))));
    }
    found.unread.sort();
    found.unread.dedup();
    Ok(Some(found).filter(|found| *found != Signatures::default()))
}

fn is_right(signature: &ImageSignature, image: &Pinned) -> bool {
    signature.signer.is_some() && signature.signs == Some(image.digest)
}

async fn signatures_at(world: &World, image: &Pinned, keys: &BTreeSet<PublicKey>) -> Result<Signatures, String> {
    let stored = world.registry.signatures(image).await.map_err(|error| error.message)?;
    Ok(Signatures { read: world.image_signatures.check(&stored.simple, keys)?, unread: stored.other })
}
