//! What every store must do. Each store's tests call [`all`] with a way to make fresh logs.
//!
//! Panics, like any test, where a store does not do it.

use std::sync::Arc;

use async_trait::async_trait;
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, Log, LogError, MAX_LEAF, NewLeaf};

use crate::{
    checkpoint,
    key::{Keyring, VerifierKey},
    merkle::{self, leaf_hash},
};

/// What a check returns.
type Outcome = Result<(), LogError>;

/// One log, empty at first.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A handle that can append, independent of any other: as if another process had opened the log.
    async fn writer(&self) -> Result<Arc<dyn Log>, LogError>;
    /// A handle with the public key only.
    async fn reader(&self) -> Result<Arc<dyn Log>, LogError>;
    /// The public key.
    fn verifier(&self) -> VerifierKey;
    /// Erases an object, as retention does.
    async fn erase(&self, digest: Digest) -> Result<bool, LogError>;
}

/// Runs every check, each on a fresh log.
pub async fn all(fresh: impl Fn() -> Arc<dyn Fixture>) -> Outcome {
    an_empty_log_has_a_signed_checkpoint(fresh()).await?;
    what_is_appended_is_read_back(fresh()).await?;
    a_stale_head_is_a_conflict_and_changes_nothing(fresh()).await?;
    an_empty_batch_changes_nothing(fresh()).await?;
    the_largest_leaf_fits_and_no_larger_one(fresh()).await?;
    objects_are_found_by_digest_until_erased(fresh()).await?;
    the_newest_snapshot_below_a_size_is_found(fresh()).await?;
    every_commit_has_a_checkpoint_and_an_older_one_still_holds(fresh()).await?;
    a_reader_reads_and_never_writes(fresh()).await?;
    writers_at_the_same_time_lose_nothing(fresh(), 4, 6).await
}

/// A leaf without objects.
pub fn leaf(bytes: impl Into<Vec<u8>>) -> NewLeaf {
    NewLeaf { bytes: bytes.into(), objects: Vec::new(), snapshot: false }
}

/// Size and root over these leaves.
fn head_of(leaves: &[Vec<u8>]) -> Head {
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    Head { size: leaves.len() as u64, root: merkle::root(&hashes) }
}

async fn an_empty_log_has_a_signed_checkpoint(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    assert_eq!(log.head().await?, head_of(&[]));
    assert_eq!(log.leaves(0, 0).await?, Vec::<Vec<u8>>::new());
    assert!(matches!(log.leaves(0, 1).await, Err(LogError::Unavailable { .. })), "there is no entry");
    assert_eq!(log.last_snapshot(u64::MAX).await?, None);
    let keys = Keyring::reader(fixture.verifier());
    assert_eq!(checkpoint::verify(&log.checkpoint().await?, &keys).map(|c| c.head), Ok(head_of(&[])));
    let report = log.audit(None).await?;
    assert_eq!((report.size, report.checkpoints), (0, 1));
    Ok(())
}

async fn what_is_appended_is_read_back(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    let mut written: Vec<Vec<u8>> = Vec::new();
    for batch in 0..5u8 {
        let new: Vec<Vec<u8>> = (0..=batch).map(|i| vec![batch, i, 0, 0xFF, b'\n']).collect();
        let head = log.append(head_of(&written), new.iter().cloned().map(leaf).collect()).await?;
        written.extend(new);
        assert_eq!(head, head_of(&written));
        assert_eq!(log.head().await?, head);
    }
    let other = fixture.writer().await?;
    let size = written.len();
    for (from, to) in [(0, size), (0, 1), (3, 4), (2, 9), (size - 1, size), (4, 4), (9, 2)] {
        let expected = written.get(from..to).unwrap_or_default();
        assert_eq!(other.leaves(from as u64, to as u64).await?, expected, "{from}..{to}");
    }
    assert!(other.leaves(0, size as u64 + 1).await.is_err(), "beyond the end");
    let report = other.audit(None).await?;
    assert_eq!((Head { size: report.size, root: report.root }, report.checkpoints), (head_of(&written), 6));
    Ok(())
}

async fn a_stale_head_is_a_conflict_and_changes_nothing(fixture: Arc<dyn Fixture>) -> Outcome {
    let (one, two) = (fixture.writer().await?, fixture.writer().await?);
    let empty = one.head().await?;
    let first = one.append(empty, vec![leaf("first")]).await?;
    let other_root = Head { root: [1; 32], ..first };
    for stale in [empty, other_root, Head { size: 2, ..first }] {
        match two.append(stale, vec![leaf("second")]).await {
            Err(LogError::Conflict { expected, found }) => assert_eq!((expected, found), (stale, first)),
            other => assert!(other.is_err(), "a stale head was accepted: {other:?}"),
        }
    }
    assert_eq!(one.head().await?, first);
    assert_eq!(two.leaves(0, 1).await?, [b"first"]);
    Ok(())
}

async fn an_empty_batch_changes_nothing(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    let head = log.append(log.head().await?, vec![leaf("one")]).await?;
    let before = log.checkpoint().await?;
    assert_eq!(log.append(head, Vec::new()).await?, head);
    assert_eq!(log.checkpoint().await?, before);
    assert!(matches!(log.append(head_of(&[]), Vec::new()).await, Err(LogError::Conflict { .. })));
    Ok(())
}

