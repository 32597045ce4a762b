//! What refers to an image: the registry's own list, or the fallback tag where it keeps none.
//!
//! OCI Distribution Specification 1.1, "Listing Referrers" and "Referrers Tag Schema".

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use reqwest::{
    Method, Response, Url,
    header::{ACCEPT, LINK},
};
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository, Tag},
};
use sealift_engine::ports::registry::{Referrer, RegistryError, RegistryErrorKind};
use serde::Deserialize;

use crate::{
    endpoint::origin,
    error::{error, printable},
    manifest::{MAX_MANIFEST, OCI_INDEX},
    retry::{Failure, retrying},
    transport::{Call, Http},
};

/// The most pages of a list that are read.
pub const MAX_PAGES: usize = 16;

/// Whether hosts keep lists of referrers, as far as they have been asked.
#[derive(Default)]
pub(crate) struct Lists(Mutex<HashMap<String, bool>>);

impl Lists {
    fn known(&self, url: &Url) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&origin(url)).copied()
    }

    fn learn(&self, url: &Url, kept: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(origin(url), kept);
    }
}

/// A list of referrers.
#[derive(Deserialize)]
struct List {
    manifests: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    digest: Digest,
    artifact_type: Option<String>,
}

fn read_list(what: &str, bytes: &[u8]) -> Result<Vec<Referrer>, RegistryError> {
    let list: List = serde_json::from_slice(bytes)
        .map_err(|why| error(RegistryErrorKind::Malformed, format!("{what} cannot be used: {why}")))?;
    let referrer = |listed: Listed| Referrer {
        digest: listed.digest,
        artifact_type: printable(&listed.artifact_type.unwrap_or_default()),
    };
    Ok(list.manifests.into_iter().map(referrer).collect())
}

/// The tag under which the referrers of a digest are listed where the registry keeps no list, `sha256-<hex>`.
pub(crate) fn fallback_tag(digest: Digest) -> Result<Tag, RegistryError> {
    suffixed_tag(digest, "")
}

/// The tag `sha256-<hex><suffix>`.
pub(crate) fn suffixed_tag(digest: Digest, suffix: &str) -> Result<Tag, RegistryError> {
    let text = format!("sha256-{}{suffix}", digest.hex());
    text.parse().map_err(|_| error(RegistryErrorKind::Malformed, format!("`{text}` is no tag")))
}

impl Http {
    /// The referrers of an image, each once.
    pub(crate) async fn referrers(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        let call = self.list_call(image)?;
        let mut found = match self.shared.lists.known(&call.url) {
            Some(true) => match self.listed(image, call).await? {
                Some(listed) => listed,
                None => self.tagged(image).await?,
            },
            Some(false) => self.tagged(image).await?,
            // Both are asked at once: which one answers is not known, and most images have no referrers at either.
            None => match futures_util::future::join(self.listed(image, call), self.tagged(image)).await {
                (Ok(Some(listed)), _) => listed,
                (Ok(None), tagged) => tagged?,
                (Err(failed), _) => return Err(failed),
            },
        };
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|referrer| seen.insert(referrer.digest));
        Ok(found)
    }

    fn list_call(&self, image: &Pinned) -> Result<Call, RegistryError> {
        let path = format!("referrers/{}", image.digest);
        let mut call = self.call(Method::GET, &image.repository, &path, format!("referrers of {}", image.digest))?;
        call = call.header(ACCEPT, OCI_INDEX);
        // 404 is what the specification says; the others are what registries say that do not know the path.
        call.expect = &[200, 400, 404, 405, 406, 501];
        Ok(call)
    }

    /// The registry's own list; `None` if it keeps none.
    async fn listed(&self, image: &Pinned, mut call: Call) -> Result<Option<Vec<Referrer>>, RegistryError> {
        let home = call.url.clone();
        let mut found = Vec::new();
        for page in 0..MAX_PAGES {
            let Some((bytes, next)) = self.page(&call).await? else {
                if page == 0 {
                    self.shared.lists.learn(&home, false);
                    return Ok(None);
                }
                return Err(error(RegistryErrorKind::Malformed, format!("{}: a page is gone", call.subject())));
            };
            self.shared.lists.learn(&home, true);
            found.extend(read_list(&call.subject(), &bytes)?);
            match next {
                None => return Ok(Some(found)),
                Some(next) => call.url = next,
            }
        }
        let why = format!("referrers of {image}: the list has more than {MAX_PAGES} pages");
        Err(error(RegistryErrorKind::Malformed, why))
    }

    /// One page and where the next one is; `None` if there is no such list.
    pub(crate) async fn page(&self, call: &Call) -> Result<Option<(Bytes, Option<Url>)>, RegistryError> {
        let attempt = || async {
            let response = self.once(call).await?;
            if response.status() != 200 {
                return Ok(None);
            }
            let next = next_page(call, &response)?;
            let bytes = self.read(&call.subject(), response, MAX_MANIFEST).await?;
            Ok(Some((bytes, next)))
        };
        retrying(&*self.shared.clock, attempt).await
    }

    /// What the fallback tag lists.
    async fn tagged(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        match self.fallback_index(&image.repository, image.digest).await? {
            Some(bytes) => read_list(&format!("{}:{}", image.repository, fallback_tag(image.digest)?), &bytes),
            None => Ok(Vec::new()),
        }
    }

    /// The bytes of the index under the fallback tag; `None` if there is no such tag.
    pub(crate) async fn fallback_index(
        &self,
        repository: &Repository,
        subject: Digest,
    ) -> Result<Option<Bytes>, RegistryError> {
        let tag = fallback_tag(subject)?;
        Ok(self.tagged_manifest(repository, &tag).await?.map(|raw| raw.bytes))
    }
}

/// The page that the answer's `Link` names (RFC 8288), on the same registry and nowhere else.
fn next_page(call: &Call, response: &Response) -> Result<Option<Url>, Failure> {
    let Some(link) = response.headers().get(LINK) else { return Ok(None) };
    let malformed = || {
        let why = format!("{}: the link to the next page cannot be used", call.subject());
        Failure::last(RegistryErrorKind::Malformed, why)
    };
    let text = link.to_str().map_err(|_| malformed())?;
    match next_in_link(&call.url, text) {
        Ok(next) => Ok(next),
        Err(()) => Err(malformed()),
    }
}

/// The target of a `Link` header with the relation `next`, resolved; an error if it is not one, or is elsewhere.
pub(crate) fn next_in_link(asked: &Url, link: &str) -> Result<Option<Url>, ()> {
    let (target, parameters) = link.trim().strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or(())?;
    if !parameters.contains("rel=\"next\"") && !parameters.contains("rel=next") {
        return Ok(None);
    }
    let next = asked.join(target).map_err(|_| ())?;
    if origin(&next) == origin(asked) { Ok(Some(next)) } else { Err(()) }
}
