//! Where the log is kept: in which store, and with which keys it is opened.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sealift_domain::digest::Digest;
use sealift_engine::ports::{
    inbox::Inbox,
    log::{Log, LogError},
};
use sealift_store::{
    copy::Commits,
    git::GitLog,
    key::{Keyring, SigningKey, VerifierKey},
    key_file,
    sqlite::SqliteLog,
};

use super::git_remote;
use crate::{
    config::{Config, GitStore, Store},
    diagnostic::Diagnostic,
    failure, private,
    shell::Shell,
};

/// The environment variable with the private key of the log, in the form of its file.
pub const KEY_VARIABLE: &str = "SEALIFT_LOG_KEY";
/// The environment variable with the token for a remote over HTTPS.
pub const TOKEN_VARIABLE: &str = "SEALIFT_GIT_TOKEN";
/// The name of the key files in the state directory, where the log is no file that they could lie beside.
const KEY_NAME: &str = "log";

/// A log in its store.
#[derive(Clone)]
pub enum Opened {
    /// In a file.
    Sqlite(Arc<SqliteLog>),
    /// On a branch.
    Git(Arc<GitLog>),
}

impl Opened {
    /// The log.
    pub fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Sqlite(log) => log.clone(),
            Self::Git(log) => log.clone(),
        }
    }

    /// Where people without the key of the log hand in what they signed.
    pub fn inbox(&self) -> Option<Arc<dyn Inbox>> {
        match self {
            Self::Sqlite(_) => None,
            Self::Git(log) => Some(log.clone()),
        }
    }

    /// The log as it is copied between stores.
    pub fn commits(&self) -> &dyn Commits {
        match self {
            Self::Sqlite(log) => log.as_ref(),
            Self::Git(log) => log.as_ref(),
        }
    }

    /// The public key of the log.
    pub fn public_key(&self) -> Result<String, Diagnostic> {
        let keys = match self {
            Self::Sqlite(log) => log.keys(),
            Self::Git(log) => log.keys(),
        };
        let newest = keys.trusted().last().map(ToString::to_string);
        newest.ok_or_else(|| failure::key("the log was opened with no key"))
    }

    async fn object_digests(&self) -> Result<Vec<Digest>, Diagnostic> {
        let found = match self {
            Self::Sqlite(log) => log.object_digests(),
            Self::Git(log) => log.object_digests().await,
        };
        found.map_err(|error| failure::of_log(&error))
    }

    /// Writes the log as static files, and returns how many entries it has.
    pub async fn export(&self, directory: &Path) -> Result<u64, Diagnostic> {
        let objects = self.object_digests().await?;
        let written = sealift_store::export::export(self.log().as_ref(), &objects, directory).await;
        Ok(written.map_err(|error| failure::of_log(&error))?.size)
    }
}

/// The files of a log's keys.
pub struct KeyFiles {
    /// The private key.
    pub private: PathBuf,
    /// The public key, for auditors.
    pub public: PathBuf,
}

impl KeyFiles {
    /// Those of the log of a configuration.
    pub fn of(config: &Config) -> Self {
        Self::of_store(&config.directory, &config.store)
    }

    fn of_store(directory: &Path, store: &Store) -> Self {
        match store {
            Store::Sqlite(path) => Self::beside(&directory.join(path)),
            Store::Git(_) => Self::beside(&directory.join(store.state()).join(KEY_NAME)),
        }
    }

    fn beside(log: &Path) -> Self {
        Self { private: log.with_extension("key"), public: log.with_extension("pub") }
    }

    /// The private key: from the environment, else from its file; `None` if there is none.
    fn secret(&self, shell: &Shell) -> Result<Option<SigningKey>, Diagnostic> {
        if let Some(text) = shell.variable(KEY_VARIABLE) {
            let read = SigningKey::from_text(text.trim());
            return read.map(Some).map_err(|why| failure::key(&format!("the key in ${KEY_VARIABLE}: {why}")));
        }
        if !self.private.exists() {
            return Ok(None);
        }
        key_file::read(&self.private).map(Some).map_err(|error| failure::key(&error.to_string()))
    }

