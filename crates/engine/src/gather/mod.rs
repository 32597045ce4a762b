//! Gathering what gates judge and only the world knows: images, and where a gate asks for them evidence and source commits.

mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sealift_domain::{
    digest::Digest,
    evidence::Evidence,
    gate::{Fact, SourceFacts},
    image::Image,
    ledger::Ledger,
    name::ComponentName,
    promotion::Promotion,
    reference::Pinned,
};

use crate::{
    book::Book,
    error::EngineError,
    places,
    ports::registry::{Registry, RegistryErrorKind},
    proven::{self, Proven},
    world::World,
};

pub(crate) use evidence::within_limits;
pub use evidence::{Read, read};

/// What the world says about a promotion.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    pub(crate) images: BTreeMap<ComponentName, Fact<Image>>,
    /// The images whose registry does not answer at all ([`RegistryErrorKind::is_silence`]).
    pub(crate) silent: BTreeSet<ComponentName>,
    pub(crate) evidence: BTreeMap<ComponentName, Fact<Vec<Evidence>>>,
    pub(crate) sources: BTreeMap<ComponentName, Fact<SourceFacts>>,
    /// The consent that was verified again.
    pub(crate) proven: Proven,
    /// The bytes that the evidence was read from.
    pub(crate) bodies: BTreeMap<Digest, Bytes>,
}

/// Reads, by digest, the images that a promotion would copy, and what its target's gates ask for beyond that.
pub async fn gather(
    book: &Book,
    world: &World,
    ledger: &Ledger,
    promotion: &Promotion,
) -> Result<Gathered, EngineError> {
    let sources = places::sources(ledger, promotion)?;
    let asks = places::environment(ledger, &promotion.to)?.gates.asks();
    let images = read_images(world.registry.as_ref(), &sources);
    let commits = commits(world, ledger, promotion, &asks.branches);
    let ((images, silent), sources) = futures_util::future::join(images, commits).await;
    let proven = proven::verify(book, world.signatures.as_ref(), ledger, promotion, world.clock.now()).await?;
    let mut gathered = Gathered { images, silent, sources, proven, ..Gathered::default() };
    if asks.evidence {
        evidence::gather(book, world, ledger, promotion, &asks.trusts, &mut gathered).await?;
    }
    Ok(gathered)
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

/// Where the source commit of each component is, if a gate names branches.
async fn commits(
    world: &World,
    ledger: &Ledger,
    promotion: &Promotion,
    branches: &[&str],
) -> BTreeMap<ComponentName, Fact<SourceFacts>> {
    if branches.is_empty() {
        return BTreeMap::new();
    }
    let repository = ledger.policy.as_ref().and_then(|policy| policy.source.clone());
    let mut found = BTreeMap::new();
    for (name, digest) in promotion.release.components() {
        let commit = ledger.builds.get(&digest).and_then(|build| build.fact.commit.clone());
        let fact = match (&repository, commit) {
            (Some(repository), Some(commit)) => {
                match world.sources.branches_with(repository, &commit, branches).await {
                    Ok(branches) => Fact::Known(SourceFacts { repository: repository.clone(), commit, branches }),
                    Err(why) => Fact::Unreadable(why.to_string()),
                }
            }
            (None, _) => Fact::Unreadable("`source` in sealift.yaml does not say where the source is".to_owned()),
            (Some(_), None) => Fact::Missing,
        };
        found.insert(name.clone(), fact);
    }
    found
}
