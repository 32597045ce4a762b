//! What pushes send, and what the remote keeps. Bytes, which are the same on every machine, not times.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, Log as _, NewLeaf};
use sealift_store::{conformance::leaf, git::GitLog};

use crate::fixture::{Place, git, realistic};

/// A repository that keeps each push as the pack that came.
fn packing() -> Place {
    let place = Place::new();
    git(&place.repository(), &["config", "receive.unpackLimit", "1"]);
    place
}

/// All objects of the remote.
fn objects(place: &Place) -> BTreeSet<String> {
    let all = git(&place.repository(), &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    all.lines().map(str::to_owned).collect()
}

/// Each object of the remote's packs: its bytes in the pack, and whether it is a delta.
fn packed(place: &Place) -> BTreeMap<String, (u64, bool)> {
    let mut packed = BTreeMap::new();
    for file in std::fs::read_dir(place.repository().join("objects/pack")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "idx") {
            let listed = git(&place.repository(), &["verify-pack", "-v", path.to_str().unwrap()]);
            for line in listed.lines() {
                let columns: Vec<&str> = line.split_whitespace().collect();
                if let (5 | 7, Some(Ok(bytes))) = (columns.len(), columns.get(3).map(|text| text.parse())) {
                    packed.insert(columns[0].to_owned(), (bytes, columns.len() == 7));
                }
            }
        }
    }
    packed
}

/// Appends and says how many bytes of objects were sent. What the remote puts into the pack besides, because it is what something
/// else is the difference to, it had before.
async fn sent(place: &Place, log: &GitLog, batch: Vec<NewLeaf>) -> (Head, u64) {
    let before = objects(place);
    let head = log.append(log.head().await.unwrap(), batch).await.unwrap();
    let new = packed(place).into_iter().filter(|(oid, _)| !before.contains(oid));
    (head, new.map(|(_, (bytes, _))| bytes).sum())
}

fn batch(first: u64, count: u64) -> Vec<NewLeaf> {
    (first..first + count).map(|index| realistic(index, false)).collect()
}

fn below(place: &Place, folder: &str) -> Vec<String> {
    place.files().into_keys().filter(|path| path.starts_with(folder)).collect()
}

#[tokio::test]
async fn an_append_sends_what_is_new_and_not_the_last_tile() {
    let place = packing();
    let log = place.create("writer").await;
    let (mut head, _) = sent(&place, &log, batch(0, 226)).await;
    let mut most = 0;
    while head.size < 290 {
        let size = head.size;
        let (next, bytes) = sent(&place, &log, batch(size, 2)).await;
        head = next;
        // The one that fills the tile also joins the files of its commits.
        if head.size == 256 {
            let joined = place.file("beside/000").len() as u64;
            assert!(bytes < joined, "{bytes} bytes, and {joined} before they are compressed");
        } else {
            most = most.max(bytes);
        }
    }
    assert!(most < 8_000, "{most} bytes for two entries");
    assert_eq!(below(&place, "delta/"), ["delta/0/001", "delta/1/000", "delta/entries/001"]);
    assert_eq!(place.file("delta/entries/001"), place.file("tile/entries/001.p/34"));
    assert_eq!(place.files()["delta/0/001"], place.files()["tile/0/001.p/34"]);
}

#[tokio::test]
async fn the_remote_stays_small_whoever_packs_it() {
    let place = Place::new();
    let log = place.create("writer").await;
    let mut head = log.append(log.head().await.unwrap(), batch(0, 200)).await.unwrap();
    let mut grown = Vec::new();
    while head.size < 560 {
        head = log.append(head, batch(head.size, 10)).await.unwrap();
        let path = last_entries(head.size);
        grown.push(place.files()[&path].clone());
    }
    // Loose objects: nothing of what pushes have found is left.
    git(&place.repository(), &["gc", "--quiet", "--prune=now"]);
    let packed = packed(&place);
    let whole: Vec<u64> = grown.iter().filter(|oid| !packed[*oid].1).map(|oid| packed[oid].0).collect();
    assert!(whole.len() <= 3, "{} of {} versions of three tiles are whole", whole.len(), grown.len());
    let all: u64 = grown.iter().map(|oid| packed[oid].0).sum();
    let plain = 560 * 500;
    assert!(all < plain, "{all} bytes for all versions of {plain} bytes of entries");
}

/// The entries of the last tile.
fn last_entries(size: u64) -> String {
    let (tile, width) = ((size - 1) / 256, size % 256);
    if width == 0 { format!("tile/entries/{tile:03}") } else { format!("tile/entries/{tile:03}.p/{width}") }
}

fn snapshot(index: u64, lines: u64) -> NewLeaf {
    let body: String = (0..lines).map(|line| format!("{}\n", Digest::of(&line.to_be_bytes()).hex())).collect();
    NewLeaf { objects: vec![body.into_bytes(), vec![1; 70_000]], ..realistic(index, true) }
}

