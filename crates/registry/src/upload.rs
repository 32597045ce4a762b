//! Bringing one blob into a repository: mount, or one POST and one PUT with a length.
//!
//! OCI Distribution Specification 1.1, "Pushing blobs" and "Mounting a blob from another repository".

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use reqwest::{
    Body, Method, Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use sealift_domain::reference::Repository;
use sealift_engine::ports::{
    copy::{CopyEvent, CopyObserver},
    registry::RegistryErrorKind,
};
use tokio::sync::Notify;

use crate::{
    blob::BlobRef,
    endpoint::api_name,
    manifest_http::check_digest_header,
    retry::Failure,
    transport::{Call, Http},
};

/// How a blob got to where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Streamed,
    Mounted,
    Skipped,
}

/// An upload that the registry has opened.
enum Opened {
    /// The blob is there: the mount worked.
    Mounted,
    /// Bytes go to this URL.
    At(Url),
    /// The registry does not mount.
    Refused,
}

/// What the body of an upload tells about itself while it is being sent.
#[derive(Default)]
struct Progress {
    waiting: AtomicU64,
    ended: AtomicBool,
    changed: Notify,
    failure: Mutex<Option<Failure>>,
}

impl Progress {
    fn report(&self, observer: &dyn CopyObserver) {
        let bytes = self.waiting.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            observer.on(CopyEvent::Moved(bytes));
        }
    }

    fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Http {
    /// Brings one blob from its repository to `to`, in one try. Starting over is safe: nothing of a broken upload remains.
    pub(crate) async fn transfer_once(
        &self,
        blob: &BlobRef,
        to: &Repository,
        observer: &dyn CopyObserver,
    ) -> Result<Moved, Failure> {
        let target = BlobRef { repository: to.clone(), ..blob.clone() };
        if blob.repository.registry() == to.registry() {
            match self.open_upload(&target, Some(&blob.repository)).await? {
                Opened::Mounted => return Ok(Moved::Mounted),
                Opened::At(location) => return self.fill(blob, &target, location, observer).await,
                Opened::Refused => {}
            }
        }
        if self.has_blob_once(&target).await? {
            return Ok(Moved::Skipped);
        }
        match self.open_upload(&target, None).await? {
            Opened::At(location) => self.fill(blob, &target, location, observer).await,
            Opened::Mounted | Opened::Refused => {
                let why = format!("{to}: the registry does not open an upload for blob {}", blob.digest);
                Err(Failure::last(RegistryErrorKind::Unsupported, why))
            }
        }
    }

    async fn open_upload(&self, target: &BlobRef, from: Option<&Repository>) -> Result<Opened, Failure> {
        let what = format!("upload of blob {}", target.digest);
        let mut call = self.call(Method::POST, &target.repository, "blobs/uploads/", what)?;
        call = call.header(CONTENT_LENGTH, "0");
        call.expect = &[202];
        if let Some(from) = from {
            call.url
                .query_pairs_mut()
                .append_pair("mount", &target.digest.to_string())
                .append_pair("from", &api_name(from));
            call.scopes = call.scopes.and_pull(from);
            // A registry without mounts may refuse the parameters instead of opening a plain upload.
            call.expect = &[201, 202, 400, 404, 405];
        }
        let response = self.once(&call).await?;
        match response.status().as_u16() {
            201 => {
                check_digest_header(&call.subject(), response.headers(), target.digest)?;
                Ok(Opened::Mounted)
            }
            202 => self.location(&call, &response).map(Opened::At),
            _ => Ok(Opened::Refused),
        }
    }

    /// Streams a blob into an opened upload.
    async fn fill(
        &self,
        blob: &BlobRef,
        target: &BlobRef,
        mut location: Url,
        observer: &dyn CopyObserver,
    ) -> Result<Moved, Failure> {
        let source = self.open_once(blob).await?;
        location.query_pairs_mut().append_pair("digest", &target.digest.to_string());
        let mut call =
            self.call(Method::PUT, &target.repository, "blobs/uploads/", format!("blob {}", target.digest))?;
        call = call.header(CONTENT_TYPE, "application/octet-stream");
        call.headers.insert(CONTENT_LENGTH, HeaderValue::from(target.size));
        call.expect = &[201, 204];
        call.url = location;
        let progress = Arc::new(Progress::default());
        let body = observed(source, target.size, Arc::clone(&progress));
        let sent = self.watch(&call, body, &progress, observer).await;
        // A source that failed is the cause; that the upload broke is only its consequence.
        if let Some(failure) = progress.failure() {
            return Err(failure);
        }
        let response = sent?;
        check_digest_header(&call.subject(), response.headers(), target.digest)?;
        Ok(Moved::Streamed)
    }

    /// Sends the body, passes its progress on, and gives up when nothing moves any more.
    async fn watch(
        &self,
        call: &Call,
        body: Body,
        progress: &Progress,
        observer: &dyn CopyObserver,
    ) -> Result<reqwest::Response, Failure> {
        let mut sending = std::pin::pin!(self.stream(call, body));
        loop {
            let patience = if progress.ended.load(Ordering::Acquire) { self.shared.commit } else { self.shared.idle };
            tokio::select! {
                result = &mut sending => {
                    progress.report(observer);
                    return result;
                }
                () = progress.changed.notified() => progress.report(observer),
                () = tokio::time::sleep(patience) => return Err(stalled(call, patience)),
            }
        }
    }
}

fn stalled(call: &Call, patience: Duration) -> Failure {
    Failure::transient(format!("{}: nothing moved for {} s", call.subject(), patience.as_secs_f32()))
}

/// Turns verified chunks into a request body. When the source fails, the body breaks off and the reason is kept aside.
fn observed(source: BoxStream<'static, Result<Bytes, Failure>>, size: u64, progress: Arc<Progress>) -> Body {
    let mut left = size;
    progress.ended.store(left == 0, Ordering::Release);
    Body::wrap_stream(source.map(move |item| {
        let passed = match item {
            Ok(chunk) => {
                progress.waiting.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                left = left.saturating_sub(chunk.len() as u64);
                // With a known length, nobody asks for what comes after the last chunk.
                progress.ended.store(left == 0, Ordering::Release);
                Ok(chunk)
            }
            Err(failure) => {
                let message = std::io::Error::other(failure.error.message.clone());
                *progress.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                Err(message)
            }
        };
        progress.changed.notify_one();
        passed
    }))
}
