//! Mirrors: other registries that have the same bytes.
//!
//! They are asked for what has a digest and can be read again elsewhere, and for nothing else: a tag may be stale on a mirror,
//! and what a mirror has says nothing about what the registry itself has. A mirror is a registry of its own: it is spoken to
//! with the credentials for its own host, and with no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use sealift_domain::{
    digest::Digest,
    reference::{Pinned, Repository},
};
use sealift_engine::ports::registry::{RawManifest, RegistryError, RegistryErrorKind};
use tokio::sync::OwnedMutexGuard;

use crate::{
    blob::BlobRef,
    endpoint::{api_name, canonical},
    error::printable,
    graph::{Graph, ManifestSource, walk},
    manifest_http::InRepository,
    resume::MAX_BREAKS,
    retry::{Again, Failure, retrying},
    shelf::Shelf,
    transport::Http,
};

/// The mirrors of each registry, and which of them are not asked any more.
#[derive(Default)]
pub(crate) struct Mirrors {
    hosts: BTreeMap<String, Vec<String>>,
    /// Mirrors that failed otherwise than by not having something. They stay aside for the life of the client, so that a dead
    /// one costs one attempt and not one for each blob.
    aside: Mutex<BTreeSet<String>>,
    /// Whether each mirror has answered so far.
    answered: Shelf<String, bool>,
}

/// Leave to ask a mirror. The first request holds the guard, and so goes alone.
struct Turn(Option<OwnedMutexGuard<bool>>);

impl Mirrors {
    /// The mirrors of each registry host, the one to ask first first.
    ///
    /// # Errors
    /// The name that is not a registry's host.
    pub(crate) fn new(given: BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (host, mirrors) in given {
            if let Some(wrong) = std::iter::once(&host).chain(&mirrors).find(|name| !is_host(name)) {
                return Err(wrong.clone());
            }
            hosts.entry(canonical(&host).to_owned()).or_default().extend(mirrors);
        }
        Ok(Self { hosts, ..Self::default() })
    }

    /// Where else the contents of `repository` may be, in the order in which they are asked.
    fn of(&self, repository: &Repository) -> Vec<Repository> {
        let Some(mirrors) = self.hosts.get(canonical(repository.registry())) else { return Vec::new() };
        let aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = mirrors.iter().filter(|host| !aside.contains(*host) && *host != repository.registry());
        asked.filter_map(|host| format!("{host}/{}", api_name(repository)).parse().ok()).collect()
    }

    /// Leave to ask a mirror, unless it was set aside. Until a mirror has answered, requests go one after the other: a crowd
    /// would wait for a dead one many times over.
    async fn turn(&self, mirror: &Repository) -> Option<Turn> {
        let answered = self.answered.place(mirror.registry().to_owned()).lock_owned().await;
        let aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner).contains(mirror.registry());
        (!aside).then(|| Turn((!*answered).then_some(answered)))
    }

    /// Takes note of how asking a mirror ended.
    fn ended<T>(&self, mirror: &Repository, turn: Turn, result: &Result<T, Failure>) {
        match result {
            Err(failure) if failure.error.kind != RegistryErrorKind::NotFound => self.set_aside(mirror),
            _ => turn.0.into_iter().for_each(|mut answered| *answered = true),
        }
    }

    fn set_aside(&self, mirror: &Repository) {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).insert(mirror.registry().to_owned());
    }
}

/// Whether `name` is a registry as a reference names it: a host, with its port if it is a special one.
pub fn is_host(name: &str) -> bool {
    format!("{name}/x").parse::<Repository>().is_ok_and(|repository| repository.registry() == name)
}

impl Http {
    /// Reads from the mirrors of a repository, one after the other, then from the repository itself. Whatever a mirror fails
    /// with, the next place is asked; only how the repository itself fails counts.
    async fn by_digest<T, F>(&self, repository: &Repository, attempt: impl Fn(Repository) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut before = String::new();
        for mirror in self.shared.mirrors.of(repository) {
            let Some(turn) = self.shared.mirrors.turn(&mirror).await else { continue };
            let result = attempt(mirror.clone()).await;
            self.shared.mirrors.ended(&mirror, turn, &result);
            match result {
                Ok(value) => return Ok(value),
                Err(failure) => before = format!("{before}; its mirror before that: {}", failure.error.message),
            }
        }
        attempt(repository.clone()).await.map_err(|mut failure| {
            failure.error.message.push_str(&printable(&before));
            failure
        })
    }

    /// Reads a manifest by digest, from mirrors too. The bytes have the digest, wherever they come from.
    pub(crate) async fn manifest_anywhere(
        &self,
        repository: &Repository,
        digest: Digest,
    ) -> Result<RawManifest, RegistryError> {
        let attempt = |place: Repository| async move { self.manifest_once(&place, digest).await };
        retrying(&*self.shared.clock, || self.by_digest(repository, attempt)).await
    }

