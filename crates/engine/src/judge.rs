//! Judging a promotion: put the facts together, ask every gate, look for consent, decide what follows.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealift_domain::{
    approval::{self, Binding, Consent, Parties, Proof},
    digest::Digest,
    failure::{Code, Failure},
    freeze::{Freeze, Overridden, UnknownZone},
    gate::{ComponentFacts, DatabaseFacts, Fact, Facts, Judged, Path, Verdict},
    ledger::Ledger,
    name::{ComponentName, PersonId},
    policy::{ApprovalRule, Environment, Excluded, NEVER_WAIVED},
    promotion::{FreezeOverride, Judgement, Kind, Next, Promotion, Wait},
    record::Build,
};

use crate::{code, error::EngineError, gather::Gathered, places, proven::Proven, silent, world::World};

/// The gate that waits for a release to have run for a while.
const SOAK: &str = "soak";

/// Everything that the gates may judge about a promotion.
pub fn facts(ledger: &Ledger, promotion: &Promotion, gathered: Gathered, now: Timestamp) -> Result<Facts, EngineError> {
    let Gathered { mut images, mut evidence, mut sources, proven, .. } = gathered;
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
    let freezes = freezes(ledger, promotion, now)?;
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
        overridden: overridden(ledger, promotion, &proven, &freezes)?,
        freezes,
        database: database_facts(ledger, promotion),
    })
}

/// The freezes of the target. Where nobody can say whether it is frozen, nothing enters; a rollback is exempt from freezes.
fn freezes(ledger: &Ledger, promotion: &Promotion, now: Timestamp) -> Result<Vec<Freeze>, EngineError> {
    match ledger.freezes_of(&promotion.to, now) {
        Ok(freezes) => Ok(freezes),
        Err(_) if promotion.kind == Kind::Rollback => Ok(Vec::new()),
        Err(UnknownZone(zone)) => Err(EngineError::UnknownZone { environment: promotion.to.clone(), zone }),
    }
}

/// The freezes that enough persons will not let stop this promotion. Each counts once, and only if the policy had the key
/// before the promotion was asked for and the signature was verified again.
fn overridden(
    ledger: &Ledger,
    promotion: &Promotion,
    proven: &Proven,
    freezes: &[Freeze],
) -> Result<Vec<Overridden>, EngineError> {
    let (Some(rule), Some(voters)) = (&places::environment(ledger, &promotion.to)?.freeze_override, ledger.voters())
    else {
        return Ok(Vec::new());
    };
    let counts = |given: &&FreezeOverride| {
        let Proof::Sshsig { key, .. } = &given.proof else { return false };
        let person = voters.registered_before(&given.by, key, promotion.id);
        proven.has(given) && person.is_ok_and(|person| !person.roles.is_disjoint(&rule.roles))
    };
    let one = |freeze: &Freeze| {
        let freeze = freeze.digest();
        let given = promotion.overrides.iter().filter(|given| given.freeze == freeze).filter(counts);
        let by: BTreeSet<PersonId> = given.map(|given| given.by.clone()).collect();
        (by.len() >= rule.count as usize && rule.count > 0).then(|| Overridden { freeze, by: by.into_iter().collect() })
    };
    Ok(freezes.iter().filter_map(one).collect())
}

fn database_facts(ledger: &Ledger, promotion: &Promotion) -> DatabaseFacts {
    let mut facts = ledger.database_facts(&promotion.to);
    if promotion.kind == Kind::Rollback {
        facts.target = ledger.schema_on_record(&promotion.to, &promotion.release);
    }
    facts
}

/// The digest over what the passing gates used, over what the waived ones found, and over the definition that the release would
/// be started from: what an approver consents to, and nothing that a clock changes. Whoever edits the definition afterwards has
/// no consent, nor has a release about which a waived gate finds something else.
pub fn evidence_digest(gates: &[Judged], definition: Option<Digest>) -> Digest {
    let mut lines: Vec<String> = gates
        .iter()
        .filter(|judged| judged.passed())
        .flat_map(|judged| judged.finding.evidence.iter().map(move |digest| format!("{} {digest}\n", judged.gate)))
        .collect();
    lines.extend(gates.iter().filter(|judged| judged.waived && !judged.passed()).map(waived_finding));
    lines.extend(definition.map(|digest| format!("definition {digest}\n")));
    lines.sort();
    lines.dedup();
    Digest::of(lines.concat().as_bytes())
}

/// What a waived gate found, as a line.
fn waived_finding(judged: &Judged) -> String {
    let (kind, words) = match &judged.finding.verdict {
        Verdict::Pass { found } => ("pass", found.clone()),
        // A soak that goes on says how much of it is over: other words every minute, and the same end.
        Verdict::Fail { clears_at: Some(at), .. } if judged.gate == SOAK => ("fail", at.to_string()),
        Verdict::Fail { reason, .. } => ("fail", reason.clone()),
        Verdict::Error { reason, .. } => ("error", reason.clone()),
    };
    let evidence: String = judged.finding.evidence.iter().map(|digest| format!(" {digest}")).collect();
    format!("waived {} {} {kind} {}{evidence}\n", judged.gate, judged.version, Digest::of(words.as_bytes()))
}

/// The rule by which consent to a promotion is given; `None` where none is needed. Who goes back approves no new code, so a
/// rollback excludes nobody for having had a hand in it: of releases long ago that may be unknown, and then nobody could approve.
pub fn rule(ledger: &Ledger, promotion: &Promotion) -> Result<Option<ApprovalRule>, EngineError> {
    let environment = places::environment(ledger, &promotion.to)?;
    let mut rule = match (&environment.expedited, promotion.expedited) {
        (_, false) => environment.approval.clone(),
        (Some(expedited), true) => Some(expedited.rule(environment.approval.as_ref())),
        (None, true) => {
            return Err(EngineError::NoSuchWay { environment: promotion.to.clone(), key: "expedited" });
        }
    };
    if let (Kind::Rollback, Some(rule)) = (promotion.kind, &mut rule) {
        rule.not.retain(|excluded| *excluded == Excluded::Requester);
    }
    Ok(rule)
}

