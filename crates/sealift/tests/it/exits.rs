//! Every exit code, and the words that come with it.

use std::time::Duration;

use sealift::demo::images;
use sealift_registry::{
    image::Layer,
    server::{
        Access, Account, Config,
        script::{Action, Fault, Gate, Nth, status},
    },
};

use crate::{place::Place, webhook::Receiver};

/// A release that was verified in staging.
fn staged(place: &Place) {
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
}

/// The same, requested by bob and approved by ana. Returns the promotion.
fn approved(place: &Place) -> u64 {
    staged(place);
    let id = place.request();
    place.approve();
    id
}

fn tagged_account() -> Account {
    Account { user: "ana".to_owned(), password: "pw".to_owned(), refresh_token: String::new(), push: true }
}

fn arrived(place: &Place, gate: &Gate) {
    let waited = place.block_on(async { tokio::time::timeout(Duration::from_secs(60), gate.arrived()).await });
    waited.expect("a request comes to the gate");
}

/// Nothing live was changed: this answers as before, and the record says what runs.
fn unchanged(place: &Place, version: Option<&str>) {
    assert_eq!(place.answers("production").as_deref(), version);
    assert_eq!(place.runs("production"), place.live("production"));
    place.audited();
}

#[test]
fn exit_0_what_was_asked_for_is_so() {
    let place = Place::new();
    let id = approved(&place);
    place.run(&["promote", "--to", "production"]).ends(0).says("COMPLETED: production runs 1.0.0");
    assert_eq!(place.promotion(id)["exit_code"], 0);
}

