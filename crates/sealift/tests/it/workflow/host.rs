//! What can go wrong on the host itself: each ends in a clear error, and the release before goes on.

use std::{fs, net::TcpListener, process::Command};

use rustix::fs::{FlockOperation, flock};
use sealift_registry::image::{Built, Layer};

use super::{
    compose::{Compose, How},
    deploy::{fails_before_it_is_live, stage},
    relay::Fate,
    stage::Stage,
};
use crate::{
    engine::docker,
    second_engine::{self, SecondEngine},
};

/// What a request is answered that must not come.
const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Networks of production's colours and of what they share, sorted.
fn networks(stage: &Stage<Compose>) -> Vec<String> {
    let listed = stage.driver.docker(&["network", "ls", "--format", "{{.Name}}"]);
    let own = listed.lines().filter(|name| name.starts_with(&stage.driver.project()));
    let mut own: Vec<_> = own.map(str::to_owned).collect();
    own.sort();
    own
}

/// The files in production's state directory, sorted.
fn state(stage: &Stage<Compose>) -> Vec<String> {
    let files = fs::read_dir(stage.place.path("production-host")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What is refused leaves neither a container nor a network nor a file behind.
#[track_caller]
fn is_refused(stage: &Stage<Compose>, good: &Built, code: &str, words: &str) {
    let before = (networks(stage), state(stage));
    fails_before_it_is_live(stage, good, code, words);
    assert_eq!((networks(stage), state(stage)), before, "what is left behind");
}

/// What was in the way is gone: the next promotion of the same release goes through.
#[track_caller]
fn goes_through(stage: &Stage<Compose>, version: &str, image: &Built) {
    let id = stage.approved();
    stage.promote().ends(0).says("COMPLETED");
    stage.ended(id, "completed", "", 0, Some((version, image)));
    assert_eq!(stage.driver.containers().len(), 2, "{:?}", stage.driver.containers());
}

#[test]
fn too_little_memory_for_a_second_release_is_said_before_one_is_started() {
    const TEST: &str = "workflow::host::too_little_memory_for_a_second_release_is_said_before_one_is_started";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let image = stage.staged("1.1.0");
    stage.place.edit("min_memory: 16MB, strategy", "min_memory: 900TB, strategy");
    is_refused(&stage, &good, "E0502", "of memory available, and a second release beside the live one wants 900.0 TB");
    stage.place.edit("min_memory: 900TB", "min_memory: 16MB");
    goes_through(&stage, "1.1.0", &image);
}

#[test]
fn a_port_of_another_program_is_not_taken() {
    const TEST: &str = "workflow::host::a_port_of_another_program_is_not_taken";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let image = stage.staged("1.1.0");
    let port = stage.place.ports[5];
    let foreign = TcpListener::bind(("127.0.0.1", port)).unwrap();
    is_refused(&stage, &good, "E0502", &format!("port {port}, on which the release is to listen, cannot be used"));
    drop(foreign);
    goes_through(&stage, "1.1.0", &image);
}

#[test]
fn a_container_of_somebody_else_keeps_its_name() {
    const TEST: &str = "workflow::host::a_container_of_somebody_else_keeps_its_name";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let image = stage.staged("1.1.0");
    let name = format!("{}-green-web-1", stage.driver.project());
    let other = format!("{}/hello@{}", stage.relay.address(), good.digest);
    let foreign = docker(&["create", "--name", &name, "--label", &stage.driver.label(), &other]);
    is_refused(&stage, &good, "E0502", &format!("The container name \"/{name}\" is already in use"));
    let still = docker(&["container", "inspect", "--format", "{{.Id}} {{.State.Status}}", &name]);
    assert_eq!(still, format!("{foreign} created"), "the container of somebody else");
    docker(&["rm", &name]);
    goes_through(&stage, "1.1.0", &image);
}

/// The lock on production's state directory, as another deployer takes it.
fn held(stage: &Stage<Compose>, holder: &str) -> fs::File {
    let lock = fs::File::options().write(true).truncate(true).open(stage.place.path("production-host/lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    fs::write(stage.place.path("production-host/lock"), holder).unwrap();
    lock
}

/// A second deployer whose lock says this of itself.
fn is_locked_out(test: &str, holder: &str, words: &str) {
    let Some((stage, good)) = stage(test, &[]) else { return };
    let image = stage.staged("1.1.0");
    let other = held(&stage, holder);
    let id = stage.approved();
    let ran = stage.promote();
    ran.ends(8)
        .says("E0509")
        .says(words)
        .says("did not let go within 1s")
        .says("sealift promote --to production # once the other deployer is done");
    stage.ended(id, "failed", "E0509", 8, Some(("1.0.0", &good)));
    assert_eq!(stage.driver.containers().len(), 1, "{:?}", stage.driver.containers());
    assert_eq!(stage.driver.nginx().failed_in_log().failed, Vec::<String>::new());
    drop(other);
    goes_through(&stage, "1.1.0", &image);
}

#[test]
fn a_second_deployer_is_named_and_waited_for() {
    let holder = r#"{"deployment":"p77","fence":76,"process":4711,"host":"elsewhere","since":"2026-01-01T00:00:00Z"}"#;
    let words = "p77 (process 4711 on elsewhere, since 2026-01-01T00:00:00Z, fence 76) holds the lock";
    is_locked_out("workflow::host::a_second_deployer_is_named_and_waited_for", holder, words);
}

#[test]
fn a_holder_that_does_not_say_who_it_is_keeps_the_lock_as_well() {
    let test = "workflow::host::a_holder_that_does_not_say_who_it_is_keeps_the_lock_as_well";
    is_locked_out(test, "", "another process holds the lock");
}

#[test]
fn a_second_log_with_the_same_state_directory_is_fenced_off() {
    const TEST: &str = "workflow::host::a_second_log_with_the_same_state_directory_is_fenced_off";
    let Some((stage, _)) = stage(TEST, &[]) else { return };
    let live = stage.released("1.1.0");
    // A second checkout begins a log of its own. That of staging is let through, so that production has to decide.
    fs::rename(stage.place.path(".sealift"), stage.place.path("first-log")).unwrap();
    fs::remove_file(stage.place.path("staging-host/journal.json")).unwrap();
    stage.place.run(&["init"]).ends(0);
    let before = (stage.driver.containers(), networks(&stage));
    stage.staged("1.2.0");
    let id = stage.approved();
    stage.promote().ends(8).says("E0507").says("a newer deployment was here").says("nothing live was changed");
    assert_eq!(stage.place.promotion(id)["exit_code"], 8);
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.1.0"));
    assert_eq!(stage.place.runs("production"), Some(live.digest));
    assert_eq!((stage.driver.containers(), networks(&stage)), before, "nothing was started or removed");
    assert_eq!(stage.driver.nginx().failed_in_log().failed, Vec::<String>::new());
}

/// Adds something to nginx's configuration that nginx refuses. Returns what it was before.
fn broken(stage: &Stage<Compose>) -> String {
    let before = fs::read_to_string(stage.driver.nginx().conf()).unwrap();
    fs::write(stage.driver.nginx().conf(), format!("{before}nonsense;\n")).unwrap();
    before
}

#[test]
fn a_configuration_that_nginx_refuses_is_not_built_on() {
    const TEST: &str = "workflow::host::a_configuration_that_nginx_refuses_is_not_built_on";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let image = stage.staged("1.1.0");
    let before = broken(&stage);
    is_refused(&stage, &good, "E0505", "nginx refuses its own configuration, which Sealift has not touched");
    fs::write(stage.driver.nginx().conf(), before).unwrap();
    goes_through(&stage, "1.1.0", &image);
}

/// After a promotion that got stuck, and once its cause is mended, a person brings 1.0.0 back.
#[track_caller]
fn leads_back(stage: &Stage<Compose>, good: &Built) {
    let id = stage.place.request_by(&["rollback", "--in", "production"]);
    stage.place.approve();
    stage.place.run(&["rollback", "--in", "production"]).ends(0).says("COMPLETED");
    stage.ended(id, "completed", "", 0, Some(("1.0.0", good)));
}

#[test]
fn a_configuration_that_is_broken_meanwhile_calls_a_person() {
    const TEST: &str = "workflow::host::a_configuration_that_is_broken_meanwhile_calls_a_person";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let bad = stage.staged("1.1.0");
    let id = stage.approved();
    let conf = stage.driver.nginx().conf();
    let before = fs::read_to_string(&conf).unwrap();
    stage.place.write("check.sh", &format!("echo 'nonsense;' >> {}\nexit 1\n", conf.display()));
    let ran = stage.promote();
    ran.ends(7).says("E0410").says("E0505").says("nginx refuses its own configuration").says("STUCK");
    stage.stuck(id, "E0505");
    // nginx goes on with the configuration that it has in memory.
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.1.0"));
    assert_eq!(stage.place.runs("production"), Some(bad.digest));
    assert_eq!(stage.driver.containers().len(), 2, "both releases are there: {:?}", stage.driver.containers());
    fs::write(conf, before).unwrap();
    stage.place.write("check.sh", "exit 0\n");
    leads_back(&stage, &good);
    assert_eq!(stage.driver.nginx().failed_in_log().failed, Vec::<String>::new());
}

#[test]
fn an_nginx_that_does_not_run_is_said_to_be_that() {
    const TEST: &str = "workflow::host::an_nginx_that_does_not_run_is_said_to_be_that";
    let Some((mut stage, good)) = stage(TEST, &[]) else { return };
    let image = stage.staged("1.1.0");
    let id = stage.approved();
    stage.driver.nginx.as_mut().unwrap().stop();
    let ran = stage.promote();
    ran.ends(7).says("does not take the order to reload it; does it run?").says("STUCK");
    stage.stuck(id, "E0505");
    assert_eq!(stage.place.runs("production"), Some(good.digest), "the upstream names what it did before");
    stage.driver.nginx.as_mut().unwrap().start_again();
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.0.0"));
    let held = image.digest.to_string();
    for what in ["production", held.as_str()] {
        stage.place.run(&["hold", "release", what, "--reason", "nginx runs"]).ends(0);
    }
    goes_through(&stage, "1.1.0", &image);
}

/// Production on an engine of its own, with a disk of this many megabytes.
fn on_second_engine(test: &str, disk_mb: u32, settings: &[&str]) -> Option<(Stage<Compose>, SecondEngine, Built)> {
    if !second_engine::is_possible(test) {
        return None;
    }
    let engine = SecondEngine::start(disk_mb, true);
    let compose = Compose::new(How::BlueGreen).on_engine(&engine.address());
    let compose = settings.iter().fold(compose, |compose, setting| compose.with_setting(setting));
    let stage = Stage::new(test, compose, &[])?;
    let good = stage.released("1.0.0");
    stage.driver.nginx().forget_log();
    Some((stage, engine, good))
}

/// An archive with a file of this many bytes, which are all the same and hence small on their way.
fn archive(bytes: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("large"), vec![0; bytes]).unwrap();
    let made = Command::new("tar").args(["-cf", "-", "-C"]).arg(directory.path()).arg("large").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    made.stdout
}

#[test]
fn a_full_disk_ends_the_pull_and_nothing_else() {
    const TEST: &str = "workflow::host::a_full_disk_ends_the_pull_and_nothing_else";
    const MB: u64 = 1 << 20;
    let Some((stage, engine, good)) = on_second_engine(TEST, 64, &["min_disk: 1MB"]) else { return };
    let large = Layer::tar(archive(16 << 20));
    let image = sealift::demo::images::contained("1.1.0").layer(large).build();
    stage.record("1.1.0", &image);
    stage.place.to_staging();
    engine.fill(4 * MB);
    is_refused(&stage, &good, "E0501", "no space left on device");
    assert!(engine.free() > 3 * MB, "what was begun is removed: {} bytes are free", engine.free());
    // With a limit that fits the release, it is said before anything is pulled.
    stage.place.edit("min_disk: 1MB", "min_disk: 32MB");
    stage.relay.meet_engine("GET /v2/", Fate::Answer(REFUSED.to_owned()));
    is_refused(&stage, &good, "E0502", "left, and `min_disk` wants 32.0 MB");
    assert_eq!(stage.relay.met(), 0, "the engine asked for nothing");
    engine.make_room();
    stage.relay.meet("nothing", 0, Fate::Cut);
    goes_through(&stage, "1.1.0", &image);
}

#[test]
fn an_engine_that_dies_before_the_switch_ends_the_promotion() {
    const TEST: &str = "workflow::host::an_engine_that_dies_before_the_switch_ends_the_promotion";
    let Some((stage, mut engine, good)) = on_second_engine(TEST, 64, &["min_disk: 1MB", "stable_for: 2s"]) else {
        return;
    };
    let image = stage.staged("1.1.0");
    let id = stage.approved();
    let promotion = stage.place.start(&["promote", "--to", "production"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while stage.driver.containers().iter().filter(|(_, state)| state == "running").count() < 2 {
        assert!(std::time::Instant::now() < deadline, "no candidate: {:?}", stage.driver.containers());
    }
    engine.kill();
    let ran = promotion.join().unwrap();
    ran.ends(9).says("E0508").says("Cannot connect to the Docker daemon").says("nothing live was changed");
    ran.says("sealift promote --to production # once the host answers");
    // The container goes on, but its published port was served by a process of the engine.
    assert_eq!(stage.driver.nginx().version(), None);
    engine.start_again();
    stage.ended(id, "failed", "E0508", 9, Some(("1.0.0", &good)));
    // The candidate that could not be removed makes way for the next one.
    goes_through(&stage, "1.1.0", &image);
}

#[test]
fn an_engine_that_dies_after_the_switch_calls_a_person() {
    const TEST: &str = "workflow::host::an_engine_that_dies_after_the_switch_calls_a_person";
    let Some((stage, mut engine, good)) = on_second_engine(TEST, 64, &["min_disk: 1MB"]) else { return };
    stage.staged("1.1.0");
    let id = stage.approved();
    stage.place.write("check.sh", &format!("kill -9 {}\nexit 1\n", engine.process()));
    stage.promote().ends(7).says("E0410").says("E0508").says("Cannot connect to the Docker daemon").says("STUCK");
    stage.stuck(id, "E0508");
    engine.is_dead();
    engine.start_again();
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.1.0"), "what it was switched to goes on");
    stage.place.write("check.sh", "exit 0\n");
    leads_back(&stage, &good);
}
