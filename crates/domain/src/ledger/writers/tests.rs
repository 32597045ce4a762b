use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    approval::Decision,
    event::{HoldReleased, LeaseTaken, PolicyProposed, PolicyRejected, PolicySigned, tests::events},
    ledger::Lease,
    policy::{Person, Policy},
    promotion::{FreezeOverride, Kind, Promotion, PromotionId, Wait},
    testing::{approval, at, digest, failure, judged, person, proof, request},
};

const KEYS: [(&str, &str); 3] = [
    ("dev", "shop/dev+11111111+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"),
    ("staging", "shop/staging+22222222+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX"),
    ("production", "shop/production+33333333+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TY"),
];

/// Nobody's, dev's, staging's and production's writer.
const WRITERS: [Option<&str>; 4] = [None, Some("dev"), Some("staging"), Some("production")];
const ANYBODY: [bool; 4] = [true; 4];
const NOBODY: [bool; 4] = [false; 4];
const DEV: [bool; 4] = [false, true, false, false];
const STAGING: [bool; 4] = [false, false, true, false];
const PRODUCTION: [bool; 4] = [false, false, false, true];

fn name(text: &str) -> EnvironmentName {
    text.parse().unwrap()
}

/// dev → staging → production, where those named have a writer.
fn policy(with: &[&str]) -> Policy {
    let environment = |from: Option<&str>, name: &str| {
        let key = KEYS.iter().find(|(of, _)| *of == name && with.contains(of)).map(|(_, key)| *key);
        serde_json::json!({"from": from, "components": {}, "writer": key.into_iter().collect::<Vec<_>>()})
    };
    let environments = serde_json::json!({
        "dev": environment(None, "dev"),
        "staging": environment(Some("dev"), "staging"),
        "production": environment(Some("staging"), "production"),
    });
    let mut policy: Policy =
        serde_json::from_value(serde_json::json!({"app": "shop", "environments": environments})).unwrap();
    policy.people = [(person("ana"), Person { roles: [].into(), ssh: ["key".to_owned()].into() })].into();
    policy
}

fn all() -> Policy {
    policy(&["dev", "staging", "production"])
}

/// Promotion 7 goes into production.
fn ledger(policy: Policy) -> Ledger {
    let promotion = Promotion::request(PromotionId(7), request(Kind::Promote), at(0));
    Ledger {
        size: 9,
        policy: Some(policy),
        promotions: [(PromotionId(7), Arc::new(promotion))].into(),
        ..Ledger::default()
    }
}

/// Which of [`WRITERS`] may write an event. Whether it can follow otherwise is not asked.
fn may(ledger: &Ledger, event: &Event) -> [bool; 4] {
    WRITERS.map(|writer| {
        let mut after = ledger.clone();
        let writer = writer.map(name);
        match after.apply_by(9, at(60), digest("body"), event.clone(), writer.as_ref()) {
            Err(IllegalEntry::ForeignWriter { by, kind, .. }) => {
                assert_eq!((&after, by, kind), (ledger, writer, event.kind()), "what is refused changes nothing");
                false
            }
            _ => true,
        }
    })
}

fn changed(change: PromotionEvent) -> Event {
    Event::Promotion(Box::new(PromotionChanged { promotion: PromotionId(7), lease: None, cost: None, change }))
}

fn judgement(next: Next) -> Event {
    changed(PromotionEvent::Judged(Judgement {
        gates: vec![judged(true)],
        evidence: digest("evidence"),
        policy: digest("policy"),
        next,
        schema: None,
        attests: false,
        facts: None,
        objects: [].into(),
    }))
}

