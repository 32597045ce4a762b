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
const MAX_ROUNDS: u32 = 20;

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

fn malformed(tag: &Tag, why: impl std::fmt::Display) -> RegistryError {
    error(RegistryErrorKind::Malformed, format!("tag {tag} is no list of referrers: {why}"))
}

fn is_listed(known: &Value, digest: Digest) -> bool {
    known.get("digest").and_then(Value::as_str) == Some(&digest.to_string())
}

/// The list without an entry; `None` if it does not have it. What else it has stays as it is.
fn shortened(tag: &Tag, there: Option<&Bytes>, entry: Digest) -> Result<Option<Bytes>, RegistryError> {
    let Some(bytes) = there else { return Ok(None) };
    let mut list: Value = serde_json::from_slice(bytes).map_err(|why| malformed(tag, why))?;
    let Some(manifests) = list.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err(malformed(tag, "it has no `manifests`"));
    };
    let before = manifests.len();
    manifests.retain(|known| !is_listed(known, entry));
    if manifests.len() == before {
        return Ok(None);
    }
    serde_json::to_vec(&list).map(|bytes| Some(bytes.into())).map_err(|why| malformed(tag, why))
}

/// The list with the entries that it lacks; `None` if it lacks none. What it has stays as it is.
fn extended(tag: &Tag, there: Option<&Bytes>, entries: &[Entry]) -> Result<Option<Bytes>, RegistryError> {
    let malformed = |why: String| malformed(tag, why);
    let mut list = match there {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|why| malformed(why.to_string()))?,
        None => json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}),
    };
    let Some(manifests) = list.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err(malformed("it has no `manifests`".to_owned()));
    };
    let before = manifests.len();
    for entry in entries {
        if !manifests.iter().any(|known| is_listed(known, entry.digest)) {
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
        self.rewrite_fallback(repository, subject, |tag, there| extended(tag, there, entries)).await
    }

    /// Makes sure that the list of `subject` under its fallback tag, if there is one, does not have the entry, whoever else
    /// writes it.
    pub(crate) async fn unlist_in_fallback(
        &self,
        repository: &Repository,
        subject: Digest,
        entry: Digest,
    ) -> Result<(), RegistryError> {
        self.rewrite_fallback(repository, subject, |tag, there| shortened(tag, there, entry)).await
    }

    async fn rewrite_fallback(
        &self,
        repository: &Repository,
        subject: Digest,
        change: impl Fn(&Tag, Option<&Bytes>) -> Result<Option<Bytes>, RegistryError>,
    ) -> Result<(), RegistryError> {
        let tag = fallback_tag(subject)?;
        let rewrite = || async {
            let turn = self.shared.turns.place((repository.clone(), subject));
            let _turn = turn.lock().await;
            let began = self.shared.clock.now();
            let there = self.tagged_manifest(repository, &tag).await?;
            let Some(bytes) = change(&tag, there.as_ref().map(|raw| &raw.bytes))? else { return Ok(None) };
            let raw = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_INDEX.to_owned() };
            self.put_manifest(repository, tag.as_str(), &raw).await?;
            Ok(Some(Period::between(began, self.shared.clock.now())))
        };
        self.settled(&format!("{repository}:{tag}"), &format!("the list of referrers of {subject}"), rewrite).await
    }

    /// Writes a tag that others may write too until nothing is left to be written. `write` says how long it took from reading
    /// to writing; `None` if everything was as it should be.
    pub(crate) async fn settled<W: Future<Output = Result<Option<Period>, RegistryError>>>(
        &self,
        place: &str,
        what: &str,
        write: impl Fn() -> W,
    ) -> Result<(), RegistryError> {
        for _ in 0..MAX_ROUNDS {
            let Some(took) = write().await? else { return Ok(()) };
            let settle = took.as_millis().saturating_mul(SLOWER).max(SETTLE_MS);
            self.shared.clock.sleep(jittered(settle)).await;
        }
        let why = format!(
            "{place} was written {MAX_ROUNDS} times, and others wrote over it each time: {what} is not as it should be"
        );
        Err(error(RegistryErrorKind::Transient, why))
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
