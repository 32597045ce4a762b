//! Unpacks layers without trusting them.
//!
//! Rules: OCI Image Specification 1.1, "Image Layer Filesystem Changeset". What is written stays below the root,
//! whatever names and links say; owners, set-id bits, devices and extended attributes are not taken over.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tar::{Archive, EntryType, Header};

use super::{
    names::{LongNames, clean, relative_target},
    rooted::resolve,
};

/// The most entries of all layers together.
pub(crate) const MAX_ENTRIES: u64 = 1_000_000;

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// An entry breaks a rule.
    #[error("entry `{entry}` is refused: {why}")]
    Refused { entry: String, why: String },
    /// The archive is damaged or over a limit, or the disk does not take it.
    #[error("{at}: {error}")]
    Io { at: String, error: io::Error },
}

impl UnpackError {
    pub(super) fn refused(entry: &Path, why: impl Into<String>) -> Self {
        Self::Refused { entry: entry.display().to_string(), why: why.into() }
    }

    pub(super) fn io(at: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { at: at.to_string(), error }
    }
}

/// A root directory under construction.
pub(crate) struct Unpacker {
    root: PathBuf,
    entries: u64,
}

/// One layer on its way in.
struct Layer<'a> {
    root: &'a Path,
    /// What this layer has put in place. A whiteout takes away what was there before the layer, and only that.
    placed: HashSet<PathBuf>,
}

impl Unpacker {
    /// Unpacks into `root`, an empty directory that nobody else writes to.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, entries: 0 }
    }

    /// Applies the next layer, an uncompressed tar archive.
    pub(crate) fn layer(&mut self, tar: impl Read) -> Result<(), UnpackError> {
        let mut archive = Archive::new(tar);
        // Raw: long names come as entries of their own, so that their size can be bounded before they are read.
        let entries = archive.entries().map_err(UnpackError::io("layer"))?.raw(true);
        let mut names = LongNames::default();
        let mut layer = Layer { root: &self.root, placed: HashSet::new() };
        for entry in entries {
            let mut entry = entry.map_err(UnpackError::io("layer"))?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(UnpackError::refused(Path::new("…"), format!("more than {MAX_ENTRIES} entries")));
            }
            let header = entry.header().clone();
            if names.take(&header, &mut entry)? {
                continue;
            }
            let (name, link) = std::mem::take(&mut names).apply(&header)?;
            layer.entry(&header, &name, link.as_deref(), &mut entry)?;
        }
        Ok(())
    }
}

impl Layer<'_> {
    fn entry(
        &mut self,
        header: &Header,
        name: &Path,
        link: Option<&Path>,
        data: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let path = clean(name)?;
        let Some(file_name) = path.file_name() else { return Ok(()) };
        let parent = resolve(self.root, path.parent().unwrap_or(Path::new("")), true)
            .map_err(UnpackError::io(path.display()))?;
        if let Some(hidden) = file_name.as_encoded_bytes().strip_prefix(b".wh.") {
            return self.whiteout(&path, &parent, hidden);
        }
        let kind = header.entry_type();
        if matches!(kind, EntryType::Char | EntryType::Block | EntryType::Fifo) {
            return Ok(());
        }
        fs::create_dir_all(&parent).map_err(UnpackError::io(path.display()))?;
        let target = parent.join(file_name);
        let link = || link.ok_or_else(|| UnpackError::refused(&path, "a link without a target"));
        match kind {
            EntryType::Directory => self.directory(header, &target),
            EntryType::Regular if name.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                self.directory(header, &target)
            }
            EntryType::Regular | EntryType::Continuous => self.file(header, &target, data),
            EntryType::Symlink => self.symlink(&path, &target, link()?)?,
            EntryType::Link => self.hard_link(&path, &target, link()?)?,
            other => return Err(UnpackError::refused(&path, format!("unknown type {:?}", other.as_byte() as char))),
        }
        .map_err(UnpackError::io(path.display()))?;
        self.remember(&target);
        Ok(())
    }

    fn directory(&self, header: &Header, target: &Path) -> io::Result<()> {
        let there = fs::symlink_metadata(target).is_ok_and(|m| m.is_dir());
        if !there {
            clear(target)?;
            fs::create_dir(target)?;
        }
        // The owner must be able to go on unpacking below it, and to remove it one day.
        fs::set_permissions(target, Permissions::from_mode(header.mode()? & 0o777 | 0o700))
    }

    fn file(&self, header: &Header, target: &Path, data: &mut impl Read) -> io::Result<()> {
        clear(target)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
        if io::copy(data, &mut file)? != header.size()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.set_permissions(Permissions::from_mode(header.mode()? & 0o777 | 0o400))?;
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(header.mtime().unwrap_or(0)));
        // A time that the file system cannot hold is no reason to refuse the file.
        let _ = file.set_modified(time.unwrap_or(SystemTime::UNIX_EPOCH));
        Ok(())
    }

    fn symlink(&self, path: &Path, target: &Path, link: &Path) -> Result<io::Result<()>, UnpackError> {
        let place = target.parent().and_then(|parent| parent.strip_prefix(self.root).ok()).unwrap_or(Path::new(""));
        let link = relative_target(place, link).ok_or_else(|| {
            UnpackError::refused(path, format!("the link leads out of the image: {}", link.display()))
        })?;
        Ok(clear(target).and_then(|()| symlink(link, target)))
    }

    fn hard_link(&self, path: &Path, target: &Path, link: &Path) -> Result<io::Result<()>, UnpackError> {
        let link = clean(link)?;
        let source = resolve(self.root, &link, false).map_err(UnpackError::io(path.display()))?;
        if !fs::symlink_metadata(&source).is_ok_and(|m| m.is_file()) {
            let why = format!("the hard link's target is not a file of the image: {}", link.display());
            return Err(UnpackError::refused(path, why));
        }
        if source == target {
            return Ok(Ok(()));
        }
        Ok(clear(target).and_then(|()| fs::hard_link(source, target)))
    }

    fn whiteout(&self, path: &Path, parent: &Path, hidden: &[u8]) -> Result<(), UnpackError> {
        let done = match hidden {
            b".wh..opq" => self.remove_older_children(parent),
            b"" | b"." | b".." => return Err(UnpackError::refused(path, "a whiteout of nothing")),
            // Metadata of a union file system (`.wh..wh.plnk`, …), of no meaning here.
            other if other.starts_with(b".wh.") => Ok(()),
            // A slash cannot be in it: it is part of a file name.
            other => self.remove_older(&parent.join(OsStr::from_bytes(other))),
        };
        done.map_err(UnpackError::io(path.display()))
    }

    /// Removes what earlier layers put at `path`.
    fn remove_older(&self, path: &Path) -> io::Result<()> {
        if !self.placed.contains(path) {
            return clear(path);
        }
        let directory = fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
        if directory { self.remove_older_children(path) } else { Ok(()) }
    }

    fn remove_older_children(&self, directory: &Path) -> io::Result<()> {
        let children = match fs::read_dir(directory) {
            Ok(children) => children,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for child in children {
            self.remove_older(&child?.path())?;
        }
        Ok(())
    }

    fn remember(&mut self, target: &Path) {
        for path in target.ancestors().take_while(|path| *path != self.root) {
            if !self.placed.insert(path.to_owned()) {
                break;
            }
        }
    }
}

/// Makes room at `path`. A link is removed, never followed.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
