//! The client: the engine's registry port over HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::{Certificate, ClientBuilder, redirect::Policy};
use sealift_domain::{
    digest::Digest,
    image::Image,
    quantity::{ByteSize, Period},
    reference::{Pinned, Repository, Tag},
};
use sealift_engine::ports::{
    clock::Clock,
    copy::{Copied, CopyObserver, CopyPlan, CopyRequest},
    registry::{
        Detached, NewReferrer, RawManifest, Referrer, Registry, RegistryError, RegistryErrorKind, StoredEvidence,
        TagMode,
    },
};

use crate::{
    auth::Auth,
    blob::BlobRef,
    budget::Budget,
    credentials::CredentialSource,
    endpoint::Hosts,
    error::{causes, error, printable},
    mirrors::Mirrors,
    rate::Rates,
    referrers::Lists,
    shelf::Shelf,
    tls::ClientIdentity,
    transport::{Http, Shared},
};

pub use crate::mirrors::is_host;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where credentials come from. Default: none.
    pub credentials: CredentialSource,
    /// Hosts (`host` or `host:port`) that speak plain HTTP. Hosts of this machine need not be listed.
    pub plain_http: Vec<String>,
    /// Certificate authorities to trust beside the system's, each as PEM.
    pub extra_roots: Vec<Vec<u8>>,
    /// Who this client says it is, to registries that ask for a certificate. Default: nobody.
    pub client_identity: Option<ClientIdentity>,
    /// Mirrors of registry hosts, the one to ask first first, each `host` or `host:port`. They are asked for bytes with a
    /// digest only; what they fail with is no failure.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Whether the system's proxy settings are used, except for hosts of this machine. Default: no.
    pub system_proxy: bool,
    /// `User-Agent`.
    pub user_agent: String,
    /// The longest time to connect. Default: 10 s.
    pub connect_timeout: Period,
    /// The longest time without a byte, in either direction. A body as a whole has no limit. Default: 60 s.
    pub idle_timeout: Period,
    /// The longest time a registry may take to complete a blob after its last byte. Default: 5 min.
    pub commit_timeout: Period,
    /// Requests of a kind under way to one host, to begin with; it follows what the host says. Default: 64.
    pub concurrency: usize,
    /// Bytes that blobs on their way may take in memory. Default: 32 MiB.
    pub byte_budget: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: CredentialSource::none(),
            plain_http: Vec::new(),
            extra_roots: Vec::new(),
            client_identity: None,
            mirrors: BTreeMap::new(),
            system_proxy: false,
            user_agent: concat!("sealift/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Period::from_secs(10),
            idle_timeout: Period::from_secs(60),
            commit_timeout: Period::from_secs(300),
            concurrency: 64,
            byte_budget: ByteSize::from_bytes(32 << 20),
        }
    }
}

/// A client for all registries. Connections, tokens and credentials are kept for its life and shared by its operations.
pub struct Client {
    shared: Arc<Shared>,
}

fn unusable(why: String) -> RegistryError {
    error(RegistryErrorKind::Unsupported, format!("the HTTP client cannot be set up: {why}"))
}

fn builder(options: &Options) -> ClientBuilder {
    // Redirects are followed by this crate, which knows what may go where. Timeouts are per byte, so they are here too.
    reqwest::Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout.as_duration())
}

/// What speaks to everything but this machine.
fn outside(options: &Options) -> Result<ClientBuilder, reqwest::Error> {
    let roots = options.extra_roots.iter().map(|pem| Certificate::from_pem_bundle(pem));
    let roots: Vec<Vec<Certificate>> = roots.collect::<Result<_, _>>()?;
    let mut outside = builder(options).tls_certs_merge(roots.into_iter().flatten());
    if let Some(identity) = &options.client_identity {
        outside = outside.identity(identity.parsed()?);
    }
    Ok(if options.system_proxy { outside } else { outside.no_proxy() })
}

