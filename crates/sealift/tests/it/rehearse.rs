//! Rehearsals: nothing live is changed, nothing is recorded, nothing is left behind.

use std::time::{Duration, Instant};

use sealift_registry::server::script::{Action, Fault, Gate, Nth};
use serde_json::Value;

use crate::place::{NEEDED, Place};

/// The services that production's agent knows of, and the one that is live.
fn services(place: &Place) -> (Vec<String>, Option<String>) {
    let Ok(text) = std::fs::read_to_string(place.path("production/agent.json")) else { return (Vec::new(), None) };
    let journal: Value = serde_json::from_str(&text).unwrap();
    let keys = journal["services"].as_object().unwrap().keys().cloned().collect();
    (keys, journal["live"].as_str().map(str::to_owned))
}

/// Whether anybody listens on one of production's two ports beside the one that is live.
fn listeners(place: &Place) -> usize {
    let answers = |port: &&u16| std::net::TcpStream::connect(("127.0.0.1", **port)).is_ok();
    place.ports[4..6].iter().filter(answers).count()
}

/// The rehearsal changed nothing that anybody could see, and left nothing.
#[track_caller]
fn untouched(place: &Place, before: &Before) {
    assert_eq!(&Before::read(place), before);
    assert!(!services(place).0.iter().any(|key| key.starts_with("rehearse")), "{:?}", services(place));
}

#[derive(Debug, PartialEq, Eq)]
struct Before {
    answers: Option<String>,
    services: (Vec<String>, Option<String>),
    listeners: usize,
    entries: u64,
    tags: Vec<(String, sealift_domain::digest::Digest)>,
}

impl Before {
    fn read(place: &Place) -> Self {
        Self {
            answers: place.answers("production"),
            services: services(place),
            listeners: listeners(place),
            entries: place.audited(),
            tags: place.production.tags("hello"),
        }
    }
}

#[test]
fn a_good_candidate_and_the_rollback_are_started_and_removed_again() {
    let place = Place::initialised();
    place.release("1.0.0");
    place.release("1.1.0");
    let digest = place.build("1.2.0");
    place.to_staging();
    let before = Before::read(&place);
    assert_eq!((before.answers.as_deref(), before.listeners), (Some("1.1.0"), 1));
    let ran = place.run(&["rehearse", "--to", "production"]);
    ran.ends(0)
        .says("REHEARSED: nothing live was changed; production runs 1.1.0")
        .says(&format!("candidate: 1.2.0 ({}) was healthy after", digest.short()))
        .says("rollback: a rollback to 1.0.0")
        .says("plus the switch")
        .says("copied by digest, without a tag");
    untouched(&place, &before);
    let starts = std::fs::read_to_string(place.path("production/starts.log")).unwrap();
    assert_eq!(starts.lines().filter(|line| line.contains("rehearse-")).count(), 2, "both really ran: {starts}");

    // What is there needs no copy; and a rehearsal leads to nothing but a promotion that works.
    let again = place.run(&["rehearse", "--to", "production", "--output", "json"]);
    again.ends(0);
    assert!(!again.stderr.contains("copied by digest"), "{}", again.stderr);
    let result = again.json();
    assert_eq!(result["schema_version"], 1);
    assert!(result["candidate"]["called"].as_str().unwrap().starts_with("1.2.0"), "{result}");
    assert!(result["rollback"]["called"].as_str().unwrap().starts_with("1.0.0"), "{result}");
    for part in ["candidate", "rollback"] {
        let seconds = result[part]["seconds"].as_f64().unwrap();
        assert!(seconds > 0.0 && seconds < 100.0, "{result}");
        assert_eq!(result[part]["started"], true);
    }
    untouched(&place, &before);
    place.to_production();
    assert_eq!(place.answers("production").as_deref(), Some("1.2.0"));
}

