use rusqlite::Connection;

use super::*;
use crate::conformance::leaf;

fn fresh(dir: &tempfile::TempDir) -> SqliteLog {
    SqliteLog::create(&dir.path().join("log.db"), SigningKey::generate("log.example/shop").unwrap()).unwrap()
}

fn pragma(log: &SqliteLog, name: &str) -> i64 {
    log.with(|connection| schema::pragma(&log.place, connection, name)).unwrap()
}

#[test]
fn every_commit_is_synced_to_disk() {
    let dir = tempfile::tempdir().unwrap();
    let created = fresh(&dir);
    let secret = created.keys.signing().unwrap().secret_text().unwrap();
    let keys = Keyring::writer(SigningKey::from_text(&secret).unwrap());
    let opened = SqliteLog::open(&dir.path().join("log.db"), keys).unwrap();
    for log in [created, opened] {
        assert_eq!(pragma(&log, "synchronous"), 2, "FULL");
        assert_eq!(pragma(&log, "secure_delete"), 1);
        let journal = |c: &mut Connection| {
            c.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).map_err(|e| log.place.failed(e))
        };
        assert_eq!(log.with(journal).unwrap(), "wal");
    }
}

#[test]
fn a_log_is_not_created_over_anything() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(&dir));
    let key = || SigningKey::generate("log.example/shop").unwrap();
    let twice = SqliteLog::create(&dir.path().join("log.db"), key()).unwrap_err();
    assert!(twice.to_string().contains("a log exists there already"), "{twice}");

    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let over = SqliteLog::create(&foreign, key()).unwrap_err();
    assert!(over.to_string().contains("something else"), "{over}");

    let text = dir.path().join("text");
    std::fs::write(&text, "x".repeat(5000)).unwrap();
    assert!(SqliteLog::create(&text, key()).is_err());
    assert_eq!(std::fs::read(&text).unwrap(), "x".repeat(5000).as_bytes());
}

#[test]
fn a_missing_foreign_or_newer_file_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let keys = || Keyring::writer(SigningKey::generate("log.example/shop").unwrap());
    let refusal = |name: &str| SqliteLog::open(&dir.path().join(name), keys()).unwrap_err().to_string();
    assert!(refusal("missing.db").contains("missing.db"));
    assert!(!dir.path().join("missing.db").exists());

    Connection::open(dir.path().join("foreign.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(refusal("foreign.db").contains("not a Sealift log"));
    std::fs::write(dir.path().join("text"), "x".repeat(5000)).unwrap();
    assert!(refusal("text").contains("not a Sealift log"));

    drop(fresh(&dir));
    let file = Connection::open(dir.path().join("log.db")).unwrap();
    file.pragma_update(None, "user_version", 2).unwrap();
    assert!(refusal("log.db").contains("a newer Sealift wrote it (schema 2; this one reads schema 1)"));
    file.pragma_update(None, "user_version", 0).unwrap();
    assert!(refusal("log.db").contains("never existed"));
}

#[test]
fn a_log_of_another_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(&dir));
    let other = Keyring::writer(SigningKey::generate("log.example/shop").unwrap());
    let refused = SqliteLog::open(&dir.path().join("log.db"), other).unwrap_err();
    assert!(refused.to_string().contains("no signature by the key of `log.example/shop`"), "{refused}");
}

#[tokio::test]
async fn a_replaced_key_may_have_signed_before_its_successor_and_never_after() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let old = fresh(&dir);
    let old_key = old.keys.signing().unwrap().verifier().clone();
    let head = old.append(old.head().await.unwrap(), vec![leaf("one")]).await.unwrap();

    let new_key = SigningKey::generate("log.example/shop").unwrap();
    let public = new_key.verifier().clone();
    let new = SqliteLog::open(&path, Keyring::writer(new_key).after(vec![old_key.clone()]).unwrap()).unwrap();
    let head = new.append(head, vec![leaf("two")]).await.unwrap();
    assert_eq!(new.audit(None).await.unwrap().checkpoints, 3);
    assert!(old.head().await.is_err(), "the old key ring does not know the new key");

    let thief = Keyring::writer(SigningKey::from_text(&old.keys.signing().unwrap().secret_text().unwrap()).unwrap());
    let thief = SqliteLog { keys: Keyring::after(thief, vec![public]).unwrap(), ..old };
    thief.append(head, vec![leaf("three")]).await.unwrap();
    let found = new.audit(None).await.unwrap_err();
    assert!(found.to_string().contains("a replaced key signed"), "{found}");
}

#[tokio::test]
async fn what_readers_return_was_signed() {
    let dir = tempfile::tempdir().unwrap();
    let log = fresh(&dir);
    let batch = |i: u8| (0..3).map(|j| NewLeaf { objects: vec![vec![i, j]], ..leaf([i, j]) }).collect();
    for i in 0..4 {
        log.append(log.head().await.unwrap(), batch(i)).await.unwrap();
    }
    let attacker = Connection::open(dir.path().join("log.db")).unwrap();
    // Bytes and hash edited together: only the signed root gives it away.
    let hash = merkle::leaf_hash(b"forged");
    attacker.execute("UPDATE leaf SET bytes = ?1, hash = ?2 WHERE idx = 4", (b"forged", hash)).unwrap();
    assert!(matches!(log.leaves(3, 4).await, Err(LogError::Tampered { .. })), "its neighbour in the same commit");
    assert!(matches!(log.leaves(0, 12).await, Err(LogError::Tampered { .. })));
    assert_eq!(log.leaves(6, 8).await.unwrap(), [[2, 0], [2, 1]], "other commits are not concerned");

    let digest = Digest::of(&[1, 1]);
    attacker.execute("UPDATE object SET bytes = x'00' WHERE digest = ?1", [digest.as_bytes()]).unwrap();
    assert!(matches!(log.objects(&[digest]).await, Err(LogError::Tampered { .. })));
}

#[tokio::test]
async fn proofs_of_stored_leaves_verify() {
    let dir = tempfile::tempdir().unwrap();
    let log = fresh(&dir);
    let mut heads = vec![log.head().await.unwrap()];
    for i in 0..9u8 {
        heads.push(log.append(heads[usize::from(i)], vec![leaf([i])]).await.unwrap());
    }
    for new in &heads {
        for index in 0..new.size {
            let proof = log.inclusion_proof(index, new.size).unwrap();
            let leaf = merkle::leaf_hash(&[index as u8]);
            assert!(merkle::verify_inclusion(index, new.size, &leaf, &proof, &new.root));
        }
        for old in heads.iter().filter(|old| old.size <= new.size) {
            let proof = log.consistency_proof(old.size, new.size).unwrap();
            assert!(merkle::verify_consistency(old.size, &old.root, new.size, &new.root, &proof));
        }
    }
    assert!(log.inclusion_proof(9, 9).is_err());
    assert!(log.inclusion_proof(0, 10).is_err());
    assert!(log.consistency_proof(5, 4).is_err());
}

#[tokio::test]
async fn an_erased_object_is_not_left_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = fresh(&dir);
    let secret = b"jane.doe@example.org".repeat(300);
    let new = NewLeaf { objects: vec![secret.clone()], ..leaf("one") };
    log.append(log.head().await.unwrap(), vec![new]).await.unwrap();
    assert!(log.erase_object(Digest::of(&secret)).unwrap());
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"jane.doe"));
    }
    assert_eq!(log.audit(None).await.unwrap().erased, [(0, Digest::of(&secret))]);
}
