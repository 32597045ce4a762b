//! Blobs: whether they are there, and their bytes, verified while they come.

use bytes::Bytes;
use futures_util::{StreamExt, future::try_join_all, stream::BoxStream};
use reqwest::{Method, header::CONTENT_LENGTH};
use sealift_domain::{digest::Digest, reference::Repository};
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind};

use crate::{
    resume::MAX_BREAKS,
    retry::{Failure, retrying},
    transport::{Call, Http},
    verified::Verified,
};

/// Bytes of a blob that may fail on their way.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, Failure>>;

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

impl Http {
    pub(crate) fn blob_call(&self, method: Method, blob: &BlobRef) -> Result<Call, RegistryError> {
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

    /// Opens a blob once, in its own repository; its body is continued where it breaks off, up to `breaks` times.
    pub(crate) async fn open_at(&self, blob: &BlobRef, breaks: u32) -> Result<Chunks, Failure> {
        let call = self.blob_call(Method::GET, blob)?;
        let subject = call.subject();
        let response = self.once(&call).await?;
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(length) = length.filter(|length| *length != blob.size) {
            let why = format!("{subject}: the registry offers {length} bytes, the manifest says {}", blob.size);
            return Err(Failure::last(RegistryErrorKind::Corrupt, why));
        }
        Ok(Verified::new(subject, self.resuming(blob, response, breaks), blob.digest, blob.size).boxed())
    }

    /// Opens a blob, on a mirror if one has it, tried again until its answer begins.
    pub(crate) async fn open_verified(&self, blob: &BlobRef) -> Result<Chunks, RegistryError> {
        retrying(&*self.shared.clock, || self.open_once(blob)).await
    }

    /// Opens a blob, tried again until its answer begins. Mirrors are not asked: nobody could start over behind the reader's back.
    pub(crate) async fn open(
        &self,
        blob: &BlobRef,
    ) -> Result<BoxStream<'static, Result<Bytes, RegistryError>>, RegistryError> {
        let opened = retrying(&*self.shared.clock, || self.open_at(blob, MAX_BREAKS)).await?;
        Ok(opened.map(|item| item.map_err(|failure| failure.error)).boxed())
    }

    /// A whole small blob.
    pub(crate) async fn small_blob(&self, blob: &BlobRef) -> Result<Bytes, RegistryError> {
        let mut stream = self.open(blob).await?;
        // As much as the manifest says, once: whoever asks has compared that with a limit.
        let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or_default());
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes.into())
    }

    /// Asks for each blob whether it is there.
    pub(crate) async fn presence(&self, blobs: Vec<BlobRef>) -> Result<Vec<(BlobRef, bool)>, RegistryError> {
        try_join_all(blobs.into_iter().map(|blob| async move {
            let present = self.has_blob(&blob).await?;
            Ok((blob, present))
        }))
        .await
    }
}
