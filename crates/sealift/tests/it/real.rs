//! Real parts: programs of the system that tests use, and what happens where they are not there.

use std::{io::Write, path::PathBuf};

use crate::workflow::record;

/// Where a program is: in `PATH`, or in the directories for daemons, which not every account has in its `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Those of these programs that are not there, each with the words for it.
pub(crate) fn absent(names: &[&str]) -> Vec<String> {
    let absent = names.iter().filter(|name| program(name).is_none());
    absent.map(|name| format!("{name} is not in PATH")).collect()
}

/// Whether nothing is absent. Otherwise the test is skipped and says why; with `SEALIFT_REQUIRE_REAL=1` it fails.
pub(crate) fn is_complete(test: &str, absent: &[String]) -> bool {
    if absent.is_empty() {
        return true;
    }
    assert!(!is_required(), "{test}: {}", absent.join(", "));
    skip(test, &absent.join(", "));
    false
}

/// Whether tests may not be skipped.
pub(crate) fn is_required() -> bool {
    std::env::var("SEALIFT_REQUIRE_REAL").as_deref() == Ok("1")
}

/// Says that a test is skipped.
pub(crate) fn skip(test: &str, why: &str) {
    record::skipped(test, why);
    // Written past the test harness, which keeps what `println!` says in a passing test to itself.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "\nSKIPPED {test}: {why}").unwrap();
}
