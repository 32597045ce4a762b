//! OpenVEX.

use sealift_domain::evidence::{Claim, Vex, VexStatus};
use serde_json::json;

use super::{digest, document, file, refused, set, text, texts, with, without};

fn vex(document: &serde_json::Value) -> Vex {
    match super::document(document).claim {
        Claim::Vex(vex) => vex,
        other => panic!("{other:?}"),
    }
}

#[test]
fn openvex_as_vexctl_writes_it() {
    let said = document(&file("openvex.json"));
    assert_eq!(said.subjects, set([digest('1')]));
    let vex = vex(&file("openvex.json"));
    assert_eq!(vex.author, "security@example.com");
    assert_eq!(vex.at.unwrap().to_string(), "2026-10-02T08:00:00Z", "when it was last changed");
    let [first, second, third] = vex.statements.as_slice() else { panic!("{:?}", vex.statements) };
    assert_eq!(first.vulnerabilities, texts(["CVE-2026-0001", "GHSA-dddd-eeee-ffff"]));
    let index = digest('1').to_string();
    let id = format!("pkg:oci/app@sha256%3A{}?repository_url=registry.example%2Fteam", "1".repeat(64));
    assert_eq!(first.products, texts([index.as_str(), "pkg:oci/app", id.as_str()]));
    assert_eq!(first.subcomponents, texts(["pkg:deb/debian/openssl@3.0.15-1"]));
    assert_eq!((first.status, first.at), (VexStatus::NotAffected, None));
    assert_eq!(first.justification.as_deref(), Some("vulnerable_code_not_in_execute_path"));
    assert_eq!(second.products, texts(["pkg:oci/other"]), "no product is held to another's parts");
    assert_eq!(second.subcomponents, texts(["pkg:deb/debian/libssl3@3.0.15-1"]));
    assert_eq!((third.status, third.subcomponents.len()), (VexStatus::UnderInvestigation, 0));
    assert_eq!(third.at.unwrap().to_string(), "2026-10-01T09:00:00Z");
}

#[test]
fn openvex_of_the_first_version() {
    let vex = vex(&file("openvex-0.0.1.json"));
    let [only] = vex.statements.as_slice() else { panic!("{:?}", vex.statements) };
    assert_eq!(only.vulnerabilities, texts(["CVE-2026-0001"]));
    assert_eq!(
        (&only.products, &only.subcomponents),
        (&texts(["pkg:oci/app"]), &texts(["pkg:deb/debian/openssl@3.0.15-1"]))
    );
    assert_eq!(only.justification.as_deref(), Some("Never called."));
}

#[test]
fn a_product_or_part_that_cannot_be_known_does_not_read_as_everything() {
    for (place, value) in [
        ("/statements/1/products/0", json!({})),
        ("/statements/1/products/0", json!({"@id": "", "identifiers": {"swid": "x"}})),
        ("/statements/1/products/0", json!({"hashes": {"sha-1": "x"}})),
        ("/statements/1/products/0", json!("")),
        ("/statements/0/products/0/subcomponents/0", json!({})),
        ("/statements/0/products/0/subcomponents/0", json!("")),
    ] {
        let why = refused(&with(file("openvex.json"), place, value.clone()));
        assert!(why.contains("nothing by which it is known"), "{place} {value}: {why}");
    }
    let cpe = json!({"identifiers": {"cpe23": "cpe:2.3:a:acme:app:1:*:*:*:*:*:*:*"}});
    let known = vex(&with(file("openvex.json"), "/statements/1/products/0", cpe));
    assert_eq!(known.statements[2].products.len(), 1);
    // Without products it is about the document's subject.
    assert!(vex(&without(file("openvex.json"), "/statements/1/products")).statements[2].products.is_empty());
}

#[test]
fn what_decides_must_be_there_and_of_its_type() {
    for (place, value) in [
        ("/statements", json!(7)),
        ("/statements/0/status", json!("harmless")),
        ("/statements/0/status", json!(7)),
        ("/statements/0/vulnerability", json!(7)),
        ("/statements/0/vulnerability", json!({})),
        ("/statements/0/vulnerability", json!("")),
        ("/statements/0/products", json!("pkg:oci/app")),
        ("/statements/0/products/0/hashes/sha-256", json!("11")),
        ("/statements/0/products/0/@id", json!(7)),
        ("/statements/1/timestamp", json!("yesterday")),
        ("/last_updated", json!("yesterday")),
        ("/@context", json!("https://openvex.dev/ns/v9")),
        ("/@context", json!("https://example.com")),
        ("/author", json!(7)),
    ] {
        refused(&with(file("openvex.json"), place, value));
    }
    for place in ["/statements", "/statements/0/status", "/statements/0/vulnerability", "/@context"] {
        refused(&without(file("openvex.json"), place));
    }
    for place in ["/role", "/tooling", "/@id", "/version"] {
        assert_eq!(vex(&with(file("openvex.json"), place, json!([7]))), vex(&file("openvex.json")), "{place}");
    }
    assert!(sealift_evidence::claim::of_document(text("openvex.json").as_bytes()).is_ok());
}
