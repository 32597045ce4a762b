//! `docs/dependencies.md` says of every direct dependency why it is there, and of nothing else.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// Every crate of somebody else that a manifest of the workspace names.
fn named_in_manifests() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--no-deps", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .flat_map(|package| package["dependencies"].as_array().unwrap())
        // A crate of the workspace is named by its path.
        .filter(|dependency| dependency["path"].is_null())
        .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Every crate that has a row with a reason.
fn explained() -> BTreeSet<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dependencies.md")).unwrap();
    let mut names = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a row has crate, users, licence and reason: {row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "a cell is empty: {row}");
        assert!(names.insert(cells[0].trim_matches('`').to_owned()), "named twice: {row}");
    }
    names
}

#[test]
fn every_direct_dependency_has_its_reason_and_no_reason_is_left_over() {
    let (named, explained) = (named_in_manifests(), explained());
    assert!(named.len() > 20, "the manifests were read: {named:?}");
    let without: Vec<_> = named.difference(&explained).collect();
    assert!(without.is_empty(), "without a row in docs/dependencies.md: {without:?}");
    let over: Vec<_> = explained.difference(&named).collect();
    assert!(over.is_empty(), "in docs/dependencies.md and in no manifest: {over:?}");
}

#[test]
fn the_workspace_lists_no_dependency_that_no_crate_takes() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml")).unwrap();
    let section = manifest.split_once("[workspace.dependencies]").unwrap().1;
    let section = section.split_once("\n[").unwrap().0;
    let listed: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| !name.starts_with('#') && !name.starts_with("sealift-"))
        .collect();
    assert_eq!(listed, named_in_manifests());
}
