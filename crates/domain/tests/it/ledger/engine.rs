//! A small engine: it follows a promotion's intent, judges with the real gates, and lets chance decide how steps go.

use std::collections::BTreeMap;

use sealift_domain::{
    approval::{self, Approval, ApprovalStatement, Binding, Consent, Decision, Parties, STATEMENT_VERSION},
    digest::Digest,
    event::{Event, PromotionChanged},
    gate::{ComponentFacts, Fact, Facts, Judged, Path},
    ledger::Ledger,
    name::ComponentName,
    policy::ApprovalRule,
    promotion::{
        Attachment, Done, Intent, Judgement, Kind, Next, Promotion, PromotionEvent, PromotionId, Step,
        VerificationSummary, Wait,
    },
    reference::Pinned,
    schema::AfterMigration,
    undo::{Observed, Undo},
};

use super::{
    values::{cost, digest, failure, image, person, proof, release, schema},
    world::World,
};

/// How a turn of the engine goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    /// The step fails; whether the policy lets the previous release be restored.
    Fails {
        automatic: bool,
    },
    /// The driver reads something that has no digest, or something else than was to run.
    ReadsOther,
    /// The program was replaced and does not know it: it works under a lease that is not the current one.
    Fenced,
    /// The program skips what it should do first: the lease, or a step.
    Hasty,
    /// The program dies; another one takes over.
    Crash,
}

/// The facts that an engine gathers for a promotion, from the ledger and a registry that has everything.
pub(super) fn facts(world: &World, promotion: &Promotion) -> Facts {
    let ledger = &world.ledger;
    let policy = ledger.policy.as_ref().unwrap();
    let declared = match promotion.kind {
        Kind::Promote => policy.environments[&promotion.to].from.clone(),
        Kind::Rollback => None,
    };
    let ground = if promotion.kind == Kind::Rollback { Some(promotion.to.clone()) } else { declared.clone() };
    let standing = ground.and_then(|place| ledger.standing(&place, &promotion.release).cloned());
    let said = world.labels(&promotion.release);
    let labels = |name: &ComponentName| said.filter(|_| *name == ComponentName::only());
    let components = promotion.release.components().map(|(name, digest)| {
        let build = ledger.builds.get(&digest).cloned().map_or(Fact::Missing, Fact::Known);
        (
            name.clone(),
            ComponentFacts {
                digest,
                build,
                image: Fact::Known(image(digest, labels(name))),
                evidence: None,
                source: None,
            },
        )
    });
    let verified_there = declared.as_ref().and_then(|place| ledger.environments.get(place)?.verified_now().cloned());
    Facts {
        now: world.now(),
        kind: promotion.kind,
        path: Path { asked: promotion.asked_from.clone(), declared, to: promotion.to.clone() },
        release: promotion.release.clone(),
        by_hand: promotion.by_hand.then(|| promotion.release.clone()),
        components: components.collect(),
        standing: standing.map_or(Fact::Missing, Fact::Known),
        verified_there,
        holds: ledger.holds_on(&promotion.release, &promotion.to),
        freezes: ledger.freezes_of(&promotion.to, world.now()).unwrap(),
        overridden: Vec::new(),
        database: ledger.database_facts(&promotion.to),
    }
}

fn pinned(ledger: &Ledger, promotion: &Promotion) -> BTreeMap<ComponentName, Pinned> {
    let components = &ledger.policy.as_ref().unwrap().environments[&promotion.to].components;
    promotion.release.components().map(|(name, digest)| (name.clone(), components[name].at(digest))).collect()
}

/// What follows when every gate passes.
fn after_the_gates(world: &World, promotion: &Promotion, rule: &ApprovalRule, evidence: Digest) -> Next {
    let policy = world.ledger.policy.as_ref().unwrap();
    let binding = Binding {
        promotion: promotion.id,
        app: policy.app.clone(),
        release: pinned(&world.ledger, promotion),
        from: promotion.from.clone(),
        to: promotion.to.clone(),
        policy_digest: policy.digest(),
        evidence_digest: evidence,
        expedited: false,
        waived: std::collections::BTreeSet::new(),
    };
    let parties = Parties {
        requester: &promotion.requester,
        authors: vec![Some(person("dan"))],
        committers: Vec::new(),
        actors: Vec::new(),
    };
    // No signatures are made here.
    let proven = promotion.approvals.iter().map(|approval| approval.statement.digest()).collect();
    match approval::consent(
        &promotion.approvals,
        &proven,
        rule,
        &binding,
        world.ledger.voters().unwrap(),
        &parties,
        world.now(),
    ) {
        Consent::Given(by) => Next::Admit { consent: by.into_iter().collect(), needed: 0, follow_up: None },
        Consent::Wanted { missing, .. } => {
            Next::Wait(Wait::Approval { until: rule.expires.after(promotion.requested_at), missing })
        }
    }
}

