//! Logs of every format that was ever written must be readable for ever: `tests/fixtures/log-v<n>`.
//!
//! A fixture is an export of a log (`checkpoint`, `tile/…`) with its public key in `log.pub`. What lies beside the log is in
//! one file, `objects.json`, as texts by digest, instead of a file each.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sealift_domain::{digest::Digest, entry::Leaf, ledger::Ledger};
use sealift_engine::view;
use sealift_store::{export, key::Keyring, tile};
use serde_json::{Value, json};

use crate::{place::Place, webhook::Receiver};

type Objects = BTreeMap<Digest, String>;

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/log-v{version}"))
}

fn objects(directory: &Path) -> Objects {
    serde_json::from_str(&std::fs::read_to_string(directory.join("objects.json")).unwrap()).unwrap()
}

fn keys(directory: &Path) -> Keyring {
    Keyring::reader(std::fs::read_to_string(directory.join("log.pub")).unwrap().trim().parse().unwrap())
}

/// The leaves of an export.
fn leaves(directory: &Path, size: u64) -> Vec<Vec<u8>> {
    let bundles = (0_u64..).zip((0..size).step_by(tile::WIDTH));
    let read = |(index, from): (u64, u64)| {
        let width = usize::try_from(size - from).unwrap().min(tile::WIDTH);
        tile::read_bundle(&std::fs::read(directory.join(tile::entries_path(index, width))).unwrap()).unwrap()
    };
    bundles.flat_map(read).collect()
}

/// Folds every entry, with its body and the openings of its personal texts.
fn fold(leaves: &[Vec<u8>], objects: &Objects) -> Ledger {
    let mut ledger = Ledger::default();
    for (index, bytes) in (0_u64..).zip(leaves) {
        let leaf = Leaf::parse(bytes).unwrap_or_else(|error| panic!("entry {index}: {error}"));
        let body = objects.get(&leaf.body).map(String::as_bytes);
        let mut event = leaf.event(body).unwrap_or_else(|error| panic!("entry {index}: {error}"));
        event.each_personal(&mut |personal| {
            if let Some(opening) = objects.get(&personal.commitment()) {
                personal.open(opening.as_bytes());
            }
        });
        ledger.apply(index, leaf.time, leaf.body, event).unwrap_or_else(|error| panic!("entry {index}: {error}"));
    }
    ledger
}

/// What an auditor and `status` would say of a ledger.
fn told(ledger: &Ledger) -> Value {
    json!({
        "entries": ledger.size,
        "policy": ledger.policy.as_ref().unwrap().digest(),
        "contacts": ledger.contacts,
        "builds": ledger.builds,
        "environments": ledger.environments,
        "promotions": ledger.promotions.values().map(|p| view::audit_record(ledger, p)).collect::<Vec<_>>(),
        "timelines": ledger.promotions.values().map(|p| {
            p.timeline.iter().map(|moment| moment.what.as_str()).collect::<Vec<_>>().join(", ")
        }).collect::<Vec<_>>(),
        "holds": ledger.holds.values().collect::<Vec<_>>(),
        "freezes": ledger.freezes,
        "leases": ledger.leases.keys().collect::<Vec<_>>(),
        "undelivered": ledger.outbox.pending().count(),
    })
}

