//! Judging a promotion: put the facts together, ask every gate, look for consent, decide what follows.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealift_domain::{
    approval::{self, Binding, Consent, Parties},
    digest::Digest,
    failure::{Code, Failure},
    gate::{ComponentFacts, DatabaseFacts, Fact, Facts, Judged, Path},
    ledger::Ledger,
    name::ComponentName,
    policy::{ApprovalRule, Policy},
    promotion::{Judgement, Kind, Next, Promotion, Wait},
};

use crate::{error::EngineError, gather::Gathered, places, silent, world::World};

/// Everything that the gates may judge about a promotion.
pub fn facts(ledger: &Ledger, promotion: &Promotion, gathered: Gathered, now: Timestamp) -> Result<Facts, EngineError> {
    let Gathered { mut images, mut evidence, mut sources, .. } = gathered;
    let environment = places::environment(ledger, &promotion.to)?;
    let proving_ground = match promotion.kind {
        Kind::Rollback => Some(&promotion.to),
        Kind::Promote => environment.from.as_ref(),
    };
    let standing = proving_ground.and_then(|place| ledger.standing(place, &promotion.release));
    let verified_there = environment
        .from
        .as_ref()
        .and_then(|from| ledger.environments.get(from))
        .and_then(|record| record.verified_now());
    let component = |(name, digest): (&ComponentName, Digest)| {
        let build = ledger.builds.get(&digest).cloned().map_or(Fact::Missing, Fact::Known);
        let image = images.remove(name).unwrap_or(Fact::Unreadable("it was not read".to_owned()));
        let (evidence, source) = (evidence.remove(name), sources.remove(name));
        (name.clone(), ComponentFacts { digest, build, image, evidence, source })
    };
    Ok(Facts {
        now,
        kind: promotion.kind,
        path: Path {
            asked: promotion.asked_from.clone(),
            declared: environment.from.clone(),
            to: promotion.to.clone(),
        },
        release: promotion.release.clone(),
        by_hand: promotion.by_hand.then(|| promotion.release.clone()),
        components: promotion.release.components().map(component).collect(),
        standing: standing.cloned().map_or(Fact::Missing, Fact::Known),
        verified_there: verified_there.cloned(),
        holds: ledger.holds_on(&promotion.release, &promotion.to),
        freezes: ledger.freezes_of(&promotion.to),
        database: database_facts(ledger, promotion),
    })
}

fn database_facts(ledger: &Ledger, promotion: &Promotion) -> DatabaseFacts {
    let mut facts = ledger.database_facts(&promotion.to);
    if promotion.kind == Kind::Rollback {
        facts.target = ledger.schema_on_record(&promotion.to, &promotion.release);
    }
    facts
}

/// The digest over what the passing gates used and over the definition that the release would be started from: what an
/// approver consents to, and nothing that a clock changes. Whoever edits the definition afterwards has no consent.
pub fn evidence_digest(gates: &[Judged], definition: Option<Digest>) -> Digest {
    let mut lines: Vec<String> = gates
        .iter()
        .filter(|judged| judged.passed())
        .flat_map(|judged| judged.finding.evidence.iter().map(move |digest| format!("{} {digest}\n", judged.gate)))
        .collect();
    lines.extend(definition.map(|digest| format!("definition {digest}\n")));
    lines.sort();
    lines.dedup();
    Digest::of(lines.concat().as_bytes())
}

/// What an approval of this promotion must be bound to.
pub fn binding(ledger: &Ledger, promotion: &Promotion, evidence: Digest) -> Result<Binding, EngineError> {
    let policy = places::policy(ledger)?;
    Ok(Binding {
        promotion: promotion.id,
        app: policy.app.clone(),
        release: places::targets(ledger, &promotion.release, &promotion.to)?,
        from: promotion.from.clone(),
        to: promotion.to.clone(),
        policy_digest: policy.digest(),
        evidence_digest: evidence,
    })
}

/// Who asked for and who wrote what a promotion brings.
pub fn parties<'a>(ledger: &Ledger, promotion: &'a Promotion) -> Parties<'a> {
    let author = |(_, digest)| ledger.builds.get(&digest).and_then(|build| build.fact.author.clone());
    Parties { requester: &promotion.requester, authors: promotion.release.components().map(author).collect() }
}

/// The digest of the definition that a promotion would start its release from. A rollback starts from what is on record.
pub fn definition(world: &World, promotion: &Promotion) -> Result<Option<Digest>, EngineError> {
    match world.drivers.get(&promotion.to) {
        Some(driver) if promotion.kind == Kind::Promote => Ok(Some(Digest::of(&driver.definition()?))),
        _ => Ok(None),
    }
}

/// Judges the gates of a promotion and decides what follows. `on_host` is what [`silent::rests_on_host`] said.
pub fn judge(
    ledger: &Ledger,
    promotion: &Promotion,
    facts: &Facts,
    definition: Option<Digest>,
    on_host: bool,
) -> Result<Judgement, EngineError> {
    let policy = places::policy(ledger)?;
    let environment = places::environment(ledger, &promotion.to)?;
    let mut gates = environment.gates.judge(facts);
    if on_host && promotion.kind == Kind::Rollback {
        silent::take_over(ledger, promotion, &environment.gates, facts, &mut gates);
    }
    let evidence = evidence_digest(&gates, definition);
    let next = match blocked(&gates) {
        Some(next) => next,
        None => match &environment.approval {
            None => Next::Admit { consent: Vec::new() },
            Some(rule) => {
                let binding = binding(ledger, promotion, evidence)?;
                consented(policy, rule, promotion, &binding, &parties(ledger, promotion), facts.now)
            }
        },
    };
    let objects = BTreeSet::new();
    let attests = environment.attest.is_some() && promotion.kind == Kind::Promote;
    let (policy, schema) = (policy.digest(), facts.schema());
    Ok(Judgement { gates, evidence, policy, next, schema, attests, facts: None, objects })
}

/// What follows from gates that do not pass: a wait if each of them passes by itself in time, else the end.
fn blocked(gates: &[Judged]) -> Option<Next> {
    let blocking: Vec<&Judged> = gates.iter().filter(|judged| !judged.passed()).collect();
    let first = blocking.first()?;
    if let Some(until) = blocking.iter().map(|judged| judged.clears_at()).collect::<Option<Vec<_>>>() {
        let reasons: Vec<String> =
            blocking.iter().map(|judged| format!("{}: {}", judged.gate, judged.words())).collect();
        let until = until.into_iter().max().unwrap_or_default();
        return Some(Next::Wait(Wait::Condition { until, reason: reasons.join("; ") }));
    }
    // Of several, the one that no waiting mends is the one to name.
    let decisive = blocking.iter().find(|judged| judged.clears_at().is_none()).unwrap_or(first);
    let message = match blocking.len() {
        1 => decisive.words().to_owned(),
        n => format!("{} (and {} more)", decisive.words(), n - 1),
    };
    Some(Next::Refuse(Failure { code: Code::new(decisive.code.as_str()), message, evidence: Vec::new() }))
}

fn consented(
    policy: &Policy,
    rule: &ApprovalRule,
    promotion: &Promotion,
    binding: &Binding,
    parties: &Parties<'_>,
    now: Timestamp,
) -> Next {
    match approval::consent(&promotion.approvals, rule, binding, &policy.people, parties, now) {
        Consent::Given(by) => Next::Admit { consent: by.into_iter().collect() },
        Consent::Wanted { missing, .. } => {
            let until = promotion.lapses_at.unwrap_or_else(|| rule.expires.after(now));
            Next::Wait(Wait::Approval { until, missing })
        }
    }
}
