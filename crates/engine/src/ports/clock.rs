//! Time and randomness, injected so that tests are deterministic.

use async_trait::async_trait;
use jiff::Timestamp;
use sealift_domain::{personal::Salt, quantity::Period};

/// Reads and waits for time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Returns when `period` has passed.
    async fn sleep(&self, period: Period);
}

/// Random bytes from the operating system.
pub trait Entropy: Send + Sync {
    /// 32 fresh random bytes.
    fn salt(&self) -> Salt;
}
