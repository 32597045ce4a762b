//! Files and directories for their owner alone. Where there are no modes, access follows the directory.

use std::{fs, io, path::Path};

/// Creates a directory and those above it that are missing, for the owner alone. One that is there stays as it is.
///
/// # Errors
/// It cannot be created.
pub fn directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    if path.as_os_str().is_empty() { Ok(()) } else { builder.create(path) }
}

/// Leaves a file that was just made to its owner alone.
///
/// # Errors
/// It is not ours.
#[cfg(unix)]
pub fn file(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

/// Leaves a file as it is.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn file(_: &Path) -> io::Result<()> {
    Ok(())
}