#[test]
fn a_log_of_format_1_still_verifies_and_folds_to_the_same() {
    let from = fixture(1);
    let objects = objects(&from);
    // The objects go where an export has them, so that they are verified as those of an export.
    let directory = tempfile::tempdir().unwrap();
    for (digest, text) in &objects {
        let path = directory.path().join(export::object_path(*digest));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    copy(&from, directory.path());
    let digests: Vec<Digest> = objects.keys().copied().collect();
    let head = export::verify(directory.path(), &keys(&from), &digests).unwrap();
    assert!(head.size > 100, "{head:?}");

    let leaves = leaves(&from, head.size);
    assert_eq!(leaves.len() as u64, head.size);
    let kinds: std::collections::BTreeSet<String> = leaves.iter().map(|leaf| Leaf::parse(leaf).unwrap().kind).collect();
    insta::assert_snapshot!("log-v1-kinds", kinds.into_iter().collect::<Vec<_>>().join("\n"));
    let ledger = fold(&leaves, &objects);
    insta::assert_snapshot!("log-v1", serde_json::to_string_pretty(&told(&ledger)).unwrap());
}

#[test]
fn a_changed_byte_of_the_fixture_is_found() {
    let from = fixture(1);
    let directory = tempfile::tempdir().unwrap();
    copy(&from, directory.path());
    let size = export::verify(directory.path(), &keys(&from), &[]).unwrap().size;
    let width = usize::try_from(size).unwrap().min(tile::WIDTH);
    let path = directory.path().join(tile::entries_path(0, width));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    export::verify(directory.path(), &keys(&from), &[]).unwrap_err();
}

/// Copies what belongs to the log itself.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Writes the fixture of the present format. To be run once when a format is new, never for one that was released.
#[test]
#[ignore = "writes tests/fixtures; run by hand for a new format"]
fn write_the_fixture() {
    let (place, receiver) = (Place::new(), Receiver::start());
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    let notify =
        format!("notify:\n  - {{webhook: \"{}\", on: [approval-wanted, completed, rolled-back]}}\n", receiver.url());
    place.write("sealift.yaml", &(text + &notify));
    let run = |arguments: &[&str], code: i32| {
        // The account is that of a pipeline, so that the fixture says nothing of the machine it was written on.
        let pipeline = [("GITHUB_REPOSITORY", "acme/hello"), ("GITHUB_RUN_ID", "42")];
        place.run_with(arguments, &pipeline).ends(code);
    };
    let record = |version: &str, needs: Option<&str>| {
        let image = sealift::demo::images::service(version, needs).build();
        place.staging.push("hello", &image, Some(version));
        run(&["record", "build", &format!("{}/hello:{version}", place.staging.address()), "--author", "bob"], 0);
        run(&["promote", "--to", "staging"], 0);
        image.digest.to_string()
    };
    let ask = ["promote", "--to", "production", "--identity", "keys/bob", "--reason", "because"];
    let release = |code: i32| {
        run(&ask, 5);
        run(&["approve", "--identity", "keys/ana"], 0);
        run(&["promote", "--to", "production"], code);
    };
    run(&["init"], 0);
    let baseline = sealift::demo::images::service("0.9.0", None).build();
    place.production.push("hello", &baseline, None);
    let digest = baseline.digest.to_string();
    run(&["record", "deployment", "--in", "production", "--baseline", "--digest", &digest], 0);
    record("1.0.0", None);
    run(&ask, 5);
    run(&["reject", "--reason", "not on a Friday", "--identity", "keys/ana"], 0);
    release(0);
    run(&["verify", "--in", "production"], 0);
    record("1.1.0", None);
    run(&["freeze", "production", "--for", "1h", "--reason", "sales day"], 0);
    run(&ask, 5);
    run(&["freeze", "production", "--lift", "--reason", "over"], 0);
    release(0);
    record("1.2.0", Some(crate::place::NEEDED));
    release(6);
    run(&["hold", "place", "production", "--reason", "look first"], 0);
    run(&["hold", "release", "production", "--reason", "looked"], 0);
    let ten = record("1.3.0", None);
    run(&ask, 5);
    record("1.4.0", None);
    run(&ask, 5);
    run(&["hold", "place", &ten, "--reason", "it eats data"], 0);
    place.edit("max_size: 100MB", "max_size: 200MB");
    run(&["policy", "accept", "--identity", "keys/ana"], 0);
    run(&["promote", "--to", "production"], 5);
    run(&["approve", "--identity", "keys/ana"], 0);
    run(&["promote", "--to", "production"], 0);
    run(&["rollback", "--in", "production", "--identity", "keys/bob"], 5);
    run(&["approve", "--identity", "keys/ana"], 0);
    run(&["rollback", "--in", "production"], 0);

    let to = fixture(1);
    std::fs::create_dir_all(&to).unwrap();
    run(&["audit", "export", "export"], 0);
    let export = place.path("export");
    let mut objects = Objects::new();
    for directory in std::fs::read_dir(export.join("objects")).unwrap() {
        for file in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            objects.insert(Digest::of(text.as_bytes()), text);
        }
    }
    std::fs::remove_dir_all(export.join("objects")).unwrap();
    copy(&export, &to);
    std::fs::write(to.join("objects.json"), serde_json::to_string_pretty(&objects).unwrap() + "\n").unwrap();
    std::fs::copy(place.path(".sealift/log.pub"), to.join("log.pub")).unwrap();
}
