//! What a promotion attests, as a host, a pipeline and somebody without the log see it.

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_domain::{
    attestation::{EXTENSION, PREDICATE_TYPE},
    digest::Digest,
    freeze::HoldScope,
};
use serde_json::Value;

use crate::{
    place::{Place, Ran},
    real, real_registry,
};

/// A place whose production attests by `promotion.pub`, the private half of which lies beside the log; with these further edits.
pub(crate) fn attesting(edits: &[(&str, &str)]) -> Place {
    let place = Place::new();
    place.run(&["keys", "generate"]).ends(0).says("attest: {key: promotion.pub}");
    let production = "    from: staging\n";
    place.edit(production, &format!("{production}    attest: {{key: promotion.pub}}\n"));
    for (from, to) in edits {
        place.edit(from, to);
    }
    place.run(&["init"]).ends(0);
    place
}

fn image(place: &Place, digest: Digest) -> String {
    format!("{}/hello@{digest}", place.production.address())
}

/// `sealift attest verify`, without a configuration to be found.
fn verify(place: &Place, image: &str, more: &[&str]) -> Ran {
    let mut words = vec!["attest", "verify", image, "--config", "nowhere.yaml", "--key", "promotion.pub"];
    if !more.contains(&"--environment") {
        words.extend(["--environment", "production"]);
    }
    words.extend(more);
    place.run(&words)
}

#[test]
fn a_host_with_nothing_but_the_key_sees_what_was_admitted_and_what_was_verified() {
    let place = attesting(&[]);
    let digest = place.release("1.0.0");
    let image = image(&place, digest);
    verify(&place, &image, &[]).ends(0).says("ADMITTED_TO_PRODUCTION").says("the log was not asked");
    verify(&place, &image, &["--level", "verified"]).ends(0).says("VERIFIED_IN_PRODUCTION");
    // By a tag, too: it is read once.
    let tag = format!("{}/hello:main", place.production.address());
    let told = verify(&place, &tag, &["--output", "json"]).ends(0).json();
    assert_eq!((told["attested"].as_bool(), told["image"].as_str()), (Some(true), Some(image.as_str())));
    let statement = &told["statement"];
    assert_eq!(statement["predicateType"], PREDICATE_TYPE);
    assert_eq!(statement["predicate"]["verifiedLevels"][0], "ADMITTED_TO_PRODUCTION");
    let ledger = place.ledger();
    let promotion = ledger.promotions.values().rfind(|promotion| promotion.to.as_str() == "production").unwrap();
    let extension = &statement["predicate"][EXTENSION];
    assert_eq!(extension["promotion"], promotion.id.0);
    assert_eq!(extension["approvals"][0]["person"], "ana");
    let attested = promotion.attested.as_ref().unwrap();
    assert_eq!(extension["log"]["index"], attested.authorised_by.unwrap());
    let admitted = attested.admitted.values().next().unwrap();
    assert_eq!(told["statement_digest"], admitted.statement.to_string());
    place
        .run(&["attest", "verify", &image, "--environment", "production", "--key", "promotion.pub", "--log"])
        .ends(0)
        .says("the log stands by it");
    place.audited();
}

#[test]
fn attack_26_for_another_environment_by_another_key_or_of_another_image_there_is_none() {
    let place = attesting(&[]);
    let digest = place.release("1.0.0");
    let good = image(&place, digest);
    place.run(&["keys", "generate", "--out", "other.key"]).ends(0);
    let words = ["attest", "verify", &good, "--environment", "production", "--key", "other.pub"];
    place.run(&words).ends(3).says("E0802").says("it is signed by none of the keys");
    verify(&place, &good, &["--environment", "staging"])
        .ends(3)
        .says("it is for the environment `production`, not `staging`");
    // Staging does not attest, and nothing is attested of its copy of the same image.
    let in_staging = format!("{}/hello@{digest}", place.staging.address());
    verify(&place, &in_staging, &[]).ends(3).says("there is none at all");
    // The attestation goes along with a copy to another repository, and is none there.
    let elsewhere = format!("{}/elsewhere:main", place.production.address());
    place.run(&["copy", &good, &elsewhere]).ends(0);
    let copied = format!("{}/elsewhere@{digest}", place.production.address());
    verify(&place, &copied, &[]).ends(3).says("it is for the image in");
    verify(&place, &format!("{}/hello:gone", place.production.address()), &[]).ends(9).says("E0301");
    verify(&place, &good, &["--key", "sealift.yaml"]).ends(2).says("is no public key");
}

