//! The parts that deployments to containers are tested with: engine, Compose, nginx and load, checked by themselves.

use std::time::{Duration, Instant};

use sealift::demo::images::{self, CONTAINER_PORT};
use sealift_registry::image::Format;

use crate::{
    engine::{self, Cleanup, Part, docker, inspect},
    load::Load,
    nginx::Nginx,
    place,
    real_registry::{self, RealRegistry},
};

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn health(container: &str) -> String {
    inspect(container)["State"]["Health"]["Status"].as_str().unwrap_or_default().to_owned()
}

/// Pushes an image to a registry and has the engine pull it. Returns its name.
fn pulled(
    registry: &RealRegistry,
    image: &sealift_registry::image::Built,
    format: Format,
    own: &mut Cleanup,
) -> String {
    registry.push(image, format, "v");
    let name = format!("{}/hello@{}", registry.address(), image.digest);
    docker(&["pull", "--quiet", &name]);
    own.image(&name);
    name
}

#[test]
fn an_engine_takes_the_health_check_from_images_of_both_media_types() {
    const TEST: &str = "containers::an_engine_takes_the_health_check_from_images_of_both_media_types";
    if !real_registry::are_there(TEST) || !engine::are_there(TEST, &[]) {
        return;
    }
    let registry = RealRegistry::start();
    for (format, version) in [(Format::Oci, "1.0.0"), (Format::Docker, "1.0.1")] {
        let mut own = Cleanup::unique("health");
        let label = own.label();
        let image = images::contained_with(version, &[("UNHEALTHY_AFTER", "3000")]).format(format).build();
        let name = pulled(&registry, &image, format, &mut own);
        assert_eq!(inspect(&name)["Config"]["Healthcheck"]["Test"], serde_json::json!(["CMD", "/hello", "health"]));
        let container = docker(&["run", "--detach", "--network", "none", "--label", &label, &name]);
        until("it gets healthy", || health(&container) == "healthy");
        until("it gets unhealthy", || health(&container) == "unhealthy");
        drop(own);
        assert!(engine::try_docker(&["inspect", &container]).is_err(), "it was removed");
    }
}

#[test]
fn a_release_can_die() {
    const TEST: &str = "containers::a_release_can_die";
    if !real_registry::are_there(TEST) || !engine::are_there(TEST, &[]) {
        return;
    }
    let (registry, mut own) = (RealRegistry::start(), Cleanup::unique("die"));
    let label = own.label();
    for after in ["0", "300"] {
        let image = images::contained_with("1.0.0", &[("DIE_AFTER", after)]).build();
        let name = pulled(&registry, &image, Format::Oci, &mut own);
        let container = docker(&["run", "--detach", "--network", "none", "--label", &label, &name]);
        until("it ends", || inspect(&container)["State"]["Status"] == "exited");
        assert_eq!(inspect(&container)["State"]["ExitCode"], 1, "DIE_AFTER={after}");
    }
}

/// A Compose of either generation starts a project; users who come through nginx are served, also while it reloads and
/// requests go to another container; and everything is removed in the end.
fn serves_through_nginx(compose: &[String]) {
    let (registry, mut own) = (RealRegistry::start(), Cleanup::unique("load"));
    let directory = tempfile::tempdir().unwrap();
    let ports = place::free_ports();
    for (at, color) in ["blue", "green"].into_iter().enumerate() {
        let image = images::contained(&format!("1.0.{at}")).build();
        let name = pulled(&registry, &image, Format::Oci, &mut own);
        let port = ports[at];
        let file = directory.path().join(format!("{color}.yaml"));
        let publish = format!("127.0.0.1:{port}:{CONTAINER_PORT}");
        std::fs::write(
            &file,
            format!("version: \"3.8\"\nservices:\n  web:\n    image: {name}\n    ports: [\"{publish}\"]\n"),
        )
        .unwrap();
        let project = format!("{}-{color}", own.id);
        let up = std::process::Command::new(&compose[0])
            .args(&compose[1..])
            .args(["-p", &project, "-f"])
            .arg(&file)
            .args(["up", "-d"])
            .output()
            .unwrap();
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
        until("it answers", || place::answers_on(port).is_some());
    }
    let nginx = Nginx::start(&format!("127.0.0.1:{}", ports[0]));
    let load = Load::start(&nginx.url("/"), 100, &nginx.authority());
    until("100 requests are in the log", || nginx.failed_in_log().requests > 100);
    let upstream = std::fs::read_to_string(nginx.upstream_conf()).unwrap();
    std::fs::write(nginx.upstream_conf(), upstream.replace(&ports[0].to_string(), &ports[1].to_string())).unwrap();
    let argv = nginx.argv();
    let reload = std::process::Command::new(&argv[0]).args(&argv[1..]).args(["-s", "reload"]).output().unwrap();
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    let before = nginx.failed_in_log().requests;
    until("100 more requests are in the log", || nginx.failed_in_log().requests > before + 100);
    let found = load.stop();
    let logged = nginx.failed_in_log();
    assert_eq!((found.failed, logged.failed.as_slice()), (0, &[][..]), "{found:?}: {}", nginx.error_log());
    assert!(found.requests >= 200 && found.longest_gap_ms < 5_000, "{found:?}");
    assert!(nginx.access_log().contains(&format!("127.0.0.1:{}", ports[1])), "requests went to the other container");

    // A service that is gone is a failure, so that the counts above mean something.
    let load = Load::start(&nginx.url("/"), 100, &nginx.authority());
    docker(&["kill", &docker(&["ps", "--quiet", "--filter", &format!("name={}-green", own.id)])]);
    until("a failed request is in the log", || !nginx.failed_in_log().failed.is_empty());
    assert!(load.stop().failed > 0);
    let id = own.id.clone();
    drop(own);
    let left = docker(&["ps", "--all", "--quiet", "--filter", &format!("name={id}")]);
    assert!(left.is_empty(), "{left}");
    assert!(docker(&["network", "ls", "--quiet", "--filter", &format!("name={id}")]).is_empty());
}

#[test]
fn projects_of_compose_v1_serve_through_nginx() {
    const TEST: &str = "containers::projects_of_compose_v1_serve_through_nginx";
    if real_registry::are_there(TEST) && engine::are_there(TEST, &[Part::ComposeV1, Part::Nginx]) {
        serves_through_nginx(&engine::compose_v1().unwrap());
    }
}

#[test]
fn projects_of_compose_v2_serve_through_nginx() {
    const TEST: &str = "containers::projects_of_compose_v2_serve_through_nginx";
    if real_registry::are_there(TEST) && engine::are_there(TEST, &[Part::ComposeV2, Part::Nginx]) {
        serves_through_nginx(&engine::compose_v2().unwrap());
    }
}
