//! Where the log is kept: which store, with which keys.

use std::{path::Path, sync::Arc};

use sealift_engine::ports::log::Log;
use sealift_store::{
    key::{Keyring, SigningKey},
    key_file,
    sqlite::SqliteLog,
};

use crate::{config::Config, diagnostic::Diagnostic, failure, private};

/// Where the signing key of a log lies.
fn key_path(log: &Path) -> std::path::PathBuf {
    log.with_extension("key")
}

/// Where the public key of a log lies, for auditors.
pub fn verifier_path(log: &Path) -> std::path::PathBuf {
    log.with_extension("pub")
}

/// Creates a log with a fresh key, named `origin`.
pub fn create_log(path: &Path, origin: &str) -> Result<Arc<dyn Log>, Diagnostic> {
    let directory = path.parent().unwrap_or(Path::new("."));
    private::directory(directory).map_err(|error| failure::file("create", directory, &error))?;
    let key = SigningKey::generate(origin).map_err(|error| failure::key(&error.to_string()))?;
    let public = format!("{}\n", key.verifier());
    key_file::write_new(&key_path(path), &key).map_err(|error| failure::key(&error.to_string()))?;
    let verifier = verifier_path(path);
    std::fs::write(&verifier, public).map_err(|error| failure::file("write", &verifier, &error))?;
    let log = SqliteLog::create(path, key).map_err(|error| failure::of_log(&error))?;
    // Tokens and openings of personal data lie in it. What SQLite puts beside it gets the same permissions.
    private::file(path).map_err(|error| failure::file("protect", path, &error))?;
    Ok(Arc::new(log))
}

/// Opens a log: to write where its key lies beside it, else to read with its public key.
pub fn open_log(path: &Path) -> Result<Arc<dyn Log>, Diagnostic> {
    if !path.exists() {
        return Err(failure::no_log(path));
    }
    let secret = key_path(path);
    let keys = if secret.exists() {
        Keyring::writer(key_file::read(&secret).map_err(|error| failure::key(&error.to_string()))?)
    } else {
        let public = verifier_path(path);
        let text = std::fs::read_to_string(&public).map_err(|error| failure::file("read", &public, &error))?;
        Keyring::reader(text.trim().parse().map_err(|error| failure::key(&format!("{}: {error}", public.display())))?)
    };
    Ok(Arc::new(SqliteLog::open(path, keys).map_err(|error| failure::of_log(&error))?))
}

/// Writes a log as static files, and returns how many entries it has.
pub async fn export(config: &Config, log: &dyn Log, directory: &Path) -> Result<u64, Diagnostic> {
    let failed = |error| failure::of_log(&error);
    let public = verifier_path(&config.directory.join(&config.store));
    let path = config.directory.join(&config.store);
    let text = std::fs::read_to_string(&public).map_err(|error| failure::file("read", &public, &error))?;
    let verifier = text.trim().parse().map_err(|error| failure::key(&format!("{}: {error}", public.display())))?;
    let objects =
        SqliteLog::open(&path, Keyring::reader(verifier)).map_err(failed)?.object_digests().map_err(failed)?;
    Ok(sealift_store::export::export(log, &objects, directory).await.map_err(failed)?.size)
}
