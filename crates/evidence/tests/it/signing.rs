//! What a promotion key signs: others believe it, and we do.

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_domain::evidence::{Claim, Form, Signer, Trust};
use sealift_evidence::{
    public_key::PublicKey,
    read::sniff,
    signing::{PrivateKeyError, PromotionKey, bundle},
};

use crate::{
    material::{believed, material, python_believes, sigstore_believes},
    support::run,
};

const STATEMENT: &[u8] = br#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/verification_summary/v1","subject":[{"digest":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}]}"#;

fn trust(key: &PublicKey) -> [Trust; 1] {
    [Trust::Keys([key.canonical().unwrap()].into())]
}

#[test]
fn python_and_sigstore_believe_what_is_signed_and_so_do_we() {
    let Some(_) = material("python_and_sigstore_believe") else { return };
    let key = PromotionKey::generate().unwrap();
    let envelope = key.sign_statement(STATEMENT).unwrap();
    let bundle = bundle(&envelope, key.public()).unwrap();
    let hint = STANDARD.encode(key.public().fingerprint().as_bytes());
    assert_eq!(python_believes(envelope.get(), &key.public().to_pem()), STATEMENT);
    assert_eq!(sigstore_believes(&bundle, &key.public().to_pem(), &hint), STATEMENT);
    for (form, text) in [(Form::Envelope, envelope.get()), (Form::Bundle, &bundle)] {
        assert_eq!(sniff(text.as_bytes()), form);
        let evidence = believed(form, text.as_bytes(), &trust(key.public()));
        let [Signer::Key { fingerprint, .. }] = evidence.signers.as_slice() else { panic!("{evidence:?}") };
        assert_eq!(*fingerprint, key.public().fingerprint());
        assert!(matches!(&evidence.claim, Claim::Other { kind } if kind.ends_with("/verification_summary/v1")));
        let other = PromotionKey::generate().unwrap();
        assert_eq!(believed(form, text.as_bytes(), &trust(other.public())).signers, []);
    }
}

#[test]
fn a_key_is_written_and_read_and_openssl_reads_it_too() {
    if !crate::support::have("a_key_is_written_and_read", &["openssl"]) {
        return;
    }
    let key = PromotionKey::generate().unwrap();
    let text = key.to_pem().unwrap();
    let again = PromotionKey::from_pem(&text).unwrap();
    assert_eq!(again.public().to_pem(), key.public().to_pem());
    assert_eq!(*again.to_pem().unwrap(), *text);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text.as_bytes()).unwrap();
    let public = run(std::process::Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(file.path())).stdout;
    assert_eq!(String::from_utf8(public).unwrap(), key.public().to_pem());
}

#[test]
fn a_key_of_others_is_read_and_signs() {
    let Some(material) = material("a_key_of_others_is_read") else { return };
    let key = PromotionKey::from_pem(&material.text("p256.key")).unwrap();
    assert_eq!(key.public().to_pem(), material.text("p256.pub"));
    let envelope = key.sign_statement(STATEMENT).unwrap();
    let evidence = believed(Form::Envelope, envelope.get().as_bytes(), &[material.keys(&["p256"])]);
    assert_eq!(evidence.signers.len(), 1);
}

#[test]
fn what_is_no_key_to_sign_with_says_what_it_is_instead() {
    let Some(material) = material("what_is_no_key_to_sign_with") else { return };
    let cosign = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
    for (text, why) in [
        (cosign.to_owned(), PrivateKeyError::Encrypted),
        (material.text("p256.encrypted.key"), PrivateKeyError::Encrypted),
        (material.text("p256.pub"), PrivateKeyError::Public),
        (material.text("p256.old.key"), PrivateKeyError::OtherForm),
        (material.text("p384.key"), PrivateKeyError::Unsupported),
        (material.text("rsa.key"), PrivateKeyError::Unsupported),
        (material.text("p256.key").replace("MIGH", "MIGI"), PrivateKeyError::Unsupported),
        (material.text("p256.key").repeat(2), PrivateKeyError::NotPem),
        ("promotion.key".to_owned(), PrivateKeyError::NotPem),
        (String::new(), PrivateKeyError::NotPem),
    ] {
        assert_eq!(PromotionKey::from_pem(&text).err(), Some(why), "{why}");
    }
}

#[test]
fn a_key_does_not_print() {
    let key = PromotionKey::generate().unwrap();
    let printed = format!("{key:?}");
    assert_eq!(printed, format!("PromotionKey({}, …)", key.public().fingerprint().short()));
}
