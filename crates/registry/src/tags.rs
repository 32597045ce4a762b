//! Tags: what they name now, writing them, removing them.

use reqwest::Method;
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository, Tag},
};
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind, TagMode};

use serde::Deserialize;

use crate::{error::error, manifest_http::CONTENT_DIGEST, scope::Scopes, transport::Http};

/// How many tags are asked for at a time.
const PAGE: usize = 1000;
/// The most pages that are read. Some registries give 100 tags on a page whatever is asked for.
const MAX_PAGES: usize = 10_000;

/// A page of tags. Some registries write `null` where there are none.
#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

impl Http {
    /// The digest that a tag names; asked with HEAD, and with GET where HEAD does not tell.
    pub(crate) async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
        let mut head = self.manifest_call(Method::HEAD, repository, tag.as_str())?;
        head.expect = &[200, 404, 405, 501];
        let response = self.send(&head).await?;
        let named = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
        match (response.status().as_u16(), named) {
            (404, _) => return Ok(None),
            (200, Some(digest)) => return Ok(Some(digest)),
            _ => drop(response),
        }
        let get = self.manifest_call(Method::GET, repository, tag.as_str())?;
        match self.read_manifest(&get).await {
            Ok(raw) => Ok(Some(raw.digest)),
            Err(refused) if refused.kind == RegistryErrorKind::NotFound => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Makes a tag name an image that is there. A registry has no conditional write, so between the check of an immutable
    /// tag and its writing another client could come; what is read back at the end is what counts.
    pub(crate) async fn tag(&self, image: &Pinned, tag: &Tag, mode: TagMode) -> Result<(), RegistryError> {
        let repository = &image.repository;
        if mode == TagMode::Immutable {
            match self.resolve(repository, tag).await? {
                Some(digest) if digest == image.digest => return Ok(()),
                Some(other) => {
                    let why = format!("{repository}:{tag} is immutable and names {other}, not {}", image.digest);
                    return Err(error(RegistryErrorKind::TagTaken, why));
                }
                None => {}
            }
        }
        let raw = self.manifest(repository, image.digest).await?;
        self.put_manifest(repository, tag.as_str(), &raw).await?;
        match self.resolve(repository, tag).await? {
            Some(digest) if digest == image.digest => Ok(()),
            other => {
                let found = other.map_or("nothing".to_owned(), |digest| digest.to_string());
                let why = format!("{repository}:{tag} was written as {} and names {found}", image.digest);
                let kind =
                    if mode == TagMode::Immutable { RegistryErrorKind::TagTaken } else { RegistryErrorKind::Corrupt };
                Err(error(kind, why))
            }
        }
    }

    /// Removes a tag (OCI Distribution Specification 1.1, "Deleting tags"), never by digest. Should the registry drop
    /// the manifest along with its tag, the manifest is put back and the operation counts as not offered.
    pub(crate) async fn untag(&self, repository: &Repository, tag: &Tag) -> Result<(), RegistryError> {
        let Some(digest) = self.resolve(repository, tag).await? else {
            return Err(error(RegistryErrorKind::NotFound, format!("{repository} has no tag {tag}")));
        };
        let raw = self.manifest(repository, digest).await?;
        let mut delete = self.manifest_call(Method::DELETE, repository, tag.as_str())?;
        delete.scopes = Scopes::delete(repository);
        delete.expect = &[200, 202, 204, 400, 404, 405, 501];
        let status = self.send(&delete).await?.status().as_u16();
        let gone = self.resolve(repository, tag).await? != Some(digest);
        if !gone {
            let why = format!("{repository}: the registry does not remove tag {tag} (it answered {status})");
            return Err(error(RegistryErrorKind::Unsupported, why));
        }
        match self.manifest(repository, digest).await {
            Err(lost) if lost.kind == RegistryErrorKind::NotFound => {
                self.put_manifest(repository, &digest.to_string(), &raw).await?;
                let why = format!("{repository}: removing tag {tag} removed {digest} too; the manifest was put back");
                Err(error(RegistryErrorKind::Unsupported, why))
            }
            other => other.map(drop),
        }
    }

    /// Every tag of a repository (OCI Distribution Specification 1.1, "Listing Tags"); none if there is no such repository.
    pub(crate) async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, RegistryError> {
        let mut call = self.call(Method::GET, repository, "tags/list", "list of tags")?;
        call.url.query_pairs_mut().append_pair("n", &PAGE.to_string());
        call.expect = &[200, 404];
        let mut tags = Vec::new();
        for page in 0..MAX_PAGES {
            let Some((bytes, next)) = self.page(&call).await? else {
                if page == 0 {
                    return Ok(Vec::new());
                }
                return Err(error(RegistryErrorKind::Malformed, format!("{}: a page is gone", call.subject())));
            };
            let list: TagList = serde_json::from_slice(&bytes)
                .map_err(|why| error(RegistryErrorKind::Malformed, format!("{}: {why}", call.subject())))?;
            // Names outside the grammar cannot be asked for, so they are none.
            tags.extend(list.tags.unwrap_or_default().iter().filter_map(|text| text.parse::<Tag>().ok()));
            match next {
                None => return Ok(tags),
                Some(next) => call.url = next,
            }
        }
        let why = format!("{repository}: the list of tags has more than {MAX_PAGES} pages");
        Err(error(RegistryErrorKind::Malformed, why))
    }
}
