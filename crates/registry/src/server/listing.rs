//! Lists: tags and referrers (OCI Distribution Specification 1.1, "Listing Tags", "Listing Referrers").

use hyper::Method;
use sealift_engine::ports::registry::RawManifest;
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

/// The manifests whose `subject` is the digest, as an index, some at a time after the digest `last`, with a `Link` to the
/// next page.
pub(super) fn referrers(shared: &Shared, asked: &Asked, name: &str, reference: &str) -> Result<Answer, Answer> {
    only_get(asked)?;
    if !shared.config.referrers {
        return Err(Answer::error(404, "UNSUPPORTED", "referrers are not listed here"));
    }
    let subject = digest(reference)?;
    let last = asked.parameter("last").map(digest).transpose()?;
    let filter = asked.parameter("artifactType");
    let fits = |entry: &Value| filter.is_none_or(|wanted| entry["artifactType"] == wanted);
    let refers = |raw: &RawManifest| subject_of(raw).is_some_and(|descriptor| descriptor.digest == subject);
    let manifests = lock(&shared.store).manifests(name);
    let rest = manifests.iter().filter(|raw| last.is_none_or(|last| raw.digest > last) && refers(raw));
    let mut list: Vec<Value> = rest.map(entry).filter(fits).collect();
    let limit = shared.config.referrers_page.unwrap_or(usize::MAX);
    let more = list.len() > limit;
    list.truncate(limit);
    let mut answer = Answer::new(200).with("content-type", OCI_INDEX);
    if let Some(end) = list.last().filter(|_| more).and_then(|entry| entry["digest"].as_str()) {
        let filter = filter.map(|kind| format!("artifactType={kind}&")).unwrap_or_default();
        answer = answer.with("link", &format!("</v2/{name}/referrers/{subject}?{filter}last={end}>; rel=\"next\""));
    }
    let answer = if filter.is_some() { answer.with("oci-filters-applied", "artifactType") } else { answer };
    Ok(answer.body(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list}).to_string()))
}

/// How a list describes a referrer.
fn entry(raw: &RawManifest) -> Value {
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
}