#[test]
fn exit_1_a_damaged_log_is_not_worked_on() {
    let place = Place::new();
    staged(&place);
    let path = place.path(".sealift/log.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    let entry = br#""kind":"build-recorded""#;
    let at = bytes.windows(entry.len()).position(|window| window == entry).unwrap();
    bytes[at + entry.len() - 2] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    place.run(&["audit", "verify"]).ends(1).says("E0202");
    let refused = place.run(&["promote", "--to", "production", "--identity", "keys/bob"]);
    refused.ends(1);
    assert_eq!(place.answers("production"), None);
}

#[test]
fn exit_2_wrong_usage_and_configuration_are_told_before_anything_happens() {
    let place = Place::new();
    place.run(&["promote"]).ends(2).says("--to");
    place.run(&["promote", "--to", "production"]).ends(2).says("E0107").says("sealift init");
    place.run(&["init"]).ends(0);
    place.run(&["init"]).ends(2).says("E0110");
    place.run(&["promote", "--to", "nowhere"]).ends(2).says("E0108");
    place.run(&["promote", "--to", "staging"]).ends(2).says("E0401");
    place.run(&["status", "4711"]).ends(2).says("E0402");
    place.run(&["explain", "E9999"]).ends(2);
    place.run(&["--config", "other.yaml", "status"]).ends(2).says("E0101");
    place.edit("app: hello", "app: [hello");
    place.run(&["status"]).ends(2).says("E0102");
}

#[test]
fn exit_3_a_gate_refuses_and_says_why() {
    let place = Place::new();
    place.edit("max_size: 100MB", "max_size: 1kB");
    staged(&place);
    let ask = ["promote", "--to", "production", "--identity", "keys/bob"];
    place.run(&ask).ends(3).says("max_size");
    let digest = place.live("staging").unwrap().to_string();
    place.run(&["check", "--to", "production"]).ends(3).says("max_size");
    place.run(&["hold", "place", &digest, "--reason", "it eats data"]).ends(0);
    place.run(&ask).ends(3).says("it eats data");
    unchanged(&place, None);
}

#[test]
fn exit_4_a_registry_wants_to_know_who_we_are() {
    let closed = Config { access: Access::Basic(vec![tagged_account()]), ..Config::default() };
    let place = Place::with(Config::default(), closed);
    let id = approved(&place);
    place.run(&["promote", "--to", "production"]).ends(4).says("E0302").says("nothing live was changed");
    assert_eq!(place.promotion(id)["exit_code"], 4);
    unchanged(&place, None);
    let image = format!("{}/hello:1.0.0", place.production.address());
    place.run(&["record", "build", &image]).ends(4).says("E0302");
}

#[test]
fn exit_4_goes_away_with_credentials() {
    let closed = Config { access: Access::Basic(vec![tagged_account()]), ..Config::default() };
    let place = Place::with(Config::default(), closed);
    approved(&place);
    std::fs::create_dir(place.path(".docker")).unwrap();
    // "ana:pw"
    let auths = format!(r#"{{"auths": {{"{}": {{"auth": "YW5hOnB3"}}}}}}"#, place.production.address());
    place.write(".docker/config.json", &auths);
    place.run(&["promote", "--to", "production"]).ends(0);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
}

#[test]
fn exit_5_waiting_for_approval_and_for_a_condition() {
    let place = Place::new();
    staged(&place);
    let id = place.request();
    place.run(&["promote", "--to", "production"]).ends(5).says(&format!("sealift approve {id}"));
    let frozen = ["freeze", "production", "--for", "1h", "--reason", "sales day"];
    place.run(&frozen).ends(0);
    place.run(&["promote", "--to", "production"]).ends(5).says("sales day");
    place.run(&["freeze", "production", "--lift", "--reason", "over"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(5);
    unchanged(&place, None);
}

#[test]
fn exit_6_a_release_that_fails_its_verification_is_rolled_back() {
    let place = Place::initialised();
    let good = place.release("1.0.0");
    let bad = place.build_broken("1.1.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    let ran = place.run(&["promote", "--to", "production"]);
    ran.ends(6).says("FAILED, ROLLED BACK: production runs 1.0.0").says("E0410").says("DATABASE_URL is not set");
    assert_eq!(place.promotion(id)["state"], "rolled-back");
    assert_eq!(place.live("production"), Some(good));
    unchanged(&place, Some("1.0.0"));
    let tags = place.production.tags("hello");
    assert!(tags.contains(&("main".to_owned(), good)), "{tags:?}");
    // It is not tried again by mistake.
    let again = ["promote", "--to", "production", "--identity", "keys/bob"];
    place.run(&again).ends(3).says(&bad.short());
}

#[test]
fn exit_7_where_nobody_may_go_back_by_itself_a_person_is_needed() {
    let place = Place::new();
    place.edit("    approval:", "    rollback: {automatic: false}\n    approval:");
    place.run(&["init"]).ends(0);
    place.release("1.0.0");
    place.build_broken("1.1.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    let ran = place.run(&["promote", "--to", "production"]);
    ran.ends(7).says("STUCK").says("E0408").says("sealift rollback --in production");
    assert_eq!(place.promotion(id)["exit_code"], 7);
    assert_eq!(place.environment("production")["state"], "on hold");
    // A person goes back by hand.
    place.request_by(&["rollback", "--in", "production"]);
    place.approve();
    place.run(&["rollback", "--in", "production"]).ends(0);
    unchanged(&place, Some("1.0.0"));
}

#[test]
fn exit_7_a_rollback_that_fails_is_not_rolled_back() {
    let place = Place::new();
    let well = place.path("well");
    place.edit("state: production,", "state: production, start_within: 5s,");
    let check = format!(
        "    verify:\n      - {{run: [test, -f, \"{}\"]}}\n      - {{http: \"{}health\"",
        well.display(),
        place.url("production")
    );
    place.edit(&format!("    verify:\n      - {{http: \"{}health\"", place.url("production")), &check);
    place.write("well", "");
    place.run(&["init"]).ends(0);
    place.release("1.0.0");
    place.release("1.1.0");
    place.request_by(&["rollback", "--in", "production"]);
    place.approve();
    std::fs::remove_file(well).unwrap();
    place.run(&["rollback", "--in", "production"]).ends(7).says("E0409");
}

#[test]
fn a_release_that_still_runs_is_gone_back_to_without_registry_and_image() {
    let place = Place::initialised();
    let good = place.release("1.0.0");
    place.build_broken("1.1.0");
    place.to_staging();
    place.request();
    place.approve();
    // What production ran is gone from its disk and cannot be pulled; its process still serves.
    std::fs::remove_dir_all(place.path("production/images").join(good.hex())).unwrap();
    place.production.script(Fault::new(&format!("/v2/hello/manifests/{good}"), status(404)));
    place.run(&["promote", "--to", "production"]).ends(6);
    unchanged(&place, Some("1.0.0"));
}

// Exit 8 is in `race`.

#[test]
fn exit_9_a_candidate_that_never_gets_healthy_is_removed() {
    let place = Place::new();
    place.edit("state: production,", "state: production, health: /health, start_within: 2s,");
    place.run(&["init"]).ends(0);
    place.release("1.0.0");
    place.build_broken("1.1.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    let ran = place.run(&["promote", "--to", "production"]);
    ran.ends(9)
        .says("E0504")
        .says("FAILED: nothing live was changed; production runs 1.0.0")
        .says("DATABASE_URL is not set");
    assert_eq!(place.promotion(id)["exit_code"], 9);
    unchanged(&place, Some("1.0.0"));
}

#[test]
fn exit_9_a_registry_that_keeps_failing() {
    let place = Place::new();
    approved(&place);
    place.production.script(Fault::new("/v2/hello/blobs/uploads/*", status(500)));
    place.run(&["promote", "--to", "production"]).ends(9).says("E0304").says("nothing live was changed");
    unchanged(&place, None);
    assert!(place.production.tags("hello").is_empty());
}

#[test]
fn a_registry_that_fails_twice_is_tried_a_third_time() {
    let place = Place::new();
    approved(&place);
    place.production.script(Fault::new("/v2/hello/blobs/uploads/*", status(500)).nth(Nth::First(2)));
    place.run(&["promote", "--to", "production"]).ends(0);
    unchanged(&place, Some("1.0.0"));
}

#[test]
fn exit_9_an_immutable_tag_that_names_something_else_is_left_alone() {
    let place = Place::new();
    approved(&place);
    let commit: String = images::commit("1.0.0").chars().take(7).collect();
    let tag = format!("main-{commit}");
    let other = images::service("0.9.0", None).layer(Layer::tar("another build of the same commit")).build();
    place.production.push("hello", &other, Some(&tag));
    place.run(&["promote", "--to", "production"]).ends(9).says("E0307").says(&tag);
    assert_eq!(place.production.tags("hello"), [(tag, other.digest)]);
    unchanged(&place, None);
}

#[test]
fn exit_10_rejected_withdrawn_superseded_and_lapsed() {
    let place = Place::new();
    place.edit("expires: 1h", "expires: 3s");
    staged(&place);
    let rejected = place.request();
    place.run(&["reject", "--reason", "not on a Friday", "--identity", "keys/ana"]).ends(0);
    assert_eq!(place.promotion(rejected)["exit_code"], 10);
    place.run(&["status", &rejected.to_string()]).ends(0).says("not on a Friday");
    place.run(&["approve", &rejected.to_string(), "--identity", "keys/ana"]).ends(2).says("E0403");

    let withdrawn = place.request();
    place.run(&["cancel", &withdrawn.to_string(), "--reason", "a typing error"]).ends(0);
    assert_eq!(place.promotion(withdrawn)["exit_code"], 10);

    let superseded = place.request();
    place.build("1.1.0");
    place.to_staging();
    let newer = place.request();
    assert_eq!(place.promotion(superseded)["exit_code"], 10);
    assert_eq!(place.promotion(newer)["exit_code"], 5);

    // Nobody approves in time: the next run says so, and that it is over.
    let until: jiff::Timestamp = place.promotion(newer)["stage"]["until"].as_str().unwrap().parse().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while jiff::Timestamp::now() < until {
        assert!(std::time::Instant::now() < deadline, "{until} is not soon");
        std::thread::yield_now();
    }
    place.run(&["promote", "--to", "production"]).ends(10).says("CANCELLED");
    unchanged(&place, None);
}

#[test]
fn exit_10_is_told_by_the_command_that_ends_the_promotion() {
    let (place, receiver) = (Place::new(), Receiver::start());
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    place.write("sealift.yaml", &format!("{text}notify:\n  - {{webhook: \"{}\", on: [cancelled]}}\n", receiver.url()));
    staged(&place);
    let told = |id| receiver.of(id).into_iter().map(|notice| notice.body["reason"].clone()).collect::<Vec<_>>();
    let rejected = place.request();
    assert_eq!(told(rejected), Vec::<serde_json::Value>::new());
    place.run(&["reject", "--reason", "not on a Friday", "--identity", "keys/ana"]).ends(0);
    assert_eq!(told(rejected), ["not on a Friday"]);
    let withdrawn = place.request();
    place.run(&["cancel", &withdrawn.to_string(), "--reason", "a typing error"]).ends(0);
    assert_eq!(told(withdrawn), ["a typing error"]);
}

#[test]
fn exit_10_a_run_whose_promotion_is_cancelled_ends_after_its_step() {
    let place = Place::new();
    let id = approved(&place);
    let gate = Gate::new();
    place.production.script(Fault::new("/v2/hello/blobs/uploads/*", Action::Hold(gate.clone())).nth(Nth::Only(1)));
    let run = place.start(&["promote", "--to", "production"]);
    arrived(&place, &gate);
    place.run(&["cancel", &id.to_string(), "--reason", "stop"]).ends(0).says("ends after the step that is under way");
    gate.open();
    run.join().unwrap().ends(10).says("CANCELLED: stop");
    unchanged(&place, None);
}

#[test]
fn exit_10_a_run_whose_promotion_is_rejected_while_it_judges() {
    let place = Place::new();
    staged(&place);
    place.request();
    let gate = Gate::new();
    place.staging.script(Fault::new("/v2/hello/manifests/*", Action::Hold(gate.clone())));
    let run = place.start(&["promote", "--to", "production"]);
    arrived(&place, &gate);
    place.run(&["reject", "--reason", "no", "--identity", "keys/ana"]).ends(0);
    gate.open();
    run.join().unwrap().ends(10).says("CANCELLED: no");
    unchanged(&place, None);
}
