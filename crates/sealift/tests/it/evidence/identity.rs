//! Signers whom a certificate names, under a trust root from a file.

use std::{path::PathBuf, process::Command};

use super::{attach, image, says};
use crate::{place::Place, real};

const IDENTITY: &str = "https://github.com/acme/web/.github/workflows/build.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn asking(root: &str) -> Place {
    let place = Place::new();
    place.write("root.json", root);
    let gate = format!(
        "gates: {{signature: {{identity: \"{IDENTITY}\", issuer: \"{ISSUER}\", trust_root: root.json}}, max_size"
    );
    place.edit("gates: {max_size", &gate);
    place
}

#[test]
fn a_trust_root_is_part_of_the_policy_and_one_that_cannot_be_used_opens_nothing() {
    let place = asking("{}");
    place.run(&["init"]).ends(0);
    place.record("1.0.0", &image("1.0.0"));
    place.to_staging();
    says(&place, "signature", "error", "trust root");
    // Whoever replaces the file changes the policy.
    place.write("root.json", "{\"mediaType\": \"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}");
    place.run(&["check", "--to", "production"]).ends(2).says("E0106");
    place.write("root.json", "no JSON");
    place.run(&["check", "--to", "production"]).ends(2).says("is no trust root");
    std::fs::remove_file(place.path("root.json")).unwrap();
    place.run(&["check", "--to", "production"]).ends(2).says("E0101").says("root.json");
}

/// What Sigstore's own program signs as a workflow: once another image, and once this one's manifest.
#[test]
fn a_bundle_by_a_workflow_is_verified_under_the_root_that_the_policy_holds() {
    let test = "evidence::identity::a_bundle_by_a_workflow_is_verified_under_the_root_that_the_policy_holds";
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let tools =
        target.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target").into()).join("tools/evidence");
    let made = tools.join("made-from").is_file();
    let absent: Vec<String> = (!made).then(|| "scripts/evidence-tools".to_owned()).into_iter().collect();
    if !real::is_complete(test, &absent) {
        return;
    }
    let material = tempfile::tempdir().unwrap();
    let image = image("1.0.0");
    let scripts = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../evidence/tests/material"));
    for (program, script) in [(tools.join("venv/bin/python"), "keyed.py"), ("node".into(), "keyless.cjs")] {
        let mut command = Command::new(program);
        command.arg(scripts.join(script)).arg(material.path()).env("NODE_PATH", tools.join("node_modules"));
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
        // The second script signs what the first one left, and that is our image now.
        std::fs::write(material.path().join("manifest.json"), &image.root().unwrap().bytes).unwrap();
    }
    let text = |name: &str| std::fs::read_to_string(material.path().join(name)).unwrap();
    let place = asking(&text("root.json"));
    place.run(&["init"]).ends(0);
    place.record("1.0.0", &image);
    place.to_staging();
    says(&place, "signature", "fail", "app is not signed");
    attach(&place, &image, &text("keyless.json"));
    let explained = place.run(&["explain", "production"]);
    explained.ends(0).says("https://github.com/acme/web").says("another: sha256:");
    attach(&place, &image, &text("keyless.message.json"));
    says(&place, "signature", "pass", IDENTITY);
}
