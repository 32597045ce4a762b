//! What nobody answers for proves nothing: properties of the gates of evidence, over whatever may lie beside an image.

use std::{fs, path::Path, sync::LazyLock};

use proptest::{collection::vec, prelude::*, sample::select};
use sealift_domain::gate::{Facts, Gates};
use serde_json::{Value, json};

const OURS: &str = "-----BEGIN PUBLIC KEY-----\nb3Vycw==\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nb3RoZXI=\n-----END PUBLIC KEY-----\n";
const SECURITY: &str = "-----BEGIN PUBLIC KEY-----\nc2VjdXJpdHk=\n-----END PUBLIC KEY-----\n";
const COMMIT: &str = "7a3f9c2000000000000000000000000000000000";

/// Every gate of evidence, with somebody whose signature counts; and, of those that have it, without.
fn configurations() -> Vec<(&'static str, Value)> {
    let by = json!({"key": OURS});
    vec![
        ("signature", by.clone()),
        ("sbom", json!({"by": by})),
        ("provenance", json!({"by": by})),
        ("licenses", json!({"by": by, "deny": ["GPL-3.0"]})),
        ("vulnerabilities", json!({"by": by, "fail_on": "critical", "vex": {"by": {"key": SECURITY}}})),
        ("sbom", json!("required")),
        ("provenance", json!({})),
        ("licenses", json!({"deny": ["GPL-3.0"]})),
        ("vulnerabilities", json!({"fail_on": "critical"})),
    ]
}

fn digest(of: &str) -> String {
    format!("sha256:{}", of.repeat(64))
}

/// The facts of a fixture that passes, with `evidence` in the place of its own.
fn facts(evidence: &[Value], platforms: usize) -> Facts {
    static PASSES: LazyLock<Value> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gate/fixtures/sbom/pass.json");
        let mut fixture: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        fixture["facts"].take()
    });
    let mut facts = PASSES.clone();
    let component = &mut facts["components"]["app"];
    component["evidence"] = json!({"known": evidence});
    component["image"]["known"]["platforms"].as_array_mut().unwrap().truncate(platforms);
    serde_json::from_value(facts).unwrap()
}

fn passes(gate: &str, config: &Value, facts: &Facts) -> bool {
    let gates: Gates = serde_json::from_value(json!({gate: config})).unwrap();
    gates.judge(facts).into_iter().find(|judged| judged.gate == gate).unwrap().passed()
}

/// Something that evidence may say.
fn claim() -> impl Strategy<Value = Value> {
    let packages = json!({"MIT": ["left-pad@1.3.0"]});
    let finding = json!({"id": "CVE-2026-1111", "severity": "critical", "package": "openssl", "version": "3.0.1"});
    let scan = |findings: Value| json!({"says": "scan", "scanner": "trivy", "scanned_at": "2026-01-02T06:00:00Z", "database_at": null, "findings": findings});
    let waiver = json!({"vulnerabilities": ["CVE-2026-1111"], "products": [], "status": "not_affected"});
    let provenance = |commit: Value| json!({"says": "provenance", "format": "https://slsa.dev/provenance/v1", "builder": "b", "build_type": null, "source": "https://github.com/acme/shop", "commit": commit, "run": null, "finished_at": null});
    select(vec![
        json!({"says": "signature"}),
        json!({"says": "sbom", "format": "SPDX 2.3", "tool": null, "created": null, "packages": 1, "licences": packages}),
        json!({"says": "sbom", "format": "SPDX 2.3", "tool": null, "created": null, "packages": 0, "licences": {}}),
        provenance(json!(COMMIT)),
        provenance(Value::Null),
        scan(json!([])),
        scan(json!([finding])),
        scan(Value::Null),
        json!({"says": "vex", "author": "security@acme.dev", "at": "2026-01-02T07:00:00Z", "statements": [waiver]}),
        json!({"says": "unreadable", "kind": "https://spdx.dev/Document"}),
        json!({"says": "unreadable", "kind": "rubbish"}),
        json!({"says": "other", "kind": "https://slsa.dev/verification_summary/v1"}),
    ])
}

/// Evidence by one of `signers` and from one of `origins`, about the image, a platform of it or something else.
fn evidence(signers: &'static [Option<&'static str>], origins: Vec<Value>) -> impl Strategy<Value = Value> {
    let subject = select(vec!["a", "1", "2", "c"]).prop_map(digest);
    (claim(), subject, select(signers), select(origins), select(vec!["5", "6", "7"])).prop_map(|(claim, subject, signer, origin, of)| {
        let signers: Vec<Value> = signer.iter().map(|key| json!({"is": "key", "key": key, "fingerprint": digest("f")})).collect();
        json!({"digest": digest(of), "form": "bundle", "origin": origin, "subjects": [subject], "signers": signers, "claim": claim})
    })
}

