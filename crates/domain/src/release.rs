//! What is promoted: a set of component → digest, moved, approved and rolled back as one.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, name::ComponentName};

/// A set of component → digest. With a single image it is a set of one, and nobody needs to see the word.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Release(BTreeMap<ComponentName, Digest>);

/// The identity of a release: the digest of its sorted `component=digest` lines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(Digest);

impl Release {
    /// A release of the given components. An empty set is not a release.
    pub fn new(components: BTreeMap<ComponentName, Digest>) -> Option<Self> {
        if components.is_empty() { None } else { Some(Self(components)) }
    }

    /// A release with the one image that most applications have.
    pub fn single(digest: Digest) -> Self {
        Self(BTreeMap::from([(ComponentName::only(), digest)]))
    }

    /// The components and their digests, by name.
    pub fn components(&self) -> impl Iterator<Item = (&ComponentName, Digest)> {
        self.0.iter().map(|(name, digest)| (name, *digest))
    }

    /// The digest of one component.
    pub fn digest(&self, component: &ComponentName) -> Option<Digest> {
        self.0.get(component).copied()
    }

    /// Whether `digest` is part of this release.
    pub fn contains(&self, digest: Digest) -> bool {
        self.0.values().any(|d| *d == digest)
    }

    /// The identity of this release.
    pub fn id(&self) -> ReleaseId {
        let lines: String = self.0.iter().map(|(name, digest)| format!("{name}={digest}\n")).collect();
        ReleaseId(Digest::of(lines.as_bytes()))
    }
}

impl ReleaseId {
    /// The first twelve hexadecimal digits, for names that people read. Never an identity.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for Release {
    /// The short digest of a single image, or `web=… worker=…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, digest) in &self.0 {
            f.write_str(separator)?;
            if self.0.len() > 1 {
                write!(f, "{name}=")?;
            }
            f.write_str(&digest.short())?;
            separator = " ";
        }
        Ok(())
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_the_set_of_its_digests() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let web: ComponentName = "web".parse().unwrap();
        let both = Release::new(BTreeMap::from([(web.clone(), a), (ComponentName::only(), b)])).unwrap();
        assert!(both.contains(a) && both.contains(b) && !both.contains(Digest::of(b"c")));
        assert_eq!(both.digest(&web), Some(a));
        assert_eq!(both.to_string(), format!("app={} web={}", b.short(), a.short()));
        assert_eq!(Release::single(a).to_string(), a.short());
        assert_eq!(format!("{both:?}"), both.to_string());
        assert_ne!(Release::single(a).id(), Release::single(b).id());
        assert_ne!(both.id(), Release::single(b).id());
        assert_eq!(both.components().count(), 2);
        assert_eq!(Release::new(BTreeMap::new()), None);
    }
}
