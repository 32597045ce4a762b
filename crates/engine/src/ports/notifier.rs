//! Notices to people and machines.

use async_trait::async_trait;
use jiff::Timestamp;

/// One notice for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same for every try of the same notice to the same channel, so that a receiver can drop repetitions.
    pub id: String,
    /// When the event happened that this tells.
    pub time: Timestamp,
    /// A JSON document.
    pub body: Vec<u8>,
}

/// Why a notice was not delivered.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    /// Whether trying again later can help.
    pub transient: bool,
    /// What the receiver said; never the URL's secret parts.
    pub message: String,
}

/// Sends notices to one channel.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers one notice, at least once.
    async fn deliver(&self, delivery: &Delivery) -> Result<(), NotifyError>;
}
