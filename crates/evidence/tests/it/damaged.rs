//! Signatures that were cut, altered or made up.

use proptest::prelude::*;
use sealift_evidence::sshsig::{SshsigError, fingerprint, key_of, verify};

use crate::support::{Key, MESSAGE, NAMESPACE, armour, envelope, have, key_bytes, string, unarmour};

// The key of RFC 8032 section 7.1, test 1.
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

fn refused(armored: &[u8]) -> SshsigError {
    verify(ED25519, NAMESPACE, MESSAGE, armored).unwrap_err()
}

fn inner(algorithm: &str, signature: &[u8]) -> Vec<u8> {
    [string(algorithm.as_bytes()), string(signature)].concat()
}

fn made_up(version: u32, namespace: &str, hash: &str, inner: &[u8]) -> SshsigError {
    refused(&armour(&envelope(version, &key_bytes(ED25519), namespace, hash, inner)))
}

#[test]
fn every_cut_and_every_altered_byte_is_noticed() {
    if !have("every_cut_and_every_altered_byte_is_noticed", &["ssh-keygen"]) {
        return;
    }
    let key = Key::generate("ed25519", "256");
    let armored = key.sign(MESSAGE);
    for end in 0..armored.len() - 1 {
        let error = verify(&key.public, NAMESPACE, MESSAGE, &armored[..end]).unwrap_err();
        assert!(matches!(error, SshsigError::NotASignature(_)), "{end}: {error}");
    }
    let bytes = unarmour(&armored);
    for at in 0..bytes.len() {
        let cut = verify(&key.public, NAMESPACE, MESSAGE, &armour(&bytes[..at]));
        assert!(matches!(cut, Err(SshsigError::NotASignature(_))), "{at}: {cut:?}");
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(verify(&key.public, NAMESPACE, MESSAGE, &armour(&altered)).is_err(), "byte {at}");
    }
    let longer = verify(&key.public, NAMESPACE, MESSAGE, &armour(&[&bytes[..], b"x"].concat()));
    assert_eq!(longer.unwrap_err().to_string(), "not an SSH signature: something follows it");
}

