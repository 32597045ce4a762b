//! The whole road over a branch: every command on an empty disk.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use sealift_domain::digest::Digest;

use super::{
    remote::{self, HTTPS, SSH, Transport, WRITES},
    team::{Runner, Secrets, Team},
};
use crate::real;

fn is_complete(test: &str, transport: Transport) -> bool {
    let wanted: &[&str] = if transport == Transport::Ssh { &SSH } else { &HTTPS };
    real::is_complete(test, &real::absent(wanted))
}

/// Build record, staging, request; approval on a machine without the log's key; promotion; twice, and back again.
fn road(team: &Team) {
    let first = team.build("1.0.0");
    team.to_staging();
    team.request();
    team.approve();
    let promoted = team.job("production").run(&["promote", "--to", "production"]);
    promoted.ends(0);
    assert_eq!(team.place.answers("production").as_deref(), Some("1.0.0"));

    team.build("2.0.0");
    team.to_staging();
    team.request();
    team.approve();
    team.job("production").run(&["promote", "--to", "production"]).ends(0);
    assert_eq!(team.place.answers("production").as_deref(), Some("2.0.0"));

    let bob = team.key("bob");
    let asked = ["rollback", "--in", "production", "--reason", "it is slow", "--identity", &bob];
    team.job("production").run(&asked).ends(5);
    team.approve();
    team.job("production").run(&["rollback", "--in", "production"]).ends(0);
    assert_eq!(team.place.answers("production").as_deref(), Some("1.0.0"));

    team.audited();
    let status = team.runner(Secrets::Read).run(&["status", "--output", "json"]);
    status.ends(0);
    let production = status.json()["environments"].as_array().unwrap()[1].clone();
    assert_eq!(production["environment"], "production");
    assert_eq!(production["release"]["app"], first.to_string(), "{production}");
}

#[test]
fn six_runners_share_a_branch_over_ssh() {
    if is_complete("ledger::road (ssh)", Transport::Ssh) {
        road(&Team::start(Transport::Ssh));
    }
}

#[test]
fn six_runners_with_writer_keys_share_a_branch_over_https() {
    if is_complete("ledger::road (https)", Transport::Https) {
        road(&Team::with_writers(Transport::Https));
    }
}

#[test]
fn a_job_of_staging_does_not_deploy_to_production() {
    if !is_complete("ledger::writers", Transport::Ssh) {
        return;
    }
    let team = Team::with_writers(Transport::Ssh);
    team.build("1.0.0");
    team.to_staging();
    team.request();
    team.approve();
    // The approval is taken in by whoever may admit, not lost on the way.
    team.job("staging").run(&["promote", "--to", "production"]).says("E0211");
    assert_eq!(team.place.answers("production"), None);
    team.job("production")
        .run(&["record", "build", &format!("{}/hello:1.0.0", team.place.staging.address())])
        .says("E0211");
    team.job("production").run(&["promote", "--to", "production"]).ends(0);
    assert_eq!(team.place.answers("production").as_deref(), Some("1.0.0"));
    team.audited();
}

#[test]
fn consent_that_waits_in_the_inbox_can_be_taken_back() {
    if !is_complete("ledger::inbox", Transport::Ssh) {
        return;
    }
    let team = Team::start(Transport::Ssh);
    team.build("1.0.0");
    team.to_staging();
    let id = team.request();
    team.approve();
    let ana = team.key("ana");
    let takes_back = || team.runner(Secrets::Push).run(&["approve", "--revoke", "--identity", &ana]);
    takes_back().ends(0).says("removed from the inbox").says(&format!("promotion {id}"));
    takes_back().ends(2).says("E0403");
    team.job("production").run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(team.place.answers("production"), None);
    team.audited();
}

