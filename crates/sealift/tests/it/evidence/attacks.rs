//! Evidence that is foreign, unsigned, old, or by the wrong one. The numbers are those of `docs/security.md`.

use jiff::{SignedDuration, Timestamp};
use sealift::demo::images;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::RawManifest;
use sealift_evidence::signing::PromotionKey;
use sealift_registry::{
    evidence::{REFERENCE_TYPE, STATEMENT},
    image::{Builder, Built, Layer},
    manifest::{OCI_INDEX, OCI_MANIFEST},
};
use serde_json::{Value, json};

use super::{
    PROVENANCE, SIGNED, SPDX, VEX, VULN, asking, attach, attest, image, provenance, publish, says, sbom, signed,
    statement, trivy, vex, vuln,
};
use crate::place::Place;

/// An index of two platforms, with what BuildKit would put beside them, in staging's registry.
fn index(place: &Place, embedded: Option<&Value>) -> (Built, Vec<Built>) {
    let (amd, arm) = (image("1.0.0"), images::service("1.0.0", None).platform("linux", "riscv64", None).build());
    let mut listed: Vec<Value> = Vec::new();
    for (built, architecture) in [(&amd, "amd64"), (&arm, "riscv64")] {
        place.staging.push("hello", built, None);
        let platform = json!({"os": "linux", "architecture": architecture});
        listed.push(
            json!({"mediaType": OCI_MANIFEST, "digest": built.digest, "size": size(built), "platform": platform}),
        );
    }
    if let Some(embedded) = embedded {
        let child = Builder::new().layer(Layer::of_type(STATEMENT, embedded.to_string())).build();
        place.staging.push("hello", &child, None);
        let annotations = json!({REFERENCE_TYPE: "attestation-manifest", "vnd.docker.reference.digest": amd.digest});
        let platform = json!({"os": "unknown", "architecture": "unknown"});
        listed.push(json!({
            "mediaType": OCI_MANIFEST, "digest": child.digest, "size": size(&child), "platform": platform,
            "annotations": annotations,
        }));
    }
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).to_string();
    let raw = RawManifest { digest: Digest::of(body.as_bytes()), bytes: body.into(), media_type: OCI_INDEX.to_owned() };
    let index = Built::of(raw.clone());
    place.staging.put_manifest("hello", raw, Some("1.0.0"));
    let name = format!("{}/hello:1.0.0", place.staging.address());
    place.run(&["record", "build", &name]).ends(0);
    (index, vec![amd, arm])
}

fn size(built: &Built) -> usize {
    built.root().unwrap().bytes.len()
}

/// A place whose production asks for these gates, with nothing in staging yet.
fn bare(gates: &str, keys: &[(&str, &PromotionKey)]) -> Place {
    let place = Place::new();
    for (name, key) in keys {
        publish(&place, name, key);
    }
    place.edit("gates: {max_size", &format!("gates: {{{gates}, max_size"));
    place.run(&["init"]).ends(0);
    place
}

