//! Facts about an environment count only from its own writer, whoever has the log's key.

mod facts;
mod persons;
mod snapshots;

use std::sync::Arc;

use sealift_domain::{
    digest::Digest,
    entry::{Entry, Place},
    event::{Event, HoldPlaced, VerificationRecorded},
    freeze::{Hold, HoldScope},
    personal::{Personal, Salt},
    policy::Policy,
    promotion::{Kind, Status},
};
use sealift_engine::{
    book::{Book, Decision, Draft, Trust},
    error::EngineError,
    ports::{
        clock::Clock,
        log::{Log, LogError, NewLeaf},
        writer::Writer,
    },
};
use sealift_store::{key::SigningKey, writer::WriterKeys};

use crate::stubs::{NoSignatures, Stage, environment, policy, release};

/// The keys of two environments, and one that no policy knows.
pub(super) struct Keys {
    pub(super) staging: Arc<WriterKeys>,
    pub(super) production: Arc<WriterKeys>,
    pub(super) stranger: Arc<WriterKeys>,
}

impl Keys {
    pub(super) fn new() -> Self {
        let key = |name| Arc::new(WriterKeys::new(Some(SigningKey::generate(name).unwrap())));
        Self { staging: key("app/staging"), production: key("app/production"), stranger: key("app/stranger") }
    }

    /// The policy of the stage where both environments have a writer.
    pub(super) fn policy(&self) -> Policy {
        let mut policy = policy();
        for (name, key) in [("staging", &self.staging), ("production", &self.production)] {
            policy.environments.get_mut(&environment(name)).unwrap().writer = vec![key.key().unwrap()];
        }
        policy
    }

    /// What a run with `key` believes.
    pub(super) fn trust(&self, key: &Arc<WriterKeys>) -> Trust {
        let writer: Arc<dyn Writer> = key.clone();
        Trust { writer: Some(writer), signatures: Some(Arc::new(NoSignatures)), policy: Some(self.policy()) }
    }

    /// What a run without a key believes.
    pub(super) fn reader(&self) -> Trust {
        self.trust(&Arc::new(WriterKeys::default()))
    }
}

/// A stage where release 1 runs in staging, by staging's writer.
pub(super) async fn staged() -> (Stage, Keys) {
    staged_with(|policy| policy).await
}

pub(super) async fn staged_with(edit: impl FnOnce(Policy) -> Policy) -> (Stage, Keys) {
    let keys = Keys::new();
    let stage = Stage::new(edit(keys.policy())).await;
    become_writer(&stage, keys.trust(&keys.staging));
    stage.build(1).await;
    let id = stage.ask(Kind::Promote, 1, "staging").await;
    assert_eq!(stage.run(id).await, Status::Completed);
    (stage, keys)
}

/// Everything that follows is done by a run that believes this.
pub(super) fn become_writer(stage: &Stage, trust: Trust) {
    *stage.trust.lock().unwrap() = trust;
}

pub(super) fn verified(passed: bool) -> Event {
    let summary = "looked".to_owned();
    Event::VerificationRecorded(VerificationRecorded {
        environment: environment("staging"),
        release: release(1),
        passed,
        summary,
    })
}

pub(super) fn hold(reason: &str) -> Event {
    let scope = HoldScope::Environment(environment("production"));
    Event::HoldPlaced(HoldPlaced { hold: Hold { scope, reason: reason.into(), by: None }, proof: None })
}

pub(super) fn entry(stage: &Stage, event: Event) -> Entry {
    Entry { time: stage.clock.now(), actor: Personal::new("eve", Salt([7; 32])), event }
}

/// Where the next leaf stands.
pub(super) async fn next(stage: &Stage) -> Place {
    let head = stage.log().head().await.unwrap();
    let last = stage.log().leaves(head.size - 1, head.size).await.unwrap().remove(0);
    Place { index: head.size, previous: Some(Digest::of(&last)) }
}

/// Appends a leaf as whoever has the log's key can.
pub(super) async fn append(stage: &Stage, bytes: Vec<u8>, objects: Vec<Vec<u8>>, snapshot: bool) {
    let head = stage.log().head().await.unwrap();
    stage.log().append(head, vec![NewLeaf { bytes, objects, snapshot }]).await.unwrap();
}

/// Appends an event that `key` signed for `place`.
pub(super) async fn forge(stage: &Stage, key: &WriterKeys, place: Place, event: Event) {
    let snapshot = matches!(event, Event::Snapshot(_));
    let sealed = entry(stage, event).seal_by(place, &key.key().unwrap(), |bytes| key.sign(bytes)).unwrap();
    append(stage, sealed.leaf, sealed.objects, snapshot).await;
}

/// What a run of production's says of the log, if it refuses it.
pub(super) async fn refused(stage: &Stage, keys: &Keys) -> Option<EngineError> {
    stage.book_on(stage.log(), keys.trust(&keys.production)).await.err()
}

pub(super) async fn tampered(stage: &Stage, keys: &Keys) -> (String, u64) {
    match refused(stage, keys).await {
        Some(EngineError::Log(LogError::Tampered { what, at: Some(at) })) => (what, at),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn write(book: &Book, events: Vec<Event>) -> Result<(), EngineError> {
    book.commit(|_| Ok(Decision { drafts: events.iter().cloned().map(Draft::from).collect(), value: () })).await
}