    /// Opens a blob once, on a mirror if one has it, for a reader who can start over. A mirror whose bytes break off or turn
    /// out to be wrong is not asked again, and the failure says to start over at once.
    pub(crate) async fn open_once(
        &self,
        blob: &BlobRef,
    ) -> Result<BoxStream<'static, Result<Bytes, Failure>>, Failure> {
        let attempt = |place: Repository| async move {
            if place == blob.repository {
                return self.open_at(blob, MAX_BREAKS).await;
            }
            // A mirror gets no second chance: the next place has the same bytes.
            let there = BlobRef { repository: place, ..blob.clone() };
            let opened = self.open_at(&there, 0).await?;
            let shared = Arc::clone(&self.shared);
            // Whoever starts over because of it must find one mirror less, or would do so for ever.
            let elsewhere = move |failure| {
                shared.mirrors.set_aside(&there.repository);
                Failure { again: Again::Elsewhere, ..failure }
            };
            Ok(opened.map_err(elsewhere).boxed())
        };
        self.by_digest(&blob.repository, attempt).await
    }

    /// The graph of what is copied. Within one repository nothing is moved and all of it must be there, so no mirror is asked.
    pub(crate) async fn graph_to_copy(&self, from: &Pinned, to: &Repository) -> Result<Graph, RegistryError> {
        let (http, repository) = (self, &from.repository);
        if repository == to {
            walk(&InRepository { http, repository }, from.digest).await
        } else {
            walk(&Anywhere { http, repository }, from.digest).await
        }
    }
}

/// The manifests of one repository, from its mirrors too.
struct Anywhere<'a> {
    http: &'a Http,
    repository: &'a Repository,
}

#[async_trait]
impl ManifestSource for Anywhere<'_> {
    async fn manifest(&self, digest: Digest) -> Result<RawManifest, RegistryError> {
        self.http.manifest_anywhere(self.repository, digest).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(host: &str, mirrors: &[&str]) -> Mirrors {
        let list = mirrors.iter().map(|name| (*name).to_owned()).collect();
        Mirrors::new(BTreeMap::from([(host.to_owned(), list)])).unwrap()
    }

    fn of(mirrors: &Mirrors, repository: &str) -> Vec<String> {
        mirrors.of(&repository.parse().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_mirror_has_the_name_that_the_registry_has_in_its_api() {
        let hub = mirrors("docker.io", &["mirror.example:5000", "second.example"]);
        for official in ["docker.io/nginx", "docker.io/library/nginx", "index.docker.io/nginx"] {
            assert_eq!(of(&hub, official), ["mirror.example:5000/library/nginx", "second.example/library/nginx"]);
        }
        assert_eq!(of(&hub, "docker.io/acme/app")[0], "mirror.example:5000/acme/app");
        assert!(of(&hub, "ghcr.io/acme/app").is_empty());
        assert!(of(&hub, "mirror.example:5000/library/nginx").is_empty(), "a mirror has no mirrors of its own");
        assert_eq!(of(&mirrors("index.docker.io", &["m.example"]), "docker.io/nginx"), ["m.example/library/nginx"]);
        let own = mirrors("r.example", &["r.example", "m.example"]);
        assert_eq!(of(&own, "r.example/nginx"), ["m.example/nginx"]);
    }

    #[tokio::test]
    async fn a_mirror_that_fails_is_left_aside_and_one_without_the_bytes_is_not() {
        let mirrors = mirrors("r.example", &["a.example", "b.example"]);
        let fail = async |host: &str, kind| {
            let mirror: Repository = format!("{host}/x").parse().unwrap();
            let turn = mirrors.turn(&mirror).await.unwrap();
            mirrors.ended(&mirror, turn, &Err::<(), _>(Failure::last(kind, "it failed")));
        };
        fail("a.example", RegistryErrorKind::NotFound).await;
        assert_eq!(of(&mirrors, "r.example/x"), ["a.example/x", "b.example/x"]);
        fail("a.example", RegistryErrorKind::Transient).await;
        assert!(mirrors.turn(&"a.example/z".parse().unwrap()).await.is_none());
        assert_eq!(of(&mirrors, "r.example/y"), ["b.example/y"]);
        fail("b.example", RegistryErrorKind::Corrupt).await;
        assert!(of(&mirrors, "r.example/y").is_empty());
    }

    #[test]
    fn only_hosts_are_mirrors() {
        for wrong in ["https://m.example", "m.example/path", "m", "", "m.example/"] {
            let given = BTreeMap::from([("r.example".to_owned(), vec![wrong.to_owned()])]);
            assert_eq!(Mirrors::new(given).map(drop).unwrap_err(), wrong);
        }
    }
}
