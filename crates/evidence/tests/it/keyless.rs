//! Evidence that certificates signed, made by Sigstore's own packages: right under its trust root, and everything that may be wrong
//! with it.

use sealift_domain::evidence::{Certificate, Claim, DetachedSignature, Evidence, Form, Signer};
use sealift_evidence::{
    anchors::{AnchorError, Anchors},
    cosign::Keyless,
    read::{Found, read},
};
use serde_json::{Value, json};

use crate::material::{ISSUER, Material, WORKFLOW, believed, found, material, trust};

fn bundle(material: &Material, name: &str, root: &str) -> Evidence {
    believed(Form::Bundle, &material.bytes(name), &[material.workflow(root)])
}

fn certificate(evidence: &Evidence) -> &Certificate {
    match evidence.signers.as_slice() {
        [Signer::Certificate(certificate)] => certificate,
        _ => panic!("{evidence:?}"),
    }
}

fn assert_nobody(evidence: &Evidence, why: &str) {
    assert_eq!(evidence.signers, [], "{evidence:?}");
    assert!(evidence.why_not.as_deref().is_some_and(|found| found.contains(why)), "{why}: {evidence:?}");
}

/// A byte in base64 changed, near the end, where signatures have theirs.
fn alter(value: &mut Value) {
    let text = value.as_str().unwrap();
    let at = text.len() - 24;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    *value = format!("{}{other}{}", &text[..at], &text[at + 1..]).into();
}

#[test]
fn a_certificate_says_who_signed_from_what_and_when() {
    let Some(material) = material("a_certificate_says_who_signed") else { return };
    for name in ["keyless.json", "keyless.stamped.json", "keyless.chain.json", "keyless.message.json"] {
        let evidence = bundle(material, name, "root.json");
        assert_eq!((&evidence.claim, &evidence.why_not), (&Claim::Signature, &None), "{name}");
        assert!(evidence.is_about(material.subject()), "{name}");
        let found = certificate(&evidence);
        let wanted = Certificate {
            identity: WORKFLOW.to_owned(),
            issuer: ISSUER.to_owned(),
            trust_root: sealift_domain::digest::Digest::of(&material.bytes("root.json")),
            signed_at: found.signed_at,
            builder: Some("https://github.com/acme/shared/.github/workflows/image.yml@refs/tags/v1".to_owned()),
            repository: Some("https://github.com/acme/web".to_owned()),
            commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            reference: Some("refs/heads/main".to_owned()),
            run: Some("https://github.com/acme/web/actions/runs/42/attempts/1".to_owned()),
        };
        assert_eq!(*found, wanted, "{name}");
        let logged = &material.json(name)["verificationMaterial"]["tlogEntries"][0]["integratedTime"];
        let logged: i64 = logged.as_str().unwrap().parse().unwrap();
        let signed_at = found.signed_at.unwrap().as_second();
        assert!((logged - 5..=logged).contains(&signed_at), "{name}: {signed_at} and {logged}");
        assert!(evidence.signed_by(&material.workflow("root.json")).is_some(), "{name}");
    }
}

#[test]
fn who_else_signed_is_a_fact_too_and_accepted_by_nobody() {
    let Some(material) = material("who_else_signed") else { return };
    let trusted = material.workflow("root.json");
    let evidence = bundle(material, "keyless.person.json", "root.json");
    let found = certificate(&evidence);
    assert_eq!((found.identity.as_str(), found.issuer.as_str()), ("ana@acme.dev", "https://accounts.example"));
    assert_eq!((&found.builder, &found.repository, &found.commit, &found.run), (&None, &None, &None, &None));
    assert!(evidence.signed_by(&trusted).is_none());
    let root = material.text("root.json");
    assert!(evidence.signed_by(&trust("ana@acme.dev", "https://accounts.example", &root)).is_some());
    let other_issuer = trust(WORKFLOW, "https://accounts.example", &root);
    assert!(bundle(material, "keyless.json", "root.json").signed_by(&other_issuer).is_none());
}

