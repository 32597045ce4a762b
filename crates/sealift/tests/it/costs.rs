//! What deployments take of the host, and the rebuilds that they replace.

use sealift::demo::images;
use sealift_registry::image::Layer;
use serde_json::Value;

use crate::place::Place;

/// More than any test here takes, in milliseconds of processor or wall-clock time: ten minutes.
const SANE: u64 = 600_000;

/// A measured cost that can be true. Short work may stay below what the kernel counts in, so `cpu` says what to expect.
#[track_caller]
fn sane(cost: &Value, cpu: std::ops::Range<u64>) {
    let number = |key: &str| cost[key].as_u64().unwrap_or_else(|| panic!("no {key}: {cost}"));
    assert!(cpu.contains(&number("cpu_ms")), "{cost}");
    assert!((1..SANE).contains(&number("elapsed_ms")), "{cost}");
    // All the machine's memory is more than could have been used in addition.
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let total: u64 = total.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(number("peak_memory_bytes") < total * 1024, "{cost}");
}

/// A release whose image has so many bytes more that unpacking it takes processor time which can be measured.
fn heavy(version: &str) -> sealift_registry::image::Built {
    let ballast: Vec<u8> = (0..24 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let mut tar = vec![0_u8; 512];
    let mut put = |at: usize, text: &str| tar[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "ballast");
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", ballast.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(ballast);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    images::service(version, None).layer(Layer::tar(tar)).build()
}

#[test]
fn a_deployment_shows_what_it_took_beside_the_rebuild_that_it_replaces() {
    let place = Place::initialised();
    place.record("1.0.0", &heavy("1.0.0"));
    place.to_staging();
    let id = place.to_production();
    let shown = place.promotion(id);
    sane(&shown["cost"], 1..SANE);
    assert!(shown["cost"]["pulled_bytes"].as_u64().unwrap() > 100_000, "{}", shown["cost"]);
    assert_eq!(shown["rebuild"], Value::Null);
    assert_eq!(place.environment("production")["cost"], shown["cost"]);
    let text = place.run(&["status", &id.to_string()]);
    text.ends(0).says("cost").says("CPU s").says("MB pulled");
    assert!(!text.stdout.contains("rebuild"), "nothing was measured to compare with: {}", text.stdout);

    let work = ["record", "rebuild", "--in", "production", "--", "sha256sum", "ballast"];
    std::fs::write(place.path("ballast"), vec![7; 200_000_000]).unwrap();
    let ran = place.run(&work);
    ran.ends(0).says("recorded for production").says("(sha256sum ballast)");
    assert!(ran.stdout.lines().next().unwrap().ends_with("  ballast"), "passed through: {}", ran.stdout);

    let shown = place.promotion(id);
    sane(&shown["rebuild"]["cost"], 1..SANE);
    assert_eq!(shown["rebuild"]["command"], serde_json::json!(["sha256sum", "ballast"]));
    assert_eq!(shown["rebuild"]["cost"]["pulled_bytes"], Value::Null);
    place.run(&["status", &id.to_string()]).ends(0).says("(sha256sum ballast): the deployment took");
    place.run(&["status"]).ends(0).says("cost of production:").says("rebuild of production:");
    assert_eq!(place.environment("production")["rebuild"], shown["rebuild"]);
    assert_eq!(place.environment("staging")["rebuild"], Value::Null);
    let history = place.json(&["history", "--in", "production"]);
    assert_eq!(history["promotions"][0]["cost"], shown["cost"]);
    place.run(&["history"]).ends(0).says("COST").says("CPU s");
    place.audited();
}

#[test]
fn a_deployment_that_fails_took_something_too() {
    let place = Place::initialised();
    place.release("1.0.0");
    place.build_broken("1.1.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(6);
    sane(&place.promotion(id)["cost"], 0..SANE);
}

#[test]
fn the_rebuild_that_is_measured_last_counts_and_one_that_fails_does_not() {
    let place = Place::initialised();
    let measure = |command: &[&str]| place.run(&[&["record", "rebuild", "--in", "staging", "--"], command].concat());
    let zeros = measure(&["head", "-c", "50000000", "/dev/zero"]);
    zeros.ends(0).says("(head -c …)");
    assert!(zeros.stdout.len() > 50_000_000, "all of it was passed through: {} bytes", zeros.stdout.len());
    let first = place.environment("staging")["rebuild"].clone();
    sane(&first["cost"], 0..SANE);
    let entries = place.audited();

    measure(&["sh", "-c", "echo half way; echo it broke >&2; exit 3"])
        .ends(9)
        .says("E0421")
        .says("exit status: 3")
        .says("half way")
        .says("it broke")
        .says("nothing was recorded");
    measure(&["sh", "-c", "kill -9 $$"]).ends(9).says("SIGKILL");
    measure(&["no-such-program"]).ends(2).says("`no-such-program` cannot be run").says("nothing was recorded");
    place.run(&["record", "rebuild", "--in", "staging"]).ends(2);
    place.run(&["record", "rebuild", "--in", "staging", "--"]).ends(2);
    place.run(&["record", "rebuild", "--in", "moon", "--", "touch", "ran"]).ends(2).says("E0108");
    assert!(!place.path("ran").exists(), "nothing is run for an environment that is not there");
    assert_eq!((place.environment("staging")["rebuild"].clone(), place.audited()), (first, entries));

    measure(&["true"]).ends(0).says("(true)");
    assert_eq!(place.environment("staging")["rebuild"]["command"], serde_json::json!(["true"]));
    assert_eq!(place.audited(), entries + 1);
}

#[test]
fn words_are_arguments_and_no_shell_reads_them() {
    let place = Place::initialised();
    let ran = place.run(&["record", "rebuild", "--in", "staging", "--", "echo", "$HOME;", "touch", "ran"]);
    ran.ends(0);
    assert_eq!(ran.stdout.lines().next(), Some("$HOME; touch ran"));
    assert!(!place.path("ran").exists());
    // For programs, the result alone is on standard output.
    let json = place.run(&["record", "rebuild", "--in", "staging", "--output", "json", "--", "echo", "built"]);
    json.ends(0);
    assert_eq!(
        (json.json()["command"].clone(), json.stderr.as_str()),
        (serde_json::json!(["echo", "built"]), "built\n")
    );
}
