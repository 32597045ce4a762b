//! Databases: migrations that run once, and the way back that schema labels leave open.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sealift::demo::images;
use sealift_domain::{
    digest::Digest,
    schema::{COMPATIBLE_LABEL, SCHEMA_LABEL},
};
use serde_json::{Value, json};

use crate::{
    place::{NEEDED, Place, Ran},
    webhook::Receiver,
};

/// The file that stands for production's database.
const DATABASE: &str = "database";

/// A place whose production migrates, before `init`.
fn migrating() -> Place {
    let place = Place::new();
    let database = place.path(DATABASE).display().to_string();
    place.edit("    approval:", "    migrate: {run: [/hello, migrate]}\n    approval:");
    place
        .edit("state: production,", &format!("state: production, env: {{DATABASE: \"{database}\", MIGRATION: well}},"));
    place
}

/// The same with a log.
fn ready() -> Place {
    let place = migrating();
    place.run(&["init"]).ends(0);
    place
}

/// The same with a receiver of all notices.
fn told() -> (Place, Receiver) {
    let (place, receiver) = (migrating(), Receiver::start());
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    let notify =
        format!("notify:\n  - {{webhook: \"{}\", on: [completed, failed, rolled-back, stuck]}}\n", receiver.url());
    place.write("sealift.yaml", &format!("{text}{notify}"));
    place.run(&["init"]).ends(0);
    (place, receiver)
}

/// Builds a release with these labels, which is unwell in production if it is `broken`, and brings it to staging.
fn staged(place: &Place, version: &str, labels: &[(&str, &str)], broken: bool) -> Digest {
    let image = images::service(version, broken.then_some(NEEDED));
    let image = labels.iter().fold(image, |image, (key, value)| image.label(key, value));
    let digest = place.record(version, &image.build());
    place.to_staging();
    digest
}

fn schema(at: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![(SCHEMA_LABEL, at)]
}

fn compatible(at: &'static str, from: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![(SCHEMA_LABEL, at), (COMPATIBLE_LABEL, from)]
}

/// A good release with these labels, brought to production.
fn released(place: &Place, version: &str, labels: &[(&str, &str)]) -> Digest {
    let digest = staged(place, version, labels, false);
    place.to_production();
    digest
}

/// Asks for what staging runs, has it approved and runs it.
fn promoted(place: &Place) -> (u64, Ran) {
    let id = place.request();
    place.approve();
    (id, place.run(&["promote", "--to", "production"]))
}

/// Production at 1.0.0 with schema 7, and 1.1.0 with schema 8 stuck.
fn stuck(place: &Place) -> (Digest, u64, Ran) {
    let good = released(place, "1.0.0", &schema("7"));
    staged(place, "1.1.0", &schema("8"), true);
    let (id, ran) = promoted(place);
    ran.ends(7);
    (good, id, ran)
}

fn rolled_back(place: &Place, command: &[&str]) {
    place.request_by(command);
    place.approve();
    place.run(&["rollback", "--in", "production"]).ends(0);
}

