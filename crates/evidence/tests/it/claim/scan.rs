//! Reports of scanners.

use sealift_domain::evidence::{Claim, Scan, Severity};
use sealift_evidence::claim::{Said, of_predicate};
use serde_json::{Value, json};

use super::{digest, document, file, refused, set, text, texts, unreadable, with, without};

const COSIGN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
const VULNS: &str = "https://in-toto.io/attestation/vulns/v0.2";
const SARIF: &str = "https://json.schemastore.org/sarif-2.1.0.json";

fn scan_of(claim: Claim) -> Scan {
    match claim {
        Claim::Scan(scan) => scan,
        other => panic!("{other:?}"),
    }
}

fn scan(said: Said) -> Scan {
    assert_eq!(said.why_not, None);
    scan_of(said.claim)
}

fn predicate(predicate_type: &str, predicate: &Value) -> Scan {
    let (claim, why_not) = of_predicate(predicate_type, &predicate.to_string());
    assert_eq!(why_not, None);
    scan_of(claim)
}

/// What was found, in short.
fn short(scan: &Scan) -> Vec<(&str, Severity, &str, &str)> {
    let findings = scan.findings.as_deref().expect("the report says what was found");
    findings
        .iter()
        .map(|finding| {
            let fixed = finding.fixed_in.as_deref().unwrap_or_default();
            (finding.id.as_str(), finding.severity, finding.package.as_str(), fixed)
        })
        .collect()
}

fn times(scan: &Scan) -> (Option<String>, Option<String>) {
    (scan.scanned_at.map(|at| at.to_string()), scan.database_at.map(|at| at.to_string()))
}

