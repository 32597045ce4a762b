//! Repeating a judgement from the log alone: the stored evidence, under the stored policy, by the gates of this program.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sealift_domain::{
    digest::Digest,
    entry::Leaf,
    event::Event,
    evidence::{Claim, Evidence},
    gate::{ALL, Fact, Facts, Gates, Judged},
    name::ComponentName,
    policy::Policy,
    promotion::{Judgement, Promotion, PromotionEvent, PromotionId},
};

use crate::{
    book::Book,
    decide,
    error::EngineError,
    judge, keep,
    ports::{evidence::Found, log::LogError},
    world::World,
};

/// A judgement as it stands in the log, with what it was made of.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Where in the log.
    pub index: u64,
    /// When it was committed.
    pub at: Timestamp,
    /// The judgement.
    pub judgement: Judgement,
    /// The policy that it was made under.
    pub policy: Policy,
    /// What it was made of; `None` if that is not beside the log: a program before this one kept nothing.
    pub kept: Option<keep::Kept>,
}

/// What repeating a judgement showed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// What was repeated.
    pub recorded: Recorded,
    /// The gates as they answer now.
    pub gates: Vec<Judged>,
    /// Where both differ, and why; empty if they agree.
    pub differences: Vec<Difference>,
}

/// Something that comes out otherwise than it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What: a gate's name, or `evidence`.
    pub what: String,
    /// What was recorded.
    pub recorded: String,
    /// What comes out now.
    pub now: String,
    /// Whether what judges has changed since: then a difference says nothing against the log.
    pub evaluator_changed: bool,
}

impl Replayed {
    /// Whether something differs that nothing explains.
    pub fn disagrees(&self) -> bool {
        self.differences.iter().any(|difference| !difference.evaluator_changed)
    }
}

/// The newest judgement of a promotion, with its policy and what it was made of.
pub async fn recorded(book: &Book, id: PromotionId) -> Result<Recorded, EngineError> {
    let ledger = book.ledger().await?;
    decide::promotion(&ledger, id)?;
    let log = book.log();
    let mut policies: BTreeMap<Digest, Policy> = BTreeMap::new();
    let mut newest = None;
    for (index, bytes) in log.leaves(0, ledger.size).await?.iter().enumerate() {
        let index = index as u64;
        let leaf = Leaf::parse(bytes).map_err(|source| EngineError::Entry { index, source })?;
        if leaf.kind != "policy-accepted" && leaf.kind != "promotion.judged" {
            continue;
        }
        let body = book.object(leaf.body).await?;
        match leaf.event(body.as_deref()).map_err(|source| EngineError::Entry { index, source })? {
            Event::PolicyAccepted(accepted) => {
                policies.insert(accepted.policy.digest(), accepted.policy);
            }
            Event::Promotion(changed) if changed.promotion == id => {
                if let PromotionEvent::Judged(judgement) = changed.change {
                    newest = Some((index, leaf.time, judgement));
                }
            }
            _ => {}
        }
    }
    let (index, at, judgement) =
        newest.ok_or_else(|| EngineError::NotFound(format!("promotion {id} was never judged")))?;
    let policy = policies
        .remove(&judgement.policy)
        .ok_or_else(|| EngineError::NotFound(format!("the policy {} is not in the log", judgement.policy)))?;
    let kept = match judgement.facts {
        Some(digest) => book.object(digest).await?.map(|bytes| read_kept(index, digest, &bytes)).transpose()?,
        None => None,
    };
    Ok(Recorded { index, at, judgement, policy, kept })
}

fn read_kept(index: u64, digest: Digest, bytes: &[u8]) -> Result<keep::Kept, EngineError> {
    let tampered = |what: String| EngineError::Log(LogError::Tampered { what, at: Some(index) });
    if Digest::of(bytes) != digest {
        return Err(tampered(format!("what lies beside the log as {digest} has another digest")));
    }
    keep::read(bytes).map_err(EngineError::Evidence)
}

/// Repeats the newest judgement of a promotion. Nothing but the log is asked.
pub async fn replay(book: &Book, world: &World, id: PromotionId) -> Result<Replayed, EngineError> {
    let ledger = book.ledger().await?;
    let promotion = decide::promotion(&ledger, id)?.clone();
    let recorded = recorded(book, id).await?;
    let Some(kept) = &recorded.kept else {
        let why = format!("what promotion {id} was judged on was not kept, or was erased at the end of its retention");
        return Err(EngineError::NotFound(why));
    };
    let gates = gates_of(&recorded.policy, &promotion)?;
    let mut differences = Vec::new();
    let (facts, gone) = read_again(book, world, gates, &kept.facts, &recorded.judgement.objects).await?;
    if gone > 0 {
        differences.push(Difference {
            what: "evidence".to_owned(),
            recorded: "kept beside the log".to_owned(),
            now: if gone == 1 { "1 piece is gone".to_owned() } else { format!("{gone} pieces are gone") },
            evaluator_changed: false,
        });
    }
    if facts != kept.facts {
        let now = env!("CARGO_PKG_VERSION");
        differences.push(Difference {
            what: "evidence".to_owned(),
            recorded: format!("as version {} of this program read it", kept.program),
            now: format!("read otherwise by version {now}"),
            evaluator_changed: kept.program != now,
        });
    }
    let again = gates.judge(&facts);
    compare(&recorded.judgement.gates, &again, kept.on_host, &mut differences);
    if differences.is_empty() && !kept.on_host {
        bound(&recorded.judgement, &again, kept.definition, &mut differences);
    }
    Ok(Replayed { gates: again, differences, recorded })
}

