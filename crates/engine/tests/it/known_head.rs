//! A log that is far away is asked as rarely as possible, and never believed to be as it was.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use sealift_domain::{digest::Digest, event::Event, quantity::Period, record::Build};
use sealift_engine::{
    book::{Book, Decision, Draft},
    error::EngineError,
    ports::log::{AuditReport, Head, Log, LogError, NewLeaf},
};
use sealift_store::sqlite::SqliteLog;

use super::stubs::{Stage, policy};

/// Knows what it saw last, and counts how often it had to ask.
struct Far {
    log: Arc<SqliteLog>,
    known: Mutex<Option<Head>>,
    asked: Arc<AtomicU32>,
}

impl Far {
    fn saw(&self, head: Head) -> Head {
        *self.known.lock().unwrap() = Some(head);
        head
    }
}

#[async_trait]
impl Log for Far {
    async fn head(&self) -> Result<Head, LogError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.log.head().await.map(|head| self.saw(head))
    }

    async fn known_head(&self) -> Result<Head, LogError> {
        let known = *self.known.lock().unwrap();
        match known {
            Some(known) => Ok(known),
            None => self.head().await,
        }
    }

    async fn append(&self, expected: Head, batch: Vec<NewLeaf>) -> Result<Head, LogError> {
        self.log.append(expected, batch).await.map(|head| self.saw(head))
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError> {
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

struct Desk {
    stage: Stage,
    book: Book,
    asked: Arc<AtomicU32>,
}

impl Desk {
    async fn new() -> Self {
        let stage = Stage::new(policy()).await;
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let book = stage.book_over(|log| Arc::new(Far { log, known: Mutex::default(), asked: count })).await;
        asked.store(0, Ordering::Relaxed);
        Self { stage, book, asked }
    }

    fn asked(&self) -> u32 {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

fn build(n: u8) -> Draft {
    let build = Build {
        repository: "r.example/staging".parse().unwrap(),
        digest: Digest::of(&[n]),
        commit: None,
        run_id: None,
        author: None,
        committer: None,
        actor: None,
        version: None,
    };
    Event::BuildRecorded(build).into()
}

fn decision<T>(drafts: Vec<Draft>, value: T) -> Result<Decision<T>, EngineError> {
    Ok(Decision { drafts, value })
}

#[tokio::test]
async fn what_is_written_on_what_is_known_needs_no_question() {
    let desk = Desk::new().await;
    for n in 1..=3 {
        desk.book.commit(|_| decision(vec![build(n)], ())).await.unwrap();
    }
    assert_eq!(desk.asked(), 0, "the append itself asks");
    assert_eq!(desk.book.ledger().await.unwrap().size, desk.stage.book().await.ledger().await.unwrap().size);
}

#[tokio::test]
async fn a_conflict_leads_to_a_decision_on_what_is_so_now() {
    let desk = Desk::new().await;
    desk.stage.build(7).await;
    let mut grounds = Vec::new();
    desk.book
        .commit(|ground| {
            grounds.push(ground.next);
            decision(vec![build(8)], ())
        })
        .await
        .unwrap();
    assert_eq!(grounds, [grounds[0], grounds[0] + 1], "decided on the known head, then on the real one");
    assert_eq!(desk.asked(), 1);
}

#[tokio::test]
async fn to_write_nothing_is_decided_on_what_is_so_now() {
    let desk = Desk::new().await;
    let before = desk.book.ledger().await.unwrap().size;
    desk.stage.build(7).await;
    desk.asked();
    let seen = desk.book.commit(|ground| decision(Vec::new(), ground.next)).await.unwrap();
    assert_eq!(seen, before + 1);
    assert_eq!(desk.asked(), 2, "once found that it has moved, once that it has not");
    let mut times = 0;
    desk.book
        .commit(|_| {
            times += 1;
            decision(Vec::new(), ())
        })
        .await
        .unwrap();
    assert_eq!((times, desk.asked()), (1, 1), "what did not move is not decided on again");
}

#[tokio::test]
async fn what_was_asked_within_the_last_second_is_not_asked_again() {
    let desk = Desk::new().await;
    let before = desk.book.ledger().await.unwrap().size;
    assert_eq!(desk.asked(), 0, "it was opened just now");
    desk.stage.build(7).await;
    desk.stage.clock.advance(Period::from_millis(999));
    assert_eq!((desk.book.ledger().await.unwrap().size, desk.asked()), (before, 0));
    desk.stage.clock.advance(Period::from_millis(1));
    assert_eq!((desk.book.ledger().await.unwrap().size, desk.asked()), (before + 1, 1));
    desk.book.ledger().await.unwrap();
    assert_eq!(desk.asked(), 0);
}

#[tokio::test]
async fn a_refusal_that_is_out_of_date_is_not_reported() {
    let desk = Desk::new().await;
    let before = desk.book.ledger().await.unwrap().size;
    desk.stage.build(7).await;
    let refused_before = |next: u64| if next == before { Err(EngineError::NotInitialised) } else { Ok(()) };
    desk.book
        .commit(|ground| {
            refused_before(ground.next)?;
            decision(vec![build(8)], ())
        })
        .await
        .unwrap();
    let refused = desk.book.commit(|_| Err::<Decision<()>, _>(EngineError::NotInitialised)).await.unwrap_err();
    assert!(matches!(refused, EngineError::NotInitialised), "{refused}");
}