#[test]
fn under_another_root_it_is_signed_by_nobody() {
    let Some(material) = material("under_another_root") else { return };
    assert_nobody(&bundle(material, "keyless.json", "other-root.json"), "its log");
    assert_nobody(&bundle(material, "keyless.stamped.json", "other-root.json"), "time stamp");
    let keys = [material.keys(&["p256"])];
    assert_nobody(&believed(Form::Bundle, &material.bytes("keyless.json"), &keys), "there is no trust root");
    // Both are looked for. It is verified under its own.
    let both = [material.workflow("other-root.json"), material.workflow("root.json")];
    let evidence = believed(Form::Bundle, &material.bytes("keyless.json"), &both);
    certificate(&evidence);
    assert!(evidence.signed_by(&both[0]).is_none() && evidence.signed_by(&both[1]).is_some());
    // Each part of the root counts: with authority and log of another, the rest does not help.
    for part in ["certificateAuthorities", "tlogs", "ctlogs"] {
        let mut root = material.json("root.json");
        root[part] = material.json("other-root.json")[part].clone();
        let trust = [trust(WORKFLOW, ISSUER, &root.to_string())];
        assert_eq!(believed(Form::Bundle, &material.bytes("keyless.json"), &trust).signers, [], "{part}");
    }
}

#[test]
fn a_certificate_counts_only_for_its_ten_minutes() {
    let Some(material) = material("a_certificate_counts_only") else { return };
    assert_nobody(&bundle(material, "keyless.late.json", "late-root.json"), "not valid when it was signed");
    assert_nobody(&bundle(material, "keyless.early.json", "early-root.json"), "its certificate was not valid");
}

#[test]
fn without_a_time_that_somebody_proves_it_is_signed_by_nobody() {
    let Some(material) = material("without_a_time") else { return };
    let trust = [material.workflow("root.json")];
    let read = |bundle: &Value| believed(Form::Bundle, bundle.to_string().as_bytes(), &trust);
    let mut bundle = material.json("keyless.json");
    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
    entry.as_object_mut().unwrap().remove("inclusionPromise");
    assert_nobody(&read(&bundle), "nothing proves when it was signed");
    // With a time stamp there is one again.
    let mut bundle = material.json("keyless.stamped.json");
    bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionPromise");
    certificate(&read(&bundle));
    let mut bundle = material.json("keyless.json");
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_nobody(&read(&bundle), "its log entry is missing");
}

