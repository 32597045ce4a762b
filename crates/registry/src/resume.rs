//! Bodies of blobs that are continued where they break off.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{
    Method, Response,
    header::{CONTENT_RANGE, HeaderValue, RANGE},
};
use sealift_engine::ports::registry::RegistryErrorKind;

use crate::{
    blob::{BlobRef, Chunks},
    error::causes,
    retry::{Again, Failure, LONGEST_WAIT, TRIES, backoff},
    transport::Http,
};

/// How often one blob is continued where its body broke off. Each break must have brought bytes: after [`TRIES`] that did not,
/// it is over sooner.
pub(crate) const MAX_BREAKS: u32 = 100;

/// A blob that is being read, over as many connections as it takes.
struct Reading {
    http: Http,
    blob: BlobRef,
    /// The answer whose body is read; none after it broke off.
    response: Option<Response>,
    /// How many bytes have come.
    at: u64,
    /// How many bytes of the present body are known already.
    known: u64,
    /// How often it may still be continued.
    breaks: u32,
    /// Tries since the last byte that was new.
    in_vain: u32,
}

impl Http {
    /// The bytes of an opened blob, continued wherever they break off.
    pub(crate) fn resuming(&self, blob: &BlobRef, response: Response, breaks: u32) -> Chunks {
        let (http, blob) = (self.clone(), blob.clone());
        let reading = Reading { http, blob, response: Some(response), at: 0, known: 0, breaks, in_vain: 0 };
        stream::try_unfold(
            reading,
            |mut reading| async move { Ok(reading.next().await?.map(|chunk| (chunk, reading))) },
        )
        .boxed()
    }
}

impl Reading {
    /// The next new bytes; `None` at the end. What breaks off is continued.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let failure = match self.step().await {
                Ok(Some(chunk)) if chunk.is_empty() => continue,
                Ok(chunk) => return Ok(chunk),
                Err(failure) => failure,
            };
            self.response = None;
            self.in_vain += 1;
            let wait = match failure.again {
                Again::Backoff if self.in_vain < TRIES && self.breaks > 0 => backoff(self.in_vain),
                Again::After(wait) if self.in_vain < TRIES && self.breaks > 0 && wait <= LONGEST_WAIT => wait,
                _ => return Err(given_up(failure, self.in_vain)),
            };
            self.breaks -= 1;
            self.http.shared.clock.sleep(wait).await;
        }
    }

    /// One chunk of the present body, without what is known already.
    async fn step(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.response.is_none() {
            self.reopen().await?;
        }
        let Some(response) = self.response.as_mut() else { return Ok(None) };
        let subject = || format!("GET {} blob {}", self.blob.repository, self.blob.digest);
        let idle = self.http.shared.idle;
        let mut chunk = match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(why)) => {
                return Err(Failure::transient(format!("{}: the body broke off: {}", subject(), causes(why))));
            }
            Err(_) => return Err(Failure::transient(format!("{}: no byte for {} s", subject(), idle.as_secs_f32()))),
        };
        let known = self.known.min(chunk.len() as u64);
        self.known -= known;
        let new = chunk.split_off(usize::try_from(known).unwrap_or(usize::MAX).min(chunk.len()));
        if !new.is_empty() {
            self.at += new.len() as u64;
            self.in_vain = 0;
        }
        Ok(Some(new))
    }

    /// Asks for the rest (RFC 9110, section 14.2). A registry that knows no ranges sends all of it again.
    async fn reopen(&mut self) -> Result<(), Failure> {
        let mut call = self.http.blob_call(Method::GET, &self.blob)?;
        call.expect = &[200, 206];
        if let Ok(range) = HeaderValue::try_from(format!("bytes={}-", self.at)) {
            call.headers.insert(RANGE, range);
        }
        let response = self.http.once(&call).await?;
        self.known = match response.status().as_u16() {
            206 => {
                let begins = range_start(&response);
                if begins != Some(self.at) {
                    let why = format!("{}: bytes from {} on were asked for, others came", call.subject(), self.at);
                    return Err(Failure::last(RegistryErrorKind::Malformed, why));
                }
                0
            }
            _ => self.at,
        };
        self.response = Some(response);
        Ok(())
    }
}

/// A source that was tried often enough is not tried again from the start.
fn given_up(mut failure: Failure, tries: u32) -> Failure {
    if failure.again != Again::Never {
        failure.error.message.push_str(&format!(" (given up after {tries} tries)"));
        failure.again = Again::Never;
    }
    failure
}

/// Where a partial answer begins: `Content-Range: bytes 10-19/20` (RFC 9110, section 14.4).
fn range_start(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