#[test]
fn without_the_key_nothing_is_copied_and_the_same_command_goes_on_with_it() {
    let place = attesting(&[]);
    place.release("1.0.0");
    let digest = place.build("1.1.0");
    place.to_staging();
    place.request();
    place.approve();
    let (key, away) = (place.path(".sealift/promotion.key"), place.path("away.key"));
    place.run(&["plan", "--to", "production"]).says("with the promotion key, which is at hand");
    std::fs::rename(&key, &away).unwrap();
    place.run(&["plan", "--to", "production"]).says("not at hand here [E0801]");
    place.production.clear_log();
    place.run(&["promote", "--to", "production"]).ends(2).says("E0801").says("SEALIFT_PROMOTION_KEY");
    assert!(place.production.manifest("hello", digest).is_none(), "it was copied");
    // Another key is no better, and a file that others can read is not read.
    place.run(&["keys", "generate", "--out", "other.key"]).ends(0);
    let other = std::fs::read_to_string(place.path("other.key")).unwrap();
    let promote = ["promote", "--to", "production"];
    let refused = place.run_with(&promote, &[("SEALIFT_PROMOTION_KEY", &other)]);
    refused.ends(2).says("is none that the policy takes");
    let middle = other.lines().nth(1).unwrap();
    assert!(!refused.stderr.contains(middle), "the key is shown");
    std::fs::copy(&away, &key).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    place.run(&promote).ends(2).says("others can read it");
    std::fs::remove_file(&key).unwrap();
    let right = std::fs::read_to_string(&away).unwrap();
    place.run_with(&promote, &[("SEALIFT_PROMOTION_KEY", &right)]).ends(0);
    verify(&place, &image(&place, digest), &["--level", "verified"]).ends(0);
}

#[test]
fn what_fails_is_held_and_its_admission_is_withdrawn() {
    let place = attesting(&[]);
    let before = place.release("1.0.0");
    let digest = place.build_broken("1.1.0");
    place.to_staging();
    place.request();
    place.approve();
    let ran = place.run(&["promote", "--to", "production"]);
    ran.ends(6);
    verify(&place, &image(&place, digest), &[]).ends(3).says("there is none at all");
    verify(&place, &image(&place, before), &["--level", "verified"]).ends(0);
    assert!(place.ledger().holds.contains_key(&HoldScope::Digest(digest)));
    // A hold that comes later is seen by whoever asks the log.
    place.run(&["hold", "place", &before.to_string(), "--reason", "it leaks"]).ends(0);
    let asked = image(&place, before);
    verify(&place, &asked, &[]).ends(0);
    let words = ["attest", "verify", &asked, "--environment", "production", "--key", "promotion.pub", "--log"];
    place.run(&words).ends(3).says("on hold").says("it leaks");
    place.audited();
}

