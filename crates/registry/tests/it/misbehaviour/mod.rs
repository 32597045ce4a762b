//! Registries that misbehave, one way at a time: what comes of a copy, in which words, and that nothing corrupt or incomplete
//! was completed.
//!
//! The destinations are careless unless a test needs a strict one: they keep whatever they are given under whatever name, so
//! that what they hold at the end is right only if the engine was.

mod bytes;
mod graphs;
mod limits;
mod mounts;
mod redirects;
mod referrers;
mod tokens;
mod uploads;

use std::sync::Arc;

use hyper::Method;
use sealift_domain::{digest::Digest, reference::Tag};
use sealift_engine::ports::{
    copy::{Copied, CopyRequest},
    registry::{Registry, RegistryError, RegistryErrorKind},
};
use sealift_registry::{
    client::{Client, Options},
    image::{Built, Format},
    server::{
        Config, Server,
        script::{Action, Fault},
    },
};

use crate::{
    honest::assert_honest,
    support::{FakeClock, assert_complete, count, image, repository},
};

/// The repository of the source.
const FROM: &str = "team/app";
/// The repository of the destination.
const TO: &str = "prod/app";

fn careless() -> Config {
    Config { careless: true, ..Config::default() }
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// Two registries, an image in the first, and a client that copies it to the second under the tag `v1`.
struct Pair {
    a: Server,
    b: Server,
    image: Built,
    clock: Arc<FakeClock>,
    client: Client,
}

impl Pair {
    async fn new() -> Self {
        Self::between(Config::default(), careless()).await
    }

    /// With a destination that checks what it is given.
    async fn strict() -> Self {
        Self::between(Config::default(), Config::default()).await
    }

    async fn between(a: Config, b: Config) -> Self {
        Self::of(image(Format::Oci), a, b).await
    }

    async fn of(image: Built, a: Config, b: Config) -> Self {
        let (a, b) = (Server::start(a).await.unwrap(), Server::start(b).await.unwrap());
        a.push(FROM, &image, Some("v1"));
        let clock = FakeClock::new();
        let client = Client::new(Options::default(), clock.clone()).unwrap();
        Self { a, b, image, clock, client }
    }

    fn options(mut self, options: Options) -> Self {
        self.client = Client::new(options, self.clock.clone()).unwrap();
        self
    }

    /// Everything, asked for by tag.
    fn request(&self) -> CopyRequest {
        let from = format!("{}/{FROM}:v1", self.a.address()).parse().unwrap();
        CopyRequest::new(from, repository(&self.b, TO)).tagged(Some(tag("v1")))
    }

    /// Copies, and judges what the destination then holds.
    async fn copy(&self) -> Result<Copied, RegistryError> {
        self.send(&self.request()).await
    }

    async fn send(&self, request: &CopyRequest) -> Result<Copied, RegistryError> {
        let copied = self.send_unjudged(request).await;
        assert_honest(&self.b, TO);
        copied
    }

    /// Copies to a registry that holds damage already, or to another one than `b`.
    async fn send_unjudged(&self, request: &CopyRequest) -> Result<Copied, RegistryError> {
        self.client.copy(request, &()).await
    }

    /// The copy succeeds, and everything is at the destination under its tag.
    async fn succeeds(&self) -> Copied {
        let copied = self.copy().await.unwrap();
        self.is_complete();
        assert_eq!(copied.digest, self.image.digest);
        copied
    }

    fn is_complete(&self) {
        assert_complete(&self.b, TO, &self.image);
        assert!(self.b.tags(TO).contains(&("v1".to_owned(), self.image.digest)), "{:?}", self.b.tags(TO));
    }

    /// The copy fails with these words, and neither tag nor root is at the destination.
    async fn fails(&self, kind: RegistryErrorKind, words: &[&str]) -> RegistryError {
        let refused = self.copy().await.unwrap_err();
        is(&refused, kind, words);
        self.is_untouched();
        refused
    }

    fn is_untouched(&self) {
        assert_eq!(self.b.tags(TO), []);
        assert!(self.b.manifest(TO, self.image.digest).is_none(), "the root is there");
    }

    /// The digest of the layer of 300 kB.
    fn layer(&self) -> Digest {
        Digest::of(&self.image.blobs[1])
    }

    /// A fault when the large layer is read.
    fn on_layer(&self, action: Action) -> Fault {
        Fault::new(&format!("*/blobs/{}", self.layer()), action).method(Method::GET)
    }

    /// A fault when the root manifest is read by digest or tag.
    fn on_root(&self, action: Action) -> Fault {
        Fault::new("*/manifests/*", action).method(Method::GET)
    }

    /// How often the large layer was read.
    fn reads(&self) -> usize {
        let path = format!("/v2/{FROM}/blobs/{}", self.layer());
        count(&self.a, |logged| logged.method == Method::GET && logged.path == path)
    }
}

/// A failure of this kind, whose message has all these words.
#[track_caller]
fn is(refused: &RegistryError, kind: RegistryErrorKind, words: &[&str]) {
    assert_eq!(refused.kind, kind, "{refused}");
    for word in words {
        assert!(refused.message.contains(word), "`{word}` is not in: {refused}");
    }
}

/// How many requests of a method were about a path with this text.
fn requests(server: &Server, method: &Method, text: &str) -> usize {
    count(server, |logged| logged.method == *method && logged.path.contains(text))
}
