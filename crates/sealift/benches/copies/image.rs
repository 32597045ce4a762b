//! Images of pseudo random bytes, which are made piece by piece and never held as a whole.
//!
//! The bytes of a layer do not compress and are no archive: no program that copies by digest looks into them.

use sealift_domain::digest::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cases::Kind;

/// A piece of a layer, in bytes.
const PIECE: u64 = 256 << 10;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image, or an index of several.
pub(crate) struct Image {
    /// Configurations and layers.
    pub(crate) blobs: Vec<Blob>,
    /// Manifests, each after what it names: the root is the last.
    pub(crate) manifests: Vec<Manifest>,
}

/// A manifest with its own bytes.
pub(crate) struct Manifest {
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    architecture: &'static str,
}

/// A blob.
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) content: Content,
}

/// Where the bytes of a blob come from.
#[derive(Clone)]
pub(crate) enum Content {
    /// So many pseudo random bytes.
    Random {
        /// What tells it from other layers.
        seed: u64,
        /// In bytes.
        size: u64,
    },
    /// These.
    Bytes(Vec<u8>),
}

impl Content {
    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Random { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// The bytes in pieces, always the same.
    pub(crate) fn pieces(self) -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
        match self {
            Self::Random { seed, size } => Box::new(random(seed, size)),
            Self::Bytes(bytes) => Box::new(std::iter::once(bytes)),
        }
    }

    fn blob(self) -> Blob {
        let mut hash = Sha256::new();
        self.clone().pieces().for_each(|piece| hash.update(&piece));
        Blob { digest: Digest::from_bytes(hash.finalize().into()), content: self }
    }
}

/// xorshift64 (Marsaglia 2003), from a state that is not 0.
fn random(seed: u64, size: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed + 1) | 1;
    let mut left = size;
    std::iter::from_fn(move || {
        let now = left.min(PIECE);
        left -= now;
        let mut piece = Vec::with_capacity(usize::try_from(PIECE).unwrap_or_default());
        while (piece.len() as u64) < now {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        piece.truncate(usize::try_from(now).unwrap_or_default());
        (now > 0).then_some(piece)
    })
}

impl Image {
    /// The image of a case; a tiny one has fewer and much smaller layers.
    pub(crate) fn of(kind: Kind, tiny: bool) -> Self {
        let platforms = ["amd64", "arm64", "ppc64le", "s390x"];
        match (kind, tiny) {
            (Kind::Large, false) => Self::single(1_000, 10, 100_000_000),
            (Kind::Large, true) => Self::single(1_000, 1, 3_000_000),
            (Kind::Many, false) => Self::single(2_000, 60, 200_000),
            (Kind::Many, true) => Self::single(2_000, 3, 2_000),
            (Kind::Index, false) => Self::index(3_000, &platforms, 12, 2_000_000),
            (Kind::Index, true) => Self::index(3_000, &platforms[..2], 1, 2_000),
        }
    }

    /// An image of so many layers of this size, whose seeds are counted from `seed`.
    pub(crate) fn single(seed: u64, layers: u64, size: u64) -> Self {
        Self::for_platform("amd64", seed, layers, size)
    }

    fn for_platform(architecture: &'static str, seed: u64, layers: u64, size: u64) -> Self {
        let layers = (seed..seed + layers).map(|seed| Content::Random { seed, size }.blob());
        let mut blobs: Vec<Blob> = layers.collect();
        let diff_ids: Vec<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = Content::Bytes(config.to_string().into_bytes()).blob();
        let layers: Vec<Value> = blobs.iter().map(|blob| described(LAYER, blob.digest, blob.content.size())).collect();
        let config_is = described(CONFIG, config.digest, config.content.size());
        let manifest = manifest(MANIFEST, &json!({"config": config_is, "layers": layers}), architecture);
        blobs.push(config);
        Self { blobs, manifests: vec![manifest] }
    }

    fn index(seed: u64, platforms: &[&'static str], layers: u64, size: u64) -> Self {
        let mut whole = Self { blobs: Vec::new(), manifests: Vec::new() };
        for (seed, platform) in (seed..).step_by(100).zip(platforms) {
            let image = Self::for_platform(platform, seed, layers, size);
            whole.blobs.extend(image.blobs);
            whole.manifests.extend(image.manifests);
        }
        let list = whole.manifests.iter().map(|child| {
            let mut described = described(child.media_type, child.digest, child.bytes.len() as u64);
            described["platform"] = json!({"os": "linux", "architecture": child.architecture});
            described
        });
        let index = manifest(INDEX, &json!({"manifests": list.collect::<Vec<_>>()}), "");
        whole.manifests.push(index);
        whole
    }

    /// The bytes of all blobs together.
    pub(crate) fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.content.size()).sum()
    }
}

fn described(media_type: &str, digest: Digest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

fn manifest(media_type: &'static str, content: &Value, architecture: &'static str) -> Manifest {
    let mut document = content.clone();
    document["schemaVersion"] = json!(2);
    document["mediaType"] = json!(media_type);
    let bytes = document.to_string().into_bytes();
    Manifest { media_type, digest: Digest::of(&bytes), bytes, architecture }
}
