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
use futures_util::StreamExt;
use reqwest::{
    Body, Method, Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use sealift_domain::{digest::Digest, reference::Repository};
use sealift_engine::ports::{
    copy::{CopyEvent, CopyObserver},
    registry::{RegistryError, RegistryErrorKind},
};
use tokio::sync::Notify;

use crate::{
    blob::{BlobRef, Chunks},
    endpoint::api_name,
    manifest_http::check_digest_header,
    rate::Place,
    retry::{Failure, retrying},
    transport::{Call, Http},
};

/// How a blob got to where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Streamed,
    Mounted,
    Skipped,
}

/// How it is found out whether the destination has a blob already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approach {
    /// It probably has not: the source is opened beside the upload.
    Together,
    /// It may well have it: the source is opened when the upload is.
    UploadFirst,
    /// It has said one thing and meant another: it is asked for the blob by itself.
    Careful,
}

/// An upload that the registry has opened.
enum Opened {
    /// The blob is there: it was mounted, or has been there all the time.
    There,
    /// Bytes go to this URL.
    At(Url),
    /// The registry does not take the parameters of a mount.
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
    /// Brings one blob from its repository to `to`; started over when an upload broke, which leaves nothing behind that counts.
    pub(crate) async fn transfer(
        &self,
        blob: &BlobRef,
        to: &Repository,
        approach: Approach,
        observer: &dyn CopyObserver,
    ) -> Result<Moved, RegistryError> {
        retrying(&*self.shared.clock, || self.transfer_once(blob, to, approach, observer)).await
    }

    async fn transfer_once(
        &self,
        blob: &BlobRef,
        to: &Repository,
        approach: Approach,
        observer: &dyn CopyObserver,
    ) -> Result<Moved, Failure> {
        let target = BlobRef { repository: to.clone(), ..blob.clone() };
        if approach == Approach::Careful && self.has_blob(&target).await? {
            return Ok(Moved::Skipped);
        }
        if blob.repository.registry() == to.registry() {
            let opened = self.open_upload(&target, Some(&blob.repository)).await?;
            let _share = match opened {
                Opened::There => return Ok(Moved::Mounted),
                _ => self.shared.budget.share(blob.size).await,
            };
            let source = self.open_verified(blob).await?;
            return self.fill(&target, opened, source, observer).await;
        }
        let _share = self.shared.budget.share(blob.size).await;
        let (opened, source) = match approach {
            Approach::Together => {
                let opened = self.open_upload(&target, Some(to));
                let (opened, source) = futures_util::future::join(opened, self.open_verified(blob)).await;
                (opened?, Some(source))
            }
            Approach::UploadFirst => (self.open_upload(&target, Some(to)).await?, None),
            Approach::Careful => (self.open_upload(&target, None).await?, None),
        };
        if matches!(opened, Opened::There) {
            return Ok(Moved::Skipped);
        }
        let source = match source {
            Some(source) => source?,
            None => self.open_verified(blob).await?,
        };
        self.fill(&target, opened, source, observer).await
    }

    /// Brings bytes that are at hand to a repository, unless it has them.
    pub(crate) async fn upload_bytes(&self, to: &Repository, bytes: &Bytes) -> Result<(), RegistryError> {
        let target = BlobRef { repository: to.clone(), digest: Digest::of(bytes), size: bytes.len() as u64 };
        let upload = || async {
            if self.has_blob_once(&target).await? {
                return Ok(());
            }
            let opened = self.open_upload(&target, None).await?;
            let source = futures_util::stream::iter([Ok(bytes.clone())]).boxed();
            self.fill(&target, opened, source, &()).await.map(drop)
        };
        retrying(&*self.shared.clock, upload).await
    }

    /// Opens an upload, and asks to have the blob from the repository `from` instead. With `from` the target itself this is the
    /// question whether the blob is there, without a request of its own: the answer is 201 if it is, and an upload if not.
    async fn open_upload(&self, target: &BlobRef, from: Option<&Repository>) -> Result<Opened, RegistryError> {
        match retrying(&*self.shared.clock, || self.open_upload_once(target, from)).await {
            // Whoever may not mount may upload all the same.
            Err(refused) if from.is_some() && refused.kind == RegistryErrorKind::Denied => Ok(Opened::Refused),
            other => other,
        }
    }

    async fn open_upload_once(&self, target: &BlobRef, from: Option<&Repository>) -> Result<Opened, Failure> {
        let what = format!("upload of blob {}", target.digest);
        let mut call = self.call(Method::POST, &target.repository, "blobs/uploads/", what)?;
        call = call.header(CONTENT_LENGTH, "0");
        call.expect = &[202];
        if let Some(from) = from {
            call.url
                .query_pairs_mut()
                .append_pair("mount", &target.digest.to_string())
                .append_pair("from", &api_name(from));
            if *from != target.repository {
                call.scopes = call.scopes.and_pull(from);
            }
            // A registry without mounts may refuse the parameters instead of opening a plain upload, or trip over them.
            call.expect = &[201, 202, 400, 404, 405, 500, 501];
        }
        let response = self.once(&call).await?;
        match response.status().as_u16() {
            201 => {
                check_digest_header(&call.subject(), response.headers(), target.digest)?;
                Ok(Opened::There)
            }
            202 => self.location(&call, &response).map(Opened::At),
            _ => Ok(Opened::Refused),
        }
    }

    /// Streams verified bytes into an upload.
    async fn fill(
        &self,
        target: &BlobRef,
        opened: Opened,
        source: Chunks,
        observer: &dyn CopyObserver,
    ) -> Result<Moved, Failure> {
        let mut location = match opened {
            Opened::At(location) => location,
            _ => self.open_plainly(target).await?,
        };
        location.query_pairs_mut().append_pair("digest", &target.digest.to_string());
        let mut call =
            self.call(Method::PUT, &target.repository, "blobs/uploads/", format!("blob {}", target.digest))?;
        call = call.header(CONTENT_TYPE, "application/octet-stream");
        call.headers.insert(CONTENT_LENGTH, HeaderValue::from(target.size));
        call.expect = &[201, 204];
        call.url = location;
        // Waiting for a place is not counted as standing still.
        let place = self.enter(&call).await;
        let progress = Arc::new(Progress::default());
        let body = observed(source, target.size, Arc::clone(&progress));
        let sent = self.watch(&call, (body, place), &progress, observer).await;
        // A source that failed is the cause; that the upload broke is only its consequence.
        if let Some(failure) = progress.failure() {
            return Err(failure);
        }
        let response = sent?;
        check_digest_header(&call.subject(), response.headers(), target.digest)?;
        Ok(Moved::Streamed)
    }

    /// Opens an upload at a registry that does not take the parameters of a mount.
    async fn open_plainly(&self, target: &BlobRef) -> Result<Url, Failure> {
        match self.open_upload(target, None).await? {
            Opened::At(location) => Ok(location),
            Opened::There | Opened::Refused => {
                let why = format!("{}: the registry opens no upload for blob {}", target.repository, target.digest);
                Err(Failure::last(RegistryErrorKind::Unsupported, why))
            }
        }
    }

    /// Sends the body, passes its progress on, and gives up when nothing moves any more.
    async fn watch(
        &self,
        call: &Call,
        (body, place): (Body, Place),
        progress: &Progress,
        observer: &dyn CopyObserver,
    ) -> Result<reqwest::Response, Failure> {
        let mut sending = std::pin::pin!(self.stream(call, body, place));
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
fn observed(source: Chunks, size: u64, progress: Arc<Progress>) -> Body {
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
