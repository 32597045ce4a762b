//! What is fetched when.

use sealift_engine::ports::log::Log as _;

use crate::fixture::{Place, realistic};

/// 1100 entries in batches of 50; snapshots at the last entry of some.
async fn long(place: &Place) {
    let log = place.create("writer").await;
    let mut head = log.head().await.unwrap();
    for round in 0..22u64 {
        let snapshot = matches!(round, 6 | 17);
        let mut batch: Vec<_> = (0..50).map(|i| realistic(head.size + i, snapshot && i == 49)).collect();
        batch[7].objects.push(vec![round as u8; 100_000]);
        head = log.append(head, batch).await.unwrap();
    }
}

#[tokio::test]
async fn a_cold_start_fetches_what_a_fold_needs_and_no_more() {
    let place = Place::new();
    long(&place).await;
    let reader = place.reader("reader").await.unwrap();
    assert_eq!(reader.head().await.unwrap().size, 1100);
    let snapshot = reader.last_snapshot(1100).await.unwrap().unwrap();
    assert_eq!(snapshot, 899);
    assert_eq!(reader.leaves(snapshot, 1100).await.unwrap().len(), 201);
    let body = realistic(900, false).objects[0].clone();
    let digest = sealift_domain::digest::Digest::of(&body);
    assert_eq!(reader.objects(&[digest]).await.unwrap(), [Some(body)]);

    let here = Place::cached(&reader);
    let files = place.files();
    let fetched: Vec<&str> =
        files.iter().filter(|(_, blob)| here.contains(blob)).map(|(path, _)| path.as_str()).collect();
    for path in ["checkpoint", "snapshots", "tile/entries/003", "tile/entries/004.p/76", "beside/003", "tile/1/000.p/4"]
    {
        assert!(fetched.contains(&path), "{path} is needed: {fetched:?}");
    }
    for path in [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002",
        "beside/000",
        "beside/001",
        "beside/002",
        "tile/0/001",
    ] {
        assert!(files.contains_key(path) && !fetched.contains(&path), "{path} is not needed: {fetched:?}");
    }
    assert!(!fetched.iter().any(|path| path.starts_with("objects/")), "{fetched:?}");

    // A large object is fetched when it is asked for, and only that one.
    let large = vec![20u8; 100_000];
    let digest = sealift_domain::digest::Digest::of(&large);
    assert_eq!(reader.objects(&[digest]).await.unwrap(), [Some(large)]);
    let here = Place::cached(&reader);
    let objects = files.iter().filter(|(path, blob)| path.starts_with("objects/") && here.contains(blob));
    assert_eq!(objects.count(), 1);
}

#[tokio::test]
async fn older_entries_and_objects_come_when_they_are_asked_for() {
    for place in [Place::new(), Place::without_filter()] {
        long(&place).await;
        let reader = place.reader("reader").await.unwrap();
        assert_eq!(reader.last_snapshot(899).await.unwrap(), Some(349));
        assert_eq!(reader.leaves(340, 345).await.unwrap()[0], realistic(340, false).bytes);
        let here = Place::cached(&reader);
        let filtered =
            place.file("tile/entries/000").len() > 4096 && !here.contains(&place.files()["tile/entries/000"]);
        let body = realistic(3, false).objects[0].clone();
        let digests = [sealift_domain::digest::Digest::of(&body), sealift_domain::digest::Digest::of(b"never stored")];
        assert_eq!(reader.objects(&digests).await.unwrap(), [Some(body), None]);
        assert_eq!(reader.leaves(0, 1100).await.unwrap().len(), 1100);
        assert_eq!(reader.last_snapshot(349).await.unwrap(), None);
        let allowed = std::process::Command::new("git")
            .args(["config", "uploadpack.allowFilter"])
            .current_dir(place.repository())
            .output()
            .unwrap();
        assert_eq!(filtered, allowed.status.success(), "without filters everything comes at once");
        assert_eq!(reader.audit(None).await.unwrap().checkpoints, 23);
    }
}

#[tokio::test]
async fn a_snapshot_whose_commit_began_in_the_tile_before_is_found() {
    let place = Place::new();
    let log = place.create("writer").await;
    let mut head = log.head().await.unwrap();
    for round in 0..4u64 {
        let batch = (0..150).map(|i| realistic(head.size + i, round == 1 && i == 149)).collect();
        head = log.append(head, batch).await.unwrap();
    }
    let reader = place.reader("reader").await.unwrap();
    assert_eq!(reader.last_snapshot(600).await.unwrap(), Some(299));
    assert_eq!(reader.leaves(299, 600).await.unwrap().len(), 301);
}

/// A commit may fill several tiles at once; those in the middle have no commit of their own.
#[tokio::test]
async fn a_commit_over_several_tiles_is_read_back() {
    let place = Place::new();
    let log = place.create("writer").await;
    let mut head = log.head().await.unwrap();
    for count in [10u64, 900, 1, 102, 11, 600] {
        let batch = (0..count).map(|i| realistic(head.size + i, i == count - 1)).collect();
        head = log.append(head, batch).await.unwrap();
        let reader = place.reader(&format!("reader {count}")).await.unwrap();
        assert_eq!(reader.head().await.unwrap(), head);
        let from = reader.last_snapshot(u64::MAX).await.unwrap().unwrap();
        assert_eq!(from, head.size - 1);
        assert_eq!(reader.leaves(0, head.size).await.unwrap().len() as u64, head.size);
    }
    assert_eq!(log.audit(None).await.unwrap().checkpoints, 7);
}

/// The bytes of all packs of the remote.
fn packs(place: &Place) -> u64 {
    let packs = std::fs::read_dir(place.repository().join("objects/pack"));
    packs.map_or(0, |packs| packs.map(|pack| pack.unwrap().metadata().unwrap().len()).sum())
}

/// The short form of the benchmark: bytes, which are the same on every machine, not times.
#[tokio::test]
async fn an_append_sends_its_commit_and_the_last_tile_and_not_the_log() {
    let place = Place::new();
    crate::fixture::git(&place.repository(), &["config", "receive.unpackLimit", "1"]);
    long(&place).await;
    let whole = packs(&place);
    let log = place.open("writer").await.unwrap();
    let head = log.head().await.unwrap();
    log.append(head, vec![realistic(head.size, false)]).await.unwrap();
    let sent = packs(&place) - whole;
    let last = place.file("tile/entries/004.p/77").len() as u64;
    assert!(sent < last + 20_000, "{sent} bytes for an entry; the entries of its tile have {last}");
    assert!(whole > 10 * sent, "{whole} bytes in all");
}
