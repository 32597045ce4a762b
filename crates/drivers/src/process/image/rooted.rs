//! Paths inside an unpacked image, resolved as a process would see them whose root directory that image is.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// As many symbolic links as Linux follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The real place of `path` below `root`. Symbolic links are followed inside: an absolute target begins at `root`, and
/// `..` at `root` stays there. What does not exist is taken as it is written. The last link is followed only on request.
///
/// Nobody else may change the tree meanwhile: images are unpacked in a private directory and read-only by convention later.
pub(crate) fn resolve(root: &Path, path: &Path, follow_last: bool) -> io::Result<PathBuf> {
    let mut pending = parts(path);
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(part) = pending.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let followed = follow_last || !pending.is_empty();
        let Some(target) = link_target(&root.join(&next)).filter(|_| followed) else {
            at = next;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other(format!("{} goes through too many symbolic links", path.display())));
        }
        if target.is_absolute() {
            at = PathBuf::new();
        }
        for part in parts(&target).into_iter().rev() {
            pending.push_front(part);
        }
    }
    Ok(root.join(at))
}

fn link_target(path: &Path) -> Option<PathBuf> {
    let link = fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
    if link { fs::read_link(path).ok() } else { None }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/etc", root.join("abs")).unwrap();
        symlink("../../../../etc", root.join("usr/up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let resolved = |path: &str, follow| resolve(&root, Path::new(path), follow).unwrap();
        assert_eq!(resolved("lib/x", true), root.join("usr/lib/x"));
        assert_eq!(resolved("abs/passwd", true), root.join("etc/passwd"));
        assert_eq!(resolved("usr/up/passwd", true), root.join("etc/passwd"));
        assert_eq!(resolved("/../../x/./y", true), root.join("x/y"));
        assert_eq!(resolved("lib", false), root.join("lib"));
        assert_eq!(resolved("lib", true), root.join("usr/lib"));
        assert!(resolve(&root, Path::new("loop/x"), true).is_err());
    }
}
