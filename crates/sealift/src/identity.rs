//! The person at the keyboard: an SSH key that the policy knows.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use sealift_domain::{
    approval::{ACT_NAMESPACE, Act},
    ledger::Ledger,
    name::PersonId,
    policy::Policy,
};
use sealift_engine::{act, act::Signed, ports::clock::Clock};
use sealift_evidence::signer::{Dialogue, Signer};

use crate::{
    diagnostic::Diagnostic,
    failure,
    shell::Shell,
    system::{SystemClock, nonce},
};

/// A person with the key to sign with.
pub struct Identity {
    /// Who.
    pub person: PersonId,
    /// The public key, in the form of the policy.
    pub key: String,
    file: PathBuf,
    dialogue: Dialogue,
    program: OsString,
}

/// Keys that are looked for in `~/.ssh` where none is named, as ssh(1) does.
const USUAL_KEYS: [&str; 4] = ["id_ed25519.pub", "id_ed25519_sk.pub", "id_ecdsa.pub", "id_rsa.pub"];

/// The identity that `named` gives, else the first usual key of this account that the policy knows; `None` if there is none.
pub fn find(shell: &Shell, policy: &Policy, named: Option<&Path>) -> Result<Option<Identity>, Diagnostic> {
    if let Some(named) = named {
        let file = shell.resolve(named);
        let key = public_key(&file)?;
        let owner = policy.owner_of_key(&key).ok_or_else(|| {
            Diagnostic::new("E0604", format!("the key {} belongs to nobody in the policy", file.display()))
                .found(key.clone())
                .state("nothing was changed")
                .next("name another key with `--identity`, or add this one under `people` and accept it: `sealift policy accept --identity FILE`")
        })?;
        let person = owner.0.clone();
        return Ok(Some(identity(shell, person, (key, file))));
    }
    let Some(home) = shell.variable("HOME") else { return Ok(None) };
    let usual = USUAL_KEYS.iter().map(|name| Path::new(&home).join(".ssh").join(name)).filter(|path| path.exists());
    for file in usual {
        let Ok(key) = public_key(&file) else { continue };
        if let Some((person, _)) = policy.owner_of_key(&key) {
            // The private key beside it, if it is there; else the agent has it.
            let private = file.with_extension("");
            let file = if private.exists() { private } else { file };
            let person = person.clone();
            return Ok(Some(identity(shell, person, (key, file))));
        }
    }
    Ok(None)
}

/// The identity that a decision needs.
pub fn require(shell: &Shell, policy: &Policy, named: Option<&Path>) -> Result<Identity, Diagnostic> {
    find(shell, policy, named)?.ok_or_else(|| {
        Diagnostic::new("E0603", "nobody signs: no key was named, and none of this account is in the policy")
            .state("nothing was changed")
            .next("name your SSH key: `--identity ~/.ssh/id_ed25519` (a public key file works with an agent)")
    })
}

fn identity(shell: &Shell, person: PersonId, (key, file): (String, PathBuf)) -> Identity {
    let dialogue = if shell.stderr_terminal.is_some() { Dialogue::Terminal } else { Dialogue::Captured };
    let program = shell.variable("SEALIFT_SSH_KEYGEN").unwrap_or_else(|| "ssh-keygen".to_owned());
    Identity { person, key, file, dialogue, program: program.into() }
}

/// The public key of a key file, in the form of the policy: type and base64, no comment.
fn public_key(file: &Path) -> Result<String, Diagnostic> {
    let beside = PathBuf::from(format!("{}.pub", file.display()));
    let path = if file.extension().is_some_and(|e| e == "pub") || !beside.exists() { file } else { &beside };
    let text = std::fs::read_to_string(path).map_err(|error| failure::file("read", path, &error))?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(kind), Some(data)) if !kind.starts_with("-----") => Ok(format!("{kind} {data}")),
        _ => Err(Diagnostic::new("E0602", format!("{} is no OpenSSH public key", path.display()))
            .state("nothing was changed")
            .next(format!("write it beside the private key: `ssh-keygen -y -f {0} > {0}.pub`", file.display()))),
    }
}

impl Identity {
    /// Signs that this person does something, and why.
    pub fn act(&self, ledger: &Ledger, what: Act, reason: &str) -> Result<Signed, Diagnostic> {
        if reason.trim().is_empty() {
            return Err(failure::usage("say why: `--reason \"…\"`"));
        }
        let reason = reason.to_owned();
        let statement = act::statement(ledger, what, &self.person, reason, SystemClock.now(), nonce());
        let bytes = serde_json::to_vec(&statement.map_err(failure::of_engine)?).unwrap_or_default();
        let signature = self.sign(ACT_NAMESPACE, &bytes)?;
        Ok(Signed { statement: bytes, signature })
    }

    /// Signs `message` in `namespace` with `ssh-keygen`.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<Vec<u8>, Diagnostic> {
        let signer = Signer::new(&self.program, self.dialogue);
        signer.sign(namespace, &self.file, message).map_err(|error| {
            Diagnostic::new("E0602", error.to_string())
                .state("nothing was changed")
                .next("check that `ssh-keygen -Y sign` works with this key; Debian has it in `openssh-client`")
        })
    }
}
