//! In-toto statements, and what is none.

use sealift_domain::evidence::Claim;
use sealift_evidence::claim::{of_document, of_predicate, of_statement};
use serde_json::{Value, json};

use super::{PREDICATES, digest, file, set, statement, text, with, without, wrap};

fn refused(value: &Value) -> String {
    of_statement(&serde_json::to_vec(value).unwrap()).expect_err("it was read").to_string()
}

#[test]
fn a_statement_says_what_its_predicate_says() {
    for (name, predicate_type) in PREDICATES {
        let (claim, why_not) = of_predicate(predicate_type, &text(name));
        assert!(!matches!(claim, Claim::Other { .. } | Claim::Unreadable { .. }), "{name}: {claim:?} {why_not:?}");
        let said = of_statement(wrap(predicate_type, &text(name)).as_bytes()).unwrap();
        assert_eq!((said.subjects, &said.claim, &said.why_not), (set([digest('1')]), &claim, &why_not), "{name}");
        // The predicate before its type takes the other way and says the same.
        let sorted: Value = serde_json::from_str(&wrap(predicate_type, &text(name))).unwrap();
        assert_eq!(statement(&sorted).claim, claim, "{name}");
    }
}

#[test]
fn both_versions_of_statements_are_read_and_no_other() {
    for version in ["https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"] {
        statement(&with(file("slsa-github.json"), "/_type", json!(version)));
    }
    for version in
        [json!("https://in-toto.io/Statement/v2"), json!("https://in-toto.io/Statement/v1.0"), json!(""), json!(1)]
    {
        refused(&with(file("slsa-github.json"), "/_type", version));
    }
}

#[test]
fn a_statement_needs_its_parts() {
    for place in ["/_type", "/subject", "/predicateType"] {
        let why = refused(&without(file("slsa-github.json"), place));
        assert!(why.contains(&format!("missing field `{}`", &place[1..])), "{why}");
        refused(&with(file("slsa-github.json"), place, json!(7)));
        refused(&with(file("slsa-github.json"), place, Value::Null));
    }
    let bare = statement(&without(file("slsa-github.json"), "/predicate"));
    assert_eq!(bare.claim, Claim::Unreadable { kind: "https://slsa.dev/provenance/v1".to_owned() });
    for other in [json!([]), json!("text"), json!(null), json!(1)] {
        refused(&other);
    }
}

#[test]
fn the_subjects_are_those_with_a_sha256() {
    let subjects = json!([
        {"name": "a", "digest": {"sha256": "1".repeat(64)}},
        {"digest": {"sha512": "x", "sha256": "2".repeat(64), "odd": 7}},
        {"name": "b", "digest": {"gitCommit": "4".repeat(40)}},
        {"uri": "https://example.com"},
    ]);
    let said = statement(&with(file("slsa-github.json"), "/subject", subjects));
    assert_eq!(said.subjects, set([digest('1'), digest('2')]));
    for subject in [json!([]), json!([{"name": "a"}]), json!([{"digest": {"sha1": "4".repeat(40)}}])] {
        assert!(refused(&with(file("slsa-github.json"), "/subject", subject)).contains("no subject"));
    }
    for digits in [json!("11"), json!("A".repeat(64)), json!(7), json!(format!("sha256:{}", "1".repeat(64)))] {
        refused(&with(file("slsa-github.json"), "/subject/0/digest/sha256", digits));
    }
}

#[test]
fn a_predicate_that_nobody_asks_for_is_something_else() {
    for kind in ["https://slsa.dev/verification_summary/v1", "https://cosign.sigstore.dev/attestation/v1", "", "x"] {
        assert_eq!(of_predicate(kind, "{\"anything\": 1}"), (Claim::Other { kind: kind.to_owned() }, None));
    }
    let said = statement(&with(file("slsa-github.json"), "/predicateType", json!("https://spdx.dev/Documents")));
    assert_eq!(said.claim, Claim::Other { kind: "https://spdx.dev/Documents".to_owned() });
}

