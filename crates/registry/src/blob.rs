//! Blobs as streams that cannot end well with wrong bytes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use reqwest::{Method, Response, header::CONTENT_LENGTH};
use sealift_domain::{digest::Digest, reference::Repository};
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind};
use sha2::{Digest as _, Sha256};

use crate::{
    error::causes,
    retry::{Failure, retrying},
    transport::{Call, Http},
};

/// A blob of a known digest and size.
#[derive(Clone, Debug)]
pub(crate) struct BlobRef {
    pub(crate) repository: Repository,
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

impl BlobRef {
    fn path(&self) -> String {
        format!("blobs/{}", self.digest)
    }

    fn what(&self) -> String {
        format!("blob {}", self.digest)
    }
}

/// Chunks whose last one comes only when digest and size are right.
pub(crate) struct Verified<S> {
    subject: String,
    inner: S,
    hasher: Sha256,
    digest: Digest,
    size: u64,
    seen: u64,
    held: Option<Bytes>,
    done: bool,
}

impl<S> Verified<S> {
    /// Verifies `inner`; `subject` begins every error.
    pub(crate) fn new(subject: String, inner: S, digest: Digest, size: u64) -> Self {
        Self { subject, inner, hasher: Sha256::new(), digest, size, seen: 0, held: None, done: false }
    }

    fn corrupt(&self, why: &str) -> Failure {
        Failure::last(RegistryErrorKind::Corrupt, format!("{}: {why}", self.subject))
    }

    fn end(&mut self) -> Option<Result<Bytes, Failure>> {
        self.done = true;
        if self.seen != self.size {
            let why = format!("the body ended after {} bytes, the manifest says {}", self.seen, self.size);
            return Some(Err(self.corrupt(&why)));
        }
        let digest = Digest::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
        if digest != self.digest {
            return Some(Err(self.corrupt(&format!("the bytes have the digest {digest}"))));
        }
        self.held.take().map(Ok)
    }

    /// Takes the next chunk in and gives the one before it out.
    fn pass(&mut self, chunk: Bytes) -> Option<Result<Bytes, Failure>> {
        self.seen = self.seen.saturating_add(chunk.len() as u64);
        if self.seen > self.size {
            self.done = true;
            return Some(
                Err(self.corrupt(&format!("the body is longer than the {} bytes of the manifest", self.size))),
            );
        }
        self.hasher.update(&chunk);
        self.held.replace(chunk).map(Ok)
    }
}

impl<S: Stream<Item = Result<Bytes, Failure>> + Unpin> Stream for Verified<S> {
    type Item = Result<Bytes, Failure>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.done {
            let step = match ready!(this.inner.poll_next_unpin(context)) {
                Some(Ok(chunk)) if chunk.is_empty() => None,
                Some(Ok(chunk)) => this.pass(chunk),
                Some(Err(failure)) => {
                    this.done = true;
                    Some(Err(failure))
                }
                None => return Poll::Ready(this.end()),
            };
            if step.is_some() {
                return Poll::Ready(step);
            }
        }
        Poll::Ready(None)
    }
}

impl Http {
    fn blob_call(&self, method: Method, blob: &BlobRef) -> Result<Call, RegistryError> {
        self.call(method, &blob.repository, &blob.path(), blob.what())
    }

    /// Whether the registry has a blob with this size.
    pub(crate) async fn has_blob_once(&self, blob: &BlobRef) -> Result<bool, Failure> {
        let mut call = self.blob_call(Method::HEAD, blob)?;
        call.expect = &[200, 404];
        let response = self.once(&call).await?;
        if response.status() == 404 {
            return Ok(false);
        }
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        // A registry should send the length of an existing blob; without it, existing is all that is known.
        Ok(length.is_none_or(|text| text.parse() == Ok(blob.size)))
    }

    /// [`Http::has_blob_once`], tried again.
    pub(crate) async fn has_blob(&self, blob: &BlobRef) -> Result<bool, RegistryError> {
        retrying(&*self.shared.clock, || self.has_blob_once(blob)).await
    }

