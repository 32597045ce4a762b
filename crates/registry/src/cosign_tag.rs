//! Attestations under the tag that cosign 2 reads: an image manifest with an envelope in each layer (sigstore/cosign,
//! `specs/ATTESTATION_SPEC.md`). No registry offers a conditional write, so the tag is looked at again as the list of referrers is.

use bytes::Bytes;
use sealift_domain::{digest::Digest, quantity::Period, reference::Pinned};
use sealift_engine::ports::registry::{RawManifest, RegistryError, RegistryErrorKind};
use serde_json::{Value, json};

use crate::{
    attach::written,
    error::error,
    evidence::{ENVELOPE, SIGNATURE_ANNOTATION, attestation_tag},
    manifest::{MAX_LAYERS, OCI_CONFIG, OCI_MANIFEST},
    transport::Http,
};

/// The layers of what is there, in its own words; none if nothing is.
fn layers(there: Option<&RawManifest>) -> Result<Vec<Value>, RegistryError> {
    let Some(raw) = there else { return Ok(Vec::new()) };
    let read: Option<Value> = serde_json::from_slice(&raw.bytes).ok();
    let layers = read.as_ref().and_then(|read| read.get("layers")).and_then(Value::as_array).cloned();
    layers.filter(|layers| layers.len() < MAX_LAYERS).ok_or_else(|| {
        let why = format!("{} is no list of attestations to which one could be added", raw.digest);
        error(RegistryErrorKind::Malformed, why)
    })
}

fn is(layer: &Value, digest: Digest) -> bool {
    layer.get("digest").and_then(Value::as_str) == Some(&digest.to_string())
}

/// The configuration that goes with these layers: cosign's own have one, too, and count the layers in it.
fn config(layers: &[Value]) -> Bytes {
    let digests: Vec<&Value> = layers.iter().filter_map(|layer| layer.get("digest")).collect();
    let rootfs = json!({"type": "layers", "diff_ids": digests});
    let created = "0001-01-01T00:00:00Z";
    json!({"architecture": "", "created": created, "os": "", "config": {}, "rootfs": rootfs}).to_string().into()
}

impl Http {
    /// Adds an envelope to the attestations of an image.
    pub(crate) async fn add_envelope(
        &self,
        subject: &Pinned,
        envelope: &[u8],
        predicate_type: &str,
    ) -> Result<(), RegistryError> {
        let bytes = Bytes::copy_from_slice(envelope);
        let digest = Digest::of(&bytes);
        self.upload_bytes(&subject.repository, &bytes).await?;
        let layer = json!({
            "mediaType": ENVELOPE,
            "digest": digest,
            "size": bytes.len(),
            "annotations": {SIGNATURE_ANNOTATION: "", "predicateType": predicate_type},
        });
        self.rewrite_attestations(subject, |mut layers| {
            let lacks = !layers.iter().any(|known| is(known, digest));
            lacks.then(|| {
                layers.push(layer.clone());
                layers
            })
        })
        .await
    }

    /// Takes an envelope off again.
    pub(crate) async fn drop_envelope(&self, subject: &Pinned, envelope: Digest) -> Result<(), RegistryError> {
        self.rewrite_attestations(subject, |mut layers| {
            let before = layers.len();
            layers.retain(|known| !is(known, envelope));
            (layers.len() < before).then_some(layers)
        })
        .await
    }

    /// Rewrites the tag until `change` finds nothing to do, whoever else writes it.
    async fn rewrite_attestations(
        &self,
        subject: &Pinned,
        change: impl Fn(Vec<Value>) -> Option<Vec<Value>>,
    ) -> Result<(), RegistryError> {
        let (repository, tag) = (&subject.repository, attestation_tag(subject.digest)?);
        let rewrite = || async {
            let turn = self.shared.turns.place((repository.clone(), subject.digest));
            let _turn = turn.lock().await;
            let began = self.shared.clock.now();
            let there = self.tagged_manifest(repository, &tag).await?;
            let Some(layers) = change(layers(there.as_ref())?) else { return Ok(None) };
            let config = config(&layers);
            self.upload_bytes(repository, &config).await?;
            let raw = written(&json!({
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, "digest": Digest::of(&config), "size": config.len()},
                "layers": layers,
            }))?;
            self.put_manifest(repository, tag.as_str(), &raw).await?;
            Ok(Some(Period::between(began, self.shared.clock.now())))
        };
        self.settled(&format!("{repository}:{tag}"), &format!("what is attested of {}", subject.digest), rewrite).await
    }
}
