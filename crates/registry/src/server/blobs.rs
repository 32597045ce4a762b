//! Blobs and their uploads (OCI Distribution Specification 1.1, "Pulling blobs", "Pushing blobs", "Mounting").

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Method, body::Incoming};
use sealift_domain::digest::Digest;

use super::{
    Shared,
    access::{self},
    http::{Answer, Unread, collect},
    lock,
    route::{Asked, digest},
};

/// The largest blob that is taken, in bytes.
const MAX_BLOB: usize = 1 << 30;

fn unknown_blob() -> Answer {
    Answer::error(404, "BLOB_UNKNOWN", "blob unknown to this repository")
}

fn unknown_upload() -> Answer {
    Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn not_allowed() -> Answer {
    Answer::error(405, "UNSUPPORTED", "this method is not offered here")
}

/// GET, HEAD and DELETE of a blob.
pub(super) fn blob(shared: &Shared, asked: &Asked, name: &str, reference: &str) -> Result<Answer, Answer> {
    let digest = digest(reference)?;
    if asked.method == Method::DELETE {
        let removed = shared.config.deletes && lock(&shared.store).remove_blob(name, digest);
        return if removed {
            Ok(Answer::new(202))
        } else {
            Err(if shared.config.deletes { unknown_blob() } else { not_allowed() })
        };
    }
    if asked.method != Method::GET && asked.method != Method::HEAD {
        return Err(not_allowed());
    }
    let bytes = lock(&shared.store).blob(name, digest).ok_or_else(unknown_blob)?;
    let answer = Answer::new(200)
        .with("docker-content-digest", &digest.to_string())
        .with("content-type", "application/octet-stream")
        .with("accept-ranges", "bytes");
    match asked.range() {
        Some(range) if asked.method == Method::GET => part(answer, range, &bytes),
        _ => Ok(answer.body(bytes)),
    }
}

/// One range of bytes (RFC 9110, section 14.1.2). Other units and several ranges are ignored, as they may be.
fn part(mut answer: Answer, range: &str, bytes: &Bytes) -> Result<Answer, Answer> {
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(answer.body(bytes.clone()));
    };
    let last = bytes.len().saturating_sub(1);
    let bounds = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from, to.min(last)),
        (Ok(from), Err(_)) if to.is_empty() => (from, last),
        (Err(_), Ok(suffix)) if from.is_empty() => (bytes.len().saturating_sub(suffix), last),
        _ => return Ok(answer.body(bytes.clone())),
    };
    if bounds.0 > bounds.1 || bounds.0 >= bytes.len() {
        let refused = Answer::error(416, "SIZE_INVALID", "the range is outside the blob");
        return Err(refused.with("content-range", &format!("bytes */{}", bytes.len())));
    }
    answer.status = 206;
    let content_range = format!("bytes {}-{}/{}", bounds.0, bounds.1, bytes.len());
    Ok(answer.with("content-range", &content_range).body(bytes.slice(bounds.0..=bounds.1)))
}

/// The opaque state that an upload location carries. A client that rebuilds the URL itself loses it.
fn state_of(id: &str) -> String {
    format!("{}=", Digest::of(id.as_bytes()).short())
}

fn location(shared: &Shared, name: &str, id: &str) -> String {
    let base = if shared.config.absolute_locations { format!("http://{}", shared.address) } else { String::new() };
    format!("{base}/v2/{name}/blobs/uploads/{id}?_state={}", state_of(id).replace('=', "%3D"))
}

fn accepted(shared: &Shared, status: u16, name: &str, id: &str, size: usize) -> Answer {
    Answer::new(status)
        .with("location", &location(shared, name, id))
        .with("docker-upload-uuid", id)
        .with("range", &format!("0-{}", size.saturating_sub(1)))
}

fn created(name: &str, digest: Digest) -> Answer {
    let place = format!("/v2/{name}/blobs/{digest}");
    Answer::new(201).with("location", &place).with("docker-content-digest", &digest.to_string())
}

async fn body_of(body: Incoming) -> Result<Bytes, Answer> {
    collect(body, MAX_BLOB).await.map_err(|why| match why {
        Unread::TooLarge => Answer::error(413, "SIZE_INVALID", "the blob is larger than this registry takes"),
        Unread::Broken => Answer::error(400, "BLOB_UPLOAD_INVALID", "the body broke off"),
    })
}

