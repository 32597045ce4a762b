//! FIDO security keys, played by a key in software; the real `ssh-keygen -Y verify` is the witness that the play is
//! true to the format (`PROTOCOL.u2f`).

use sealift_evidence::sshsig::{SecurityKey, SshsigError, key_of, verify};
use sha2::{Digest, Sha256};
use signature::Signer;
use ssh_key::{HashAlg, PrivateKey, PublicKey, SshSig};

use crate::support::{Key, MESSAGE, NAMESPACE, armour, envelope, have, key_bytes, openssh_believes, string};

const APPLICATION: &[u8] = b"ssh:";
const TOUCHED: u8 = 0x01;
const TOUCHED_AND_PIN: u8 = 0x05;

struct Software {
    private: PrivateKey,
    algorithm: &'static str,
    public_bytes: Vec<u8>,
}

impl Software {
    fn new(kind: &str, algorithm: &'static str) -> Self {
        let key = Key::generate(kind, "256");
        let private = PrivateKey::from_openssh(std::fs::read(key.file()).unwrap()).unwrap();
        let plain = key_bytes(&key.public);
        let length = u32::from_be_bytes(plain[..4].try_into().unwrap()) as usize;
        // The same fields as those of the plain key, under another name and with the application at the end.
        let public_bytes = [&string(algorithm.as_bytes()), &plain[4 + length..], &string(APPLICATION)].concat();
        Self { private, algorithm, public_bytes }
    }

    fn public(&self) -> String {
        PublicKey::from_bytes(&self.public_bytes).unwrap().to_openssh().unwrap()
    }

    fn sign(&self, flags: u8, counter: u32) -> Vec<u8> {
        let trailer = [&[flags][..], &counter.to_be_bytes()].concat();
        let statement = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, MESSAGE).unwrap();
        let signed = [&Sha256::digest(APPLICATION)[..], &trailer, &Sha256::digest(statement)].concat();
        let raw = self.private.try_sign(&signed).unwrap();
        let inner = [string(self.algorithm.as_bytes()), string(raw.as_bytes()), trailer].concat();
        armour(&envelope(1, &self.public_bytes, NAMESPACE, "sha512", &inner))
    }
}

fn kinds() -> [Software; 2] {
    [
        Software::new("ed25519", "sk-ssh-ed25519@openssh.com"),
        Software::new("ecdsa", "sk-ecdsa-sha2-nistp256@openssh.com"),
    ]
}

#[test]
fn a_touched_security_key_is_believed() {
    if !have("a_touched_security_key_is_believed", &["ssh-keygen"]) {
        return;
    }
    for key in kinds() {
        for (flags, user_verified) in [(TOUCHED, false), (TOUCHED_AND_PIN, true)] {
            let signature = key.sign(flags, 7);
            let verified = verify(&key.public(), NAMESPACE, MESSAGE, &signature).unwrap();
            assert_eq!(verified.algorithm, key.algorithm);
            assert_eq!(verified.security_key, Some(SecurityKey { user_verified, counter: 7 }));
            assert_eq!(key_of(&signature).unwrap().openssh, key.public());
            assert!(openssh_believes(&key.public(), MESSAGE, &signature), "{}", key.algorithm);
            let altered = verify(&key.public(), NAMESPACE, b"other", &signature);
            assert_eq!(altered.unwrap_err(), SshsigError::BadSignature);
        }
    }
}

#[test]
fn a_security_key_that_nobody_touched_is_not() {
    if !have("a_security_key_that_nobody_touched_is_not", &["ssh-keygen"]) {
        return;
    }
    for key in kinds() {
        let signature = key.sign(0, 7);
        assert_eq!(verify(&key.public(), NAMESPACE, MESSAGE, &signature), Err(SshsigError::NotTouched));
    }
}

#[test]
fn flags_and_counter_are_under_the_signature() {
    if !have("flags_and_counter_are_under_the_signature", &["ssh-keygen"]) {
        return;
    }
    for key in kinds() {
        let mut bytes = crate::support::unarmour(&key.sign(0, 7));
        let flags = bytes.len() - 5;
        bytes[flags] = TOUCHED;
        let error = verify(&key.public(), NAMESPACE, MESSAGE, &armour(&bytes)).unwrap_err();
        assert_eq!(error, SshsigError::BadSignature);
    }
}
