//! Deployment by Compose: what can go wrong on the host, and what production runs then.

use sealift_registry::image::Built;

use super::{
    compose::{Compose, How},
    record::{Covered, covers},
    relay::Fate,
    stage::Stage,
};
use crate::{engine::docker, place::NEEDED};

/// The way to the deployment.
const TO_DEPLOYMENT: [&str; 12] = [
    "main.A", "main.E", "main.F", "main.G", "main.J", "main.O", "main.P", "main.Q", "main.U", "main.Y", "main.Z",
    "deploy.A",
];
/// The way through a deployment that works.
const DEPLOYED: [&str; 6] = ["deploy.B", "deploy.E", "deploy.H", "deploy.K", "deploy.N", "main.CC"];
/// A stage behind nginx that runs 1.0.0.
pub(super) fn stage(test: &str, edits: &[(&str, &str)]) -> Option<(Stage<Compose>, Built)> {
    let stage = Stage::new(test, Compose::new(How::BlueGreen), edits)?;
    let good = stage.released("1.0.0");
    // Before the first release there is nothing that could answer.
    stage.driver.nginx().forget_log();
    Some((stage, good))
}

/// A release whose deployment fails before it is live: production goes on with 1.0.0, and the candidate is gone.
pub(super) fn fails_before_it_is_live(stage: &Stage<Compose>, good: &Built, code: &str, words: &str) {
    let id = stage.approved();
    stage.promote().ends(9).says(code).says(words).says("nothing live was changed");
    stage.ended(id, "failed", code, 9, Some(("1.0.0", good)));
    assert_eq!(stage.driver.containers().len(), 1, "the candidate is gone: {:?}", stage.driver.containers());
    assert_eq!(stage.driver.nginx().failed_in_log().failed, Vec::<String>::new());
}

#[test]
fn a_good_release_is_deployed_and_verified() {
    const TEST: &str = "workflow::deploy::a_good_release_is_deployed_and_verified";
    let Some((stage, _)) = stage(TEST, &[]) else { return };
    let image = stage.staged("1.1.0");
    let id = stage.approved();
    stage.promote().ends(0).says("COMPLETED");
    stage.ended(id, "completed", "", 0, Some(("1.1.0", &image)));
    // The release before is stopped and kept.
    let containers = stage.driver.containers();
    assert!(matches!(&containers[..], [(_, a), (_, b)] if a != b), "{containers:?}");
    let way = [&TO_DEPLOYMENT[..], &DEPLOYED, &["deploy.Q", "main.FF", "validate.N"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "completed", code: "", exit: 0 });
}

#[test]
fn a_host_that_cannot_pull_goes_on_with_what_it_runs() {
    const TEST: &str = "workflow::deploy::a_host_that_cannot_pull_goes_on_with_what_it_runs";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let image = stage.staged("1.1.0");
    let gone = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stage.relay.meet_engine(&format!("GET /v2/hello/manifests/{}", image.digest), Fate::Answer(gone.to_owned()));
    fails_before_it_is_live(&stage, &good, "E0501", "docker pull");
    assert!(stage.relay.met() > 0);
    let way = [&TO_DEPLOYMENT[..], &["deploy.B", "deploy.C", "deploy.D"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "E0501", exit: 9 });
}

#[test]
fn a_compose_file_that_compose_refuses_changes_nothing() {
    const TEST: &str = "workflow::deploy::a_compose_file_that_compose_refuses_changes_nothing";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let text = std::fs::read_to_string(stage.place.path("production.yaml")).unwrap();
    stage.place.write("production.yaml", &text.replace("init: true", "init: perhaps"));
    stage.staged("1.1.0");
    fails_before_it_is_live(&stage, &good, "E0502", "services.web.init");
    let way = [&TO_DEPLOYMENT[..], &["deploy.E", "deploy.F", "deploy.G"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "E0502", exit: 9 });
}

#[test]
fn a_service_that_does_not_start_never_gets_traffic() {
    const TEST: &str = "workflow::deploy::a_service_that_does_not_start_never_gets_traffic";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    stage.staged("1.1.0");
    stage.driver.configure(&stage.place, "    init: true\n    environment: {DIE_AFTER: \"0\"}\n");
    fails_before_it_is_live(&stage, &good, "E0503", "ended with exit code 1");
    let way = [&TO_DEPLOYMENT[..], &["deploy.B", "deploy.E", "deploy.H", "deploy.I", "deploy.J"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "E0503", exit: 9 });
}