#[test]
fn attack_07_evidence_for_another_digest_blocks_and_is_called_foreign() {
    let key = PromotionKey::generate().unwrap();
    let (place, image) = asking("provenance: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    let other = Digest::of(b"another image");
    attach(&place, &image, &signed(&key, &statement(other, PROVENANCE, &provenance(&images::commit("1.0.0")))));
    says(&place, "provenance", "error", "is foreign");
}

#[test]
fn attack_08_evidence_about_one_platform_or_about_the_index_covers_no_other_platform() {
    let key = PromotionKey::generate().unwrap();
    let place =
        bare("sbom: {by: {key: ci.pub}}, vulnerabilities: {by: {key: ci.pub}, fail_on: high}", &[("ci.pub", &key)]);
    let (index, platforms) = index(&place, None);
    place.to_staging();
    let now = Timestamp::now();
    // Of the index alone.
    attest(&place, &key, &index, SPDX, &sbom("MIT"));
    attest(&place, &key, &index, VULN, &vuln(index.digest, now, &[]));
    says(&place, "sbom", "fail", "covers no platform");
    says(&place, "vulnerabilities", "fail", "covers no platform");
    // Of one platform.
    attest(&place, &key, &platforms[0], SPDX, &sbom("MIT"));
    attest(&place, &key, &platforms[0], VULN, &vuln(platforms[0].digest, now, &[]));
    says(&place, "sbom", "fail", "linux/riscv64");
    says(&place, "vulnerabilities", "fail", "linux/riscv64");
    // Of each.
    attest(&place, &key, &platforms[1], SPDX, &sbom("MIT"));
    attest(&place, &key, &platforms[1], VULN, &vuln(platforms[1].digest, now, &[]));
    says(&place, "sbom", "pass", "app");
    says(&place, "vulnerabilities", "pass", "app");
}

#[test]
fn attack_08_a_scan_that_was_asked_for_an_index_is_about_the_platform_whose_configuration_it_names() {
    let place = bare("vulnerabilities: {fail_on: high}", &[]);
    let (index, platforms) = index(&place, None);
    place.to_staging();
    let name = format!("{}/hello:1.0.0", place.staging.address());
    for (nth, platform) in platforms.iter().enumerate() {
        let config: Value = serde_json::from_slice(&platform.root().unwrap().bytes).unwrap();
        let mut report = trivy(index.digest, Timestamp::now(), &[]);
        report["Metadata"]["ImageID"] = config["config"]["digest"].clone();
        place.write("scan.json", &report.to_string());
        place.run(&["record", "scan", &name, "--file", "scan.json"]).ends(0);
        if nth == 0 {
            says(&place, "vulnerabilities", "fail", "linux/riscv64");
        }
    }
    says(&place, "vulnerabilities", "pass", "app");
}

#[test]
fn attack_12_an_attestation_by_the_trusted_key_is_no_signature_and_a_signature_no_provenance() {
    let key = PromotionKey::generate().unwrap();
    let gates = "signature: {key: ci.pub}, provenance: {by: {key: ci.pub}}";
    let (place, image) = asking(gates, &[("ci.pub", &key)]);
    attest(&place, &key, &image, SPDX, &sbom("MIT"));
    says(&place, "signature", "fail", "is not signed");
    attest(&place, &key, &image, SIGNED, &provenance(&images::commit("1.0.0")));
    says(&place, "signature", "pass", "app: signed");
    says(&place, "provenance", "fail", "has no provenance");
}

#[test]
fn attack_13_what_nobody_signed_counts_only_in_a_signed_index_and_never_as_a_referrer() {
    let key = PromotionKey::generate().unwrap();
    let (place, image) = asking("provenance: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    let unsigned = statement(image.digest, PROVENANCE, &provenance(&images::commit("1.0.0"))).to_string();
    let referrer = Builder::new().subject(&image).layer(Layer::of_type(STATEMENT, unsigned)).build();
    place.staging.push("hello", &referrer, None);
    says(&place, "provenance", "fail", "proves nothing");
    // Not even beside an image that is signed.
    attest(&place, &key, &image, SIGNED, &json!({}));
    says(&place, "provenance", "fail", "proves nothing");
}

#[test]
fn attack_13_in_an_index_it_is_as_good_as_the_signature_over_that_index() {
    let key = PromotionKey::generate().unwrap();
    let place = bare("provenance: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    let (amd, arm) = (image("1.0.0"), images::service("1.0.0", None).platform("linux", "riscv64", None).build());
    let mut embedded = statement(amd.digest, PROVENANCE, &provenance(&images::commit("1.0.0")));
    embedded["subject"] = json!([{"name": "a", "digest": {"sha256": amd.digest.hex()}}, {"name": "b", "digest": {"sha256": arm.digest.hex()}}]);
    let (index, platforms) = index(&place, Some(&embedded));
    place.to_staging();
    says(&place, "provenance", "fail", "proves nothing");
    // A signature over one platform is none over the index.
    attest(&place, &key, &platforms[0], SIGNED, &json!({}));
    says(&place, "provenance", "fail", "proves nothing");
    attest(&place, &key, &index, SIGNED, &json!({}));
    says(&place, "provenance", "pass", "in the index");
}

#[test]
fn attack_14_evidence_that_is_withheld_blocks() {
    let key = PromotionKey::generate().unwrap();
    let (place, image) = asking("sbom: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    let attached = attest(&place, &key, &image, SPDX, &sbom("MIT"));
    says(&place, "sbom", "pass", "app");
    // The list still names it, and it is gone.
    place.staging.script(sealift_registry::server::script::Fault::new(
        &format!("*/manifests/{}", attached.digest),
        sealift_registry::server::script::status(404),
    ));
    says(&place, "sbom", "error", "cannot be read");
    place.staging.clear_script();
    // It is gone altogether.
    place.staging.remove_manifest("hello", attached.digest);
    says(&place, "sbom", "fail", "has no SBOM");
}

#[test]
fn attack_21_evidence_from_the_future_proves_nothing() {
    let key = PromotionKey::generate().unwrap();
    let gates = "vulnerabilities: {by: {key: scan.pub}, fail_on: high, max_age: 1d}";
    let (place, image) = asking(gates, &[("scan.pub", &key)]);
    let tomorrow = Timestamp::now() + SignedDuration::from_hours(24);
    attest(&place, &key, &image, VULN, &vuln(image.digest, tomorrow, &[]));
    says(&place, "vulnerabilities", "error", "clock");
}

#[test]
fn attack_22_a_stale_scan_and_a_vex_document_by_the_builder_do_not_count() {
    let (builder, security) = (PromotionKey::generate().unwrap(), PromotionKey::generate().unwrap());
    let gates = "vulnerabilities: {by: {key: ci.pub}, fail_on: high, max_age: 1d, vex: {by: {key: security.pub}}}";
    let (place, image) = asking(gates, &[("ci.pub", &builder), ("security.pub", &security)]);
    let old = Timestamp::now() - SignedDuration::from_hours(25);
    attest(&place, &builder, &image, VULN, &vuln(image.digest, old, &[]));
    says(&place, "vulnerabilities", "fail", "old");
    let now = Timestamp::now();
    attest(&place, &builder, &image, VULN, &vuln(image.digest, now, &[("CVE-2026-0001", "CRITICAL")]));
    attest(&place, &builder, &image, VEX, &vex(image.digest, "CVE-2026-0001"));
    says(&place, "vulnerabilities", "fail", "CVE-2026-0001");
    // For another image, by the right one.
    attest(&place, &security, &image, VEX, &vex(Digest::of(b"other"), "CVE-2026-0001"));
    says(&place, "vulnerabilities", "fail", "CVE-2026-0001");
    attest(&place, &security, &image, VEX, &vex(image.digest, "CVE-2026-0001"));
    says(&place, "vulnerabilities", "pass", "app");
}

#[test]
fn attack_22_the_builder_cannot_be_named_for_vex_as_well() {
    let place = Place::new();
    let key = PromotionKey::generate().unwrap();
    publish(&place, "ci.pub", &key);
    let gates = "gates: {vulnerabilities: {by: {key: ci.pub}, fail_on: high, vex: {by: {key: ci.pub}}}, max_size";
    place.edit("gates: {max_size", gates);
    place.run(&["init"]).ends(2).says("somebody else than `by`");
}

#[test]
fn attack_19_what_labels_and_annotations_say_never_reaches_a_shell() {
    let place = Place::new();
    let check = r#"      - {run: [sh, -c, 'printf "%s" "$1" > told', sh, "{version}"], within: 10s}
      - {http: "http://127.0.0.1:"#;
    let before = r#"      - {http: "http://127.0.0.1:"#;
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap().replacen(before, check, 1);
    // Its answer is the label's own text, so that check is left out.
    let text = text.replacen(r#", json: {status: ok, version: "{version}"}"#, "", 1);
    place.write("sealift.yaml", &text);
    place.run(&["init"]).ends(0);
    let evil = "$(touch pwned)`touch pwned`; touch pwned; ../../pwned {{ lookup('pipe', 'touch pwned') }}";
    let image = images::service("1.0.0", None)
        .label("org.opencontainers.image.version", evil)
        .annotation("org.opencontainers.image.title", "$(touch pwned)")
        .label("com.docker.compose.project", "../pwned")
        .build();
    place.record("1.0.0", &image);
    place.run(&["promote", "--to", "staging"]).ends(0);
    assert!(!place.path("pwned").exists(), "a label was run");
    let told = std::fs::read_to_string(place.path("told"));
    assert!(told.is_ok_and(|told| told == evil), "the check was given the label as one word, unchanged");
    place.run(&["status"]).ends(0);
    place.audited();
}

#[test]
fn attack_19_a_version_with_a_line_break_is_refused_and_a_tag_of_it_never_written() {
    let place = Place::new();
    place.edit(r#"tags: [staging, "staging-{commit7}"]"#, r#"tags: [staging, "v-{version}"]"#);
    place.run(&["init"]).ends(0);
    let push = |version: &str| {
        let image = images::service("1.0.0", None).label("org.opencontainers.image.version", version).build();
        place.staging.push("hello", &image, Some("evil"));
        place.run(&["record", "build", &format!("{}/hello:evil", place.staging.address())])
    };
    push("1.0.0\nrm -rf /").ends(2).says("printable");
    push("1.0.0/../../main").ends(0);
    place.run(&["promote", "--to", "staging"]).ends(9).says("E0411");
    let tags = place.staging.tags("hello");
    assert!(tags.iter().all(|(tag, _)| tag == "evil"), "{tags:?}");
}
