//! Whoever may push and has no key of the log, against whoever has seen it.

use std::fs;

use sealift_engine::ports::log::{Head, Log, LogError};
use sealift_store::{
    conformance::leaf,
    git::GitLog,
    key::{Keyring, SigningKey},
};

use crate::fixture::{Place, append, git, realistic};

fn is_rewritten<T: std::fmt::Debug>(outcome: Result<T, LogError>) -> String {
    match outcome {
        Err(error @ LogError::Rewritten { .. }) => error.to_string(),
        other => panic!("it was not noticed: {other:?}"),
    }
}

/// What a machine that has read a log keeps, when the branch is put back or replaced.
#[tokio::test]
async fn a_branch_that_was_cut_short_or_put_back_is_noticed() {
    let place = Place::new();
    let writer = place.create("writer").await;
    append(&writer, 1).await;
    let old = place.tip();
    append(&writer, 2).await;
    let new = place.tip();
    let reader = place.reader("reader").await.unwrap();
    let seen = reader.head().await.unwrap();
    let kept = reader.checkpoint().await.unwrap();

    place.set_tip(&old);
    let words = is_rewritten(reader.head().await);
    assert!(words.contains("3 leaves") && words.contains("1 leaves"), "{words}");
    is_rewritten(writer.head().await);
    is_rewritten(writer.append(seen, vec![leaf("x")]).await);
    assert_eq!(place.tip(), old, "the branch is as it was");
    assert_eq!(reader.leaves(0, 3).await.unwrap().len(), 3, "what was seen is still there");

    // The rest of the cache is lost; the checkpoint is not.
    for part in ["mirror", "repository"] {
        fs::remove_dir_all(reader.cache_directory().join(part)).unwrap();
    }
    is_rewritten(reader.head().await);
    is_rewritten(place.reader("reader").await);
    // Another machine that was given a checkpoint.
    let mut options = place.options("stranger");
    options.checkpoint = Some(kept.clone());
    is_rewritten(GitLog::open(place.remote(), options, place.public()).await);
    assert_eq!(
        place.reader("ignorant").await.unwrap().head().await.unwrap().size,
        1,
        "who has seen nothing cannot know"
    );

    place.set_tip(&new);
    assert_eq!(reader.head().await.unwrap(), seen);
    git(&place.repository(), &["update-ref", "-d", "refs/heads/sealift"]);
    let words = is_rewritten(reader.head().await);
    assert!(words.contains("the branch is gone"), "{words}");
    is_rewritten(GitLog::create(place.remote(), place.options("reader"), place.key()).await);
}

/// A fork takes the key. Whoever has seen the other side notices, however long the fork has become.
#[tokio::test]
async fn a_fork_is_noticed_by_whoever_has_seen_the_other_side() {
    let place = Place::new();
    let writer = place.create("writer").await;
    append(&writer, 2).await;
    let common = place.tip();
    append(&writer, 2).await;
    let reader = place.reader("reader").await.unwrap();
    let kept = reader.checkpoint().await.unwrap();
    place.set_tip(&common);
    let forger = place.open("forger").await.unwrap();
    for longer in 0..3 {
        let count = if longer == 0 { 2 } else { 200 };
        let forged = (0..count).map(|i| leaf(format!("forged {longer} {i}"))).collect();
        forger.append(forger.head().await.unwrap(), forged).await.unwrap();
        is_rewritten(reader.head().await);
        fs::remove_dir_all(reader.cache_directory().join("mirror")).unwrap_or_default();
        is_rewritten(place.reader("reader").await);
        let mut options = place.options(&format!("stranger {longer}"));
        options.checkpoint = Some(kept.clone());
        is_rewritten(GitLog::open(place.remote(), options, place.public()).await);
    }
}

#[tokio::test]
async fn a_kept_checkpoint_that_is_continued_is_no_hindrance_however_old() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let mut kept = vec![writer.checkpoint().await.unwrap()];
    for round in 0..4u64 {
        let head = writer.head().await.unwrap();
        let batch = (0..190).map(|i| realistic(head.size + i, i == 189)).collect();
        writer.append(head, batch).await.unwrap();
        kept.push(writer.checkpoint().await.unwrap());
        assert_eq!(writer.head().await.unwrap().size, (round + 1) * 190);
    }
    for (i, checkpoint) in kept.into_iter().enumerate() {
        let mut options = place.options(&format!("reader {i}"));
        options.checkpoint = Some(checkpoint);
        let reader = GitLog::open(place.remote(), options, place.public()).await.unwrap();
        assert_eq!(reader.head().await.unwrap(), writer.head().await.unwrap());
    }
}

