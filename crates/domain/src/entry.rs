//! The leaf: a small versioned envelope whose exact bytes are hashed into the tree.
//!
//! ```json
//! {"v":1,"kind":"hold-placed","time":"2026-01-01T00:00:00Z","actor":"sha256:…","body":"sha256:…",
//!  "commitments":["sha256:…"],"evidence":["sha256:…"]}
//! ```
//! `body` is the digest of the event's JSON; `actor` and `commitments` are salted commitments to personal texts;
//! `evidence` are other objects. All of them lie beside the log by digest and can be erased without touching the tree.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    event::{Event, SNAPSHOT},
    personal::Personal,
};

/// The version of the envelope and of the bodies.
pub const ENTRY_VERSION: u32 = 1;

/// The envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// [`ENTRY_VERSION`].
    pub v: u32,
    /// What kind of event the body is.
    pub kind: String,
    /// When, by the writer's clock.
    pub time: Timestamp,
    /// Commitment to the account that wrote it.
    pub actor: Digest,
    /// The digest of the body.
    pub body: Digest,
    /// Commitments within the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commitments: Vec<Digest>,
    /// Other objects that the body refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Digest>,
}

/// An entry before it is written, and after it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// The account that wrote it, for instance `ana@laptop` or a pipeline run.
    pub actor: Personal,
    /// What happened.
    pub event: Event,
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// Body and openings, to be stored by their digests.
    pub objects: Vec<Vec<u8>>,
    /// The digest of the body.
    pub body: Digest,
}

/// Why stored bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The envelope does not parse.
    #[error("the entry is not an envelope: {0}")]
    Envelope(String),
    /// The envelope is of another version.
    #[error("the entry has version {0}, and this program knows versions up to {ENTRY_VERSION}: use a newer program")]
    Version(u32),
    /// The body was erased, or was never there.
    #[error("the body of a `{kind}` entry, {body}, is not beside the log")]
    NoBody {
        /// The kind of entry.
        kind: String,
        /// The digest of the body.
        body: Digest,
    },
    /// The body does not have the digest that the envelope states.
    #[error("the body of a `{kind}` entry is {found}, not {body}")]
    ForeignBody {
        /// The kind of entry.
        kind: String,
        /// The digest in the envelope.
        body: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The body does not parse, or is of another kind than the envelope says.
    #[error("the body of a `{kind}` entry cannot be read: {why}")]
    Body {
        /// The kind of entry.
        kind: String,
        /// What is wrong.
        why: String,
    },
    /// The event cannot be written.
    #[error("the event cannot be written: {0}")]
    Unwritable(String),
}

impl Entry {
    /// The bytes to store.
    pub fn seal(mut self) -> Result<Sealed, EntryError> {
        let unwritable = |e: serde_json::Error| EntryError::Unwritable(e.to_string());
        let body = serde_json::to_vec(&self.event).map_err(unwritable)?;
        let mut objects: Vec<Vec<u8>> = self.actor.opening().into_iter().collect();
        let mut commitments = Vec::new();
        self.event.each_personal(&mut |personal| {
            commitments.push(personal.commitment());
            objects.extend(personal.opening());
        });
        let digest = Digest::of(&body);
        let leaf = Leaf {
            v: ENTRY_VERSION,
            kind: self.event.kind(),
            time: self.time,
            actor: self.actor.commitment(),
            body: digest,
            commitments,
            evidence: self.event.evidence(),
        };
        objects.push(body);
        Ok(Sealed { leaf: serde_json::to_vec(&leaf).map_err(unwritable)?, objects, body: digest })
    }
}

impl Leaf {
    /// Reads an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let envelope = |e: serde_json::Error| EntryError::Envelope(e.to_string());
        let version: Version = serde_json::from_slice(bytes).map_err(envelope)?;
        if version.v != ENTRY_VERSION {
            return Err(EntryError::Version(version.v));
        }
        serde_json::from_slice(bytes).map_err(envelope)
    }

    /// The objects that this leaf names.
    pub fn objects(&self) -> impl Iterator<Item = Digest> + '_ {
        [self.actor, self.body].into_iter().chain(self.commitments.iter().copied()).chain(self.evidence.iter().copied())
    }

    /// Reads the event, given the stored body.
    pub fn event(&self, body: Option<&[u8]>) -> Result<Event, EntryError> {
        let kind = self.kind.clone();
        let Some(bytes) = body else { return Err(EntryError::NoBody { kind, body: self.body }) };
        let found = Digest::of(bytes);
        if found != self.body {
            return Err(EntryError::ForeignBody { kind, body: self.body, found });
        }
        let event = match read_body(&self.kind, bytes) {
            Ok(event) => event,
            Err(e) => return Err(EntryError::Body { kind, why: e.to_string() }),
        };
        if event.kind() != self.kind {
            return Err(EntryError::Body { kind, why: format!("it is a `{}`", event.kind()) });
        }
        if event.evidence() != self.evidence {
            return Err(EntryError::Body { kind, why: "it refers to other evidence than its envelope".to_owned() });
        }
        Ok(event)
    }
}

