//! What a promotion attests: before it is deployed, after it is verified, and never of what did not get that far.

use std::collections::BTreeSet;

use sealift_domain::{
    attestation::{Attestation, Expected, Level, PREDICATE_TYPE},
    digest::Digest,
    freeze::{Hold, HoldScope},
    promotion::{Ended, Kind, PromotionId, Stage as At, Status, Step},
    reference::{Pinned, Repository},
};
use sealift_engine::{
    attest::{self, NotAttested},
    error::EngineError,
    ports::attest::BUNDLE,
};

use super::stubs::{Stage, artifact_says, attesting, environment, key, policy, release};

/// Release 1 is live in production, release 2 is verified in staging, and production attests by its own key, which is at hand.
async fn ready() -> Stage {
    let stage = Stage::new(attesting(policy(), "production")).await;
    stage.script.keys.lock().unwrap().push(key("production"));
    stage.bring(1).await;
    stage.build(2).await;
    let id = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    *stage.script.live.lock().unwrap() = Some((release(1), Digest::of(b"definition")));
    stage.forget();
    stage
}

fn image(n: u8) -> Pinned {
    let repository: Repository = "r.example/production".parse().unwrap();
    repository.at(Digest::of(&[n]))
}

/// What is attested of an image, as `admitted` and `verified`.
fn attested(stage: &Stage, n: u8) -> Vec<&'static str> {
    let attached = stage.script.attached.lock().unwrap();
    let of = attached.iter().filter(|(place, ..)| *place == image(n));
    of.map(|(.., artifact)| if artifact_says(artifact, "VERIFIED_IN_PRODUCTION") { "verified" } else { "admitted" })
        .collect()
}

async fn promote(stage: &Stage, n: u8) -> (PromotionId, Status) {
    let id = stage.ask(Kind::Promote, n, "production").await;
    (id, stage.run(id).await)
}

#[tokio::test]
async fn what_is_admitted_is_attested_before_its_tag_is_written_and_verified_before_a_tag_moves() {
    let stage = ready().await;
    let (id, status) = promote(&stage, 2).await;
    assert_eq!(status, Status::Completed);
    let done = stage.script.done.lock().unwrap().join(", ");
    let key_of = format!("p{id}");
    assert_eq!(
        done,
        format!(
            "copy, admit, tag, undo, migrate {key_of}, prepare {key_of}, switch {key_of}, verify, undo, attest, \
             move tags, retire {key_of}"
        )
    );
    assert_eq!(attested(&stage, 2), ["admitted", "verified"]);

    // The log says what was attested, and by which entry that was authorised.
    let book = stage.book().await;
    let ledger = book.ledger().await.unwrap();
    let promotion = &ledger.promotions[&id];
    let on_record = promotion.attested.clone().unwrap();
    let index = on_record.authorised_by.unwrap();
    for (attachments, level) in [(&on_record.admitted, Level::Admitted), (&on_record.verified, Level::Verified)] {
        let attachment = attachments.values().next().unwrap();
        let envelope = book.object(attachment.envelope).await.unwrap().expect("the envelope lies beside the log");
        let envelope: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
        let statement = envelope["statement"].as_str().unwrap();
        assert_eq!(Digest::of(statement.as_bytes()), attachment.statement);
        let attestation = Attestation::parse(statement.as_bytes()).unwrap();
        assert_eq!((attestation.level, attestation.policy), (level, promotion.policy));
        assert_eq!(attestation.details.log.index, index);
        assert_eq!(
            attestation.inputs,
            promotion.judged.iter().flat_map(|j| j.finding.evidence.clone()).collect::<BTreeSet<_>>()
        );
    }
    let leaves = book.log().leaves(index, index + 1).await.unwrap();
    assert!(String::from_utf8_lossy(&leaves[0]).contains("promotion.judged"), "the entry is the judgement");
    let artifact = stage.script.attached.lock().unwrap()[0].2.clone();
    assert_eq!((artifact.artifact_type.as_str(), artifact.media_type.as_str()), (BUNDLE, BUNDLE));
    assert_eq!(artifact.annotations["dev.sigstore.bundle.predicateType"], PREDICATE_TYPE);
    assert!(promotion.admission_counts());
}

#[tokio::test]
async fn attack_23_whatever_fails_leaves_no_attestation_of_what_is_not_live() {
    for step in Step::ATTESTING {
        let stage = ready().await;
        stage.fail(step, u32::MAX);
        let (id, status) = promote(&stage, 2).await;
        let expected = match step {
            Step::Retire => Status::Completed,
            Step::Switch | Step::Verify | Step::AttestVerified | Step::MoveTags => Status::RolledBack,
            _ => Status::Failed,
        };
        assert_eq!(status, expected, "{step}");
        let left = attested(&stage, 2);
        assert_eq!(left, if step == Step::Retire { vec!["admitted", "verified"] } else { Vec::new() }, "{step}");
        assert_eq!(attested(&stage, 1), ["admitted", "verified"], "{step}: what is live stays attested");
        let ledger = stage.book().await.ledger().await.unwrap();
        assert_eq!(ledger.promotions[&id].admission_counts(), step == Step::Retire, "{step}");
        assert_eq!(!ledger.holds.is_empty(), matches!(step, Step::Switch | Step::Verify), "{step}");
        let candidate_removed = stage.script.count(Step::Discard);
        assert_eq!(candidate_removed, usize::from(step == Step::Prepare), "{step}");
    }
}

