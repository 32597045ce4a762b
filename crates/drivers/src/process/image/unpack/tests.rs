use std::os::unix::fs::MetadataExt;

use tempfile::TempDir;

use super::*;

struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Writes names as they are, also those that the `tar` crate would refuse.
    fn add(mut self, kind: EntryType, name: &str, link: &str, data: &[u8], mode: u32) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.add(EntryType::Regular, name, "", data.as_bytes(), 0o644)
    }

    fn dir(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "", b"", 0o755)
    }

    fn link(self, kind: EntryType, name: &str, to: &str) -> Self {
        self.add(kind, name, to, b"", 0o777)
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// An image root with a file beside it that no layer may touch.
struct Place {
    dir: TempDir,
    unpacker: Unpacker,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("outside"), "untouched").unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let unpacker = Unpacker::new(dir.path().join("root"));
        Self { dir, unpacker }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn apply(&mut self, tar: Tar) -> Result<(), UnpackError> {
        self.unpacker.layer(tar.bytes().as_slice())
    }

    fn refuses(&mut self, tar: Tar, why: &str) {
        let error = self.apply(tar).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        self.nothing_escaped();
    }

    fn nothing_escaped(&self) {
        let mut names: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["outside", "root"]);
        assert_eq!(fs::read_to_string(self.dir.path().join("outside")).unwrap(), "untouched");
    }

    /// All files below the root with their content, links with their target.
    fn tree(&self) -> Vec<String> {
        fn walk(at: &Path, root: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().display().to_string();
                let kind = fs::symlink_metadata(&path).unwrap();
                if kind.is_symlink() {
                    into.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
                } else if kind.is_dir() {
                    into.push(format!("{name}/"));
                    walk(&path, root, into);
                } else {
                    into.push(format!("{name}: {}", fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.root(), &self.root(), &mut all);
        all.sort();
        all
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../outside", "a/../../outside", "/etc/sealift-test", ".."] {
        Place::new().refuses(Tar::new().file(name, "x"), "the name");
    }
}

#[test]
fn links_that_lead_out_are_refused() {
    for target in ["../outside", "a/../../outside"] {
        Place::new().refuses(Tar::new().link(EntryType::Symlink, "x", target), "leads out");
    }
    for target in ["../outside", "/etc/passwd", "missing"] {
        Place::new().refuses(Tar::new().link(EntryType::Link, "x", target), "refused");
    }
}

#[test]
fn writing_through_a_link_stays_inside() {
    let mut place = Place::new();
    let outside = place.dir.path().display().to_string();
    let through = Tar::new().link(EntryType::Symlink, "door", &outside).file("door/outside", "owned");
    place.apply(through).unwrap();
    place.nothing_escaped();
    assert_eq!(fs::read_to_string(place.root().join("door/outside")).unwrap(), "owned");

    // A link that is already there is replaced, not written through.
    place.apply(Tar::new().link(EntryType::Symlink, "file", &format!("{outside}/outside")).file("file", "x")).unwrap();
    place.nothing_escaped();
    assert!(fs::symlink_metadata(place.root().join("file")).unwrap().is_file());
}

#[test]
fn a_hard_link_through_a_symbolic_link_does_not_reach_the_host() {
    let mut place = Place::new();
    let outside = place.dir.path().display().to_string();
    let tar = Tar::new().link(EntryType::Symlink, "door", &outside).link(EntryType::Link, "x", "door/outside");
    place.refuses(tar, "not a file of the image");
    let mut place = Place::new();
    let target = format!("{outside}/outside");
    let tar = Tar::new().link(EntryType::Symlink, "l", &target).link(EntryType::Link, "x", "l");
    place.refuses(tar, "not a file of the image");
}

#[test]
fn links_inside_work_like_in_a_container() {
    let mut place = Place::new();
    let base = Tar::new().dir("usr/").dir("usr/lib/").link(EntryType::Symlink, "lib", "usr/lib");
    place.apply(base.file("usr/lib/a", "a")).unwrap();
    let above = Tar::new().file("lib/b", "b").link(EntryType::Link, "c", "lib/a");
    place.apply(above.link(EntryType::Symlink, "usr/bin", "/usr/lib")).unwrap();
    assert_eq!(
        place.tree(),
        ["c: a", "lib -> usr/lib", "usr/", "usr/bin -> ../usr/lib", "usr/lib/", "usr/lib/a: a", "usr/lib/b: b"]
    );
}

#[test]
fn whiteouts_remove_what_earlier_layers_left() {
    let mut place = Place::new();
    let base = Tar::new().file("a/gone", "1").file("a/stays", "1").file("o/old", "1").file("o/deep/old", "1");
    place.apply(base.file("d/x", "1")).unwrap();
    let above = Tar::new().file("a/.wh.gone", "").file("o/new", "2").file("o/deep/new", "2").file("o/.wh..wh..opq", "");
    place
        .apply(above.file(".wh.d", "").file(".wh.missing", "").file("n/.wh..wh..opq", "").file(".wh..wh.plnk", ""))
        .unwrap();
    assert_eq!(place.tree(), ["a/", "a/stays: 1", "o/", "o/deep/", "o/deep/new: 2", "o/new: 2"]);
    for name in [".wh.", ".wh..", ".wh..."] {
        place.refuses(Tar::new().file(name, ""), "whiteout of nothing");
    }
}

#[test]
fn a_whiteout_does_not_follow_a_link_out() {
    let mut place = Place::new();
    let outside = place.dir.path().display().to_string();
    place.apply(Tar::new().link(EntryType::Symlink, "door", &outside)).unwrap();
    place.apply(Tar::new().file("door/.wh.outside", "").file("door/.wh..wh..opq", "")).unwrap();
    place.nothing_escaped();
    place.apply(Tar::new().file(".wh.door", "")).unwrap();
    assert_eq!(place.tree(), [] as [&str; 0]);
    place.nothing_escaped();
}

#[test]
fn one_kind_replaces_another() {
    let mut place = Place::new();
    place.apply(Tar::new().file("a/x", "1").file("b", "1").link(EntryType::Symlink, "c", "a")).unwrap();
    place.apply(Tar::new().file("a", "2").file("b/y", "2").dir("c/")).unwrap_err();
    place.apply(Tar::new().file("a", "2").dir("b/").file("b/y", "2").dir("c/")).unwrap();
    assert_eq!(place.tree(), ["a: 2", "b/", "b/y: 2", "c/"]);
}

#[test]
fn rights_are_reduced_and_devices_left_out() {
    let mut place = Place::new();
    let tar =
        Tar::new().add(EntryType::Regular, "su", "", b"x", 0o6755).add(EntryType::Directory, "d/", "", b"", 0o1000);
    let tar = tar.add(EntryType::Regular, "none", "", b"x", 0);
    place.apply(tar.add(EntryType::Char, "null", "", b"", 0o666).add(EntryType::Fifo, "fifo", "", b"", 0o666)).unwrap();
    let mode = |name: &str| fs::metadata(place.root().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("su"), mode("d"), mode("none")), (0o755, 0o700, 0o400));
    assert_eq!(fs::metadata(place.root().join("su")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(place.tree().len(), 3);
    place.refuses(Tar::new().add(EntryType::GNUSparse, "s", "", b"", 0o644), "unknown type");
}

#[test]
fn long_names_are_read_and_bounded() {
    let mut place = Place::new();
    let (long, part) = (format!("{}/f", "d".repeat(150)), "d".repeat(150));
    let named = Tar::new().add(EntryType::GNULongName, "././@LongLink", "", format!("{long}\0").as_bytes(), 0);
    place.apply(named.file("short", "gnu")).unwrap();
    assert_eq!(fs::read_to_string(place.root().join(&long)).unwrap(), "gnu");

    let record = |key: &str, value: &str| {
        let body = format!(" {key}={value}\n");
        let length = (body.len()..).find(|n| n.to_string().len() + body.len() == *n).unwrap();
        format!("{length}{body}")
    };
    let pax = |text: String| Tar::new().add(EntryType::XHeader, "pax", "", text.as_bytes(), 0);
    place.apply(pax(record("path", &format!("{part}/g"))).file("short", "pax")).unwrap();
    assert_eq!(fs::read_to_string(place.root().join(part).join("g")).unwrap(), "pax");

    place.refuses(pax(record("path", "../outside")).file("short", "x"), "`..`");
    place.refuses(pax(record("linkpath", "../outside")).link(EntryType::Symlink, "l", "short"), "leads out");
    place.refuses(pax(record("size", "9")).file("short", "x"), "different sizes");
    place.refuses(pax(record("x", &"y".repeat(1 << 20))).file("short", "x"), "at most");
}

#[test]
fn a_cut_archive_is_an_error() {
    let mut place = Place::new();
    let bytes = Tar::new().file("a", &"x".repeat(2000)).bytes();
    assert!(place.unpacker.layer(&bytes[..1500]).is_err());
}
