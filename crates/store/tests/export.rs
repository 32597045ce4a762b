//! The static export, verified without the database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test, as tests do"
)]

use std::{fs, path::Path};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Log as _, LogError, NewLeaf};
use sealift_store::{
    export::{export, object_path, verify},
    key::{Keyring, SigningKey},
    sqlite::SqliteLog,
};

const NAME: &str = "log.example/shop";

async fn append(log: &SqliteLog, count: u32) {
    let head = log.head().await.unwrap();
    let new = |i: u32| NewLeaf {
        bytes: format!("entry {} of {count}", head.size + u64::from(i)).into_bytes(),
        objects: vec![format!("body {i}").into_bytes()],
        snapshot: false,
    };
    log.append(head, (0..count).map(new).collect()).await.unwrap();
}

fn log(dir: &Path, secret: &str) -> SqliteLog {
    SqliteLog::create(&dir.join("log.db"), SigningKey::from_text(secret).unwrap()).unwrap()
}

/// Every file below `dir`, by path, in order.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found.sort();
    found
}

#[tokio::test]
async fn an_export_verifies_with_the_public_key_and_grows_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(NAME).unwrap();
    let keys = Keyring::reader(key.verifier().clone());
    let log = log(dir.path(), &key.secret_text().unwrap());
    let out = dir.path().join("export");
    assert_eq!(export(&log, &[], &out).await.unwrap().size, 0);
    for count in [1, 2, 252, 1, 1, 300] {
        append(&log, count).await;
        let objects = log.object_digests().unwrap();
        let head = export(&log, &objects, &out).await.unwrap();
        assert_eq!(head, log.head().await.unwrap());
        assert_eq!(verify(&out, &keys, &objects).unwrap(), head);
    }
    for file in ["checkpoint", "tile/0/000", "tile/0/002.p/45", "tile/1/000.p/2", "tile/entries/001"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    assert_eq!(fs::read_to_string(out.join("checkpoint")).unwrap(), log.checkpoint().await.unwrap());
    assert!(files(&out).iter().all(|file| file.extension().is_none_or(|e| e != "new")), "nothing half written");
    let stranger = Keyring::reader(SigningKey::generate(NAME).unwrap().verifier().clone());
    assert!(matches!(verify(&out, &stranger, &[]), Err(LogError::Tampered { .. })));
}

#[tokio::test]
async fn attack_15_an_edited_or_missing_file_of_an_export_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(NAME).unwrap();
    let keys = Keyring::reader(key.verifier().clone());
    let log = log(dir.path(), &key.secret_text().unwrap());
    append(&log, 300).await;
    let objects: Vec<Digest> = log.object_digests().unwrap().into_iter().take(3).collect();
    let out = dir.path().join("export");
    export(&log, &objects, &out).await.unwrap();
    let all = files(&out);
    assert_eq!(all.len(), 1 + 3 + 2 + 3, "checkpoint, hash tiles, bundles, objects");
    for file in all {
        let bytes = fs::read(&file).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            fs::write(&file, edited).unwrap();
            assert!(verify(&out, &keys, &objects).is_err(), "{}, byte {at}", file.display());
        }
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(verify(&out, &keys, &objects).is_err(), "{}, cut", file.display());
        fs::remove_file(&file).unwrap();
        let is_object = file.starts_with(out.join("objects"));
        assert_eq!(verify(&out, &keys, &objects).is_ok(), is_object, "{}: only objects may be erased", file.display());
        fs::write(&file, &bytes).unwrap();
        verify(&out, &keys, &objects).unwrap();
    }
}

#[tokio::test]
async fn attack_16_an_export_of_another_history_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let secret = SigningKey::generate(NAME).unwrap().secret_text().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&two).unwrap();
    let (first, second) = (log(&one, &secret), log(&two, &secret));
    append(&first, 5).await;
    append(&second, 4).await;
    let out = dir.path().join("export");
    export(&first, &[], &out).await.unwrap();
    let before = fs::read(out.join("checkpoint")).unwrap();
    for _ in 0..2 {
        let refused = export(&second, &[], &out).await.unwrap_err();
        assert!(refused.to_string().contains("does not continue"), "{refused}");
        append(&second, 3).await;
    }
    assert_eq!(fs::read(out.join("checkpoint")).unwrap(), before);
    assert_eq!(verify(&out, &Keyring::writer(SigningKey::from_text(&secret).unwrap()), &[]).unwrap().size, 5);
}

#[tokio::test]
async fn an_erased_object_leaves_the_export_too() {
    let dir = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(NAME).unwrap();
    let log = log(dir.path(), &key.secret_text().unwrap());
    append(&log, 2).await;
    let objects = log.object_digests().unwrap();
    let out = dir.path().join("export");
    export(&log, &objects, &out).await.unwrap();
    let gone = out.join(object_path(objects[0]));
    assert!(gone.is_file());
    log.erase_object(objects[0]).unwrap();
    export(&log, &objects, &out).await.unwrap();
    assert!(!gone.exists());
    assert!(out.join(object_path(objects[1])).is_file());
}