#[test]
fn whatever_is_altered_in_it_is_noticed() {
    let Some(material) = material("whatever_is_altered") else { return };
    let trust = [material.workflow("root.json")];
    let entry = "/verificationMaterial/tlogEntries/0";
    for (at, why) in [
        (format!("{entry}/inclusionPromise/signedEntryTimestamp"), "what its log promised"),
        (format!("{entry}/canonicalizedBody"), "what its log promised"),
        (format!("{entry}/inclusionProof/rootHash"), "its log entry is missing"),
        (format!("{entry}/logId/keyId"), "not signed by a log of the trust root"),
        ("/verificationMaterial/certificate/rawBytes".to_owned(), ""),
        (
            "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp".to_owned(),
            "time stamp",
        ),
        ("/dsseEnvelope/payload".to_owned(), ""),
        ("/dsseEnvelope/signatures/0/sig".to_owned(), ""),
    ] {
        let mut bundle = material.json("keyless.stamped.json");
        alter(bundle.pointer_mut(&at).unwrap());
        assert_nobody(&believed(Form::Bundle, bundle.to_string().as_bytes(), &trust), why);
    }
    // A second earlier than the log says.
    let mut bundle = material.json("keyless.json");
    let time = bundle.pointer_mut(&format!("{entry}/integratedTime")).unwrap();
    *time = (time.as_str().unwrap().parse::<i64>().unwrap() - 1).to_string().into();
    assert_nobody(&believed(Form::Bundle, bundle.to_string().as_bytes(), &trust), "what its log promised");
    let mut bundle = material.json("keyless.json");
    let checkpoint = bundle.pointer_mut(&format!("{entry}/inclusionProof/checkpoint/envelope")).unwrap();
    *checkpoint = checkpoint.as_str().unwrap().replace("Timestamp: 1", "Timestamp: 2").into();
    assert_nobody(&believed(Form::Bundle, bundle.to_string().as_bytes(), &trust), "not signed by the log");
    let mut bundle = material.json("keyless.json");
    *bundle.pointer_mut(&format!("{entry}/inclusionProof/hashes")).unwrap_or(&mut Value::Null) = json!([]);
    bundle.pointer_mut(&format!("{entry}/inclusionProof")).unwrap()["hashes"] =
        json!(["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]);
    assert_nobody(&believed(Form::Bundle, bundle.to_string().as_bytes(), &trust), "not proven to be in the log");
}

#[test]
fn what_is_too_long_for_a_certificate_is_signed_by_nobody() {
    let Some(material) = material("what_is_too_long") else { return };
    let long = [material.bytes("keyless.json"), vec![b' '; 24 << 20]].concat();
    assert_nobody(&believed(Form::Bundle, &long, &[material.workflow("root.json")]), "longer than is read");
}

#[test]
fn the_entry_of_another_signature_does_not_help() {
    let Some(material) = material("the_entry_of_another_signature") else { return };
    let mut bundle = material.json("keyless.json");
    let other = material.json("keyless.stamped.json");
    bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"].clone();
    let evidence = believed(Form::Bundle, bundle.to_string().as_bytes(), &[material.workflow("root.json")]);
    assert_eq!(evidence.signers, [], "{evidence:?}");
}

#[test]
fn a_root_without_logs_asks_for_a_time_stamp_only() {
    let Some(material) = material("a_root_without_logs") else { return };
    let evidence = bundle(material, "keyless.unlogged.json", "unlogged-root.json");
    assert!(certificate(&evidence).signed_at.is_some());
    assert_nobody(&bundle(material, "keyless.unlogged.json", "unlogged-strict-root.json"), "its log entry is missing");
    let mut bundle = material.json("keyless.unlogged.json");
    bundle["verificationMaterial"]["timestampVerificationData"] = Value::Null;
    let trust = [material.workflow("unlogged-root.json")];
    assert_eq!(believed(Form::Bundle, bundle.to_string().as_bytes(), &trust).signers, []);
}

#[test]
fn what_cosign_2_puts_beside_a_signature_is_verified_as_a_bundle_is() {
    let Some(material) = material("what_cosign_2_puts_beside") else { return };
    let (payload, written) = (material.bytes("simple.json"), material.json("keyless.annotations.json"));
    let text = |key: &str| written[key].as_str().unwrap();
    let read = |payload: &[u8], signature: &str, keyless: Keyless<'_>, root: &str| {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let detached = DetachedSignature {
            signature: signature.to_owned(),
            certificate: owned(Some(keyless.certificate)),
            chain: owned(keyless.chain),
            bundle: owned(keyless.bundle),
        };
        let found = Found { detached: Some(&detached), ..found(Form::SimpleSigning, payload) };
        read(&found, &Anchors::new([&material.workflow(root)]).unwrap())
    };
    let whole = Keyless { certificate: text("certificate"), chain: None, bundle: Some(text("bundle")) };
    let evidence = read(&payload, text("signature"), whole, "root.json");
    assert_eq!((&evidence.claim, evidence.is_about(material.subject())), (&Claim::Signature, true));
    assert_eq!(certificate(&evidence).identity, WORKFLOW);
    let chained = Keyless { chain: Some(text("certificate")), ..whole };
    certificate(&read(&payload, text("signature"), chained, "root.json"));
    for (payload, signature, keyless, root, why) in [
        (&payload[1..], text("signature"), whole, "root.json", "its signature is not over what it says"),
        (&payload[..], text("signature"), whole, "other-root.json", "its log"),
        (&payload[..], &material.text("p256.simple.sig")[..], whole, "root.json", ""),
        (&payload[..], text("signature"), Keyless { bundle: None, ..whole }, "root.json", "sign it as a bundle"),
        (
            &payload[..],
            text("signature"),
            Keyless { bundle: Some("{}"), ..whole },
            "root.json",
            "beside its signature is damaged",
        ),
        (&payload[..], text("signature"), Keyless { certificate: "", ..whole }, "root.json", "is damaged"),
        (&payload[..], text("signature"), Keyless { chain: Some("?"), ..whole }, "root.json", "is damaged"),
    ] {
        assert_nobody(&read(payload, signature, keyless, root), why);
    }
}

#[test]
fn an_unusable_trust_root_is_an_error_that_says_which_and_why() {
    let Some(material) = material("an_unusable_trust_root") else { return };
    let root = material.json("root.json");
    let without = |part: &[&str]| {
        let mut root = root.clone();
        part.iter().for_each(|part| drop(root.as_object_mut().unwrap().remove(*part)));
        root.to_string()
    };
    let mut damaged = root.clone();
    damaged["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into();
    for (json, why) in [
        ("{}".to_owned(), "not the JSON of a Sigstore trust root"),
        (without(&["certificateAuthorities"]), "no certificate authority"),
        (without(&["tlogs", "timestampAuthorities"]), "neither a log nor a time stamp authority"),
        (damaged.to_string(), "damaged"),
    ] {
        let error = Anchors::new([&trust(WORKFLOW, ISSUER, &json)]).err().unwrap();
        assert!(matches!(error, AnchorError::Root { .. }) && error.to_string().contains(why), "{error}");
        assert!(error.to_string().contains(&sealift_domain::digest::Digest::of(json.as_bytes()).short()), "{error}");
    }
}
