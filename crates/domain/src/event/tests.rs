use super::*;
use crate::{
    approval::Decision,
    personal::Salt,
    promotion::{Done, Kind, PromotionEvent, Requester, Step, VerificationSummary},
    schema::Schema,
    testing::{approval, at, by, digest, failure, person, proof, release, request, running, undo},
};

fn changed(change: PromotionEvent) -> Event {
    Event::Promotion(Box::new(PromotionChanged { promotion: PromotionId(7), lease: None, cost: None, change }))
}

fn asked_by(requester: Requester) -> Event {
    let request = crate::promotion::Request { requester, ..request(Kind::Promote) };
    changed(PromotionEvent::Requested(request))
}

fn summary() -> VerificationSummary {
    VerificationSummary { report: Some(digest("report")), ..VerificationSummary::default() }
}

fn policy_accepted() -> Event {
    let policy = serde_json::from_str(r#"{"app":"shop","environments":{}}"#).unwrap();
    let contact = Contact {
        email: Some(Personal::new("ana@acme.dev", Salt([1; 32]))),
        github: Some(Personal::new("ana", Salt([2; 32]))),
    };
    let contacts = [(person("ana"), contact)].into();
    let accepted_by = [(person("ana"), proof("ana")), (person("bo"), proof("bo"))].into();
    Event::PolicyAccepted(Box::new(PolicyAccepted { policy, contacts, accepted_by, registers: true, proposal: None }))
}

/// The statement and the signature of `who`.
fn signed(who: &str) -> Vec<Digest> {
    vec![digest(&format!("{who} statement")), digest(who)]
}

/// One event of each kind, with what it refers to.
pub(crate) fn events() -> Vec<(&'static str, Event, Vec<Digest>)> {
    let environment = || "staging".parse::<EnvironmentName>().unwrap();
    let scope = || HoldScope::Environment(environment());
    let reason = || "because".to_owned();
    let receipt = || NoticeReceipt { notice: 3, channel: "chat".parse().unwrap(), detail: Some("410".into()) };
    let holder = Holder { run: "run".into(), machine: digest("machine"), pid: 1, started: 2 };
    let failed = crate::failure::Failure { evidence: vec![digest("log"), digest("answer")], ..failure("it broke") };
    let rejected = PromotionEvent::Rejected { by: person("bo"), reason: reason(), proof: proof("bo") };
    let build = serde_json::json!({"repository": "ghcr.io/acme/shop", "digest": digest("new")});
    let deployed = DeploymentRecorded {
        environment: environment(),
        release: release("new"),
        definition: Some(digest("definition")),
        baseline: true,
        schema: Some(Schema::new(8, 7).unwrap()),
        report: Some(digest("report")),
    };
    let database =
        DatabaseRecorded { environment: environment(), schema: Schema::new(7, 7).unwrap(), reason: reason() };
    let verified = VerificationRecorded {
        environment: environment(),
        release: release("new"),
        passed: true,
        summary: "2 checks hold".into(),
    };
    let handed_in = EvidenceRecorded {
        artifact: digest("new"),
        handed_in_as: EvidenceKind::Scan,
        form: crate::evidence::Form::Document,
        object: digest("scan"),
        size: 7,
    };
    let cost = Cost { cpu_ms: 95_000, peak_memory_bytes: 1 << 30, pulled_bytes: None, elapsed_ms: 61_000 };
    let rebuild = Rebuild { command: vec!["docker".into(), "build".into(), ".".into()], cost };
    let rebuilt = RebuildMeasured { environment: environment(), rebuild };
    let lease = LeaseTaken { environment: environment(), promotion: PromotionId(7), holder, expires_at: at(60) };
    let freeze = Freeze { from: at(0), until: at(1), reason: reason() };
    let prepared = Done::Prepare { definition: digest("definition") };
    let failed = PromotionEvent::Failed { step: Step::Verify, failure: failed, automatic: true, untouched: false };
    let withdrawn = PromotionEvent::Withdrawn { by: None, reason: reason() };
    vec![
        ("policy-accepted", policy_accepted(), [signed("ana"), signed("bo")].concat()),
        ("build-recorded", Event::BuildRecorded(serde_json::from_value(build).unwrap()), vec![]),
        ("deployment-recorded", Event::DeploymentRecorded(deployed), vec![digest("definition"), digest("report")]),
        ("database-recorded", Event::DatabaseRecorded(database), vec![]),
        ("verification-recorded", Event::VerificationRecorded(verified), vec![]),
        ("evidence-recorded", Event::EvidenceRecorded(handed_in), vec![digest("scan")]),
        ("rebuild-measured", Event::RebuildMeasured(rebuilt), vec![]),
        ("promotion.requested", asked_by(by("ana")), signed("ana")),
        ("promotion.requested", asked_by(Requester::Unknown), vec![]),
        (
            "promotion.approved",
            changed(PromotionEvent::Approved(approval(PromotionId(7), "bo", Decision::Approve))),
            signed("bo"),
        ),
        ("promotion.rejected", changed(rejected), signed("bo")),
        ("promotion.withdrawn", changed(withdrawn), vec![]),
        ("promotion.superseded", changed(PromotionEvent::Superseded { by: PromotionId(8) }), vec![]),
        ("promotion.lapsed", changed(PromotionEvent::Lapsed), vec![]),
        ("promotion.done", changed(PromotionEvent::Done(prepared)), vec![digest("definition")]),
        ("promotion.done", changed(PromotionEvent::Done(Done::Verify(summary()))), vec![digest("report")]),
        ("promotion.done", changed(PromotionEvent::Done(Done::ConfirmRestored(summary()))), vec![digest("report")]),
        ("promotion.done", changed(PromotionEvent::Done(Done::RecordUndo(undo(running("old"))))), vec![]),
        ("promotion.failed", changed(failed), vec![digest("log"), digest("answer")]),
        ("lease-taken", Event::LeaseTaken(lease), vec![]),
        ("lease-released", Event::LeaseReleased(LeaseReleased { environment: environment(), lease: 5 }), vec![]),
        (
            "hold-placed",
            Event::HoldPlaced(HoldPlaced { hold: Hold { scope: scope(), reason: reason(), by: None }, proof: None }),
            vec![],
        ),
        (
            "hold-released",
            Event::HoldReleased(HoldReleased { scope: scope(), reason: reason(), by: None, proof: None }),
            vec![],
        ),
        ("freeze-placed", Event::FreezePlaced(FreezePlaced { environment: environment(), freeze }), vec![]),
        ("freeze-lifted", Event::FreezeLifted(FreezeLifted { environment: environment(), reason: reason() }), vec![]),
        ("notice-delivered", Event::NoticeDelivered(receipt()), vec![]),
        ("notice-refused", Event::NoticeRefused(receipt()), vec![]),
        ("snapshot", Event::Snapshot(Box::default()), vec![]),
    ]
}

#[test]
fn every_event_survives_json_under_its_kind() {
    for (kind, event, _) in events() {
        assert_eq!(event.kind(), kind);
        let value = serde_json::to_value(&event).unwrap();
        let written = value["kind"].as_str().unwrap();
        assert_eq!(kind.split('.').next(), Some(written), "the body says the same as the leaf");
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
    }
}

#[test]
fn what_no_driver_measured_is_written_as_before_there_was_a_measure() {
    let event = changed(PromotionEvent::Lapsed);
    let written = serde_json::to_string(&event).unwrap();
    assert_eq!(written, r#"{"kind":"promotion","promotion":7,"change":{"event":"lapsed"}}"#);
    assert_eq!(serde_json::from_str::<Event>(&written).unwrap(), event);
}

#[test]
fn every_object_that_an_event_refers_to_is_its_evidence() {
    for (kind, event, evidence) in events() {
        assert_eq!(event.evidence(), evidence, "{kind}");
    }
}

#[test]
fn every_personal_text_is_visited_and_none_is_written() {
    let Event::PolicyAccepted(accepted) = policy_accepted() else { panic!("not a policy") };
    let ledger = Ledger { contacts: accepted.contacts.clone(), ..Ledger::default() };
    for mut event in [policy_accepted(), Event::Snapshot(Box::new(ledger))] {
        let mut texts = Vec::new();
        event.each_personal(&mut |personal| texts.extend(personal.text().map(str::to_owned)));
        assert_eq!(texts, ["ana@acme.dev", "ana"]);
        let written = serde_json::to_string(&event).unwrap();
        assert!(!written.contains("acme.dev"), "{written}");
    }
    for (kind, mut event, _) in events() {
        let mut visited = 0;
        event.each_personal(&mut |_| visited += 1);
        assert_eq!(visited > 0, kind == "policy-accepted", "{kind}");
    }
}