    /// Opens a blob once, in its own repository.
    pub(crate) async fn open_at(&self, blob: &BlobRef) -> Result<BoxStream<'static, Result<Bytes, Failure>>, Failure> {
        let call = self.blob_call(Method::GET, blob)?;
        let subject = call.subject();
        let response = self.once(&call).await?;
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(length) = length.filter(|length| *length != blob.size) {
            let why = format!("{subject}: the registry offers {length} bytes, the manifest says {}", blob.size);
            return Err(Failure::last(RegistryErrorKind::Corrupt, why));
        }
        let chunks = chunks(subject.clone(), response, self.shared.idle);
        Ok(Verified::new(subject, chunks.boxed(), blob.digest, blob.size).boxed())
    }

    /// Opens a blob, tried again until the first byte. Mirrors are not asked: nobody could start over behind the reader's back.
    pub(crate) async fn open(
        &self,
        blob: &BlobRef,
    ) -> Result<BoxStream<'static, Result<Bytes, RegistryError>>, RegistryError> {
        let opened = retrying(&*self.shared.clock, || self.open_at(blob)).await?;
        Ok(opened.map(|item| item.map_err(|failure| failure.error)).boxed())
    }

    /// A whole small blob.
    pub(crate) async fn small_blob(&self, blob: &BlobRef) -> Result<Bytes, RegistryError> {
        let attempt = || async {
            let mut stream = self.open_once(blob).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk?);
            }
            Ok(Bytes::from(bytes))
        };
        retrying(&*self.shared.clock, attempt).await
    }
}

/// The chunks of a body, each within the idle time.
fn chunks(
    subject: String,
    response: Response,
    idle: std::time::Duration,
) -> impl Stream<Item = Result<Bytes, Failure>> + Send + 'static {
    futures_util::stream::unfold(Some((response, subject)), move |state| async move {
        let (mut response, subject) = state?;
        let failure = match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(Some(chunk))) => return Some((Ok(chunk), Some((response, subject)))),
            Ok(Ok(None)) => return None,
            Ok(Err(why)) => format!("{subject}: the body broke off: {}", causes(why)),
            Err(_) => format!("{subject}: no byte for {} s", idle.as_secs_f32()),
        };
        Some((Err(Failure::transient(failure)), None))
    })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn run(chunks: &[&'static [u8]], digest: Digest, size: u64) -> (Vec<u8>, Option<RegistryErrorKind>) {
        let items: Vec<Result<Bytes, Failure>> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        let mut verified = Verified::new("GET blob".to_owned(), stream::iter(items), digest, size);
        let mut passed = Vec::new();
        while let Some(item) = verified.next().await {
            match item {
                Ok(chunk) => passed.extend_from_slice(&chunk),
                Err(failure) => {
                    assert!(verified.next().await.is_none());
                    return (passed, Some(failure.error.kind));
                }
            }
        }
        (passed, None)
    }

    #[tokio::test]
    async fn right_bytes_pass_whole() {
        assert_eq!(run(&[b"ab", b"", b"c"], Digest::of(b"abc"), 3).await, (b"abc".to_vec(), None));
        assert_eq!(run(&[], Digest::of(b""), 0).await, (Vec::new(), None));
    }

    #[tokio::test]
    async fn wrong_bytes_never_pass_their_last_chunk() {
        for (chunks, digest, size, passed) in [
            (vec![b"ab".as_slice(), b"x"], Digest::of(b"abc"), 3, b"ab".as_slice()),
            (vec![b"abc".as_slice()], Digest::of(b"abd"), 3, b""),
            (vec![b"ab".as_slice()], Digest::of(b"abc"), 3, b""),
            (vec![b"ab".as_slice(), b"cd"], Digest::of(b"abc"), 3, b""),
            (vec![], Digest::of(b"x"), 0, b""),
        ] {
            let (out, failure) = run(&chunks, digest, size).await;
            assert_eq!((out.as_slice(), failure), (passed, Some(RegistryErrorKind::Corrupt)), "{chunks:?}");
        }
    }
}
