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

/// Writes a file through another one beside it, which takes its name at the end; `-` is standard output.
pub fn write(shell: &Shell, path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    if path == Path::new("-") {
        shell.print(&String::from_utf8_lossy(bytes));
        return Ok(());
    }
    let target = shell.resolve(path);
    replace(&target, bytes).map_err(|error| failure::file("write", path, &error))
}

fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = target.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
    let beside = target.with_file_name(format!(".{}.{}", name.to_string_lossy(), nonce()));
    let written = OpenOptions::new().write(true).create_new(true).open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, target)
    });
    if written.is_err() {
        // Half a file must not be taken for one.
        drop(std::fs::remove_file(&beside));
    }
    written
}
