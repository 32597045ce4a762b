//! The private key with which this run writes facts about an environment: from the variable, or from beside the log.

use std::path::PathBuf;

use sealift_domain::{name::EnvironmentName, policy::Policy};
use sealift_engine::ports::writer::Writer as _;
use sealift_store::{
    key::{KeyError, SigningKey},
    key_file,
    writer::WriterKeys,
};

use crate::{config::Config, diagnostic::Diagnostic, failure, promotion_keys, shell::Shell};

/// The environment variable with the private key, `PRIVATE+KEY+…`.
pub const VARIABLE: &str = "SEALIFT_WRITER_KEY";
/// The file beside the log, or where other keys of this machine are.
const FILE: &str = "writer.key";

/// Where the private key lies that this machine uses by itself.
pub fn usual_file(config: &Config) -> PathBuf {
    promotion_keys::usual_file(config).with_file_name(FILE)
}

/// Where a new key for an environment is put, unless the command says otherwise.
pub fn new_file(config: &Config, environment: &EnvironmentName) -> PathBuf {
    promotion_keys::usual_file(config).with_file_name(format!("writer-{environment}.key"))
}

/// The key of this run, if it has one. Where one is named that cannot be used, nothing is done without it.
pub fn of(shell: &Shell, config: &Config) -> Result<WriterKeys, Diagnostic> {
    if let Some(text) = shell.variable(VARIABLE) {
        let key = SigningKey::from_text(text.trim());
        let refused = |why: KeyError| failure::writer_key(&format!("the key in ${VARIABLE} cannot be used: {why}"));
        return Ok(WriterKeys::new(Some(key.map_err(refused)?)));
    }
    let path = usual_file(config);
    if !path.exists() {
        return Ok(WriterKeys::default());
    }
    let key = key_file::read(&path).map_err(|why| failure::writer_key(&why.to_string()))?;
    Ok(WriterKeys::new(Some(key)))
}

/// The environment whose writer has this run's key, by a policy.
pub fn environment<'a>(keys: &WriterKeys, policy: &'a Policy) -> Option<&'a EnvironmentName> {
    let ours = keys.key()?;
    policy.writers().find(|(_, key)| **key == ours).map(|(environment, _)| environment)
}
