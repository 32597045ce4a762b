//! Signatures by the real `ssh-keygen` and `ssh-agent`.

use std::process::Command;

use sealift_evidence::{
    signer::{SignError, Signer},
    sshsig::{SshsigError, Verified, fingerprint, key_of, verify},
};

use crate::support::{Key, MESSAGE, NAMESPACE, have, openssh_believes, run};

const KEYGEN: &[&str] = &["ssh-keygen"];

#[test]
fn each_kind_of_key_signs_and_is_verified() {
    if !have("each_kind_of_key_signs_and_is_verified", KEYGEN) {
        return;
    }
    for (kind, bits, algorithm) in [
        ("ed25519", "256", "ssh-ed25519"),
        ("ecdsa", "256", "ecdsa-sha2-nistp256"),
        ("ecdsa", "384", "ecdsa-sha2-nistp384"),
        ("rsa", "2048", "rsa-sha2-512"),
        ("rsa", "3072", "rsa-sha2-512"),
    ] {
        let key = Key::generate(kind, bits);
        let signature = key.sign(MESSAGE);
        let verified = verify(&key.public, NAMESPACE, MESSAGE, &signature).unwrap();
        let expected =
            Verified { fingerprint: openssh_fingerprint(&key), algorithm: algorithm.to_owned(), security_key: None };
        assert_eq!(verified, expected);
        assert_eq!(fingerprint(&key.public).unwrap(), expected.fingerprint);
        let altered = verify(&key.public, NAMESPACE, b"promote sha256:0124 to production\n", &signature);
        assert_eq!(altered.unwrap_err(), SshsigError::BadSignature, "{algorithm}");
    }
}

