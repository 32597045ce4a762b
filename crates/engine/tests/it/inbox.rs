//! What people hand in who cannot write to the log.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use sealift_domain::{
    approval::{ApprovalStatement, Decision as Verdict},
    digest::Digest,
    name::PersonId,
    promotion::{Kind, PromotionId, Status, Step},
    quantity::Period,
};
use sealift_engine::{
    act::Signed,
    decide, exchange,
    inbox::{self, Fate},
    ports::{clock::Clock, inbox::Inbox, log::LogError, signature::Signatures},
    progress::{Observer, Progress},
    worker::{RunOptions, Worker},
};

use super::{
    stubs::{NoSignatures, Stage, nonce},
    waiting::{staged, with_approval},
};

/// An inbox in memory, which takes everything, and keeps it all where the second field says so.
#[derive(Default)]
struct StubInbox(Mutex<BTreeMap<Digest, Vec<u8>>>, AtomicBool);

#[async_trait]
impl Inbox for StubInbox {
    async fn put(&self, bytes: &[u8]) -> Result<Digest, LogError> {
        self.0.lock().unwrap().insert(Digest::of(bytes), bytes.to_vec());
        Ok(Digest::of(bytes))
    }

    async fn list(&self) -> Result<Vec<(Digest, Vec<u8>)>, LogError> {
        Ok(self.0.lock().unwrap().clone().into_iter().collect())
    }

    async fn remove(&self, digests: &[Digest]) -> Result<(), LogError> {
        if self.1.load(Ordering::SeqCst) {
            return Err(LogError::Refused { place: "the stub".to_owned(), why: "it keeps everything".to_owned() });
        }
        self.0.lock().unwrap().retain(|digest, _| !digests.contains(digest));
        Ok(())
    }
}

impl StubInbox {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// The key is the text of the signature; one that is called forged never holds.
struct Named;

impl Signatures for Named {
    fn verify(&self, key: &str, _: &str, _: &[u8], signature: &[u8]) -> Result<(), String> {
        if signature == key.as_bytes() && key != "forged" { Ok(()) } else { Err("the stub says so".to_owned()) }
    }