#[tokio::test]
async fn a_log_of_another_key_is_no_log() {
    let place = Place::new();
    drop(place.create("writer").await);
    let other = SigningKey::generate("log.example/shop").unwrap();
    let refused = GitLog::open(place.remote(), place.options("other"), Keyring::writer(other)).await.unwrap_err();
    assert!(
        matches!(&refused, LogError::Tampered { what, .. } if what.contains("no signature by the key")),
        "{refused}"
    );
}

/// What a reader can learn of a log, the audit aside.
async fn answers(log: &GitLog, head: Head) -> Result<String, LogError> {
    let found = log.head().await?;
    let leaves = log.leaves(0, head.size).await?;
    let snapshot = log.last_snapshot(u64::MAX).await?;
    Ok(format!("{found:?} {snapshot:?} {:?}", leaves.iter().map(|leaf| leaf.len()).collect::<Vec<_>>()))
}

#[tokio::test]
async fn a_file_that_was_edited_or_removed_never_leads_to_a_wrong_answer() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let mut head = writer.head().await.unwrap();
    for round in 0..4u64 {
        let count = [100, 156, 10, 10][round as usize];
        let mut batch: Vec<_> = (0..count).map(|i| realistic(head.size + i, i == 3)).collect();
        batch[0].objects.push(vec![round as u8; 70_000]);
        head = writer.append(head, batch).await.unwrap();
    }
    let files = place.files();
    assert_eq!(files.keys().filter(|path| path.starts_with("beside/")).count(), 3, "one joined, two of the tail");
    let truth = answers(&place.reader("truth").await.unwrap(), head).await.unwrap();
    let right = place.tip();
    let mut round = 0usize;
    for path in files.keys() {
        let bytes = place.file(path);
        let flipped = |at: usize| {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            Some(edited)
        };
        // One place in each file, another one each time.
        for edited in [flipped(bytes.len() * (round % 7) / 7), None] {
            let removed = edited.is_none();
            place.set_tip(&place.edited(path, edited.as_deref()));
            round += 1;
            let cold = place.reader(&format!("cold-{round}")).await;
            let audited = match cold {
                Ok(log) => {
                    if let Ok(found) = answers(&log, head).await {
                        assert_eq!(found, truth, "{path}, removed: {removed}");
                    }
                    log.audit(None).await
                }
                Err(error) => Err(error),
            };
            let unread = path == "snapshots" || path.starts_with("delta/");
            let harmless = unread || (removed && path.starts_with("objects/"));
            assert_eq!(audited.is_ok(), harmless, "{path}, removed: {removed}: {audited:?}");
            if let Ok(report) = audited.as_ref()
                && removed
                && path.starts_with("objects/")
            {
                assert_eq!(report.erased.len(), 1, "what is missing is reported");
            }
            place.set_tip(&right);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_larger_than_any_is_not_read() {
    let place = Place::new();
    let writer = place.create("writer").await;
    append(&writer, 3).await;
    let right = place.tip();
    for (n, path) in ["tile/entries/000.p/3", "beside/000.p/0", "snapshots"].into_iter().enumerate() {
        place.set_tip(&place.edited(path, Some(&vec![0; (64 << 20) + 1])));
        let refused = place.reader(&format!("cold-{n}")).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("too large"), "{path}: {refused}");
        place.set_tip(&right);
    }
}

#[tokio::test]
async fn nothing_is_written_on_top_of_edited_files() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let head = append(&writer, 3).await;
    for path in ["tile/entries/000.p/3", "checkpoint"] {
        let right = place.tip();
        let mut bytes = place.file(path);
        bytes[20] ^= 1;
        place.set_tip(&place.edited(path, Some(&bytes)));
        let edited = place.tip();
        let refused = writer.append(writer.known_head().await.unwrap(), vec![leaf("x")]).await;
        assert!(refused.is_err(), "{path}: {refused:?}");
        assert_eq!(place.tip(), edited, "{path}");
        place.set_tip(&right);
        assert_eq!(writer.head().await.unwrap(), head);
    }
}
