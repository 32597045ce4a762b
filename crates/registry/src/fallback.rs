//! The list of referrers under the fallback tag, kept by clients where the registry keeps none.
//!
//! OCI Distribution Specification 1.1, "Referrers Tag Schema". No registry offers a conditional write, so two writers that read
//! the same list lose one of their entries. Whoever wrote therefore looks again, after longer than another writer takes from
//! reading to writing, and adds what was lost: a loss lies between the reading and the writing of somebody else, and that is
//! over by then. Writers of one process take turns, so that they need no second round.

use std::collections::BTreeMap;

use bytes::Bytes;
use sealift_domain::{
    digest::Digest,
    quantity::Period,
    reference::{Repository, Tag},
};
use sealift_engine::ports::registry::{RawManifest, RegistryError, RegistryErrorKind};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    error::error,
    graph::Node,
    manifest::{Content, MAX_MANIFEST, OCI_INDEX},
    referrers::fallback_tag,
    retry::jittered,
    transport::Http,
};

/// The shortest time after which a written list is looked at again, in milliseconds.
const SETTLE_MS: u64 = 500;
/// How many times longer than the own way from reading to writing another writer's may be.
const SLOWER: u64 = 4;
/// How often a list is written before it is given up.
const MAX_ROUNDS: u32 = 50;

/// A referrer as the list describes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    media_type: String,
    digest: Digest,
    size: u64,
    artifact_type: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Entry {
    /// Without `artifactType`, the type of the configuration stands for it; annotations come along.
    pub(crate) fn of(node: &Node) -> Self {
        let of_config = match &node.manifest.content {
            Content::Image { config, .. } => config.media_type.clone(),
            Content::Index { .. } => String::new(),
        };
        Self {
            media_type: node.raw.media_type.clone(),
            digest: node.raw.digest,
            size: node.raw.bytes.len() as u64,
            artifact_type: node.manifest.artifact_type.clone().unwrap_or(of_config),
            annotations: node.manifest.annotations.clone(),
        }
    }
}

/// The list with the entries that it lacks; `None` if it lacks none. What it has stays as it is.
fn extended(tag: &Tag, there: Option<&Bytes>, entries: &[Entry]) -> Result<Option<Bytes>, RegistryError> {
    let malformed =
        |why: String| error(RegistryErrorKind::Malformed, format!("tag {tag} is no list of referrers: {why}"));
    let mut list = match there {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|why| malformed(why.to_string()))?,
        None => json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}),
    };
    let Some(manifests) = list.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err(malformed("it has no `manifests`".to_owned()));
    };
    let before = manifests.len();
    for entry in entries {
        let listed = |known: &Value| known.get("digest").and_then(Value::as_str) == Some(&entry.digest.to_string());
        if !manifests.iter().any(listed) {
            manifests.push(serde_json::to_value(entry).map_err(|why| malformed(why.to_string()))?);
        }
    }
    if manifests.len() == before {
        return Ok(None);
    }
    let bytes = serde_json::to_vec(&list).map_err(|why| malformed(why.to_string()))?;
    if bytes.len() > MAX_MANIFEST {
        return Err(malformed(format!("with {} further entries it is larger than a manifest may be", entries.len())));
    }
    Ok(Some(bytes.into()))
}

impl Http {
    /// Makes sure that the list of `subject` under its fallback tag has these entries, whoever else writes it.
    pub(crate) async fn list_in_fallback(
        &self,
        repository: &Repository,
        subject: Digest,
        entries: &[Entry],
    ) -> Result<(), RegistryError> {
        let clock = &*self.shared.clock;
        for _ in 0..MAX_ROUNDS {
            let Some(took) = self.extend_fallback(repository, subject, entries).await? else { return Ok(()) };
            let settle = took.as_millis().saturating_mul(SLOWER).max(SETTLE_MS);
            clock.sleep(jittered(settle)).await;
        }
        let why = format!(
            "{repository}: the list of referrers of {subject} was written {MAX_ROUNDS} times, and others wrote over it each time"
        );
        Err(error(RegistryErrorKind::Transient, why))
    }

    /// Adds what the list lacks, and says how long that took from reading to writing; `None` if it lacked nothing.
    async fn extend_fallback(
        &self,
        repository: &Repository,
        subject: Digest,
        entries: &[Entry],
    ) -> Result<Option<Period>, RegistryError> {
        let turn = self.shared.turns.place((repository.clone(), subject));
        let _turn = turn.lock().await;
        let (tag, began) = (fallback_tag(subject)?, self.shared.clock.now());
        let there = self.tagged_manifest(repository, &tag).await?;
        let Some(bytes) = extended(&tag, there.as_ref().map(|raw| &raw.bytes), entries)? else { return Ok(None) };
        let raw = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_INDEX.to_owned() };
        self.put_manifest(repository, tag.as_str(), &raw).await?;
        Ok(Some(Period::between(began, self.shared.clock.now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            digest: Digest::of(name.as_bytes()),
            size: 7,
            artifact_type: "application/x".to_owned(),
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn entries_are_added_once_and_what_others_wrote_stays() {
        let tag = fallback_tag(Digest::of(b"image")).unwrap();
        let first = extended(&tag, None, &[entry("a")]).unwrap().unwrap();
        let foreign: Value = serde_json::from_slice(&first).unwrap();
        let foreign = {
            let mut foreign = foreign;
            foreign["annotations"] = json!({"by": "somebody"});
            foreign["manifests"][0]["annotations"] = json!({"kept": "yes"});
            Bytes::from(foreign.to_string())
        };
        let second = extended(&tag, Some(&foreign), &[entry("a"), entry("b"), entry("b")]).unwrap().unwrap();
        let second_read: Value = serde_json::from_slice(&second).unwrap();
        assert_eq!(second_read["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(second_read["manifests"][0]["annotations"]["kept"], "yes");
        assert_eq!(second_read["annotations"]["by"], "somebody");
        assert!(extended(&tag, Some(&second), &[entry("b")]).unwrap().is_none());
    }

    #[test]
    fn what_is_no_list_is_not_written_over() {
        let tag = fallback_tag(Digest::of(b"image")).unwrap();
        for there in ["", "[]", "{}", r#"{"manifests":{}}"#] {
            let refused = extended(&tag, Some(&Bytes::from_static(there.as_bytes())), &[entry("a")]).unwrap_err();
            assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{there}");
        }
    }
}
