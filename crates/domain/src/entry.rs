//! The leaf: a small versioned envelope whose exact bytes are hashed into the tree.
//!
//! ```json
//! {"v":1,"kind":"hold-placed","time":"2026-01-01T00:00:00Z","actor":"sha256:…","body":"sha256:…",
//!  "commitments":["sha256:…"],"evidence":["sha256:…"]}
//! ```
//! A leaf that a writer signed has version 2 and, at its end, `"writer":{"key":"1a2b3c4d","previous":"sha256:…","signature":"…"}`.
//!
//! `body` is the digest of the event's JSON; `actor` and `commitments` are salted commitments to personal texts;
//! `evidence` are other objects. All of them lie beside the log by digest and can be erased without touching the tree.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    event::{Event, SNAPSHOT},
    personal::Personal,
    writer::WriterKey,
};

/// The version of the envelope and of the bodies.
pub const ENTRY_VERSION: u32 = 1;

/// The version of an envelope that a writer signed. Programs that know no writers do not read it, and say so.
pub const SIGNED_VERSION: u32 = 2;

/// What the bytes begin with that a writer signs, so that no signature for anything else is one for a leaf.
const SIGNED_AS: &str = "sealift-writer/v1\n";

/// The envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// [`ENTRY_VERSION`], or [`SIGNED_VERSION`] where there is a writer.
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
    /// Who wrote it, if a writer signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<LeafWriter>,
}

/// The signature of a writer, and what it holds on top of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafWriter {
    /// The id of the key: 8 hexadecimal digits, as in c2sp.org/signed-note.
    pub key: String,
    /// The digest of the exact bytes of the leaf before; none for entry 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The signature over [`Leaf::signed_bytes`], in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signature: String,
}

/// Where a leaf stands: a signature holds there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its index.
    pub index: u64,
    /// The digest of the exact bytes of the leaf before; none for entry 0.
    pub previous: Option<Digest>,
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
    #[error("the entry has version {0}, and this program knows versions up to {SIGNED_VERSION}: use a newer program")]
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
    /// The writer's key made no signature.
    #[error("the entry cannot be signed with the writer key: {0}")]
    Unsigned(String),
}

impl Entry {
    /// The bytes to store, signed by no writer.
    pub fn seal(self) -> Result<Sealed, EntryError> {
        let (leaf, objects) = self.leaf()?;
        Ok(Sealed { leaf: leaf.bytes()?, objects, body: leaf.body })
    }

    /// The bytes to store at `place`, signed by a writer. `sign` gives the signature over bytes in base64, or says why not.
    pub fn seal_by(
        self,
        place: Place,
        key: &WriterKey,
        sign: impl FnOnce(&[u8]) -> Result<String, String>,
    ) -> Result<Sealed, EntryError> {
        let (mut leaf, objects) = self.leaf()?;
        leaf.v = SIGNED_VERSION;
        let writer = LeafWriter { key: key.id().to_owned(), previous: place.previous, signature: String::new() };
        leaf.writer = Some(writer);
        let signature = sign(&leaf.signed_bytes(place.index)?).map_err(EntryError::Unsigned)?;
        leaf.writer = leaf.writer.map(|writer| LeafWriter { signature, ..writer });
        Ok(Sealed { leaf: leaf.bytes()?, objects, body: leaf.body })
    }

    /// The envelope without a writer, and what lies beside the log.
    fn leaf(mut self) -> Result<(Leaf, Vec<Vec<u8>>), EntryError> {
        let body = serde_json::to_vec(&self.event).map_err(|e| EntryError::Unwritable(e.to_string()))?;
        let mut objects: Vec<Vec<u8>> = self.actor.opening().into_iter().collect();
        let mut commitments = Vec::new();
        self.event.each_personal(&mut |personal| {
            commitments.push(personal.commitment());
            objects.extend(personal.opening());
        });
        let leaf = Leaf {
            v: ENTRY_VERSION,
            kind: self.event.kind(),
            time: self.time,
            actor: self.actor.commitment(),
            body: Digest::of(&body),
            commitments,
            evidence: self.event.evidence(),
            writer: None,
        };
        objects.push(body);
        Ok((leaf, objects))
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
        if ![ENTRY_VERSION, SIGNED_VERSION].contains(&version.v) {
            return Err(EntryError::Version(version.v));
        }
        let leaf: Self = serde_json::from_slice(bytes).map_err(envelope)?;
        if (leaf.v == SIGNED_VERSION) != leaf.writer.is_some() {
            return Err(EntryError::Envelope(format!("version {SIGNED_VERSION} and a writer go together")));
        }
        // A signature is over what the leaf says, so there is one way to write that, or two leaves had one signature.
        if leaf.writer.is_some() && leaf.bytes()? != bytes {
            return Err(EntryError::Envelope("it is not written as it was signed".to_owned()));
        }
        Ok(leaf)
    }

