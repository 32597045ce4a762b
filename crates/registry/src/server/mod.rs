//! A registry in memory: strict about the OCI Distribution Specification 1.1, and scriptable.
//!
//! It serves one process's tests and the demo. It refuses what lenient registries let pass (a manifest whose blobs are
//! missing, a `Content-Type` that the bytes contradict, an upload that lost its state), so that a client that works here
//! works elsewhere. [`script`] makes it fail on demand.

mod access;
mod blobs;
mod http;
mod line;
mod listing;
mod manifests;
mod route;
pub mod script;
mod spoil;
mod store;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use hyper::Method;
use sealift_domain::{
    digest::Digest,
    reference::{ReferenceError, Repository},
};
use sealift_engine::ports::registry::RawManifest;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use access::{Access, Account, Several};

use crate::{
    image::Built,
    server::{
        access::Tokens,
        line::{Line, Wire},
        script::{Fault, Script},
        store::Store,
    },
};

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Default: a free port of 127.0.0.1.
    pub address: SocketAddr,
    /// Who may do what. Default: everybody everything.
    pub access: Access,
    /// Whether blobs can be mounted. If not, a mount is answered with 202, as the specification allows. Default: yes.
    pub mounts: bool,
    /// Whether upload locations are absolute URLs. Default: no.
    pub absolute_locations: bool,
    /// Whether tags and manifests can be deleted. Default: yes.
    pub deletes: bool,
    /// Whether referrers are listed. If not, the list is 404 and no `OCI-Subject` says that a subject was noticed, so that
    /// clients keep the fallback tag ("Unavailable Referrers API"). Default: yes.
    pub referrers: bool,
    /// How many referrers stand on one page of a list; all if none. Default: none.
    pub referrers_page: Option<usize>,
    /// Whether what clients say is believed: digests of uploads and of manifests are not computed, what a manifest lists need
    /// not be there. What such a registry holds is as right as its clients are. Default: no.
    pub careless: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access: Access::Open,
            mounts: true,
            absolute_locations: false,
            deletes: true,
            referrers: true,
            referrers_page: None,
            careless: false,
        }
    }
}

/// One request as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, empty if there was none.
    pub query: String,
    /// The status of the answer; 0 if the connection was reset instead.
    pub status: u16,
    /// Whether an `Authorization` header came with it.
    pub authorized: bool,
    /// The `Range` header that came with it.
    pub range: Option<String>,
}

/// What all connections share.
pub(crate) struct Shared {
    config: Config,
    address: SocketAddr,
    store: Mutex<Store>,
    script: Mutex<Script>,
    tokens: Mutex<Tokens>,
    log: Mutex<Vec<Logged>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running registry. It stops when dropped.
pub struct Server {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Starts a registry on the current runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.address).await?;
        let shared = Arc::new(Shared {
            address: listener.local_addr()?,
            config,
            store: Mutex::default(),
            script: Mutex::default(),
            tokens: Mutex::default(),
            log: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The repository `name` of this registry, as clients write it.
    ///
    /// # Errors
    /// `name` is outside the grammar.
    pub fn repository(&self, name: &str) -> Result<Repository, ReferenceError> {
        format!("{}/{name}", self.shared.address).parse()
    }

    /// Adds a fault. Of several that fit a request, the one added first acts.
    pub fn script(&self, fault: Fault) {
        lock(&self.shared.script).add(fault);
    }

    /// Forgets all faults.
    pub fn clear_script(&self) {
        lock(&self.shared.script).clear();
    }

    /// Every answered request so far, in the order of the answers.
    pub fn log(&self) -> Vec<Logged> {
        lock(&self.shared.log).clone()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        lock(&self.shared.log).clear();
    }

    /// Makes every token that was given out invalid.
    pub fn revoke_tokens(&self) {
        lock(&self.shared.tokens).revoke();
    }

    /// Puts a blob into a repository.
    pub fn put_blob(&self, repository: &str, bytes: Bytes) -> Digest {
        lock(&self.shared.store).put_blob(repository, bytes)
    }

    /// Takes a blob away, behind the back of every manifest that names it. Says whether it was there.
    pub fn remove_blob(&self, repository: &str, digest: Digest) -> bool {
        lock(&self.shared.store).remove_blob(repository, digest)
    }

    /// A blob of a repository.
    pub fn blob(&self, repository: &str, digest: Digest) -> Option<Bytes> {
        lock(&self.shared.store).blob(repository, digest)
    }

    /// Puts a manifest into a repository without looking at it, with a tag if one is given.
    pub fn put_manifest(&self, repository: &str, raw: RawManifest, tag: Option<&str>) {
        lock(&self.shared.store).put_manifest(repository, raw, tag);
    }

    /// A manifest by digest.
    pub fn manifest(&self, repository: &str, digest: Digest) -> Option<RawManifest> {
        lock(&self.shared.store).manifest(repository, digest)
    }

    /// The names of all repositories that something was ever put into, in order.
    pub fn repositories(&self) -> Vec<String> {
        lock(&self.shared.store).names()
    }

    /// Every blob of a repository under the digest that it is kept by, in order.
    pub fn blobs(&self, repository: &str) -> Vec<(Digest, Bytes)> {
        lock(&self.shared.store).blobs(repository)
    }

    /// Every manifest of a repository, in the order of digests.
    pub fn manifests(&self, repository: &str) -> Vec<RawManifest> {
        lock(&self.shared.store).manifests(repository)
    }

    /// Takes a manifest and its tags away, behind the back of every index that names it. Says whether it was there.
    pub fn remove_manifest(&self, repository: &str, digest: Digest) -> bool {
        lock(&self.shared.store).remove_manifest(repository, digest)
    }

    /// Makes a tag name a digest, whether it is there or not.
    pub fn set_tag(&self, repository: &str, tag: &str, digest: Digest) {
        lock(&self.shared.store).set_tag(repository, tag, digest);
    }

    /// The tags of a repository with what they name, in order.
    pub fn tags(&self, repository: &str) -> Vec<(String, Digest)> {
        lock(&self.shared.store).tags(repository)
    }

    /// Puts an image with everything under it into a repository, with a tag if one is given.
    pub fn push(&self, repository: &str, image: &Built, tag: Option<&str>) {
        let mut store = lock(&self.shared.store);
        for bytes in &image.blobs {
            store.put_blob(repository, bytes.clone());
        }
        for raw in &image.manifests {
            let tag = tag.filter(|_| raw.digest == image.digest);
            store.put_manifest(repository, raw.clone(), tag);
        }
    }

    /// How many uploads are open in a repository.
    pub fn open_uploads(&self, repository: &str) -> usize {
        lock(&self.shared.store).open_uploads(repository)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept concerns one client that has gone; the listener itself stays.
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line::default());
    let wire = Wire::new(stream, Arc::clone(&line));
    let service = hyper::service::service_fn({
        let line = Arc::clone(&line);
        move |request| {
            let (shared, line) = (Arc::clone(&shared), Arc::clone(&line));
            Box::pin(async move { route::answer(&shared, &line, request).await })
        }
    });
    let mut connection = hyper::server::conn::http1::Builder::new().serve_connection(wire, service);
    if (&mut connection).await.is_err() && !line.is_cut() {
        // A scripted reset, or a client that has gone: a reset tells it at once, whatever lies unread.
        let _ = connection.into_parts().io.into_stream().set_zero_linger();
    }
}
