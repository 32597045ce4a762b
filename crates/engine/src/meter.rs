//! What work takes of the host on which it is done.

use sealift_domain::{cost::Cost, quantity::Period};

use crate::ports::{
    clock::Clock,
    driver::{Driver, Usage},
};

/// How often the memory in use is read while work goes on. A peak between two readings is not seen.
pub const SAMPLE: Period = Period::from_millis(250);

/// Does `work` and tells what the host of `driver` spent in the meantime, on whatever it was: processor and memory are the
/// whole host's. `None` where there is no driver or it cannot tell, before the work or after it. No bytes are counted here.
pub async fn measured<T>(
    clock: &dyn Clock,
    driver: Option<&dyn Driver>,
    work: impl Future<Output = T>,
) -> (T, Option<Cost>) {
    let before = match driver {
        Some(driver) => driver.usage().await.map(|usage| (driver, usage)),
        None => None,
    };
    let Some((driver, before)) = before else { return (work.await, None) };
    let began = clock.now();
    let (done, peak) = watched(clock, driver, before, work).await;
    let elapsed = Period::between(began, clock.now());
    let cost = driver.usage().await.map(|after| Cost {
        cpu_ms: after.cpu_ms.saturating_sub(before.cpu_ms),
        peak_memory_bytes: peak.max(after.memory_bytes).saturating_sub(before.memory_bytes),
        pulled_bytes: None,
        elapsed_ms: elapsed.as_millis(),
    });
    (done, cost)
}

/// Does `work` and returns the most memory that was seen in use meanwhile, in bytes.
async fn watched<T>(clock: &dyn Clock, driver: &dyn Driver, before: Usage, work: impl Future<Output = T>) -> (T, u64) {
    let mut peak = before.memory_bytes;
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return (done, peak),
            () = clock.sleep(SAMPLE) => {
                let usage = driver.usage().await;
                peak = peak.max(usage.map_or(0, |usage| usage.memory_bytes));
            }
        }
    }
}
