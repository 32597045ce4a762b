//! From what SQLite says to what the log reports.

use std::path::Path;

use rusqlite::{Error, ErrorCode};
use sealift_engine::ports::log::LogError;

/// The file, as errors name it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: String,
    mirror: bool,
}

impl Place {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.display().to_string(), mirror: false }
    }

    /// A mirror of a log elsewhere, which may begin anywhere.
    pub(super) fn mirror(path: &Path) -> Self {
        Self { mirror: true, ..Self::of(path) }
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.mirror
    }

    /// The store cannot do what was asked.
    pub(super) fn unavailable(&self, why: &str) -> LogError {
        LogError::Unavailable { place: self.path.clone(), why: why.to_owned() }
    }

    /// What an error of SQLite means: a value of the wrong type, a row or table that is not there and a page that makes
    /// no sense were never written by us; everything else is the world's fault.
    pub(super) fn failed(&self, error: Error) -> LogError {
        match error {
            // A file that ends where a page should be was cut off.
            Error::SqliteFailure(cause, _) if cause.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ => {
                tampered("the file is cut off", None)
            }
            Error::SqliteFailure(cause, message) => match cause.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::TypeMismatch | ErrorCode::Unknown => {
                    tampered(&message.unwrap_or_else(|| cause.to_string()), None)
                }
                ErrorCode::NotADatabase => self.unavailable("this file is not a Sealift log"),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    self.unavailable("another process holds the log; try again")
                }
                _ => self.unavailable(&message.unwrap_or_else(|| cause.to_string())),
            },
            Error::SqlInputError { msg, .. } => tampered(&msg, None),
            Error::InvalidPath(_) => self.unavailable("the path is not valid"),
            other => tampered(&other.to_string(), None),
        }
    }
}

/// What is stored is not what was written.
pub(super) fn tampered(what: &str, at: Option<u64>) -> LogError {
    LogError::Tampered { what: what.to_owned(), at }
}
