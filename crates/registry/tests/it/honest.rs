//! What a registry holds, read back and judged without the engine's code.

use std::collections::BTreeMap;

use sealift_registry::server::Server;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The digest of some bytes, by the hash function alone.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// What one repository holds, by the digests that it is kept under.
struct Held {
    blobs: BTreeMap<String, usize>,
    manifests: BTreeMap<String, Value>,
}

impl Held {
    /// Everything that does not have the digest that it is kept under is a fault.
    fn read(server: &Server, name: &str, faults: &mut Vec<String>) -> Self {
        let mut held = Self { blobs: BTreeMap::new(), manifests: BTreeMap::new() };
        for (key, bytes) in server.blobs(name) {
            if digest(&bytes) != key.to_string() {
                faults.push(format!("{name}: blob {key} holds {} bytes of {}", bytes.len(), digest(&bytes)));
            }
            held.blobs.insert(key.to_string(), bytes.len());
        }
        for raw in server.manifests(name) {
            if digest(&raw.bytes) != raw.digest.to_string() {
                faults.push(format!("{name}: manifest {} holds {}", raw.digest, digest(&raw.bytes)));
            }
            match serde_json::from_slice(&raw.bytes) {
                Ok(document) => drop(held.manifests.insert(raw.digest.to_string(), document)),
                Err(why) => faults.push(format!("{name}: manifest {} is no JSON: {why}", raw.digest)),
            }
        }
        held
    }

    /// The parts that a manifest lists and that are not there with the size it says.
    fn missing(&self, document: &Value) -> Vec<String> {
        let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
        let foreign = |part: &Value| {
            let media_type = part["mediaType"].as_str().unwrap_or_default();
            media_type.contains(".foreign.") || media_type.contains(".nondistributable.")
        };
        let config = document.get("config").cloned();
        let blobs = config.into_iter().chain(list("layers")).filter(|part| !foreign(part)).filter_map(|part| {
            let found = self.blobs.get(part["digest"].as_str()?).copied();
            (found.map(|size| size as u64) != part["size"].as_u64()).then(|| format!("blob {}", part["digest"]))
        });
        let children = list("manifests").into_iter().filter_map(|part| {
            let found = self.manifests.contains_key(part["digest"].as_str()?);
            (!found).then(|| format!("manifest {}", part["digest"]))
        });
        blobs.chain(children).collect()
    }
}

/// Everything that is wrong with what a repository holds: bytes that do not have their digest, manifests whose parts are missing,
/// tags that name nothing.
fn faults(server: &Server, name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let held = Held::read(server, name, &mut faults);
    for (digest, document) in &held.manifests {
        for missing in held.missing(document) {
            faults.push(format!("{name}: manifest {digest} is there without {missing}"));
        }
    }
    for (tag, digest) in server.tags(name) {
        if !held.manifests.contains_key(&digest.to_string()) {
            faults.push(format!("{name}: tag {tag} names {digest}, which is not there"));
        }
    }
    faults
}

/// Nothing that the repository holds is corrupt, and no manifest is there without its parts.
#[track_caller]
pub(crate) fn assert_honest(server: &Server, name: &str) {
    let faults = faults(server, name);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The checks above must themselves find what they are for.
#[tokio::test]
async fn what_is_corrupt_or_incomplete_is_found() {
    let server = Server::start(sealift_registry::server::Config::default()).await.unwrap();
    let image = crate::support::image(sealift_registry::image::Format::Oci);
    server.push("app", &image, Some("v1"));
    assert_honest(&server, "app");
    let raw = image.root().unwrap();
    server.remove_blob("app", sealift_domain::digest::Digest::of(&image.blobs[2]));
    assert_eq!(faults(&server, "app").len(), 1);
    server.remove_manifest("app", raw.digest);
    server.set_tag("app", "v1", raw.digest);
    assert_eq!(faults(&server, "app").len(), 1, "{:?}", faults(&server, "app"));
    let lie = sealift_engine::ports::registry::RawManifest { bytes: "{}".into(), ..raw.clone() };
    server.put_manifest("app", lie, None);
    assert_eq!(faults(&server, "app").len(), 1, "{:?}", faults(&server, "app"));
}