    fn verifier(&self) -> Result<VerifierKey, Diagnostic> {
        let text =
            std::fs::read_to_string(&self.public).map_err(|error| failure::file("read", &self.public, &error))?;
        text.trim().parse().map_err(|error| failure::key(&format!("{}: {error}", self.public.display())))
    }

    /// Makes a pair named `origin`.
    fn make(&self, origin: &str) -> Result<SigningKey, Diagnostic> {
        let directory = self.private.parent().unwrap_or(Path::new("."));
        private::directory(directory).map_err(|error| failure::file("create", directory, &error))?;
        let key = SigningKey::generate(origin).map_err(|error| failure::key(&error.to_string()))?;
        key_file::write_new(&self.private, &key).map_err(|error| failure::key(&error.to_string()))?;
        std::fs::write(&self.public, format!("{}\n", key.verifier()))
            .map_err(|error| failure::file("write", &self.public, &error))?;
        Ok(key)
    }
}

/// Opens the log of a configuration: to write where its private key is at hand, else to read.
pub async fn open(shell: &Shell, config: &Config) -> Result<Opened, Diagnostic> {
    match &config.store {
        Store::Sqlite(path) => {
            let path = config.directory.join(path);
            if !path.exists() {
                return Err(failure::no_log(&config.store));
            }
            let keys = keyring(shell, config)?;
            Ok(Opened::Sqlite(Arc::new(SqliteLog::open(&path, keys).map_err(|error| failure::of_log(&error))?)))
        }
        Store::Git(git) => {
            let keys = keyring(shell, config)?;
            let (remote, options) = git_remote::of(shell, config, git)?;
            let log = GitLog::open(remote, options, keys).await.map_err(|error| failure::of_log(&error))?;
            Ok(Opened::Git(Arc::new(log)))
        }
    }
}

/// The keys of the log of a configuration: the private one where it is at hand.
fn keyring(shell: &Shell, config: &Config) -> Result<Keyring, Diagnostic> {
    let files = KeyFiles::of(config);
    match (&config.store, files.secret(shell)?) {
        (Store::Git(git), secret) => branch_keys(secret, &files, git),
        (Store::Sqlite(_), Some(key)) => Ok(Keyring::writer(key)),
        (Store::Sqlite(_), None) => Ok(Keyring::reader(files.verifier()?)),
    }
}

/// With which keys a branch is opened. Where the configuration names the public key, a private one must belong to it.
fn branch_keys(secret: Option<SigningKey>, files: &KeyFiles, git: &GitStore) -> Result<Keyring, Diagnostic> {
    let named = git.key.as_deref().map(str::parse::<VerifierKey>).transpose();
    let named = named.map_err(|why| failure::key(&format!("`store.key`: {why}")))?;
    match (secret, named) {
        (Some(key), Some(named)) if *key.verifier() != named => Err(failure::key(&format!(
            "the private key at hand belongs to {}, and `store.key` names {named}",
            key.verifier()
        ))),
        (Some(key), _) => Ok(Keyring::writer(key)),
        (None, Some(named)) => Ok(Keyring::reader(named)),
        (None, None) if files.public.exists() => Ok(Keyring::reader(files.verifier()?)),
        (None, None) => Err(failure::no_log_key(KEY_VARIABLE)),
    }
}

/// The public key of a log that is about to be made on a branch. Its private one is made, named `origin`, unless it is at hand.
pub fn key_of_branch(shell: &Shell, directory: &Path, store: &Store, origin: &str) -> Result<VerifierKey, Diagnostic> {
    let files = KeyFiles::of_store(directory, store);
    let key = files.secret(shell)?.map_or_else(|| files.make(origin), Ok)?;
    Ok(key.verifier().clone())
}