#[test]
fn large_evidence_lies_in_the_registry_and_its_digest_on_the_branch() {
    if !is_complete("ledger::large", Transport::Ssh) {
        return;
    }
    let mut team = Team::start(Transport::Ssh);
    let evidence = format!("{}/evidence", team.place.production.address());
    team.configuration = team.configuration.replace("store: {", &format!("store: {{large_objects: \"{evidence}\", "));
    let digest = team.build("1.0.0");
    let runner = team.job("staging");
    let components: Vec<serde_json::Value> = (0..12_000)
        .map(|n| {
            serde_json::json!({"type": "library", "name": format!("library-number-{n}"), "version": "1.0.0",
            "purl": format!("pkg:cargo/library-number-{n}@1.0.0")})
        })
        .collect();
    let sbom = serde_json::json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components,
        "metadata": {"component": {"type": "container", "name": "hello", "hashes": [{"alg": "SHA-256", "content": digest.hex()}]}}});
    std::fs::write(runner.path("sbom.json"), sbom.to_string()).unwrap();
    let image = format!("{}/hello@{digest}", team.place.staging.address());
    runner.run(&["record", "sbom", &image, "--file", "sbom.json"]).ends(0);
    let bytes = std::fs::read(runner.path("sbom.json")).unwrap();
    let name = format!("object-{}", Digest::of(&bytes).hex());
    assert!(team.place.production.tags("evidence").iter().any(|(tag, _)| *tag == name), "it lies in the registry");
    let listed = remote::git(&team.remote.repository(), &["ls-tree", "-r", "-l", remote::BRANCH]);
    assert!(listed.contains(".large"), "{listed}");
    let size =
        |line: &str| line.split_whitespace().nth(3).and_then(|size| size.parse::<u64>().ok()).unwrap_or_default();
    assert!(listed.lines().map(size).all(|size| size < 1 << 20), "nothing large is on the branch: {listed}");
    // Whoever comes later reads it from there.
    team.runner(Secrets::Read).run(&["audit", "verify"]).ends(0);
    team.to_staging();
}

/// Two jobs are started for the same promotion.
fn race(transport: Transport) {
    let team = Team::start(transport);
    team.build("1.0.0");
    team.to_staging();
    let id = team.request();
    team.approve();
    let go_on = ["promote", "--to", "production"];
    let racing = [team.runner(Secrets::All).start(&go_on), team.runner(Secrets::All).start(&go_on)];
    let ended = racing.map(|run| run.join().unwrap());
    let codes: BTreeSet<Option<i32>> = ended.iter().map(|ran| ran.code).collect();
    // The one that comes too late finds the environment taken, or the work done.
    assert!(codes.contains(&Some(0)), "{ended:?}");
    assert!(codes.is_subset(&BTreeSet::from([Some(0), Some(8)])), "{ended:?}");
    assert_eq!(team.place.answers("production").as_deref(), Some("1.0.0"));
    team.audited();
    let shown = team.runner(Secrets::Read).run(&["audit", "show", &id.to_string()]);
    shown.ends(0);
    assert_eq!(shown.json()["status"], "SUCCESS");
    assert_eq!(team.starts(id), 1, "one of them deployed");
}

#[test]
fn two_runners_race_over_ssh_and_one_of_them_works() {
    if is_complete("ledger::race (ssh)", Transport::Ssh) {
        race(Transport::Ssh);
    }
}

#[test]
fn two_runners_race_over_https_and_one_of_them_works() {
    if is_complete("ledger::race (https)", Transport::Https) {
        race(Transport::Https);
    }
}

/// The private key of the log as a file that only its owner reads.
fn team_key(team: &Team, runner: &Runner) -> PathBuf {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let path = runner.path("secret");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(team.log_key.as_bytes()).unwrap();
    path
}