/// The events that the tests of events have none of.
fn more() -> Vec<Event> {
    let proposed = PolicyProposed {
        policy: all(),
        contacts: BTreeMap::new(),
        by: person("ana"),
        reason: "because".into(),
        proof: proof("ana"),
        expires_at: at(60),
    };
    let signed = PolicySigned { proposal: 3, by: person("ana"), proof: proof("ana") };
    let rejected = PolicyRejected { proposal: 3, by: person("ana"), reason: "no".into(), proof: proof("ana") };
    let given =
        FreezeOverride { freeze: digest("freeze"), by: person("ana"), reason: "now".into(), proof: proof("ana") };
    let closed = PromotionEvent::FollowUpClosed { by: person("ana"), reason: "done".into(), proof: proof("ana") };
    vec![
        Event::PolicyProposed(Box::new(proposed)),
        Event::PolicySigned(signed),
        Event::PolicyRejected(rejected),
        changed(PromotionEvent::Revoked(approval(PromotionId(7), "bo", Decision::Revoke))),
        changed(PromotionEvent::FreezeOverridden(given)),
        changed(closed),
        judgement(Next::Wait(Wait::Condition { until: at(60), reason: "soak".into() })),
        judgement(Next::Refuse(failure("a gate refused"))),
    ]
}

#[test]
fn each_kind_of_event_has_its_writer() {
    // Facts about an environment are about staging here, and the promotion goes into production.
    let expected = BTreeMap::from([
        ("policy-accepted", ANYBODY),
        ("policy-proposed", ANYBODY),
        ("policy-signed", ANYBODY),
        ("policy-rejected", ANYBODY),
        ("build-recorded", DEV),
        ("deployment-recorded", STAGING),
        ("database-recorded", STAGING),
        ("verification-recorded", STAGING),
        ("evidence-recorded", ANYBODY),
        ("rebuild-measured", STAGING),
        ("promotion.requested", ANYBODY),
        ("promotion.judged", ANYBODY),
        ("promotion.approved", ANYBODY),
        ("promotion.revoked", ANYBODY),
        ("promotion.freeze-overridden", ANYBODY),
        ("promotion.follow-up-closed", ANYBODY),
        ("promotion.rejected", ANYBODY),
        ("promotion.withdrawn", ANYBODY),
        ("promotion.superseded", ANYBODY),
        ("promotion.lapsed", ANYBODY),
        ("promotion.done", PRODUCTION),
        ("promotion.failed", PRODUCTION),
        ("lease-taken", STAGING),
        ("lease-released", STAGING),
        ("hold-placed", ANYBODY),
        ("hold-released", STAGING),
        ("freeze-placed", STAGING),
        ("freeze-lifted", STAGING),
        ("notice-delivered", ANYBODY),
        ("notice-refused", ANYBODY),
        ("snapshot", ANYBODY),
    ]);
    let ledger = ledger(all());
    let mut seen = BTreeMap::new();
    for event in events().into_iter().map(|(_, event, _)| event).chain(more()) {
        let kind = event.kind();
        assert_eq!(may(&ledger, &event), expected[kind.as_str()], "{kind}");
        seen.insert(kind, ());
    }
    assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>(), expected.keys().copied().collect::<Vec<_>>());
}

#[test]
fn what_admits_a_promotion_and_what_is_done_under_its_lease_is_a_fact_about_its_target() {
    let ledger = ledger(all());
    let admitted = judgement(Next::Admit { consent: Vec::new(), needed: 0, follow_up: None });
    assert_eq!(may(&ledger, &admitted), PRODUCTION);
    let lapsed = |lease, cost| {
        let change = PromotionEvent::Lapsed;
        Event::Promotion(Box::new(PromotionChanged { promotion: PromotionId(7), lease, cost, change }))
    };
    let cost = crate::cost::Cost { cpu_ms: 1, peak_memory_bytes: 1, pulled_bytes: None, elapsed_ms: 1 };
    assert_eq!(may(&ledger, &lapsed(None, None)), ANYBODY);
    assert_eq!(may(&ledger, &lapsed(Some(3), None)), PRODUCTION);
    assert_eq!(may(&ledger, &lapsed(None, Some(cost))), PRODUCTION);
}

