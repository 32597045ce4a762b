//! The file of a signing key: one line, `PRIVATE+KEY+<name>+<8 hexadecimal digits>+<base64(0x01 || seed)>`, the form that
//! the tools around Go's `sumdb/note` read too. Only its owner may read it (mode 0600).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::key::{KeyError, SigningKey};

/// The largest key file that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// Why a key file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be opened, read or written.
    #[error("the signing key {} cannot be used: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others than the owner have access.
    #[error("the signing key {} is open to others (mode {mode:04o}): run `chmod 600` on it, and replace the key if anyone may have read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error("the signing key {} cannot be used: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Longer than any key.
    #[error("{} is not a signing key: it has more than {MAX_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
}

/// Writes `key` to a new file that only its owner can read, and syncs it. An existing file is never overwritten.
pub fn write_new(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let text = key.secret_text().map_err(|source| KeyFileError::Key { path: path.to_owned(), source })?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(io)?;
    let written = file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key helps nobody and would block the next try.
        drop(fs::remove_file(path));
    }
    written.map_err(io)
}

/// Reads the key of `path`, if only its owner has access to the file.
pub fn read(path: &Path) -> Result<SigningKey, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    check_mode(path, &file.metadata().map_err(io)?)?;
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > MAX_FILE {
        return Err(KeyFileError::TooLarge(path.to_owned()));
    }
    SigningKey::from_text(text.trim_end()).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyFileError::Exposed { path: path.to_owned(), mode }) }
}

/// Elsewhere, access follows the directory.
#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_was_written_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        let key = SigningKey::generate("log.example/shop").unwrap();
        write_new(&path, &key).unwrap();
        assert_eq!(read(&path).unwrap().verifier(), key.verifier());
        let again = write_new(&path, &key).unwrap_err();
        assert!(matches!(&again, KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists));
        assert!(again.to_string().contains("signing.key"), "{again}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        write_new(&path, &SigningKey::generate("log.example/shop").unwrap()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path).unwrap_err();
            assert!(matches!(refused, KeyFileError::Exposed { mode: m, .. } if m == mode), "{refused}");
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_being_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        write_new(&path, &SigningKey::generate("log.example/shop").unwrap()).unwrap();
        fs::write(&path, "some other secret\n").unwrap();
        let refused = read(&path).unwrap_err();
        assert!(matches!(refused, KeyFileError::Key { .. }));
        assert!(!refused.to_string().contains("other secret"), "{refused}");
        fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(matches!(read(&path), Err(KeyFileError::TooLarge(_))));
    }
}
