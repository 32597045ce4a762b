//! Names in a tar archive: long ones, and which are acceptable.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use tar::{EntryType, Header, PaxExtensions};

use super::unpack::UnpackError;

/// `PATH_MAX` and `NAME_MAX` of Linux, in bytes.
const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;
/// The most that one header of long names or extended attributes may hold, in bytes.
const MAX_EXTENSION: u64 = 1 << 20;

/// Names for the next entry that did not fit into its header: GNU tar's `L` and `K` entries, and the `path` and `linkpath`
/// records of pax (POSIX.1-2017, `pax`, "pax Extended Header").
#[derive(Default)]
pub(super) struct LongNames {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl LongNames {
    /// Takes an entry that only describes the next one; false if this entry stands for itself.
    pub(super) fn take(&mut self, header: &Header, data: &mut impl Read) -> Result<bool, UnpackError> {
        let kind = header.entry_type();
        match kind {
            EntryType::GNULongName => self.path = Some(until_nul(read(header, data)?)),
            EntryType::GNULongLink => self.link = Some(until_nul(read(header, data)?)),
            EntryType::XHeader => self.records(&read(header, data)?)?,
            EntryType::XGlobalHeader => {
                read(header, data)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn records(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        let damaged = |why: String| UnpackError::refused(Path::new("pax header"), why);
        for record in PaxExtensions::new(bytes) {
            let record = record.map_err(|e| damaged(e.to_string()))?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| damaged("a size that is not a number".to_owned()))?);
                }
                key if key.starts_with(b"GNU.sparse") => return Err(damaged("sparse files are not read".to_owned())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Name and link target of the entry that follows.
    pub(super) fn apply(self, header: &Header) -> Result<(PathBuf, Option<PathBuf>), UnpackError> {
        let path = |bytes: Vec<u8>| PathBuf::from(OsStr::from_bytes(&bytes));
        let name = path(self.path.unwrap_or_else(|| header.path_bytes().into_owned()));
        let link = self.link.or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned())).map(path);
        // A size that only pax can hold is over every limit here, and one that contradicts the header is an attack.
        if self.size.is_some_and(|size| header.size().is_ok_and(|there| there != size)) {
            return Err(UnpackError::refused(&name, "header and pax record give different sizes"));
        }
        Ok((name, link))
    }
}

fn read(header: &Header, data: &mut impl Read) -> Result<Vec<u8>, UnpackError> {
    let at = "extended header";
    let size = header.size().map_err(UnpackError::io(at))?;
    if size > MAX_EXTENSION {
        return Err(UnpackError::refused(Path::new(at), format!("{size} bytes, at most {MAX_EXTENSION} are read")));
    }
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).map_err(UnpackError::io(at))?;
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
    bytes
}

/// A name as a path below the root; empty for the root itself. Absolute names and `..` are refused.
pub(super) fn clean(name: &Path) -> Result<PathBuf, UnpackError> {
    let bytes = name.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        let shown: String = name.display().to_string().chars().take(80).collect();
        return Err(UnpackError::refused(Path::new(&shown), "the name is empty, too long, or holds a NUL"));
    }
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) if part.len() <= MAX_NAME => path.push(part),
            Component::Normal(_) => return Err(UnpackError::refused(name, "a part of the name is too long")),
            Component::CurDir => {}
            Component::ParentDir => return Err(UnpackError::refused(name, "the name holds `..`")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(UnpackError::refused(name, "the name is absolute"));
            }
        }
    }
    Ok(path)
}

/// What a symbolic link in directory `place` (below the root) must say to mean `target` also for a process whose root
/// directory this is not: absolute targets become relative. `None` if it leads above the root.
pub(super) fn relative_target(place: &Path, target: &Path) -> Option<PathBuf> {
    let bytes = target.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        return None;
    }
    let start = if target.is_absolute() { 0 } else { place.components().count() };
    let mut depth = start;
    let mut relative = PathBuf::new();
    if target.is_absolute() {
        relative.extend(place.components().map(|_| ".."));
    }
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth = depth.checked_sub(1)?,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => continue,
        }
        relative.push(part);
    }
    Some(if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_root() {
        assert_eq!(clean(Path::new("./a//b/./c/")).unwrap(), Path::new("a/b/c"));
        assert_eq!(clean(Path::new("./")).unwrap(), Path::new(""));
        for name in ["", "/a", "a/../b", "..", "../a", "a\0b", &"x".repeat(256), &"x/".repeat(2100)] {
            assert!(clean(Path::new(name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn link_targets_become_relative_or_are_refused() {
        let said = |place: &str, target: &str| {
            relative_target(Path::new(place), Path::new(target)).map(|p| p.display().to_string())
        };
        assert_eq!(said("usr/bin", "/etc/alternatives/awk").as_deref(), Some("../../etc/alternatives/awk"));
        assert_eq!(said("", "/etc").as_deref(), Some("etc"));
        assert_eq!(said("", "/").as_deref(), Some("."));
        assert_eq!(said("usr/bin", "../lib/x").as_deref(), Some("../lib/x"));
        assert_eq!(said("usr/bin", "../../../etc/passwd"), None);
        assert_eq!(said("usr/bin", "/../etc"), None);
        assert_eq!(said("a", "b/../../../c"), None);
    }
}
