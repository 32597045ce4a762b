//! Two runs at once: one works, the other says so and leaves.

use std::time::Duration;

use sealift_registry::server::script::{Action, Fault, Gate, Nth};

use crate::place::Place;

/// Waits until a request has come to the gate.
fn arrived(place: &Place, gate: &Gate) {
    let waited = place.block_on(async { tokio::time::timeout(Duration::from_secs(60), gate.arrived()).await });
    waited.expect("a request comes to the gate");
}

/// Production's registry holds the first upload until the gate is opened: a run is in the middle of its copy.
fn hold_the_copy(place: &Place) -> Gate {
    let gate = Gate::new();
    let hold = Fault::new("/v2/hello/blobs/uploads/*", Action::Hold(gate.clone()));
    place.production.script(hold.nth(Nth::Only(1)));
    gate
}

fn approved() -> (Place, u64) {
    let place = Place::initialised();
    place.build("1.0.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    (place, id)
}

#[test]
fn a_second_run_of_a_promotion_that_is_being_worked_on_leaves_it_alone() {
    let (place, id) = approved();
    let gate = hold_the_copy(&place);
    let first = place.start(&["promote", "--to", "production"]);
    arrived(&place, &gate);
    let second = place.run(&["promote", "--to", "production"]);
    second.ends(8).says("E0405").says(&format!("sealift status {id}"));
    gate.open();
    first.join().unwrap().ends(0);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    assert_eq!(place.promotion(id)["state"], "completed");
    let starts = std::fs::read_to_string(place.path("production/starts.log")).unwrap();
    assert_eq!(starts.lines().count(), 1, "{starts}");
    place.audited();
}

#[test]
fn of_two_runs_that_are_admitted_at_the_same_moment_one_takes_the_environment() {
    let (place, id) = approved();
    // Each run reads the image before it decides; both are let go when both have come so far.
    let gate = Gate::new();
    place.staging.script(Fault::new("/v2/hello/manifests/*", Action::Hold(gate.clone())));
    let first = place.start(&["promote", "--to", "production"]);
    arrived(&place, &gate);
    let second = place.start(&["promote", "--to", "production"]);
    arrived(&place, &gate);
    // Whoever wins stays in its copy until the other has decided, so that they overlap for certain.
    let copying = hold_the_copy(&place);
    gate.open();
    arrived(&place, &copying);
    let (sender, ended) = std::sync::mpsc::channel();
    for run in [first, second] {
        let sender = sender.clone();
        std::thread::spawn(move || sender.send(run.join().unwrap()));
    }
    let loser = ended.recv_timeout(Duration::from_secs(60)).unwrap();
    loser.ends(8).says("E0405");
    copying.open();
    ended.recv_timeout(Duration::from_secs(60)).unwrap().ends(0);
    assert_eq!(place.promotion(id)["state"], "completed");
    place.audited();
}

#[test]
fn another_release_waits_its_turn() {
    let (place, id) = approved();
    let gate = hold_the_copy(&place);
    let first = place.start(&["promote", "--to", "production"]);
    arrived(&place, &gate);
    let newer = place.build("1.1.0").to_string();
    place.to_staging();
    let named = ["promote", "--to", "production", "--digest", &newer, "--identity", "keys/bob"];
    place.run(&named).ends(8).says("E0405");
    gate.open();
    first.join().unwrap().ends(0);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    let second = place.to_production();
    assert!(second > id);
    assert_eq!(place.answers("production").as_deref(), Some("1.1.0"));
    place.audited();
}
