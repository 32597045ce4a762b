//! The demo, as its first user plays it.

use std::path::Path;

use serde_json::Value;

use crate::{
    engine::{self, Part, docker},
    place::{self, Place},
};

#[test]
fn the_demo_shows_what_it_promises() {
    shows_what_it_promises(&Place::new(), "process");
}

#[test]
fn the_demo_in_containers_shows_the_same_and_leaves_nothing() {
    let test = "demo::the_demo_in_containers_shows_the_same_and_leaves_nothing";
    if !engine::are_there(test, &[Part::ComposeV2, Part::Nginx]) {
        return;
    }
    let mut place = Place::new();
    place.variables.extend(std::env::vars().filter(|(name, _)| name.starts_with("DOCKER_")));
    // Compose 2 that is a program is named to the demo; the plugin it finds by itself.
    if let [program] = &engine::compose_v2().unwrap()[..] {
        place.variables.push(("SEALIFT_DEMO_COMPOSE".to_owned(), program.clone()));
    }
    let process = shows_what_it_promises(&place, "compose");
    // Its Compose projects bear the number of its process.
    let project = format!("sealift-demo-{process}-");
    for kind in ["container", "network", "volume"] {
        let form = if kind == "container" { "{{.Names}}" } else { "{{.Name}}" };
        let all: &[&str] = if kind == "container" { &["--all"] } else { &[] };
        let listed = docker(&[&[kind, "ls", "--format", form], all].concat());
        let left: Vec<&str> = listed.lines().filter(|name| name.starts_with(&project)).collect();
        assert!(left.is_empty(), "{kind}s are left: {left:?}");
    }
    assert!(!std::env::temp_dir().join(format!("sealift-demo-{process}")).exists(), "its directory is left");
}

/// Plays it with this driver, and returns the number of its process.
#[track_caller]
fn shows_what_it_promises(place: &Place, driver: &str) -> u32 {
    let mut command = place.command(Path::new(env!("CARGO_BIN_EXE_sealift")));
    command.args(["demo", "--driver", driver, "--output", "json"]);
    let (ran, process) = place::finish_with_id(command, "sealift demo");
    ran.ends(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "one line, for programs: {}", ran.stdout);
    let shown: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(shown["driver"], driver);
    let promotions = shown["promotions"].as_array().unwrap();
    let statuses: Vec<&str> = promotions.iter().map(|p| p["status"].as_str().unwrap()).collect();
    let expected = ["completed"; 5].into_iter().chain(["rolled-back", "completed"]).collect::<Vec<_>>();
    assert_eq!(statuses, expected);
    for promotion in promotions {
        assert!(promotion["id"].is_u64() && promotion["seconds"].as_f64().unwrap() > 0.0, "{promotion}");
        assert_eq!(promotion["app"], "hello");
        assert!(promotion["digest"].as_str().unwrap().starts_with("sha256:"), "{promotion}");
    }
    let route = |p: &Value| (p["from"].as_str().map(str::to_owned), p["to"].as_str().unwrap().to_owned());
    assert_eq!(route(&promotions[0]), (None, "staging".to_owned()));
    assert_eq!(route(&promotions[1]), (Some("staging".to_owned()), "production".to_owned()));
    assert_eq!(promotions[0]["digest"], promotions[1]["digest"], "the same bytes");
    // By hand, back from 1.8.2 to 1.8.1.
    assert_eq!(promotions[6]["digest"], promotions[1]["digest"]);

    let availability = &shown["availability"];
    assert_eq!(availability["failed"], 0, "{availability}");
    assert!(availability["requests"].as_u64().unwrap() > 100, "{availability}");
    assert!(availability["longest_gap_ms"].is_u64());
    assert!(shown["rollback_seconds"].as_f64().unwrap() > 0.0);
    let audit = &shown["audit"];
    assert!(audit["entries"].as_u64().unwrap() > 50, "{audit}");
    assert_eq!((&audit["verified"], &audit["tamper_detected"]), (&true.into(), &true.into()));
    process
}
