//! What is judged before anything is copied: whether staging verified the release, and whether the image is sound.

use super::{
    compose::{Compose, How},
    record::{Covered, covers},
    stage::Stage,
};
use sealift_registry::image::Format;

use crate::{
    place::NEEDED,
    signature::{self, Key},
};

const GATES: &str = "gates: {max_size: 100MB, layers: required}";
/// The way to the judgement.
const TO_JUDGEMENT: [&str; 6] = ["main.A", "main.B", "main.C", "main.E", "main.F", "main.G"];

/// Staging verified a release, and a gate of production refuses it: what it found is on record, nobody is asked to approve,
/// and nothing is copied, put or started.
fn is_refused(stage: &Stage<Compose>, gate: &str, found: &str) {
    let id = stage.refused();
    let record = stage.ended(id, "failed", gate, 3, None);
    assert!(record.to_string().contains(found), "{found}: {record:#}");
    stage.place.run(&["status", &id.to_string()]).ends(0).says(gate);
    assert_eq!(stage.notices(id), ["promotion.failed"], "nobody is asked to approve");
    assert!(stage.tags().is_empty());
}

#[test]
fn a_release_that_failed_in_staging_is_not_promoted() {
    const TEST: &str = "workflow::images::a_release_that_failed_in_staging_is_not_promoted";
    // Staging misses something, so that the release is unwell there.
    let driver = Compose::new(How::BlueGreen).without_variable();
    let Some(stage) = Stage::new(TEST, driver, &[]) else { return };
    let good = stage.released("1.0.0");
    let bad = stage.image("1.1.0", &[("NEEDS", NEEDED)]);
    stage.record("1.1.0", &bad);
    stage.place.run(&["promote", "--to", "staging"]).ends(6).says("E0504");
    assert_eq!(stage.place.live("staging"), Some(good.digest));

    let digest = bad.digest.to_string();
    let ask = ["promote", "--digest", &digest, "--to", "production", "--identity", "keys/bob", "--output", "json"];
    let ran = stage.place.run(&ask);
    ran.ends(3);
    let id = ran.json()["promotion_id"].as_u64().unwrap();
    stage.ended(id, "failed", "G002", 3, Some(("1.0.0", &good)));
    assert!(
        stage.place.ledger().holds.keys().any(|hold| format!("{hold:?}").contains(&bad.digest.hex())),
        "it is held"
    );
    covers(Covered { test: TEST, boxes: &["main.B", "main.C", "main.D"], state: "failed", code: "G002", exit: 3 });
}

#[test]
fn an_image_over_the_size_limit_is_refused() {
    const TEST: &str = "workflow::images::an_image_over_the_size_limit_is_refused";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[("max_size: 100MB", "max_size: 1kB")]) else {
        return;
    };
    stage.staged("1.0.0");
    is_refused(&stage, "G008", "1kB");
    let way =
        [&TO_JUDGEMENT[..], &["main.H", "main.I", "validate.A", "validate.B", "validate.C", "validate.D"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "G008", exit: 3 });
}

#[test]
fn an_image_that_lacks_a_layer_is_refused() {
    const TEST: &str = "workflow::images::an_image_that_lacks_a_layer_is_refused";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let image = stage.staged("1.0.0");
    let layer = sealift_domain::digest::Digest::of(image.blobs.last().unwrap());
    stage.staging.remove_blob(layer);
    is_refused(&stage, "G009", &layer.to_string());
    let way = [&TO_JUDGEMENT[..], &["main.H", "main.I", "validate.E", "validate.F", "validate.G"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "G009", exit: 3 });
}

#[test]
fn an_image_without_its_metadata_is_refused() {
    const TEST: &str = "workflow::images::an_image_without_its_metadata_is_refused";
    // The service's images say where they come from, and not which run built them.
    let metadata = "gates: {max_size: 100MB, layers: required, metadata: [source, revision, run_id]}";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[(GATES, metadata)]) else { return };
    stage.staged("1.0.0");
    is_refused(&stage, "G010", "run_id");
    let way = [&TO_JUDGEMENT[..], &["main.H", "main.I", "validate.H", "validate.I", "validate.J"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "G010", exit: 3 });
}

#[test]
fn an_image_without_a_right_signature_is_refused_and_a_signed_one_is_not() {
    const TEST: &str = "workflow::images::an_image_without_a_right_signature_is_refused_and_a_signed_one_is_not";
    let (right, wrong) = (Key::new(), Key::new());
    let driver = Compose::new(How::BlueGreen).with_file("cosign.pub", &right.pem());
    let signed = (GATES, "gates: {max_size: 100MB, layers: required, signature: {key: cosign.pub}}");
    let Some(stage) = Stage::new(TEST, driver, &[signed]) else { return };
    let image = stage.staged("1.0.0");
    is_refused(&stage, "G011", "is not signed");
    let sign = |key: &Key| {
        let payload = signature::payload("registry.example/hello", image.digest);
        stage.staging.push(&signature::stored([key.sign(&payload)]), Format::Oci, &signature::tag(image.digest));
    };
    sign(&wrong);
    is_refused(&stage, "G011", "the signature of");
    sign(&right);
    stage.place.to_production();
    assert_eq!(stage.place.runs("production"), Some(image.digest));
    let way = [&TO_JUDGEMENT[..], &["main.H", "main.I", "validate.K", "validate.L", "validate.M"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "G011", exit: 3 });
}

#[test]
fn what_is_rejected_is_cancelled() {
    const TEST: &str = "workflow::images::what_is_rejected_is_cancelled";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let good = stage.released("1.0.0");
    stage.staged("1.1.0");
    let id = stage.place.request();
    stage.place.run(&["reject", "--reason", "not on a Friday", "--identity", "keys/ana"]).ends(0);
    stage.ended(id, "cancelled", "", 10, Some(("1.0.0", &good)));
    stage.place.run(&["status", &id.to_string()]).ends(0).says("not on a Friday").says("E0414");
    assert_eq!(stage.notices(id), ["promotion.approval-wanted", "promotion.cancelled"]);
    let way = [&TO_JUDGEMENT[..], &["main.J", "main.K", "main.L", "main.M", "main.N"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "cancelled", code: "E0414", exit: 10 });
}
