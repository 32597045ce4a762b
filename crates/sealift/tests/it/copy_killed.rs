//! `sealift copy`, killed in the middle: the next one brings only what had not arrived.

use std::{
    collections::BTreeSet,
    process::Stdio,
    time::{Duration, Instant},
};

use sealift_domain::digest::Digest;
use sealift_registry::{
    image::{Builder, Built, Layer},
    server::script::{Action, Fault, Gate, Method},
};

use crate::{
    place::Place,
    real_registry::{self, RealRegistry},
};

const LAYERS: u8 = 10;
/// The layer that never comes to its end, counted from 0.
const HELD: usize = 5;
/// How many uploads must be complete before the run is killed.
const BEFORE: usize = 4;

/// In bytes.
fn layer_size() -> usize {
    if std::env::var("SEALIFT_LONG").as_deref() == Ok("1") { 100 << 20 } else { 10 << 20 }
}

fn image() -> Built {
    (0..LAYERS).fold(Builder::new(), |image, n| image.layer(Layer::tar(vec![n; layer_size()]))).build()
}

/// The digests that requests with this beginning and this status name in their query, by the registry's own log.
fn named(log: &str, request: &str, status: &str, parameter: &str) -> BTreeSet<String> {
    let fits = |line: &&str| line.contains(&format!("\"{request}")) && line.contains(&format!("\" {status} "));
    let digest = |line: &str| line.split_once(&format!("{parameter}=sha256%3A"))?.1.get(..64).map(str::to_owned);
    log.lines().filter(fits).map(|line| digest(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// Blobs whose uploads were completed.
fn completed(log: &str) -> BTreeSet<String> {
    named(log, "PUT /v2/hello/blobs/uploads/", "201", "digest")
}

/// Blobs for which an upload was opened.
fn opened(log: &str) -> BTreeSet<String> {
    named(log, "POST /v2/hello/blobs/uploads/", "202", "mount")
}

/// Waits for so many completed uploads.
fn wait_for(registry: &RealRegistry, uploads: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while completed(&registry.log()).len() < uploads {
        assert!(Instant::now() < deadline, "{uploads} uploads are not complete:\n{}", registry.log());
        std::thread::yield_now();
    }
}

#[test]
fn a_copy_that_was_killed_goes_on_with_what_had_not_arrived() {
    if !real_registry::are_there("copy_killed::a_copy_that_was_killed_goes_on_with_what_had_not_arrived") {
        return;
    }
    let (place, registry, image, gate) = (Place::new(), RealRegistry::start(), image(), Gate::new());
    place.staging.push("hello", &image, Some("v1"));
    let held = Digest::of(&image.blobs[1 + HELD]);
    let stall = Action::Stall(layer_size() / 2, gate.clone());
    place.staging.script(Fault::new(&format!("*/blobs/{held}"), stall).method(Method::GET));
    let (from, to) = (format!("{}/hello:v1", place.staging.address()), format!("{}/hello:v1", registry.address()));

    let mut command = place.command(env!("CARGO_BIN_EXE_sealift").as_ref());
    command.args(["copy", &from, &to]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    let arrived = place.block_on(async { tokio::time::timeout(Duration::from_secs(120), gate.arrived()).await });
    wait_for(&registry, BEFORE);
    run.kill().unwrap();
    run.wait().unwrap();
    arrived.expect("the body of the sixth layer is held");
    assert_eq!(registry.all_tags(), Vec::<String>::new(), "no tag names what is not complete");

    let first = registry.log();
    let before = completed(&first);
    assert!(before.len() >= BEFORE && !before.contains(&held.hex()), "{before:?}");
    gate.open();
    place.staging.clear_script();
    place.run(&["copy", &from, &to]).ends(0);
    let second = &registry.log()[first.len()..];
    let missing: BTreeSet<String> =
        image.blobs.iter().map(|blob| Digest::of(blob).hex()).filter(|digest| !before.contains(digest)).collect();
    for uploads in [opened(second), completed(second)] {
        assert!(uploads.is_subset(&missing), "{uploads:?} go beyond {missing:?}");
        assert!(uploads.contains(&held.hex()), "{uploads:?}");
    }
    assert_eq!(Digest::of(&registry.raw(":v1")), image.digest);
}

#[test]
fn a_copy_that_is_interrupted_says_what_is_so() {
    let (place, gate) = (Place::new(), Gate::new());
    let image = Builder::new().layer(Layer::tar(vec![7; 100_000])).build();
    place.staging.push("hello", &image, Some("v1"));
    let held = Digest::of(&image.blobs[1]);
    let stall = Action::Stall(1000, gate.clone());
    place.staging.script(Fault::new(&format!("*/blobs/{held}"), stall).method(Method::GET));
    let (from, to) =
        (format!("{}/hello:v1", place.staging.address()), format!("{}/hello:v1", place.production.address()));
    let mut command = place.command(env!("CARGO_BIN_EXE_sealift").as_ref());
    command.args(["copy", &from, &to]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let run = command.spawn().unwrap();
    place.block_on(async { tokio::time::timeout(Duration::from_secs(120), gate.arrived()).await }).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::INT).unwrap();
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(10), "{said}");
    assert!(said.contains("interrupted: no tag names what is not complete"), "{said}");
    assert_eq!(place.production.tags("hello"), []);
    gate.open();
}
