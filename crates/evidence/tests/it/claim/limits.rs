//! Documents that are larger, longer or deeper than anything real.

use sealift_domain::evidence::Claim;
use sealift_evidence::claim::{MAX_DOCUMENT, of_document, of_predicate, of_statement};
use serde_json::{Value, json};

use super::{file, refused, text, with, wrap};

/// The document with `count` times the same entry in a list, as text.
fn many(document: Value, place: &str, entry: &str, count: usize) -> String {
    let text = with(document, place, json!(["PLACE"])).to_string();
    text.replace("\"PLACE\"", &vec![entry; count].join(","))
}

fn why(document: &str) -> String {
    of_document(document.as_bytes()).expect_err("it was read").to_string()
}

#[test]
fn a_document_of_more_than_64_mib_is_not_looked_at() {
    let mut large = text("trivy.json").into_bytes();
    large.resize(MAX_DOCUMENT + 1, b' ');
    assert_eq!(of_document(&large).unwrap_err().to_string(), "it is larger than 64 MiB");
    assert_eq!(of_statement(&large).unwrap_err().to_string(), "it is larger than 64 MiB");
    let text = String::from_utf8(large).unwrap();
    let (claim, why_not) = of_predicate("https://spdx.dev/Document", &text);
    assert!(matches!(claim, Claim::Unreadable { .. }));
    assert_eq!(why_not.as_deref(), Some("it is larger than 64 MiB"));
}

#[test]
fn packages_are_bounded() {
    let spdx = |count| many(file("spdx-syft.json"), "/packages", r#"{"name":"a"}"#, count);
    assert!(of_document(spdx(200_000).as_bytes()).is_ok());
    assert!(why(&spdx(200_001)).contains("more than 200000 packages"));
    let inner = vec![r#"{"name":"a"}"#; 100_000].join(",");
    let outer = format!(r#"{{"name":"a","components":[{inner}]}}"#);
    let nested = many(file("cyclonedx-syft.json"), "/components", &outer, 2);
    assert!(why(&nested).contains("more than 200000 packages"));
}

#[test]
fn findings_are_bounded() {
    let vulnerability = r#"{"VulnerabilityID":"a","PkgName":"b"}"#;
    let trivy = |count| many(file("trivy.json"), "/Results/1/Vulnerabilities", vulnerability, count);
    assert!(of_document(trivy(99_998).as_bytes()).is_ok(), "two stand in another result");
    assert!(why(&trivy(99_999)).contains("more than 100000 findings"));
    let one = r#"{"vulnerability":{"id":"a"},"artifact":{"name":"b"}}"#;
    assert!(why(&many(file("grype-6.json"), "/matches", one, 100_001)).contains("more than 100000 findings"));
    let of = |kind: &str, text: &str| of_predicate(kind, text).1.expect("there is a reason");
    let sarif = many(file("sarif-trivy.json"), "/runs/0/results", r#"{"ruleId":"a"}"#, 100_001);
    assert!(of("https://json.schemastore.org/sarif-2.1.0.json", &sarif).contains("more than 100000 findings"));
    let vulns = many(file("vulns-0.2.json"), "/scanner/result", r#"{"id":"a"}"#, 100_001);
    assert!(of("https://in-toto.io/attestation/vulns/v0.2", &vulns).contains("more than 100000 findings"));
    let statement = r#"{"vulnerability":"a","status":"fixed"}"#;
    assert!(
        why(&many(file("openvex.json"), "/statements", statement, 100_001)).contains("more than 100000 statements")
    );
}

#[test]
fn other_lists_are_bounded() {
    let subject = format!(r#"{{"digest":{{"sha256":"{}"}}}}"#, "1".repeat(64));
    let subjects = |count| many(file("slsa-github.json"), "/subject", &subject, count);
    assert!(of_document(subjects(1024).as_bytes()).is_ok());
    assert!(why(&subjects(1025)).contains("more than 1024 subjects"));
    let tests = |list, count| many(file("test-result.json"), list, "\"a\"", count);
    assert!(of_document(tests("/passedTests", 100_000).as_bytes()).is_ok(), "they are only counted");
    assert!(why(&tests("/failedTests", 10_001)).contains("more than 10000 entries"));
}

#[test]
fn texts_that_are_kept_are_bounded() {
    let long = json!("x".repeat(1025));
    for (name, place) in [
        ("spdx-syft.json", "/packages/0/name"),
        ("spdx-syft.json", "/packages/0/versionInfo"),
        ("cyclonedx-syft.json", "/components/0/name"),
        ("cyclonedx-trivy.json", "/components/2/group"),
        ("trivy.json", "/Results/0/Vulnerabilities/0/VulnerabilityID"),
        ("trivy.json", "/Results/0/Vulnerabilities/0/PkgIdentifier/PURL"),
        ("grype-6.json", "/matches/0/artifact/version"),
        ("grype-6.json", "/matches/0/relatedVulnerabilities/0/id"),
        ("cosign-vuln.json", "/scanner/uri"),
        ("openvex.json", "/author"),
        ("openvex.json", "/statements/0/products/0/@id"),
        ("openvex-0.0.1.json", "/statements/0/products/0"),
        ("test-result.json", "/url"),
        ("slsa-github.json", "/predicateType"),
    ] {
        let why = refused(&with(file(name), place, long.clone()));
        assert!(why.contains("longer than 1 KiB"), "{name} {place}: {why}");
    }
    let expression = json!(format!("MIT{}", " AND MIT".repeat(1024)));
    let why = refused(&with(file("spdx-syft.json"), "/packages/0/licenseDeclared", expression));
    assert!(why.contains("longer than 8 KiB"), "{why}");
    // What is only shown is left out instead.
    assert!(
        of_document(with(file("grype-6.json"), "/descriptor/version", long.clone()).to_string().as_bytes()).is_ok()
    );
    let (claim, _) = of_predicate(&"x".repeat(1025), "{}");
    assert_eq!(claim, Claim::Unreadable { kind: "predicate".to_owned() });
    // What nobody keeps may be as long as it likes.
    let ignored = with(file("trivy.json"), "/Results/0/Vulnerabilities/0/Description", json!("x".repeat(1 << 20)));
    assert!(of_document(ignored.to_string().as_bytes()).is_ok());
}

#[test]
fn depth_is_bounded_where_it_matters_and_skipped_where_not() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let document = text("trivy.json").replacen('{', &format!("{{\"deep\": {deep},"), 1);
    assert!(of_document(document.as_bytes()).is_ok());
    let (open, close) = (r#"{"name":"a","components":["#.repeat(100), "]}".repeat(100));
    let predicate = format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{open}{close}]}}"#);
    assert!(why(&predicate).contains("nested deeper than 127 levels"));
    let said = of_statement(wrap("https://cyclonedx.org/bom", &predicate).as_bytes()).unwrap();
    assert!(matches!(said.claim, Claim::Unreadable { .. }));
    assert!(said.why_not.unwrap().contains("nested deeper than 127 levels"));
}
