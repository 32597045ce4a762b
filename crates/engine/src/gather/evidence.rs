//! What others say of an image: beside it in its registry, in its index, and handed in to the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use sealift_domain::{
    digest::Digest,
    evidence::{Claim, Evidence, Form, Origin, Trust},
    gate::Fact,
    image::Image,
    ledger::Ledger,
    name::ComponentName,
    promotion::Promotion,
    reference::Pinned,
};

use super::Gathered;
use crate::{
    book::Book,
    error::EngineError,
    places,
    ports::{evidence::Found, registry::StoredEvidence},
    world::World,
};

/// The most pieces that may be handed in for one artifact. All of them are read or none: what is left out might be what counts.
pub(crate) const HANDED_IN: usize = 256;
/// The most bytes that may be handed in for one artifact.
pub(crate) const HANDED_IN_BYTES: u64 = 128 << 20;

/// Evidence about one image, and the bytes that it was read from.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// What was read.
    pub evidence: Vec<Evidence>,
    /// The bytes by their digest.
    pub bodies: BTreeMap<Digest, Bytes>,
}

pub(super) async fn gather(
    book: &Book,
    world: &World,
    ledger: &Ledger,
    promotion: &Promotion,
    trusts: &[&Trust],
    gathered: &mut Gathered,
) -> Result<(), EngineError> {
    let places = places::evidence_at(ledger, promotion)?;
    let reads = places.iter().map(|(name, places)| {
        let image = match gathered.images.get(name) {
            Some(Fact::Known(image)) => Some(image),
            _ => None,
        };
        async move { (name.clone(), of_component(book, world, ledger, places, image, trusts).await) }
    });
    let found: Vec<(ComponentName, Result<Read, String>)> = futures_util::future::join_all(reads).await;
    for (name, read) in found {
        let fact = match read {
            Ok(read) if read.evidence.is_empty() => Fact::Missing,
            Ok(read) => {
                gathered.bodies.extend(read.bodies);
                Fact::Known(read.evidence)
            }
            Err(why) => Fact::Unreadable(why),
        };
        gathered.evidence.insert(name, fact);
    }
    Ok(())
}

