//! Log and registries are gone, and production goes back all the same; when they are back, the log hears of it.

use std::{fs, path::PathBuf};

use sealift_domain::digest::Digest;
use serde_json::Value;

use crate::place::{Place, Ran};

/// The command, by somebody.
fn back(place: &Place, key: &str, more: &[&str]) -> Ran {
    let key = format!("keys/{key}");
    let command = ["rollback", "--in", "production", "--offline", "--identity", &key, "--reason", "1.1.0 burns"];
    place.run(&[&command, more].concat())
}

/// Production runs 1.1.0 after 1.0.0.
fn two() -> (Place, Digest, Digest) {
    let place = Place::initialised();
    let good = place.release("1.0.0");
    let bad = place.release("1.1.0");
    (place, good, bad)
}

/// Production, whose check is a script as well.
fn scripted() -> (Place, Digest, Digest) {
    let place = Place::new();
    let verify = "within: 300ms, stable_for: 100ms, json: {status: ok, version: \"{version}\"}}";
    place.edit(verify, &format!("{verify}\n      - {{run: [sh, check.sh]}}"));
    place.write("check.sh", "exit 0\n");
    place.run(&["init"]).ends(0);
    let good = place.release("1.0.0");
    let bad = place.release("1.1.0");
    (place, good, bad)
}

/// The log is somewhere else.
fn without_log(place: &Place) {
    fs::rename(place.path(".sealift"), place.path("gone")).unwrap();
}

/// The log is back, and what was written meanwhile stays.
fn with_log(place: &Place) {
    for entry in fs::read_dir(place.path("gone")).unwrap() {
        let entry = entry.unwrap();
        fs::create_dir_all(place.path(".sealift")).unwrap();
        fs::rename(entry.path(), place.path(".sealift").join(entry.file_name())).unwrap();
    }
}

