//! Streams of bytes that cannot end well with wrong ones.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::RegistryErrorKind;
use sha2::{Digest as _, Sha256};

use crate::retry::Failure;

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
