//! What the tests share.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use sealift_domain::{
    digest::Digest,
    quantity::Period,
    reference::{Pinned, Repository},
};
use sealift_engine::ports::{
    clock::Clock,
    copy::{CopyEvent, CopyObserver, CopyPlan, CopyRequest, CopyTally},
    registry::{Registry, RegistryError},
};
use sealift_registry::{
    client::{Client, Options},
    credentials::{Credential, CredentialSource},
    image::{Builder, Built, Format, Layer, index},
    secret::Secret,
    server::{Account, Config, Logged, Server},
};

/// A clock that stands still, except that sleeping moves it at once.
pub(crate) struct FakeClock {
    now: Mutex<Timestamp>,
    pub(crate) slept: Mutex<Vec<Period>>,
}

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        let now = Mutex::new("2026-01-01T00:00:00Z".parse().unwrap());
        Arc::new(Self { now, slept: Mutex::default() })
    }

    pub(crate) fn advance(&self, period: Period) {
        let mut now = self.now.lock().unwrap();
        *now = period.after(*now);
    }

    pub(crate) fn slept(&self) -> Vec<Period> {
        self.slept.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    async fn sleep(&self, period: Period) {
        self.advance(period);
        self.slept.lock().unwrap().push(period);
    }
}

/// Remembers what a copy reported.
#[derive(Default)]
pub(crate) struct Events(pub(crate) Mutex<Vec<CopyEvent>>);

impl CopyObserver for Events {
    fn on(&self, event: CopyEvent) {
        self.0.lock().unwrap().push(event);
    }
}

pub(crate) fn client() -> Client {
    client_with(Options::default())
}

pub(crate) fn client_with(options: Options) -> Client {
    Client::new(options, FakeClock::new()).unwrap()
}

pub(crate) fn logged_in(servers: &[&Server], user: &str, password: &str) -> Options {
    let mut credentials = CredentialSource::none();
    for server in servers {
        let credential = Credential::Password { user: user.to_owned(), password: Secret::new(password) };
        credentials = credentials.with(server.address().to_string(), credential);
    }
    Options { credentials, ..Options::default() }
}

pub(crate) fn ana() -> Account {
    Account {
        user: "ana".to_owned(),
        password: "s3cret".to_owned(),
        refresh_token: "refresh-ana".to_owned(),
        push: true,
    }
}

pub(crate) fn reader() -> Account {
    Account { user: "ron".to_owned(), password: "pw".to_owned(), refresh_token: String::new(), push: false }
}

pub(crate) async fn server() -> Server {
    Server::start(Config::default()).await.unwrap()
}

/// Bytes that differ from seed to seed and do not compress.
pub(crate) fn noise(seed: u8, length: usize) -> Bytes {
    let mut block = *Digest::of(&[seed]).as_bytes();
    let mut bytes = Vec::with_capacity(length + 32);
    while bytes.len() < length {
        bytes.extend_from_slice(&block);
        block = *Digest::of(&block).as_bytes();
    }
    bytes.truncate(length);
    bytes.into()
}

/// Two layers, of 300 kB and of 10 bytes.
pub(crate) fn image(format: Format) -> Built {
    image_for(format, "amd64", 1)
}

pub(crate) fn image_for(format: Format, architecture: &str, seed: u8) -> Built {
    Builder::new()
        .format(format)
        .platform("linux", architecture, None)
        .label("org.opencontainers.image.revision", "abc")
        .created("2026-01-02T03:04:05Z")
        .layer(Layer::tar(noise(seed, 300_000)))
        .layer(Layer::tar(noise(200, 10)))
        .build()
}

/// Two platforms and an attestation as BuildKit makes them.
pub(crate) fn multi_platform(format: Format) -> Built {
    let attestation =
        Builder::new().format(format).platform("unknown", "unknown", None).layer(Layer::tar("in-toto")).build();
    index(format, &[image_for(format, "amd64", 1), image_for(format, "arm64", 2), attestation])
}

/// Everything of `image` is in `repository` of `server`, byte for byte.
pub(crate) fn assert_complete(server: &Server, repository: &str, image: &Built) {
    for raw in &image.manifests {
        let there = server.manifest(repository, raw.digest).expect("every manifest is there");
        assert_eq!((there.bytes, there.media_type), (raw.bytes.clone(), raw.media_type.clone()));
    }
    for bytes in &image.blobs {
        assert!(server.blob(repository, Digest::of(bytes)).is_some(), "blob {}", Digest::of(bytes));
    }
}

pub(crate) fn repository(server: &Server, name: &str) -> Repository {
    server.repository(name).unwrap()
}

/// How many logged requests fit.
pub(crate) fn count(server: &Server, fits: impl Fn(&Logged) -> bool) -> usize {
    server.log().iter().filter(|logged| fits(logged)).count()
}

/// Copies the graph under a digest, without its referrers and without a tag.
pub(crate) async fn copy(
    client: &Client,
    from: &Pinned,
    to: &Repository,
    observer: &dyn CopyObserver,
) -> Result<CopyTally, RegistryError> {
    let request = CopyRequest::pinned(from, to).without_referrers();
    client.copy(&request, observer).await.map(|copied| copied.tally)
}

/// What [`copy`] would move.
pub(crate) async fn plan(client: &Client, from: &Pinned, to: &Repository) -> Result<CopyPlan, RegistryError> {
    client.plan_copy(&CopyRequest::pinned(from, to).without_referrers()).await
}