fn at(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_report_of_trivy() {
    let said = document(&file("trivy.json"));
    assert_eq!((&said.subjects, &said.configs), (&set([digest('1')]), &set([digest('3')])));
    let scan = scan(said);
    assert_eq!(scan.scanner, "Trivy 0.68.1");
    assert_eq!(times(&scan), (at("2026-10-01T08:00:00.123456789Z"), None));
    let expected = [
        ("CVE-2026-0001", Severity::Critical, "openssl", "3.0.16-1"),
        ("CVE-2026-0002", Severity::Unknown, "zlib1g", ""),
        ("CVE-2026-0003", Severity::Medium, "lodash", "4.17.21"),
    ];
    assert_eq!(short(&scan), expected);
    let findings = scan.findings.unwrap();
    assert_eq!(findings[0].version, "3.0.15-1");
    assert_eq!(findings[0].purl.as_deref(), Some("pkg:deb/debian/openssl@3.0.15-1?arch=amd64"));
    assert_eq!(findings[0].aliases, texts([]), "an advisory for several vulnerabilities is no alias");
    assert_eq!((&findings[1].purl, findings[1].fixed_in.as_ref()), (&None, None));
    assert_eq!(findings[2].aliases, texts(["GHSA-aaaa-bbbb-cccc"]));
}

#[test]
fn trivy_knows_its_database_where_a_server_scanned() {
    let server = json!({"Version": "0.68.1", "Server": {"Version": "0.68.1",
        "VulnerabilityDB": {"Version": 2, "UpdatedAt": "2026-09-30T01:30:00Z"}}});
    let scan = scan(document(&with(file("trivy.json"), "/Trivy", server)));
    assert_eq!(scan.database_at.map(|at| at.to_string()), at("2026-09-30T01:30:00Z"));
    let old = without(without(file("trivy.json"), "/Trivy"), "/CreatedAt");
    let old = self::scan(document(&old));
    assert_eq!((old.scanner.as_str(), times(&old)), ("Trivy", (None, None)));
}

#[test]
fn a_report_of_trivy_that_does_not_say_what_was_found_says_nothing() {
    let whole = file("trivy.json");
    let secrets = json!([whole["Results"][3]]);
    let unknown = [
        without(whole.clone(), "/Results"),
        with(whole.clone(), "/Results", Value::Null),
        with(whole.clone(), "/Results", json!([])),
        with(whole.clone(), "/Results", secrets),
        with(whole.clone(), "/Results", json!([{"Target": "x"}])),
    ];
    for report in unknown {
        assert_eq!(scan(document(&report)).findings, None, "{}", report["Results"]);
    }
    for clean in [json!([{"Target": "x", "Class": "os-pkgs"}]), json!([{"Target": "x", "Vulnerabilities": []}])] {
        assert_eq!(scan(document(&with(whole.clone(), "/Results", clean))).findings, Some(vec![]));
    }
}

#[test]
fn a_report_of_grype() {
    for name in ["grype-5.json", "grype-6.json"] {
        let said = document(&file(name));
        assert_eq!((&said.subjects, &said.configs), (&set([digest('1'), digest('2')]), &set([digest('3')])));
        let scan = scan(said);
        assert_eq!(scan.scanner, "Grype 0.85.0");
        assert_eq!(times(&scan), (at("2026-10-01T08:00:00.123456789Z"), at("2026-09-30T01:30:00Z")), "{name}");
        let expected = [
            ("GHSA-aaaa-bbbb-cccc", Severity::Medium, "lodash", "4.17.21"),
            ("CVE-2026-0001", Severity::Critical, "openssl", ""),
        ];
        assert_eq!(short(&scan), expected);
        let findings = scan.findings.unwrap();
        assert_eq!(findings[0].aliases, texts(["CVE-2026-0003"]));
        assert_eq!(findings[0].purl.as_deref(), Some("pkg:npm/lodash@4.17.20"));
        assert_eq!((findings[1].aliases.len(), findings[1].purl.as_deref()), (0, None));
    }
}

#[test]
fn a_report_of_grype_that_does_not_say_what_was_found_says_nothing() {
    for report in [without(file("grype-6.json"), "/matches"), with(file("grype-6.json"), "/matches", Value::Null)] {
        assert_eq!(scan(document(&report)).findings, None);
    }
    assert_eq!(scan(document(&with(file("grype-6.json"), "/matches", json!([])))).findings, Some(vec![]));
    let ignored = with(without(file("grype-6.json"), "/matches"), "/ignoredMatches", json!([]));
    assert_eq!(scan(document(&ignored)).findings, None);
    // Of a directory no image is known.
    let directory = json!({"type": "directory", "target": "/app"});
    assert_eq!(document(&with(file("grype-6.json"), "/source", directory)).subjects, set([]));
}

#[test]
fn what_a_scanner_was_told_to_ignore_is_found_all_the_same() {
    let whole = file("grype-6.json");
    let ignored = json!([whole["matches"][1]]);
    let moved = with(with(whole.clone(), "/matches", json!([whole["matches"][0]])), "/ignoredMatches", ignored);
    assert_eq!(short(&scan(document(&moved))), short(&scan(document(&whole))));

    let whole = file("trivy.json");
    let finding = whole["Results"][0]["Vulnerabilities"][0].clone();
    let modified = |kind: &str, finding: &Value| {
        let one = json!({"Type": kind, "Status": "ignored", "Source": ".trivyignore", "Finding": finding});
        json!([{"Target": "x", "Class": "os-pkgs", "ExperimentalModifiedFindings": [one]}])
    };
    let report = |results: Value| with(whole.clone(), "/Results", results);
    let found = scan(document(&report(modified("vulnerability", &finding))));
    assert_eq!(short(&found), [("CVE-2026-0001", Severity::Critical, "openssl", "3.0.16-1")]);
    let secret = scan(document(&report(modified("secret", &json!({"RuleID": "x"})))));
    assert_eq!(secret.findings, Some(vec![]), "a secret is no vulnerability");
    refused(&report(modified("vulnerability", &json!({"VulnerabilityID": 7}))));
}

#[test]
fn a_severity_that_is_not_understood_makes_the_report_unreadable() {
    for (name, place) in
        [("trivy.json", "/Results/0/Vulnerabilities/0/Severity"), ("grype-6.json", "/matches/0/vulnerability/severity")]
    {
        let why = refused(&with(file(name), place, json!("catastrophic")));
        assert!(why.contains("a severity in it is not understood"), "{name}: {why}");
        scan(document(&with(file(name), place, json!(" Critical "))));
    }
    unreadable(VULNS, &with(file("vulns-0.2.json"), "/scanner/result/0/severity/0/score", json!("catastrophic")));
}

#[test]
fn a_frame_of_cosign_does_not_make_an_old_report_young() {
    let frame = with(file("cosign-vuln.json"), "/scanner/result/CreatedAt", json!("2025-01-01T00:00:00Z"));
    assert_eq!(times(&predicate(COSIGN, &frame)).0, at("2025-01-01T00:00:00Z"));
    let frame = with(frame, "/scanner/result/CreatedAt", json!("2027-01-01T00:00:00Z"));
    assert_eq!(times(&predicate(COSIGN, &frame)).0, at("2026-10-01T08:00:00Z"));
}

#[test]
fn sarif_as_trivy_writes_it() {
    let scan = predicate(SARIF, &file("sarif-trivy.json"));
    assert_eq!(scan.scanner, "Trivy 0.58.0");
    assert_eq!(times(&scan), (None, None));
    let expected = [
        ("CVE-2026-0001", Severity::Critical, "openssl", "3.0.16-1"),
        ("CVE-2026-0002", Severity::Unknown, "zlib1g", ""),
    ];
    assert_eq!(short(&scan), expected);
    assert_eq!(scan.findings.unwrap()[0].version, "3.0.15-1");
}

#[test]
fn sarif_as_codeql_writes_it() {
    let scan = predicate(SARIF, &file("sarif-codeql.json"));
    assert_eq!(scan.scanner, "CodeQL 2.19.3");
    assert_eq!(times(&scan).0, at("2026-10-01T08:00:00Z"));
    let expected = [("js/sql-injection", Severity::High, "", ""), ("js/unused-local-variable", Severity::Low, "", "")];
    assert_eq!(short(&scan), expected, "what is suppressed is found all the same; what is in order is not");
}

#[test]
fn the_severity_of_a_rule_of_sarif_is_a_score() {
    let place = "/runs/0/tool/driver/rules/0/properties/security-severity";
    for (score, severity) in [
        (json!("9.0"), Severity::Critical),
        (json!("8.9"), Severity::High),
        (json!(7.0), Severity::High),
        (json!(4), Severity::Medium),
        (json!("3.9"), Severity::Low),
        (json!("0.0"), Severity::Unknown),
        (json!(99), Severity::Unknown),
    ] {
        let scan = predicate(SARIF, &with(file("sarif-trivy.json"), place, score.clone()));
        assert_eq!(short(&scan)[0].1, severity, "{score}");
    }
    for wrong in [json!([9.0]), json!({}), json!(true)] {
        assert!(unreadable(SARIF, &with(file("sarif-trivy.json"), place, wrong)).contains("another type"));
    }
    let without_properties = without(file("sarif-trivy.json"), "/runs/0/tool/driver/rules/0/properties");
    for (level, severity) in
        [("error", Severity::High), ("warning", Severity::Medium), ("note", Severity::Low), ("none", Severity::Unknown)]
    {
        let leveled = with(without_properties.clone(), "/runs/0/results/0/level", json!(level));
        assert_eq!(short(&predicate(SARIF, &leveled))[0].1, severity, "without a score the level counts: {level}");
        let silent = without(without_properties.clone(), "/runs/0/results/0/level");
        let usual = json!({ "level": level });
        let by_rule = with(silent, "/runs/0/tool/driver/rules/0/defaultConfiguration", usual);
        assert_eq!(short(&predicate(SARIF, &by_rule))[0].1, severity, "and else the rule's: {level}");
    }
    let silent = without(without_properties.clone(), "/runs/0/results/0/level");
    let silent = without(silent, "/runs/0/tool/driver/rules/0/defaultConfiguration");
    assert_eq!(short(&predicate(SARIF, &silent))[0].1, Severity::Medium, "SARIF's own default is a warning");
    unreadable(SARIF, &with(without_properties, "/runs/0/results/0/level", json!("fatal")));
    unreadable(SARIF, &with(file("sarif-trivy.json"), place, json!("severe")));
    // Of two rules of one name the worse counts; of a rule without name its place.
    let twice = with(file("sarif-trivy.json"), "/runs/0/tool/driver/rules/1/id", json!("CVE-2026-0001"));
    assert_eq!(short(&predicate(SARIF, &twice))[0].1, Severity::Critical);
    let by_place = without(file("sarif-trivy.json"), "/runs/0/results/0/ruleId");
    assert_eq!(short(&predicate(SARIF, &by_place))[0].1, Severity::Critical);
    let neither = without(by_place, "/runs/0/results/0/ruleIndex");
    assert!(unreadable(SARIF, &neither).contains("which rule"));
}

#[test]
fn sarif_that_does_not_say_what_was_found_says_nothing() {
    let whole = file("sarif-trivy.json");
    let failed = json!([{"executionSuccessful": false}]);
    let mut second = whole.clone();
    second["runs"].as_array_mut().unwrap().push(json!({"tool": {"driver": {"name": "Other"}}}));
    for report in [
        without(whole.clone(), "/runs"),
        with(whole.clone(), "/runs", Value::Null),
        with(whole.clone(), "/runs", json!([])),
        without(whole.clone(), "/runs/0/results"),
        with(whole.clone(), "/runs/0/results", Value::Null),
        with(whole.clone(), "/runs/0/invocations", failed),
        second,
    ] {
        assert_eq!(predicate(SARIF, &report).findings, None);
    }
    assert_eq!(predicate(SARIF, &with(whole, "/runs/0/results", json!([]))).findings, Some(vec![]));
}

#[test]
fn sarif_is_refused_as_a_document_because_it_names_no_image() {
    assert_eq!(refused(&file("sarif-codeql.json")), "SARIF names no image: wrap it in a signed statement");
}

#[test]
fn cosigns_frame_around_a_report() {
    let scan = predicate(COSIGN, &file("cosign-vuln.json"));
    assert_eq!(scan.scanner, "pkg:github/aquasecurity/trivy@0.58.0 0.58.0");
    assert_eq!(times(&scan), (at("2026-10-01T08:00:00Z"), None), "the zero of Go is no time");
    assert_eq!(short(&scan), [("CVE-2026-0003", Severity::Medium, "lodash", "4.17.21")]);
    // Handed in as a document it is about what the report in it is about.
    let said = document(&file("cosign-vuln.json"));
    assert_eq!((said.subjects, said.configs), (set([digest('1')]), set([digest('3')])));
}

#[test]
fn the_report_in_cosigns_frame_may_be_of_another_scanner_or_a_text() {
    let frame = file("cosign-vuln.json");
    let bare = predicate(COSIGN, &frame);
    let report = frame["scanner"]["result"].to_string();
    assert_eq!(predicate(COSIGN, &with(frame.clone(), "/scanner/result", json!(report))), bare);
    for (name, count) in [("grype-6.json", 2), ("trivy.json", 3), ("sarif-trivy.json", 2)] {
        let scan = predicate(COSIGN, &with(frame.clone(), "/scanner/result", file(name)));
        assert_eq!(short(&scan).len(), count, "{name}");
    }
    let grype = with(without(frame, "/metadata"), "/scanner/result", file("grype-6.json"));
    let own_times = (at("2026-10-01T08:00:00.123456789Z"), at("2026-09-30T01:30:00Z"));
    assert_eq!(times(&predicate(COSIGN, &grype)), own_times, "where the frame is silent, the report counts");
}

#[test]
fn a_report_in_cosigns_frame_that_says_nothing_is_unknown() {
    let frame = file("cosign-vuln.json");
    for result in [json!(null), json!({}), json!([]), json!({"vulnerabilities": []}), json!("clean"), json!(0)] {
        let (claim, _) = of_predicate(COSIGN, &with(frame.clone(), "/scanner/result", result.clone()).to_string());
        assert_eq!(scan_of(claim).findings, None, "{result}");
    }
    let unknown = with(frame.clone(), "/scanner/result", json!({"SchemaVersion": 2}));
    let (claim, why_not) = of_predicate(COSIGN, &unknown.to_string());
    assert_eq!(scan_of(claim).findings, None);
    assert!(why_not.unwrap().contains("does not say what was found"));
    let broken = with(frame.clone(), "/scanner/result", json!({"SchemaVersion": 2, "Results": 7}));
    assert!(unreadable(COSIGN, &broken).contains("`scanner.result` cannot be read"));
    assert!(unreadable(COSIGN, &without(frame, "/scanner")).contains("missing field `scanner`"));
}

#[test]
fn in_totos_vulnerabilities() {
    let scan = predicate("https://in-toto.io/attestation/vulns/v0.1", &file("vulns-0.1.json"));
    assert_eq!(times(&scan), (at("2026-10-01T08:00:00Z"), at("2026-09-30T01:30:00Z")));
    let expected = [("CVE-2026-0001", Severity::Critical, "", ""), ("CVE-2026-0003", Severity::Medium, "", "")];
    assert_eq!(short(&scan), expected);
    let scan = predicate(VULNS, &file("vulns-0.2.json"));
    let expected = [("CVE-2026-0001", Severity::Critical, "", ""), ("CVE-2026-0004", Severity::Unknown, "", "")];
    assert_eq!(short(&scan), expected, "the worst rating counts");
}

#[test]
fn in_totos_vulnerabilities_without_a_result_are_unknown() {
    let whole = file("vulns-0.2.json");
    for report in [without(whole.clone(), "/scanner/result"), with(whole.clone(), "/scanner/result", Value::Null)] {
        assert_eq!(predicate(VULNS, &report).findings, None);
    }
    assert_eq!(predicate(VULNS, &with(whole.clone(), "/scanner/result", json!([]))).findings, Some(vec![]));
    for (place, value) in [("/scanner/result", json!({})), ("/scanner/result/0/id", json!(1)), ("/scanner", json!([]))]
    {
        unreadable(VULNS, &with(whole.clone(), place, value));
    }
    assert!(unreadable(VULNS, &without(whole, "/scanner/result/0/id")).contains("which vulnerability"));
}

#[test]
fn what_matters_must_be_of_its_type() {
    for (name, place) in [
        ("trivy.json", "/SchemaVersion"),
        ("trivy.json", "/Results"),
        ("trivy.json", "/Results/0"),
        ("trivy.json", "/Results/0/Vulnerabilities"),
        ("trivy.json", "/Results/0/Vulnerabilities/0/VulnerabilityID"),
        ("trivy.json", "/Results/0/Vulnerabilities/0/Severity"),
        ("trivy.json", "/Results/0/Vulnerabilities/0/PkgName"),
        ("trivy.json", "/Metadata/RepoDigests"),
        ("trivy.json", "/CreatedAt"),
        ("grype-6.json", "/matches"),
        ("grype-6.json", "/matches/0/vulnerability"),
        ("grype-6.json", "/matches/0/vulnerability/id"),
        ("grype-6.json", "/matches/0/vulnerability/severity"),
        ("grype-6.json", "/matches/0/artifact/name"),
        ("grype-6.json", "/source/target/repoDigests"),
        ("grype-6.json", "/descriptor/timestamp"),
    ] {
        let value = if place == "/SchemaVersion" { json!("2") } else { json!(7) };
        let why = refused(&with(file(name), place, value));
        assert!(why.contains("another type or value"), "{name} {place}: {why}");
    }
    for place in ["/runs/0/results", "/runs/0/tool", "/runs/0/results/0/ruleId", "/runs/0/tool/driver/rules"] {
        unreadable(SARIF, &with(file("sarif-trivy.json"), place, json!(7)));
    }
    assert!(refused(&with(file("trivy.json"), "/SchemaVersion", json!(3))).contains("only version 2"));
    assert!(refused(&without(file("trivy.json"), "/SchemaVersion")).contains("missing field `SchemaVersion`"));
    assert!(refused(&without(file("grype-6.json"), "/descriptor")).contains("what made it"));
}

#[test]
fn what_does_not_matter_may_be_of_any_type() {
    for (name, place) in [
        ("trivy.json", "/Trivy"),
        ("trivy.json", "/Metadata/ImageConfig"),
        ("trivy.json", "/Results/0/Vulnerabilities/0/CVSS"),
        ("trivy.json", "/Results/0/Vulnerabilities/0/References"),
        ("trivy.json", "/Results/3/Secrets"),
        ("grype-6.json", "/distro"),
        ("grype-6.json", "/descriptor/configuration"),
        ("grype-6.json", "/descriptor/version"),
        ("grype-6.json", "/matches/0/matchDetails"),
        ("grype-6.json", "/matches/0/artifact/locations"),
    ] {
        let before = scan(document(&file(name))).findings;
        for value in [json!(7), json!("x"), json!([[1, "y"]]), json!({"a": {"b": null}}), json!(false), json!(null)] {
            let after = scan(document(&with(file(name), place, value.clone())));
            assert_eq!(after.findings, before, "{name} {place} {value}");
        }
    }
    for place in ["/$schema", "/runs/0/columnKind", "/runs/0/results/0/locations"] {
        let before = predicate(SARIF, &file("sarif-trivy.json"));
        assert_eq!(predicate(SARIF, &with(file("sarif-trivy.json"), place, json!([7]))), before, "{place}");
    }
}

#[test]
fn the_order_of_fields_is_no_matter() {
    // `serde_json` sorts them.
    for name in ["trivy.json", "grype-6.json"] {
        let sorted = serde_json::to_vec(&file(name)).unwrap();
        let as_written = sealift_evidence::claim::of_document(text(name).as_bytes()).unwrap();
        assert_eq!(sealift_evidence::claim::of_document(&sorted).unwrap(), as_written);
    }
}
