//! Evidence through the whole program: attached, in the index, handed in; judged, explained, and judged again from the log.

mod attacks;
mod handed_in;
mod identity;
mod road;

use std::process::Command;

use sealift::demo::images;
use sealift_domain::digest::Digest;
use sealift_evidence::signing::{PromotionKey, bundle};
use sealift_registry::{
    evidence::BUNDLE,
    image::{Builder, Built, Layer},
};
use serde_json::{Value, json};

use crate::place::Place;

/// The media type of a bundle as cosign 3 attaches it.
const BUNDLE_V03: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SPDX: &str = "https://spdx.dev/Document";
const VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
const VEX: &str = "https://openvex.dev/ns/v0.2.0";

/// A statement about an image, unsigned.
fn statement(about: Digest, predicate_type: &str, predicate: &Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "hello", "digest": {"sha256": about.hex()}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

/// The bundle with a statement that `key` signed.
fn signed(key: &PromotionKey, statement: &Value) -> String {
    let envelope = key.sign_statement(statement.to_string().as_bytes()).unwrap();
    let bundle = bundle(&envelope, key.public()).unwrap();
    assert!(bundle.contains(BUNDLE));
    bundle
}

/// Attaches a bundle to an image in staging's registry, as cosign 3 does.
fn attach(place: &Place, image: &Built, bundle: &str) -> Built {
    let layer = Layer::of_type(BUNDLE_V03, bundle.to_owned());
    let referrer = Builder::new().artifact_type(BUNDLE_V03).subject(image).layer(layer).build();
    place.staging.push("hello", &referrer, None);
    referrer
}

/// Attaches a statement about the image that `key` signed.
fn attest(place: &Place, key: &PromotionKey, image: &Built, predicate_type: &str, predicate: &Value) -> Built {
    attach(place, image, &signed(key, &statement(image.digest, predicate_type, predicate)))
}

fn image(version: &str) -> Built {
    images::service(version, None).build()
}

fn provenance(commit: &str) -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {
                "ref": "refs/heads/main", "repository": "https://example.com/hello", "path": ".github/workflows/build.yml"
            }},
            "resolvedDependencies": [{"uri": "git+https://example.com/hello@refs/heads/main", "digest": {"gitCommit": commit}}],
        },
        "runDetails": {
            "builder": {"id": "https://example.com/builder"},
            "metadata": {"invocationId": "https://example.com/hello/actions/runs/4711"},
        },
    })
}

fn sbom(licence: &str) -> Value {
    json!({
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "hello",
        "creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Tool: syft-1.30.0"]},
        "packages": [
            {"SPDXID": "SPDXRef-1", "name": "zlib", "versionInfo": "1.3.1", "licenseConcluded": licence, "licenseDeclared": "NOASSERTION"},
            {"SPDXID": "SPDXRef-2", "name": "musl", "versionInfo": "1.2.5", "licenseConcluded": "MIT", "licenseDeclared": "MIT"},
        ],
    })
}

/// A report of Trivy about `about`, made at `at`, with these vulnerabilities: name and severity.
fn trivy(about: Digest, at: jiff::Timestamp, found: &[(&str, &str)]) -> Value {
    let found: Vec<Value> = found
        .iter()
        .map(|(id, severity)| {
            json!({
                "VulnerabilityID": id, "PkgName": "zlib", "InstalledVersion": "1.3.1", "FixedVersion": "1.3.2",
                "Severity": severity, "PkgIdentifier": {"PURL": "pkg:deb/debian/zlib@1.3.1"},
            })
        })
        .collect();
    json!({
        "SchemaVersion": 2,
        "CreatedAt": at,
        "ArtifactName": format!("registry.example/hello@{about}"),
        "ArtifactType": "container_image",
        "Metadata": {"RepoDigests": [format!("registry.example/hello@{about}")]},
        "Results": [{"Target": "hello (debian 13)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": found}],
    })
}

/// The same in the frame in which cosign attests it.
fn vuln(about: Digest, at: jiff::Timestamp, found: &[(&str, &str)]) -> Value {
    json!({
        "invocation": {"parameters": [], "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy@0.67.0", "version": "0.67.0",
            "db": {"uri": "", "version": "2", "lastUpdate": at},
            "result": trivy(about, at, found),
        },
        "metadata": {"scanStartedOn": at, "scanFinishedOn": at},
    })
}

fn vex(about: Digest, vulnerability: &str) -> Value {
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.com/vex/1",
        "author": "security@example.com",
        "timestamp": "2026-01-02T00:00:00Z",
        "version": 1,
        "statements": [{
            "vulnerability": {"name": vulnerability},
            "products": [{"@id": format!("pkg:oci/hello@sha256%3A{}", about.hex())}],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
        }],
    })
}

/// Writes the public half of a key as a file that the configuration may name.
fn publish(place: &Place, name: &str, key: &PromotionKey) {
    place.write(name, &key.public().to_pem());
}

/// What a gate of production says now: its verdict, and its words.
fn judged(place: &Place, gate: &str) -> (String, String) {
    let result = place.run(&["check", "--to", "production", "--output", "json"]).json();
    let gates = result["gates"].as_array().unwrap_or_else(|| panic!("{result}"));
    let found = gates.iter().find(|judged| judged["gate"] == gate).unwrap_or_else(|| panic!("no {gate} in {result}"));
    let words = found["reason"].as_str().or(found["found"].as_str()).unwrap_or_default();
    (found["verdict"].as_str().unwrap().to_owned(), words.to_owned())
}

#[track_caller]
fn says(place: &Place, gate: &str, verdict: &str, words: &str) {
    let (found, reason) = judged(place, gate);
    assert!(found == verdict && reason.contains(words), "{gate}: not {verdict} with `{words}`: {found}, {reason}");
}

/// A place whose production asks for these gates, with a release of version 1.0.0 in staging.
fn asking(gates: &str, keys: &[(&str, &PromotionKey)]) -> (Place, Built) {
    let place = Place::new();
    for (name, key) in keys {
        publish(&place, name, key);
    }
    place.edit("gates: {max_size", &format!("gates: {{{gates}, max_size"));
    place.run(&["init"]).ends(0);
    let image = image("1.0.0");
    place.record("1.0.0", &image);
    place.to_staging();
    (place, image)
}

fn git(at: &std::path::Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(at).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
