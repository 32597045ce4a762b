//! Evidence that keys signed, made by Python's `cryptography`: every kind of key and of wrapping, and what is not quite one.

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_domain::evidence::{Claim, Evidence, Form, Signer, Trust};
use sealift_evidence::{
    anchors::{AnchorError, Anchors},
    dsse::MAX_BYTES,
    public_key::PublicKey,
    read::{Found, read, sniff},
};
use serde_json::{Value, json};

use crate::material::{Material, believed, found, material};

const KINDS: [&str; 5] = ["p256", "p384", "p384-sha256", "rsa", "ed25519"];
const NO_KEY: &str = "no trusted key made its signature over these bytes";

/// The fingerprints of the keys that signed.
fn signers(evidence: &Evidence) -> Vec<String> {
    let fingerprint = |signer: &Signer| match signer {
        Signer::Key { key, fingerprint } => {
            assert_eq!(PublicKey::from_pem(key.pem()).unwrap().fingerprint(), *fingerprint);
            fingerprint.hex()
        }
        Signer::Certificate(_) => panic!("{evidence:?}"),
    };
    evidence.signers.iter().map(fingerprint).collect()
}

fn fingerprint(material: &Material, kind: &str) -> String {
    PublicKey::from_pem(&material.text(&format!("{kind}.pub"))).unwrap().fingerprint().hex()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// A character of a base64 text, changed for another that changes what it says.
fn altered(text: &Value) -> Value {
    let text = text.as_str().unwrap();
    let other = if &text[8..9] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &text[..8], &text[9..]).into()
}

fn assert_nobody(evidence: &Evidence, why: &str) {
    assert_eq!(evidence.signers, [], "{evidence:?}");
    assert!(evidence.why_not.as_deref().is_some_and(|found| found.contains(why)), "{why}: {evidence:?}");
}

#[test]
fn every_kind_of_key_is_believed_in_every_wrapping_and_only_where_it_is_trusted() {
    let Some(material) = material("every_kind_of_key_is_believed") else { return };
    for kind in KINDS {
        let right = [material.keys(&[kind])];
        let others: Vec<&str> = KINDS.into_iter().filter(|other| *other != kind).collect();
        let wrong = [material.keys(&others)];
        for (form, name) in [(Form::Envelope, "dsse"), (Form::Bundle, "bundle"), (Form::Bundle, "message")] {
            let bytes = material.bytes(&format!("{kind}.{name}.json"));
            assert_eq!(sniff(&bytes), form);
            let evidence = believed(form, &bytes, &right);
            assert_eq!(evidence.claim, Claim::Signature, "{kind} {name}");
            assert!(evidence.is_about(material.subject()) && evidence.subjects.len() == 1, "{kind} {name}");
            assert_nobody(&believed(form, &bytes, &wrong), NO_KEY);
            assert_nobody(&believed(form, &bytes, &[]), NO_KEY);
            // Over a digest alone nobody can verify what was hashed in another way.
            if name == "message" && ["p384", "ed25519"].contains(&kind) {
                assert_nobody(&evidence, NO_KEY);
                continue;
            }
            assert_eq!(
                (signers(&evidence), &evidence.why_not),
                (vec![fingerprint(material, kind)], &None),
                "{kind} {name}"
            );
        }
    }
}

#[test]
fn signatures_of_cosign_2_are_believed_and_only_over_their_payload() {
    let Some(material) = material("signatures_of_cosign_2") else { return };
    let payload = material.bytes("simple.json");
    for kind in KINDS {
        let signature = material.text(&format!("{kind}.simple.sig"));
        let read = |payload: &[u8], signature: Option<&str>, trust: Trust| {
            read(&Found { signature, ..found(Form::SimpleSigning, payload) }, &Anchors::new([&trust]).unwrap())
        };
        let evidence = read(&payload, Some(&signature), material.keys(&[kind]));
        assert_eq!((&evidence.claim, evidence.is_about(material.subject())), (&Claim::Signature, true), "{kind}");
        assert_eq!(signers(&evidence), [fingerprint(material, kind)]);
        assert_eq!(evidence.digest, sealift_domain::digest::Digest::of(&payload));
        assert_nobody(&read(&payload, None, material.keys(&[kind])), "without its signature");
        assert_nobody(&read(&payload, Some("?"), material.keys(&[kind])), NO_KEY);
        let spaced = [&payload[..], b" "].concat();
        assert_nobody(&read(&spaced, Some(&signature), material.keys(&[kind])), NO_KEY);
        let other = if kind == "rsa" { "p256" } else { "rsa" };
        assert_nobody(&read(&payload, Some(&signature), material.keys(&[other])), NO_KEY);
    }
}

