//! Documents in the shapes that real tools give them, with everything that can be absent or wrong in them.
//!
//! The files stand in `tests/fixtures/claims`. In all of them the index has the digest of ones, the image of one platform
//! that of twos, its configuration that of threes, and the source commit is of fours.

mod damaged;
mod limits;
mod provenance;
mod sbom;
mod scan;
mod statement;
mod test_result;
mod vex;

use std::{collections::BTreeSet, path::Path};

use sealift_domain::{digest::Digest, evidence::Claim};
use sealift_evidence::claim::{Said, of_document, of_predicate, of_statement};
use serde_json::{Value, json};

/// Every file, and the predicate type for those that are predicates.
const PREDICATES: [(&str, &str); 12] = [
    ("spdx-syft.json", "https://spdx.dev/Document"),
    ("spdx-trivy.json", "https://spdx.dev/Document/v2.3"),
    ("spdx-npm.json", "https://spdx.dev/Document"),
    ("cyclonedx-syft.json", "https://cyclonedx.org/bom"),
    ("cyclonedx-trivy.json", "https://cyclonedx.org/bom/v1.4"),
    ("cyclonedx-cdxgen.json", "https://cyclonedx.org/bom"),
    ("sarif-trivy.json", "https://json.schemastore.org/sarif-2.1.0.json"),
    ("cosign-vuln.json", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("vulns-0.1.json", "https://in-toto.io/attestation/vulns/v0.1"),
    ("vulns-0.2.json", "https://in-toto.io/attestation/vulns/v0.2"),
    ("openvex.json", "https://openvex.dev/ns/v0.2.0"),
    ("test-result.json", "https://in-toto.io/attestation/test-result/v0.1"),
];
const DOCUMENTS: [&str; 3] = ["trivy.json", "grype-5.json", "grype-6.json"];
const STATEMENTS: [&str; 5] =
    ["spdx-buildkit.json", "slsa-github.json", "slsa-generator.json", "slsa-buildkit-1.json", "slsa-buildkit-0.2.json"];

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claims").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn file(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

/// The document with the value at a place replaced, or put there.
fn with(mut document: Value, place: &str, value: Value) -> Value {
    let (parent, field) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("no {place}"));
    match parent {
        Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
        Value::Object(object) => drop(object.insert(field.replace("~1", "/"), value)),
        _ => panic!("nothing can be put at {place}"),
    }
    document
}

/// The document without what stands at a place.
fn without(mut document: Value, place: &str) -> Value {
    let (parent, field) = place.rsplit_once('/').unwrap();
    let removed = document.pointer_mut(parent).and_then(|parent| parent.as_object_mut()?.remove(field));
    assert!(removed.is_some(), "no {place}");
    document
}

fn document(value: &Value) -> Said {
    of_document(&serde_json::to_vec(value).unwrap()).unwrap_or_else(|why| panic!("{why}"))
}

fn refused(value: &Value) -> String {
    of_document(&serde_json::to_vec(value).unwrap()).expect_err("it was read").to_string()
}

/// The reason why a predicate cannot be read.
fn unreadable(predicate_type: &str, predicate: &Value) -> String {
    let (claim, why_not) = of_predicate(predicate_type, &predicate.to_string());
    assert_eq!(claim, Claim::Unreadable { kind: predicate_type.to_owned() });
    why_not.expect("there is a reason")
}

fn statement(value: &Value) -> Said {
    of_statement(&serde_json::to_vec(value).unwrap()).unwrap_or_else(|why| panic!("{why}"))
}

/// A statement around a predicate, in the order in which all tools write it.
fn wrap(predicate_type: &str, predicate: &str) -> String {
    let subject = json!([{"name": "app", "digest": {"sha256": "1".repeat(64)}}]);
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":{subject},"predicateType":"{predicate_type}","predicate":{predicate}}}"#
    )
}

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

fn texts<const N: usize>(items: [&str; N]) -> BTreeSet<String> {
    set(items.map(str::to_owned))
}