#[test]
fn a_hold_on_a_digest_ends_by_the_end_of_the_pipeline_or_by_a_person() {
    let ledger = ledger(all());
    let released = |scope, proof: Option<_>| {
        let by = proof.as_ref().map(|_| person("ana"));
        Event::HoldReleased(HoldReleased { scope, reason: "looked".into(), by, proof })
    };
    let digest = || HoldScope::Digest(digest("new"));
    assert_eq!(may(&ledger, &released(digest(), None)), PRODUCTION);
    assert_eq!(may(&ledger, &released(digest(), Some(proof("ana")))), ANYBODY);
    let environment = HoldScope::Environment(name("staging"));
    assert_eq!(may(&ledger, &released(environment, Some(proof("ana")))), ANYBODY);
}

#[test]
fn an_environment_without_a_writer_takes_facts_from_anybody() {
    let facts: Vec<Event> = events().into_iter().map(|(_, event, _)| event).collect();
    for event in &facts {
        assert_eq!(may(&ledger(policy(&[])), event), ANYBODY, "{}: no writers", event.kind());
        let nobody = Ledger { policy: None, ..ledger(all()) };
        assert_eq!(may(&nobody, event), ANYBODY, "{}: no policy", event.kind());
        let only_production = may(&ledger(policy(&["production"])), event);
        let steps = ["promotion.done", "promotion.failed"].contains(&event.kind().as_str());
        assert_eq!(only_production, if steps { PRODUCTION } else { ANYBODY }, "{}", event.kind());
    }
}

#[test]
fn of_an_environment_that_the_policy_has_not_nobody_says_anything() {
    let holder = crate::event::Holder { run: "run".into(), machine: digest("machine"), pid: 1, started: 1 };
    let (environment, promotion) = (name("planned"), PromotionId(7));
    let taken = Event::LeaseTaken(LeaseTaken { environment, promotion, holder, expires_at: at(60) });
    assert_eq!(may(&ledger(all()), &taken), NOBODY);
    assert_eq!(may(&ledger(policy(&[])), &taken), ANYBODY);
}

#[test]
fn where_nobody_could_sign_a_policy_the_last_environment_s_writer_brings_it() {
    let mut policy = all();
    policy.people.clear();
    let accepted = events().into_iter().map(|(_, event, _)| event).find(|event| event.kind() == "policy-accepted");
    assert_eq!(may(&ledger(policy), &accepted.unwrap()), PRODUCTION);
}

#[test]
fn a_refusal_says_whose_fact_it_is_and_who_wrote_it() {
    let mut ledger = ledger(all());
    let lease = Event::LeaseReleased(crate::event::LeaseReleased { environment: name("staging"), lease: 1 });
    let by_dev = ledger.apply_by(9, at(60), digest("body"), lease.clone(), Some(&name("dev"))).unwrap_err();
    assert_eq!(
        by_dev.to_string(),
        "`lease-released` is a fact about staging and counts only from its writer key: the writer of dev signed the entry"
    );
    let by_nobody = ledger.apply(9, at(60), digest("body"), lease).unwrap_err();
    assert!(by_nobody.to_string().ends_with("its writer key: no writer signed the entry"), "{by_nobody}");
    let none: Option<&Lease> = ledger.leases.get(&name("staging"));
    assert_eq!(none, None);
}

/// The page has a row for every kind of entry, and says of each whether it takes a key.
#[test]
fn the_page_about_writers_names_every_kind_of_event() {
    let page = include_str!("../../../../../docs/writers.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let ledger = ledger(all());
    for event in events().into_iter().map(|(_, event, _)| event).chain(more()) {
        let kind = format!("`{}`", event.kind());
        let takes_a_key = may(&ledger, &event) != ANYBODY;
        let says = |row: &&&str| row.contains(&kind) && row.contains("| anybody |") != takes_a_key;
        assert!(rows.iter().any(|row| says(&row)), "{kind}: takes a key: {takes_a_key}");
    }
}