#[test]
fn what_was_altered_is_signed_by_nobody() {
    let Some(material) = material("what_was_altered") else { return };
    let trust = [material.keys(&["p256"])];
    let (envelope, bundle) = (material.json("p256.dsse.json"), material.json("p256.bundle.json"));
    for at in ["/payload", "/signatures/0/sig"] {
        let mut envelope = envelope.clone();
        let part = envelope.pointer_mut(at).unwrap();
        *part = altered(part);
        let (mut bundle, own) = (bundle.clone(), envelope.clone());
        assert_eq!(believed(Form::Envelope, &bytes(&envelope), &trust).signers, [], "{at}");
        bundle["dsseEnvelope"] = own;
        assert_eq!(believed(Form::Bundle, &bytes(&bundle), &trust).signers, [], "{at}");
    }
    let mut message = material.json("p256.message.json");
    message["messageSignature"]["messageDigest"]["digest"] = STANDARD.encode([7; 32]).into();
    let evidence = believed(Form::Bundle, &bytes(&message), &trust);
    assert!(!evidence.is_about(material.subject()));
    assert_nobody(&evidence, NO_KEY);
}

#[test]
fn only_what_was_signed_as_a_statement_is_one() {
    let Some(material) = material("only_what_was_signed_as_a_statement") else { return };
    let trust = [material.keys(&["p256"])];
    for name in ["confused.simple.json", "confused.plain.json"] {
        let mut envelope = material.json(name);
        let evidence = believed(Form::Envelope, &bytes(&envelope), &trust);
        assert!(matches!(evidence.claim, Claim::Unreadable { .. }), "{evidence:?}");
        assert_nobody(&evidence, "its payload is not said to be `application/vnd.in-toto+json`");
        // The signature is over the type, too.
        envelope["payloadType"] = "application/vnd.in-toto+json".into();
        assert_nobody(&believed(Form::Envelope, &bytes(&envelope), &trust), NO_KEY);
    }
    assert_nobody(&believed(Form::Envelope, &material.bytes("confused.bare.json"), &trust), NO_KEY);
    // A payload of cosign 2 for a statement, a statement for a payload.
    let statement = material.bytes("statement.json");
    let sig = material.json("confused.bare.json")["signatures"][0]["sig"].as_str().unwrap().to_owned();
    let payload = Found { signature: Some(&sig), ..found(Form::SimpleSigning, &statement) };
    let evidence = read(&payload, &Anchors::new(&trust).unwrap());
    assert_eq!(evidence.signers.len(), 1, "it did sign that");
    assert!(matches!(evidence.claim, Claim::Unreadable { .. }) && evidence.subjects.is_empty(), "{evidence:?}");
}

#[test]
fn of_two_signatures_each_counts_for_its_own_key() {
    let Some(material) = material("of_two_signatures") else { return };
    let two = material.bytes("two.dsse.json");
    for kind in ["p256", "ed25519"] {
        let evidence = believed(Form::Envelope, &two, &[material.keys(&[kind])]);
        assert_eq!(signers(&evidence), [fingerprint(material, kind)]);
    }
    let both = believed(Form::Envelope, &two, &[material.keys(&["p256"]), material.keys(&["ed25519", "rsa", "p256"])]);
    assert_eq!(both.signers.len(), 2);
    assert!(
        both.signed_by(&material.keys(&["ed25519"])).is_some() && both.signed_by(&material.keys(&["rsa"])).is_none()
    );
    // In a bundle there is one, so that nobody asks which.
    let mut bundle = material.json("p256.bundle.json");
    bundle["dsseEnvelope"] = material.json("two.dsse.json");
    assert_nobody(&believed(Form::Bundle, &bytes(&bundle), &[material.keys(&["p256"])]), "more than one signature");
    // The same one sixteen times is one signer, seventeen are too many, none are too few.
    let mut envelope = material.json("p256.dsse.json");
    let one = envelope["signatures"][0].clone();
    for (number, signers) in [(16, 1), (17, 0), (0, 0)] {
        envelope["signatures"] = vec![one.clone(); number].into();
        let evidence = believed(Form::Envelope, &bytes(&envelope), &[material.keys(&["p256"])]);
        assert_eq!(evidence.signers.len(), signers, "{number}");
    }
}

#[test]
fn base64_is_read_as_the_specification_permits() {
    let Some(material) = material("base64_is_read") else { return };
    let evidence = believed(Form::Envelope, &material.bytes("url-safe.dsse.json"), &[material.keys(&["p256"])]);
    assert_eq!(evidence.signers.len(), 1);
}