#[test]
fn what_is_no_signature_is_told_apart() {
    for (text, told) in [
        (&b""[..], "first line"),
        (b"hello", "first line"),
        (b"-----BEGIN PGP SIGNATURE-----\n", "first line"),
        (b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n", "last line"),
        (b"-----BEGIN SSH SIGNATURE-----\n!\n-----END SSH SIGNATURE-----", "not base64"),
        (b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----", "another format"),
        (b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----", "too early"),
        (b"\xff", "not text"),
        (&[b' '; 16 * 1024 + 1], "longer than 16 KiB"),
    ] {
        let error = refused(text);
        assert!(matches!(error, SshsigError::NotASignature(why) if why.contains(told)), "{error}");
        assert_eq!(key_of(text), Err(error));
    }
}

#[test]
fn unknown_versions_hashes_and_algorithms_are_unsupported() {
    let good = inner("ssh-ed25519", &[0; 64]);
    assert_eq!(made_up(1, NAMESPACE, "sha512", &good), SshsigError::BadSignature, "but for this, all is well-formed");
    for (error, told) in [
        (made_up(0, NAMESPACE, "sha512", &good), "version 0"),
        (made_up(2, NAMESPACE, "sha512", &good), "version 2"),
        (made_up(1, NAMESPACE, "sha1", &good), "`sha1`"),
        (made_up(1, NAMESPACE, "sha512", &inner("ssh-rsa", &[0; 64])), "`ssh-rsa`"),
        (made_up(1, NAMESPACE, "sha512", &inner("rsa-sha2-256", &[0; 64])), "`rsa-sha2-256`"),
        (made_up(1, NAMESPACE, "sha512", &inner("new@example", &[0; 64])), "`new@example`"),
        (made_up(1, NAMESPACE, "sha512", &inner("\u{1b}", &[0; 64])), r"`\u{1b}`"),
        (
            made_up(1, NAMESPACE, "sha512", &[inner("sk-ssh-ed25519@openssh.com", &[0; 64]), vec![1; 5]].concat()),
            "`sk-ssh",
        ),
    ] {
        assert!(matches!(&error, SshsigError::Unsupported(what) if what.contains(told)), "{told}: {error}");
    }
    for inner in [inner("ssh-ed25519", &[0; 63]), [good, vec![0]].concat(), Vec::new()] {
        assert!(matches!(made_up(1, NAMESPACE, "sha512", &inner), SshsigError::NotASignature(_)));
    }
    let error = made_up(1, "", "sha512", &inner("ssh-ed25519", &[0; 64]));
    assert_eq!(error.to_string(), "not an SSH signature: its namespace is empty");
}

#[test]
fn a_signature_with_sha_1_by_an_rsa_key_is_unsupported() {
    if !have("a_signature_with_sha_1_by_an_rsa_key_is_unsupported", &["ssh-keygen"]) {
        return;
    }
    let key = Key::generate("rsa", "2048");
    let armored = armour(&envelope(1, &key_bytes(&key.public), NAMESPACE, "sha512", &inner("ssh-rsa", &[1; 256])));
    let error = verify(&key.public, NAMESPACE, MESSAGE, &armored).unwrap_err();
    assert!(matches!(&error, SshsigError::Unsupported(what) if what.contains("`ssh-rsa`")), "{error}");
}

#[test]
fn keys_of_other_kinds_are_unsupported() {
    let certificate = [string(b"ssh-ed25519-cert-v01@openssh.com"), string(&[1; 32]), string(&[2; 32])].concat();
    let armored = armour(&envelope(1, &certificate, NAMESPACE, "sha512", &inner("ssh-ed25519", &[0; 64])));
    let error = refused(&armored);
    assert!(matches!(&error, SshsigError::Unsupported(what) if what.contains("-cert-v01")), "{error}");
    let damaged = [string(b"ssh-ed25519"), string(&[1; 31])].concat();
    let armored = armour(&envelope(1, &damaged, NAMESPACE, "sha512", &inner("ssh-ed25519", &[0; 64])));
    assert!(matches!(refused(&armored), SshsigError::NotASignature(_)));
}

#[test]
fn what_is_no_public_key_is_told() {
    let long = format!("{ED25519} {}", "x".repeat(16 * 1024));
    for text in ["", "ssh-ed25519", "ssh-ed25519 !", &ED25519.replace("ssh-ed25519 ", "ssh-rsa "), &long] {
        assert_eq!(fingerprint(text), Err(SshsigError::NotAKey));
        assert_eq!(verify(text, NAMESPACE, MESSAGE, b""), Err(SshsigError::NotAKey));
    }
    assert!(fingerprint(ED25519).unwrap().starts_with("SHA256:"));
}

proptest! {
    #[test]
    fn no_bytes_whatever_make_it_panic_or_pass(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let inner = armour(&[b"SSHSIG\0\0\0\x01", &bytes[..]].concat());
        for armored in [&bytes, &armour(&bytes), &inner] {
            prop_assert!(verify(ED25519, NAMESPACE, MESSAGE, armored).is_err());
            let _ = key_of(armored);
        }
        let _ = fingerprint(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_fields_whatever_make_it_panic_or_pass(
        key in prop::sample::select(vec!["ssh-ed25519", "ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256",
            "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "x"]),
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4),
        algorithm in prop::sample::select(vec!["ssh-ed25519", "rsa-sha2-512", "ecdsa-sha2-nistp256",
            "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"]),
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let fields: Vec<u8> = fields.iter().flat_map(|field| string(field)).collect();
        let key = [string(key.as_bytes()), fields].concat();
        let armored = armour(&envelope(1, &key, NAMESPACE, "sha512", &inner(algorithm, &signature)));
        prop_assert!(verify(ED25519, NAMESPACE, MESSAGE, &armored).is_err());
        if let Ok(claimed) = key_of(&armored) {
            prop_assert!(verify(&claimed.openssh, NAMESPACE, MESSAGE, &armored).is_err());
        }
    }
}
