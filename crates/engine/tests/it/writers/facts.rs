//! Facts: whose signature, of what, and where.

use std::sync::Arc;

use sealift_domain::{
    digest::Digest,
    entry::{Entry, Leaf, Place},
    event::{Event, FreezeLifted, FreezePlaced},
    freeze::Freeze,
    ledger::IllegalEntry,
    personal::{Personal, Salt},
    promotion::{Kind, Status},
    quantity::Period,
};
use sealift_engine::{
    audit,
    book::Trust,
    error::EngineError,
    ports::{clock::Clock, log::Log, writer::Writer},
};
use sealift_store::{key::SigningKey, writer::WriterKeys};

use super::{Keys, append, become_writer, entry, forge, hold, next, refused, staged, tampered, verified, write};
use crate::stubs::{NoSignatures, Stage, environment};

/// See [`a_signed_leaf_is_written_as_it_always_was`].
const WRITTEN: &str = r#"{"v":2,"kind":"hold-placed","time":"2026-01-01T00:00:00Z","actor":"sha256:913d37fc527badd1cd0d1eeb09e7be1e056526cb14d0236f4d50133efe9e8ccc","body":"sha256:b2356c9b288379e510d1835cf309bab43d4a1018bfefe4357ae7679b5c90c17c","writer":{"key":"c74f20a3","previous":"sha256:6db7d803e74f1ffa7d8f5adc0bf95b3e15bf4c8373fffadf546227cc6c6742cb","signature":"qm5l3BqctGe+qe/wb1ZxyU2t69ITmA7Z+oIq/Py4x//w02PvcMSz2Buze8BTW3TCvYhZca4e42tdHNbyi2A7Aw=="}}"#;

#[tokio::test]
async fn each_environment_s_run_writes_its_own_facts_and_believes_the_other_s() {
    let (stage, keys) = staged().await;
    become_writer(&stage, keys.trust(&keys.production));
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    let report = audit::verify(&stage.book().await, &NoSignatures, None).await.unwrap();
    assert_eq!(report.entries, stage.log().head().await.unwrap().size);
    // Whoever has no key reads all of it, and so does every other run.
    for trust in [keys.reader(), keys.trust(&keys.stranger), keys.trust(&keys.staging)] {
        let book = stage.book_on(stage.log(), trust).await.unwrap();
        assert_eq!(book.ledger().await.unwrap(), stage.book().await.ledger().await.unwrap());
    }
    // Whoever can verify nothing refuses it at the first entry that a writer signed.
    let error = stage.book_on(stage.log(), Trust::default()).await.err().unwrap().to_string();
    assert!(error.contains("nothing here can verify its writer key") && error.contains("(entry 1)"), "{error}");
}