    fn key_of(&self, signature: &[u8]) -> Result<String, String> {
        String::from_utf8(signature.to_vec()).map_err(|why| why.to_string())
    }
}

/// The key of ana in the policy of these tests.
const ANAS: &str = "ssh-ed25519 AAAA";

fn ana() -> PersonId {
    "ana".parse().unwrap()
}

/// A stage with an inbox, and a promotion that waits for ana.
async fn waiting() -> (Stage, Arc<StubInbox>, PromotionId) {
    let stage = staged(with_approval()).await;
    let inbox = Arc::new(StubInbox::default());
    *stage.inbox.lock().unwrap() = Some(inbox.clone());
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    (stage, inbox, id)
}

/// What ana would sign.
async fn statement(stage: &Stage, id: PromotionId, decision: Verdict, what: &str) -> ApprovalStatement {
    let ledger = stage.book().await.ledger().await.unwrap();
    let reason = (decision != Verdict::Approve).then(|| "why".to_owned());
    decide::statement(&ledger, id, &ana(), (decision, reason), stage.clock.now(), nonce(what)).unwrap()
}

fn file(statement: &ApprovalStatement, signature: &str) -> Vec<u8> {
    let statement = serde_json::to_vec(statement).unwrap();
    exchange::answer(&Signed { statement, signature: signature.as_bytes().to_vec() }).unwrap()
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn on(&self, progress: &Progress) {
        if let Progress::TakenIn { statements } = progress {
            self.0.lock().unwrap().extend(statements.clone());
        }
    }
}

#[tokio::test]
async fn what_was_handed_in_is_taken_in_before_the_gates_are_judged() {
    let (stage, inbox, id) = waiting().await;
    inbox.put(&file(&statement(&stage, id, Verdict::Approve, "n").await, ANAS)).await.unwrap();
    let (book, world, heard) = (stage.book().await, stage.world("run"), Heard::default());
    let ended = Worker::new(&book, &world, &heard, RunOptions::default()).run(id).await.unwrap();
    assert_eq!((ended, inbox.count()), (Status::Completed, 0));
    assert_eq!(*heard.0.lock().unwrap(), [format!("ana on promotion {id}: approved")]);
}

#[tokio::test]
async fn what_was_handed_in_in_time_is_not_too_late_because_nobody_took_it_in() {
    let (stage, inbox, id) = waiting().await;
    stage.clock.advance(Period::from_secs(3000));
    inbox.put(&file(&statement(&stage, id, Verdict::Approve, "n").await, ANAS)).await.unwrap();
    stage.clock.advance(Period::from_secs(900));
    assert_eq!(stage.run(id).await, Status::Completed);
}

#[tokio::test]
async fn attack_10_one_bad_statement_hinders_no_other_and_none_counts_that_should_not() {
    let (stage, inbox, id) = waiting().await;
    let good = statement(&stage, id, Verdict::Approve, "good").await;
    let with = |change: &dyn Fn(&mut ApprovalStatement)| {
        let mut other = good.clone();
        change(&mut other);
        other
    };
    let past: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    let bad: [(Vec<u8>, &str); 8] = [
        (b"garbage".to_vec(), "no signed answer"),
        (vec![b' '; exchange::MAX_ANSWER + 1], "larger than any"),
        (file(&good, "forged"), "does not hold"),
        (file(&good, "ssh-ed25519 BBBB"), "not one of `ana`'s"),
        (file(&with(&|other| other.approver = "eve".parse().unwrap()), ANAS), "`eve` is not in the policy"),
        (file(&with(&|other| (other.issued_at, other.expires_at) = (past, past)), ANAS), "expired"),
        (file(&with(&|other| other.evidence_digest = Digest::of(b"other")), ANAS), "another set of evidence"),
        (file(&with(&|other| other.promotion = PromotionId(9999)), ANAS), "no promotion 9999"),
    ];
    for (bytes, _) in &bad {
        inbox.put(bytes).await.unwrap();
    }
    let accepted = inbox.put(&file(&good, ANAS)).await.unwrap();
    let book = stage.book().await;
    let taken = inbox::take_in(&book, &Named, inbox.as_ref(), None).await.unwrap();
    assert_eq!((taken.len(), inbox.count()), (bad.len() + 1, 0));
    for (bytes, why) in &bad {
        let one = taken.iter().find(|taken| taken.digest == Digest::of(bytes)).unwrap();
        let Fate::Refused(refused) = &one.fate else { panic!("{why}: {one:?}") };
        assert!(refused.to_string().contains(why), "{why}: {refused}");
    }
    let one = taken.iter().find(|taken| taken.digest == accepted).unwrap();
    assert!(matches!(one.fate, Fate::Accepted(Verdict::Approve)), "{one:?}");
    assert_eq!(book.ledger().await.unwrap().promotions[&id].approvals.len(), 1);
    // Once more the same: it is in the log already, and writes nothing.
    let size = book.ledger().await.unwrap().size;
    inbox.put(&file(&good, ANAS)).await.unwrap();
    let again = inbox::take_in(&book, &Named, inbox.as_ref(), None).await.unwrap();
    assert!(matches!(again[0].fate, Fate::Again), "{again:?}");
    assert_eq!((book.ledger().await.unwrap().size, inbox.count()), (size, 0));
}

#[tokio::test]
async fn what_may_count_later_stays() {
    let (stage, inbox, id) = waiting().await;
    let mut ahead = statement(&stage, id, Verdict::Approve, "ahead").await;
    ahead.issued_at = Period::from_secs(120).after(ahead.issued_at);
    ahead.expires_at = Period::from_secs(120).after(ahead.expires_at);
    inbox.put(&file(&ahead, ANAS)).await.unwrap();
    // A promotion that nobody has judged yet. Whoever signs that has seen it elsewhere.
    let unjudged = stage.ask(Kind::Rollback, 1, "staging").await;
    let mut early = statement(&stage, id, Verdict::Approve, "early").await;
    early.promotion = unjudged;
    inbox.put(&file(&early, ANAS)).await.unwrap();
    let book = stage.book().await;
    let taken = inbox::take_in(&book, &NoSignatures, inbox.as_ref(), None).await.unwrap();
    let ahead_stays =
        taken.iter().any(|taken| matches!(&taken.fate, Fate::Stays(why) if why.contains("in the future")));
    assert!(ahead_stays, "{taken:?}");
    let stays = taken.iter().filter(|taken| matches!(taken.fate, Fate::Stays(_))).count();
    assert_eq!((stays, inbox.count()), (2, 2), "{taken:?}");
    stage.clock.advance(Period::from_secs(120));
    assert_eq!(stage.run(id).await, Status::Completed);
}

#[tokio::test]
async fn attack_10_who_approves_and_takes_it_back_is_heard_in_that_order() {
    for what in ["a", "b", "c", "d"] {
        let (stage, inbox, id) = waiting().await;
        let yes = statement(&stage, id, Verdict::Approve, what).await;
        let mut no_longer = ApprovalStatement { decision: Verdict::Revoke, nonce: nonce("back"), ..yes.clone() };
        no_longer.issued_at = Period::from_secs(1).after(yes.issued_at);
        inbox.put(&file(&yes, ANAS)).await.unwrap();
        inbox.put(&file(&no_longer, ANAS)).await.unwrap();
        stage.clock.advance(Period::from_secs(2));
        assert_eq!(stage.run(id).await, Status::Pending, "{what}");
        assert_eq!((inbox.count(), stage.script.count(Step::Copy)), (0, 0));
    }
}

#[tokio::test]
async fn attack_10_an_approval_taken_back_by_hand_in_while_work_goes_on_ends_it_before_the_switch() {
    for step in [Step::Copy, Step::Migrate, Step::Prepare] {
        let (stage, inbox, id) = waiting().await;
        let yes = statement(&stage, id, Verdict::Approve, "yes").await;
        inbox.put(&file(&yes, ANAS)).await.unwrap();
        let mut no_longer = ApprovalStatement { decision: Verdict::Revoke, nonce: nonce("back"), ..yes.clone() };
        no_longer.issued_at = Period::from_secs(1).after(yes.issued_at);
        stage.clock.advance(Period::from_secs(2));
        let (late, place) = (file(&no_longer, ANAS), inbox.clone());
        let hands_in = Box::new(move || drop(place.0.lock().unwrap().insert(Digest::of(&late), late)));
        stage.script.during.lock().unwrap().insert(step, hands_in);
        assert_eq!(stage.run(id).await, Status::Cancelled, "{step}");
        assert_eq!((inbox.count(), stage.script.count(Step::Switch)), (0, 0), "{step}");
    }
}

#[tokio::test]
async fn a_rejection_that_was_handed_in_ends_the_promotion() {
    let (stage, inbox, id) = waiting().await;
    inbox.put(&file(&statement(&stage, id, Verdict::Reject, "no").await, ANAS)).await.unwrap();
    assert_eq!(stage.run(id).await, Status::Cancelled);
    assert_eq!(inbox.count(), 0);
}

#[tokio::test]
async fn a_run_leaves_what_is_for_another_environment() {
    let (stage, inbox, id) = waiting().await;
    inbox.put(&file(&statement(&stage, id, Verdict::Approve, "n").await, ANAS)).await.unwrap();
    stage.build(2).await;
    let staging = stage.ask(Kind::Promote, 2, "staging").await;
    assert_eq!(stage.run(staging).await, Status::Completed);
    assert_eq!(inbox.count(), 1);
    assert!(stage.book().await.ledger().await.unwrap().promotions[&id].approvals.is_empty());
}

#[tokio::test]
async fn an_inbox_that_nothing_can_be_removed_from_hinders_nothing() {
    let (stage, inbox, id) = waiting().await;
    inbox.1.store(true, Ordering::SeqCst);
    inbox.put(&file(&statement(&stage, id, Verdict::Approve, "n").await, ANAS)).await.unwrap();
    let taken = inbox::take_in(&stage.book().await, &Named, inbox.as_ref(), None).await.unwrap();
    let words = taken[0].in_words();
    assert!(words.contains("approved") && words.contains("still in the inbox"), "{words}");
    assert_eq!(stage.run(id).await, Status::Completed);
    assert_eq!(inbox.count(), 1);
}

/// A signed answer as it is handed in where the log can be written.
fn signed(bytes: Vec<u8>) -> Signed {
    Signed { statement: bytes, signature: ANAS.as_bytes().to_vec() }
}

#[tokio::test]
async fn what_an_audit_could_not_compare_is_not_taken_in() {
    let (stage, _, id) = waiting().await;
    let good = statement(&stage, id, Verdict::Approve, "n").await;
    let bytes = serde_json::to_vec(&good).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let issued = good.issued_at.to_string();
    let precise = issued.replace('Z', if issued.contains('.') { "0Z" } else { ".000Z" });
    let spelled = "it is spelled otherwise";
    let with = |nonce: &str| text.replace(&good.nonce, nonce);
    let bad = [
        (text.replace(&issued, &precise), spelled),
        (text.replace("\":", "\": "), spelled),
        (format!("{text}\n"), spelled),
        (text.replacen("{", "{\"reason\":null,", 1), spelled),
        (text.replace("approve\"", "\\u0061pprove\""), spelled),
        (with("n"), "32 hexadecimal digits"),
        (with(&"g".repeat(32)), "32 hexadecimal digits"),
        (with(&"0".repeat(33)), "32 hexadecimal digits"),
    ];
    let book = stage.book().await;
    let size = book.ledger().await.unwrap().size;
    for (other, why) in bad {
        assert_ne!(other, text, "{why}");
        let refused = decide::accept(&book, &Named, &signed(other.into_bytes())).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{why}: {refused}");
    }
    assert_eq!(book.ledger().await.unwrap().size, size);
    decide::accept(&book, &Named, &signed(bytes)).await.unwrap();
    sealift_engine::audit::verify(&book, &Named, None).await.unwrap();
}

#[tokio::test]
async fn an_approval_is_not_signed_before_anybody_asked() {
    let (stage, _, id) = waiting().await;
    let book = stage.book().await;
    let asked = book.ledger().await.unwrap().promotions[&id].requested_at;
    let mut early = statement(&stage, id, Verdict::Approve, "n").await;
    let at = |seconds: i64| asked - jiff::SignedDuration::from_secs(seconds);
    (early.issued_at, early.expires_at) = (at(301), Period::from_secs(600).after(asked));
    let refused = decide::accept(&book, &Named, &signed(serde_json::to_vec(&early).unwrap())).await.unwrap_err();
    assert!(refused.to_string().contains("before its promotion was asked for"), "{refused}");
    // Another clock may be behind.
    early.issued_at = at(300);
    decide::accept(&book, &Named, &signed(serde_json::to_vec(&early).unwrap())).await.unwrap();
}

#[tokio::test]
async fn the_approvals_of_a_person_are_found_in_the_inbox() {
    let (stage, inbox, id) = waiting().await;
    let yes = statement(&stage, id, Verdict::Approve, "yes").await;
    let theirs = inbox.put(&file(&yes, ANAS)).await.unwrap();
    inbox.put(&file(&statement(&stage, id, Verdict::Reject, "no").await, ANAS)).await.unwrap();
    inbox.put(&file(&ApprovalStatement { approver: "eve".parse().unwrap(), ..yes }, ANAS)).await.unwrap();
    inbox.put(b"garbage").await.unwrap();
    let found = inbox::approvals_of(inbox.as_ref(), &Named, &ana()).await.unwrap();
    assert_eq!(found, [(id, theirs)]);
}
