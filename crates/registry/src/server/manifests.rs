//! Manifests (OCI Distribution Specification 1.1, "Pulling manifests", "Pushing manifests", "Deleting").

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Method, body::Incoming};
use sealift_domain::{digest::Digest, reference::Tag};
use sealift_engine::ports::registry::RawManifest;
use serde::Deserialize;

use super::{
    Shared,
    http::{Answer, Unread, collect},
    lock,
    route::{Asked, digest},
    store::Store,
};
use crate::manifest::{self, Content, Descriptor, MAX_MANIFEST};

/// A tag or a digest in a path.
enum Name {
    Tag(Tag),
    Digest(Digest),
}

fn name_of(reference: &str) -> Result<Name, Answer> {
    match reference.contains(':') {
        true => digest(reference).map(Name::Digest),
        false => {
            let tag = reference.parse().map(Name::Tag);
            tag.map_err(|_| Answer::error(400, "TAG_INVALID", "the tag is outside the grammar"))
        }
    }
}

fn unknown() -> Answer {
    Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown")
}

fn invalid(why: &str) -> Answer {
    Answer::error(400, "MANIFEST_INVALID", why)
}

/// The subject that a manifest points to ("Pushing manifests with subject").
#[derive(Deserialize)]
struct Subject {
    subject: Option<Descriptor>,
}

pub(super) fn subject_of(raw: &RawManifest) -> Option<Descriptor> {
    serde_json::from_slice::<Subject>(&raw.bytes).ok()?.subject
}

/// GET, HEAD, PUT and DELETE of a manifest.
pub(super) async fn manifest(
    shared: &Arc<Shared>,
    asked: &Asked,
    name: &str,
    reference: &str,
    body: Incoming,
) -> Result<Answer, Answer> {
    let wanted = name_of(reference)?;
    match asked.method {
        Method::GET | Method::HEAD => get(&lock(&shared.store), asked, name, &wanted),
        Method::PUT => {
            let bytes = collect(body, MAX_MANIFEST).await.map_err(|why| match why {
                Unread::TooLarge => Answer::error(413, "MANIFEST_INVALID", "the manifest is larger than 4 MiB"),
                Unread::Broken => invalid("the body broke off"),
            })?;
            put(shared, asked, name, &wanted, bytes)
        }
        Method::DELETE if shared.config.deletes => {
            let mut store = lock(&shared.store);
            let removed = match &wanted {
                Name::Tag(tag) => store.remove_tag(name, tag.as_str()),
                Name::Digest(digest) => store.remove_manifest(name, *digest),
            };
            if removed { Ok(Answer::new(202)) } else { Err(unknown()) }
        }
        _ => Err(Answer::error(405, "UNSUPPORTED", "this method is not offered here")),
    }
}

fn get(store: &Store, asked: &Asked, name: &str, wanted: &Name) -> Result<Answer, Answer> {
    if !store.exists(name) {
        return Err(Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry"));
    }
    let digest = match wanted {
        Name::Tag(tag) => store.tag(name, tag.as_str()).ok_or_else(unknown)?,
        Name::Digest(digest) => *digest,
    };
    let raw = store.manifest(name, digest).ok_or_else(unknown)?;
    if !asked.accepts(&raw.media_type) {
        // Registries differ here; the strict one does not send what was not asked for.
        return Err(Answer::error(404, "MANIFEST_UNKNOWN", "the manifest has a media type that is not accepted"));
    }
    let answer =
        Answer::new(200).with("content-type", &raw.media_type).with("docker-content-digest", &digest.to_string());
    Ok(answer.body(raw.bytes))
}

fn put(shared: &Shared, asked: &Asked, name: &str, wanted: &Name, bytes: Bytes) -> Result<Answer, Answer> {
    let content_type = asked.header("content-type").ok_or_else(|| invalid("there is no content type"))?;
    let mut store = lock(&shared.store);
    let raw = if shared.config.careless {
        believed(wanted, content_type, bytes)
    } else {
        examined(&store, name, wanted, content_type, bytes)?
    };
    let (digest, subject) = (raw.digest, subject_of(&raw));
    let tag = match wanted {
        Name::Tag(tag) => Some(tag.as_str()),
        Name::Digest(_) => None,
    };
    store.put_manifest(name, raw, tag);
    let answer = Answer::new(201)
        .with("location", &format!("/v2/{name}/manifests/{digest}"))
        .with("docker-content-digest", &digest.to_string());
    Ok(match subject.filter(|_| shared.config.referrers) {
        Some(subject) => answer.with("oci-subject", &subject.digest.to_string()),
        None => answer,
    })
}

/// A manifest as the client describes it.
fn believed(wanted: &Name, content_type: &str, bytes: Bytes) -> RawManifest {
    let digest = match wanted {
        Name::Digest(digest) => *digest,
        Name::Tag(_) => Digest::of(&bytes),
    };
    RawManifest { bytes, media_type: content_type.to_owned(), digest }
}

/// A manifest about which everything is right.
fn examined(store: &Store, name: &str, wanted: &Name, content_type: &str, bytes: Bytes) -> Result<RawManifest, Answer> {
    let raw = manifest::raw("the manifest", bytes, Some(content_type)).map_err(|why| invalid(&why.message))?;
    if let Name::Digest(digest) = wanted
        && *digest != raw.digest
    {
        return Err(Answer::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content"));
    }
    let read = manifest::read(&raw).map_err(|why| invalid(&why.message))?;
    // The subject need not be there ("Pushing manifests with subject"), but it must be one.
    serde_json::from_slice::<Subject>(&raw.bytes).map_err(|_| invalid("the subject is no descriptor"))?;
    if let Some(missing) = missing(store, name, &read.content) {
        return Err(Answer::error(404, "MANIFEST_BLOB_UNKNOWN", &format!("{missing} is unknown to this repository")));
    }
    Ok(raw)
}

fn missing(store: &Store, name: &str, content: &Content) -> Option<Digest> {
    match content {
        Content::Image { config, layers } => {
            let mut blobs = std::iter::once(config).chain(layers.iter().filter(|layer| !layer.is_foreign()));
            let has =
                |blob: &Descriptor| store.blob(name, blob.digest).is_some_and(|bytes| bytes.len() as u64 == blob.size);
            blobs.find(|blob| !has(blob)).map(|blob| blob.digest)
        }
        Content::Index { manifests } => {
            manifests.iter().find(|child| store.manifest(name, child.digest).is_none()).map(|child| child.digest)
        }
    }
}