#[test]
fn a_service_that_never_gets_healthy_never_gets_traffic() {
    const TEST: &str = "workflow::deploy::a_service_that_never_gets_healthy_never_gets_traffic";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    staged_and_broken(&stage);
    fails_before_it_is_live(&stage, &good, "E0504", "is not healthy");
    let way = [&TO_DEPLOYMENT[..], &["deploy.B", "deploy.E", "deploy.H", "deploy.K", "deploy.L", "deploy.M"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "failed", code: "E0504", exit: 9 });
}

/// Stages 1.1.0, which is well in staging and whose `/health` answers 503 in production.
pub(super) fn staged_and_broken(stage: &Stage<Compose>) -> Built {
    let image = stage.image("1.1.0", &[("NEEDS", NEEDED)]);
    stage.record("1.1.0", &image);
    stage.place.to_staging();
    image
}

/// A driver that takes a release for healthy that answers at all, so that what is wrong shows only once it is live.
pub(super) fn easily_content() -> Compose {
    Compose::new(How::BlueGreen)
        .with_lines("    init: true\n    healthcheck: {disable: true}\n")
        .with_setting("health: /")
}

#[test]
fn an_endpoint_that_answers_wrongly_brings_the_release_before_back() {
    const TEST: &str = "workflow::deploy::an_endpoint_that_answers_wrongly_brings_the_release_before_back";
    let Some(stage) = Stage::new(TEST, easily_content(), &[]) else { return };
    let good = stage.released("1.0.0");
    staged_and_broken(&stage);
    let id = stage.approved();
    stage.promote().ends(6).says("E0410").says("503").says("ROLLED BACK");
    stage.ended(id, "rolled-back", "E0410", 6, Some(("1.0.0", &good)));
    stage.place.run(&["hold", "list"]).ends(0).says("failed in production");
    stage.place.run(&["history", "--in", "production"]).ends(0).says("Rolled back");
    assert_eq!(stage.notices(id), ["promotion.approval-wanted", "promotion.started", "promotion.rolled-back"]);
    assert_eq!(stage.driver.containers().len(), 1, "what failed is removed: {:?}", stage.driver.containers());
    let way = ["deploy.O", "deploy.P", "main.DD", "main.EE", "main.BB", "main.GG", "main.HH", "main.II"];
    let back = [
        "rollback.A",
        "rollback.B",
        "rollback.C",
        "rollback.I",
        "rollback.J",
        "rollback.L",
        "rollback.M",
        "rollback.O",
    ];
    let way = [&TO_DEPLOYMENT[..], &DEPLOYED, &way, &back].concat();
    covers(Covered { test: TEST, boxes: &way, state: "rolled-back", code: "E0410", exit: 6 });
}

#[test]
fn a_rollback_by_hand_completes() {
    const TEST: &str = "workflow::deploy::a_rollback_by_hand_completes";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    stage.released("1.1.0");
    let id = stage.place.request_by(&["rollback", "--in", "production"]);
    stage.place.approve();
    stage.place.run(&["rollback", "--in", "production"]).ends(0).says("COMPLETED");
    stage.ended(id, "completed", "", 0, Some(("1.0.0", &good)));
    let way = ["rollback.A", "rollback.B", "rollback.C", "rollback.H", "rollback.I", "rollback.L", "rollback.O"];
    covers(Covered { test: TEST, boxes: &way, state: "completed", code: "", exit: 0 });
}