/// Everything that is said of one component's image. Places further away are asked only where nothing signed by somebody
/// trusted lies nearer, so that a registry that is far or down decides nothing in vain.
async fn of_component(
    book: &Book,
    world: &World,
    ledger: &Ledger,
    places: &[Pinned],
    image: Option<&Image>,
    trusts: &[&Trust],
) -> Result<Read, String> {
    let Some(nearest) = places.first() else { return Ok(Read::default()) };
    let platforms: Vec<Digest> =
        image.iter().flat_map(|image| image.platforms.iter().map(|platform| platform.digest)).collect();
    let mut all = handed_in(book, world, ledger, nearest.digest, &platforms, trusts).await?;
    let mut failed = None;
    for place in places {
        match read(world, place, &platforms, trusts).await {
            Ok(here) => {
                let signed = here.evidence.iter().any(|evidence| !evidence.signers.is_empty());
                merge(&mut all, here);
                if signed {
                    return Ok(all);
                }
            }
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    // What cannot be read might have been the right one, or the wrong one that says what happened.
    match failed {
        Some(why) => Err(why),
        None => Ok(all),
    }
}

fn merge(all: &mut Read, more: Read) {
    for evidence in more.evidence {
        if !all.evidence.contains(&evidence) {
            all.evidence.push(evidence);
        }
    }
    all.bodies.extend(more.bodies);
}

/// What lies beside an image and its platforms in one place.
///
/// # Errors
/// The registry does not answer, lists what it does not have, or holds more than is read; or a trusted key cannot be used.
pub async fn read(world: &World, place: &Pinned, platforms: &[Digest], trusts: &[&Trust]) -> Result<Read, String> {
    let stored = world.registry.evidence(place, platforms).await.map_err(|error| error.message)?;
    let (readable, other): (Vec<_>, Vec<_>) = stored.into_iter().partition(|stored| stored.form.is_some());
    let found = readable.into_iter().filter_map(found).collect::<Vec<_>>();
    let mut all = read_found(world, found, trusts)?;
    all.evidence.extend(other.into_iter().map(|stored| unread(stored, place)));
    Ok(all)
}

fn found(stored: StoredEvidence) -> Option<Found> {
    let origin = stored.index.map_or(Origin::Attached, Origin::Index);
    Some(Found { form: stored.form?, origin, bytes: stored.bytes, detached: stored.detached })
}

/// Something of a kind that nothing here reads. That it is there is a fact all the same.
fn unread(stored: StoredEvidence, place: &Pinned) -> Evidence {
    Evidence {
        digest: stored.digest,
        form: Form::Document,
        origin: stored.index.map_or(Origin::Attached, Origin::Index),
        detached: None,
        subjects: [place.digest].into(),
        configs: std::collections::BTreeSet::new(),
        signers: Vec::new(),
        claim: Claim::Other { kind: stored.kind },
        why_not: None,
    }
}

fn read_found(world: &World, found: Vec<Found>, trusts: &[&Trust]) -> Result<Read, String> {
    let evidence = world.evidence.read(&found, trusts)?;
    // What was read bears the digest of its bytes, in the order in which it was found.
    let bodies = evidence.iter().map(|evidence| evidence.digest).zip(found.into_iter().map(|found| found.bytes));
    let bodies = bodies.collect();
    Ok(Read { evidence, bodies })
}

/// Whether so many pieces of these sizes, in bytes, may be handed in for one artifact.
///
/// # Errors
/// Why not, for people.
pub(crate) fn within_limits(artifact: Digest, sizes: impl Iterator<Item = u64>) -> Result<(), String> {
    let (pieces, bytes) = sizes.fold((0, 0_u64), |(pieces, bytes), size| (pieces + 1, bytes.saturating_add(size)));
    if pieces <= HANDED_IN && bytes <= HANDED_IN_BYTES {
        return Ok(());
    }
    let most = HANDED_IN_BYTES >> 20;
    Err(format!(
        "{pieces} pieces of evidence with {bytes} bytes were handed in for {artifact}; at most {HANDED_IN} pieces with {most} MiB \
         are read, and none is left out: promote a new build, and hand in fewer for it"
    ))
}

/// What was handed in to the log for an image or one of its platforms.
async fn handed_in(
    book: &Book,
    world: &World,
    ledger: &Ledger,
    image: Digest,
    platforms: &[Digest],
    trusts: &[&Trust],
) -> Result<Read, String> {
    let others = platforms.iter().filter(|digest| **digest != image);
    let all = std::iter::once(&image).chain(others);
    let recorded: Vec<_> = all.filter_map(|digest| Some((digest, ledger.evidence.get(digest)?))).collect();
    for (artifact, list) in &recorded {
        within_limits(**artifact, list.iter().map(|recorded| recorded.fact.size))?;
    }
    let mut found = Vec::new();
    for recorded in recorded.iter().flat_map(|(_, list)| list.iter().rev()) {
        let object = recorded.fact.object;
        let bytes = book.object(object).await.map_err(|error| error.to_string())?;
        let Some(bytes) = bytes else {
            return Err(format!("{object} was handed in, and is no longer beside the log: `sealift audit verify`"));
        };
        if Digest::of(&bytes) != object {
            return Err(format!("what lies beside the log as {object} has another digest: `sealift audit verify`"));
        }
        let origin = Origin::Recorded { at: recorded.at, receipt: recorded.receipt };
        found.push(Found { form: recorded.fact.form, origin, bytes: bytes.into(), detached: None });
    }
    read_found(world, found, trusts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_read_is_an_error_and_never_cut() {
        let artifact = Digest::of(b"image");
        let limits = |pieces: usize, size: u64| within_limits(artifact, std::iter::repeat_n(size, pieces));
        assert_eq!(limits(0, 0), Ok(()));
        assert_eq!(limits(HANDED_IN, HANDED_IN_BYTES / HANDED_IN as u64), Ok(()));
        for (pieces, size) in [(HANDED_IN + 1, 1), (2, HANDED_IN_BYTES / 2 + 1), (2, u64::MAX)] {
            let why = limits(pieces, size).unwrap_err();
            assert!(why.contains(&artifact.to_string()) && why.contains("at most 256 pieces with 128 MiB"), "{why}");
        }
    }
}
