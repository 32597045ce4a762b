//! Drivers make a release live in one environment.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sealift_domain::{
    digest::Digest,
    name::{AppName, ComponentName, EnvironmentName},
    reference::Pinned,
    release::Release,
    undo::Observed,
};

/// One release to be made live, once. Everything a driver does is idempotent per [`Deployment::key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Names this deployment for ever, for instance `p4127`. The same key means the same deployment, also after a crash.
    pub key: String,
    /// The log index of the lease under which this is done. A host refuses a number lower than the highest it has seen.
    pub fence: u64,
    /// The application.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The images, by digest.
    pub images: BTreeMap<ComponentName, Pinned>,
    /// The definition to start it from: what [`Driver::definition`] rendered, now or at the time of the release that is restored.
    pub definition: Vec<u8>,
}

impl Deployment {
    /// The release that this deployment makes live.
    pub fn release(&self) -> Option<Release> {
        Release::new(self.images.iter().map(|(name, image)| (name.clone(), image.digest)).collect())
    }
}

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverErrorKind {
    /// The image cannot be pulled or unpacked.
    Pull,
    /// Definition, host or tool refuse the deployment before anything starts.
    Preflight,
    /// The service does not start, or ends again.
    Start,
    /// The service started and never became healthy.
    Unhealthy,
    /// Traffic could not be moved.
    Switch,
    /// A migration failed or its outcome is unknown.
    Migrate,
    /// Another, newer deployment owns the host.
    Fenced,
    /// Another deployer holds the lock on the host.
    Locked,
    /// The host or its tool cannot be reached.
    Unreachable,
}

/// Why a driver failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DriverError {
    /// What callers decide on.
    pub kind: DriverErrorKind,
    /// What happened, on which host or port, with the tool's own words.
    pub message: String,
    /// What the release itself said before it was removed: the end of its log, a failing response. Kept as evidence.
    pub output: Vec<u8>,
}

/// What it took to prepare a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Bytes that the host pulled, as they are stored in the registry; `None` if the driver cannot tell.
    pub pulled_bytes: Option<u64>,
}

/// Words for people about what a driver is doing.
pub trait DriverObserver: Send + Sync {
    /// Something happened worth a line.
    fn note(&self, text: &str);
}

/// Ignores everything.
impl DriverObserver for () {
    fn note(&self, _: &str) {}
}

/// Makes releases live in one environment. Constructed for that environment with its typed configuration.
#[async_trait]
pub trait Driver: Send + Sync {
    /// The kind of driver, for instance `process`.
    fn kind(&self) -> &'static str;

    /// What stands in the configuration, rendered without secrets. Its digest is recorded with every release, and a rollback
    /// hands the recorded bytes back in [`Deployment::definition`].
    fn definition(&self) -> Result<Vec<u8>, DriverError>;

    /// What is live now, read from what runs it.
    async fn observe(&self) -> Result<Observed, DriverError>;

    /// Whether the host has this image under this digest, so that it can be started without any registry. A driver that
    /// cannot tell says no.
    async fn has(&self, _image: &Pinned) -> Result<bool, DriverError> {
        Ok(false)
    }

    /// Runs a migration once, from the candidate, before anything is switched. Asked again with the same key, it reports the
    /// recorded outcome and does not run again.
    async fn migrate(
        &self,
        deployment: &Deployment,
        argv: &[String],
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError>;

    /// Pulls by digest, starts the candidate beside what is live and waits until it is up. Nothing live is touched.
    async fn prepare(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<Prepared, DriverError>;

    /// Moves traffic to the candidate, keeps what was live running beside it, and returns what is live now, read back.
    async fn switch(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<Observed, DriverError>;

    /// Moves traffic back to `previous` (starting it again if need be; with `None`, to nothing), stops what `failed` started,
    /// and returns what is live now, read back.
    async fn restore(
        &self,
        failed: &Deployment,
        previous: Option<&Deployment>,
        observer: &dyn DriverObserver,
    ) -> Result<Observed, DriverError>;

    /// Stops what was live before `deployment`, after draining it, and keeps it ready to start again. `keep` older releases
    /// stay on the host.
    async fn retire(
        &self,
        deployment: &Deployment,
        keep: u32,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError>;

    /// Stops and removes a candidate that never became live.
    async fn discard(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<(), DriverError>;

    /// The end of the log of what `deployment` started, at most `limit` bytes.
    async fn logs(&self, deployment: &Deployment, limit: usize) -> Result<Vec<u8>, DriverError>;
}

/// The digest of a definition, as it is recorded.
pub fn definition_digest(definition: &[u8]) -> Digest {
    Digest::of(definition)
}