#[test]
fn where_nobody_knows_what_ran_before_a_person_is_called() {
    const TEST: &str = "workflow::deploy::where_nobody_knows_what_ran_before_a_person_is_called";
    let Some(stage) = Stage::new(TEST, easily_content(), &[]) else { return };
    stage.released("1.0.0");
    let bad = staged_and_broken(&stage);
    let id = stage.approved();
    // Somebody removed what is live, behind everybody's back.
    for (name, _) in stage.driver.containers() {
        docker(&["rm", "--force", &name]);
    }
    stage.promote().ends(7).says("E0410").says("E0407").says("STUCK");
    let record = stage.stuck(id, "E0407");
    assert!(record.to_string().contains("no container of"), "{record:#}");
    assert_eq!(stage.place.runs("production"), Some(bad.digest), "what it was switched to goes on");
    let way =
        [&TO_DEPLOYMENT[..], &DEPLOYED, &["main.BB", "main.EE", "rollback.A", "rollback.B", "rollback.D"]].concat();
    covers(Covered { test: TEST, boxes: &way, state: "stuck", code: "E0407", exit: 7 });
}

#[test]
fn where_the_release_before_cannot_be_started_a_person_is_called() {
    const TEST: &str = "workflow::deploy::where_the_release_before_cannot_be_started_a_person_is_called";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    let bad = stage.staged("1.1.0");
    let id = stage.approved();
    let [(name, _)] = &stage.driver.containers()[..] else { panic!("one container") };
    let image = format!("{}/hello@{}", stage.relay.address(), good.digest);
    // While the checks run, container and image of the release before are lost, and the registry does not have it either.
    stage.place.write("check.sh", &format!("docker rm -f {name} && docker rmi {image}\nexit 1\n"));
    let gone = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stage.relay.meet(&format!("GET /v2/hello/manifests/{}", good.digest), usize::MAX, Fate::Answer(gone.to_owned()));
    stage.promote().ends(7).says("E0410").says("E0501").says("STUCK");
    stage.stuck(id, "E0501");
    assert_eq!(stage.place.runs("production"), Some(bad.digest), "what is there goes on");
    let way = ["main.BB", "rollback.A", "rollback.B", "rollback.C", "rollback.I", "rollback.J", "rollback.K"];
    covers(Covered { test: TEST, boxes: &way, state: "stuck", code: "E0501", exit: 7 });
}

#[test]
fn a_release_that_came_back_and_is_not_well_is_told_as_such() {
    const TEST: &str = "workflow::deploy::a_release_that_came_back_and_is_not_well_is_told_as_such";
    let Some((stage, good)) = stage(TEST, &[]) else { return };
    stage.staged("1.1.0");
    let id = stage.approved();
    stage.place.write("check.sh", "echo the database is away; exit 1\n");
    stage.promote().ends(7).says("E0410").says("the restored release fails").says("STUCK");
    let record = stage.stuck(id, "E0410");
    assert!(record.to_string().contains("the restored release fails"), "{record:#}");
    assert_eq!(stage.place.runs("production"), Some(good.digest), "the release before has the traffic all the same");
    assert_eq!(stage.driver.nginx().version().as_deref(), Some("1.0.0"));
    let way = ["main.BB", "main.GG", "rollback.A", "rollback.L", "rollback.M", "rollback.N"];
    covers(Covered { test: TEST, boxes: &way, state: "stuck", code: "E0410", exit: 7 });
}

/// A release that takes the place of one that does not stop, and goes back.
fn is_killed_and_replaced(test: &str, how: How) {
    // Without an init process nobody hears SIGTERM.
    let Some(stage) = Stage::new(test, Compose::new(how).with_lines("    init: false\n"), &[]) else { return };
    let good = stage.released("1.0.0");
    staged_and_broken(&stage);
    let id = stage.approved();
    stage.promote().ends(6).says("E0504").says("did not end by itself and was killed").says("ROLLED BACK");
    stage.ended(id, "rolled-back", "E0504", 6, Some(("1.0.0", &good)));
    let way = [
        "main.BB",
        "main.GG",
        "main.HH",
        "main.II",
        "rollback.E",
        "rollback.F",
        "rollback.G",
        "rollback.H",
        "rollback.O",
    ];
    covers(Covered { test, boxes: &way, state: "rolled-back", code: "E0504", exit: 6 });
}

#[test]
fn a_service_that_does_not_stop_is_killed_and_replaced() {
    is_killed_and_replaced("workflow::deploy::a_service_that_does_not_stop_is_killed_and_replaced", How::Recreate);
}

#[test]
fn version_1_of_compose_kills_and_replaces_as_well() {
    is_killed_and_replaced("workflow::deploy::version_1_of_compose_kills_and_replaces_as_well", How::RecreateV1);
}