fn gates_of<'a>(policy: &'a Policy, promotion: &Promotion) -> Result<&'a Gates, EngineError> {
    let environment = policy.environments.get(&promotion.to);
    environment
        .map(|environment| &environment.gates)
        .ok_or_else(|| EngineError::UnknownEnvironment(promotion.to.clone()))
}

/// The facts with every piece of evidence read again from its bytes, and how many of them have no bytes any more. `objects` are
/// those that the judgement says were kept.
async fn read_again(
    book: &Book,
    world: &World,
    gates: &Gates,
    kept: &Facts,
    objects: &BTreeSet<Digest>,
) -> Result<(Facts, usize), EngineError> {
    let asks = gates.asks();
    let mut facts = kept.clone();
    let mut gone = 0;
    for (name, component) in &mut facts.components {
        let Some(Fact::Known(evidence)) = &mut component.evidence else { continue };
        for piece in evidence.iter_mut() {
            let Some(bytes) = book.object(piece.digest).await? else {
                gone += usize::from(was_kept(piece, objects));
                continue;
            };
            if Digest::of(&bytes) != piece.digest {
                let what = format!("what lies beside the log as {} has another digest", piece.digest);
                return Err(EngineError::Log(LogError::Tampered { what, at: None }));
            }
            let found = Found {
                form: piece.form,
                origin: piece.origin.clone(),
                bytes: bytes.into(),
                detached: piece.detached.clone(),
            };
            let read = world.evidence.read(&[found], &asks.trusts).map_err(|why| unreadable(name, &why))?;
            if let Some(read) = read.into_iter().next() {
                *piece = read;
            }
        }
    }
    Ok((facts, gone))
}

/// Whether the bytes of a piece of evidence were there once: only what nothing reads was never kept.
fn was_kept(piece: &Evidence, objects: &BTreeSet<Digest>) -> bool {
    objects.contains(&piece.digest) || !matches!(piece.claim, Claim::Other { .. })
}

fn unreadable(name: &ComponentName, why: &str) -> EngineError {
    EngineError::Evidence(format!("the evidence about {name} cannot be read again: {why}"))
}

/// Compares gate by gate. Where a rollback went on without its registry, gates stand on an earlier judgement.
fn compare(recorded: &[Judged], again: &[Judged], on_host: bool, differences: &mut Vec<Difference>) {
    for before in recorded {
        let now = again.iter().find(|now| now.gate == before.gate);
        if now.is_some_and(|now| now.finding == before.finding) || on_host && before.passed() {
            continue;
        }
        let version = ALL.iter().find(|gate| gate.name == before.gate).map(|gate| gate.version);
        differences.push(Difference {
            what: before.gate.clone(),
            recorded: before.words().to_owned(),
            now: now.map_or("this program has no such gate".to_owned(), |now| now.words().to_owned()),
            evaluator_changed: version != Some(before.version),
        });
    }
    for now in again.iter().filter(|now| recorded.iter().all(|before| before.gate != now.gate)) {
        differences.push(Difference {
            what: now.gate.clone(),
            recorded: "there was no such gate".to_owned(),
            now: now.words().to_owned(),
            evaluator_changed: true,
        });
    }
}

/// Whether the digest that approvals were bound to follows from the gates.
fn bound(judgement: &Judgement, again: &[Judged], definition: Option<Digest>, differences: &mut Vec<Difference>) {
    // That a gate was waived is no finding: it is taken from the record, which the comparison of findings stands for.
    let waived = judge::waived(&judgement.gates);
    let mut again = again.to_vec();
    again.iter_mut().for_each(|judged| judged.waived = waived.contains(&judged.gate));
    let now = judge::evidence_digest(&again, definition);
    if now != judgement.evidence {
        differences.push(Difference {
            what: "binding of approvals".to_owned(),
            recorded: judgement.evidence.to_string(),
            now: now.to_string(),
            evaluator_changed: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use sealift_domain::evidence::{Form, Origin};

    use super::*;

    #[test]
    fn only_what_nothing_reads_may_be_without_its_bytes() {
        let piece = |claim: Claim| Evidence {
            digest: Digest::of(b"piece"),
            form: Form::Document,
            origin: Origin::Attached,
            detached: None,
            subjects: BTreeSet::new(),
            configs: BTreeSet::new(),
            signers: Vec::new(),
            claim,
            why_not: None,
        };
        let other = || piece(Claim::Other { kind: "application/x".to_owned() });
        let none = BTreeSet::new();
        assert!(was_kept(&piece(Claim::Signature), &none));
        assert!(!was_kept(&other(), &none));
        assert!(was_kept(&other(), &[Digest::of(b"piece")].into()), "the judgement says that it was kept");
    }
}