#[test]
fn a_candidate_that_never_gets_up_is_said_with_its_log_and_removed() {
    let place = Place::new();
    place.edit("state: production,", "state: production, health: /health, start_within: 1s,");
    place.run(&["init"]).ends(0);
    place.release("1.0.0");
    place.build_broken("1.1.0");
    place.to_staging();
    let before = Before::read(&place);
    let ran = place.run(&["rehearse", "--to", "production"]);
    ran.ends(9)
        .says("E0504")
        .says("1.1.0")
        .says("what is live was not touched, and what was started beside it is removed")
        .says(&format!("{NEEDED} is not set"));
    untouched(&place, &before);
    let json = place.run(&["rehearse", "--to", "production", "--output", "json"]);
    json.ends(9);
    let error: Value = serde_json::from_str(json.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((json.stdout.as_str(), &error["code"]), ("", &"E0504".into()));
    untouched(&place, &before);
}

#[test]
fn the_first_deployment_of_all_has_nothing_to_roll_back_to() {
    let place = Place::initialised();
    place.build("1.0.0");
    place.to_staging();
    let ran = place.run(&["rehearse", "--to", "production"]);
    ran.ends(0)
        .says("production runs nothing")
        .says("candidate: 1.0.0")
        .says("no rollback was timed: no other release was ever verified in production");
    assert_eq!((place.answers("production"), services(&place)), (None, (Vec::new(), None)));
    assert_eq!((listeners(&place), place.production.tags("hello")), (0, Vec::new()));
    assert_eq!(place.json(&["rehearse", "--to", "production"])["rollback"], Value::Null);
    // The first environment rehearses what was built last.
    place.build("1.1.0");
    place.run(&["rehearse", "--to", "staging"]).ends(0).says("candidate: 1.1.0").says("staging runs 1.0.0");
    place.to_production();
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
}

#[test]
fn nothing_is_rehearsed_while_a_promotion_holds_the_environment() {
    let place = Place::initialised();
    place.release("1.0.0");
    place.build("1.1.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    let gate = Gate::new();
    let hold = Fault::new("/v2/hello/blobs/uploads/*", Action::Hold(gate.clone()));
    place.production.script(hold.nth(Nth::Only(1)));
    let run = place.start(&["promote", "--to", "production"]);
    let arrived = place.block_on(async { tokio::time::timeout(Duration::from_secs(60), gate.arrived()).await });
    arrived.expect("the promotion copies");
    place.run(&["rehearse", "--to", "production"]).ends(8).says("E0405").says(&format!("sealift status {id}"));
    gate.open();
    run.join().unwrap().ends(0);
    let starts = std::fs::read_to_string(place.path("production/starts.log")).unwrap();
    assert!(!starts.contains("rehearse-"), "{starts}");
    place.run(&["rehearse", "--to", "production"]).ends(0);
}

#[test]
fn a_rehearsal_that_is_interrupted_removes_what_it_started() {
    let place = Place::new();
    // Never healthy, and waited for long enough that the interruption comes first.
    place.edit("state: production,", "state: production, health: /health, start_within: 100s,");
    place.run(&["init"]).ends(0);
    place.build_broken("1.0.0");
    place.to_staging();
    let mut command = place.command(std::path::Path::new(env!("CARGO_BIN_EXE_sealift")));
    command.args(["rehearse", "--to", "production"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while listeners(&place) == 0 {
        assert!(Instant::now() < deadline, "the candidate never listened");
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("E0418"), "{said}");
    assert_eq!((services(&place), listeners(&place)), ((Vec::new(), None), 0));
}

#[test]
fn what_nobody_built_is_not_started_by_its_digest_alone_and_a_hold_is_said() {
    let place = Place::initialised();
    place.release("1.0.0");
    let foreign = sealift::demo::images::service("6.6.6", None).build();
    place.staging.push("hello", &foreign, Some("6.6.6"));
    let named = foreign.digest.to_string();
    place.run(&["rehearse", "--to", "production", "--digest", &named]).ends(2).says("E0419").says("no build of");
    let newer = place.build("1.1.0").to_string();
    place.run(&["hold", "place", &newer, "--reason", "it eats data"]).ends(0);
    let ran = place.run(&["rehearse", "--to", "production", "--digest", &newer]);
    ran.ends(0).says("candidate: 1.1.0").says("a promotion would be refused");
    place.run(&["rehearse", "--to", "moon"]).ends(2).says("E0108");
}

#[test]
fn a_promotion_that_begins_during_a_rehearsal_wins() {
    let place = Place::new();
    place.edit("state: production,", "state: production, health: /health, start_within: 100s,");
    place.run(&["init"]).ends(0);
    place.release("1.0.0");
    // The one that is rehearsed never gets up, and is waited for; the other one is good.
    let never = place.build_broken("1.1.0").to_string();
    place.build("1.2.0");
    place.to_staging();
    place.request();
    place.approve();
    let rehearsal = place.start(&["rehearse", "--to", "production", "--digest", &never]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while listeners(&place) < 2 {
        assert!(Instant::now() < deadline, "the candidate never listened");
        std::thread::yield_now();
    }
    place.run(&["promote", "--to", "production"]).ends(0);
    rehearsal.join().unwrap().ends(8).says("E0405").says("the rehearsal gave way");
    assert_eq!(place.answers("production").as_deref(), Some("1.2.0"));
    let (services, live) = services(&place);
    assert_eq!((services.as_slice(), listeners(&place)), (live.as_slice(), 1));
    place.audited();
}
