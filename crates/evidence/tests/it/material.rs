//! Signed material that our own code did not make, and checks of what it made: see `tests/material/` and
//! `scripts/evidence-tools`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use sealift_domain::{
    digest::Digest,
    evidence::{DetachedSignature, Evidence, Form, Identity, Origin, Trust, TrustRoot},
};
use sealift_evidence::{
    anchors::Anchors,
    public_key::PublicKey,
    read::{Found, read},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::run;

/// Whom the certificates of the material name, and who vouches for that.
pub(crate) const WORKFLOW: &str = "https://github.com/acme/web/.github/workflows/build.yml@refs/heads/main";
pub(crate) const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The material, made once for all tests of this process.
pub(crate) struct Material(TempDir);

/// The material, if the tools are there that make it. If not, says that `test` is skipped, or fails if the real parts are
/// required.
pub(crate) fn material(test: &str) -> Option<&'static Material> {
    static MADE: OnceLock<Option<Material>> = OnceLock::new();
    let made = MADE.get_or_init(|| tools().join("made-from").is_file().then(Material::make)).as_ref();
    if made.is_none() {
        let why = format!("there is no {} (scripts/evidence-tools makes it)", tools().display());
        assert!(std::env::var_os("SEALIFT_REQUIRE_REAL").is_none(), "{why}");
        println!("SKIPPED {test}: {why}");
    }
    made
}

fn tools() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    target.join("tools/evidence")
}

fn script(name: &str) -> Command {
    let mut command = match name.ends_with(".py") {
        true => Command::new(tools().join("venv/bin/python")),
        false => Command::new("node"),
    };
    command.env("NODE_PATH", tools().join("node_modules"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/material").join(name));
    command
}

impl Material {
    fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        run(script("keyed.py").arg(directory.path()));
        run(script("keyless.cjs").arg(directory.path()));
        Self(directory)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap()
    }

    /// What all of the material is about.
    pub(crate) fn subject(&self) -> Digest {
        Digest::of(&self.bytes("manifest.json"))
    }

    /// The keys of these kinds, as a policy trusts them.
    pub(crate) fn keys(&self, kinds: &[&str]) -> Trust {
        let key = |kind: &&str| PublicKey::from_pem(&self.text(&format!("{kind}.pub"))).unwrap().canonical().unwrap();
        Trust::Keys(kinds.iter().map(key).collect())
    }

    /// The workflow of the material under a trust root, as a policy trusts it.
    pub(crate) fn workflow(&self, root: &str) -> Trust {
        trust(WORKFLOW, ISSUER, &self.text(root))
    }
}

pub(crate) fn trust(identity: &str, issuer: &str, root: &str) -> Trust {
    let trust_root = TrustRoot::from_json(root).unwrap();
    Trust::Identity(Box::new(Identity { identity: identity.to_owned(), issuer: issuer.to_owned(), trust_root }))
}

/// A signature beside what it signs, by a key.
pub(crate) fn detached(signature: &str) -> DetachedSignature {
    DetachedSignature { signature: signature.to_owned(), ..DetachedSignature::default() }
}

/// What was found in a registry, without annotations.
pub(crate) fn found(form: Form, bytes: &[u8]) -> Found<'_> {
    Found { form, origin: Origin::Attached, bytes, detached: None }
}

/// Reads it as somebody does who trusts `trusts`.
pub(crate) fn believed(form: Form, bytes: &[u8], trusts: &[Trust]) -> Evidence {
    read(&found(form, bytes), &Anchors::new(trusts).unwrap())
}

/// Whether Python believes an envelope, and what is in it.
pub(crate) fn python_believes(envelope: &str, key: &str) -> Vec<u8> {
    checked("check.py", envelope, |command, key| _ = command.arg(key), key)
}

/// Whether Sigstore's own verifier believes a bundle by a key of this hint, and what is in it.
pub(crate) fn sigstore_believes(bundle: &str, key: &str, hint: &str) -> Vec<u8> {
    checked("check.cjs", bundle, |command, key| _ = command.arg("--key").arg(key).arg(hint), key)
}

fn checked(name: &str, signed: &str, arguments: impl Fn(&mut Command, &Path), key: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut command = script(name);
    command.arg(write("signed", signed));
    arguments(&mut command, &write("key", key));
    run(command.stdin(Stdio::null())).stdout
}
