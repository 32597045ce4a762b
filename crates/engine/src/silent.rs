//! What a rollback by hand rests on while the registry does not answer: the image that the host has under its digest, and
//! the judgement of the promotion that made the release known-good.
//!
//! Only silence is bridged (`RegistryErrorKind::is_silence`). A registry that answers, be it that the image is gone, that
//! access is refused or that the bytes are others, is believed. And only [`Kind::Rollback`]: nothing enters an environment
//! this way that was not judged and verified there before.

use sealift_domain::{
    gate::{ALL, Fact, Facts, Gates, Judged, Verdict},
    ledger::Ledger,
    promotion::{Kind, Promotion, PromotionId, Status},
    reference::Pinned,
};

use crate::{error::EngineError, gather::Gathered, places, ports::driver::Driver, world::World};

/// Whether a rollback goes on without the registry: every image that was not read is one whose registry is silent, and the
/// host has it under that digest.
pub async fn rests_on_host(
    world: &World,
    ledger: &Ledger,
    promotion: &Promotion,
    read: &Gathered,
) -> Result<bool, EngineError> {
    let Ok(driver) = world.driver(&promotion.to) else { return Ok(false) };
    if promotion.kind != Kind::Rollback || read.silent.is_empty() {
        return Ok(false);
    }
    for (name, image) in &places::sources(ledger, promotion)? {
        let known = matches!(read.images.get(name), Some(Fact::Known(_)));
        let local = read.silent.contains(name) && has(driver.as_ref(), image).await;
        if !known && !local {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the host certainly has an image. Where it cannot be asked, it does not count as having it.
pub(crate) async fn has(driver: &dyn Driver, image: &Pinned) -> bool {
    driver.has(image).await.unwrap_or(false)
}

/// Lets gates that could not read an image pass as they passed when the release was promoted, under the same policy.
pub(crate) fn take_over(ledger: &Ledger, promotion: &Promotion, gates: &Gates, facts: &Facts, judged: &mut [Judged]) {
    let Some((id, earlier)) = earlier(ledger, promotion) else { return };
    let words = facts.components.values().find_map(|component| match &component.image {
        Fact::Unreadable(why) => Some(why.clone()),
        _ => None,
    });
    let Some(why) = words else { return };
    let (without, known) = (gates.judge(&other(facts)), gates.judge(&only_known(facts)));
    let any_known = facts.components.values().any(|component| matches!(component.image, Fact::Known(_)));
    let of = |list: &[Judged], name: &str| list.iter().find(|judged| judged.gate == name).cloned();
    for gate in judged.iter_mut().filter(|gate| is_error(gate) && may_be_bridged(gate)) {
        // A gate that answers otherwise when the image is missing instead of unreadable is one that asked for the image.
        let asked = of(&without, &gate.gate).is_some_and(|other| other.finding != gate.finding);
        let rest = !any_known || of(&known, &gate.gate).is_some_and(|judged| judged.passed());
        let Some(before) = of(&earlier, &gate.gate).filter(|before| before.passed() && before.code == gate.code) else {
            continue;
        };
        if asked && rest {
            let found = format!(
                "as promotion {id} was judged ({}); the registry does not answer now: {why}",
                plain(before.words())
            );
            gate.finding.verdict = Verdict::Pass { found };
            gate.finding.evidence = before.finding.evidence;
        }
    }
}

/// The judgement of the promotion that made the release known-good here, if it was under the policy in force.
fn earlier(ledger: &Ledger, promotion: &Promotion) -> Option<(PromotionId, Vec<Judged>)> {
    let policy = places::policy(ledger).ok()?.digest();
    let record = ledger.environments.get(&promotion.to)?;
    let past = record.known_good.iter().find(|past| past.release == promotion.release)?;
    let before = ledger.promotions.get(&past.promotion?)?;
    let fits = before.status() == Status::Completed
        && before.release == promotion.release
        && before.to == promotion.to
        && before.policy == policy;
    fits.then(|| (before.id, before.judged.clone()))
}

fn is_error(judged: &Judged) -> bool {
    matches!(judged.finding.verdict, Verdict::Error { .. })
}

/// The gate that compares digests. It is always required, and reads the image to see that its bytes have the digest.
const SAME_DIGEST: &str = "same_digest";

/// Gates by choice, and of those that are always required only [`SAME_DIGEST`]: that the host has the image under this very
/// digest, read just now, stands for reading it from the registry. Every other gate needs no registry.
fn may_be_bridged(judged: &Judged) -> bool {
    judged.gate == SAME_DIGEST || ALL.iter().any(|gate| gate.name == judged.gate && gate.require.is_some())
}

/// The same facts with every unreadable image, and what could not be read of the evidence about it, missing.
fn other(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    for component in facts.components.values_mut().filter(|c| matches!(c.image, Fact::Unreadable(_))) {
        component.image = Fact::Missing;
        if matches!(component.evidence, Some(Fact::Unreadable(_))) {
            component.evidence = Some(Fact::Missing);
        }
    }
    facts
}

/// The facts about those components whose image was read.
fn only_known(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    facts.components.retain(|_, component| matches!(component.image, Fact::Known(_)));
    if let Some(release) = sealift_domain::release::Release::new(
        facts.components.iter().map(|(name, component)| (name.clone(), component.digest)).collect(),
    ) {
        facts.release = release;
    }
    facts
}

/// What an earlier judgement found, without the words of one that was taken over itself.
fn plain(words: &str) -> &str {
    words.split("; the registry does not answer now").next().unwrap_or(words)
}
