//! Whether users notice anything: requests through nginx with TLS, on kept and fresh connections, across a good release, one
//! that never gets healthy, one that dies while it is live, and a rollback by hand. None may fail, neither for the client
//! nor in nginx's log.
//!
//! In `make test` a release dies some seconds after its start; with `SEALIFT_LONG=1` (`make chaos`) after a minute, and the
//! whole goes on until there were 10,000 requests.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::{
    compose::{Compose, How},
    stage::Stage,
};
use crate::{load::Load, place::NEEDED};

/// Requests a second.
const RATE: u32 = 60;
/// So many requests make the long form.
const MANY: u64 = 10_000;

fn is_long() -> bool {
    std::env::var("SEALIFT_LONG").as_deref() == Ok("1")
}

#[test]
fn no_request_fails_whatever_is_promoted() {
    const TEST: &str = "workflow::traffic::no_request_fails_whatever_is_promoted";
    // How long the dying release lives, and how long verification watches each release: longer than that.
    let (dies_after, watched) = if is_long() { (60_000, "75s") } else { (6_000, "12s") };
    let stable = format!("stable_for: {watched}");
    let Some(stage) = Stage::new(TEST, Compose::new(How::BlueGreen), &[]) else { return };
    let began = Instant::now();
    stage.released("1.0.0");
    let nginx = stage.driver.nginx();
    // Before there was a first release, nginx had nothing to answer with: only what comes from here on counts.
    let before = nginx.failed_in_log();
    let load = Load::start(&nginx.url("/"), RATE, &nginx.authority());

    let good = stage.staged("1.1.0");
    let id = stage.approved();
    stage.promote().ends(0);
    stage.ended(id, "completed", "", 0, Some(("1.1.0", &good)));

    let sick = stage.image("1.2.0", &[("NEEDS", NEEDED)]);
    stage.record("1.2.0", &sick);
    stage.place.to_staging();
    let id = stage.approved();
    stage.promote().ends(9).says("E0504");
    stage.ended(id, "failed", "E0504", 9, Some(("1.1.0", &good)));

    stage.place.edit("stable_for: 100ms", &stable);
    stage.place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    stage.staged("1.3.0");
    // In production it ends by itself, so long after its start; in staging it goes on.
    stage
        .driver
        .configure(&stage.place, &format!("    init: true\n    environment: {{DIE_AFTER: \"{dies_after}\"}}\n"));
    let id = stage.approved();
    stage.promote().ends(6).says("ROLLED BACK").says("ended with exit code 1");
    stage.ended(id, "rolled-back", "E0410", 6, Some(("1.1.0", &good)));
    stage.driver.configure(&stage.place, "    init: true\n");
    stage.place.edit(&stable, "stable_for: 100ms");
    stage.place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);

    let id = stage.place.request_by(&["rollback", "--in", "production"]);
    stage.place.approve();
    stage.place.run(&["rollback", "--in", "production"]).ends(0).says("1.0.0");
    assert_eq!(stage.place.promotion(id)["state"], "completed");
    assert_eq!(nginx.version().as_deref(), Some("1.0.0"));

    let deadline = Instant::now() + Duration::from_secs(600);
    while is_long() && nginx.failed_in_log().requests - before.requests < usize::try_from(MANY + 200).unwrap() {
        assert!(Instant::now() < deadline, "the requests do not come");
        std::thread::sleep(Duration::from_millis(200));
    }
    let (found, took) = (load.stop(), began.elapsed());
    let logged = nginx.failed_in_log();
    let failed = &logged.failed[before.failed.len()..];
    let logged_requests = logged.requests - before.requests;
    writeln!(std::io::stderr(), "traffic: {found:?} in {took:?}; nginx logged {logged_requests}").unwrap();
    assert_eq!((found.failed, failed), (0, &[][..]), "{found:?}");
    let fewest = if is_long() { MANY } else { 500 };
    assert!(found.requests >= fewest, "{found:?}");
}