/// The migrations that began, by version.
fn migrations(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.path(DATABASE)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits until `holds`, which must come before a deadline.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The process id of the agent that runs production.
fn agent_of(state: &Path) -> i32 {
    let mut stream = UnixStream::connect(state.join("agent.sock")).unwrap();
    stream.write_all(b"{\"version\":1,\"command\":\"status\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    i32::try_from(answer["ok"]["pid"].as_i64().unwrap()).unwrap()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_migration_runs_once_from_the_candidate_and_what_it_wrote_is_kept() {
    let (place, receiver) = told();
    staged(&place, "1.0.0", &schema("7"), false);
    assert_eq!(migrations(&place), [] as [&str; 0], "staging migrates nothing");
    let (id, ran) = promoted(&place);
    ran.ends(0).says("`/hello migrate` succeeded");
    assert_eq!(migrations(&place), ["1.0.0"]);
    let session = place.session();
    let kept = place.block_on(session.book.object(Digest::of(b"migrating to 1.0.0\n"))).unwrap();
    assert_eq!(kept.as_deref(), Some(b"migrating to 1.0.0\n".as_slice()), "what it wrote is beside the log");
    assert_eq!(place.promotion(id)["database"]["migrated"], true);
    assert_eq!(receiver.of(id).len(), 1);
    // Going back migrates nothing.
    released(&place, "1.1.0", &compatible("8", "7"));
    rolled_back(&place, &["rollback", "--in", "production"]);
    assert_eq!(migrations(&place), ["1.0.0", "1.1.0"]);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    place.audited();
}

#[test]
fn a_release_that_works_on_the_migrated_database_is_rolled_back_to() {
    let place = ready();
    let good = released(&place, "1.0.0", &schema("7"));
    staged(&place, "1.1.0", &compatible("8", "7"), true);
    place.run(&["plan", "--to", "production"]).ends(0).says("database 7 → 8;").says("works on it too");
    let (_, ran) = promoted(&place);
    ran.ends(6).says("FAILED, ROLLED BACK: production runs 1.0.0");
    assert_eq!((place.runs("production"), place.answers("production").as_deref()), (Some(good), Some("1.0.0")));
    let database = &place.environment("production")["database"];
    assert_eq!(
        (&database["schema"], &database["compatible_from"], &database["live_works"]),
        (&json!(8), &json!(7), &json!(true))
    );
    place.audited();
}

#[test]
fn a_release_that_does_not_work_on_the_migrated_database_is_not_brought_back() {
    let (place, receiver) = told();
    released(&place, "1.0.0", &schema("7"));
    staged(&place, "1.1.0", &schema("8"), true);
    place
        .run(&["plan", "--to", "production"])
        .ends(0)
        .says("database 7 → 8; no automatic way back for the live release (schema 7)");
    assert_eq!(place.json(&["plan", "--to", "production"])["database"]["automatic_way_back"], false);
    let id = place.request();
    place
        .run(&["approve", "--identity", "keys/ana"])
        .ends(0)
        .says("database 7 → 8; no automatic way back for the live release (schema 7)");
    let ran = place.run(&["promote", "--to", "production"]);
    ran.ends(7).says("STUCK").says("E0420").says("E0410").says("next: sealift explain E0420");
    for choice in [
        "a release whose schema is 8 or newer",
        "`sealift hold release production --reason \"…\"` and `sealift promote --to production`",
        "`sealift record database --in production --schema 7 --reason \"…\"` and `sealift rollback --in production`",
        "dev.sealift.schema.compatible-from=7",
    ] {
        ran.says(choice);
    }
    assert_eq!(place.promotion(id)["exit_code"], 7);
    let production = place.environment("production");
    assert_eq!(production["state"], "on hold");
    assert_eq!(
        production["why"],
        format!("promotion {id} is stuck: the release before does not work on the migrated database")
    );
    assert_eq!(place.answers("production").as_deref(), Some("1.1.0"), "the release before was not started");
    let notices = receiver.of(id);
    assert_eq!(notices.last().unwrap().body["type"], "promotion.stuck");
    assert!(notices.last().unwrap().body["reason"].as_str().unwrap().contains("There are three ways"), "{notices:?}");
    place.run(&["status"]).ends(0).says("production: schema 8, no earlier release to go back to works on it");
    place.audited();
}

#[test]
fn a_rollback_by_hand_is_refused_where_the_database_is_too_new() {
    let place = ready();
    let (good, ..) = stuck(&place);
    let chosen = place.run(&["rollback", "--in", "production", "--identity", "keys/bob"]);
    chosen
        .ends(2)
        .says("E0412")
        .says("no earlier release works on the database of production")
        .says("expects schema 7");
    let named = place.run(&["rollback", "--in", "production", "--digest", &good.to_string(), "--identity", "keys/bob"]);
    named.ends(3).says("G012").says("the release expects schema 7, and the database of production is at schema 8");
    named.says("`sealift record database --in production --schema 7").says("`sealift promote --to production`");
    assert_eq!(place.answers("production").as_deref(), Some("1.1.0"));
}

#[test]
fn after_being_stuck_a_mended_release_goes_forward() {
    let place = ready();
    stuck(&place);
    let mended = staged(&place, "1.1.1", &schema("8"), false);
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(3).says("G005");
    place.run(&["hold", "release", "production", "--reason", "1.1.1 mends it"]).ends(0);
    place.to_production();
    assert_eq!((place.runs("production"), place.answers("production").as_deref()), (Some(mended), Some("1.1.1")));
    assert_eq!(migrations(&place), ["1.0.0", "1.1.0", "1.1.1"]);
    place.audited();
}

#[test]
fn after_the_database_was_restored_the_release_before_comes_back() {
    let place = ready();
    let (good, ..) = stuck(&place);
    let restored = ["record", "database", "--in", "production", "--schema", "7", "--reason", "restored from 12:00"];
    place.run(&restored).ends(0).says("recorded the database of production at schema 7");
    rolled_back(&place, &["rollback", "--in", "production"]);
    assert_eq!((place.runs("production"), place.answers("production").as_deref()), (Some(good), Some("1.0.0")));
    assert_eq!(place.environment("production")["database"]["schema"], 7);
    place
        .run(&["record", "database", "--in", "production", "--schema", "7", "--compatible-from", "8", "--reason", "x"])
        .ends(2);
    place.audited();
}

#[test]
fn a_rollback_takes_the_newest_release_that_works_and_status_shows_how_far_back_is_safe() {
    let place = ready();
    let first = released(&place, "1.0.0", &compatible("8", "7"));
    // Schema 8 serves it; the next release takes that away.
    let second = released(&place, "1.1.0", &schema("7"));
    released(&place, "1.2.0", &compatible("9", "8"));
    place.run(&["status"]).ends(0).says("production: schema 9, safe back to 1.0.0").says("(schema 8)");
    assert_eq!(place.environment("production")["database"]["safe_back_to"]["schema"], 8);
    let refused =
        place.run(&["rollback", "--in", "production", "--digest", &second.to_string(), "--identity", "keys/bob"]);
    refused.ends(3).says("the oldest release that works on it is").says(&format!("--digest {first}"));
    rolled_back(&place, &["rollback", "--in", "production"]);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"), "1.1.0 is newer, and does not work on schema 9");
    // What is live is older now; the database is not.
    assert_eq!(place.environment("production")["database"]["schema"], 9);
    place.audited();
}

#[test]
fn where_a_label_is_missing_nothing_goes_back_by_itself() {
    let place = ready();
    let without = released(&place, "1.0.0", &[]);
    assert_eq!(place.environment("production")["database"], json!(null), "without labels nothing is claimed");
    place.run(&["plan", "--to", "production"]).ends(0).says("no schema labels, so nothing is claimed of a database");
    staged(&place, "1.1.0", &schema("1"), true);
    let (_, ran) = promoted(&place);
    ran.ends(7).says("E0420").says("the release before carries no label dev.sealift.schema");
    let named =
        place.run(&["rollback", "--in", "production", "--digest", &without.to_string(), "--identity", "keys/bob"]);
    named.ends(3).says("G012").says("the release carries no label dev.sealift.schema");
    // A database with a schema takes no release that says nothing of it.
    let image = images::service("1.2.0", None).build();
    place.record("1.2.0", &image);
    place.run(&["promote", "--to", "staging"]).ends(3).says("G012").says("build with `--label dev.sealift.schema=N`");
}

#[test]
fn the_first_labels_can_say_that_releases_from_before_still_work() {
    let place = ready();
    let without = released(&place, "1.0.0", &[]);
    staged(&place, "1.1.0", &compatible("1", "0"), true);
    let (_, ran) = promoted(&place);
    ran.ends(6);
    assert_eq!(place.runs("production"), Some(without));
}

#[test]
fn labels_that_cannot_be_read_block() {
    let place = ready();
    for (version, labels, words) in [
        ("1.0.0", schema("eight"), "is \"eight\", which is no number"),
        ("1.0.1", compatible("7", "8"), "which is newer than its own schema 7"),
        ("1.0.2", vec![(COMPATIBLE_LABEL, "7")], "dev.sealift.schema is not"),
    ] {
        let image = images::service(version, None);
        let image = labels.iter().fold(image, |image, (key, value)| image.label(key, value));
        place.record(version, &image.build());
        place.run(&["promote", "--to", "staging"]).ends(3).says("G012").says(words);
    }
    assert_eq!(place.answers("staging"), None);
}

#[test]
fn a_migration_that_fails_changes_nothing_that_is_live_and_says_what_the_database_may_be() {
    let (place, receiver) = told();
    released(&place, "1.0.0", &schema("7"));
    staged(&place, "1.1.0", &schema("8"), false);
    place.edit("MIGRATION: well", "MIGRATION: fails");
    let (id, ran) = promoted(&place);
    ran.ends(9).says("E0506").says("exit status 4").says("panic: column `name` exists already");
    ran.says("FAILED: nothing live was changed; production runs 1.0.0");
    ran.says("DATABASE: the live release now runs on a database that was migrated, or may have been: it expects schema 7 and DOES NOT WORK");
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    let notice = receiver.of(id).pop().unwrap();
    assert_eq!(notice.body["type"], "promotion.failed");
    assert!(notice.body["reason"].as_str().unwrap().contains("DOES NOT WORK"), "{notice:?}");
    place.run(&["status"]).ends(0).says("the LIVE RELEASE DOES NOT WORK on it");
    // Asked again, it is another promotion, and the migration runs again.
    place.edit("MIGRATION: fails", "MIGRATION: well");
    place.to_production();
    assert_eq!(migrations(&place), ["1.0.0", "1.1.0", "1.1.0"]);
    assert_eq!(place.answers("production").as_deref(), Some("1.1.0"));
    place.audited();
}

/// A promotion of 1.1.0 over 1.0.0 whose migration has begun and waits.
fn waiting(place: &Place) -> (u64, Child) {
    released(place, "1.0.0", &schema("7"));
    staged(place, "1.1.0", &compatible("8", "7"), false);
    place.edit("MIGRATION: well", "MIGRATION: waits");
    let id = place.request();
    place.approve();
    let mut command: Command = place.command(env!("CARGO_BIN_EXE_sealift").as_ref());
    command.args(["promote", "--to", "production"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let run = command.spawn().unwrap();
    until("the migration", || migrations(place).len() == 2);
    (id, run)
}

#[test]
fn a_run_that_is_killed_while_it_migrates_is_gone_on_with_and_migrates_once() {
    let place = ready();
    let (id, mut run) = waiting(&place);
    run.kill().unwrap();
    run.wait().unwrap();
    place.write(&format!("{DATABASE}.go"), "");
    place.run(&["promote", "--to", "production"]).ends(0).says("`/hello migrate` succeeded");
    assert_eq!(migrations(&place), ["1.0.0", "1.1.0"], "promotion {id} migrated once");
    assert_eq!(place.answers("production").as_deref(), Some("1.1.0"));
    place.audited();
}

#[test]
fn a_migration_whose_outcome_nobody_knows_is_not_run_again() {
    let place = ready();
    let (id, mut run) = waiting(&place);
    run.kill().unwrap();
    run.wait().unwrap();
    kill(agent_of(&place.path("production")));
    let ran = place.run(&["promote", "--to", "production"]);
    place.write(&format!("{DATABASE}.go"), "");
    ran.ends(9).says("E0506").says("its outcome is unknown").says("it expects schema 7 and works on the database");
    assert_eq!(place.promotion(id)["exit_code"], 9);
    assert_eq!(migrations(&place), ["1.0.0", "1.1.0"]);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    assert_eq!(place.environment("production")["database"]["schema"], 8, "it may have come to its end");
    place.audited();
}
