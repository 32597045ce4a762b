//! Predicates of in-toto statements.

use std::borrow::Cow;

use sealift_domain::evidence::Claim;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Read,
    kind::{Kind, SPDX_3, Shape, Type},
    read::MAX_TEXT,
};

/// What cosign before 2.0 put around an SBOM (sigstore/cosign, `pkg/cosign/attestation`).
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(rename = "Data", borrow)]
    data: &'a RawValue,
}

/// What a predicate says, and why it says nothing.
pub(super) fn read(predicate_type: &str, text: &str) -> (Read, Option<String>) {
    let unreadable = |why: String| {
        let claim = Claim::Unreadable { kind: predicate_type.to_owned() };
        (Read { claim, ..Read::default() }, Some(why))
    };
    if predicate_type.len() > MAX_TEXT {
        let claim = Claim::Unreadable { kind: "predicate".to_owned() };
        return (Read { claim, ..Read::default() }, Some("its type is longer than 1 KiB".to_owned()));
    }
    match Type::of(predicate_type) {
        Type::Other => {
            let claim = Claim::Other { kind: predicate_type.to_owned() };
            (Read { claim, ..Read::default() }, None)
        }
        Type::Unread(reason) => unreadable(reason.to_owned()),
        Type::Known(kind) => match of_kind(kind, text) {
            Ok(read) => {
                let why_not = read.why_not.map(str::to_owned);
                (read, why_not)
            }
            Err(why) => unreadable(format!("the predicate cannot be read: {why}")),
        },
    }
}

fn of_kind(kind: Kind, text: &str) -> Result<Read, String> {
    let why = match kind.read(text) {
        Ok(read) => return Ok(read),
        Err(why) => why,
    };
    if !matches!(kind, Kind::Spdx | Kind::CycloneDx) {
        return Err(why);
    }
    match unwrap(text) {
        Some(inner) if inner.trim_start().starts_with('{') => kind.read(&inner),
        Some(_) => Err(format!("what is wrapped in it is not {} in JSON", kind.name())),
        None if Shape::of(text) == Ok(Shape::Unread(SPDX_3)) => Err(SPDX_3.to_owned()),
        None => Err(why),
    }
}

/// An SBOM that stands in the predicate as a text, or in a frame: `cosign attest --type spdx` puts the file there as a
/// text whatever it is, and cosign before 2.0 put a frame around it.
fn unwrap(text: &str) -> Option<Cow<'_, str>> {
    let inner = match serde_json::from_str::<Wrapped<'_>>(text) {
        Ok(wrapped) => wrapped.data.get(),
        Err(_) => text,
    };
    if inner.starts_with('"') {
        return serde_json::from_str(inner).map(Cow::Owned).ok();
    }
    (inner.len() < text.len()).then_some(Cow::Borrowed(inner))
}
