//! A release with every kind of evidence, all the way, and its judgement years later.

use sealift_domain::{
    event::{Event, PromotionChanged},
    gate::Verdict,
    promotion::{Judgement, PromotionEvent, PromotionId},
};
use sealift_engine::{book::Decision, replay};
use sealift_evidence::signing::PromotionKey;
use serde_json::json;

use super::{PROVENANCE, SIGNED, SPDX, VEX, VULN, attest, git, image, provenance, publish, says, sbom, vex, vuln};
use crate::place::Place;

const GATES: &str = r#"gates: {
      signature: {key: ci.pub},
      provenance: {by: {key: ci.pub}, builder: "https://example.com/*", source: "https://example.com/hello"},
      sbom: {by: {key: ci.pub}},
      licenses: {by: {key: ci.pub}, deny: [AGPL-3.0-only]},
      vulnerabilities: {by: {key: scan.pub}, fail_on: high, max_age: 1d, vex: {by: {key: security.pub}}},
      source_reachable: {branches: [main]},
      when: ["image.platforms.exists(p, p.platform.startsWith('linux/'))"],
      max_size"#;

#[test]
fn a_release_with_every_kind_of_evidence_is_promoted_and_its_judgement_repeated_from_the_log_alone() {
    let place = Place::new();
    let (ci, scanner, security) =
        (PromotionKey::generate().unwrap(), PromotionKey::generate().unwrap(), PromotionKey::generate().unwrap());
    for (name, key) in [("ci.pub", &ci), ("scan.pub", &scanner), ("security.pub", &security)] {
        publish(&place, name, key);
    }
    // The source, with one commit on main.
    let source = place.path("source");
    std::fs::create_dir(&source).unwrap();
    git(&source, &["init", "--quiet", "--initial-branch=main"]);
    let message =
        ["-c", "user.name=dan", "-c", "user.email=d@e.f", "commit", "--quiet", "--allow-empty", "-m", "first"];
    git(&source, &message);
    let commit = git(&source, &["rev-parse", "HEAD"]);

    place.edit("gates: {max_size", GATES);
    place.edit("source: https://example.com/hello", &format!("source: file://{}", source.display()));
    place.run(&["init"]).ends(0);
    let image = sealift::demo::images::service("1.0.0", None)
        .label("org.opencontainers.image.revision", &commit)
        .label("org.opencontainers.image.source", &format!("file://{}", source.display()))
        .build();
    place.record("1.0.0", &image);
    place.to_staging();

    // Nothing is proven yet, and every gate says what is missing and how to mend it.
    for gate in ["signature", "provenance", "sbom", "licenses", "vulnerabilities"] {
        says(&place, gate, "fail", "app ");
    }
    says(&place, "source_reachable", "pass", "main");
    says(&place, "when", "pass", "");
    place.run(&["explain", "production"]).ends(0).says("cosign sign --key").says("none about app");

    let now = jiff::Timestamp::now();
    attest(&place, &ci, &image, SIGNED, &json!({}));
    attest(&place, &ci, &image, PROVENANCE, &provenance(&commit));
    attest(&place, &ci, &image, SPDX, &sbom("Zlib"));
    attest(&place, &scanner, &image, VULN, &vuln(image.digest, now, &[("CVE-2026-0001", "HIGH")]));
    says(&place, "vulnerabilities", "fail", "CVE-2026-0001");
    attest(&place, &security, &image, VEX, &vex(image.digest, "CVE-2026-0001"));
    for gate in ["signature", "provenance", "sbom", "licenses", "vulnerabilities"] {
        says(&place, gate, "pass", "app");
    }
    let name = format!("{}/hello:1.0.0", place.staging.address());
    let explained = place.run(&["explain", &name, "--to", "production"]);
    explained.ends(0).says("EVIDENCE").says("SBOM, SPDX 2.3, 2 packages").says("VEX, statements: 1").says("the image");

    let id = place.request().to_string();
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(0);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    place.run(&["explain", &id]).ends(0).says("scan, ").says("approved by ana");

    // The registries and the source are gone; the log knows it all.
    for registry in [&place.staging, &place.production] {
        for raw in registry.manifests("hello") {
            registry.remove_manifest("hello", raw.digest);
        }
    }
    std::fs::remove_dir_all(&source).unwrap();
    let replayed = place.run(&["explain", &id, "--replay"]);
    replayed.ends(0).says("the same answer as stands in the log").says("signature").says("vulnerabilities");
    let json = place.run(&["explain", &id, "--replay", "--output", "json"]).ends(0).json();
    assert_eq!((&json["agrees"], json["differences"].as_array().map(Vec::len)), (&json!(true), Some(0)), "{json}");
    place.audited();
}

