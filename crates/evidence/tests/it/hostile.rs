//! Bytes of strangers: nothing panics, and nobody has signed them.

use proptest::prelude::*;
use sealift_domain::evidence::{DetachedSignature, Form, Trust};
use sealift_evidence::{
    anchors::Anchors,
    read::{Found, read, sniff},
    signing::PromotionKey,
};
use serde_json::{Value, json};

use crate::material::{believed, found, material};

const FORMS: [Form; 5] = [Form::SimpleSigning, Form::Bundle, Form::Envelope, Form::Statement, Form::Document];

/// Something like what is read: JSON in the shape of a bundle or an envelope, with parts of any kind.
fn shaped() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        "[A-Za-z0-9+/=_-]{0,40}".prop_map(|text| json!(text)),
        Just(json!("application/vnd.in-toto+json")),
        Just(json!("application/vnd.dev.sigstore.bundle.v0.3+json")),
        Just(json!([{"sig": "AAAA"}])),
        Just(json!({"publicKey": {"hint": ""}})),
        Just(json!({"certificate": {"rawBytes": "MAAA"}})),
        Just(json!({"payloadType": "application/vnd.in-toto+json", "payload": "e30", "signatures": [{"sig": "AAAA"}]})),
        Just(
            json!({"messageDigest": {"algorithm": "SHA2_256", "digest": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "signature": "AAAA"})
        ),
    ];
    let key = prop::sample::select(vec![
        "mediaType",
        "verificationMaterial",
        "dsseEnvelope",
        "messageSignature",
        "payloadType",
        "payload",
        "signatures",
        "_type",
    ]);
    prop::collection::btree_map(key, part, 0..6).prop_map(|map| serde_json::to_vec(&map).unwrap())
}

fn anchors() -> Anchors {
    let key = PromotionKey::generate().unwrap().public().canonical().unwrap();
    Anchors::new([&Trust::Keys([key].into())]).unwrap()
}

/// The places of all values in a value, as JSON pointers.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), into)),
        Value::Array(list) => (0..).zip(list).for_each(|(index, value)| places(value, &format!("{at}/{index}"), into)),
        _ => {}
    }
}

/// Another value for one in a bundle: something else altogether, a text with a byte more, less or another, a list twice over.
fn strange(value: &mut Value, how: u8, at: prop::sample::Index, byte: u8) {
    *value = match (how, &*value) {
        (0, _) => Value::Null,
        (1, _) => json!([]),
        (2, _) => json!({}),
        (3, _) => json!(i64::from(byte) << 55),
        (4, _) => json!("9223372036854775807"),
        (5 | 6, Value::Array(list)) => [&list[..], &list[..]].concat().into(),
        (_, Value::String(text)) => {
            let mut bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).unwrap_or_default();
            let at = at.index(bytes.len() + 1);
            match how {
                5 => bytes.insert(at, byte),
                6 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old ^= byte),
            }
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes).into()
        }
        _ => "A".into(),
    };
}

proptest! {
    #[test]
    fn no_bundle_that_was_tampered_with_says_something_else_and_has_a_signer(
        name in prop::sample::select(vec!["keyless.stamped.json", "keyless.message.json", "keyless.chain.json", "logged.bundle.json"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..10, any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let Some(material) = material("no_bundle_that_was_tampered_with") else { return Ok(()) };
        let trusts = [material.workflow("root.json"), material.keys(&["logged"])];
        let mut bundle = material.json(name);
        let untouched = believed(Form::Bundle, bundle.to_string().as_bytes(), &trusts);
        for (place, how, at, byte) in changes {
            let mut all = Vec::new();
            places(&bundle, "", &mut all);
            strange(bundle.pointer_mut(&all[place.index(all.len())]).unwrap(), how, at, byte);
        }
        let evidence = believed(Form::Bundle, bundle.to_string().as_bytes(), &trusts);
        if let Some(signer) = evidence.signers.first() {
            prop_assert_eq!(signer, &untouched.signers[0]);
            prop_assert_eq!((&evidence.subjects, &evidence.claim), (&untouched.subjects, &untouched.claim));
        }
    }

    #[test]
    fn no_bytes_have_a_signer(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..400), shaped()], text in "\\PC{0,80}") {
        let anchors = anchors();
        let part = || Some(text.clone());
        let detached = DetachedSignature { signature: text.clone(), certificate: part(), chain: part(), bundle: part() };
        sniff(&bytes);
        for form in FORMS {
            let evidence = read(&Found { detached: Some(&detached), ..found(form, &bytes) }, &anchors);
            prop_assert!(evidence.signers.is_empty() && evidence.why_not.is_some(), "{:?}", evidence);
        }
        drop(PromotionKey::from_pem(&text));
    }
}

#[test]
fn attack_05_depth_is_bounded_and_strange_shapes_are_no_evidence() {
    let anchors = anchors();
    let deep = "[".repeat(100_000);
    let bundle =
        format!(r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{deep}"#);
    let envelope = format!(r#"{{"payloadType":{deep}"#);
    let listed = r#"["application/vnd.in-toto+json","e30=",[{"sig":"AAAA"}]]"#;
    for text in [&deep, &bundle, &envelope, listed, "{}", "null", "\u{feff}{}"] {
        assert_eq!(sniff(text.as_bytes()), Form::Document, "{text:.40}");
        for form in FORMS {
            assert!(read(&found(form, text.as_bytes()), &anchors).signers.is_empty());
        }
    }
}
