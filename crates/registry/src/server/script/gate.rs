//! Gates: requests that wait for the test.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// Holds requests until it is opened. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: watch::Sender<bool>,
    arrived: Notify,
}

impl Default for Inner {
    fn default() -> Self {
        Self { open: watch::Sender::new(false), arrived: Notify::new() }
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Returns when a request has come to the gate. Each arrival is seen by one waiter.
    pub async fn arrived(&self) {
        self.0.arrived.notified().await;
    }

    pub(in crate::server) async fn pass(&self) {
        self.0.arrived.notify_one();
        // The sender lives in this gate, so waiting cannot fail.
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }
}
