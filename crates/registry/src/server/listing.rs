//! Lists: tags and referrers (OCI Distribution Specification 1.1, "Listing Tags", "Listing Referrers").

use hyper::Method;
use serde_json::{Value, json};

use super::{
    Shared,
    http::Answer,
    lock,
    manifests::subject_of,
    route::{Asked, digest},
};
use crate::manifest::OCI_INDEX;

fn only_get(asked: &Asked) -> Result<(), Answer> {
    match asked.method == Method::GET {
        true => Ok(()),
        false => Err(Answer::error(405, "UNSUPPORTED", "this method is not offered here")),
    }
}

/// Tags in order, `n` at a time after `last`, with a `Link` to the next page.
pub(super) fn tags(shared: &Shared, asked: &Asked, name: &str) -> Result<Answer, Answer> {
    only_get(asked)?;
    let store = lock(&shared.store);
    if !store.exists(name) {
        return Err(Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry"));
    }
    let last = asked.parameter("last").unwrap_or_default();
    let mut tags: Vec<String> =
        store.tags(name).into_iter().map(|(tag, _)| tag).filter(|tag| tag.as_str() > last).collect();
    let limit = match asked.parameter("n").map(str::parse::<usize>) {
        Some(Err(_)) => return Err(Answer::error(400, "UNSUPPORTED", "n is not a number")),
        Some(Ok(n)) => n,
        None => usize::MAX,
    };
    let more = tags.len() > limit;
    tags.truncate(limit);
    let mut answer = Answer::new(200).with("content-type", "application/json");
    if let Some(end) = tags.last().filter(|_| more) {
        answer = answer.with("link", &format!("</v2/{name}/tags/list?n={limit}&last={end}>; rel=\"next\""));
    }
    Ok(answer.body(json!({"name": name, "tags": tags}).to_string()))
}

/// The manifests whose `subject` is the digest, as an index.
pub(super) fn referrers(shared: &Shared, asked: &Asked, name: &str, reference: &str) -> Result<Answer, Answer> {
    only_get(asked)?;
    let subject = digest(reference)?;
    let filter = asked.parameter("artifactType");
    let referrers = lock(&shared.store)
        .manifests(name)
        .into_iter()
        .filter(|raw| subject_of(raw).is_some_and(|s| s.digest == subject));
    let describe = |raw: sealift_engine::ports::registry::RawManifest| {
        let document: Value = serde_json::from_slice(&raw.bytes).unwrap_or_default();
        // Without `artifactType`, the configuration's media type stands for it.
        let kind = document.get("artifactType").or_else(|| document.get("config")?.get("mediaType")).cloned();
        let annotations = document.get("annotations").cloned().unwrap_or_else(|| json!({}));
        json!({
            "mediaType": raw.media_type,
            "digest": raw.digest,
            "size": raw.bytes.len(),
            "artifactType": kind,
            "annotations": annotations,
        })
    };
    let fits = |found: &Value| filter.is_none_or(|wanted| found["artifactType"] == wanted);
    let list: Vec<Value> = referrers.map(describe).filter(fits).collect();
    let answer = Answer::new(200).with("content-type", OCI_INDEX);
    let answer = if filter.is_some() { answer.with("oci-filters-applied", "artifactType") } else { answer };
    Ok(answer.body(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list}).to_string()))
}
