//! The files of the branch: their names, and what lies beside the tree. `docs/ledger.md` is the description.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::LogError;
use serde::{Deserialize, Serialize};

use crate::{
    record::{Record, RecordLeaf},
    tile::{self, WIDTH},
};

/// Leaves of a tile.
pub(super) const TILE: u64 = WIDTH as u64;
/// The newest signed checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The index of every snapshot, one a line.
pub(super) const SNAPSHOTS: &str = "snapshots";
/// The digest of every object that was erased, one a line.
pub(super) const ERASED: &str = "erased";
/// Statements that were handed in.
pub(super) const INBOX: &str = "inbox/";
/// Objects up to this size lie in the file of their commit, in bytes.
pub(super) const INLINE: usize = 64 << 10;
/// Objects above this size lie elsewhere where there is such a place, in bytes.
pub(super) const LARGE: usize = 1 << 20;
/// The largest object on the branch, in bytes. Forges refuse files of 50 or 100 MB.
pub(super) const MAX_ON_BRANCH: usize = 48 << 20;
/// Files of a tile's commits are joined up to this size, in bytes.
pub(super) const MAX_JOINED: usize = 32 << 20;
/// The largest file of one commit, in bytes. What is larger is not written, because nobody would read it.
pub(super) const MAX_WRITTEN: usize = 60 << 20;
/// What a file of commits begins with.
const MAGIC: &str = "sealift-beside/v1\n";

/// Where an object lies that is a file of its own.
pub(super) fn object_path(digest: Digest) -> String {
    crate::export::object_path(digest)
}

/// The sign that an object lies elsewhere.
pub(super) fn elsewhere_path(digest: Digest) -> String {
    format!("{}.large", object_path(digest))
}

/// The file of all commits that begin in a tile.
pub(super) fn joined_path(tile: u64) -> String {
    tile::entries_path(tile, WIDTH).replacen("tile/entries/", "beside/", 1)
}

/// The file of the commits from the leaf `first` on.
pub(super) fn tail_path(first: u64) -> String {
    format!("{}{first}", tail_folder(first / TILE))
}

/// What the names of such files begin with, for the commits that begin in a tile.
pub(super) fn tail_folder(tile: u64) -> String {
    format!("{}.p/", joined_path(tile))
}

/// The entries of a tile in a log of `size` leaves.
pub(super) fn entries_path(size: u64, tile: u64) -> Option<String> {
    let width = width(size, 0, tile);
    (width > 0).then(|| tile::entries_path(tile, width))
}

/// A hash tile in a log of `size` leaves.
pub(super) fn tile_path(size: u64, level: usize, tile: u64) -> Option<String> {
    let width = width(size, level, tile);
    (width > 0).then(|| tile::tile_path(level, tile, width))
}

/// How many hashes a tile has in a log of `size` leaves.
pub(super) fn width(size: u64, level: usize, tile: u64) -> usize {
    let hashes = u32::try_from(level * 8).ok().and_then(|bits| size.checked_shr(bits)).unwrap_or(0);
    let hashes = hashes.saturating_sub(tile.saturating_mul(TILE)).min(TILE);
    usize::try_from(hashes).unwrap_or(WIDTH)
}

/// A state of the log that is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    pub(super) size: u64,
    pub(super) note: String,
    pub(super) annex: String,
}

/// A file of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// The state before the first of them.
    pub(super) after: At,
    /// In order.
    pub(super) commits: Vec<Commit>,
}

/// What a commit added beside the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) at: At,
    pub(super) leaves: Vec<Marks>,
    /// Small objects that its leaves name.
    pub(super) inline: BTreeMap<Digest, Vec<u8>>,
}

/// What is said of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marks {
    pub(super) snapshot: bool,
    pub(super) objects: BTreeSet<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    after: At,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    size: u64,
    note: String,
    annex: String,
    leaves: Vec<Marks>,
    inline: Vec<(Digest, u64)>,
}

impl Beside {
    pub(super) fn encode(&self) -> Result<Vec<u8>, LogError> {
        let mut bytes = MAGIC.as_bytes().to_vec();
        push_line(&mut bytes, &Header { after: self.after.clone() })?;
        for commit in &self.commits {
            let At { size, note, annex } = commit.at.clone();
            let inline = commit.inline.iter().map(|(digest, bytes)| (*digest, bytes.len() as u64)).collect();
            push_line(&mut bytes, &Line { size, note, annex, leaves: commit.leaves.clone(), inline })?;
            commit.inline.values().for_each(|object| bytes.extend_from_slice(object));
        }
        Ok(bytes)
    }

    pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<Self, LogError> {
        let wrong = |what: &str| tampered(&format!("the file `{path}` {what}"));
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or_else(|| wrong("is not of a form that is known here"))?;
        let (header, mut rest) = line::<Header>(rest).ok_or_else(|| wrong("has no readable beginning"))?;
        let mut commits = Vec::new();
        while !rest.is_empty() {
            let (found, after) = line::<Line>(rest).ok_or_else(|| wrong("has a commit that is not readable"))?;
            rest = after;
            let mut inline = BTreeMap::new();
            for (digest, length) in found.inline {
                let length = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
                let (object, after) = length.ok_or_else(|| wrong("is cut off"))?;
                if Digest::of(object) != digest {
                    return Err(wrong(&format!("has other content for the object {digest}")));
                }
                inline.insert(digest, object.to_vec());
                rest = after;
            }
            let at = At { size: found.size, note: found.note, annex: found.annex };
            commits.push(Commit { at, leaves: found.leaves, inline });
        }
        Ok(Self { after: header.after, commits })
    }
}

