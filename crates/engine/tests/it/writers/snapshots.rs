//! Snapshots: where a fold begins, and who writes them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use sealift_domain::{
    digest::Digest,
    entry::Leaf,
    event::Event,
    ledger::{IllegalEntry, Ledger},
};
use sealift_engine::{
    audit,
    book::{Book, Trust},
    error::EngineError,
    ports::{
        log::{AuditReport, Head, Log, LogError, NewLeaf},
        writer::Writer,
    },
};
use sealift_store::writer::WriterKeys;

use super::{Keys, forge, hold, next, staged, write};
use crate::stubs::{NoSignatures, Stage, policy};

/// A log that remembers the lowest leaf that was read.
struct Watched {
    log: Arc<dyn Log>,
    lowest: AtomicU64,
}

#[async_trait]
impl Log for Watched {
    async fn head(&self) -> Result<Head, LogError> {
        self.log.head().await
    }

    async fn append(&self, expected: Head, batch: Vec<NewLeaf>) -> Result<Head, LogError> {
        self.log.append(expected, batch).await
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError> {
        self.lowest.fetch_min(from, Ordering::SeqCst);
        self.log.leaves(from, to).await
    }

    async fn objects(&self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LogError> {
        self.log.objects(digests).await
    }

    async fn last_snapshot(&self, size: u64) -> Result<Option<u64>, LogError> {
        self.log.last_snapshot(size).await
    }

    async fn checkpoint(&self) -> Result<String, LogError> {
        self.log.checkpoint().await
    }

    async fn audit(&self, kept: Option<&str>) -> Result<AuditReport, LogError> {
        self.log.audit(kept).await
    }
}

/// Opens the log, and tells the lowest leaf that it took.
async fn opened(stage: &Stage, trust: Trust) -> (Result<Book, EngineError>, u64) {
    let watched = Arc::new(Watched { log: stage.log(), lowest: AtomicU64::new(u64::MAX) });
    let book = stage.book_on(watched.clone(), trust).await;
    (book, watched.lowest.load(Ordering::SeqCst))
}

#[tokio::test]
async fn attack_26_a_snapshot_of_another_environment_s_writer_is_not_begun_at() {
    let (stage, keys) = staged().await;
    // Staging's key signs a ledger in which nothing of production is on hold, and says what nobody recorded.
    let truth = stage.book().await.ledger().await.unwrap();
    let lie = Ledger { newest_build: Some(Digest::of(b"evil")), ..Ledger::clone(&truth) };
    let place = next(&stage).await;
    forge(&stage, &keys.staging, place, Event::Snapshot(Box::new(lie.clone()))).await;

    let (book, lowest) = opened(&stage, keys.trust(&keys.staging)).await;
    let begun = book.unwrap().ledger().await.unwrap();
    assert_eq!((begun.newest_build, lowest), (lie.newest_build, place.index - 1), "who has the key believes itself");
    for trust in [keys.trust(&keys.production), keys.reader()] {
        let (book, lowest) = opened(&stage, trust).await;
        match book.err() {
            Some(EngineError::Illegal { index, source: IllegalEntry::ForeignSnapshot(_) }) => {
                assert_eq!((index, lowest), (place.index, 0));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_fold_begins_at_the_own_snapshot_or_without_a_key_at_one_of_the_last_environment() {
    let (stage, keys) = staged().await;
    let snapshot = async |key: &WriterKeys| {
        let truth = stage.book_on(stage.log(), keys.reader()).await.unwrap().ledger().await.unwrap();
        let place = next(&stage).await;
        forge(&stage, key, place, Event::Snapshot(Box::new(Ledger::clone(&truth)))).await;
        place.index
    };
    let by_production = snapshot(&keys.production).await;
    write(&stage.book().await, vec![hold("one more")]).await.unwrap();
    let by_staging = snapshot(&keys.staging).await;
    for (who, trust, begins) in [
        ("production", keys.trust(&keys.production), by_production),
        ("staging", keys.trust(&keys.staging), by_staging),
        ("a reader", keys.reader(), by_production),
        ("a stranger", keys.trust(&keys.stranger), by_production),
        ("a configuration without writers", Trust { policy: Some(policy()), ..keys.reader() }, by_staging),
    ] {
        let (book, lowest) = opened(&stage, trust).await;
        let ledger = book.unwrap().ledger().await.unwrap();
        assert_eq!(*ledger, *stage.book().await.ledger().await.unwrap(), "{who}");
        assert_eq!(ledger.size, by_staging + 1, "{who}");
        // The leaf before the snapshot is read too where its signature is verified, and one that is not believed is looked at.
        assert!([begins - 1, begins].contains(&lowest), "{who}: began at {lowest}, not at {begins}");
    }
}

#[tokio::test]
async fn each_writer_writes_a_snapshot_when_its_own_last_is_old() {
    let keys = Keys::new();
    let stage = Stage::new(keys.policy()).await;
    let many = |n: usize| (0..n).map(|n| hold(&n.to_string())).collect::<Vec<_>>();
    let snapshots = async || {
        let size = stage.log().head().await.unwrap().size;
        let mut found = Vec::new();
        let mut below = size;
        while let Some(at) = stage.log().last_snapshot(below).await.unwrap() {
            let leaf = Leaf::parse(&stage.log().leaves(at, at + 1).await.unwrap()[0]).unwrap();
            found.push(leaf.writer.map(|writer| writer.key));
            below = at;
        }
        found
    };
    let by = async |trust: Trust, events: Vec<Event>| {
        let book = stage.book_on(stage.log(), trust).await.unwrap();
        write(&book, events).await.unwrap();
    };
    let id = |key: &Arc<WriterKeys>| Some(key.key().unwrap().id().to_owned());
    by(keys.reader(), many(1100)).await;
    assert_eq!(snapshots().await, [], "nobody would begin at one that no writer signed");
    by(keys.trust(&keys.staging), many(1)).await;
    assert_eq!(snapshots().await, [id(&keys.staging)]);
    by(keys.trust(&keys.staging), many(1)).await;
    assert_eq!(snapshots().await, [id(&keys.staging)], "its own is young");
    by(keys.trust(&keys.production), many(1)).await;
    assert_eq!(snapshots().await, [id(&keys.production), id(&keys.staging)]);
    by(keys.trust(&keys.production), many(1)).await;
    by(keys.trust(&keys.staging), many(1)).await;
    assert_eq!(snapshots().await.len(), 2);
    let book = stage.book_on(stage.log(), keys.reader()).await.unwrap();
    audit::verify(&book, &NoSignatures, None).await.unwrap();
}