#[tokio::test]
async fn snapshots_are_sent_and_kept_as_what_has_changed_since_the_last() {
    let place = packing();
    let log = place.create("writer").await;
    let (_, first) = sent(&place, &log, vec![snapshot(0, 3000)]).await;
    let mut later = Vec::new();
    for round in 1..5 {
        later.push(sent(&place, &log, vec![snapshot(round, 3000 + round * 10)]).await.1);
    }
    assert!(first > 100_000 && later.iter().all(|bytes| *bytes < 5_000), "{first}, then {later:?}");
    let files = place.files();
    let newest = &files["delta/body-of-snapshot"];
    assert_eq!(newest, &files["delta/snapshots/4/body-of-snapshot"]);
    assert_eq!(files.iter().filter(|(path, oid)| path.starts_with("objects/") && *oid == newest).count(), 1);
    git(&place.repository(), &["repack", "-a", "-d", "-f", "-q"]);
    let packed = packed(&place);
    let bodies = (0..5).map(|round| packed[&files[&format!("delta/snapshots/{round}/body-of-snapshot")]]);
    assert_eq!(bodies.filter(|(_, is_delta)| !is_delta).count(), 1, "of five bodies one is whole");
}

#[tokio::test]
async fn an_erased_snapshot_has_no_second_name() {
    let place = packing();
    let log = place.create("writer").await;
    let leaves = [snapshot(0, 2000), snapshot(1, 2001)];
    let digests = leaves.clone().map(|leaf| Digest::of(&leaf.objects[0]));
    for leaf in leaves.clone() {
        log.append(log.head().await.unwrap(), vec![leaf]).await.unwrap();
    }
    let blobs =
        ["delta/snapshots/0/body-of-snapshot", "delta/body-of-snapshot"].map(|path| place.files()[path].clone());
    for digest in digests {
        assert!(log.erase_object(digest).await.unwrap());
    }
    assert!(!place.files().values().any(|oid| blobs.contains(oid)), "{:?}", place.files());
    git(&place.repository(), &["-c", "gc.reflogExpire=now", "gc", "--quiet", "--prune=now"]);
    assert!(!objects(&place).iter().any(|oid| blobs.contains(oid)));
    let head = log.append(log.head().await.unwrap(), vec![snapshot(2, 2002)]).await.unwrap();
    assert_eq!(head.size, 3);
    assert!(place.files().contains_key("delta/body-of-snapshot"));
    assert_eq!(log.audit(None).await.unwrap().erased.len(), 2);
}

#[tokio::test]
async fn a_branch_without_second_names_gets_them_with_the_next_appends() {
    let place = packing();
    let log = place.create("writer").await;
    sent(&place, &log, batch(0, 100)).await;
    place.import("D delta\n");
    let reader = place.reader("reader").await.unwrap();
    assert_eq!(reader.audit(None).await.unwrap().size, 100);
    let (_, without) = sent(&place, &log, batch(100, 1)).await;
    assert_eq!(below(&place, "delta/"), ["delta/0/000", "delta/entries/000"]);
    let (_, with) = sent(&place, &log, batch(101, 1)).await;
    assert!(without > 20_000 && with < 5_000, "{without}, then {with}");
}

/// Who may push can put anything there. It is not read, and hinders nobody for longer than one append.
#[tokio::test]
async fn rubbish_under_second_names_is_not_read_and_goes() {
    for place in [Place::new(), Place::without_filter()] {
        let log = place.create("writer").await;
        log.append(log.head().await.unwrap(), batch(0, 100)).await.unwrap();
        log.append(log.head().await.unwrap(), vec![snapshot(100, 2000)]).await.unwrap();
        let rubbish = "x".repeat(2 << 20);
        let mut stream = String::new();
        for path in ["entries/000", "0/000", "body-of-snapshot", "other", "0/deep/er"] {
            stream.push_str(&format!(
                "M 100644 inline delta/{path}\ndata {}\n{rubbish}{path}\n",
                rubbish.len() + path.len()
            ));
        }
        place.import(&stream);
        let reader = place.reader("reader").await.unwrap();
        assert_eq!(reader.audit(None).await.unwrap().size, 101);
        log.append(log.head().await.unwrap(), vec![snapshot(101, 2001)]).await.unwrap();
        assert!(!place.files().contains_key("delta/entries/000"));
        log.append(log.head().await.unwrap(), vec![snapshot(102, 2002)]).await.unwrap();
        assert_eq!(place.files()["delta/entries/000"], place.files()["tile/entries/000.p/103"]);
        assert_eq!(below(&place, "delta/").len(), 6, "{:?}", below(&place, "delta/"));
        assert_eq!(reader.audit(None).await.unwrap().size, 103);
        // Nor does it matter what kind of thing it is.
        place.import("D delta\nM 100644 inline delta\ndata 1\nx\n");
        log.append(log.head().await.unwrap(), vec![leaf("x")]).await.unwrap();
        assert_eq!(place.reader("new").await.unwrap().audit(None).await.unwrap().size, 104);
    }
}

/// A reader has no body of a snapshot that it did not read, and the next one comes as the difference to it.
#[tokio::test]
async fn whoever_lacks_what_a_file_is_the_difference_to_gets_it() {
    let place = packing();
    let log = place.create("writer").await;
    log.append(log.head().await.unwrap(), vec![snapshot(0, 3000)]).await.unwrap();
    let reader = place.reader("reader").await.unwrap();
    let before = place.files()["delta/body-of-snapshot"].clone();
    assert!(!Place::cached(&reader).contains(&before), "a cold start does not fetch it");
    let next = snapshot(1, 3001);
    let body = next.objects[0].clone();
    let head = log.append(log.head().await.unwrap(), vec![next]).await.unwrap();
    assert_eq!(reader.head().await.unwrap(), head);
    assert_eq!(reader.objects(&[Digest::of(&body)]).await.unwrap(), [Some(body)]);
}