/// Judges a promotion as it stands.
pub(super) fn judge(world: &World, id: PromotionId) -> Judgement {
    let promotion = world.promotion(id);
    let policy = world.ledger.policy.as_ref().unwrap();
    let environment = &policy.environments[&promotion.to];
    let facts = facts(world, promotion);
    let gates = environment.gates.judge(&facts);
    let used: Vec<String> = gates.iter().flat_map(|g| &g.finding.evidence).map(Digest::to_string).collect();
    let evidence = Digest::of(used.join("\n").as_bytes());
    let next = if gates.iter().all(Judged::passed) {
        match &environment.approval {
            None => Next::Admit { consent: Vec::new(), needed: 0, follow_up: None },
            Some(rule) => after_the_gates(world, promotion, rule, evidence),
        }
    } else {
        let clears = gates.iter().filter(|gate| !gate.passed()).map(Judged::clears_at);
        match clears.collect::<Option<Vec<_>>>() {
            Some(times) => Next::Wait(Wait::Condition { until: *times.iter().max().unwrap(), reason: "time".into() }),
            None => Next::Refuse(failure("a gate refused")),
        }
    };
    Judgement {
        gates,
        evidence,
        policy: policy.digest(),
        next,
        schema: facts.schema(),
        attests: environment.attest.is_some() && promotion.kind == Kind::Promote,
        facts: None,
        objects: std::collections::BTreeSet::new(),
    }
}

/// What a person signs about a promotion as it stands now.
pub(super) fn statement(world: &World, id: PromotionId, who: &str, decision: Decision) -> Approval {
    let promotion = world.promotion(id);
    let statement = ApprovalStatement {
        v: STATEMENT_VERSION,
        promotion: id,
        app: "shop".parse().unwrap(),
        release: pinned(&world.ledger, promotion),
        from: promotion.from.clone(),
        to: promotion.to.clone(),
        policy_digest: world.ledger.policy.as_ref().unwrap().digest(),
        evidence_digest: promotion.evidence.unwrap_or(digest("none")),
        decision,
        approver: person(who),
        issued_at: world.now(),
        expires_at: sealift_domain::quantity::Period::from_secs(600).after(world.now()),
        nonce: format!("{who} at {}", world.ledger.size),
        reason: None,
        expedited: false,
        waived: std::collections::BTreeSet::new(),
    };
    Approval { statement, proof: proof(who), at: world.now(), revoked: None }
}

/// What an engine puts on record about the database before it migrates.
fn after_migration(world: &World, promotion: &Promotion, previous: &Observed) -> Option<AfterMigration> {
    let Observed::Running { release, .. } = previous else { return None };
    if promotion.kind == Kind::Rollback {
        return None;
    }
    let before = world.ledger.environments.get(&promotion.to).and_then(|record| record.database.as_ref());
    let before = before.map(|database| database.fact);
    let candidate = world.labels(&promotion.release).map(schema);
    let database = candidate.map(|candidate| candidate.after(before)).or(before)?;
    Some(AfterMigration { database, previous: world.labels(release).map(schema).into() })
}

/// An attestation of every image.
fn attachments(release: &sealift_domain::release::Release) -> BTreeMap<ComponentName, Attachment> {
    let (statement, envelope, manifest) = (digest("statement"), digest("envelope"), digest("manifest"));
    release.components().map(|(name, _)| (name.clone(), Attachment { statement, envelope, manifest })).collect()
}

