//! What happens between two real registries: copying, trying again, and putting tags.

use sealift::demo::images;

use super::{
    compose::{Compose, How},
    record::{Covered, covers},
    relay::Fate,
    stage::Stage,
};

/// The request with which the copy of a blob begins.
const UPLOAD: &str = "POST /v2/hello/blobs/uploads/";
/// How often a request is sent before its failure is final.
const TRIES: usize = 3;
/// The way to the copy.
const TO_COPY: [&str; 9] =
    ["main.J", "main.K", "main.L", "main.M", "main.O", "main.P", "main.Q", "validate.N", "main.G"];

#[test]
fn a_copy_that_breaks_off_twice_is_completed_by_the_third_try() {
    const TEST: &str = "workflow::registry::a_copy_that_breaks_off_twice_is_completed_by_the_third_try";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let image = stage.staged("1.0.0");
    let id = stage.approved();
    stage.relay.meet(UPLOAD, TRIES - 1, Fate::Cut);
    stage.promote().ends(0).says("COMPLETED");
    assert_eq!(stage.relay.met(), TRIES - 1);
    stage.ended(id, "completed", "", 0, Some(("1.0.0", &image)));
    let way = ["main.R", "main.S", "main.U", "main.V", "main.W", "main.Y", "main.Z", "main.AA", "main.CC", "main.DD"];
    let way = [&TO_COPY[..], &way, &["main.FF", "deploy.Q"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "completed", code: "", exit: 0 });
}

#[test]
fn a_copy_that_breaks_off_three_times_fails() {
    const TEST: &str = "workflow::registry::a_copy_that_breaks_off_three_times_fails";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let good = stage.released("1.0.0");
    let before = stage.tags();
    stage.staged("1.1.0");
    let id = stage.approved();
    stage.relay.meet(UPLOAD, usize::MAX, Fate::Cut);
    stage.promote().ends(9).says("E0304").says("nothing live was changed");
    // Blobs are copied beside each other, and each is tried so often.
    assert!(stage.relay.met() >= TRIES, "{}", stage.relay.met());
    stage.ended(id, "failed", "E0304", 9, Some(("1.0.0", &good)));
    assert_eq!(stage.tags(), before, "no tag was put");
    let way = [&TO_COPY[..], &["main.R", "main.S", "main.T"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "E0304", exit: 9 });
}

#[test]
fn a_registry_that_refuses_the_tag_of_the_release_leaves_production_as_it_was() {
    const TEST: &str = "workflow::registry::a_registry_that_refuses_the_tag_of_the_release_leaves_production_as_it_was";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let good = stage.released("1.0.0");
    let before = stage.tags();
    stage.staged("1.1.0");
    let id = stage.approved();
    let commit: String = images::commit("1.1.0").chars().take(7).collect();
    // As registries answer whose rules forbid a tag (OCI Distribution Specification 1.1, "Error Codes").
    let body = r#"{"errors":[{"code":"DENIED","message":"tags are frozen"}]}"#;
    let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stage.relay.meet(&format!("PUT /v2/hello/manifests/main-{commit}"), usize::MAX, Fate::Answer(answer));
    stage.promote().ends(4).says("E0303").says("tags are frozen");
    assert!(stage.relay.met() >= 1);
    stage.ended(id, "failed", "E0303", 4, Some(("1.0.0", &good)));
    assert_eq!(stage.tags(), before, "no tag was put");
    let way = [&TO_COPY[..], &["main.U", "main.V", "main.W", "main.X"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "E0303", exit: 4 });
}
