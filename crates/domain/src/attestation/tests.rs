//! What is written can be read back; what is anything else is refused, and says why.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    approval::Decision,
    promotion::{Done, Judgement, Kind, Next, PromotionEvent},
    reference::Repository,
    testing::{approval, at, digest, judged, person, request, running, undo},
};

fn repository() -> Repository {
    "ghcr.io/acme/app".parse().unwrap()
}

fn checkpoint(size: u64) -> String {
    format!("shop.sealift\n{size}\nAAAA\n\n— shop.sealift AAAA\n")
}

/// A promotion that was admitted by entry 9 and has come as far as its verification.
fn promotion() -> Promotion {
    let mut promotion = Promotion::request(PromotionId(7), request(Kind::Promote), at(0));
    promotion.apply(PromotionEvent::Approved(approval(PromotionId(7), "cy", Decision::Approve)), at(1)).unwrap();
    let mut gate = judged(true);
    gate.finding.evidence = vec![digest("b"), digest("a"), digest("b")];
    let soak = Judged { gate: "soak".into(), ..judged(true) };
    let judgement = Judgement {
        gates: vec![gate, soak],
        evidence: digest("evidence"),
        policy: digest("policy"),
        next: Next::Admit { consent: vec![person("cy")], needed: 1, follow_up: None },
        schema: None,
        attests: true,
        facts: None,
        objects: BTreeSet::new(),
    };
    promotion.apply(PromotionEvent::Judged(judgement), at(2)).unwrap();
    promotion.attested.as_mut().unwrap().authorised_by = Some(9);
    promotion
}

fn attestation(level: Level) -> Attestation {
    let mut promotion = promotion();
    if level == Level::Verified {
        for (second, step) in (3..).zip(Step::ATTESTING.into_iter().take_while(|step| *step != Step::AttestVerified)) {
            let attachment =
                crate::promotion::Attachment { statement: digest("s"), envelope: digest("e"), manifest: digest("m") };
            let done = match step {
                Step::Copy => Done::Copy { bytes: 1, copied: 1, mounted: 0, skipped: 0, tries: 1 },
                Step::Admit => Done::Admit { attestations: [(ComponentName::only(), attachment)].into() },
                Step::TagImmutable => Done::TagImmutable { tags: Default::default() },
                Step::RecordUndo => Done::RecordUndo(undo(running("old"))),
                Step::Migrate => Done::Migrate { ran: false, output: None },
                Step::Prepare => Done::Prepare { definition: digest("definition") },
                Step::Switch => Done::Switch { running: running("new") },
                _ => Done::Verify(Default::default()),
            };
            promotion.apply(PromotionEvent::Done(done), at(second)).unwrap();
        }
    }
    of(&promotion, level, 10).unwrap()
}

fn of(promotion: &Promotion, level: Level, size: u64) -> Result<Attestation, NotAttestable> {
    let image = repository().at(digest("new"));
    Attestation::of(promotion, &"shop".parse().unwrap(), (&ComponentName::only(), &image), level, checkpoint(size))
}

fn json(attestation: &Attestation) -> Value {
    serde_json::from_slice(&attestation.to_bytes().unwrap()).unwrap()
}

#[test]
fn the_statement_is_a_verification_summary_with_one_field_more() {
    let statement = json(&attestation(Level::Admitted));
    let hex = |of: &str| json!({"sha256": digest(of).hex()});
    let inputs: BTreeSet<Digest> = [digest("a"), digest("b")].into();
    let inputs: Vec<Value> = inputs.iter().map(|input| json!({"digest": {"sha256": input.hex()}})).collect();
    let proof = approval(PromotionId(7), "cy", Decision::Approve).proof;
    assert_eq!(
        statement,
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "ghcr.io/acme/app", "digest": hex("new")}],
            "predicateType": "https://slsa.dev/verification_summary/v1",
            "predicate": {
                "verifier": {"id": "https://sealift.dev/verifier", "version": {"sealift": env!("CARGO_PKG_VERSION")}},
                "timeVerified": "2026-01-01T00:00:02Z",
                "resourceUri": "oci://ghcr.io/acme/app?environment=production",
                "policy": {"digest": hex("policy")},
                "inputAttestations": inputs,
                "verificationResult": "PASSED",
                "verifiedLevels": ["ADMITTED_TO_PRODUCTION"],
                "slsaVersion": "1.0",
                EXTENSION: {
                    "app": "shop",
                    "component": "app",
                    "environment": "production",
                    "promotion": 7,
                    "gates": [
                        {"name": "order", "code": "G003", "version": 1, "verdict": "pass"},
                        {"name": "soak", "code": "G003", "version": 1, "verdict": "pass"},
                    ],
                    "approvals": [{"person": "cy", "proof": "sshsig", "objects": proof.objects()}],
                    "soak": "good",
                    "log": {"index": 9, "checkpoint": checkpoint(10)},
                },
            },
        })
    );
}

