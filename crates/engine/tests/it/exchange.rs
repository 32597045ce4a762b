//! Requests as files: what is edited is refused, or signs something that does not count.

use jiff::Timestamp;
use sealift_domain::{
    approval::Decision as Verdict,
    digest::Digest,
    gate::Verdict as Found,
    promotion::{Kind, PromotionId, Status},
    quantity::Period,
};
use sealift_engine::{
    act::Signed,
    decide,
    error::EngineError,
    exchange::{self, Request},
    ports::clock::Clock,
};
use serde::{Deserialize, Serialize};

use super::{
    stubs::{NoSignatures, Stage, nonce},
    waiting::{staged, with_approval},
};

/// The file, as it is written.
#[derive(Serialize, Deserialize)]
struct File {
    sealift_request: u32,
    digest: Digest,
    request: Request,
}

async fn exported() -> (Stage, PromotionId, Vec<u8>) {
    let stage = staged(with_approval()).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    let bytes = exchange::export(&stage.book().await, &stage.world("run"), id).await.unwrap();
    (stage, id, bytes)
}

/// The same request after an edit by somebody who knows how the file is made.
fn resealed(bytes: &[u8], edit: impl FnOnce(&mut Request)) -> Vec<u8> {
    let mut file: File = serde_json::from_slice(bytes).unwrap();
    edit(&mut file.request);
    file.digest = Digest::of(&serde_json::to_vec(&file.request).unwrap());
    let mut bytes = serde_json::to_vec_pretty(&file).unwrap();
    bytes.push(b'\n');
    bytes
}

/// What ana would sign of a request, handed in where it came from.
async fn answered(stage: &Stage, bytes: &[u8]) -> Result<(), EngineError> {
    let opened = exchange::open(bytes, stage.clock.now())?;
    let id = opened.request.promotion.id;
    let decided = (Verdict::Approve, None);
    let statement =
        decide::statement(&opened.ledger, id, &"ana".parse().unwrap(), decided, stage.clock.now(), nonce("n"))?;
    let statement = serde_json::to_vec(&statement).unwrap();
    let answer = exchange::answer(&Signed { statement, signature: b"signature".to_vec() })?;
    let signed = exchange::read_answer(&answer)?;
    decide::hand_in(&stage.book().await, &NoSignatures, &signed).await.map(drop)
}

#[tokio::test]
async fn attack_09_a_request_that_was_changed_by_one_byte_is_refused() {
    let (stage, _, bytes) = exported().await;
    let now = stage.clock.now();
    assert!(exchange::open(&bytes, now).is_ok());
    for at in 0..bytes.len() {
        let mut edited = bytes.clone();
        edited[at] ^= 1;
        assert!(exchange::open(&edited, now).is_err(), "byte {at}");
        if at % 16 == 0 {
            edited.remove(at);
            assert!(exchange::open(&edited, now).is_err(), "without byte {at}");
            let mut longer = bytes.clone();
            longer.insert(at, b' ');
            assert!(exchange::open(&longer, now).is_err(), "a space before byte {at}");
            assert!(exchange::open(&bytes[..at], now).is_err(), "cut at byte {at}");
        }
    }
}

