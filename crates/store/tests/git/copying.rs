//! From one store to another and back.

use std::path::Path;

use rusqlite::Connection;
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Log as _, LogError, NewLeaf};
use sealift_store::{
    conformance::leaf,
    copy::{Commits, copy},
    git::GitLog,
    key::{Keyring, SigningKey},
    sqlite::SqliteLog,
};

use crate::fixture::{Place, realistic};

/// A way to spoil records.
type Edit = Box<dyn Fn(&mut Vec<sealift_store::record::Record>)>;

async fn source(place: &Place) -> SqliteLog {
    SqliteLog::create(&place.dir.path().join("source.db"), place.key()).unwrap()
}

/// Commits of 1 to 9 entries.
async fn fill(log: &SqliteLog, until: u64) {
    let mut head = log.head().await.unwrap();
    while head.size < until {
        let count = 1 + head.size % 9;
        let mut batch: Vec<NewLeaf> =
            (0..count).map(|i| realistic(head.size + i, (head.size + i) % 128 == 100)).collect();
        if head.size % 5 == 0 {
            batch[0].objects.push(vec![(head.size % 251) as u8; 70_000]);
            batch[0].objects.push(b"named again and again".to_vec());
        }
        head = log.append(head, batch).await.unwrap();
    }
}

fn tables(path: &Path) -> Vec<Vec<Vec<rusqlite::types::Value>>> {
    let connection = Connection::open(path).unwrap();
    let read = |table: &str, columns: usize| {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let rows = statement.query_map([], |row| (0..columns).map(|i| row.get(i)).collect()).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    vec![read("leaf", 4), read("object", 2), read("leaf_object", 2), read("checkpoint", 4)]
}

#[tokio::test]
async fn a_log_goes_to_a_branch_and_back_and_is_the_same_byte_for_byte() {
    let place = Place::new();
    let from = source(&place).await;
    fill(&from, 700).await;
    let large = Digest::of(&[0; 70_000]);
    let gone = [large, Digest::of(&realistic(3, false).objects[1])];
    gone.iter().for_each(|digest| assert!(from.erase_object(*digest).unwrap(), "{digest}"));

    // Without the private key, for it is not needed.
    let first = from.first().await.unwrap();
    let branch = GitLog::create_copy(place.remote(), place.options("a"), place.public(), &first).await.unwrap();
    let report = copy(&from, &branch).await.unwrap();
    assert_eq!((report.before, report.copied + 1), (0, report.audit.checkpoints));
    assert_eq!(report.objects, from.object_digests().unwrap().len() as u64);
    let pushes = crate::fixture::git(&place.repository(), &["rev-list", "--count", "sealift"]);
    assert!(pushes.trim().parse::<u32>().unwrap() < 5, "many commits of the log go in one push: {pushes}");

    // The source goes on; so does the copy.
    fill(&from, 800).await;
    let report = copy(&from, &branch).await.unwrap();
    assert!(report.before >= 700 && report.audit.size >= 800, "{report:?}");
    assert_eq!(copy(&from, &branch).await.unwrap().copied, 0);

    // Whoever has the key goes on there.
    let stranger = place.reader("b").await.unwrap();
    let path = place.dir.path().join("back.db");
    let back = SqliteLog::create_copy(&path, place.public(), &stranger.first().await.unwrap()).unwrap();
    copy(&stranger, &back).await.unwrap();
    drop(back);
    let (one, two) = (tables(&place.dir.path().join("source.db")), tables(&path));
    assert!(one == two, "a table differs");
    assert!(one.iter().all(|table| !table.is_empty()));
    let writer = place.open("a").await.unwrap();
    writer.append(writer.head().await.unwrap(), vec![leaf("goes on")]).await.unwrap();
    let reopened = SqliteLog::open_copy(&path, place.public()).unwrap();
    assert_eq!(copy(&writer, &reopened).await.unwrap().copied, 1);
}

#[tokio::test]
async fn only_the_beginning_of_the_same_log_is_continued() {
    let place = Place::new();
    let from = source(&place).await;
    fill(&from, 20).await;
    let refused = |outcome: Result<sealift_store::copy::CopyReport, LogError>| match outcome {
        Err(LogError::Unavailable { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let other_key =
        SqliteLog::create(&place.dir.path().join("1.db"), SigningKey::generate("log.example/shop").unwrap()).unwrap();
    assert!(copy(&from, &other_key).await.is_err());
    let forked = SqliteLog::create(&place.dir.path().join("2.db"), place.key()).unwrap();
    forked.append(forked.head().await.unwrap(), vec![leaf("other")]).await.unwrap();
    assert!(refused(copy(&from, &forked).await).contains("not the beginning"));
    let longer = SqliteLog::create_copy(
        &place.dir.path().join("3.db"),
        Keyring::writer(place.key()),
        &from.first().await.unwrap(),
    )
    .unwrap();
    copy(&from, &longer).await.unwrap();
    longer.append(longer.head().await.unwrap(), vec![leaf("more")]).await.unwrap();
    assert!(refused(copy(&from, &longer).await).contains("not the beginning"));
}

#[tokio::test]
async fn a_record_that_was_edited_is_not_imported() {
    let place = Place::new();
    let from = source(&place).await;
    fill(&from, 20).await;
    let first = from.first().await.unwrap();
    let records = from.records(0).unwrap();
    let edits: Vec<Edit> = vec![
        Box::new(|records| records[1].leaves[0].bytes[0] ^= 1),
        Box::new(|records| records[1].leaves[0].snapshot ^= true),
        Box::new(|records| assert!(records[1].leaves[0].objects.pop_first().is_some())),
        Box::new(|records| records[1].note = records[2].note.clone()),
        Box::new(|records| records[1].annex = records[2].annex.clone()),
        Box::new(|records| drop(records.remove(1))),
        Box::new(|records| records.swap(1, 2)),
        Box::new(|records| records[1].objects.values_mut().for_each(|bytes| bytes.push(0))),
        Box::new(|records| drop(records[1].objects.insert(Digest::of(b"x"), b"x".to_vec()))),
    ];
    let branch = GitLog::create_copy(place.remote(), place.options("a"), place.public(), &first).await.unwrap();
    for (i, edit) in edits.iter().enumerate() {
        let mut edited = records.clone();
        edit(&mut edited);
        let to = SqliteLog::create_copy(&place.dir.path().join(format!("{i}.db")), place.public(), &first).unwrap();
        for log in [&to as &dyn Commits, &branch] {
            let refused = log.import(edited.clone()).await;
            assert!(matches!(refused, Err(LogError::Tampered { .. })), "edit {i}: {refused:?}");
            assert_eq!(log.head().await.unwrap().size, 0, "all or none");
        }
    }
    assert_eq!(branch.import(records).await.unwrap(), from.head().await.unwrap());
}