/// Where the system has no certificates at all, registries of this machine are reached all the same, and no other is trusted.
fn trusting_nobody(options: &Options) -> Result<reqwest::Client, reqwest::Error> {
    let nobody = builder(options).tls_certs_only([]);
    if options.system_proxy { nobody.build() } else { nobody.no_proxy().build() }
}

impl Client {
    /// A client with these options. Waits are taken from `clock`.
    ///
    /// # Errors
    /// `Unsupported` if TLS cannot be set up, a certificate is not PEM, or the name of a mirror is no host.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Self, RegistryError> {
        let failed = |why: reqwest::Error| unusable(causes(why));
        let client = outside(&options).map_err(failed)?;
        let mirrors = Mirrors::new(options.mirrors.clone())
            .map_err(|name| unusable(format!("`{}` is not the host of a registry", printable(&name))))?;
        let again = options.clone();
        let direct = builder(&options).no_proxy().tls_certs_only([]);
        let idle: Duration = options.idle_timeout.as_duration();
        Ok(Self {
            shared: Arc::new(Shared {
                direct: direct.build().map_err(failed)?,
                client: client.build().or_else(|_| trusting_nobody(&options)).map_err(failed)?,
                over_http1: LazyLock::new(Box::new(move || outside(&again).ok()?.http1_only().build().ok())),
                hosts: Hosts::new(options.plain_http),
                mirrors,
                auth: Auth::new(options.credentials),
                clock,
                idle,
                commit: options.commit_timeout.as_duration(),
                rates: Rates::new(options.concurrency),
                budget: Budget::new(options.byte_budget.bytes()),
                lists: Lists::default(),
                turns: Shelf::default(),
            }),
        })
    }

    pub(crate) fn http(&self) -> Http {
        Http::new(Arc::clone(&self.shared))
    }
}

#[async_trait]
impl Registry for Client {
    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
        self.http().resolve(repository, tag).await
    }

    async fn manifest(&self, image: &Pinned) -> Result<RawManifest, RegistryError> {
        self.http().manifest_anywhere(&image.repository, image.digest).await
    }

    async fn blob(
        &self,
        repository: &Repository,
        digest: Digest,
        size: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, RegistryError>>, RegistryError> {
        self.http().open(&BlobRef { repository: repository.clone(), digest, size }).await
    }

    async fn inspect(&self, image: &Pinned) -> Result<Image, RegistryError> {
        self.http().inspect(image).await
    }

    async fn evidence(&self, image: &Pinned, platforms: &[Digest]) -> Result<Vec<StoredEvidence>, RegistryError> {
        self.http().evidence(image, platforms).await
    }

    async fn referrers(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        self.http().referrers(image).await
    }

    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, RegistryError> {
        self.http().tags(repository).await
    }

    async fn plan_copy(&self, request: &CopyRequest) -> Result<CopyPlan, RegistryError> {
        self.http().plan_copy(request).await
    }

    async fn copy(&self, request: &CopyRequest, observer: &dyn CopyObserver) -> Result<Copied, RegistryError> {
        self.http().copy(request, observer).await
    }

    async fn tag(&self, image: &Pinned, tag: &Tag, mode: TagMode) -> Result<(), RegistryError> {
        self.http().tag(image, tag, mode).await
    }

    async fn attach(&self, subject: &Pinned, artifact: &NewReferrer) -> Result<Digest, RegistryError> {
        self.http().attach(subject, artifact).await
    }

    async fn detach(&self, subject: &Pinned, manifest: Digest) -> Result<Detached, RegistryError> {
        self.http().detach(subject, manifest).await
    }

    async fn add_envelope(&self, subject: &Pinned, envelope: &[u8], predicate_type: &str) -> Result<(), RegistryError> {
        self.http().add_envelope(subject, envelope, predicate_type).await
    }

    async fn drop_envelope(&self, subject: &Pinned, envelope: Digest) -> Result<(), RegistryError> {
        self.http().drop_envelope(subject, envelope).await
    }

    async fn untag(&self, repository: &Repository, tag: &Tag) -> Result<(), RegistryError> {
        self.http().untag(repository, tag).await
    }
}
