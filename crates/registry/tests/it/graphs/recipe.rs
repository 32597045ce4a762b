//! Recipes of images with everything around them: small enough to print, so that a failing case can be read.

use proptest::prelude::*;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::RawManifest;
use sealift_registry::{
    image::{Builder, Built, Format, Layer, index},
    manifest::OCI_INDEX,
    server::Server,
};
use serde_json::{Value, json};

use crate::support::noise;

/// An image or an index over such.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// Layers by seed: the same seed is the same layer.
    Image(Vec<u8>),
    Index(Vec<Tree>),
}

/// What stands beside a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It names the manifest as its subject.
    Referrer,
    /// It has a tag of cosign with this suffix.
    Cosign(&'static str),
}

/// Something beside the manifest number `at`, counted over the graph and the referrers so far.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    pub(super) at: prop::sample::Index,
    pub(super) kind: Kind,
    pub(super) layer: u8,
}

/// What is taken away from the source.
#[derive(Clone, Debug)]
pub(super) enum Taken {
    Nothing,
    Blob(prop::sample::Index),
    /// Never the root.
    Manifest(prop::sample::Index),
}

#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) tree: Tree,
    pub(super) format: bool,
    pub(super) beside: Vec<Beside>,
    pub(super) taken: Taken,
}

fn tree() -> impl Strategy<Value = Tree> {
    // Few seeds, so that layers and whole children are shared.
    let image = prop::collection::vec(0_u8..6, 0..4).prop_map(Tree::Image);
    image.prop_recursive(3, 12, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Tree::Index))
}

fn beside() -> impl Strategy<Value = Beside> {
    let kind = prop_oneof![
        3 => Just(Kind::Referrer),
        1 => prop::sample::select(vec![".sig", ".att", ".sbom"]).prop_map(Kind::Cosign),
    ];
    (any::<prop::sample::Index>(), kind, 0_u8..6).prop_map(|(at, kind, layer)| Beside { at, kind, layer })
}

pub(super) fn recipe() -> impl Strategy<Value = Recipe> {
    let taken = prop_oneof![
        2 => Just(Taken::Nothing),
        1 => any::<prop::sample::Index>().prop_map(Taken::Blob),
        1 => any::<prop::sample::Index>().prop_map(Taken::Manifest),
    ];
    (tree(), any::<bool>(), prop::collection::vec(beside(), 0..6), taken)
        .prop_map(|(tree, format, beside, taken)| Recipe { tree, format, beside, taken })
}

/// A recipe, made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) image: Built,
    /// Everything beside it, with the tag of cosign if it has one.
    beside: Vec<(Built, Option<String>)>,
    /// Fallback tags: the subject and what refers to it.
    subjects: Vec<(Digest, Vec<RawManifest>)>,
    pub(super) taken: Option<Digest>,
}

fn layer(seed: u8) -> Layer {
    Layer::tar(noise(seed, 20 + 700 * usize::from(seed)))
}

/// Adds every manifest under the tree to `all`.
fn make(tree: &Tree, format: Format, all: &mut Vec<Built>) -> Built {
    let built = match tree {
        Tree::Image(layers) => {
            layers.iter().fold(Builder::new().format(format), |b, seed| b.layer(layer(*seed))).build()
        }
        Tree::Index(children) => {
            let children: Vec<Built> = children.iter().map(|child| make(child, format, all)).collect();
            index(format, &children)
        }
    };
    all.push(built.clone());
    built
}

/// The tag that begins with the digest of a manifest.
fn tag_of(digest: Digest, suffix: &str) -> String {
    format!("sha256-{}{suffix}", digest.hex())
}

impl Recipe {
    pub(super) fn make(&self) -> Made {
        let format = if self.format { Format::Oci } else { Format::Docker };
        let mut subjects = Vec::new();
        let image = make(&self.tree, format, &mut subjects);
        let of_graph = subjects.len();
        let mut made = Made { image, beside: Vec::new(), subjects: Vec::new(), taken: None };
        for (n, beside) in self.beside.iter().enumerate() {
            let artifact = Builder::new().label("n", &n.to_string()).layer(layer(beside.layer));
            match beside.kind {
                Kind::Referrer => {
                    let subject = subjects[beside.at.index(subjects.len())].clone();
                    let referrer = artifact.artifact_type("application/x-note").subject(&subject).build();
                    made.refer(subject.digest, referrer.clone());
                    subjects.push(referrer);
                }
                Kind::Cosign(suffix) => {
                    let tag = tag_of(subjects[beside.at.index(of_graph)].digest, suffix);
                    if made.beside.iter().all(|(_, known)| known.as_ref() != Some(&tag)) {
                        made.beside.push((artifact.build(), Some(tag)));
                    }
                }
            }
        }
        made.taken = made.choose(&self.taken);
        made
    }
}

impl Made {
    fn refer(&mut self, subject: Digest, referrer: Built) {
        let raw = referrer.root().unwrap().clone();
        match self.subjects.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, listed)) => listed.push(raw),
            None => self.subjects.push((subject, vec![raw])),
        }
        self.beside.push((referrer, None));
    }

    fn all(&self) -> impl Iterator<Item = &Built> {
        std::iter::once(&self.image).chain(self.beside.iter().map(|(built, _)| built))
    }

    fn choose(&self, taken: &Taken) -> Option<Digest> {
        let pick = |index: &prop::sample::Index, mut from: Vec<Digest>| {
            from.sort();
            from.dedup();
            (!from.is_empty()).then(|| from[index.index(from.len())])
        };
        match taken {
            Taken::Nothing => None,
            Taken::Blob(at) => {
                pick(at, self.all().flat_map(|built| built.blobs.iter().map(|b| Digest::of(b))).collect())
            }
            Taken::Manifest(at) => {
                let all = self.all().flat_map(|built| built.manifests.iter().map(|raw| raw.digest));
                pick(at, all.filter(|digest| *digest != self.image.digest).collect())
            }
        }
    }

    /// Puts everything into a repository, under the tag `v1`, with fallback tags if the registry lists no referrers.
    pub(super) fn push(&self, server: &Server, name: &str, by_tag: bool) {
        server.push(name, &self.image, Some("v1"));
        for (built, tag) in &self.beside {
            server.push(name, built, tag.as_deref());
        }
        for (subject, listed) in self.subjects.iter().filter(|_| by_tag) {
            server.put_manifest(name, fallback(listed), Some(&tag_of(*subject, "")));
        }
    }

    /// Takes away what the recipe says.
    pub(super) fn take(&self, server: &Server, name: &str) {
        if let Some(digest) = self.taken {
            assert!(server.remove_blob(name, digest) || server.remove_manifest(name, digest));
        }
    }
}

/// The index that a fallback tag names ("Referrers Tag Schema").
fn fallback(listed: &[RawManifest]) -> RawManifest {
    let entry = |raw: &RawManifest| json!({"mediaType": raw.media_type, "digest": raw.digest, "size": raw.bytes.len(), "artifactType": "application/x-note"});
    let list: Vec<Value> = listed.iter().map(entry).collect();
    let bytes = bytes::Bytes::from(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list}).to_string());
    RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_INDEX.to_owned() }
}