#[test]
fn a_log_moves_to_a_branch_and_back_and_is_the_same() {
    if !is_complete("ledger::copy", Transport::Ssh) {
        return;
    }
    let team = Team::start(Transport::Ssh);
    team.build("1.0.0");
    team.to_staging();
    let runner = team.runner(Secrets::Push);
    let copied = runner.run(&["store", "copy", "--to", "sqlite:copy/log.sqlite", "--output", "json"]);
    copied.ends(0);
    let (entries, root) = (copied.json()["entries"].clone(), copied.json()["root"].clone());
    assert_eq!((&copied.json()["equal"], entries.as_u64()), (&true.into(), Some(team.audited())));
    // The file by itself is a log: its public key lies beside it, and it is written to where the private one is at hand.
    let plain = team.configuration.split("store:").next().unwrap().to_owned();
    std::fs::write(runner.path("sealift.yaml"), format!("{plain}store: sqlite:copy/log.sqlite\n")).unwrap();
    let audit = runner.run(&["audit", "verify", "--output", "json"]);
    audit.ends(0);
    assert_eq!((&audit.json()["entries"], &audit.json()["root"]), (&entries, &root));
    runner.run(&["promote", "--to", "production", "--identity", &team.key("bob")]).says("E0201");
    // And back, onto another branch, with what came since.
    team.request();
    std::fs::write(runner.path("sealift.yaml"), &team.configuration).unwrap();
    runner.run(&["store", "copy", "--to", "sqlite:copy/log.sqlite"]).ends(0).says("EQUAL");
    std::fs::write(runner.path("sealift.yaml"), format!("{plain}store: sqlite:copy/log.sqlite\n")).unwrap();
    let branch = team.remote.store().replace("#sealift", "#other");
    runner
        .run(&["store", "copy", "--to", &branch])
        .ends(0)
        .says("EQUAL")
        .says(&format!("`store: {{url: \"{branch}\", key: \"hello.sealift+"));
    runner.run(&["store", "copy", "--to", &branch]).ends(0).says("0 commits were copied now");
    // A branch with another log is refused and stays as it is.
    let other = Team::start(Transport::Ssh);
    let head = other.remote.head();
    let mut stranger = team.runner(Secrets::Push);
    for (name, value) in other.remote.access(true) {
        stranger.set(&name, &value);
    }
    std::fs::write(stranger.path("log.sqlite"), std::fs::read(runner.path("copy/log.sqlite")).unwrap()).unwrap();
    std::fs::write(stranger.path("log.pub"), std::fs::read(runner.path("copy/log.pub")).unwrap()).unwrap();
    std::fs::write(stranger.path("sealift.yaml"), format!("{plain}store: sqlite:log.sqlite\n")).unwrap();
    let refused = stranger.run(&["store", "copy", "--to", &other.remote.store()]);
    refused.says("E0210").says("both are as they were");
    assert_eq!(other.remote.head(), head);
    // What was written to the copy meanwhile is not copied over.
    std::fs::copy(team_key(&team, &runner), runner.path("copy/log.key")).unwrap();
    runner.run(&["hold", "place", "production", "--reason", "x"]).ends(0);
    std::fs::write(runner.path("sealift.yaml"), &team.configuration).unwrap();
    runner.run(&["store", "copy", "--to", "sqlite:copy/log.sqlite"]).says("E0210").says("both are as they were");
}

/// Every command line of this machine, while `work` is done.
fn command_lines<T>(work: impl FnOnce() -> T) -> (T, String) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                }
            }
            seen.into_iter().collect::<Vec<_>>().join("\n")
        });
        let value = work();
        done.store(true, Ordering::Relaxed);
        (value, watch.join().unwrap())
    })
}

#[test]
fn no_secret_is_said_shown_in_a_process_list_or_left_on_the_disk() {
    if !is_complete("ledger::secrets", Transport::Https) {
        return;
    }
    let team = Team::start(Transport::Https);
    team.build("1.0.0");
    let runner = team.runner_with(Secrets::All, &[("GIT_TRACE", "1"), ("GIT_CURL_VERBOSE", "1")]);
    let (ran, lines) = command_lines(|| runner.run(&["promote", "--to", "staging"]));
    ran.ends(0);
    assert!(lines.contains("git"), "git was seen at work: {lines}");
    let basic = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(format!("x-access-token:{WRITES}"))
    };
    for secret in [WRITES, &basic, &team.log_key] {
        assert!(!lines.contains(secret), "in a command line");
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "said: {ran:?}");
        let found =
            std::process::Command::new("grep").args(["-rlF", "--", secret]).arg(runner.path("")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "on the disk");
    }
}

