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

use super::offline::OfflineHost;

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

impl DriverErrorKind {
    /// Whether this kind of failure of [`Driver::migrate`] or [`Driver::prepare`] says that nothing was started: neither a
    /// migration nor a candidate, which could have changed a database.
    pub fn began_nothing(self) -> bool {
        matches!(self, Self::Pull | Self::Preflight | Self::Fenced | Self::Locked)
    }
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

/// What it took to prepare a candidate, or to migrate for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Bytes that the host pulled, as they are stored in the registry; `None` if the driver cannot tell.
    pub pulled_bytes: Option<u64>,
}

/// How much of the host is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time that its processors were busy since it was started, all of them added up, in milliseconds.
    pub cpu_ms: u64,
    /// Memory in use now, in bytes.
    pub memory_bytes: u64,
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
    /// recorded outcome and does not run again. [`DriverErrorKind::Migrate`] if it failed or its outcome is unknown; a kind
    /// of [`DriverErrorKind::began_nothing`] only if it never began under this key, in an earlier run either.
    /// What it pulls, the preparation after it does not pull again.
    async fn migrate(
        &self,
        deployment: &Deployment,
        argv: &[String],
        observer: &dyn DriverObserver,
    ) -> Result<Prepared, DriverError>;

    /// The end of what the migration of `deployment` wrote, at most `limit` bytes. Empty where the driver keeps none.
    async fn migration_output(&self, deployment: &Deployment, limit: usize) -> Result<Vec<u8>, DriverError> {
        let _ = (deployment, limit);
        Ok(Vec::new())
    }

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

    /// How much of the host is in use, of the whole of it: whatever else runs there is in it. `None` if that cannot be told.
    async fn usage(&self) -> Option<Usage> {
        None
    }

    /// What works without the log; `None` if this driver cannot.
    fn offline(&self) -> Option<&dyn OfflineHost> {
        None
    }

    /// What [`Driver::prepare`] leaves running, for whoever prepares and does not mean to switch.
    fn candidate(&self) -> Candidate {
        Candidate::Beside
    }
}

/// How a candidate stands beside what is live after it was prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// It runs beside it.
    Beside,
    /// It runs beside it, in the place where the release before was kept ready, which is removed. That one is started from its
    /// image when it is wanted again.
    InPlaceOfKept,
    /// Nothing was started: everything is at hand, and the start comes with the switch.
    NotStarted,
}

/// The digest of a definition, as it is recorded.
pub fn definition_digest(definition: &[u8]) -> Digest {
    Digest::of(definition)
}