#[tokio::test]
async fn attack_09_a_request_that_was_edited_with_its_digest_is_refused_or_signs_what_does_not_count() {
    let (stage, id, bytes) = exported().await;
    let other = Digest::of(b"other");
    type Edit<'a> = &'a dyn Fn(&mut Request);
    let refused: [(Edit<'_>, &str); 11] = [
        (&|r| r.promotion.reason = Some("ä".repeat(2001)), "more than 2000 characters"),
        (&|r| r.binding.policy_digest = other, "its policy has another digest"),
        (&|r| r.binding.evidence_digest = other, "its gates and its definition have another digest"),
        (&|r| r.binding.release.values_mut().for_each(|image| image.digest = other), "another than the one"),
        (&|r| r.binding.app = "other".parse().unwrap(), "another than the one"),
        (&|r| r.definition = Some(other), "its gates and its definition"),
        (&|r| r.promotion.judged.retain(|judged| judged.finding.evidence.is_empty()), "its gates and its definition"),
        (&|r| drop(r.pieces.insert(other, "text".to_owned())), "has another digest"),
        (&|r| r.policy.source = Some("https://example.com".to_owned()), "its policy has another digest"),
        (&|r| r.lapses_at = "2099-01-01T00:00:00Z".parse::<Timestamp>().unwrap(), "does not wait"),
        (&|r| r.comment = Some("/sealift approve X".to_owned()), "stands for something else"),
    ];
    for (edit, why) in refused {
        let words = answered(&stage, &resealed(&bytes, edit)).await.unwrap_err().to_string();
        assert!(words.contains(why), "{why}: {words}");
    }
    // Consistent within itself, and not what is in the log.
    let elsewhere: [(Edit<'_>, &str); 3] = [
        (
            &|r| {
                r.policy.source = Some("https://example.com".to_owned());
                r.binding.policy_digest = r.policy.digest();
                r.promotion.policy = r.policy.digest();
            },
            "another policy",
        ),
        (
            &|r| {
                r.promotion.id = PromotionId(r.promotion.id.0 - 1);
                r.binding.promotion = r.promotion.id;
            },
            "there is no promotion",
        ),
        (
            &|r| {
                r.promotion.release = super::stubs::release(9);
                r.binding.release.values_mut().for_each(|image| image.digest = Digest::of(&[9]));
            },
            "another release",
        ),
    ];
    for (edit, why) in elsewhere {
        let words = answered(&stage, &resealed(&bytes, edit)).await.unwrap_err().to_string();
        assert!(words.contains(why), "{why}: {words}");
    }
    assert!(stage.book().await.ledger().await.unwrap().promotions[&id].approvals.is_empty());
    // What nothing binds is shown as such, and the statement is the same.
    let words = resealed(&bytes, |r| {
        for judged in &mut r.promotion.judged {
            if let Found::Pass { found } = &mut judged.finding.verdict {
                found.push_str(", of course");
            }
        }
    });
    let told = exchange::open(&words, stage.clock.now()).unwrap().told;
    assert!(told.contains(&exchange::VERDICTS), "{told:?}");
    // Nothing binds how long it waits and what the log was, so that is no more than told.
    let elsewhen = resealed(&bytes, |r| {
        r.checkpoint = "another log\n1\nroot\n".to_owned();
        r.promotion.reason = Some("ä".repeat(2000));
    });
    let told = exchange::open(&elsewhen, stage.clock.now()).unwrap().told;
    assert!(told.contains(&exchange::LOG), "{told:?}");
    answered(&stage, &words).await.unwrap();
    assert_eq!(stage.run(id).await, Status::Completed);
}

#[tokio::test]
async fn a_build_is_bound_by_the_record_that_the_gates_used() {
    let (stage, _, bytes) = exported().await;
    let now = stage.clock.now();
    let told = exchange::open(&bytes, now).unwrap().told;
    assert!(!told.contains(&"the version and the commit"), "{told:?}");
    let other = resealed(&bytes, |r| r.told.builds.values_mut().for_each(|b| b.fact.version = Some("9.9".into())));
    let why = exchange::open(&other, now).unwrap_err().to_string();
    assert!(why.contains("not what the gates used"), "{why}");
    let without = resealed(&bytes, |r| r.pieces.clear());
    let told = exchange::open(&without, now).unwrap().told;
    assert!(told.contains(&"the version and the commit"), "{told:?}");
}

#[tokio::test]
async fn a_request_is_signed_until_it_lapses_and_an_answer_counts_once() {
    let (stage, id, bytes) = exported().await;
    answered(&stage, &bytes).await.unwrap();
    let size = stage.book().await.ledger().await.unwrap().size;
    answered(&stage, &bytes).await.unwrap();
    assert_eq!(stage.book().await.ledger().await.unwrap().size, size, "the same answer is not written twice");
    stage.clock.advance(Period::from_secs(3600));
    let late = answered(&stage, &bytes).await.unwrap_err();
    assert!(matches!(late, EngineError::RequestLapsed(_)), "{late}");
    let over = exchange::export(&stage.book().await, &stage.world("run"), PromotionId(0)).await.unwrap_err();
    assert!(matches!(over, EngineError::NoPromotion(_)), "{over}");
    assert_ne!(stage.run(id).await, Status::Completed, "what was approved an hour ago has expired");
}
