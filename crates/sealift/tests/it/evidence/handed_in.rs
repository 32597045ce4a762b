//! `sealift record scan`, `sbom`, `test`, `provenance`, `vex`.

use sealift_domain::digest::Digest;
use sealift_evidence::signing::PromotionKey;
use serde_json::json;

use super::{SPDX, asking, says, sbom, signed, statement, trivy};
use crate::place::{Place, Ran};

fn record(place: &Place, kind: &str, file: &str) -> Ran {
    let name = format!("{}/hello:1.0.0", place.staging.address());
    place.run(&["record", kind, &name, "--file", file])
}

#[test]
fn a_report_of_a_tool_is_taken_for_the_image_that_it_names_and_opens_the_gate() {
    let (place, image) = asking("vulnerabilities: {fail_on: high, max_age: 1d}", &[]);
    says(&place, "vulnerabilities", "fail", "app has no scan");
    let report = trivy(image.digest, jiff::Timestamp::now(), &[("CVE-2026-0001", "LOW")]);
    place.write("scan.json", &report.to_string());
    record(&place, "scan", "scan.json").ends(0).says("recorded: a scan by").says("with 1 findings");
    says(&place, "vulnerabilities", "pass", "app");
    // The same again changes nothing; a worse and newer one closes the gate.
    record(&place, "scan", "scan.json").ends(0).says("on record already");
    let worse = trivy(image.digest, jiff::Timestamp::now(), &[("CVE-2026-0002", "CRITICAL")]);
    place.write("scan.json", &worse.to_string());
    record(&place, "scan", "scan.json").ends(0);
    says(&place, "vulnerabilities", "fail", "CVE-2026-0002");
    place.run(&["explain", "production"]).ends(0).says("handed in");
}

#[test]
fn what_is_about_something_else_or_is_something_else_is_not_taken() {
    let (place, image) = asking("vulnerabilities: {fail_on: high}", &[]);
    let now = jiff::Timestamp::now();
    let other = Digest::of(b"another image");
    let key = PromotionKey::generate().unwrap();
    let about_another = signed(&key, &statement(other, SPDX, &sbom("MIT")));
    for (kind, text, words) in [
        ("scan", trivy(other, now, &[]).to_string(), "it is about sha256:"),
        ("scan", json!({"SchemaVersion": 2, "Results": []}).to_string(), "does not say which image"),
        ("scan", signed(&key, &statement(image.digest, SPDX, &sbom("MIT"))), "it is an SBOM"),
        ("sbom", about_another, "it is about sha256:"),
        ("sbom", "{".to_owned(), "cannot be read"),
        ("sbom", String::new(), "it is empty"),
        ("test", "<testsuites/>".to_owned(), "it is XML"),
        (
            "scan",
            json!({"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": []})
                .to_string(),
            "SARIF names no image",
        ),
    ] {
        place.write("file", &text);
        record(&place, kind, "file").ends(2).says("E0901").says(words);
    }
    record(&place, "scan", "absent.json").ends(2).says("E0101");
    let gone = format!("{}/hello:9.9.9", place.staging.address());
    place.run(&["record", "scan", &gone, "--file", "file"]).ends(9).says("E0301");
    place.audited();
}

#[test]
fn signed_evidence_may_be_handed_in_and_counts_by_its_signer() {
    let (key, other) = (PromotionKey::generate().unwrap(), PromotionKey::generate().unwrap());
    let (place, image) = asking("sbom: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    place.write("sbom.json", &signed(&other, &statement(image.digest, SPDX, &sbom("MIT"))));
    record(&place, "sbom", "sbom.json").ends(0);
    says(&place, "sbom", "fail", "proves nothing");
    place.write("sbom.json", &signed(&key, &statement(image.digest, SPDX, &sbom("MIT"))));
    record(&place, "sbom", "sbom.json").ends(0).says("signed by key");
    says(&place, "sbom", "pass", "app");
}

#[test]
fn a_deployment_may_be_recorded_with_what_its_tool_reported() {
    let (place, image) = asking("vulnerabilities: {fail_on: high}", &[]);
    place.write("report.txt", "changed=3 failed=0\n");
    let digest = image.digest.to_string();
    let arguments = ["record", "deployment", "--in", "staging", "--digest", &digest, "--file", "report.txt"];
    place.run(&arguments).ends(0);
    place.audited();
}
