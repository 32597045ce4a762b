//! The layers of `docs/architecture.md`, read from Cargo itself.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        // The manifests of the workspace say it all; the others would have to be there for every platform.
        .args(["metadata", "--format-version", "1", "--offline", "--no-deps", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The sibling crates that each crate depends on, tests not counted.
fn arrows(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let ours = |name: &str| name == "sealift" || name.starts_with("sealift-");
    let packages = metadata["packages"].as_array().unwrap();
    let ours_only = packages.iter().filter(|package| ours(package["name"].as_str().unwrap()));
    ours_only
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let names = dependencies
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .filter(|name| ours(name));
            (package["name"].as_str().unwrap().to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn arrows_between_crates_point_the_way_the_architecture_says() {
    let metadata = metadata();
    let adapters =
        ["sealift-registry", "sealift-store", "sealift-drivers", "sealift-probes", "sealift-evidence", "sealift-forge"];
    let arrows = arrows(&metadata);
    for (from, targets) in &arrows {
        for to in targets {
            let right = match from.as_str() {
                "sealift-domain" => false,
                "sealift-engine" => to == "sealift-domain",
                "sealift" => true,
                adapter if adapters.contains(&adapter) => to == "sealift-domain" || to == "sealift-engine",
                unknown => panic!("{unknown} has no place in docs/architecture.md"),
            };
            assert!(right, "{from} must not depend on {to}");
        }
    }
    assert_eq!(arrows.len(), adapters.len() + 3, "{:?}", arrows.keys());
}

#[test]
fn one_crypto_backend_is_built() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"aws-lc-rs"), "the tree was read");
    for banned in ["ring", "openssl", "native-tls"] {
        assert!(!names.contains(&banned), "{banned} is built");
    }
}

#[test]
fn the_main_crates_forbid_unsafe_code_and_public_items_are_documented() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml")).unwrap();
    for lint in ["unsafe_code = \"deny\"", "missing_docs = \"warn\"", "unwrap_used = \"warn\"", "panic = \"warn\""] {
        assert!(manifest.contains(lint), "{lint}");
    }
    for package in metadata()["packages"].as_array().unwrap() {
        if package["source"].is_null() {
            let path = package["manifest_path"].as_str().unwrap();
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.contains("[lints]\nworkspace = true"), "{path} does not take the workspace's lints");
        }
    }
}
