//! What belongs to an image, found without the engine's code by reading the source's memory.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sealift_domain::digest::Digest;
use sealift_registry::server::Server;
use serde_json::Value;

/// Everything that a copy must bring.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// The bytes of manifests.
    pub(super) manifests: BTreeMap<Digest, Bytes>,
    pub(super) blobs: BTreeSet<Digest>,
    /// Subjects with what refers to them.
    pub(super) referrers: BTreeMap<Digest, BTreeSet<Digest>>,
    /// Tags of cosign with what they name.
    pub(super) tags: BTreeMap<String, Digest>,
    /// What is named and not there.
    pub(super) missing: BTreeSet<Digest>,
}

/// One repository of a server.
pub(super) struct Source<'a> {
    pub(super) server: &'a Server,
    pub(super) name: &'a str,
    /// Whether the server lists referrers itself.
    pub(super) lists: bool,
}

fn digests(document: &Value, key: &str) -> Vec<Digest> {
    let list = document[key].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|part| part["digest"].as_str().unwrap().parse().unwrap()).collect()
}

impl Source<'_> {
    pub(super) fn expect(&self, root: Digest) -> Expected {
        let mut expected = Expected::default();
        self.manifest(root, true, &mut expected);
        expected
    }

    /// A manifest with what is under it and beside it. Tags of cosign are looked for beside the image and its children.
    fn manifest(&self, digest: Digest, of_image: bool, expected: &mut Expected) {
        if expected.manifests.contains_key(&digest) {
            return;
        }
        let Some(raw) = self.server.manifest(self.name, digest) else {
            expected.missing.insert(digest);
            return;
        };
        let document: Value = serde_json::from_slice(&raw.bytes).unwrap();
        expected.manifests.insert(digest, raw.bytes);
        let config = document.get("config").map(|config| config["digest"].as_str().unwrap().parse().unwrap());
        for blob in config.into_iter().chain(digests(&document, "layers")) {
            match self.server.blob(self.name, blob) {
                Some(_) => expected.blobs.insert(blob),
                None => expected.missing.insert(blob),
            };
        }
        for child in digests(&document, "manifests") {
            self.manifest(child, of_image, expected);
        }
        for referrer in self.referrers(digest) {
            expected.referrers.entry(digest).or_default().insert(referrer);
            self.manifest(referrer, false, expected);
        }
        let suffixes = if of_image { [".sig", ".att", ".sbom"].as_slice() } else { &[] };
        for suffix in suffixes {
            let tag = format!("sha256-{}{suffix}", digest.hex());
            if let Some(named) = self.tag(&tag) {
                self.manifest(named, false, expected);
                expected.tags.insert(tag, named);
            }
        }
    }

    fn tag(&self, tag: &str) -> Option<Digest> {
        self.server.tags(self.name).into_iter().find(|(name, _)| name == tag).map(|(_, digest)| digest)
    }

    /// What refers to a manifest: every one that says so, or what the fallback tag lists.
    pub(super) fn referrers(&self, subject: Digest) -> BTreeSet<Digest> {
        if self.lists {
            let says_so = |raw: &sealift_engine::ports::registry::RawManifest| {
                let document: Value = serde_json::from_slice(&raw.bytes).unwrap();
                document["subject"]["digest"] == subject.to_string()
            };
            return self.server.manifests(self.name).into_iter().filter(says_so).map(|raw| raw.digest).collect();
        }
        let Some(digest) = self.tag(&format!("sha256-{}", subject.hex())) else { return BTreeSet::new() };
        let Some(raw) = self.server.manifest(self.name, digest) else { return BTreeSet::new() };
        digests(&serde_json::from_slice(&raw.bytes).unwrap(), "manifests").into_iter().collect()
    }
}

impl Expected {
    /// What of it is not at a destination, byte for byte and tag for tag.
    pub(super) fn lacking(&self, to: &Source<'_>) -> Vec<String> {
        let mut lacking = Vec::new();
        for (digest, bytes) in &self.manifests {
            if to.server.manifest(to.name, *digest).is_none_or(|raw| raw.bytes != bytes) {
                lacking.push(format!("manifest {digest}"));
            }
        }
        for blob in self.blobs.iter().filter(|blob| to.server.blob(to.name, **blob).is_none()) {
            lacking.push(format!("blob {blob}"));
        }
        for (tag, digest) in &self.tags {
            if to.tag(tag) != Some(*digest) {
                lacking.push(format!("tag {tag} of {digest}"));
            }
        }
        for (subject, referrers) in &self.referrers {
            let found = to.referrers(*subject);
            if found != *referrers {
                lacking.push(format!("{subject} has the referrers {found:?}, not {referrers:?}"));
            }
        }
        lacking
    }
}