#[tokio::test]
async fn attack_26_a_fact_about_another_environment_is_refused_before_it_is_written() {
    let (stage, keys) = staged().await;
    let before = stage.log().head().await.unwrap();
    for trust in [keys.trust(&keys.production), keys.trust(&keys.stranger), keys.reader()] {
        let book = stage.book_on(stage.log(), trust).await.unwrap();
        match write(&book, vec![verified(true)]).await {
            Err(EngineError::Refused(IllegalEntry::ForeignWriter { environments, .. })) => {
                assert_eq!(environments, [environment("staging")]);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stage.log().head().await.unwrap(), before);
}

#[tokio::test]
async fn attack_26_a_promotion_without_the_target_s_key_ends_before_anything_is_done() {
    let (stage, keys) = staged().await;
    stage.forget();
    let id = stage.ask(Kind::Promote, 1, "production").await;
    let stopped = stage.run_as("run", id).await.unwrap_err();
    assert!(matches!(stopped, EngineError::Refused(IllegalEntry::ForeignWriter { .. })), "{stopped}");
    assert_eq!(*stage.script.done.lock().unwrap(), Vec::<String>::new());
    become_writer(&stage, keys.trust(&keys.production));
    assert_eq!(stage.run(id).await, Status::Completed, "the run that has the key goes on with it");
}

#[tokio::test]
async fn attack_26_a_verification_of_staging_by_another_key_makes_the_log_refused() {
    for (signed_by, words) in
        [(Some("production"), "the writer of production signed the entry"), (None, "no writer signed the entry")]
    {
        let (stage, keys) = staged().await;
        let place = next(&stage).await;
        match signed_by {
            Some(_) => forge(&stage, &keys.production, place, verified(true)).await,
            None => {
                let sealed = entry(&stage, verified(true)).seal().unwrap();
                append(&stage, sealed.leaf, sealed.objects, false).await;
            }
        }
        match refused(&stage, &keys).await {
            Some(EngineError::Illegal { index, source }) => {
                assert_eq!(index, place.index);
                assert!(source.to_string().ends_with(words), "{source}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn attack_26_a_key_that_the_policy_does_not_know_signs_nothing() {
    let (stage, keys) = staged().await;
    let place = next(&stage).await;
    forge(&stage, &keys.stranger, place, hold("blocked")).await;
    let (what, at) = tampered(&stage, &keys).await;
    assert!(what.contains("is none of the policy in force"), "{what}");
    assert_eq!(at, place.index);
}

#[tokio::test]
async fn attack_26_a_name_of_a_key_without_its_signature_is_refused() {
    let (stage, keys) = staged().await;
    let place = next(&stage).await;
    let key = keys.staging.key().unwrap();
    let sealed = entry(&stage, verified(true)).seal_by(place, &key, |bytes| keys.production.sign(bytes)).unwrap();
    append(&stage, sealed.leaf, sealed.objects, false).await;
    let (what, at) = tampered(&stage, &keys).await;
    assert_eq!((what.as_str(), at), ("the signature of the writer of staging does not hold here", place.index));
}

#[tokio::test]
async fn attack_26_a_fact_that_was_signed_on_another_history_does_not_count() {
    let (stage, keys) = staged().await;
    let place = next(&stage).await;
    forge(&stage, &keys.staging, Place { previous: Some(Digest::of(b"another")), ..place }, verified(true)).await;
    let (what, at) = tampered(&stage, &keys).await;
    assert_eq!((what.as_str(), at), ("the writer of staging wrote it after another entry", place.index));
}

/// The good verification was true once. It is written again, after the same entry as then, when it is true no more.
#[tokio::test]
async fn attack_26_a_fact_is_not_replayed_at_another_index() {
    let (stage, keys) = staged().await;
    let unsigned = entry(&stage, hold("look first")).seal().unwrap();
    append(&stage, unsigned.leaf.clone(), unsigned.objects, false).await;
    let book = stage.book().await;
    write(&book, vec![verified(true)]).await.unwrap();
    let first = stage.log().head().await.unwrap().size - 1;
    let good = stage.log().leaves(first, first + 1).await.unwrap().remove(0);
    write(&book, vec![verified(false)]).await.unwrap();
    assert!(refused(&stage, &keys).await.is_none(), "so far it is the truth");

    append(&stage, good.clone(), Vec::new(), false).await;
    let (what, at) = tampered(&stage, &keys).await;
    assert_eq!((what.as_str(), at), ("the writer of staging wrote it after another entry", first + 2));

    let (stage, keys) = staged().await;
    let unsigned = entry(&stage, hold("look first")).seal().unwrap();
    append(&stage, unsigned.leaf.clone(), unsigned.objects, false).await;
    let book = stage.book().await;
    write(&book, vec![verified(true)]).await.unwrap();
    let first = stage.log().head().await.unwrap().size - 1;
    let good = stage.log().leaves(first, first + 1).await.unwrap().remove(0);
    write(&book, vec![verified(false)]).await.unwrap();
    // Anybody may repeat an entry that nobody signed, so the entry before is the same, byte for byte.
    append(&stage, unsigned.leaf, Vec::new(), false).await;
    append(&stage, good, Vec::new(), false).await;
    let (what, at) = tampered(&stage, &keys).await;
    assert_eq!((what.as_str(), at), ("the signature of the writer of staging does not hold here", first + 3));
}

#[tokio::test]
async fn a_key_is_replaced_by_naming_both_and_then_only_the_new_one() {
    let keys = Keys::new();
    let (old, new) = (keys.production.clone(), keys.stranger.clone());
    let with = |writers: &[&Arc<WriterKeys>]| {
        let mut policy = keys.policy();
        let writer = writers.iter().map(|key| key.key().unwrap()).collect();
        policy.environments.get_mut(&environment("production")).unwrap().writer = writer;
        policy
    };
    let stage = Stage::new(with(&[&old])).await;
    let by = async |key: &Arc<WriterKeys>| {
        become_writer(&stage, Trust { policy: None, ..keys.trust(key) });
        stage.book().await
    };
    let fact = || {
        let freeze = FreezeLifted { environment: environment("production"), reason: "over".into() };
        let from = stage.clock.now();
        let until = Period::from_secs(60).after(from);
        let placed = Freeze { from, until, reason: "r".into() };
        let placed = FreezePlaced { environment: environment("production"), freeze: placed };
        vec![Event::FreezePlaced(placed), Event::FreezeLifted(freeze)]
    };
    let refuses = |written: Result<(), EngineError>| {
        assert!(matches!(written, Err(EngineError::Refused(IllegalEntry::ForeignWriter { .. }))), "{written:?}");
    };
    write(&by(&old).await, fact()).await.unwrap();
    refuses(write(&by(&new).await, fact()).await);
    by(&old).await;
    stage.accept(with(&[&old, &new])).await;
    write(&by(&old).await, fact()).await.unwrap();
    write(&by(&new).await, fact()).await.unwrap();
    stage.accept(with(&[&new])).await;
    refuses(write(&by(&old).await, fact()).await);
    write(&by(&new).await, fact()).await.unwrap();
    audit::verify(&stage.book().await, &NoSignatures, None).await.unwrap();
}

/// Formats are for ever: a leaf that was signed today must verify with every later version.
#[test]
fn a_signed_leaf_is_written_as_it_always_was() {
    let private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let key = WriterKeys::new(Some(SigningKey::from_text(private).unwrap()));
    let time = "2026-01-01T00:00:00Z".parse().unwrap();
    let entry = Entry { time, actor: Personal::new("eve", Salt([7; 32])), event: hold("look first") };
    let place = Place { index: 7, previous: Some(Digest::of(b"before")) };
    let sealed = entry.seal_by(place, &key.key().unwrap(), |bytes| key.sign(bytes)).unwrap();
    assert_eq!(String::from_utf8(sealed.leaf.clone()).unwrap(), WRITTEN);
    let leaf = Leaf::parse(&sealed.leaf).unwrap();
    let signature = leaf.writer.as_ref().unwrap().signature.clone();
    assert!(key.verify(&key.key().unwrap(), &leaf.signed_bytes(7).unwrap(), &signature));
    assert!(!key.verify(&key.key().unwrap(), &leaf.signed_bytes(8).unwrap(), &signature));
}