/// What `step` leaves when it goes well.
pub(super) fn done(world: &World, id: PromotionId, step: Step, luck: Luck) -> Done {
    let promotion = world.promotion(id);
    let other = luck == Luck::ReadsOther;
    let summary = || VerificationSummary { passed: 1, report: Some(digest("report")), ..Default::default() };
    let running = |release| Observed::Running { release, definition: Some(digest("definition")) };
    match step {
        Step::Copy => Done::Copy { bytes: 1000, copied: 3, mounted: 0, skipped: 1, tries: 1 },
        Step::Admit => Done::Admit { attestations: attachments(&promotion.release) },
        Step::TagImmutable => Done::TagImmutable { tags: BTreeMap::new() },
        Step::RecordUndo => {
            let live = world.ledger.environments.get(&promotion.to).and_then(|record| record.live.clone());
            let previous = match live {
                _ if other => Observed::Unknown { what: "a container without a digest".into() },
                Some(live) => running(live.release),
                None => Observed::Nothing,
            };
            let tags = [("main".parse().unwrap(), Some(digest("old"))), ("latest".parse().unwrap(), None)];
            let database = after_migration(world, promotion, &previous);
            Done::RecordUndo(Undo { previous, tags: [(ComponentName::only(), tags.into())].into(), database })
        }
        Step::Migrate => Done::Migrate { ran: world.ledger.size.is_multiple_of(2), output: None },
        Step::Prepare => Done::Prepare { definition: digest("definition") },
        Step::Switch if other => Done::Switch { running: running(release(200)) },
        Step::Switch => Done::Switch { running: running(promotion.release.clone()) },
        Step::Verify => Done::Verify(summary()),
        Step::AttestVerified => Done::AttestVerified { attestations: attachments(&promotion.release) },
        Step::MoveTags => Done::MoveTags { tags: BTreeMap::new(), unmoved: BTreeMap::new() },
        Step::Retire => Done::Retire,
        Step::Discard => Done::Discard,
        Step::Restore if other => Done::Restore { running: running(release(200)) },
        Step::Restore => Done::Restore { running: promotion.undo.as_ref().unwrap().previous.clone() },
        Step::ConfirmRestored => Done::ConfirmRestored(summary()),
        Step::RestoreTags => Done::RestoreTags { left: Vec::new(), unmoved: BTreeMap::new() },
        Step::WithdrawAdmission => Done::WithdrawAdmission { left: BTreeMap::new() },
    }
}

impl World {
    /// One turn: does what the promotion intends.
    pub(super) fn work(&mut self, id: PromotionId, luck: Luck) {
        match self.promotion(id).intent() {
            Intent::Judge => self.judge(id, luck),
            Intent::Await(Wait::Approval { until, .. }) if *until <= self.now() => {
                self.change(id, PromotionEvent::Lapsed).unwrap();
            }
            Intent::Await(_) => self.judge(id, luck),
            Intent::Perform(step) => self.perform(id, step, luck),
            Intent::Rest => {}
        }
        let to = self.promotion(id).to.clone();
        let holds = self.ledger.leases.get(&to).is_some_and(|lease| lease.promotion == id);
        if self.promotion(id).has_ended() && holds && luck != Luck::Crash {
            self.give_back(to).unwrap();
        }
    }

    fn judge(&mut self, id: PromotionId, luck: Luck) {
        let to = self.promotion(id).to.clone();
        if luck != Luck::Hasty && matches!(judge(self, id).next, Next::Admit { .. }) {
            // Another one may have the environment; then the judgement will be refused.
            let _ = self.take(to, id);
        }
        let judgement = judge(self, id);
        let admits = matches!(judgement.next, Next::Admit { .. });
        let written = self.change(id, PromotionEvent::Judged(judgement));
        assert!(written.is_ok() || admits, "{written:?}");
    }

    fn perform(&mut self, id: PromotionId, step: Step, luck: Luck) {
        let to = self.promotion(id).to.clone();
        let ours = self.ledger.leases.get(&to).is_some_and(|lease| lease.promotion == id);
        if luck == Luck::Crash || !ours {
            self.take(to, id).unwrap();
        }
        let change = match luck {
            Luck::Fails { automatic } => {
                let untouched = matches!(step, Step::Migrate | Step::Prepare) && self.ledger.size.is_multiple_of(3);
                PromotionEvent::Failed { step, failure: failure("it broke"), automatic, untouched }
            }
            Luck::Hasty => PromotionEvent::Done(Done::Retire),
            _ => PromotionEvent::Done(done(self, id, step, luck)),
        };
        let lease = match luck {
            Luck::Fenced => self.fence(id).map(|fence| fence - 1),
            _ => self.fence(id),
        };
        // Some drivers can tell what a step took of the host, some cannot.
        let cost = (step != Step::Copy).then(|| cost(self.ledger.size));
        let written = self.write(Event::Promotion(Box::new(PromotionChanged { promotion: id, lease, cost, change })));
        let may_be_refused = matches!(luck, Luck::Fenced | Luck::Hasty | Luck::ReadsOther);
        assert!(written.is_ok() || may_be_refused, "{written:?}");
        assert!(written.is_err() || luck != Luck::Fenced, "a step under a lost lease was taken");
    }
}