fn openssh_fingerprint(key: &Key) -> String {
    let output = run(Command::new("ssh-keygen").arg("-lf").arg(key.public_file()));
    String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_signature_counts_for_one_namespace_and_one_key() {
    if !have("a_signature_counts_for_one_namespace_and_one_key", KEYGEN) {
        return;
    }
    let (key, other) = (Key::generate("ed25519", "256"), Key::generate("ed25519", "256"));
    let signature = key.sign(MESSAGE);
    let error = verify(&key.public, "git", MESSAGE, &signature).unwrap_err();
    assert_eq!(error.to_string(), "signed for the namespace `sealift-test`, not for `git`");
    let error = verify(&other.public, NAMESPACE, MESSAGE, &signature).unwrap_err();
    let (found, expected) = (fingerprint(&key.public).unwrap(), fingerprint(&other.public).unwrap());
    assert_eq!(error, SshsigError::OtherKey { found, expected });
}

#[test]
fn a_signature_names_its_key() {
    if !have("a_signature_names_its_key", KEYGEN) {
        return;
    }
    let key = Key::generate("ecdsa", "256");
    let claimed = key_of(&key.sign(MESSAGE)).unwrap();
    assert_eq!(claimed.fingerprint, fingerprint(&key.public).unwrap());
    assert_eq!(claimed.openssh, key.public.trim().strip_suffix(" ana@acme.dev").unwrap());
}

#[test]
fn the_sha_256_form_is_verified_as_well() {
    if !have("the_sha_256_form_is_verified_as_well", KEYGEN) {
        return;
    }
    let key = Key::generate("ed25519", "256");
    let (dir, input) = (tempfile::tempdir().unwrap(), "message");
    std::fs::write(dir.path().join(input), MESSAGE).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-O", "hashalg=sha256", "-n", NAMESPACE, "-f"]).arg(key.file());
    run(command.arg(input).current_dir(dir.path()));
    let signature = std::fs::read(dir.path().join("message.sig")).unwrap();
    verify(&key.public, NAMESPACE, MESSAGE, &signature).unwrap();
    assert_eq!(verify(&key.public, NAMESPACE, b"", &signature), Err(SshsigError::BadSignature));
}

#[test]
fn line_ends_and_spaces_around_the_armour_do_not_matter() {
    if !have("line_ends_and_spaces_around_the_armour_do_not_matter", KEYGEN) {
        return;
    }
    let key = Key::generate("ed25519", "256");
    let signature = String::from_utf8(key.sign(MESSAGE)).unwrap();
    for text in [signature.replace('\n', "\r\n"), format!("\n  {signature}\n\n"), signature.trim_end().to_owned()] {
        verify(&format!("  {}\n", key.public), NAMESPACE, MESSAGE, text.as_bytes()).unwrap();
    }
}

#[test]
fn kinds_of_key_that_prove_too_little_are_refused() {
    if !have("kinds_of_key_that_prove_too_little_are_refused", KEYGEN) {
        return;
    }
    for (kind, bits, told) in [("rsa", "1024", "an RSA key of 1024 bits"), ("ecdsa", "521", "ecdsa-sha2-nistp521")] {
        let key = Key::generate(kind, bits);
        let Err(SignError::Wrong(SshsigError::Unsupported(what))) =
            Signer::default().sign(NAMESPACE, &key.file(), b"m")
        else {
            panic!("{kind} {bits} was accepted");
        };
        assert!(what.contains(told), "{what}");
    }
}

#[test]
fn an_agent_signs_for_a_public_key_file() {
    if !have("an_agent_signs_for_a_public_key_file", &["ssh-keygen", "ssh-agent", "ssh-add"]) {
        return;
    }
    let key = Key::generate("ed25519", "256");
    let agent = Agent::start();
    run(agent.command("ssh-add").arg("-q").arg(key.file()));
    std::fs::remove_file(key.file()).unwrap();
    // The signer inherits the environment of its process, which tests must not change: a script sets the socket.
    let wrapper = agent.wrapper();
    let signer = Signer::new(&wrapper, sealift_evidence::signer::Dialogue::Captured);
    let signature = signer.sign(NAMESPACE, &key.public_file(), MESSAGE).unwrap();
    verify(&key.public, NAMESPACE, MESSAGE, &signature).unwrap();
    assert!(openssh_believes(key.public.trim(), MESSAGE, &signature));
    let stranger = Key::generate("ed25519", "256");
    std::fs::remove_file(stranger.file()).unwrap();
    let error = signer.sign(NAMESPACE, &stranger.public_file(), MESSAGE).unwrap_err();
    assert!(matches!(&error, SignError::Refused { complaint, .. } if complaint.len() > 2), "{error}");
}

#[test]
fn a_key_that_is_not_there_or_locked_is_told() {
    if !have("a_key_that_is_not_there_or_locked_is_told", &["ssh-keygen", "setsid"]) {
        return;
    }
    let error = Signer::default().sign(NAMESPACE, std::path::Path::new("/nonexistent/id"), MESSAGE).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("`ssh-keygen` did not sign with /nonexistent/id: "), "{text}");
    assert!(text.contains("No such file"), "{text}");
    // Without a terminal there is nobody to ask for the passphrase.
    let key = Key::with_passphrase("ed25519", "256", "correct horse");
    let dir = tempfile::tempdir().unwrap();
    let wrapper = script(dir.path(), "exec setsid -w ssh-keygen \"$@\"");
    let signer = Signer::new(&wrapper, sealift_evidence::signer::Dialogue::Captured);
    let error = signer.sign(NAMESPACE, &key.file(), MESSAGE).unwrap_err();
    assert!(matches!(error, SignError::Refused { .. }), "{error}");
}

fn script(dir: &std::path::Path, line: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("run");
    // Written under another name first: a file open for writing cannot be executed.
    let draft = dir.join("draft");
    std::fs::write(&draft, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o700)).unwrap();
    run(Command::new("cp").arg(&draft).arg(&path));
    path
}

// An agent that ends with the test.
struct Agent {
    dir: tempfile::TempDir,
    process: std::process::Child,
}

impl Agent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let mut process = Command::new("ssh-agent");
        process.arg("-D").arg("-a").arg(&socket).stdout(std::process::Stdio::null());
        let process = process.spawn().unwrap();
        let agent = Self { dir, process };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !socket.exists() {
            assert!(std::time::Instant::now() < deadline, "the agent does not listen");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        agent
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SSH_AUTH_SOCK", self.dir.path().join("agent"));
        command
    }

    fn wrapper(&self) -> std::path::PathBuf {
        let socket = self.dir.path().join("agent");
        script(self.dir.path(), &format!("SSH_AUTH_SOCK='{}' exec ssh-keygen \"$@\"", socket.display()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
