//! Names of images: repository, tag, reference, pinned.

use std::{fmt, str::FromStr};

use crate::{digest::Digest, text::serde_as_text};

/// A repository in a registry, `host[:port]/path`.
///
/// The path follows the grammar of the OCI Distribution Specification 1.1, "Pulling manifests" (`<name>`). A name
/// without a registry host is refused: nothing is ever promoted from a place that had to be guessed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    name: String,
}

/// A mutable name in a repository. Grammar: OCI Distribution Specification 1.1 (`<reference>` as a tag).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// A repository with a digest: the only form that is copied, deployed or verified.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pinned {
    /// Where the content is.
    pub repository: Repository,
    /// What the content is.
    pub digest: Digest,
}

/// What a person may type: a repository with a tag, a digest, or both. With both, the digest decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where the content is.
    pub repository: Repository,
    /// The tag, if one was given.
    pub tag: Option<Tag>,
    /// The digest, if one was given.
    pub digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No registry host.
    #[error("`{0}` names no registry: write the host too, for instance `ghcr.io/{0}`")]
    NoRegistry(String),
    /// The repository path is outside the grammar.
    #[error(
        "`{0}` is not a repository name: lower-case letters, digits and single separators `.`, `_`, `__`, `-` between `/`"
    )]
    Name(String),
    /// The tag is outside the grammar.
    #[error("`{0}` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`")]
    Tag(String),
    /// The digest does not parse.
    #[error(transparent)]
    Digest(#[from] crate::digest::DigestError),
    /// A digest is needed here.
    #[error("`{0}` has no digest: a pinned reference is `repository@sha256:…`")]
    NotPinned(String),
}

const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let port_ok = port.is_none_or(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok());
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = !host.is_empty()
        && !host.starts_with(['.', '-'])
        && !host.ends_with(['.', '-'])
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    let v6 = bracketed && host.len() > 2 && host[1..host.len() - 1].bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    port_ok && (plain || v6)
}

fn looks_like_registry(text: &str) -> bool {
    text.contains('.') || text.contains(':') || text == "localhost"
}

/// One path component: alphanumeric runs joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| !word(c)) {
        // The same characters end a separator that begin one: else what is neither, a capital, would never be passed.
        let end = rest[start..].find(word).map_or(rest.len(), |n| start + n);
        let separator = &rest[start..end];
        let dashes = separator.bytes().all(|b| b == b'-');
        if !(dashes || matches!(separator, "." | "_" | "__")) {
            return false;
        }
        rest = &rest[end..];
    }
    true
}

impl Repository {
    /// The registry host with its port, as it was written.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository path within the registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This repository at `digest`.
    pub fn at(&self, digest: Digest) -> Pinned {
        Pinned { repository: self.clone(), digest }
    }
}

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reference {
    /// The pinned form, if a digest was given.
    pub fn pinned(&self) -> Option<Pinned> {
        self.digest.map(|digest| self.repository.at(digest))
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (registry, name) = match text.split_once('/') {
            Some((host, name)) if looks_like_registry(host) && is_host(host) => (host, name),
            _ => return Err(ReferenceError::NoRegistry(text.to_owned())),
        };
        if name.is_empty() || text.len() > MAX_NAME || !name.split('/').all(is_component) {
            return Err(ReferenceError::Name(name.to_owned()));
        }
        Ok(Self { registry: registry.to_owned(), name: name.to_owned() })
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let ok = text.len() <= MAX_TAG
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'.' || b == b'-');
        if ok { Ok(Self(text.to_owned())) } else { Err(ReferenceError::Tag(text.to_owned())) }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (head, digest) = match text.split_once('@') {
            Some((head, digest)) => (head, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon after the last slash separates a tag; one before it belongs to the registry's port.
        let tag_at = head.rfind(':').filter(|colon| head.rfind('/').is_some_and(|slash| slash < *colon));
        let (repository, tag) = match tag_at {
            Some(colon) => (&head[..colon], Some(head[colon + 1..].parse()?)),
            None => (head, None),
        };
        Ok(Self { repository: repository.parse()?, tag, digest })
    }
}

impl FromStr for Pinned {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reference: Reference = text.parse()?;
        reference.pinned().ok_or_else(|| ReferenceError::NotPinned(text.to_owned()))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

macro_rules! debug_as_text {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_as_text!(Repository, Tag, Pinned);

serde_as_text!(Repository, "Repository", r"^[^/@\s]+/[a-z0-9][a-z0-9._/-]*$");
serde_as_text!(Tag, "Tag", r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$");
serde_as_text!(Pinned, "Pinned", r"^[^@\s]+@sha256:[0-9a-f]{64}$");
serde_as_text!(Reference, "Reference", r"^[^\s]+$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_a_round_trip() {
        let digest = Digest::of(b"");
        for text in [
            "ghcr.io/acme/dotca:main".to_owned(),
            "127.0.0.1:5000/app".to_owned(),
            "localhost/app:v1.2.3".to_owned(),
            "[::1]:5000/a/b__c/d--e.f:x".to_owned(),
            format!("ghcr.io/acme/dotca@{digest}"),
            format!("ghcr.io/acme/dotca:main@{digest}"),
        ] {
            let parsed: Reference = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        let reference: Reference = "127.0.0.1:5000/app:t".parse().unwrap();
        assert_eq!((reference.repository.registry(), reference.repository.name()), ("127.0.0.1:5000", "app"));
        assert_eq!(reference.tag.as_ref().map(Tag::as_str), Some("t"));
        assert_eq!(reference.pinned(), None);
        let pinned: Pinned = format!("ghcr.io/acme/dotca:main@{digest}").parse().unwrap();
        assert_eq!(pinned.to_string(), format!("ghcr.io/acme/dotca@{digest}"));
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        for text in [
            "",
            "app",
            "acme/app",
            "ghcr.io/",
            "ghcr.io/App",
            "ghcr.io/aPp",
            "ghcr.io/a//b",
            "ghcr.io/a:",
            "ghcr.io/a:-x",
            "ghcr.io/a..b",
            "ghcr.io/a/",
            "ghcr.io/-a",
            "ghcr.io/a___b",
            "ghcr.io/a b",
            "ghcr.io:port/a",
            "ghcr.io/a@sha256:1",
            "ghcr.io/a\nb",
            ".io/a",
            "ghcr.io/$(id)",
            "[zz]:1/a",
            "ghcr.io/a:x y",
            "[::1:1/a",
            "::1]:1/a",
            "[]:1/a",
            "ghcr.io:/a",
            "ghcr.io:123456/a",
            "io-./a",
            "ghcr.io:tag/a",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!("t".repeat(128).parse::<Tag>().is_ok());
        assert!("t".repeat(129).parse::<Tag>().is_err());
        assert!(format!("ghcr.io/{}", "a".repeat(247)).parse::<Repository>().is_ok());
        assert!(format!("ghcr.io/{}", "a".repeat(248)).parse::<Repository>().is_err());
        assert_eq!("ghcr.io/a:main".parse::<Pinned>(), Err(ReferenceError::NotPinned("ghcr.io/a:main".to_owned())));
    }
}
