//! What a host keeps of itself, so that it can be rolled back when neither log nor registry can be reached.

use std::any::Any;

use async_trait::async_trait;
use sealift_domain::{
    digest::Digest,
    name::ComponentName,
    reference::Pinned,
    schema::{Expected, Schema},
};

use super::driver::{Deployment, DriverError, DriverObserver};

/// The largest record of a rollback, in bytes.
pub const MAX_RECORD: u64 = 4 << 20;

/// What a host remembers of its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The highest fencing number that it has seen.
    pub fence: u64,
    /// What was made live and did not fail, the oldest first.
    pub past: Vec<PastLive>,
    /// The key of the deployment that is live.
    pub live: Option<String>,
    /// The newest schema that a release which was started here may have migrated the database to. `None` where no label said
    /// anything.
    pub database: Option<Schema>,
}

/// A deployment that was made live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLive {
    /// Its key.
    pub key: String,
    /// The digest of its image.
    pub digest: Digest,
    /// Its component; `None` in what earlier versions wrote down.
    pub component: Option<ComponentName>,
    /// Its image under the name that the host has it by, if that was written down.
    pub image: Option<Pinned>,
    /// The definition that it was started from; `None` where only an earlier version was there to keep it.
    pub definition: Option<Vec<u8>>,
    /// What the labels of the host's image say of the database.
    pub expects: Expected,
    /// Whether the host still has the image.
    pub at_hand: bool,
}

/// A record as a host keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The key of the deployment that the rollback makes: letters, digits and `-`.
    pub key: String,
    /// The fencing number of the rollback.
    pub fence: u64,
    /// The record.
    pub bytes: Vec<u8>,
}

/// The side of a driver that works without the log.
///
/// While a host keeps a record, its driver refuses every deployment but the record's own with
/// [`Fenced`](super::driver::DriverErrorKind::Fenced), whatever number it has: the log does not know yet what runs.
#[async_trait]
pub trait OfflineHost: Send + Sync {
    /// What the host remembers.
    async fn remembered(&self) -> Result<Remembered, DriverError>;

    /// Keeps other rollbacks without the log away until what is returned is dropped.
    /// [`Locked`](super::driver::DriverErrorKind::Locked) if there is one.
    async fn reserve(&self) -> Result<Box<dyn Any + Send>, DriverError>;

    /// The records that the log does not have yet, by their fencing numbers.
    async fn records(&self) -> Result<Vec<Kept>, DriverError>;

    /// The newest of the records that the log has, by their fencing numbers: what somebody has gone back from stays known.
    async fn merged(&self) -> Result<Vec<Kept>, DriverError>;

    /// Keeps a record, durably, in place of one of the same key. From then on everybody else is refused. Whoever works on the
    /// host with a lock is waited for as any deployment would.
    async fn keep(&self, record: &Kept) -> Result<(), DriverError>;

    /// Removes a record under which nothing was done.
    async fn withdraw(&self, record: &Kept) -> Result<(), DriverError>;

    /// The log has a record: numbers below `fence` are refused from here on, and nobody else is refused any more on account of
    /// this record. Can be repeated.
    async fn settle(&self, record: &Kept, fence: u64) -> Result<(), DriverError>;

    /// Writes down that the deployment `key` is nothing to go back to, and stops what may still run of it. `by` is the
    /// deployment that is live.
    async fn forget(&self, by: &Deployment, key: &str, observer: &dyn DriverObserver) -> Result<(), DriverError>;
}
