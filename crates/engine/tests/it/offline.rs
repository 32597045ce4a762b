//! The registry is stopped: what goes on without it, and what does not.

use sealift_domain::promotion::{Ended, Kind, Promotion, PromotionId, Stage as At, Status, Step};
use sealift_engine::ports::registry::RegistryErrorKind;

use super::stubs::{Stage, environment, policy, release};

/// A stage with release 1 in production, release 2 verified in staging, and gates of production that read the image.
async fn ready() -> Stage {
    let mut policy = policy();
    let production = policy.environments.get_mut(&environment("production")).unwrap();
    production.gates = serde_json::from_str(r#"{"max_size": "1MB", "layers": "required"}"#).unwrap();
    let stage = Stage::new(policy).await;
    stage.bring(1).await;
    stage.build(2).await;
    let id = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    *stage.script.live.lock().unwrap() = Some((release(1), sealift_domain::digest::Digest::of(b"definition")));
    stage.forget();
    stage
}

/// The same with release 2 in production.
async fn promoted() -> Stage {
    let stage = ready().await;
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    stage.forget();
    stage
}

fn answers(stage: &Stage, kind: RegistryErrorKind) {
    *stage.script.registry.lock().unwrap() = Some(kind);
}

/// From the beginning of this step on, the registry answers so.
fn answers_from(stage: &Stage, step: Step, kind: RegistryErrorKind) {
    let script = stage.script.clone();
    let action = Box::new(move || *script.registry.lock().unwrap() = Some(kind));
    stage.script.during.lock().unwrap().insert(step, action);
}

async fn promotion(stage: &Stage, id: PromotionId) -> Promotion {
    let ledger = stage.book().await.ledger().await.unwrap();
    Promotion::clone(&ledger.promotions[&id])
}

fn unmoved(promotion: &Promotion) -> Vec<String> {
    promotion.unmoved_tags.values().flatten().map(ToString::to_string).collect()
}

#[tokio::test]
async fn tags_that_never_moved_need_no_registry_on_the_way_back() {
    let stage = ready().await;
    stage.fail(Step::Verify, u32::MAX);
    answers_from(&stage, Step::Verify, RegistryErrorKind::Denied);
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::RolledBack);
    assert_eq!(unmoved(&promotion(&stage, id).await), Vec::<String>::new());
}

#[tokio::test]
async fn tags_that_cannot_be_moved_back_are_told_and_the_release_is_rolled_back() {
    for silence in [RegistryErrorKind::Transient, RegistryErrorKind::Untrusted] {
        let stage = ready().await;
        stage.fail(Step::MoveTags, u32::MAX);
        answers_from(&stage, Step::Restore, silence);
        let id = stage.ask(Kind::Promote, 2, "production").await;
        assert_eq!(stage.run(id).await, Status::RolledBack);
        assert_eq!(unmoved(&promotion(&stage, id).await), ["moving"]);
        assert_eq!(stage.tag("production"), release(2).components().next().map(|(_, digest)| digest));
    }
}

#[tokio::test]
async fn a_registry_that_refuses_to_move_tags_back_still_calls_a_person() {
    for kind in [RegistryErrorKind::Denied, RegistryErrorKind::Unauthenticated, RegistryErrorKind::Corrupt] {
        let stage = ready().await;
        stage.fail(Step::MoveTags, u32::MAX);
        answers_from(&stage, Step::Restore, kind);
        let id = stage.ask(Kind::Promote, 2, "production").await;
        assert_eq!(stage.run(id).await, Status::Stuck, "{kind:?}");
    }
}

#[tokio::test]
async fn a_rollback_by_hand_goes_on_with_what_the_host_has() {
    goes_on(RegistryErrorKind::Transient).await;
}

#[tokio::test]
async fn whoever_does_not_prove_to_be_the_registry_counts_as_its_silence() {
    goes_on(RegistryErrorKind::Untrusted).await;
}

async fn goes_on(silence: RegistryErrorKind) {
    let stage = promoted().await;
    answers(&stage, silence);
    *stage.script.has_images.lock().unwrap() = true;
    let id = stage.ask(Kind::Rollback, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed, "{:#?}", promotion(&stage, id).await);
    assert_eq!(stage.script.live.lock().unwrap().clone().unwrap().0, release(1));
    assert_eq!(stage.script.count(Step::Copy), 1, "the host has the image: nothing is tried again");
    let promotion = promotion(&stage, id).await;
    assert_eq!(unmoved(&promotion), ["moving"]);
    assert!(promotion.immutable_tags.values().all(Vec::is_empty), "none was read or written");
    for gate in ["max_size", "layers"] {
        let judged = promotion.judged.iter().find(|judged| judged.gate == gate).unwrap();
        assert!(judged.words().contains("was judged") && judged.words().contains("does not answer"), "{judged:?}");
    }
    // With the registry back, the next one moves the tag.
    *stage.script.registry.lock().unwrap() = None;
    let next = stage.ask(Kind::Rollback, 2, "production").await;
    assert_eq!(stage.run(next).await, Status::Completed);
    assert_eq!(stage.tag("production"), release(2).components().next().map(|(_, digest)| digest));
}

#[tokio::test]
async fn only_silence_is_bridged_and_only_with_the_image_on_the_host() {
    let others = [
        RegistryErrorKind::NotFound,
        RegistryErrorKind::Unauthenticated,
        RegistryErrorKind::Denied,
        RegistryErrorKind::Corrupt,
        RegistryErrorKind::Malformed,
    ];
    let cases = others.map(|kind| (kind, true)).into_iter().chain([(RegistryErrorKind::Transient, false)]);
    for (kind, has) in cases {
        let stage = promoted().await;
        answers(&stage, kind);
        *stage.script.has_images.lock().unwrap() = has;
        let id = stage.ask(Kind::Rollback, 1, "production").await;
        assert_eq!(stage.run(id).await, Status::Failed, "{kind:?}, on the host: {has}");
        let At::Ended(Ended::Failed { failure, .. }) = promotion(&stage, id).await.stage else { panic!() };
        assert!(failure.code.as_str().starts_with('G'), "{kind:?}: {failure:?}");
        assert_eq!(stage.script.live.lock().unwrap().clone().unwrap().0, release(2));
    }
}

#[tokio::test]
async fn a_promotion_is_never_bridged() {
    let stage = ready().await;
    answers(&stage, RegistryErrorKind::Transient);
    *stage.script.has_images.lock().unwrap() = true;
    let id = stage.ask(Kind::Promote, 2, "production").await;
    assert_eq!(stage.run(id).await, Status::Failed);
    let judged = promotion(&stage, id).await.judged;
    assert!(judged.iter().filter(|judged| judged.passed()).all(|judged| !judged.words().contains("was judged")));
}

#[tokio::test]
async fn an_earlier_judgement_under_another_policy_is_not_taken_over() {
    let stage = promoted().await;
    let mut stricter = stage.book().await.ledger().await.unwrap().policy.clone().unwrap();
    let production = stricter.environments.get_mut(&environment("production")).unwrap();
    production.gates.max_size = Some(serde_json::from_str(r#""5B""#).unwrap());
    stage.accept(stricter).await;
    answers(&stage, RegistryErrorKind::Transient);
    *stage.script.has_images.lock().unwrap() = true;
    let id = stage.ask(Kind::Rollback, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Failed);
}