#[test]
fn evidence_that_lies_under_the_tag_of_cosign_2_counts_too() {
    let key = PromotionKey::generate().unwrap();
    let (place, image) = super::asking("sbom: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    let statement = super::statement(image.digest, SPDX, &sbom("MIT"));
    let envelope = key.sign_statement(statement.to_string().as_bytes()).unwrap();
    let layer =
        sealift_registry::image::Layer::of_type(sealift_registry::evidence::ENVELOPE, envelope.get().to_owned());
    let stored = sealift_registry::image::Builder::new().layer(layer).build();
    let tag = sealift_registry::evidence::attestation_tag(image.digest).unwrap().to_string();
    place.staging.push("hello", &stored, Some(&tag));
    says(&place, "sbom", "pass", "2 packages");
}

#[test]
fn a_judgement_that_was_never_made_cannot_be_repeated() {
    let place = Place::initialised();
    place.run(&["explain", "7", "--replay"]).ends(2).says("E0402");
    place.run(&["explain", "E0103", "--replay"]).ends(2).says("is no promotion");
    place.record("1.0.0", &image("1.0.0"));
    place.run(&["explain", "sha256:00", "--to", "staging"]).ends(2);
}

/// Writes the newest judgement of a promotion once more, after `change`.
fn judge_again(place: &Place, id: PromotionId, change: impl Fn(&mut Judgement)) {
    let session = place.session();
    let mut judgement = place.block_on(replay::recorded(&session.book, id)).unwrap().judgement;
    change(&mut judgement);
    let change = PromotionEvent::Judged(judgement);
    let changed = PromotionChanged { promotion: id, lease: None, cost: None, change };
    let written = session.book.commit(|_| {
        let event = Event::Promotion(Box::new(changed.clone()));
        Ok(Decision { drafts: vec![event.into()], value: () })
    });
    place.block_on(written).unwrap();
}

#[test]
fn a_judgement_that_does_not_follow_from_its_evidence_is_found_out_unless_the_gate_has_changed() {
    let key = PromotionKey::generate().unwrap();
    let (place, image) = super::asking("sbom: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    attest(&place, &key, &image, SPDX, &sbom("MIT"));
    let id = PromotionId(place.request());
    let name = id.to_string();
    place.run(&["explain", &name, "--replay"]).ends(0).says("the same answer");

    let said = |version: u32| {
        move |judgement: &mut Judgement| {
            let gate = judgement.gates.iter_mut().find(|gate| gate.gate == "sbom").unwrap();
            gate.version = version;
            gate.finding.verdict = Verdict::Pass { found: "app: 3 packages".to_owned() };
        }
    };
    // By a version of the gate that is not this one, another answer is no contradiction.
    judge_again(&place, id, said(0));
    place.run(&["explain", &name, "--replay"]).ends(0).says("what judges has changed since");
    judge_again(&place, id, said(1));
    let forged = place.run(&["explain", &name, "--replay"]);
    forged.ends(1).says("E0902").says("sbom").says("nothing explains it");
    // Evidence that approvals were not bound to.
    judge_again(&place, id, |judgement| {
        said(1)(judgement);
        let gate = judgement.gates.iter_mut().find(|gate| gate.gate == "sbom").unwrap();
        gate.finding.verdict = Verdict::Pass { found: "app: 2 packages on 1 platform".to_owned() };
        judgement.evidence = sealift_domain::digest::Digest::of(b"something else");
    });
    place.run(&["explain", &name, "--replay"]).ends(1).says("E0902");
}

#[test]
fn a_judgement_whose_evidence_is_gone_is_not_called_repeated() {
    let test = "evidence::road::a_judgement_whose_evidence_is_gone_is_not_called_repeated";
    if !crate::real::is_complete(test, &crate::real::absent(&["python3"])) {
        return;
    }
    let key = PromotionKey::generate().unwrap();
    let (place, image) = super::asking("sbom: {by: {key: ci.pub}}", &[("ci.pub", &key)]);
    attest(&place, &key, &image, SPDX, &sbom("MIT"));
    let name = place.request().to_string();
    place.run(&["explain", &name, "--replay"]).ends(0);
    let script = "import sqlite3, sys; log = sqlite3.connect(sys.argv[1]); \
                  gone = log.execute(\"delete from object where cast(bytes as text) like '%dsseEnvelope%'\").rowcount; \
                  log.commit(); sys.exit(gone != 1)";
    let log = place.path(".sealift/log.sqlite");
    let ran = std::process::Command::new("python3").args(["-c", script]).arg(log).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    place.run(&["explain", &name, "--replay"]).ends(1).says("E0902").says("gone");
}
