//! Test results.

use sealift_domain::evidence::{Claim, TestResult};
use sealift_evidence::claim::{of_document, of_predicate};
use serde_json::{Value, json};

use super::{document, file, set, unreadable, with, without};

const TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

fn result(predicate: &Value) -> TestResult {
    match of_predicate(TYPE, &predicate.to_string()) {
        (Claim::Tests(result), None) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tests_that_warned_passed() {
    let expected = TestResult {
        passed: true,
        tests_passed: 3,
        failed: vec![],
        url: Some("https://ci.example/runs/42".to_owned()),
    };
    assert_eq!(result(&file("test-result.json")), expected);
    let said = document(&file("test-result.json"));
    assert_eq!((said.subjects, said.claim), (set([]), Claim::Tests(expected)), "the document names no image");
}

#[test]
fn a_document_needs_no_more_than_the_result() {
    let bare = json!({"configuration": [], "result": "FAILED"});
    assert_eq!(document(&bare).claim, Claim::Tests(TestResult::default()));
}

#[test]
fn tests_pass_only_if_none_failed() {
    let failed = with(file("test-result.json"), "/result", json!("FAILED"));
    assert!(!result(&failed).passed);
    let torn = with(file("test-result.json"), "/failedTests", json!(["logs in"]));
    assert_eq!((result(&torn).passed, result(&torn).failed), (false, vec!["logs in".to_owned()]));
}

#[test]
fn what_matters_must_be_there_and_of_its_type() {
    for value in [json!("passed"), json!(""), json!(true), json!(null)] {
        unreadable(TYPE, &with(file("test-result.json"), "/result", value));
    }
    assert!(unreadable(TYPE, &without(file("test-result.json"), "/result")).contains("missing field `result`"));
    for place in ["/passedTests", "/warnedTests", "/failedTests", "/failedTests", "/url"] {
        unreadable(TYPE, &with(file("test-result.json"), place, json!({})));
    }
    let other = with(file("test-result.json"), "/configuration", json!(7));
    assert_eq!(result(&other), result(&file("test-result.json")));
}

#[test]
fn junit_is_refused_with_what_to_hand_in_instead() {
    let junit = b"<?xml version=\"1.0\"?>\n<testsuites tests=\"1\"><testsuite name=\"a\"/></testsuites>";
    let why = of_document(junit).unwrap_err().to_string();
    assert!(why.contains("XML") && why.contains(TYPE), "{why}");
}
