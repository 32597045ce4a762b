//! Manifests and indexes.

use bytes::Bytes;
use proptest::prelude::*;
use sealift_engine::ports::registry::RegistryErrorKind;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{hostile, seeds};
use crate::manifest::{
    Content, DOCKER_LIST, DOCKER_MANIFEST, MAX_CHILDREN, MAX_LAYERS, OCI_INDEX, OCI_MANIFEST, raw, read,
};

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"manifests\":[],",
    "\"layers\":[],",
    "\"config\":null,",
    "\"schemaVersion\":1,",
    "\"mediaType\":\"application/vnd.oci.image.index.v1+json\",",
    "\"size\":-1",
    "\"size\":1e99",
    "null",
    "\\u0000",
    "sha512:",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "\u{feff}",
];

fn content_type() -> impl Strategy<Value = Option<&'static str>> {
    let known = vec![
        None,
        Some(OCI_MANIFEST),
        Some(OCI_INDEX),
        Some(DOCKER_MANIFEST),
        Some(DOCKER_LIST),
        Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
        Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
        Some("application/json"),
        Some(""),
    ];
    prop::sample::select(known)
}

/// Whether the bytes could be taken for an image and for an index.
fn is_ambiguous(bytes: &[u8]) -> bool {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return true };
    let has = |key: &str| document.get(key).is_some_and(|value| !value.is_null());
    has("manifests") == (has("config") || has("layers"))
}

#[test]
fn seeds_are_understood() {
    for bytes in seeds("manifest") {
        let raw = raw("a seed", Bytes::from(bytes), None).unwrap();
        read(&raw).unwrap();
    }
}

#[test]
fn nesting_without_end_is_no_stack_without_end() {
    for text in ["[".repeat(1 << 20), "{\"annotations\":".repeat(1 << 17)] {
        assert_eq!(raw("a manifest", Bytes::from(text), None).unwrap_err().kind, RegistryErrorKind::Malformed);
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_one_thing_and_has_its_bytes_and_its_digest(
        bytes in hostile("manifest", WORDS),
        content_type in content_type(),
    ) {
        let Ok(taken) = raw("a manifest", Bytes::from(bytes.clone()), content_type) else { return Ok(()) };
        prop_assert_eq!(&taken.bytes[..], &bytes[..]);
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        prop_assert_eq!(taken.digest.as_bytes(), &hash);
        let said = content_type.and_then(|text| text.split(';').next()).filter(|text| !text.is_empty());
        prop_assert!(said.is_none_or(|said| said == taken.media_type));
        let Ok(manifest) = read(&taken) else { return Ok(()) };
        prop_assert!(!is_ambiguous(&bytes), "{}", String::from_utf8_lossy(&bytes));
        match manifest.content {
            Content::Index { manifests } => {
                prop_assert!([OCI_INDEX, DOCKER_LIST].contains(&taken.media_type.as_str()));
                prop_assert!(manifests.len() <= MAX_CHILDREN);
            }
            Content::Image { layers, .. } => {
                prop_assert!([OCI_MANIFEST, DOCKER_MANIFEST].contains(&taken.media_type.as_str()));
                prop_assert!(layers.len() <= MAX_LAYERS);
            }
        }
    }
}
