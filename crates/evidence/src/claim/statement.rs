//! in-toto statements v0.1 and v1 (in-toto/attestation, `spec/v1/statement.md`, `spec/v0.1.0/README.md`).
//!
//! Whoever makes one writes the predicate type before the predicate, so that the predicate is read in one pass as what
//! it is; otherwise, and where that fails, a second pass tells what is wrong with which part.

use std::{cell::Cell, collections::BTreeSet, fmt};

use sealift_domain::digest::Digest;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Read, Said, Why,
    kind::{Kind, Type},
    names, predicate,
    read::{Kept, Reason, Text, each, reason, refuse},
};

const TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// The most subjects of a statement.
const MAX_SUBJECTS: usize = 1024;

/// The subjects that are named by their SHA-256.
#[derive(Default)]
struct Subjects(BTreeSet<Digest>);

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow)]
    digest: Option<DigestSet<'a>>,
}

#[derive(Deserialize)]
struct DigestSet<'a> {
    #[serde(borrow)]
    sha256: Option<Text<'a>>,
}

impl<'de> Deserialize<'de> for Subjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (mut digests, mut count) = (BTreeSet::new(), 0);
        each(deserializer, |subject: Subject<'de>| {
            count += 1;
            if count > MAX_SUBJECTS {
                return Err("it has more than 1024 subjects");
            }
            if let Some(digits) = subject.digest.and_then(|digest| digest.sha256) {
                digests.insert(names::sha256(&digits).ok_or("the digest of a subject is no SHA-256")?);
            }
            Ok(())
        })?;
        Ok(Self(digests))
    }
}

/// A statement of which the predicate is left as it is.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "_type", borrow)]
    kind: Text<'a>,
    subject: Subjects,
    #[serde(rename = "predicateType")]
    predicate_type: Kept,
    #[serde(borrow)]
    predicate: Option<&'a RawValue>,
}

/// Reads a statement.
pub(super) fn read(text: &str) -> Result<Said, Why> {
    if let Some(said) = at_once(text) {
        return Ok(said);
    }
    let raw: Raw<'_> =
        serde_json::from_str(text).map_err(|error| Why(format!("it is no in-toto statement: {}", reason(&error))))?;
    check(&raw.kind, &raw.subject).map_err(|why| Why(why.to_owned()))?;
    let (read, why_not) = predicate::read(&raw.predicate_type.0, raw.predicate.map_or("null", RawValue::get));
    Ok(Said { subjects: raw.subject.0, configs: read.configs, claim: read.claim, why_not })
}

fn check(kind: &str, subjects: &Subjects) -> Result<(), Reason> {
    if !TYPES.contains(&kind) {
        return Err("it is no in-toto statement of version 0.1 or 1");
    }
    if subjects.0.is_empty() {
        return Err("it has no subject that is named by its SHA-256");
    }
    Ok(())
}

/// Reads a statement of a known type in one pass, if nothing stands in the way.
fn at_once(text: &str) -> Option<Said> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (subjects, read) = deserializer.deserialize_map(AtOnce).ok()?;
    deserializer.end().ok()?;
    let why_not = read.why_not.map(str::to_owned);
    Some(Said { subjects: subjects.0, configs: read.configs, claim: read.claim, why_not })
}

struct AtOnce;

impl<'de> Visitor<'de> for AtOnce {
    type Value = (Subjects, Read);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // Nothing is said here of what is wrong: that is for the second pass.
        let unclear = || A::Error::custom("unclear");
        let set = |seen: &Cell<bool>| if seen.replace(true) { Err(unclear()) } else { Ok(()) };
        let (typed, predicated) = (Cell::new(false), Cell::new(false));
        let (mut kind, mut subjects, mut read) = (None::<Kind>, None::<Subjects>, None::<Read>);
        let mut statement = None::<Text<'de>>;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key {
                "_type" if statement.is_none() => statement = Some(map.next_value()?),
                "subject" if subjects.is_none() => subjects = Some(map.next_value()?),
                "predicateType" => {
                    set(&typed)?;
                    let Type::Known(known) = Type::of(&map.next_value::<Text<'de>>()?) else { return Err(unclear()) };
                    kind = Some(known);
                }
                "predicate" => {
                    set(&predicated)?;
                    read = Some(map.next_value_seed(kind.ok_or_else(unclear)?)?);
                }
                "_type" | "subject" => return Err(unclear()),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (Some(statement), Some(subjects), Some(read)) = (statement, subjects, read) else { return Err(unclear()) };
        check(&statement, &subjects).map_err(refuse)?;
        Ok((subjects, read))
    }
}

impl<'de> DeserializeSeed<'de> for Kind {
    type Value = Read;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Read, D::Error> {
        self.read_from(deserializer)
    }
}