#[test]
fn what_is_written_is_read_back_the_same_and_always_in_the_same_bytes() {
    for level in [Level::Admitted, Level::Verified] {
        let written = attestation(level);
        let bytes = written.to_bytes().unwrap();
        assert_eq!(Attestation::parse(&bytes).unwrap(), written);
        assert_eq!(attestation(level).to_bytes().unwrap(), bytes);
    }
    let verified = attestation(Level::Verified);
    assert_eq!(json(&verified)["predicate"]["verifiedLevels"], json!(["VERIFIED_IN_PRODUCTION"]));
    assert_eq!(verified.verified_at, at(10), "when it was verified, not when it was admitted");
}

#[test]
fn a_level_names_its_environment_and_is_never_one_of_slsa() {
    let environment: EnvironmentName = "eu-west-1".parse().unwrap();
    assert_eq!(Level::Admitted.name(&environment), "ADMITTED_TO_EU_WEST_1");
    assert_eq!(Level::Verified.name(&environment), "VERIFIED_IN_EU_WEST_1");
    for name in ["slsa-build-level-3", "a"] {
        let environment: EnvironmentName = name.parse().unwrap();
        assert!([Level::Admitted, Level::Verified].iter().all(|level| !level.name(&environment).starts_with("SLSA_")));
    }
}

#[test]
fn nothing_is_attested_that_the_log_does_not_say() {
    let id = PromotionId(7);
    assert_eq!(of(&promotion(), Level::Admitted, 9), Err(NotAttestable::Checkpoint(9)), "entry 9 is the tenth");
    assert_eq!(of(&promotion(), Level::Verified, 10), Err(NotAttestable::NotVerified(id)));
    let without = Promotion { attested: None, ..promotion() };
    assert_eq!(of(&without, Level::Admitted, 10), Err(NotAttestable::NotAdmitted(id)));
    let mut failed = promotion();
    failed.judged.push(judged(false));
    assert_eq!(of(&failed, Level::Admitted, 10), Err(NotAttestable::Gate("order".into())));
}

#[test]
fn a_gate_that_was_waived_is_attested_as_waived_and_read_back() {
    let mut expedited = promotion();
    expedited.judged.push(Judged { waived: true, ..judged(false) });
    let written = of(&expedited, Level::Admitted, 10).unwrap();
    let read = Attestation::parse(&written.to_bytes().unwrap()).unwrap();
    assert_eq!(read, written);
    let verdicts: Vec<&str> = read.details.gates.iter().map(|gate| gate.verdict.as_str()).collect();
    assert_eq!(verdicts, ["pass", "pass", "waived"]);
}

#[test]
fn only_approvals_that_stand_are_attested_and_of_each_person_the_newest() {
    let mut again = promotion();
    let with = |nonce: &str, revoked| {
        let mut given = approval(PromotionId(7), "cy", Decision::Approve);
        given.statement.nonce = nonce.into();
        given.proof = crate::approval::Proof::Sshsig {
            key: "k".into(),
            statement: digest(nonce),
            signature: digest("signature"),
        };
        given.revoked = revoked;
        given
    };
    again.approvals = vec![with("first", None), with("second", None), with("third", Some(at(2)))];
    let attested = of(&again, Level::Admitted, 10).unwrap().details.approvals;
    let objects: Vec<_> = attested.iter().map(|given| given.objects[0]).collect();
    assert_eq!(objects, [digest("second")]);
    again.approvals = vec![with("taken back", Some(at(1)))];
    assert_eq!(of(&again, Level::Admitted, 10).unwrap().details.approvals, []);
}