#[tokio::test]
async fn where_a_registry_removes_nothing_the_log_says_that_the_attestation_does_not_count() {
    let stage = ready().await;
    stage.fail(Step::Verify, u32::MAX);
    stage.fail(Step::WithdrawAdmission, u32::MAX);
    let (id, status) = promote(&stage, 2).await;
    assert_eq!(status, Status::RolledBack, "it goes back all the same");
    assert_eq!(attested(&stage, 2), ["admitted"]);
    let ledger = stage.book().await.ledger().await.unwrap();
    assert!(!ledger.promotions[&id].attested.as_ref().unwrap().left.is_empty());

    // On a host with nothing but the key it looks good; with the log at hand it does not.
    let (image, production) = (image(2), environment("production"));
    let expected =
        Expected { image: &image, environment: &production, level: Level::Admitted, policy: None, promotion: None };
    let world = stage.world("host");
    let keys = [key("production")];
    let found = attest::attested(world.registry.as_ref(), world.attestor.as_ref(), &keys, &expected).await.unwrap();
    let refused = attest::counts(&ledger, &found).unwrap_err().to_string();
    assert!(refused.ends_with(&format!("promotion {id} is Rolled back: what it attested is withdrawn")), "{refused}");
}

#[tokio::test]
async fn a_way_back_that_ends_with_a_person_needed_withdraws_too() {
    for fails in [Step::Restore, Step::ConfirmRestored] {
        let stage = ready().await;
        stage.fail(Step::Verify, u32::MAX);
        stage.fail(fails, u32::MAX);
        let (id, status) = promote(&stage, 2).await;
        assert_eq!(status, Status::Stuck, "{fails}");
        assert_eq!(attested(&stage, 2), Vec::<&str>::new(), "{fails}");
        let ledger = stage.book().await.ledger().await.unwrap();
        assert!(matches!(&ledger.promotions[&id].stage, At::Ended(Ended::Stuck { .. })));
        assert!(ledger.holds.contains_key(&HoldScope::Environment(environment("production"))), "{fails}");
    }
}

#[tokio::test]
async fn without_the_key_nothing_is_copied_and_with_it_the_same_promotion_goes_on() {
    let stage = ready().await;
    for keys in [Vec::new(), vec![key("staging")]] {
        *stage.script.keys.lock().unwrap() = keys;
        let id = stage.ask(Kind::Promote, 2, "production").await;
        let refused = stage.run_as("run", id).await.unwrap_err();
        assert!(
            matches!(&refused, EngineError::NoPromotionKey { environment, .. } if environment.as_str() == "production")
        );
        assert_eq!(stage.script.count(Step::Copy), 0);
        let ledger = stage.book().await.ledger().await.unwrap();
        assert_eq!(ledger.promotions[&id].status(), Status::Pending);
        assert!(ledger.leases.is_empty());
    }
    stage.script.keys.lock().unwrap().push(key("production"));
    assert_eq!(promote(&stage, 2).await.1, Status::Completed);
}

#[tokio::test]
async fn attack_26_what_another_environments_key_signed_admits_nothing() {
    let stage = ready().await;
    // Somebody with staging's key signs what production's key has signed, word for word, and puts it in its place.
    let script = stage.script.clone();
    stage.script.during.lock().unwrap().insert(
        Step::RecordUndo,
        Box::new(move || {
            for (.., artifact) in script.attached.lock().unwrap().iter_mut() {
                let text = String::from_utf8(artifact.bytes.to_vec()).unwrap();
                artifact.bytes = text.replace("\\nproduction\\n", "\\nstaging\\n").into();
            }
        }),
    );
    let (id, status) = promote(&stage, 2).await;
    assert_eq!(status, Status::Failed);
    assert_eq!(stage.script.count(Step::Migrate) + stage.script.count(Step::Prepare), 0, "nothing of it ran");
    let ledger = stage.book().await.ledger().await.unwrap();
    let At::Ended(Ended::Failed { failure, .. }) = &ledger.promotions[&id].stage else { panic!() };
    assert_eq!(failure.code.as_str(), "E0802");
    assert!(failure.message.contains("ADMITTED_TO_PRODUCTION"), "{}", failure.message);
    assert!(failure.message.contains("it is signed by none of the keys"), "{}", failure.message);
}

