//! Keys and signatures from the real `ssh-keygen`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_evidence::signer::Signer;
use tempfile::TempDir;

pub(crate) const NAMESPACE: &str = "sealift-test";
pub(crate) const MESSAGE: &[u8] = b"promote sha256:0123 to production\n";

/// Whether the programs are there. If not, says that `test` is skipped, or fails if the real parts are required.
pub(crate) fn have(test: &str, programs: &[&str]) -> bool {
    for program in programs {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).is_file());
        if !found {
            assert!(std::env::var_os("SEALIFT_REQUIRE_REAL").is_none(), "{program} is not installed");
            println!("SKIPPED {test}: {program} is not installed");
            return false;
        }
    }
    true
}

/// A key pair in a directory of its own.
pub(crate) struct Key {
    dir: TempDir,
    pub(crate) public: String,
}

impl Key {
    pub(crate) fn generate(kind: &str, bits: &str) -> Self {
        Self::with_passphrase(kind, bits, "")
    }

    pub(crate) fn with_passphrase(kind: &str, bits: &str, passphrase: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("id");
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-b", bits, "-C", "ana@acme.dev", "-N", passphrase, "-f"]).arg(&file);
        run(&mut command);
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        Self { dir, public }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("id")
    }

    pub(crate) fn public_file(&self) -> PathBuf {
        self.dir.path().join("id.pub")
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        Signer::default().sign(NAMESPACE, &self.file(), message).unwrap()
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Whether `ssh-keygen -Y verify` believes the signature.
pub(crate) fn openssh_believes(public: &str, message: &[u8], armored: &[u8]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path: PathBuf = Path::new(dir.path()).join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let signers = write("signers", format!("ana {public}\n").as_bytes());
    let signature = write("signature", armored);
    let message = std::fs::File::open(write("message", message)).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-I", "ana", "-n", NAMESPACE, "-f"]).arg(signers).arg("-s").arg(signature);
    command.stdin(message).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// A string as RFC 4251 encodes it.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Wraps the bytes of a signature into its armour.
pub(crate) fn armour(bytes: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(bytes);
    let lines: Vec<_> = encoded.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n")).into_bytes()
}

/// The bytes inside an armour.
pub(crate) fn unarmour(armored: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armored).unwrap();
    STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

/// The bytes of a signature with the given parts.
pub(crate) fn envelope(version: u32, key: &[u8], namespace: &str, hash: &str, signature: &[u8]) -> Vec<u8> {
    let fields = [key, namespace.as_bytes(), b"", hash.as_bytes(), signature].map(string).concat();
    [b"SSHSIG".as_slice(), &version.to_be_bytes(), &fields].concat()
}

/// The encoded key inside a public key's text.
pub(crate) fn key_bytes(public: &str) -> Vec<u8> {
    STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap()
}