/// The refusal of the statement after something in it was changed.
fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut statement = json(&attestation(Level::Admitted));
    change(&mut statement);
    match Attestation::parse(&serde_json::to_vec(&statement).unwrap()) {
        Ok(read) => panic!("taken: {read:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn attack_12_a_statement_of_another_kind_or_with_another_result_is_refused() {
    let other = refused(|s| s["predicateType"] = json!("https://slsa.dev/provenance/v1"));
    assert!(other.starts_with("it is a statement of the type `https://slsa.dev/provenance/v1`"), "{other}");
    let failed = refused(|s| s["predicate"]["verificationResult"] = json!("FAILED"));
    assert_eq!(failed, "its result is `FAILED`, not PASSED");
    let by = refused(|s| s["predicate"]["verifier"]["id"] = json!("https://example.com/\u{1b}[2J"));
    assert_eq!(by, "it is by the verifier `https://example.com/\\u{1b}[2J`, not `https://sealift.dev/verifier`");
    let gate = refused(|s| s["predicate"][EXTENSION]["gates"][0]["verdict"] = json!("fail"));
    assert_eq!(gate, "its gate `order` did not pass");
}

#[test]
fn a_statement_that_contradicts_itself_or_is_damaged_is_refused() {
    let levels = |levels: Value| move |s: &mut Value| s["predicate"]["verifiedLevels"] = levels;
    for (words, refusal) in [
        (
            "resourceUri",
            refused(|s| s["predicate"]["resourceUri"] = json!("oci://ghcr.io/acme/app?environment=staging")),
        ),
        ("resourceUri", refused(|s| s["subject"][0]["name"] = json!("ghcr.io/acme/other"))),
        ("exactly one subject", refused(|s| s["subject"] = json!([]))),
        ("exactly one subject", refused(|s| s["subject"] = json!([s["subject"][0], s["subject"][0]]))),
        ("verifiedLevels", refused(levels(json!(["ADMITTED_TO_STAGING"])))),
        ("verifiedLevels", refused(levels(json!(["ADMITTED_TO_PRODUCTION", "SLSA_BUILD_LEVEL_3"])))),
        ("verifiedLevels", refused(levels(json!([])))),
        ("no SHA-256", refused(|s| s["subject"][0]["digest"] = json!({"sha512": "00"}))),
        ("no SHA-256", refused(|s| s["predicate"]["policy"]["digest"]["sha256"] = json!("00"))),
        ("checkpoint", refused(|s| s["predicate"][EXTENSION]["log"]["index"] = json!(10))),
        ("checkpoint", refused(|s| s["predicate"][EXTENSION]["log"]["checkpoint"] = json!("none"))),
        ("version `1.1`", refused(|s| s["predicate"]["slsaVersion"] = json!("1.1"))),
        ("missing field", refused(|s| drop(s["predicate"].as_object_mut().unwrap().remove(EXTENSION)))),
        ("_type", refused(|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1"))),
    ] {
        assert!(refusal.contains(words), "{words}: {refusal}");
    }
    let bytes = attestation(Level::Admitted).to_bytes().unwrap();
    let twice = String::from_utf8(bytes).unwrap().replacen("\"subject\":", "\"subject\":[],\"subject\":", 1);
    let refusal = Attestation::parse(twice.as_bytes()).unwrap_err().to_string();
    assert!(refusal.contains("duplicate field"), "{refusal}");
    assert!(matches!(Attestation::parse(&vec![b' '; read::MAX_STATEMENT + 1]), Err(Refusal::Malformed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever changes anything that the statement says cannot have it taken for what it was; and nothing ends in a panic.
    #[test]
    fn a_statement_that_was_changed_somewhere_is_refused_or_says_something_else(at in 0usize..4000, put in any::<u8>()) {
        let written = attestation(Level::Admitted);
        let mut bytes = written.to_bytes().unwrap();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != put);
        bytes[at] = put;
        if let Ok(read) = Attestation::parse(&bytes) {
            // RFC 3339 lets a time be written with small letters, or with a space, and is the same time then.
            prop_assert!(read != written || bytes[at].is_ascii_whitespace() || b"tz".contains(&bytes[at]));
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Attestation::parse(&bytes).is_err());
    }
}

#[test]
fn attack_26_an_attestation_for_anything_else_than_what_is_wanted_is_refused() {
    let (image, production) = (repository().at(digest("new")), "production".parse().unwrap());
    let wanted = || Expected {
        image: &image,
        environment: &production,
        level: Level::Admitted,
        policy: Some(digest("policy")),
        promotion: Some(PromotionId(7)),
    };
    let is = attestation(Level::Admitted);
    assert_eq!(is.check(&wanted()), Ok(()));
    assert_eq!(is.check(&Expected { policy: None, promotion: None, ..wanted() }), Ok(()));

    let (staging, other) = ("staging".parse().unwrap(), repository().at(digest("other")));
    let elsewhere: Repository = "ghcr.io/acme/elsewhere".parse().unwrap();
    let elsewhere = elsewhere.at(digest("new"));
    for (expected, words) in [
        (Expected { environment: &staging, ..wanted() }, "it is for the environment `production`, not `staging`"),
        (Expected { image: &other, ..wanted() }, "it is about sha256:"),
        (Expected { image: &elsewhere, ..wanted() }, "it is for the image in `ghcr.io/acme/app`, not in ghcr.io"),
        (Expected { level: Level::Verified, ..wanted() }, "it says `ADMITTED_TO_PRODUCTION`, not `VERIFIED_IN_PR"),
        (Expected { policy: Some(digest("old")), ..wanted() }, "it was judged under the policy sha256:"),
        (Expected { promotion: Some(PromotionId(8)), ..wanted() }, "it is of promotion 7, not 8"),
    ] {
        let refusal = is.check(&expected).unwrap_err().to_string();
        assert!(refusal.starts_with(words), "{refusal}");
    }
}
