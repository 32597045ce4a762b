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

/// Goes back without the log, which is somewhere else meanwhile.
fn goes_back_without_log(stage: &Stage<Compose>, more: &[&str]) -> crate::place::Ran {
    let (here, gone) = (stage.place.path(".sealift/log.sqlite"), stage.place.path("gone.sqlite"));
    std::fs::rename(&here, &gone).unwrap();
    let command = ["rollback", "--in", "production", "--offline", "--identity", "keys/ana", "--reason", "it burns"];
    let ran = stage.place.run(&[&command, more].concat());
    std::fs::rename(&gone, &here).unwrap();
    ran
}

#[test]
fn without_log_and_registry_production_goes_back_and_the_log_hears_of_it() {
    const TEST: &str = "workflow::offline::without_log_and_registry_production_goes_back_and_the_log_hears_of_it";
    let Some((stage, good)) = stopped(TEST) else { return };
    goes_back_without_log(&stage, &[]).ends(0).says("ROLLED BACK without the log");
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.0.0"));
    assert_eq!(stage.driver.nginx().failed_in_log().failed, Vec::<String>::new());
    stage.place.run(&["record", "offline"]).ends(0).says("it burns");
    assert_eq!(stage.place.live("production"), Some(good.digest));
    assert_eq!(stage.place.runs("production"), Some(good.digest));
    stage.place.audited();
}

#[test]
fn after_a_rollback_without_the_log_promotions_go_on() {
    const TEST: &str = "workflow::offline::after_a_rollback_without_the_log_promotions_go_on";
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let good = stage.released("1.0.0");
    stage.released("1.1.0");
    goes_back_without_log(&stage, &[]).ends(0);
    let next = stage.staged("1.2.0");
    let ask = ["promote", "--to", "production", "--identity", "keys/bob"];
    stage.place.run(&ask).ends(5).says("taken into the log");
    stage.place.approve();
    stage.promote().ends(0).says("COMPLETED");
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.2.0"));
    assert_eq!(stage.place.live("production"), Some(next.digest));
    // The one that burned is passed over; the one before it is taken.
    goes_back_without_log(&stage, &[]).ends(0);
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.0.0"));
    assert_eq!(stage.place.runs("production"), Some(good.digest));
    assert_eq!(stage.driver.nginx().failed_in_log().failed, Vec::<String>::new());
}

#[test]
fn without_the_log_a_release_in_place_of_another_goes_back_too() {
    const TEST: &str = "workflow::offline::without_the_log_a_release_in_place_of_another_goes_back_too";
    let Some(stage) = Stage::new(TEST, Compose::new(How::Recreate), &[]) else { return };
    let good = stage.released("1.0.0");
    stage.released("1.1.0");
    goes_back_without_log(&stage, &[]).ends(0).says("ROLLED BACK without the log");
    assert_eq!(stage.place.runs("production"), Some(good.digest));
    stage.place.run(&["record", "offline"]).ends(0);
    stage.place.audited();
}

#[test]
fn without_the_log_a_host_that_somebody_works_on_is_left_alone_and_they_are_named() {
    use rustix::fs::{FlockOperation, flock};
    const TEST: &str =
        "workflow::offline::without_the_log_a_host_that_somebody_works_on_is_left_alone_and_they_are_named";
    let Some((stage, _)) = stopped(TEST) else { return };
    let lock = std::fs::OpenOptions::new().write(true).open(stage.place.path("production-host/lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    goes_back_without_log(&stage, &[]).ends(8).says("E0509").says("holds the lock").says("fence");
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.1.0"));
    let records = stage.place.path("production-host/offline/records");
    assert!(!records.exists(), "nothing was begun");
}