impl Commit {
    /// What of a record lies beside the tree and in the file of the commit.
    pub(super) fn of(record: &Record) -> Self {
        let leaves = record.leaves.iter();
        let small = record.objects.iter().filter(|(_, bytes)| bytes.len() <= INLINE);
        Self {
            at: At { size: record.size, note: record.note.clone(), annex: record.annex.clone() },
            leaves: leaves.map(|leaf| Marks { snapshot: leaf.snapshot, objects: leaf.objects.clone() }).collect(),
            inline: small.map(|(digest, bytes)| (*digest, bytes.clone())).collect(),
        }
    }

    /// The record of the commit that begins at `after`, with the bytes of its leaves.
    pub(super) fn record(self, after: u64, bytes: Vec<Vec<u8>>) -> Result<Record, LogError> {
        if bytes.len() != self.leaves.len() {
            return Err(tampered(&format!(
                "the commit after {after} entries says something of {} entries",
                self.leaves.len()
            )));
        }
        let marks = self.leaves.into_iter();
        let leaf = |(bytes, marks): (_, Marks)| RecordLeaf { bytes, snapshot: marks.snapshot, objects: marks.objects };
        let leaves = bytes.into_iter().zip(marks).map(leaf).collect();
        Ok(Record { after, size: self.at.size, note: self.at.note, annex: self.at.annex, leaves, objects: self.inline })
    }
}

fn push_line(bytes: &mut Vec<u8>, line: &impl Serialize) -> Result<(), LogError> {
    serde_json::to_writer(&mut *bytes, line).map_err(|why| tampered(&why.to_string()))?;
    bytes.push(b'\n');
    Ok(())
}

fn line<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((serde_json::from_slice(line).ok()?, rest.get(1..)?))
}

/// The numbers of a list of snapshots; lines that are none are passed over, for it is a hint only.
pub(super) fn numbers(bytes: &[u8]) -> BTreeSet<u64> {
    String::from_utf8_lossy(bytes).lines().filter_map(|line| line.parse().ok()).collect()
}

/// The digests of a list.
pub(super) fn digests(bytes: &[u8]) -> BTreeSet<Digest> {
    String::from_utf8_lossy(bytes).lines().filter_map(|line| format!("sha256:{line}").parse().ok()).collect()
}

/// A list of digests.
pub(super) fn digest_list(digests: &BTreeSet<Digest>) -> Vec<u8> {
    digests.iter().map(|digest| format!("{}\n", digest.hex())).collect::<String>().into_bytes()
}

pub(super) fn tampered(what: &str) -> LogError {
    LogError::Tampered { what: what.to_owned(), at: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside() -> Beside {
        let at = |size| At { size, note: format!("note {size}\n"), annex: format!("annex {size}\n") };
        let object = b"\n{}\n".to_vec();
        let marks = Marks { snapshot: true, objects: [Digest::of(&object), Digest::of(b"erased")].into() };
        let inline: BTreeMap<_, _> = [(Digest::of(&object), object)].into();
        let one = Commit { at: at(6), leaves: vec![marks.clone()], inline };
        let two = Commit { at: at(7), leaves: vec![Marks { snapshot: false, ..marks }], inline: BTreeMap::new() };
        Beside { after: at(5), commits: vec![one, two] }
    }

    #[test]
    fn a_file_of_commits_is_read_as_it_was_written() {
        let bytes = beside().encode().unwrap();
        assert_eq!(Beside::parse("x", &bytes).unwrap(), beside());
        assert!(bytes.starts_with(b"sealift-beside/v1\n{\"after\":{\"size\":5,"));
    }

    #[test]
    fn a_file_of_commits_that_was_cut_or_edited_is_refused_or_says_something_else() {
        let bytes = beside().encode().unwrap();
        let parts: Vec<usize> = (0..bytes.len()).filter(|at| Beside::parse("x", &bytes[..*at]).is_ok()).collect();
        assert_eq!(parts.len(), 2, "only where a commit ends: {parts:?}");
        for at in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            assert!(Beside::parse("x", &edited).map_or(true, |found| found != beside()), "byte {at}");
        }
    }

    #[test]
    fn files_have_the_names_of_the_description() {
        assert_eq!(joined_path(1_234_067), "beside/x001/x234/067");
        assert_eq!(tail_path(515), "beside/002.p/515");
        assert_eq!(entries_path(300, 1).as_deref(), Some("tile/entries/001.p/44"));
        assert_eq!(entries_path(256, 1), None);
        assert_eq!(tile_path(70_000, 1, 1).as_deref(), Some("tile/1/001.p/17"));
        assert_eq!(tile_path(70_000, 2, 0).as_deref(), Some("tile/2/000.p/1"));
        assert_eq!(tile_path(70_000, 3, 0), None);
        assert_eq!(width(u64::MAX, 9, 0), 0);
    }
}
