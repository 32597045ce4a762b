//! Answers that registries give when they do not do what was asked.

use bytes::Bytes;
use sealift_engine::ports::registry::RawManifest;
use serde_json::{Value, json};

use super::Action;
use crate::manifest::OCI_INDEX;

/// An answer with a status and nothing else.
pub fn status(status: u16) -> Action {
    Action::Answer { status, headers: Vec::new(), body: Bytes::new() }
}

/// How a registry says for how long it wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Unsaid,
    /// `Retry-After` with seconds (RFC 9110, section 10.2.3).
    Seconds(u64),
    /// `Retry-After` with an HTTP date (the same section).
    Until(&'static str),
    /// A Go duration within the message, and no header, as GHCR does.
    Message(&'static str),
}

fn refusal(status: u16, headers: Vec<(String, String)>, code: &str, message: &str) -> Action {
    let body = json!({"errors": [{"code": code, "message": message}]}).to_string().into();
    Action::Answer { status, headers, body }
}

/// 429 with the specification's `TOOMANYREQUESTS`.
pub fn too_many(wait: Wait) -> Action {
    let header = |text: String| vec![("retry-after".to_owned(), text)];
    let (headers, message) = match wait {
        Wait::Unsaid => (Vec::new(), "too many requests".to_owned()),
        Wait::Seconds(seconds) => (header(seconds.to_string()), "too many requests".to_owned()),
        Wait::Until(date) => (header(date.to_owned()), "too many requests".to_owned()),
        Wait::Message(duration) => (Vec::new(), format!("retry-after: {duration}, allowed: 44000/minute")),
    };
    refusal(429, headers, "TOOMANYREQUESTS", &message)
}

/// 403 as GitHub answers when a client sends too much at a time.
pub fn secondary_limit(wait: Wait) -> Action {
    let words = "You have exceeded a secondary rate limit";
    match wait {
        Wait::Message(duration) => refusal(403, Vec::new(), "DENIED", &format!("{words}, retry-after: {duration}")),
        other => match too_many(other) {
            Action::Answer { headers, .. } => refusal(403, headers, "DENIED", words),
            never => never,
        },
    }
}

/// A list of referrers with these manifests, whatever their subjects are.
pub fn listing(manifests: &[&RawManifest]) -> Action {
    let entry =
        |raw: &&RawManifest| json!({"mediaType": raw.media_type, "digest": raw.digest, "size": raw.bytes.len()});
    let list: Vec<Value> = manifests.iter().map(entry).collect();
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list}).to_string().into();
    Action::Answer { status: 200, headers: vec![("content-type".to_owned(), OCI_INDEX.to_owned())], body }
}
