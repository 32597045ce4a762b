//! Files that people carry: read with a limit, written as a whole or not at all.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use crate::{diagnostic::Diagnostic, failure, shell::Shell, system::nonce};

/// Reads a file of at most `limit` bytes; of a larger one a byte more, so that whoever reads it sees that it is too large.
pub fn read(shell: &Shell, path: &Path, limit: usize) -> Result<Vec<u8>, Diagnostic> {
    let mut bytes = Vec::new();
    let read = File::open(shell.resolve(path))
        .and_then(|file| file.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|error| failure::file("read", path, &error))?;
    Ok(bytes)
}

/// Writes a file that is not there yet, as a whole or not at all; `-` is standard output. Whatever has the name already stays as it
/// is, a link and a device too, and no directory is made.
///
/// # Errors
/// E0101: the name is taken, or the file cannot be written.
pub fn write(shell: &Shell, path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    if path == Path::new("-") {
        shell.print(&String::from_utf8_lossy(bytes));
        return Ok(());
    }
    free(shell, path)?;
    publish(&shell.resolve(path), bytes).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => failure::file("write", path, &error),
    })
}

/// That nothing has a name yet, so that nobody signs or waits in vain. [`write()`] finds out for certain.
///
/// # Errors
/// E0101.
pub fn free(shell: &Shell, path: &Path) -> Result<(), Diagnostic> {
    if path == Path::new("-") || std::fs::symlink_metadata(shell.resolve(path)).is_err() {
        return Ok(());
    }
    Err(taken(path))
}

fn taken(path: &Path) -> Diagnostic {
    Diagnostic::new("E0101", format!("{} exists already", path.display()))
        .state("nothing was overwritten, and nothing else was changed")
        .next("name another file, or remove that one if nobody needs it, then run the command again")
}

/// Writes beside the target, then gives that its name: a link to it fails where anything has the name, and a rename would not.
fn publish(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = target.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
    let beside = target.with_file_name(format!(".{}.{}", name.to_string_lossy(), nonce()));
    let linked = create(&beside, bytes).and_then(|()| match std::fs::hard_link(&beside, target) {
        // A stick that files are carried on may know no links.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => create(target, bytes),
        linked => linked,
    });
    drop(std::fs::remove_file(&beside));
    linked
}

/// Writes a file that was not there. Half a file must not be taken for one.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        drop(std::fs::remove_file(path));
    }
    written
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_the_name_stays_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        publish(&at("new"), b"one").unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        std::os::unix::fs::symlink("new", at("link")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        for name in ["new", "directory", "dangling", "link", "socket"] {
            let refused = publish(&at(name), b"two").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert!(publish(&at("missing/new"), b"two").is_err() && !at("missing").exists());
        assert_eq!(std::fs::read(at("new")).unwrap(), b"one");
        assert!(std::fs::symlink_metadata(at("dangling")).unwrap().is_symlink() && !at("nowhere").exists());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 5, "nothing is left beside them");
    }
}
