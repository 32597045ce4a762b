//! How failures are worded and classed.

use std::error::Error;

use reqwest::{Method, StatusCode};
use sealift_domain::reference::Repository;
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind};
use serde::Deserialize;

/// The longest text of a registry that is repeated in an error, in characters.
const MAX_WORDS: usize = 300;

/// Makes an error.
pub(crate) fn error(kind: RegistryErrorKind, message: impl Into<String>) -> RegistryError {
    RegistryError { kind, message: message.into() }
}

/// What a request was about: `GET ghcr.io/acme/app manifest sha256:…`.
pub(crate) fn subject(method: &Method, repository: &Repository, what: &str) -> String {
    format!("{method} {repository} {what}")
}

/// A text from the network, made fit for one line of a log: no control characters, bounded.
pub(crate) fn printable(text: &str) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).take(MAX_WORDS + 1).collect();
    if clean.chars().count() > MAX_WORDS {
        clean = clean.chars().take(MAX_WORDS).chain(['…']).collect();
    }
    clean
}

/// Why a connection failed: the whole chain of causes, without the URL, whose query may carry a signature.
pub(crate) fn causes(failure: reqwest::Error) -> String {
    let failure = failure.without_url();
    let mut text = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    printable(&text)
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The registry's own words (OCI Distribution Specification 1.1, "Error Codes").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The first code, for instance `MANIFEST_UNKNOWN`; empty if the body is not in the form of the specification.
    pub(crate) code: String,
    /// Whether any of the codes says that something is not there that was named.
    pub(crate) lacks: bool,
    /// Codes and messages for people; empty if there are none.
    pub(crate) text: String,
}

/// The codes that say that something is not there.
const LACKS: [&str; 4] = ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"];

impl Words {
    /// Reads an error body.
    pub(crate) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { errors }) if !errors.is_empty() => {
                let texts: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.code, e.message)).collect();
                let lacks = errors.iter().any(|e| LACKS.contains(&e.code.as_str()));
                Self { code: printable(&errors[0].code), lacks, text: printable(&texts.join("; ")) }
            }
            _ => Self { code: String::new(), lacks: false, text: printable(String::from_utf8_lossy(body).trim()) },
        }
    }
}

/// GitHub answers 403 when a client sends too much at a time; no other 403 changes by waiting.
pub(crate) fn is_secondary_limit(status: StatusCode, words: &Words) -> bool {
    status == StatusCode::FORBIDDEN && words.text.to_ascii_lowercase().contains("secondary rate limit")
}

/// The kind of a refused request.
pub(crate) fn kind_of(status: StatusCode, words: &Words) -> RegistryErrorKind {
    match status.as_u16() {
        403 if is_secondary_limit(status, words) => return RegistryErrorKind::Transient,
        401 => return RegistryErrorKind::Unauthenticated,
        403 => return RegistryErrorKind::Denied,
        404 => return RegistryErrorKind::NotFound,
        405 | 501 => return RegistryErrorKind::Unsupported,
        408 | 429 | 500..=599 => return RegistryErrorKind::Transient,
        _ => {}
    }
    // docker-registry calls the digest invalid, too, of a manifest whose parts it does not find.
    if words.lacks {
        return RegistryErrorKind::NotFound;
    }
    match words.code.as_str() {
        "DIGEST_INVALID" | "SIZE_INVALID" => RegistryErrorKind::Corrupt,
        "MANIFEST_INVALID" | "NAME_INVALID" => RegistryErrorKind::Malformed,
        "UNAUTHORIZED" => RegistryErrorKind::Unauthenticated,
        "DENIED" => RegistryErrorKind::Denied,
        "TOOMANYREQUESTS" => RegistryErrorKind::Transient,
        _ => RegistryErrorKind::Unsupported,
    }
}

/// An error for an answer that was not expected.
pub(crate) fn refused(subject: &str, status: StatusCode, words: &Words) -> RegistryError {
    let text = if words.text.is_empty() { String::new() } else { format!(": {}", words.text) };
    error(kind_of(status, words), format!("{subject}: the registry answered {}{text}", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_words_are_read_and_bounded() {
        let words =
            Words::read(br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not\nhere","detail":{}},{"code":"X"}]}"#);
        assert_eq!(
            words,
            Words {
                code: "MANIFEST_UNKNOWN".to_owned(),
                lacks: true,
                text: "MANIFEST_UNKNOWN: nothere; X: ".to_owned()
            }
        );
        let page = Words::read("<html>\u{1b}[31m".repeat(200).as_bytes());
        assert_eq!((page.code.as_str(), page.text.chars().count()), ("", MAX_WORDS + 1));
        assert!(!page.text.contains('\u{1b}'));
        assert_eq!(Words::read(b""), Words::default());
    }

    #[test]
    fn status_decides_first_and_the_code_after_it() {
        let words = |code: &str| Words::read(format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#).as_bytes());
        let both = Words::read(br#"{"errors":[{"code":"DIGEST_INVALID"},{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#);
        assert_eq!(kind_of(StatusCode::BAD_REQUEST, &both), RegistryErrorKind::NotFound);
        for (status, code, kind) in [
            (404, "DENIED", RegistryErrorKind::NotFound),
            (400, "DIGEST_INVALID", RegistryErrorKind::Corrupt),
            (400, "MANIFEST_BLOB_UNKNOWN", RegistryErrorKind::NotFound),
            (400, "MANIFEST_INVALID", RegistryErrorKind::Malformed),
            (400, "", RegistryErrorKind::Unsupported),
            (405, "", RegistryErrorKind::Unsupported),
            (503, "", RegistryErrorKind::Transient),
        ] {
            assert_eq!(kind_of(StatusCode::from_u16(status).unwrap(), &words(code)), kind, "{status} {code}");
        }
    }
}
