//! Pushing images to a registry, and looking whether one arrived: plain requests of the OCI Distribution Specification 1.1,
//! by none of the programs that are measured.

use futures_util::stream;
use reqwest::{
    Body, Client, Response,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use sealift_domain::digest::Digest;
use sha2::{Digest as _, Sha256};

use crate::{
    Failed,
    image::{Blob, Image, Manifest},
};

/// The tag of every image.
pub(crate) const TAG: &str = "1";

/// A repository of a registry that speaks plain HTTP.
pub(crate) struct Repository {
    client: Client,
    url: String,
}

impl Repository {
    /// The repository of that name at `host:port`.
    pub(crate) fn new(address: &str, name: &str) -> Result<Self, Failed> {
        Ok(Self { client: Client::builder().no_proxy().build()?, url: format!("http://{address}/v2/{name}") })
    }

    /// Pushes everything, the root with the tag.
    pub(crate) async fn push(&self, image: &Image) -> Result<(), Failed> {
        for blob in &image.blobs {
            self.push_blob(blob).await?;
        }
        for manifest in &image.manifests {
            let url = self.manifest_url(image, manifest);
            let request = self.client.put(url).header(CONTENT_TYPE, manifest.media_type);
            answered(request.body(manifest.bytes.clone()).send().await?).await?;
        }
        Ok(())
    }

    async fn push_blob(&self, blob: &Blob) -> Result<(), Failed> {
        let opened = answered(self.client.post(format!("{}/blobs/uploads/", self.url)).send().await?).await?;
        let location = opened.headers().get(LOCATION).ok_or("an upload without a location")?.to_str()?;
        let mut url = opened.url().join(location)?;
        url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let pieces = blob.content.clone().pieces().map(Ok::<_, std::io::Error>);
        let request = self.client.put(url).header(CONTENT_LENGTH, blob.content.size());
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        answered(request.body(Body::wrap_stream(stream::iter(pieces))).send().await?).await.map(drop)
    }

    /// Whether every manifest is there, byte by byte, the root by the tag; and with `blobs`, whether every blob is.
    pub(crate) async fn check(&self, image: &Image, blobs: bool) -> Result<(), Failed> {
        for manifest in &image.manifests {
            let url = self.manifest_url(image, manifest);
            self.has(&url, manifest.media_type, manifest.digest).await?;
        }
        for blob in image.blobs.iter().filter(|_| blobs) {
            self.has(&format!("{}/blobs/{}", self.url, blob.digest), "*/*", blob.digest).await?;
        }
        Ok(())
    }

    async fn has(&self, url: &str, accept: &str, expected: Digest) -> Result<(), Failed> {
        let mut response = answered(self.client.get(url).header(ACCEPT, accept).send().await?).await?;
        let mut hash = Sha256::new();
        while let Some(piece) = response.chunk().await? {
            hash.update(&piece);
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if found == expected { Ok(()) } else { Err(format!("{url} is {found}, not {expected}").into()) }
    }

    fn manifest_url(&self, image: &Image, manifest: &Manifest) -> String {
        let root = image.manifests.last().is_some_and(|root| root.digest == manifest.digest);
        let by = if root { TAG.to_owned() } else { manifest.digest.to_string() };
        format!("{}/manifests/{by}", self.url)
    }
}

/// The answer, if it says that all went well.
async fn answered(response: Response) -> Result<Response, Failed> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, url) = (response.status(), response.url().clone());
    Err(format!("{url} answered {status}: {}", response.text().await.unwrap_or_default()).into())
}