/// The records that production's host has for the log.
fn records(place: &Place) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place.path("production/offline/records")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The fencing number that production's host has seen.
fn fence(place: &Place) -> u64 {
    let text = fs::read_to_string(place.path("production/agent.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["fence"].as_u64().unwrap()
}

fn is_live(place: &Place, version: &str, digest: Digest) {
    assert_eq!(place.answers("production").as_deref(), Some(version), "what answers");
    assert_eq!(place.runs("production"), Some(digest), "what the driver reads");
}

#[test]
fn production_goes_back_without_log_and_registry_and_the_log_hears_of_it() {
    let (place, good, bad) = two();
    without_log(&place);
    let before = fence(&place);
    // Where the registries were, nothing answers.
    place.edit(&place.production.address().to_string(), "127.0.0.1:9");
    place.edit(&place.staging.address().to_string(), "127.0.0.1:9");
    let ran = back(&place, "ana", &[]);
    ran.ends(0).says("ROLLED BACK without the log").says("1 check").says("nobody could compare");
    ran.says("next: when the log is back: `sealift record offline --in production`");
    back(&place, "ana", &[]).ends(0).says("is not made again");
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    assert!(fence(&place) > before, "{} after {before}", fence(&place));
    let here: Vec<_> = fs::read_dir(place.path(".sealift/offline")).unwrap().collect();
    assert_eq!((here.len(), records(&place).len()), (1, 1), "a record here and one on the host");

    place.edit(
        "image: 127.0.0.1:9/hello\n    tags: [staging",
        &format!("image: {}/hello\n    tags: [staging", place.staging.address()),
    );
    place.edit("image: 127.0.0.1:9/hello", &format!("image: {}/hello", place.production.address()));
    with_log(&place);
    place.run(&["status"]).ends(0).says("does not have that yet").says("next: sealift record offline --in production");
    assert_eq!(place.json(&["status"])["offline_waiting"][0]["environment"], "production");
    assert_eq!(place.live("production"), Some(bad), "the log does not know yet");
    let taken = place.json(&["record", "offline"]);
    let rollback = &taken["offline_rollbacks"][0];
    assert_eq!((&rollback["new"], &rollback["by"]), (&true.into(), &"ana".into()), "{taken:#}");
    assert_eq!(rollback["not_entitled"], Value::Null);
    let entry = rollback["entry"].to_string();
    is_live(&place, "1.0.0", good);
    assert_eq!(place.live("production"), Some(good));
    place.run(&["status"]).ends(0).says("1.0.0");
    place.run(&["hold", "list"]).ends(0).says("rolled production back").says(&bad.short());
    place.run(&["history"]).ends(0).says("`ana` rolled production back without the log").says("1.1.0 burns");
    assert_eq!(place.json(&["history"])["offline_rollbacks"][0]["by"], "ana");
    place.run(&["explain", &entry]).ends(0).says("rolled production back without the log").says("1.1.0 burns");
    let shown = place.run(&["audit", "show", &entry]);
    shown.ends(0);
    assert_eq!(shown.json()["offline_rollback"]["reason"], "1.1.0 burns");
    place.audited();

    // Once is once: from the host, and from the file.
    let size = place.audited();
    place.run(&["record", "offline"]).ends(0).says("nothing waits for the log");
    let file = fs::read_dir(place.path(".sealift/offline")).unwrap().next().unwrap().unwrap().path();
    place.run(&["record", "offline", file.to_str().unwrap()]).ends(0).says("in the log already");
    assert_eq!(place.audited(), size);

    // And on it goes, under a higher number.
    let offline = fence(&place);
    let next = place.release("1.2.0");
    is_live(&place, "1.2.0", next);
    assert!(fence(&place) > offline, "{} after {offline}", fence(&place));
    // The one that burned is not gone back to.
    back(&place, "ana", &[]).ends(0);
    is_live(&place, "1.0.0", good);
    // Nor is gone back further than it was meant, by the same command twice.
    back(&place, "ana", &[]).ends(0).says("is not made again");
    is_live(&place, "1.0.0", good);
}

#[test]
fn a_promotion_takes_it_in_first() {
    let (place, good, bad) = two();
    back(&place, "ana", &[]).ends(0);
    place.build("1.2.0");
    place.to_staging();
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(5).says("taken into the log");
    assert_eq!(records(&place), Vec::<PathBuf>::new());
    assert_eq!(place.live("production"), Some(good));
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(0).says("COMPLETED");
    place.run(&["hold", "list"]).ends(0).says(&bad.short());
    place.audited();
}

#[test]
fn verify_and_rollback_take_it_in_first() {
    for command in
        [&["verify", "--in", "production"][..], &["rollback", "--in", "production", "--identity", "keys/bob"]]
    {
        let (place, good, _) = two();
        back(&place, "ana", &[]).ends(0);
        let ran = place.run(command);
        ran.says("taken into the log");
        // Of two releases one burned: there is nothing else to go back to.
        ran.ends(if command[0] == "verify" { 0 } else { 2 });
        assert_eq!(place.live("production"), Some(good));
    }
}

#[test]
fn a_promotion_that_was_killed_after_the_switch_ends_as_rolled_back() {
    let (place, good, _) = scripted();
    let bad = place.build("1.2.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    place.write("check.sh", "kill -9 $PPID\nsleep 60\n");
    let killed = place.run(&["promote", "--to", "production"]);
    assert_eq!(killed.code, None, "it was to be killed: {killed:?}");
    assert_eq!(place.answers("production").as_deref(), Some("1.2.0"));
    place.write("check.sh", "exit 0\n");
    without_log(&place);
    back(&place, "ana", &["--digest", &good.to_string()]).ends(0);
    with_log(&place);
    // The run that is gone on with does not touch what is live.
    let ran = place.run(&["promote", "--to", "production", "--identity", "keys/bob"]);
    ran.ends(3).says("taken into the log").says("on hold");
    is_live(&place, "1.0.0", good);
    let promotion = place.promotion(id);
    assert_eq!(promotion["state"], "rolled-back", "{promotion:#}");
    assert!(promotion["stage"].to_string().contains("E0426"), "{promotion:#}");
    place.run(&["hold", "list"]).ends(0).says(&bad.short());
    assert!(place.ledger().leases.is_empty());
    place.audited();
    place.release("1.3.0");
    assert_eq!(place.answers("production").as_deref(), Some("1.3.0"));
}

#[test]
fn attack_28_a_run_that_still_believes_it_owns_production_is_refused_on_the_host() {
    let (place, good, _) = scripted();
    place.build("1.2.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    // While the run verifies, somebody goes back; it hears of that when it wants to go on.
    let back = format!(
        "{} rollback --in production --offline --identity keys/ana --reason now --digest {good} >>said 2>&1; exit 1\n",
        env!("CARGO_BIN_EXE_sealift")
    );
    place.write("check.sh", &format!("test -e inner && exit 0\ntouch inner\n{back}"));
    let ran = place.run(&["promote", "--to", "production"]);
    let said = fs::read_to_string(place.path("said")).unwrap();
    assert!(said.contains("ROLLED BACK"), "{said}");
    ran.ends(8).says("E0423").says("sealift record offline --in production");
    is_live(&place, "1.0.0", good);
    let driver = format!("{:?}", fs::read_to_string(place.path("production/agent.json")).unwrap());
    assert!(driver.contains("offline-"), "{driver}");
    place.run(&["record", "offline"]).ends(0);
    assert_eq!(place.promotion(id)["state"], "rolled-back");
    is_live(&place, "1.0.0", good);
    place.audited();
}

#[test]
fn killed_while_it_checks_the_same_command_goes_on() {
    let (place, good, _) = scripted();
    place.write("check.sh", "kill -9 $PPID\nsleep 60\n");
    assert_eq!(back(&place, "ana", &[]).code, None);
    assert_eq!(records(&place).len(), 1);
    place.write("check.sh", "exit 0\n");
    // What is not over is not taken in, and nobody else touches the host.
    place.run(&["record", "offline"]).ends(8).says("E0423").says("is not over").says("--offline");
    place.build("1.2.0");
    place.to_staging();
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(8).says("E0423");
    back(&place, "ana", &[]).ends(0).says("going on with the rollback");
    assert_eq!(records(&place).len(), 1);
    place.run(&["record", "offline"]).ends(0).says("1.1.0 burns");
    is_live(&place, "1.0.0", good);
    place.audited();
}

#[test]
fn a_release_that_fails_its_checks_calls_a_person() {
    let (place, good, _) = scripted();
    place.write("check.sh", "echo no >&2\nexit 1\n");
    let ran = back(&place, "ana", &[]);
    ran.ends(7).says("E0425").says("runs; the record is on the host").says(&good.short());
    is_live(&place, "1.0.0", good);
    place.run(&["record", "offline"]).ends(0).says("a person is needed").says("on hold");
    place.run(&["hold", "list"]).ends(0).says("production");
    place.audited();
}

#[test]
fn a_key_of_nobody_or_of_somebody_who_does_not_approve_changes_nothing() {
    let (place, _, bad) = two();
    without_log(&place);
    back(&place, "eve", &[]).ends(2).says("E0604");
    back(&place, "bob", &[]).ends(2).says("E0612").says("platform-lead");
    let command = ["rollback", "--in", "production", "--offline"];
    place.run(&[&command[..], &["--reason", "x"]].concat()).ends(2).says("E0603");
    place.run(&[&command[..], &["--identity", "keys/ana"]].concat()).ends(2).says("say why");
    assert_eq!(place.answers("production").as_deref(), Some("1.1.0"));
    assert_eq!(records(&place), Vec::<PathBuf>::new());
    with_log(&place);
    is_live(&place, "1.1.0", bad);
}

#[test]
fn attack_28_whoever_was_not_entitled_by_the_log_is_on_record_all_the_same() {
    let (place, good, _) = two();
    without_log(&place);
    // The file says what nobody has accepted.
    place.edit("roles: [developer]", "roles: [platform-lead]");
    back(&place, "bob", &[]).ends(0);
    place.edit(
        &format!("ssh: \"{}\", roles: [platform-lead]}}\nenvironments", place.public_key("bob")),
        &format!("ssh: \"{}\", roles: [developer]}}\nenvironments", place.public_key("bob")),
    );
    with_log(&place);
    place.run(&["record", "offline"]).ends(0).says("WAS NOT ENTITLED").says("`bob` has no role that approves");
    assert_eq!(place.live("production"), Some(good));
    place.run(&["history"]).ends(0).says("NOT ENTITLED");
    place.audited();
}

#[test]
fn with_nothing_before_there_is_nothing_to_go_back_to() {
    let place = Place::initialised();
    let only = place.release("1.0.0");
    back(&place, "ana", &[]).ends(2).says("E0422").says("no such other release");
    back(&place, "ana", &["--digest", &only.to_string()]).ends(2).says("is live in production already");
    let strange = Digest::of(b"never here").to_string();
    back(&place, "ana", &["--digest", &strange]).ends(2).says("E0422");
    is_live(&place, "1.0.0", only);
}

#[test]
fn without_the_image_on_the_host_nothing_is_changed() {
    let (place, good, bad) = two();
    fs::remove_dir_all(place.path(&format!("production/images/{}", good.hex()))).unwrap();
    back(&place, "ana", &[]).ends(2).says("E0422").says("the host does not have its image any more");
    is_live(&place, "1.1.0", bad);
}

#[test]
fn two_at_once_are_one_after_the_other() {
    use rustix::fs::{FlockOperation, flock};
    let (place, _, bad) = two();
    fs::create_dir_all(place.path("production/offline")).unwrap();
    let lock = fs::File::create(place.path("production/offline/lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    back(&place, "ana", &[]).ends(8).says("E0509").says("another rollback without the log is at work");
    is_live(&place, "1.1.0", bad);
    drop(lock);
    back(&place, "ana", &[]).ends(0);
}

#[test]
fn attack_28_a_record_that_somebody_changed_is_not_taken_in() {
    let (place, _, bad) = two();
    back(&place, "ana", &[]).ends(0);
    let [record] = &records(&place)[..] else { panic!("one record") };
    let honest = fs::read_to_string(record).unwrap();
    let other = Digest::of(b"other");
    let edits = [
        honest.replace("1.1.0 burns", "1.1.0 is well"),
        honest.replacen("\"definition\": \"{", "\"definition\": \"{ ", 1),
        honest.replace("\"end\"", "\"and\""),
        honest.replacen(&format!("hello@{}", place.runs("production").unwrap()), &format!("hello@{other}"), 1),
        honest.replacen(&bad.to_string(), &other.to_string(), 1),
        "{".to_owned(),
    ];
    let before = place.audited();
    for edited in edits {
        assert_ne!(edited, honest, "the edit is none");
        fs::write(record, &edited).unwrap();
        place.run(&["record", "offline"]).ends(1).says("E0424");
        place.run(&["verify", "--in", "production"]).ends(1).says("E0424");
        assert_eq!(place.audited(), before, "{edited}");
    }
    fs::write(record, &honest).unwrap();
    // The same bytes as the record of another number.
    let renamed = record.with_file_name(record.file_name().unwrap().to_str().unwrap().replacen("000", "100", 1));
    fs::rename(record, &renamed).unwrap();
    place.run(&["record", "offline"]).ends(1).says("E0424").says("the number");
    fs::rename(&renamed, record).unwrap();
    place.run(&["record", "offline"]).ends(0);
    place.audited();
}