#[test]
fn a_token_that_may_only_read_is_told_so_and_nothing_is_half_done() {
    for transport in [Transport::Ssh, Transport::Https] {
        if !is_complete("ledger::read_only", transport) {
            continue;
        }
        let team = Team::start(transport);
        team.build("1.0.0");
        let (before, head) = (team.audited(), team.remote.head());
        let key = team.log_key.clone();
        let runner = team.runner_with(Secrets::Read, &[("SEALIFT_LOG_KEY", &key)]);
        let refused = runner.run(&["promote", "--to", "staging"]);
        refused.says("E0206").says("the entry was not written");
        assert_ne!(refused.code, Some(0));
        assert_eq!((team.audited(), team.remote.head()), (before, head));
        assert_eq!(team.place.answers("staging"), None, "nothing was deployed");
        team.to_staging();
    }
}

#[test]
fn a_branch_that_somebody_put_back_is_refused_by_whoever_saw_it() {
    if !is_complete("ledger::rewritten", Transport::Ssh) {
        return;
    }
    let team = Team::start(Transport::Ssh);
    team.build("1.0.0");
    let old = team.remote.head();
    let runner = team.runner(Secrets::All);
    runner.run(&["promote", "--to", "staging"]).ends(0);
    let kept = runner.run(&["audit", "checkpoint"]);
    kept.ends(0);
    team.remote.put_head(&old);
    runner.run(&["status"]).says("E0208");
    runner.run(&["promote", "--to", "production"]).says("E0208");
    // Whoever comes with an empty disk knows it by a checkpoint that was kept elsewhere.
    let cold = team.runner_with(Secrets::All, &[("SEALIFT_CHECKPOINT", kept.stdout.trim_end())]);
    cold.run(&["status"]).says("E0208");
    cold.run(&["promote", "--to", "staging"]).says("E0208");
    for nothing in ["checkpoint.txt", ""] {
        let given = team.runner_with(Secrets::All, &[("SEALIFT_CHECKPOINT", nothing)]);
        given.run(&["status"]).ends(2).says("E0109").says("SEALIFT_CHECKPOINT");
    }
}

#[test]
fn a_remote_that_is_not_there_is_told_and_what_was_done_goes_on_afterwards() {
    if !is_complete("ledger::away", Transport::Https) {
        return;
    }
    let mut team = Team::start(Transport::Https);
    team.build("1.0.0");
    let runner = team.runner(Secrets::All);
    runner.run(&["status"]).ends(0);
    team.remote.stop();
    let away = runner.run(&["promote", "--to", "staging"]);
    away.says("E0209");
    assert_eq!(team.place.answers("staging"), None);
    team.remote.serve();
    runner.run(&["promote", "--to", "staging"]).ends(0);
    assert_eq!(team.place.answers("staging").as_deref(), Some("1.0.0"));
}

#[test]
fn the_branch_is_a_static_log_that_git_and_the_public_key_are_enough_to_read() {
    if !is_complete("ledger::layout", Transport::Ssh) {
        return;
    }
    let team = Team::start(Transport::Ssh);
    team.build("1.0.0");
    let listed = remote::git(&team.remote.repository(), &["ls-tree", "-r", "--name-only", remote::BRANCH]);
    for wanted in ["checkpoint", "tile/0/000.p/", "tile/entries/000.p/", "beside/000.p/"] {
        assert!(listed.contains(wanted), "{wanted} is missing:\n{listed}");
    }
    remote::git(&team.remote.repository(), &["fsck", "--strict"]);
}
