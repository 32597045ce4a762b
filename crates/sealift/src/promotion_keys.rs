//! The private keys that promotions are attested with: from the environment, from the file that the configuration names, or from
//! beside the log. They sign, and are never shown.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use sealift_domain::signature::PublicKey;
use sealift_engine::ports::attest::{Attestor, Opened, Signed};
use sealift_evidence::{
    bundle::{Bundle, Content},
    public_key,
    signing::{self, MAX_TEXT, PromotionKey},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{config::Config, private, shell::Shell, tls_files};

/// The environment variable with a private key, PEM.
pub const VARIABLE: &str = "SEALIFT_PROMOTION_KEY";
/// The file in the state directory.
const FILE: &str = "promotion.key";

/// The keys that are at hand, and why others are not.
#[derive(Debug, Default)]
pub struct PromotionKeys {
    at_hand: Vec<PromotionKey>,
    not: Vec<String>,
}

/// Where the private key lies, unless the configuration says otherwise.
pub fn usual_file(config: &Config) -> PathBuf {
    beside(&config.directory.join(config.store.state()))
}

/// Where the private key lies in a state directory ([`Store::state`](crate::config::Store::state)).
pub fn beside(state: &Path) -> PathBuf {
    state.join(FILE)
}

impl PromotionKeys {
    /// None: signatures are verified, and none is made.
    pub fn none() -> Self {
        Self { at_hand: Vec::new(), not: vec!["this command signs nothing".to_owned()] }
    }

    /// Those of this account. A key that cannot be read is told when one is wanted: most commands want none.
    pub fn of(shell: &Shell, config: &Config) -> Self {
        let mut keys = Self::default();
        if let Some(text) = shell.variable(VARIABLE) {
            let read =
                PromotionKey::from_pem(&text).map_err(|why| format!("the key in ${VARIABLE} cannot be used: {why}"));
            keys.take(read);
        }
        let (path, named) = match &config.private_key {
            Some(path) => (path.clone(), true),
            None => (usual_file(config), false),
        };
        if named || path.exists() {
            keys.take(read(&path));
        }
        if keys.at_hand.is_empty() && keys.not.is_empty() {
            keys.not.push(format!("neither ${VARIABLE} nor {} has one", path.display()));
        }
        keys
    }

    fn take(&mut self, read: Result<PromotionKey, String>) {
        match read {
            Ok(key) => self.at_hand.push(key),
            Err(why) => self.not.push(why),
        }
    }

    /// The public halves of those at hand.
    pub fn public(&self) -> Vec<&public_key::PublicKey> {
        self.at_hand.iter().map(PromotionKey::public).collect()
    }

    /// Why other keys are not at hand.
    pub fn why_not(&self) -> &[String] {
        &self.not
    }

    fn find(&self, key: &PublicKey) -> Option<&PromotionKey> {
        self.at_hand.iter().find(|ours| ours.public().to_pem() == key.pem())
    }
}

/// Reads a private key, if nobody but its owner can.
fn read(path: &Path) -> Result<PromotionKey, String> {
    let unusable = |why: String| format!("the key in {} cannot be used: {why}", path.display());
    let exposed = is_exposed(path).map_err(|why| unusable(why.to_string()))?;
    if exposed {
        return Err(unusable(
            "others can read it; run `chmod 600` on it, and replace the key if anyone may have".into(),
        ));
    }
    let bytes = zeroize::Zeroizing::new(tls_files::read(path, MAX_TEXT).map_err(unusable)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable("it is not text".to_owned()))?;
    PromotionKey::from_pem(text).map_err(|why| unusable(why.to_string()))
}

#[cfg(unix)]
fn is_exposed(path: &Path) -> std::io::Result<bool> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path)?.permissions());
    Ok(mode & 0o077 != 0)
}

/// Elsewhere, access follows the directory.
#[cfg(not(unix))]
fn is_exposed(_: &Path) -> std::io::Result<bool> {
    Ok(false)
}

/// Writes a new key: the private half for its owner alone, the public half beside it under another name. Nothing that is there is
/// written over.
pub fn generate(secret_file: &Path, public: &Path) -> Result<String, String> {
    let key = PromotionKey::generate().map_err(|why| why.to_string())?;
    let secret = key.to_pem().map_err(|why| why.to_string())?;
    let pem = key.public().to_pem();
    write_new(secret_file, secret.as_bytes(), 0o600)?;
    if let Err(why) = write_new(public, pem.as_bytes(), 0o644) {
        // Half a pair would only be in the way of the next try.
        drop(std::fs::remove_file(secret_file));
        return Err(why);
    }
    Ok(pem)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let failed = |why: std::io::Error| format!("cannot write {}: {why}", path.display());
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        private::directory(directory).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// The part of a bundle that is handed on as it is.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(rename = "dsseEnvelope", borrow)]
    envelope: &'a RawValue,
}

impl Attestor for PromotionKeys {
    fn key_among(&self, keys: &[PublicKey]) -> Result<PublicKey, String> {
        if let Some(key) = keys.iter().find(|key| self.find(key).is_some()) {
            return Ok(key.clone());
        }
        let others = self.at_hand.iter().map(|key| {
            let short = key.public().fingerprint().short();
            format!("the key at hand, {short}, is none that the policy takes for this environment")
        });
        Err(others.chain(self.not.iter().cloned()).collect::<Vec<_>>().join("; "))
    }

    fn sign(&self, key: &PublicKey, statement: &[u8]) -> Result<Signed, String> {
        let ours = self.find(key).ok_or_else(|| "the key is not at hand".to_owned())?;
        let envelope = ours.sign_statement(statement).map_err(|why| why.to_string())?;
        let bundle = signing::bundle(&envelope, ours.public()).map_err(|why| why.to_string())?;
        Ok(Signed { envelope: envelope.get().as_bytes().to_vec(), bundle: bundle.into_bytes() })
    }

    fn verify(&self, bundle: &[u8], keys: &[PublicKey]) -> Result<Opened, String> {
        let parsed = keys.iter().map(|key| public_key::PublicKey::from_pem(key.pem()));
        let parsed: Vec<_> = parsed.collect::<Result<_, _>>().map_err(|why| format!("a key cannot be used: {why}"))?;
        let read = Bundle::read(bundle).map_err(|why| why.to_string())?;
        let Content::Envelope(envelope) = &read.content else {
            return Err("it holds no statement".to_owned());
        };
        let signer = read.signed_by(&parsed).into_iter().next().and_then(|index| keys.get(index));
        let key = signer.cloned().ok_or_else(|| "it is signed by none of the keys".to_owned())?;
        let written: Written<'_> =
            serde_json::from_slice(bundle).map_err(|_| "its envelope cannot be read".to_owned())?;
        let (statement, envelope) = (envelope.payload().to_vec(), written.envelope.get().as_bytes().to_vec());
        Ok(Opened { statement, envelope, key })
    }
}