    fn bytes(&self) -> Result<Vec<u8>, EntryError> {
        serde_json::to_vec(self).map_err(|e| EntryError::Unwritable(e.to_string()))
    }

    /// What a writer signs: what it is, the index that it has, and all of the leaf but the signature itself. Without the index a
    /// leaf could be repeated after a repeated leaf.
    pub fn signed_bytes(&self, index: u64) -> Result<Vec<u8>, EntryError> {
        let writer = self.writer.clone().map(|writer| LeafWriter { signature: String::new(), ..writer });
        let unsigned = Self { writer, ..self.clone() };
        Ok([SIGNED_AS.as_bytes(), format!("{index}\n").as_bytes(), &unsigned.bytes()?].concat())
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
        assert_eq!(Leaf::parse(br#"{"v":3}"#), Err(EntryError::Version(3)));
        let extra = String::from_utf8(sealed.leaf).unwrap().replacen('{', r#"{"x":1,"#, 1);
        assert!(matches!(Leaf::parse(extra.as_bytes()), Err(EntryError::Envelope(_))));
    }

    #[test]
    fn a_signature_is_over_everything_but_itself_and_over_the_place() {
        let key: WriterKey = crate::writer::testing::DEV.parse().unwrap();
        let place = Place { index: 7, previous: Some(Digest::of(b"before")) };
        let mut signed = Vec::new();
        let sealed = entry().seal_by(place, &key, |bytes| {
            signed = bytes.to_vec();
            Ok("c2lnbmVk".to_owned())
        });
        let sealed = sealed.unwrap();
        let leaf = Leaf::parse(&sealed.leaf).unwrap();
        let writer = leaf.writer.clone().unwrap();
        assert_eq!((leaf.v, writer.key.as_str(), writer.previous), (SIGNED_VERSION, key.id(), place.previous));
        assert_eq!(writer.signature, "c2lnbmVk");
        let text = String::from_utf8(signed.clone()).unwrap();
        assert!(text.starts_with("sealift-writer/v1\n7\n{\"v\":2,") && !text.contains("signature"), "{text}");
        assert_eq!(leaf.signed_bytes(7).unwrap(), signed);
        assert_ne!(leaf.signed_bytes(8).unwrap(), signed);
        let other = Leaf { writer: Some(LeafWriter { previous: None, ..writer }), ..leaf.clone() };
        assert_ne!(other.signed_bytes(7).unwrap(), signed);
        assert_ne!(Leaf { kind: "hold-released".into(), ..leaf }.signed_bytes(7).unwrap(), signed);
    }

    #[test]
    fn a_signed_leaf_has_one_spelling_and_its_own_version() {
        let key: WriterKey = crate::writer::testing::DEV.parse().unwrap();
        let place = Place { index: 0, previous: None };
        let sealed = entry().seal_by(place, &key, |_| Ok("c2lnbmVk".to_owned())).unwrap();
        let text = String::from_utf8(sealed.leaf).unwrap();
        assert!(!text.contains("previous"), "{text}");
        for (what, other) in [
            ("a space", text.replacen(',', ", ", 1)),
            ("another version", text.replacen("\"v\":2", "\"v\":1", 1)),
            ("an unknown field", text.replacen("\"signature\"", "\"extra\":1,\"signature\"", 1)),
            ("no previous, written out", text.replacen("\"signature\"", "\"previous\":null,\"signature\"", 1)),
        ] {
            assert_ne!(other, text, "{what}");
            assert!(matches!(Leaf::parse(other.as_bytes()), Err(EntryError::Envelope(_))), "{what}");
        }
        let unsigned = String::from_utf8(entry().seal().unwrap().leaf).unwrap().replacen("\"v\":1", "\"v\":2", 1);
        assert!(matches!(Leaf::parse(unsigned.as_bytes()), Err(EntryError::Envelope(_))));
        let refused = entry().seal_by(place, &key, |_| Err("no key".to_owned()));
        assert_eq!(refused, Err(EntryError::Unsigned("no key".to_owned())));
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