#[test]
fn a_bundle_by_a_key_needs_no_log_and_is_not_harmed_by_one() {
    let Some(material) = material("a_bundle_by_a_key_needs_no_log") else { return };
    let trust = [material.keys(&["logged"])];
    let mut bundle = material.json("logged.bundle.json");
    assert_eq!(bundle["verificationMaterial"]["tlogEntries"].as_array().unwrap().len(), 1);
    assert_eq!(believed(Form::Bundle, &bytes(&bundle), &trust).signers.len(), 1);
    for version in ["0.1", "0.2", "0.3"] {
        bundle["mediaType"] = format!("application/vnd.dev.sigstore.bundle+json;version={version}").into();
        assert_eq!(believed(Form::Bundle, &bytes(&bundle), &trust).signers.len(), 1, "{version}");
    }
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_eq!(believed(Form::Bundle, &bytes(&bundle), &trust).signers.len(), 1);
    bundle["verificationMaterial"]["tlogEntries"] = vec![json!({}); 33].into();
    assert_nobody(&believed(Form::Bundle, &bytes(&bundle), &trust), "more than 32");
}

#[test]
fn a_bundle_that_is_not_quite_one_says_why() {
    let Some(material) = material("a_bundle_that_is_not_quite_one") else { return };
    let trust = [material.keys(&["p256"])];
    let signature = material.json("p256.message.json")["messageSignature"].clone();
    let cases: [(&str, Value, &str); 9] = [
        ("/mediaType", "application/vnd.dev.sigstore.bundle.v0.4+json".into(), "`mediaType`"),
        ("/mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.4".into(), "`mediaType`"),
        ("/mediaType", json!(3), "no Sigstore bundle"),
        ("/verificationMaterial", json!({}), "either a key or a certificate"),
        ("/verificationMaterial", json!({"publicKey": {}, "certificate": {}}), "either a key or a certificate"),
        ("/dsseEnvelope", Value::Null, "either an envelope or"),
        ("/dsseEnvelope/payload", "%".into(), "a signature is damaged"),
        ("/dsseEnvelope/signatures/0/sig", "A".repeat(5000).into(), "a signature is damaged"),
        ("/dsseEnvelope/payloadType", "text/plain".into(), "its payload is not said to be"),
    ];
    for (at, value, why) in cases {
        let mut bundle = material.json("p256.bundle.json");
        *bundle.pointer_mut(at).unwrap() = value;
        let evidence = believed(Form::Bundle, &bytes(&bundle), &trust);
        assert!(matches!(evidence.claim, Claim::Unreadable { .. }), "{at}: {evidence:?}");
        assert_nobody(&evidence, why);
    }
    let mut both = material.json("p256.bundle.json");
    both["messageSignature"] = signature;
    assert_nobody(&believed(Form::Bundle, &bytes(&both), &trust), "either an envelope or");
    // The first of two is not what another reader takes.
    let text = material.text("p256.bundle.json");
    let twice = text.replacen('{', r#"{"dsseEnvelope":null,"#, 1);
    assert_nobody(&believed(Form::Bundle, twice.as_bytes(), &trust), "no Sigstore bundle");
    let mut unhashed = material.json("p256.message.json");
    unhashed["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512".into();
    assert_nobody(&believed(Form::Bundle, &bytes(&unhashed), &trust), "which SHA-256");
}

#[test]
fn what_nobody_signed_says_what_it_says_and_that_nobody_did() {
    let Some(material) = material("what_nobody_signed") else { return };
    let statement = material.bytes("statement.json");
    assert_eq!(sniff(&statement), Form::Statement);
    let evidence = believed(Form::Statement, &statement, &[material.keys(&["p256"])]);
    assert_eq!((&evidence.claim, evidence.is_about(material.subject())), (&Claim::Signature, true));
    assert_nobody(&evidence, "nobody signed it");
}

#[test]
fn what_is_too_long_is_not_read() {
    let long = [b"{\"mediaType\":\"".to_vec(), vec![b'a'; MAX_BYTES], b"\"}".to_vec()].concat();
    assert_eq!(sniff(&long), Form::Document);
    for form in [Form::SimpleSigning, Form::Bundle, Form::Envelope, Form::Statement, Form::Document] {
        assert_nobody(&believed(form, &long, &[]), "it is longer than 90 MiB");
    }
}

#[test]
fn an_unusable_key_is_an_error_that_says_which() {
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let trust: Trust = serde_json::from_value(json!({"key": pem})).unwrap();
    let error = Anchors::new([&trust]).err().unwrap();
    assert!(matches!(error, AnchorError::Key { .. }));
    let digest = sealift_domain::digest::Digest::of(pem.as_bytes()).short();
    assert!(error.to_string().contains(&digest), "{error}");
}