fn store_verified(shared: &Shared, name: &str, bytes: Bytes, wanted: Digest) -> Result<Answer, Answer> {
    if !shared.config.careless && Digest::of(&bytes) != wanted {
        return Err(Answer::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content"));
    }
    lock(&shared.store).put_blob_as(name, wanted, bytes);
    Ok(created(name, wanted))
}

/// POST: a mount, a whole blob at once, or a new upload.
pub(super) async fn open(shared: &Arc<Shared>, asked: &Asked, name: &str, body: Incoming) -> Result<Answer, Answer> {
    if asked.method != Method::POST {
        return Err(not_allowed());
    }
    let bytes = body_of(body).await?;
    if let (Some(mount), Some(from)) = (asked.parameter("mount"), asked.parameter("from")) {
        let wanted = digest(mount)?;
        let may_read = access::check(shared, &asked.headers, &[(from.to_owned(), "pull")]).is_ok();
        let known = lock(&shared.store).blob(from, wanted);
        if let Some(blob) = known.filter(|_| may_read && shared.config.mounts && !asked.refuses_mount()) {
            lock(&shared.store).put_blob(name, blob);
            return Ok(created(name, wanted));
        }
    } else if let Some(wanted) = asked.parameter("digest") {
        return store_verified(shared, name, bytes, digest(wanted)?);
    }
    let id = lock(&shared.store).open_upload(name);
    Ok(accepted(shared, 202, name, &id, 0))
}

/// GET, PATCH, PUT and DELETE of an upload.
pub(super) async fn upload(
    shared: &Arc<Shared>,
    asked: &Asked,
    name: &str,
    id: &str,
    body: Incoming,
) -> Result<Answer, Answer> {
    let size = lock(&shared.store).upload_size(name, id).ok_or_else(unknown_upload)?;
    if asked.parameter("_state") != Some(state_of(id).as_str()) {
        return Err(Answer::error(400, "BLOB_UPLOAD_INVALID", "the location's query was lost"));
    }
    match asked.method {
        Method::GET => Ok(accepted(shared, 204, name, id, size)),
        Method::DELETE => {
            lock(&shared.store).take_upload(name, id);
            Ok(Answer::new(204))
        }
        Method::PATCH => {
            let size = append(shared, asked, name, id, body, size).await?;
            Ok(accepted(shared, 202, name, id, size))
        }
        Method::PUT => {
            let wanted =
                asked.parameter("digest").ok_or_else(|| Answer::error(400, "DIGEST_INVALID", "a digest is missing"))?;
            let wanted = digest(wanted)?;
            with_length(shared, asked)?;
            append(shared, asked, name, id, body, size).await?;
            let bytes = lock(&shared.store).take_upload(name, id).ok_or_else(unknown_upload)?;
            store_verified(shared, name, bytes, wanted)
        }
        _ => Err(not_allowed()),
    }
}

/// A body that ends an upload has a length ("Pushing a blob monolithically"); many registries refuse one without.
fn with_length(shared: &Shared, asked: &Asked) -> Result<(), Answer> {
    match asked.header("transfer-encoding").is_some() && !shared.config.careless {
        true => Err(Answer::error(411, "SIZE_INVALID", "the body has no length")),
        false => Ok(()),
    }
}

/// Adds a body to an upload. A body that breaks off ends the upload, as docker-registry 2.8 does.
async fn append(
    shared: &Arc<Shared>,
    asked: &Asked,
    name: &str,
    id: &str,
    body: Incoming,
    size: usize,
) -> Result<usize, Answer> {
    let start = asked.header("content-range").map(|range| range.split('-').next().and_then(|start| start.parse().ok()));
    if start.is_some_and(|start: Option<usize>| start != Some(size)) {
        let refused = Answer::error(416, "BLOB_UPLOAD_INVALID", "the chunk does not follow the one before");
        return Err(refused.with("range", &format!("0-{}", size.saturating_sub(1))));
    }
    let ended = CancelOnDrop { shared, name, id, armed: true };
    let bytes = body_of(body).await?;
    ended.disarm();
    lock(&shared.store).append(name, id, &bytes).ok_or_else(unknown_upload)
}

/// Ends an upload whose body did not come to its end, whether it failed or the connection was dropped.
struct CancelOnDrop<'a> {
    shared: &'a Shared,
    name: &'a str,
    id: &'a str,
    armed: bool,
}

impl CancelOnDrop<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            lock(&self.shared.store).take_upload(self.name, self.id);
        }
    }
}