/// The gates that were waived, by name.
pub fn waived(gates: &[Judged]) -> BTreeSet<String> {
    gates.iter().filter(|judged| judged.waived).map(|judged| judged.gate.clone()).collect()
}

/// What an approval of this promotion must be bound to.
pub fn binding(
    ledger: &Ledger,
    promotion: &Promotion,
    evidence: Digest,
    waived: BTreeSet<String>,
) -> Result<Binding, EngineError> {
    let policy = places::policy(ledger)?;
    Ok(Binding {
        promotion: promotion.id,
        app: policy.app.clone(),
        release: places::targets(ledger, &promotion.release, &promotion.to)?,
        from: promotion.from.clone(),
        to: promotion.to.clone(),
        policy_digest: policy.digest(),
        evidence_digest: evidence,
        expedited: promotion.expedited,
        waived,
    })
}

/// Who had a hand in what a promotion brings.
pub fn parties<'a>(ledger: &Ledger, promotion: &'a Promotion) -> Parties<'a> {
    let of = |who: fn(&Build) -> &Option<PersonId>| {
        let one = |(_, digest)| ledger.builds.get(&digest).and_then(|build| who(&build.fact).clone());
        promotion.release.components().map(one).collect()
    };
    Parties {
        requester: &promotion.requester,
        authors: of(|build| &build.author),
        committers: of(|build| &build.committer),
        actors: of(|build| &build.actor),
    }
}

/// The digest of the definition that a promotion would start its release from. A rollback starts from what is on record.
pub fn definition(world: &World, promotion: &Promotion) -> Result<Option<Digest>, EngineError> {
    match world.drivers.get(&promotion.to) {
        Some(driver) if promotion.kind == Kind::Promote => Ok(Some(Digest::of(&driver.definition()?))),
        _ => Ok(None),
    }
}

/// Judges the gates of a promotion and decides what follows. `on_host` is what [`silent::rests_on_host`] said; no approval
/// counts but those of `proven`.
pub fn judge(
    ledger: &Ledger,
    promotion: &Promotion,
    facts: &Facts,
    definition: Option<Digest>,
    (on_host, proven): (bool, &Proven),
) -> Result<Judgement, EngineError> {
    let policy = places::policy(ledger)?;
    let environment = places::environment(ledger, &promotion.to)?;
    let mut gates = environment.gates.judge(facts);
    if on_host && promotion.kind == Kind::Rollback {
        silent::take_over(ledger, promotion, &environment.gates, facts, &mut gates);
    }
    waive(promotion, environment, &mut gates);
    let evidence = evidence_digest(&gates, definition);
    let next = match blocked(&gates) {
        Some(next) => next,
        None => match rule(ledger, promotion) {
            Err(closed) => Next::Refuse(Failure {
                code: Code::new(code::NO_SUCH_WAY),
                message: closed.to_string(),
                evidence: Vec::new(),
            }),
            Ok(None) => Next::Admit { consent: Vec::new(), needed: 0, follow_up: None },
            Ok(Some(rule)) => {
                let binding = binding(ledger, promotion, evidence, waived(&gates))?;
                consented(ledger, &rule, (promotion, proven), &binding, facts.now)?
            }
        },
    };
    let objects = BTreeSet::new();
    let attests = environment.attest.is_some() && promotion.kind == Kind::Promote;
    let (policy, schema) = (policy.digest(), facts.schema());
    Ok(Judgement { gates, evidence, policy, next, schema, attests, facts: None, objects })
}

/// For an expedited promotion, the policy lets some gates fail. They were judged, and what they found stays on record. A gate
/// that could not be judged found nothing that anybody could consent to, and is not waived.
fn waive(promotion: &Promotion, environment: &Environment, gates: &mut [Judged]) {
    let Some(expedited) = environment.expedited.as_ref().filter(|_| promotion.expedited) else { return };
    let failed = |judged: &&mut Judged| matches!(judged.finding.verdict, Verdict::Fail { .. });
    for judged in gates.iter_mut().filter(failed) {
        judged.waived = expedited.waive.contains(&judged.gate) && !NEVER_WAIVED.contains(&judged.gate.as_str());
    }
}

/// What follows from gates that do not pass: a wait if each of them passes by itself in time, else the end.
fn blocked(gates: &[Judged]) -> Option<Next> {
    let blocking: Vec<&Judged> = gates.iter().filter(|judged| !judged.admits()).collect();
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
    ledger: &Ledger,
    rule: &ApprovalRule,
    (promotion, proven): (&Promotion, &Proven),
    binding: &Binding,
    now: Timestamp,
) -> Result<Next, EngineError> {
    let voters = ledger.voters().ok_or(EngineError::NotInitialised)?;
    let parties = parties(ledger, promotion);
    Ok(match approval::consent(&promotion.approvals, &proven.approvals, rule, binding, voters, &parties, now) {
        Consent::Given(by) => {
            let expedited = places::environment(ledger, &promotion.to)?.expedited.as_ref();
            let follow_up = expedited.filter(|_| promotion.expedited).map(|expedited| expedited.follow_up);
            Next::Admit { consent: by.into_iter().collect(), needed: rule.count, follow_up }
        }
        Consent::Wanted { missing, .. } => {
            let until = promotion.lapses_at.unwrap_or_else(|| rule.expires.after(now));
            Next::Wait(Wait::Approval { until, missing })
        }
    })
}