fn attached() -> Value {
    json!("attached")
}

fn in_index() -> Value {
    json!({"index": digest("4")})
}

fn recorded() -> Value {
    json!({"recorded": {"at": "2026-01-01T09:00:00Z", "receipt": digest("3")}})
}

/// Anything by anybody.
fn anything() -> impl Strategy<Value = Vec<Value>> {
    vec(evidence(&[None, Some(OURS), Some(OTHER), Some(SECURITY)], vec![attached(), in_index(), recorded()]), 0..8)
}

/// What somebody who may push can put beside an image without changing its digest.
fn unsigned() -> impl Strategy<Value = Vec<Value>> {
    vec(evidence(&[None, Some(OTHER)], vec![attached()]), 0..6)
}

#[test]
fn the_gates_pass_on_what_is_right_so_that_the_properties_say_something() {
    let signed = |claim: Value| json!({"digest": digest("5"), "form": "bundle", "origin": "attached", "subjects": [digest("a")], "signers": [{"is": "key", "key": OURS, "fingerprint": digest("f")}], "claim": claim});
    let all = [
        signed(json!({"says": "signature"})),
        signed(
            json!({"says": "sbom", "format": "SPDX 2.3", "tool": null, "created": null, "packages": 1, "licences": {"MIT": ["a@1"]}}),
        ),
        signed(
            json!({"says": "provenance", "format": "x", "builder": null, "build_type": null, "source": null, "commit": COMMIT, "run": null, "finished_at": null}),
        ),
        signed(json!({"says": "scan", "scanner": "trivy", "scanned_at": null, "database_at": null, "findings": []})),
    ];
    let facts = facts(&all, 1);
    for (gate, config) in &configurations()[..5] {
        assert!(passes(gate, config, &facts), "{gate}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn without_a_signer_whom_the_policy_names_nothing_passes(
        found in vec(evidence(&[None, Some(OTHER), Some(SECURITY)], vec![attached(), in_index(), recorded()]), 0..10),
        platforms in 1..3usize,
    ) {
        let facts = facts(&found, platforms);
        for (gate, config) in &configurations()[..5] {
            prop_assert!(!passes(gate, config, &facts), "{} passed", gate);
        }
    }

    #[test]
    fn where_nobody_is_named_only_what_was_handed_in_passes(
        found in vec(evidence(&[None, Some(OURS), Some(OTHER)], vec![attached(), in_index()]), 0..10),
        platforms in 1..3usize,
    ) {
        let facts = facts(&found, platforms);
        for (gate, config) in &configurations()[5..] {
            prop_assert!(!passes(gate, config, &facts), "{} passed", gate);
        }
    }

    #[test]
    fn what_is_put_beside_an_image_unsigned_changes_no_verdict(found in anything(), more in unsigned(), platforms in 1..3usize) {
        let (before, after) = (facts(&found, platforms), facts(&[found, more].concat(), platforms));
        for (gate, config) in &configurations() {
            prop_assert_eq!(passes(gate, config, &before), passes(gate, config, &after), "{}", gate);
        }
    }

    #[test]
    fn the_order_in_which_evidence_is_found_does_not_matter(found in anything(), platforms in 1..3usize) {
        let backwards: Vec<Value> = found.iter().rev().cloned().collect();
        let (one, other) = (facts(&found, platforms), facts(&backwards, platforms));
        for (gate, config) in &configurations() {
            prop_assert_eq!(passes(gate, config, &one), passes(gate, config, &other), "{}", gate);
        }
    }

    #[test]
    fn who_withholds_evidence_of_one_kind_never_makes_its_gate_pass(found in anything(), platforms in 1..3usize) {
        for (kind, says) in [("sbom", "sbom"), ("provenance", "provenance"), ("vulnerabilities", "scan"), ("signature", "signature")] {
            let left: Vec<Value> = found.iter().filter(|evidence| evidence["claim"]["says"] != says).cloned().collect();
            let facts = facts(&left, platforms);
            for (gate, config) in configurations().iter().filter(|(gate, _)| *gate == kind) {
                prop_assert!(!passes(gate, config, &facts), "{} passed without any {}", gate, says);
            }
        }
    }
}