#[test]
fn a_key_is_replaced_while_both_count() {
    let place = attesting(&[]);
    let first = place.release("1.0.0");
    let told = place.run(&["keys", "rotate", "--out", "new.key"]);
    told.ends(0).says("both keys").says("sealift policy accept");
    place.edit("attest: {key: promotion.pub}", "attest: {keys: [new.pub, promotion.pub]}");
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    place.write("sealift.yaml", &format!("{text}attest: {{private_key: new.key}}\n"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(place.path("new.key")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    place.run(&["keys", "show"]).ends(0).says("for production");
    let second = place.release("1.1.0");
    let by = |digest: Digest, keys: &[&str]| {
        let image = image(&place, digest);
        let mut words = vec!["attest", "verify", &image, "--environment", "production"];
        words.extend(keys.iter().flat_map(|key| ["--key", key]));
        place.run(&words)
    };
    by(first, &["new.pub"]).ends(3);
    by(second, &["promotion.pub"]).ends(3);
    for digest in [first, second] {
        by(digest, &["new.pub", "promotion.pub"]).ends(0);
    }
    place.run(&["keys", "rotate", "--out", "new.key"]).ends(2).says("E0801");
}

#[test]
fn the_envelope_is_exported_as_it_was_signed() {
    let place = attesting(&[("attest: {key: promotion.pub}", "attest: {key: promotion.pub, legacy_att: true}")]);
    let digest = place.release("1.0.0");
    let image = image(&place, digest);
    let words =
        ["attest", "export", &image, "--environment", "production", "--key", "promotion.pub", "--out", "vsa.json"];
    place.run(&words).ends(0);
    let envelope = std::fs::read(place.path("vsa.json")).unwrap();
    let read: Value = serde_json::from_slice(&envelope).unwrap();
    assert_eq!(read["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(read["signatures"].as_array().unwrap().len(), 1);
    assert!(read["signatures"][0].get("keyid").is_none(), "nobody could believe it");
    // The same bytes lie under the tag that cosign 2 reads.
    let tag = format!("sha256-{}.att", digest.hex());
    let tags = place.production.tags("hello");
    assert!(tags.iter().any(|(name, _)| *name == tag), "{tags:?}");
    assert_eq!(place.production.blob("hello", Digest::of(&envelope)).unwrap(), envelope);
}

#[test]
fn no_command_of_others_is_given_the_key() {
    let check = r#"{run: [sh, -c, "env > seen"], within: 10s}"#;
    let place = Place::new();
    place.run(&["keys", "generate"]).ends(0);
    let from = "    from: staging\n";
    place.edit(from, &format!("{from}    attest: {{key: promotion.pub}}\n"));
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    place.write("sealift.yaml", &format!("{text}      - {check}\n"));
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place.request();
    place.approve();
    let key = std::fs::read_to_string(place.path(".sealift/promotion.key")).unwrap();
    std::fs::remove_file(place.path(".sealift/promotion.key")).unwrap();
    place.run_with(&["promote", "--to", "production"], &[("SEALIFT_PROMOTION_KEY", &key), ("SEEN", "yes")]).ends(0);
    let seen = std::fs::read_to_string(place.path("seen")).unwrap();
    assert!(seen.contains("SEEN=yes"), "{seen}");
    assert!(!seen.contains("PRIVATE KEY") && !seen.contains("SEALIFT_PROMOTION_KEY"), "{seen}");
}

#[test]
fn a_new_configuration_attests_what_enters_production() {
    let place = Place::new();
    std::fs::remove_file(place.path("sealift.yaml")).unwrap();
    let staging = format!("{}/hello", place.staging.address());
    // What cannot be written leaves no key behind.
    place.write("no-key.pub", "no key");
    let broken = ["init", "--app", "hello", "--staging", &staging, "--approver", "ana", "--ssh-key", "no-key.pub"];
    place.run(&broken).ends(2);
    assert!(!place.path("promotion.pub").exists() && !place.path(".sealift/promotion.key").exists());
    place.run(&["init", "--app", "hello", "--staging", &staging]).ends(0).says("promotion.key");
    place.run(&["keys", "show"]).ends(0).says("for production");
    let mode = std::fs::metadata(place.path(".sealift/promotion.key")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(place.path(".sealift/.gitignore")).unwrap(), "*\n");
    let ledger = place.ledger();
    let attesting = ledger.policy.as_ref().unwrap().environments.iter().filter(|(_, rules)| rules.attest.is_some());
    assert_eq!(attesting.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["production"]);
}

/// Whoever trusts nothing of ours puts together what DSSE says is signed, and asks OpenSSL.
#[test]
fn the_exported_envelope_is_verified_by_openssl() {
    let test = "attest::the_exported_envelope_is_verified_by_openssl";
    if !real::is_complete(test, &real::absent(&["openssl"])) {
        return;
    }
    let place = attesting(&[]);
    let image = image(&place, place.release("1.0.0"));
    let words = ["attest", "export", &image, "--environment", "production", "--key", "promotion.pub"];
    let exported = place.run(&words);
    let envelope: Value = serde_json::from_str(&exported.ends(0).stdout).unwrap();
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let (kind, payload) = (envelope["payloadType"].as_str().unwrap(), bytes(&envelope["payload"]));
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    std::fs::write(place.path("signature"), bytes(&envelope["signatures"][0]["sig"])).unwrap();
    let verifies = |signed: Vec<u8>| {
        std::fs::write(place.path("signed"), signed).unwrap();
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-verify", "promotion.pub", "-signature", "signature", "signed"]);
        openssl.current_dir(place.path(".")).output().unwrap().status.success()
    };
    assert!(verifies([head.as_bytes(), &payload].concat()));
    assert!(!verifies([head.as_bytes(), &payload, b" "].concat()), "one byte more is another statement");
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["predicate"]["verifiedLevels"], serde_json::json!(["ADMITTED_TO_PRODUCTION"]));
}

#[test]
fn a_real_registry_without_a_list_of_referrers_has_the_attestation_under_its_fallback_tag() {
    if !real_registry::are_there(
        "a_real_registry_without_a_list_of_referrers_has_the_attestation_under_its_fallback_tag",
    ) {
        return;
    }
    let real = real_registry::RealRegistry::start();
    let place = Place::new();
    place.run(&["keys", "generate"]).ends(0);
    let (production, address) = ("    from: staging\n", place.production.address().to_string());
    place.edit(production, &format!("{production}    attest: {{key: promotion.pub}}\n"));
    place.edit(&format!("image: {address}/hello"), &format!("image: {}/hello", real.address()));
    place.run(&["init"]).ends(0);
    let digest = place.release("1.0.0");
    let image = format!("{}/hello@{digest}", real.address());
    verify(&place, &image, &["--level", "verified"]).ends(0);
}

/// The same by programs that are not ours: Python's `cryptography` the envelope, Sigstore's own verifier the bundle.
#[test]
fn the_attestation_is_verified_by_python_and_by_sigstores_own_program() {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(std::path::PathBuf::from);
    let target = target.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target").into());
    let tools = target.join("tools/evidence");
    let test = "attest::the_attestation_is_verified_by_python_and_by_sigstores_own_program";
    let made = tools.join("made-from").is_file();
    let absent: Vec<String> = (!made).then(|| "scripts/evidence-tools".to_owned()).into_iter().collect();
    if !real::is_complete(test, &absent) {
        return;
    }
    let place = attesting(&[]);
    let image = image(&place, place.release("1.0.0"));
    let exported = place.run(&["attest", "export", &image, "--environment", "production", "--key", "promotion.pub"]);
    place.write("envelope.json", &exported.ends(0).stdout);
    let material = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/material");
    let run = |program: &std::path::Path, script: &str, words: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.arg(material.join(script)).args(words).env("NODE_PATH", tools.join("node_modules"));
        command.current_dir(place.path(".")).output().unwrap()
    };
    let python = run(&tools.join("venv/bin/python"), "check.py", &["envelope.json", "promotion.pub"]);
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let statement: Value = serde_json::from_slice(&python.stdout).unwrap();
    assert_eq!(statement["predicateType"], "https://slsa.dev/verification_summary/v1");

    let bundles = place.production.blobs("hello").into_iter().filter_map(|(_, blob)| {
        let bundle: Value = serde_json::from_slice(&blob).ok()?;
        bundle["verificationMaterial"]["publicKey"]["hint"].as_str().map(|hint| (hint.to_owned(), blob))
    });
    let bundles: Vec<_> = bundles.collect();
    assert_eq!(bundles.len(), 2, "admitted and verified");
    for (hint, bundle) in bundles {
        std::fs::write(place.path("bundle.json"), &bundle).unwrap();
        let node = run("node".as_ref(), "check.cjs", &["bundle.json", "--key", "promotion.pub", &hint]);
        assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
        let altered = String::from_utf8(bundle.to_vec()).unwrap().replacen("\"payload\":\"ey", "\"payload\":\"eY", 1);
        std::fs::write(place.path("bundle.json"), altered).unwrap();
        let node = run("node".as_ref(), "check.cjs", &["bundle.json", "--key", "promotion.pub", &hint]);
        assert!(!node.status.success(), "one byte less is another statement");
    }
}