#[test]
fn a_predicate_under_another_type_does_not_pass_for_it() {
    for (name, own) in PREDICATES {
        for (_, other) in PREDICATES {
            let family = |kind: &str| kind.rsplit_once("/v").map_or(kind.to_owned(), |(family, _)| family.to_owned());
            if family(own) == family(other) {
                continue;
            }
            let (claim, _) = of_predicate(other, &text(name));
            let says = match &claim {
                Claim::Scan(scan) => scan.findings.is_some(),
                claim => !matches!(claim, Claim::Unreadable { .. }),
            };
            // Both frames of scanners are one where `scanner` says little.
            assert!(!says, "{name} as {other}: {claim:?}");
        }
    }
}

#[test]
fn a_key_that_stands_there_twice_makes_it_unreadable() {
    let good = wrap("https://in-toto.io/attestation/test-result/v0.1", r#"{"result":"PASSED","result":"FAILED"}"#);
    let said = of_statement(good.as_bytes()).unwrap();
    assert!(matches!(said.claim, Claim::Unreadable { .. }));
    assert!(said.why_not.unwrap().contains("duplicate field `result`"));
    let subject = r#"[{"digest":{"sha256":"1111111111111111111111111111111111111111111111111111111111111111"}}]"#;
    let head = r#""_type":"https://in-toto.io/Statement/v1""#;
    let (kind, predicate) =
        (r#""predicateType":"https://in-toto.io/attestation/test-result/v0.1""#, r#""predicate":{"result":"PASSED"}"#);
    let whole = format!(r#"{head},"subject":{subject},{kind},{predicate}"#);
    assert!(of_statement(format!("{{{whole}}}").as_bytes()).is_ok());
    for twice in [head, &format!(r#""subject":{subject}"#), kind, predicate] {
        let why = of_statement(format!("{{{whole},{twice}}}").as_bytes()).unwrap_err().to_string();
        assert!(why.contains("duplicate field"), "{twice}: {why}");
    }
    let twice = text("trivy.json").replacen("\"Results\"", "\"Results\": [], \"Results\"", 1);
    assert!(of_document(twice.as_bytes()).unwrap_err().to_string().contains("duplicate field `Results`"));
}

#[test]
fn a_statement_can_be_handed_in_as_a_document() {
    let said = of_document(text("slsa-github.json").as_bytes()).unwrap();
    assert_eq!(said, statement(&file("slsa-github.json")));
}

#[test]
fn what_is_no_document_is_refused_with_what_to_do() {
    for (document, words) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("[]", "it is not a JSON object"),
        ("SPDXVersion: SPDX-2.3", "it is not a JSON object"),
        ("{}", "none of the fields"),
        ("{\"a\": 1}", "none of the fields"),
        ("{\"a\": ", "it ends too early (line 1, column 6)"),
        ("{\"a\" 1}", "it is not JSON"),
        ("{\"payloadType\": \"x\"}", "it is a signed envelope"),
        ("{\"mediaType\": \"x\", \"verificationMaterial\": {}}", "it is a signed envelope"),
        ("{\"artifacts\": []}", "-o spdx-json"),
        ("{\"buildDefinition\": {}}", "the statement around it"),
        ("{\"@context\": [\"x\"]}", "only OpenVEX"),
        ("<bom/>", "it is XML"),
    ] {
        let why = of_document(document.as_bytes()).expect_err(document).to_string();
        assert!(why.contains(words), "{document}: {why}");
    }
    assert!(of_document(b"\xff{}").unwrap_err().to_string().contains("UTF-8"));
    assert!(of_document(format!("\u{feff}{}", text("trivy.json")).as_bytes()).is_ok(), "a byte-order mark is no harm");
    let more = format!("{}{{}}", text("trivy.json"));
    assert!(of_document(more.as_bytes()).is_err(), "something follows it");
    assert!(of_statement(format!("{}x", text("slsa-github.json")).as_bytes()).is_err(), "something follows it");
}
