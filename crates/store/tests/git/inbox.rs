//! Statements on the branch.

use sealift_domain::digest::Digest;
use sealift_engine::ports::{
    inbox::{Inbox as _, MAX_STATEMENT, MAX_STATEMENTS},
    log::{Log as _, LogError},
};
use sealift_store::conformance::leaf;

use crate::fixture::{Place, append};

#[tokio::test]
async fn who_has_no_key_hands_in_and_who_has_takes_in() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let head = append(&writer, 1).await;
    let reader = place.reader("reader").await.unwrap();
    let one = reader.put(b"one").await.unwrap();
    let two = reader.put(b"two").await.unwrap();
    assert_eq!((one, reader.put(b"one").await.unwrap()), (Digest::of(b"one"), one), "twice is once");
    let mut expected = vec![(one, b"one".to_vec()), (two, b"two".to_vec())];
    expected.sort();
    assert_eq!(writer.list().await.unwrap(), expected);

    // The writer has not looked since the next one came in: that is no conflict, and the inbox stays.
    let three = reader.put(b"three").await.unwrap();
    let next = writer.append(head, vec![leaf("x")]).await.unwrap();
    assert_eq!(reader.head().await.unwrap(), next);
    assert_eq!(writer.list().await.unwrap().len(), 3);

    // And the reader has not looked since the log has moved.
    writer.append(next, vec![leaf("y")]).await.unwrap();
    reader.remove(&[one, three, Digest::of(b"not there")]).await.unwrap();
    reader.remove(&[one]).await.unwrap();
    assert_eq!(writer.list().await.unwrap(), [(two, b"two".to_vec())]);
    assert_eq!(writer.audit(None).await.unwrap().size, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_that_is_handed_in_at_the_same_time_arrives() {
    let place = Place::new();
    drop(place.create("writer").await);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..4u8 {
        let reader = place.reader(&format!("reader {i}")).await.unwrap();
        tasks.spawn(async move {
            for j in 0..3u8 {
                reader.put(&[i, j]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(place.reader("last").await.unwrap().list().await.unwrap().len(), 12);
}

#[tokio::test]
async fn rubbish_in_the_inbox_is_passed_over_and_counted() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let right = writer.put(b"right").await.unwrap();
    let digest = |bytes: &[u8]| format!("inbox/{}", Digest::of(bytes).hex());
    let large = vec![b'x'; MAX_STATEMENT + 1];
    for (path, bytes) in [
        (digest(b"other"), b"not it".to_vec()),
        ("inbox/readme".to_owned(), b"hello".to_vec()),
        ("inbox/deep/er".to_owned(), b"hello".to_vec()),
        (digest(&large), large),
    ] {
        place.set_tip(&place.edited(&path, Some(&bytes)));
    }
    let waiting = writer.waiting().await.unwrap();
    assert_eq!(waiting.statements, [(right, b"right".to_vec())]);
    assert_eq!(waiting.ignored, 4);
    let refused = writer.put(&vec![b'x'; MAX_STATEMENT + 1]).await;
    assert!(matches!(refused, Err(LogError::Refused { .. })), "{refused:?}");
    assert!(writer.put(&vec![b'x'; MAX_STATEMENT]).await.is_ok());
}

/// Whoever may push decides what lies there, not what a reader downloads.
#[tokio::test]
async fn a_large_file_in_the_inbox_is_not_even_fetched() {
    for (limit, place) in [(true, Place::new()), (false, Place::without_filter())] {
        let writer = place.create("writer").await;
        append(&writer, 1).await;
        let statements = [vec![b'x'; 100_000], vec![b'y'; MAX_STATEMENT]];
        for statement in &statements {
            writer.put(statement).await.unwrap();
        }
        let large = vec![b'z'; MAX_STATEMENT + 1];
        let path = format!("inbox/{}", Digest::of(&large).hex());
        place.set_tip(&place.edited(&path, Some(&large)));
        for cache in ["cold", "writer"] {
            let log = place.open(cache).await.unwrap();
            let waiting = log.waiting().await.unwrap();
            assert_eq!((waiting.statements.len(), waiting.ignored), (2, 1), "{cache}");
            assert!(waiting.statements.iter().all(|(_, bytes)| statements.contains(bytes)));
        }
        let cold = place.open("cold").await.unwrap();
        assert_eq!(Place::cached(&cold).contains(&place.files()[&path]), !limit, "a remote that filters is asked to");
    }
}

#[tokio::test]
async fn a_full_inbox_takes_no_more() {
    let place = Place::new();
    let writer = place.create("writer").await;
    let mut stream = String::new();
    for i in 0..MAX_STATEMENTS + 2 {
        let text = format!("statement {i}");
        let path = format!("inbox/{}", Digest::of(text.as_bytes()).hex());
        stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len()));
    }
    place.import(&stream);
    let waiting = writer.waiting().await.unwrap();
    assert_eq!((waiting.statements.len(), waiting.ignored), (MAX_STATEMENTS, 2));
    let refused = writer.put(b"one more").await;
    assert!(matches!(&refused, Err(LogError::Refused { why, .. }) if why.contains("256")), "{refused:?}");
    let all: Vec<Digest> = waiting.statements.iter().map(|(digest, _)| *digest).collect();
    writer.remove(&all).await.unwrap();
    assert_eq!(writer.list().await.unwrap().len(), 2);
}
