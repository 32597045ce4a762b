//! History cannot be edited unseen: random edits of a stored log, none of which passes an audit against a kept checkpoint.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test, as tests do"
)]

mod edit;
mod fixture;

use std::{io::Write as _, path::Path};

use fixture::{Original, Random, audit};
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Log as _, LogError};

/// Runs `one` for each number below `count`, on two threads with a directory each.
fn each(count: u64, one: impl Fn(&Path, u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let one = &one;
            scope.spawn(move || {
                let dir = tempfile::tempdir().unwrap();
                (0..count).filter(|number| number % 2 == thread).for_each(|number| one(dir.path(), number));
            });
        }
    });
}

/// The full number with `SEALIFT_LONG=1`, a fifth of it otherwise; said in the output.
fn tries(full: u64, what: &str) -> u64 {
    let count = if std::env::var_os("SEALIFT_LONG").is_some() { full } else { full / 5 };
    let line = format!("{count} of {full} {what} (all of them with SEALIFT_LONG=1)\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    count
}

#[test]
fn attack_15_no_edit_of_the_stored_log_passes_an_audit_against_a_kept_checkpoint() {
    let original = Original::new();
    original.restore(original.dir.path());
    audit(&original, original.dir.path()).expect("the log as it was written passes");
    each(tries(10_000, "edits"), |dir, number| {
        original.restore(dir);
        let mut random = Random::new(number);
        let attacker = fixture::attacker(dir);
        let what = edit::any(&attacker, &mut random, number).unwrap_or_else(|e| panic!("edit {number}: {e}"));
        drop(attacker);
        match audit(&original, dir) {
            Err(LogError::Tampered { .. }) => {}
            other => panic!("edit {number} ({what}) was not found: {other:?}"),
        }
    });
}

#[test]
fn no_damage_to_the_bytes_of_the_file_passes_unless_it_changes_nothing() {
    let original = Original::new();
    let before = fixture::content(original.dir.path());
    each(tries(2_500, "damaged files"), |dir, number| {
        let mut bytes = original.bytes.clone();
        edit::raw(&mut bytes, &mut Random::new(number), number);
        fixture::put(dir, &bytes);
        if audit(&original, dir).is_ok() {
            assert_eq!(fixture::content(dir), before, "damage {number} was not found");
        }
    });
}

#[test]
fn an_erased_object_is_allowed_and_reported() {
    let original = Original::new();
    each(20, |dir, number| {
        original.restore(dir);
        let attacker = fixture::attacker(dir);
        let row = "SELECT digest FROM object ORDER BY digest LIMIT 1 OFFSET ?1";
        let digest: [u8; 32] = attacker.query_row(row, [i64::try_from(number).unwrap()], |row| row.get(0)).unwrap();
        attacker.execute("DELETE FROM object WHERE digest = ?1", [digest]).unwrap();
        drop(attacker);
        let report = audit(&original, dir).unwrap();
        assert!(!report.erased.is_empty());
        assert!(report.erased.iter().all(|(_, erased)| *erased == Digest::from_bytes(digest)));
    });
}

#[test]
fn attack_16_whoever_has_the_key_too_is_caught_by_the_kept_checkpoint_alone() {
    let original = Original::new();
    for (leaves, what) in [(59, "truncated"), (60, "forked"), (75, "forked")] {
        let dir = tempfile::tempdir().unwrap();
        let forged = original.rewrite(dir.path(), leaves);
        assert!(fixture::wait(forged.audit(None)).is_ok(), "by itself the forged log of {leaves} entries is perfect");
        drop(forged);
        let found = audit(&original, dir.path()).unwrap_err();
        assert!(found.to_string().contains(what), "{found}");
    }
}

#[test]
fn planted_triggers_and_views_do_not_run() {
    let original = Original::new();
    let dir = tempfile::tempdir().unwrap();
    original.restore(dir.path());
    let plant = "CREATE TRIGGER t AFTER INSERT ON leaf BEGIN UPDATE leaf SET bytes = x'00' WHERE idx = new.idx; END";
    fixture::attacker(dir.path()).execute_batch(plant).unwrap();
    let log = original.writer(dir.path());
    let head = fixture::wait(log.head()).unwrap();
    fixture::wait(log.append(head, vec![sealift_store::conformance::leaf("new")])).unwrap();
    assert_eq!(fixture::wait(log.leaves(60, 61)).unwrap(), [b"new"]);
    drop(log);

    let view = "ALTER TABLE leaf RENAME TO other; CREATE VIEW leaf AS SELECT * FROM other";
    fixture::attacker(dir.path()).execute_batch(view).unwrap();
    assert!(matches!(audit(&original, dir.path()), Err(LogError::Tampered { .. })));
}

#[test]
fn values_of_the_wrong_type_are_damage_and_no_panic() {
    let original = Original::new();
    let dir = tempfile::tempdir().unwrap();
    let values = [
        ("leaf", "bytes", "idx = 1"),
        ("leaf", "hash", "idx = 1"),
        ("leaf", "snapshot", "idx = 1"),
        ("object", "bytes", "rowid = 1"),
        ("object", "digest", "rowid = 1"),
        ("leaf_object", "digest", "idx = 1"),
        ("checkpoint", "note", "size = 60"),
        ("checkpoint", "peaks", "size = 60"),
        ("checkpoint", "annex", "size = 3"),
    ];
    for (table, column, row) in values {
        for value in ["3.5", "'text'", "x''", "-1"] {
            original.restore(dir.path());
            edit::untyped(dir.path(), table, &format!("UPDATE {table} SET {column} = {value} WHERE {row}")).unwrap();
            let found = audit(&original, dir.path());
            assert!(matches!(found, Err(LogError::Tampered { .. })), "{table}.{column} = {value}: {found:?}");
        }
    }
}