#[tokio::test]
async fn an_attestation_that_is_removed_before_the_deployment_stops_it_in_every_driver() {
    for before in [Step::TagImmutable, Step::RecordUndo] {
        let stage = ready().await;
        let script = stage.script.clone();
        let remove = Box::new(move || script.attached.lock().unwrap().retain(|(place, ..)| *place != image(2)));
        stage.script.during.lock().unwrap().insert(before, remove);
        let (id, status) = promote(&stage, 2).await;
        assert_eq!(status, Status::Failed, "{before}");
        assert_eq!(stage.script.count(Step::Prepare) + stage.script.count(Step::Switch), 0, "{before}");
        let ledger = stage.book().await.ledger().await.unwrap();
        let At::Ended(Ended::Failed { failure, .. }) = &ledger.promotions[&id].stage else { panic!() };
        assert!(failure.message.ends_with("there is none at all"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_registry_that_falls_silent_before_the_switch_holds_nothing() {
    let stage = ready().await;
    let script = stage.script.clone();
    let silence = move || {
        *script.registry.lock().unwrap() = Some(sealift_engine::ports::registry::RegistryErrorKind::Transient);
    };
    stage.script.during.lock().unwrap().insert(Step::Prepare, Box::new(silence));
    let (id, status) = promote(&stage, 2).await;
    assert_ne!(status, Status::Completed);
    assert_eq!(stage.script.count(Step::Switch), 0);
    let ledger = stage.book().await.ledger().await.unwrap();
    let held: Vec<_> = ledger.holds.keys().filter(|scope| matches!(scope, HoldScope::Digest(_))).collect();
    assert!(held.is_empty(), "{held:?}");
    assert!(!ledger.promotions[&id].admission_counts());
}

#[tokio::test]
async fn a_rollback_by_hand_attests_nothing_and_needs_nothing_attested() {
    let stage = ready().await;
    assert_eq!(promote(&stage, 2).await.1, Status::Completed);
    stage.forget();
    // Whatever became of the attestations and of the key: a bad day ends.
    stage.script.attached.lock().unwrap().clear();
    stage.script.keys.lock().unwrap().clear();
    let back = stage.ask(Kind::Rollback, 1, "production").await;
    assert_eq!(stage.run(back).await, Status::Completed);
    assert_eq!(attested(&stage, 1), Vec::<&str>::new());
    assert_eq!(stage.script.count(Step::Admit), 0);
}

#[tokio::test]
async fn the_envelope_is_kept_under_the_tag_of_cosign_2_where_that_is_wanted() {
    let mut policy = attesting(policy(), "production");
    policy.environments.get_mut(&environment("production")).unwrap().attest.as_mut().unwrap().legacy_att = true;
    let stage = Stage::new(policy).await;
    stage.script.keys.lock().unwrap().push(key("production"));
    stage.bring(1).await;
    assert_eq!(stage.script.envelopes.lock().unwrap().len(), 2);
    stage.build(2).await;
    let id = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    stage.fail(Step::Verify, 1);
    let (_, status) = promote(&stage, 2).await;
    assert_ne!(status, Status::Completed);
    assert_eq!(stage.script.envelopes.lock().unwrap().len(), 2, "what was withdrawn is gone there too");
}

#[tokio::test]
async fn a_hold_or_another_promotion_takes_an_attestation_its_worth() {
    let stage = ready().await;
    let (id, _) = promote(&stage, 2).await;
    let (image, production, world) = (image(2), environment("production"), stage.world("host"));
    let expected =
        Expected { image: &image, environment: &production, level: Level::Verified, policy: None, promotion: Some(id) };
    let keys = [key("production")];
    let found = attest::attested(world.registry.as_ref(), world.attestor.as_ref(), &keys, &expected).await.unwrap();
    let mut ledger = stage.book().await.ledger().await.unwrap().as_ref().clone();
    attest::counts(&ledger, &found).unwrap();
    let scope = HoldScope::Digest(image.digest);
    ledger.holds.insert(scope.clone(), Hold { scope, reason: "it leaks".into(), by: None });
    let refused = attest::counts(&ledger, &found).unwrap_err().to_string();
    assert!(refused.contains("on hold") && refused.ends_with("it leaks"), "{refused}");
    ledger.holds.clear();
    let mut other = found.clone();
    other.statement.push(b' ');
    assert!(matches!(attest::counts(&ledger, &other), Err(NotAttested::Withdrawn { .. })));
    other.attestation.details.promotion = PromotionId(u64::MAX);
    assert!(attest::counts(&ledger, &other).unwrap_err().to_string().contains("there is no promotion"));
    // Not by that key, there is nothing at all.
    let others = [key("staging")];
    let none = attest::attested(world.registry.as_ref(), world.attestor.as_ref(), &others, &expected).await;
    assert!(none.unwrap_err().to_string().contains("it is signed by none of the keys"));
    assert_eq!(world.registry.referrers(&image).await.unwrap().len(), 2);
}