/// Reads a body. A snapshot grows with the log, and serde takes a tagged enum apart twice, so it is read as what it is.
fn read_body(kind: &str, bytes: &[u8]) -> serde_json::Result<Event> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    if kind == SNAPSHOT && serde_json::from_slice::<Kind<'_>>(bytes)?.kind == SNAPSHOT {
        return serde_json::from_slice(bytes).map(Event::Snapshot);
    }
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::HoldPlaced,
        freeze::{Hold, HoldScope},
        personal::Salt,
    };

    fn entry() -> Entry {
        let hold = Hold { scope: HoldScope::Digest(Digest::of(b"x")), reason: "broken".into(), by: None };
        Entry {
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            actor: Personal::new("ana@laptop", Salt([1; 32])),
            event: Event::HoldPlaced(HoldPlaced { hold, proof: None }),
        }
    }

    #[test]
    fn an_entry_survives_a_round_trip_and_its_leaf_holds_no_personal_text() {
        let sealed = entry().seal().unwrap();
        let text = String::from_utf8(sealed.leaf.clone()).unwrap();
        assert!(!text.contains("ana"), "{text}");
        let leaf = Leaf::parse(&sealed.leaf).unwrap();
        assert_eq!(leaf.kind, "hold-placed");
        let body = sealed.objects.iter().find(|o| Digest::of(o) == leaf.body).unwrap();
        assert_eq!(leaf.event(Some(body)).unwrap(), entry().event);
        let mut actor: Personal = serde_json::from_value(serde_json::json!(leaf.actor)).unwrap();
        sealed.objects.iter().for_each(|o| actor.open(o));
        assert_eq!(actor.text(), Some("ana@laptop"));
        assert_eq!(leaf.objects().count(), 2);
    }

    #[test]
    fn what_is_not_this_entry_is_refused() {
        let sealed = entry().seal().unwrap();
        let leaf = Leaf::parse(&sealed.leaf).unwrap();
        assert!(matches!(leaf.event(None), Err(EntryError::NoBody { .. })));
        assert!(matches!(leaf.event(Some(b"{}")), Err(EntryError::ForeignBody { .. })));
        let mut lying = leaf.clone();
        lying.kind = "hold-released".into();
        let body = sealed.objects.last().unwrap();
        assert!(matches!(lying.event(Some(body)), Err(EntryError::Body { .. })));
        let mut short = leaf.clone();
        short.evidence.push(Digest::of(b"e"));
        assert!(matches!(short.event(Some(body)), Err(EntryError::Body { .. })));
        assert!(matches!(Leaf::parse(b"{}"), Err(EntryError::Envelope(_))));
        assert_eq!(Leaf::parse(br#"{"v":2}"#), Err(EntryError::Version(2)));
        let extra = String::from_utf8(sealed.leaf).unwrap().replacen('{', r#"{"x":1,"#, 1);
        assert!(matches!(Leaf::parse(extra.as_bytes()), Err(EntryError::Envelope(_))));
    }

    #[test]
    fn a_snapshot_is_read_as_what_its_body_says_and_nothing_else() {
        let ledger = crate::ledger::Ledger { size: 7, ..Default::default() };
        let event = Event::Snapshot(Box::new(ledger));
        let sealed = Entry { event: event.clone(), ..entry() }.seal().unwrap();
        let leaf = Leaf::parse(&sealed.leaf).unwrap();
        let body = String::from_utf8(sealed.objects.last().unwrap().clone()).unwrap();
        assert_eq!(leaf.event(Some(body.as_bytes())).unwrap(), event);
        let without = body.replacen(r#""kind":"snapshot","#, "", 1);
        let twice = body.replacen('{', r#"{"kind":"snapshot","#, 1);
        let other = serde_json::to_string(&entry().event).unwrap();
        for (what, text) in [("no kind", without), ("two kinds", twice), ("another kind", other)] {
            assert_ne!(text, body, "{what}");
            let lying = Leaf { body: Digest::of(text.as_bytes()), ..leaf.clone() };
            assert!(matches!(lying.event(Some(text.as_bytes())), Err(EntryError::Body { .. })), "{what}");
        }
    }
}
