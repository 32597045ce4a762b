//! How a branch that holds a log is reached: token, cache and surroundings of this account.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use sealift_engine::ports::large_objects::LargeObjects;
use sealift_registry::objects::ObjectRepository;
use sealift_store::git::{GitOptions, Remote, Token};

use super::stores::TOKEN_VARIABLE;
use crate::{
    config::{Config, GitStore},
    diagnostic::Diagnostic,
    failure,
    shell::Shell,
};

/// The environment variable with a checkpoint that was kept elsewhere.
const CHECKPOINT_VARIABLE: &str = "SEALIFT_CHECKPOINT";
/// The environment variable with the directory for copies of what lies elsewhere.
const CACHE_VARIABLE: &str = "SEALIFT_CACHE";
/// What git and ssh need of the surroundings, and what people set for them.
const FOR_GIT: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "GIT_CONFIG_GLOBAL",
];

/// The remote that a configuration names, and how this account reaches it.
pub(super) fn of(shell: &Shell, config: &Config, git: &GitStore) -> Result<(Remote, GitOptions), Diagnostic> {
    let remote: Remote = git.url.parse().map_err(|why| failure::remote(&why))?;
    let large = git.large_objects.as_ref().map(|repository| {
        let client = super::client(shell, config.registries.clone())?;
        Ok::<_, Diagnostic>(Arc::new(ObjectRepository::new(client, repository.clone())) as Arc<dyn LargeObjects>)
    });
    let token = match shell.variable(TOKEN_VARIABLE) {
        Some(text) => Some(Token::new(text.trim()).ok_or_else(|| failure::token(TOKEN_VARIABLE))?),
        None => None,
    };
    let variables = FOR_GIT.iter().filter_map(|name| Some((OsString::from(name), shell.variable(name)?.into())));
    let options = GitOptions {
        token,
        // Set and empty is a secret or a variable that was forgotten, and must not read as "compare with nothing".
        checkpoint: shell.variables.get(CHECKPOINT_VARIABLE).map(|text| checkpoint(text)).transpose()?,
        environment: variables.collect(),
        large: large.transpose()?,
        ..GitOptions::new(cache(shell)?)
    };
    Ok((remote, options))
}

/// A checkpoint as it was signed: a shell's `$(…)` takes the last line's end away, and some editors write another one.
fn checkpoint(text: &str) -> Result<String, Diagnostic> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim_end();
    if text.contains("\n\n\u{2014} ") { Ok(format!("{text}\n")) } else { Err(failure::checkpoint(CHECKPOINT_VARIABLE)) }
}

/// Where copies of what lies elsewhere are kept between runs (XDG Base Directory Specification, `XDG_CACHE_HOME`).
fn cache(shell: &Shell) -> Result<PathBuf, Diagnostic> {
    let own = shell.variable(CACHE_VARIABLE).map(PathBuf::from);
    let shared = || shell.variable("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("sealift"));
    let home = || shell.variable("HOME").map(|home| PathBuf::from(home).join(".cache/sealift"));
    let found = own.or_else(shared).or_else(home).map(|path| shell.resolve(&path));
    found.ok_or_else(|| failure::no_cache(CACHE_VARIABLE))
}