/// Makes the log of a configuration, with a fresh key named `origin` unless there is one.
pub async fn create(shell: &Shell, config: &Config, origin: &str) -> Result<Opened, Diagnostic> {
    let files = KeyFiles::of(config);
    match &config.store {
        Store::Sqlite(path) => Ok(Opened::Sqlite(create_file(&config.directory.join(path), origin)?)),
        Store::Git(git) => {
            let (remote, options) = git_remote::of(shell, config, git)?;
            let key = files.secret(shell)?.map_or_else(|| files.make(origin), Ok)?;
            let log = GitLog::create(remote, options, key).await.map_err(|error| failure::of_log(&error))?;
            Ok(Opened::Git(Arc::new(log)))
        }
    }
}

/// Where a log is copied to: a store that holds its beginning already, or a new one. The public key is enough, because commits are
/// copied with their signatures; a file gets it beside itself, so that it can be read and audited.
pub async fn destination(shell: &Shell, config: &Config, to: &Store, from: &Opened) -> Result<Opened, Diagnostic> {
    let failed = |error| failure::of_log(&error);
    let keys = || keyring(shell, config);
    match to {
        Store::Sqlite(path) => {
            let path = config.directory.join(path);
            let log = if path.exists() {
                SqliteLog::open_copy(&path, keys()?).map_err(failed)?
            } else {
                let directory = path.parent().unwrap_or(Path::new("."));
                private::directory(directory).map_err(|error| failure::file("create", directory, &error))?;
                let first = from.commits().first().await.map_err(failed)?;
                let log = SqliteLog::create_copy(&path, keys()?, &first).map_err(failed)?;
                private::file(&path).map_err(|error| failure::file("protect", &path, &error))?;
                log
            };
            publish_key(&KeyFiles::beside(&path).public, &keys()?)?;
            Ok(Opened::Sqlite(Arc::new(log)))
        }
        Store::Git(git) => {
            let (remote, options) = git_remote::of(shell, config, git)?;
            match GitLog::open(remote.clone(), options.clone(), keys()?).await {
                Ok(log) => return Ok(Opened::Git(Arc::new(log))),
                // The branch is not there yet; if that was not why, making it says so.
                Err(LogError::Unreachable { .. }) => {}
                Err(error @ LogError::Tampered { .. }) => return Err(failure::foreign_copy(&error, to)),
                Err(error) => return Err(failed(error)),
            }
            let first = from.commits().first().await.map_err(failed)?;
            let log = GitLog::create_copy(remote, options, keys()?, &first).await.map_err(failed)?;
            Ok(Opened::Git(Arc::new(log)))
        }
    }
}

/// Leaves the public key beside a copy, unless it has one.
fn publish_key(path: &Path, keys: &Keyring) -> Result<(), Diagnostic> {
    let Some(key) = keys.trusted().last().filter(|_| !path.exists()) else { return Ok(()) };
    std::fs::write(path, format!("{key}\n")).map_err(|error| failure::file("write", path, &error))
}

fn create_file(path: &Path, origin: &str) -> Result<Arc<SqliteLog>, Diagnostic> {
    let key = KeyFiles::beside(path).make(origin)?;
    let log = SqliteLog::create(path, key).map_err(|error| failure::of_log(&error))?;
    // Tokens and openings of personal data lie in it. What SQLite puts beside it gets the same permissions.
    private::file(path).map_err(|error| failure::file("protect", path, &error))?;
    Ok(Arc::new(log))
}

/// Creates a log in a file with a fresh key, named `origin`.
pub fn create_log(path: &Path, origin: &str) -> Result<Arc<dyn Log>, Diagnostic> {
    Ok(create_file(path, origin)?)
}

/// Opens a log in a file: to write where its key lies beside it, else to read with its public key.
pub fn open_log(path: &Path) -> Result<Arc<dyn Log>, Diagnostic> {
    if !path.exists() {
        return Err(failure::no_log(&Store::Sqlite(path.to_owned())));
    }
    let files = KeyFiles::beside(path);
    let keys = if files.private.exists() {
        Keyring::writer(key_file::read(&files.private).map_err(|error| failure::key(&error.to_string()))?)
    } else {
        Keyring::reader(files.verifier()?)
    };
    Ok(Arc::new(SqliteLog::open(path, keys).map_err(|error| failure::of_log(&error))?))
}
