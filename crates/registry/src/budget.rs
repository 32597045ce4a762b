//! The memory that blobs on their way may take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one stream of a large blob holds, in bytes. The buffers on the reading and the writing side of the HTTP library grow to
/// 400 KiB, the last chunk is held back until the digest is known to be right, and one is being handed over; seldom all of them
/// are full at once: 25 streams were measured to take 16 MiB.
const STREAM: u64 = 800 << 10;
/// The unit of the account, in bytes.
const UNIT: u64 = 1 << 10;

/// Bytes that may be in memory for blobs on their way, for the whole process.
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    units: u32,
}

/// A share of the budget, given back when dropped.
pub(crate) struct Share(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Budget {
    /// A budget of so many bytes; at least one stream is always possible.
    pub(crate) fn new(bytes: u64) -> Self {
        let units = u32::try_from((bytes.max(STREAM)) / UNIT).unwrap_or(u32::MAX);
        let units = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits until a blob of `size` bytes can be streamed. A small one is read and written as a whole, so it counts twice.
    pub(crate) async fn share(&self, size: u64) -> Share {
        let wanted = size.saturating_mul(2).clamp(UNIT, STREAM).div_ceil(UNIT);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.units);
        // The semaphore is never closed.
        Share(Arc::clone(&self.free).acquire_many_owned(wanted).await.ok())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn large_blobs_wait_for_each_other_and_small_ones_fit_beside() {
        let budget = Budget::new(2 * STREAM + 100 * UNIT);
        let first = budget.share(u64::MAX).await;
        let _second = budget.share(STREAM).await;
        assert!(budget.share(STREAM).now_or_never().is_none());
        let _small = budget.share(10 * UNIT).await;
        drop(first);
        assert!(budget.share(STREAM).now_or_never().is_some());
        assert!(Budget::new(0).share(u64::MAX).now_or_never().is_some(), "one stream is always possible");
    }
}
