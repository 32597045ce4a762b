//! Signatures of images: made by the real OpenSSL with every kind of key, and everything that is not quite one.

use std::process::{Command, Stdio};

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use sealift_domain::digest::Digest;
use sealift_evidence::{
    cosign::{Checked, check},
    public_key::{PublicKey, PublicKeyError},
};

use crate::support::have;

/// The options of `openssl genpkey` for each kind of key, and those of `openssl dgst` or `pkeyutl` that sign with it.
const KINDS: [(&str, &[&str], &[&str]); 6] = [
    ("P-256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["-sha256"]),
    ("P-384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &["-sha256"]),
    ("P-384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &["-sha384"]),
    ("RSA", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], &["-sha256"]),
    ("RSA", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"], &["-sha256"]),
    ("Ed25519", &["-algorithm", "ED25519"], &[]),
];

/// A key pair that OpenSSL made.
struct Key {
    directory: tempfile::TempDir,
    public: String,
}

fn openssl(directory: &std::path::Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(directory).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Key {
    fn new(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        openssl(directory.path(), &[&["genpkey", "-out", "key"], options].concat());
        let public = String::from_utf8(openssl(directory.path(), &["pkey", "-in", "key", "-pubout"])).unwrap();
        Self { directory, public }
    }

    fn p256() -> Self {
        Self::new(KINDS[0].1)
    }

    fn read(&self) -> PublicKey {
        PublicKey::from_pem(&self.public).unwrap()
    }

    /// The signature in base64; `hash` is empty for a key that hashes by itself.
    fn sign(&self, payload: &[u8], hash: &[&str]) -> String {
        std::fs::write(self.directory.path().join("payload"), payload).unwrap();
        let arguments = match hash {
            [] => vec!["pkeyutl", "-sign", "-rawin", "-inkey", "key", "-in", "payload"],
            _ => [&["dgst", "-sign", "key"], hash, &["payload"]].concat(),
        };
        STANDARD.encode(openssl(self.directory.path(), &arguments))
    }
}

fn image() -> Digest {
    Digest::of(b"an image")
}

/// What cosign signs, with its words.
fn payload(digest: &str) -> Vec<u8> {
    let critical = format!(
        r#"{{"identity":{{"docker-reference":"ghcr.io/acme/app"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}}"#
    );
    format!(r#"{{"critical":{critical},"optional":{{"creator":"ci","timestamp":1700000000}}}}"#).into_bytes()
}

fn good() -> Vec<u8> {
    payload(&image().to_string())
}

#[test]
fn every_kind_of_key_verifies_what_openssl_signed_with_it_and_nothing_else() {
    if !have("every_kind_of_key", &["openssl"]) {
        return;
    }
    let stranger = Key::p256();
    for (name, options, hash) in KINDS {
        let key = Key::new(options);
        let signature = key.sign(&good(), hash);
        let right = Checked { signs: Some(image()), signer: Some(1), why_not: None };
        assert_eq!(check(&good(), &signature, &[stranger.read(), key.read()]), right, "{name} {hash:?}");
        let no = "no trusted key made its signature over these bytes";
        let wrong = Checked { signs: Some(image()), signer: None, why_not: Some(no.to_owned()) };
        assert_eq!(check(&good(), &signature, &[stranger.read()]), wrong, "{name} {hash:?}: another key");
        assert_eq!(check(&good(), &signature, &[]), wrong, "{name} {hash:?}: no key at all");
        let mut altered = good();
        let last = altered.len() - 2;
        altered[last] ^= 1;
        assert_eq!(check(&altered, &signature, &[key.read()]).signer, None, "{name} {hash:?}: altered");
        // The same JSON, spelled otherwise, is not what was signed.
        assert_eq!(check(&[good(), b" ".to_vec()].concat(), &signature, &[key.read()]).signer, None);
    }
}

#[test]
fn a_right_signature_over_something_else_names_it_or_says_why_it_is_none() {
    if !have("a_right_signature_over_something_else", &["openssl"]) {
        return;
    }
    let key = Key::p256();
    let checked = |payload: &[u8]| check(payload, &key.sign(payload, &["-sha256"]), &[key.read()]);
    let other = Digest::of(b"another image");
    let foreign = checked(&payload(&other.to_string()));
    assert_eq!(foreign, Checked { signs: Some(other), signer: Some(0), why_not: None });
    let text = String::from_utf8(good()).unwrap();
    let digest = format!(r#""docker-manifest-digest":"{}""#, image());
    for (payload, says) in [
        (
            text.replace("cosign container image signature", "atomic container signature"),
            "is not a `cosign container image",
        ),
        (text.replace("sha256:", "sha512:"), "no payload"),
        (text.replace(&digest, &format!("{digest},{digest}")), "no payload"),
        (text.replace(r#""critical":{"#, r#""critical":{"type":"x","#), "no payload"),
        (text.replace("critical", "Critical"), "no payload"),
        (r#"{"predicateType":"https://slsa.dev/provenance/v1"}"#.to_owned(), "no payload"),
        (String::new(), "no payload"),
    ] {
        let checked = checked(payload.as_bytes());
        assert_eq!((checked.signs, checked.signer), (None, Some(0)), "{payload}");
        let why = checked.why_not.unwrap();
        assert!(why.contains(says), "{payload}: {why}");
    }
}

#[test]
fn what_is_no_signature_is_said_to_be_none() {
    if !have("what_is_no_signature", &["openssl"]) {
        return;
    }
    let key = Key::p256();
    let right = key.sign(&good(), &["-sha256"]);
    let raw = STANDARD.decode(&right).unwrap();
    let sha384 = key.sign(&good(), &["-sha384"]);
    let longer = STANDARD.encode([&raw[..], &[0]].concat());
    for (signature, why) in [
        ("", "no trusted key made its signature over these bytes"),
        ("AAAA", "no trusted key made its signature over these bytes"),
        (&right[1..], "it is not base64"),
        (&format!("{right}\n"), "it is not base64"),
        (&sha384, "no trusted key made its signature over these bytes"),
        (&longer, "no trusted key made its signature over these bytes"),
        (&"A".repeat(5000), "it is longer than any signature"),
    ] {
        let checked = check(&good(), signature, &[key.read()]);
        assert_eq!((checked.signer, checked.why_not.as_deref()), (None, Some(why)), "{signature:.100}");
    }
}

#[test]
fn a_key_has_one_spelling_and_the_fingerprint_that_openssl_prints() {
    if !have("a_key_has_one_spelling", &["openssl"]) {
        return;
    }
    for (name, options, _) in KINDS {
        let key = Key::new(options);
        assert_eq!(key.read().to_pem(), key.public, "{name}");
        let body: String = key.public.lines().filter(|line| !line.starts_with('-')).collect();
        let loose = format!("\r\n-----BEGIN PUBLIC KEY-----\r\n{body}\r\n-----END PUBLIC KEY-----");
        assert_eq!(PublicKey::from_pem(&loose).unwrap().to_pem(), key.public, "{name}");
        let der = openssl(key.directory.path(), &["pkey", "-in", "key", "-pubout", "-outform", "DER"]);
        assert_eq!(key.read().fingerprint(), Digest::of(&der), "{name}");
    }
}

#[test]
fn what_is_no_public_key_is_refused() {
    if !have("what_is_no_public_key", &["openssl"]) {
        return;
    }
    let key = Key::p256();
    let refused = |text: &str| PublicKey::from_pem(text).err();
    let private = std::fs::read_to_string(key.directory.path().join("key")).unwrap();
    assert_eq!(refused(&private), Some(PublicKeyError::Private));
    let cosign = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
    assert_eq!(refused(cosign), Some(PublicKeyError::Private));
    for text in
        ["", "cosign.pub", "ssh-ed25519 AAAA", &key.public.repeat(2), &key.public.replace("PUBLIC", "RSA PUBLIC")]
    {
        assert_eq!(refused(text), Some(PublicKeyError::NotPem), "{text}");
    }
    for options in [
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"].as_slice(),
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        &["-algorithm", "X25519"],
    ] {
        assert_eq!(refused(&Key::new(options).public), Some(PublicKeyError::Unsupported), "{options:?}");
    }
    let weak = Key::new(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    assert_eq!(refused(&weak.public), Some(PublicKeyError::Damaged));
    let der = openssl(key.directory.path(), &["pkey", "-in", "key", "-pubout", "-outform", "DER"]);
    let armoured =
        |der: &[u8]| format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    assert_eq!(refused(&armoured(&[&der[..], &[0]].concat())), Some(PublicKeyError::Damaged), "something follows");
    assert_eq!(refused(&armoured(&der[..der.len() - 1])), Some(PublicKeyError::Damaged), "cut off");
    let mut elsewhere = der.clone();
    elsewhere[40] ^= 1;
    assert_eq!(refused(&armoured(&elsewhere)), Some(PublicKeyError::Damaged), "not on the curve");
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(payload in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,200}", der in prop::collection::vec(any::<u8>(), 0..120)) {
        prop_assert_eq!(check(&payload, &text, &[]).signer, None);
        drop(PublicKey::from_pem(&text));
        let framed = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
        prop_assert!(PublicKey::from_pem(&framed).is_err());
    }
}