async fn the_largest_leaf_fits_and_no_larger_one(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    let head = log.append(log.head().await?, vec![leaf(vec![7; MAX_LEAF]), leaf("")]).await?;
    let refused = log.append(head, vec![leaf("fits"), leaf(vec![7; MAX_LEAF + 1])]).await;
    assert!(matches!(refused, Err(LogError::TooLarge(size)) if size == MAX_LEAF + 1), "{refused:?}");
    assert_eq!(log.head().await?, head);
    assert_eq!(log.leaves(0, 2).await?, [vec![7; MAX_LEAF], vec![]]);
    Ok(())
}

async fn objects_are_found_by_digest_until_erased(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    let [body, shared] = [b"body".to_vec(), vec![9; 300_000]];
    let first = NewLeaf { objects: vec![body.clone(), shared.clone(), shared.clone()], ..leaf("one") };
    let second = NewLeaf { objects: vec![shared.clone()], ..leaf("two") };
    let head = log.append(log.head().await?, vec![first]).await?;
    log.append(head, vec![second]).await?;
    let digests = [Digest::of(&shared), Digest::of(b"never stored"), Digest::of(&body)];
    assert_eq!(log.objects(&digests).await?, [Some(shared.clone()), None, Some(body.clone())]);
    assert_eq!(log.audit(None).await?.erased, []);

    assert!(fixture.erase(Digest::of(&shared)).await?);
    assert!(!fixture.erase(Digest::of(&shared)).await?, "it is gone already");
    assert_eq!(log.objects(&digests).await?, [None, None, Some(body)]);
    let kept = log.checkpoint().await?;
    let report = log.audit(Some(&kept)).await?;
    assert_eq!(report.erased, [(0, Digest::of(&shared)), (1, Digest::of(&shared))]);
    Ok(())
}

async fn the_newest_snapshot_below_a_size_is_found(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    let marked = |i: u8| NewLeaf { snapshot: matches!(i, 2 | 5), ..leaf(vec![i]) };
    log.append(log.head().await?, (0..8).map(marked).collect()).await?;
    for (size, expected) in [(0, None), (2, None), (3, Some(2)), (5, Some(2)), (6, Some(5)), (u64::MAX, Some(5))] {
        assert_eq!(log.last_snapshot(size).await?, expected, "below {size}");
    }
    Ok(())
}

async fn every_commit_has_a_checkpoint_and_an_older_one_still_holds(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    let keys = Keyring::reader(fixture.verifier());
    let mut kept = vec![log.checkpoint().await?];
    for i in 0..4u8 {
        let head = log.append(log.head().await?, vec![leaf([i]), leaf([i, i])]).await?;
        let text = log.checkpoint().await?;
        assert_eq!(checkpoint::verify(&text, &keys).map(|c| c.head), Ok(head));
        kept.push(text);
    }
    for text in &kept {
        assert_eq!(log.audit(Some(text)).await?.checkpoints, 5);
    }
    let edited = kept.concat().replacen('8', "9", 1);
    assert!(matches!(log.audit(Some(&edited)).await, Err(LogError::Tampered { .. })), "not a checkpoint of ours");
    Ok(())
}

async fn a_reader_reads_and_never_writes(fixture: Arc<dyn Fixture>) -> Outcome {
    let log = fixture.writer().await?;
    let head = log.append(log.head().await?, vec![leaf("one")]).await?;
    let reader = fixture.reader().await?;
    assert_eq!(reader.head().await?, head);
    assert_eq!(reader.leaves(0, 1).await?, [b"one"]);
    assert_eq!(reader.audit(None).await?.size, 1);
    let refused = reader.append(head, vec![leaf("two")]).await;
    assert!(matches!(refused, Err(LogError::Unavailable { .. })), "{refused:?}");
    let next = log.append(head, vec![leaf("two")]).await?;
    assert_eq!(reader.head().await?, next, "a reader sees what is appended after it opened");
    Ok(())
}

/// Every writer appends until it has won `rounds` times, as the engine does: read, decide, append, on a conflict again.
async fn writers_at_the_same_time_lose_nothing(fixture: Arc<dyn Fixture>, writers: u8, rounds: u8) -> Outcome {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let log = fixture.writer().await?;
        tasks.spawn(async move {
            for round in 0..rounds {
                let batch = vec![leaf([writer, round, 0]), leaf([writer, round, 1])];
                loop {
                    match log.append(log.head().await?, batch.clone()).await {
                        Err(LogError::Conflict { .. }) => tokio::task::yield_now().await,
                        done => break done.map(drop)?,
                    }
                }
            }
            Ok::<_, LogError>(())
        });
    }
    // Meanwhile, whoever opens the log sees a whole one.
    for _ in 0..50 {
        let reader = fixture.reader().await?;
        let size = reader.head().await?.size;
        assert_eq!((size % 2, reader.leaves(0, size).await?.len() as u64), (0, size));
        tokio::task::yield_now().await;
    }
    for outcome in tasks.join_all().await {
        outcome?;
    }
    let log = fixture.reader().await?;
    let (writers, rounds) = (u64::from(writers), u64::from(rounds));
    let report = log.audit(None).await?;
    assert_eq!((report.size, report.checkpoints), (writers * rounds * 2, writers * rounds + 1));
    let mut leaves = log.leaves(0, report.size).await?;
    assert!(leaves.chunks(2).all(|pair| matches!(pair, [a, b] if a.get(..2) == b.get(..2))), "a batch was torn apart");
    leaves.sort();
    leaves.dedup();
    assert_eq!(leaves.len() as u64, report.size, "a batch was appended twice");
    Ok(())
}
