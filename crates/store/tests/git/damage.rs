//! Caches that were damaged or left half written.

use std::{fs, path::Path};

use sealift_engine::ports::log::{Log as _, LogError};

use crate::fixture::{Place, append};

fn walk(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { walk(&entry, found) } else { found.push(entry) }
    }
}

#[tokio::test]
async fn a_damaged_cache_is_made_anew_and_forgets_nothing() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let mut head = append(&writer, 4).await;
    let cache = writer.cache_directory().to_owned();
    let mut files = Vec::new();
    walk(&cache, &mut files);
    let name = |path: &Path| path.strip_prefix(&cache).unwrap().display().to_string();
    files.retain(|path| !name(path).contains("objects/"));
    assert!(files.len() >= 5, "{files:?}");
    let mut rounds = 0;
    for file in &files {
        for damage in ["garbage", "empty", "gone"] {
            if name(file) == "checkpoint" || name(file) == "lock" || !file.exists() {
                continue;
            }
            match damage {
                "garbage" => fs::write(file, b"\0garbage".repeat(1000)).unwrap(),
                "empty" => fs::write(file, b"").unwrap(),
                _ => fs::remove_file(file).unwrap(),
            }
            let log = place.open("writer").await.unwrap_or_else(|e| panic!("{} {damage}: {e}", name(file)));
            assert_eq!(log.leaves(0, head.size).await.unwrap().len() as u64, head.size, "{} {damage}", name(file));
            head = log.append(head, vec![sealift_store::conformance::leaf("more")]).await.unwrap();
            rounds += 1;
        }
    }
    assert!(rounds > 9, "{rounds}");
    assert_eq!(writer.audit(None).await.unwrap().size, head.size);
}

#[tokio::test]
async fn locks_that_a_killed_git_left_behind_and_missing_objects_are_no_hindrance() {
    let place = Place::new();
    let writer = place.create("writer").await;
    append(&writer, 3).await;
    let repository = writer.cache_directory().join("repository");
    for lock in
        ["shallow.lock", "refs/sealift/seen.lock", "refs/sealift/new.lock", "refs/sealift/fetched.lock", "config.lock"]
    {
        let other = place.open("other").await.unwrap();
        append(&other, 1).await;
        fs::create_dir_all(repository.join("refs/sealift")).unwrap();
        fs::write(repository.join(lock), "").unwrap();
        let head = place.open("writer").await.unwrap_or_else(|e| panic!("{lock}: {e}")).head().await.unwrap();
        assert_eq!(head, other.head().await.unwrap(), "{lock}");
    }
    fs::remove_dir_all(repository.join("objects")).unwrap();
    fs::create_dir(repository.join("objects")).unwrap();
    append(&place.open("writer").await.unwrap(), 1).await;
}

#[tokio::test]
async fn a_kept_checkpoint_that_is_not_readable_is_not_passed_over() {
    let place = Place::new();
    let writer = place.create("writer").await;
    append(&writer, 1).await;
    fs::write(writer.cache_directory().join("checkpoint"), "half a").unwrap();
    append(&place.open("other").await.unwrap(), 1).await;
    let refused = writer.head().await.unwrap_err();
    assert!(matches!(&refused, LogError::Tampered { what, .. } if what.contains("kept in")), "{refused}");
}

#[tokio::test]
async fn a_mirror_that_was_edited_is_not_believed() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let head = append(&writer, 4).await;
    let right = writer.leaves(0, 4).await.unwrap();
    let mirror = writer.cache_directory().join("mirror/log.db");
    let bytes = fs::read(&mirror).unwrap();
    let at = bytes.windows(20).position(|part| part == &right[2][..20]).unwrap();
    let mut edited = bytes.clone();
    edited[at + 40] ^= 1;
    fs::write(&mirror, edited).unwrap();
    assert_eq!(writer.leaves(0, 4).await.unwrap(), right);
    assert_eq!(writer.head().await.unwrap(), head);
}
