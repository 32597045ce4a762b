//! Production's registry is stopped, and production goes back all the same: by the digest that the engine has.

use std::time::{Duration, Instant};

use sealift_registry::image::Built;

use super::{
    compose::{Compose, How},
    record::{Covered, covers},
    stage::Stage,
};
use crate::engine::docker;

/// The way back.
const BACK: [&str; 6] = ["rollback.A", "rollback.C", "rollback.H", "rollback.I", "rollback.L", "rollback.O"];

#[test]
fn a_release_that_fails_is_rolled_back_with_the_registry_stopped() {
    const TEST: &str = "workflow::offline::a_release_that_fails_is_rolled_back_with_the_registry_stopped";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let good = stage.released("1.0.0");
    stage.staged("1.1.0");
    let id = stage.approved();
    // The registry ends while the release is verified; what is restored is well.
    let cut = format!(
        "test -e cut && exit 0\ntouch cut\nkill -9 {}\necho the registry is gone\nexit 1\n",
        stage.production.pid()
    );
    stage.place.write("check.sh", &cut);
    stage.promote().ends(6).says("E0410").says("tags never moved").says("ROLLED BACK");
    assert!(std::net::TcpStream::connect(stage.production.address()).is_err(), "the registry was to be stopped");
    stage.ended_but_for_tags(id, "rolled-back", "E0410", 6, Some(("1.0.0", &good)));
    assert_eq!(stage.told_of_tags(id), None, "no tag was moved");
    let way =
        [&BACK[..], &["rollback.B", "rollback.J", "rollback.M", "main.BB", "main.GG", "main.HH", "main.II"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "rolled-back", code: "E0410", exit: 6 });
}

/// Production runs 1.1.0 after 1.0.0, and its registry is stopped.
fn stopped(test: &str) -> Option<(Stage<Compose>, Built)> {
    let mut stage = Stage::new(test, Compose::new(How::BlueGreen), &[])?;
    let good = stage.released("1.0.0");
    stage.released("1.1.0");
    stage.production.stop();
    Some((stage, good))
}

/// Goes back to 1.0.0 by hand.
fn goes_back(stage: &Stage<Compose>, good: &Built) {
    let began = Instant::now();
    let id = stage.place.request_by(&["rollback", "--in", "production"]);
    stage.place.approve();
    let ran = stage.place.run(&["rollback", "--in", "production"]);
    ran.ends(0).says("COMPLETED").says("the host has the image").says("may still name another release");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(45), "a registry that refuses was waited for: {took:?}");
    let record = stage.ended_but_for_tags(id, "completed", "", 0, Some(("1.0.0", good)));
    assert_eq!(record["unmoved_tags"].to_string().matches("main").count(), 1, "{record:#}");
    let told = stage.told_of_tags(id).unwrap();
    assert!(told.contains("hello:main"), "{told}");
    stage.place.run(&["status"]).ends(0).says("hello:main");
}

#[test]
fn a_rollback_by_hand_completes_with_the_registry_stopped() {
    const TEST: &str = "workflow::offline::a_rollback_by_hand_completes_with_the_registry_stopped";
    let Some((stage, good)) = stopped(TEST) else { return };
    goes_back(&stage, &good);
    covers(Covered { test: TEST, boxes: &BACK, state: "completed", code: "", exit: 0 });
}

#[test]
fn a_rollback_by_hand_starts_from_the_local_image_with_the_registry_stopped() {
    const TEST: &str = "workflow::offline::a_rollback_by_hand_starts_from_the_local_image_with_the_registry_stopped";
    let Some((stage, good)) = stopped(TEST) else { return };
    let kept: Vec<_> = stage.driver.containers().into_iter().filter(|(_, state)| state != "running").collect();
    let [(name, _)] = &kept[..] else { panic!("one is kept: {kept:?}") };
    docker(&["rm", "--force", name]);
    goes_back(&stage, &good);
    covers(Covered { test: TEST, boxes: &BACK, state: "completed", code: "", exit: 0 });
}

#[test]
fn a_rollback_by_hand_without_registry_and_image_changes_nothing() {
    const TEST: &str = "workflow::offline::a_rollback_by_hand_without_registry_and_image_changes_nothing";
    let Some((stage, good)) = stopped(TEST) else { return };
    let kept: Vec<_> = stage.driver.containers().into_iter().filter(|(_, state)| state != "running").collect();
    let [(name, _)] = &kept[..] else { panic!("one is kept: {kept:?}") };
    docker(&["rm", "--force", name]);
    docker(&["rmi", &format!("{}/hello@{}", stage.relay.address(), good.digest)]);
    let ran = stage.place.run(&["rollback", "--in", "production", "--identity", "keys/bob"]);
    ran.ends(3).says("cannot be read");
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.1.0"));
}
