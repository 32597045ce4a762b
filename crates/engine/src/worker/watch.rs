//! Availability through a deployment: steady requests from before the candidate starts until the verdict.

use sealift_domain::check::{AvailabilityCheck, Check};
use tokio::sync::Mutex;

use crate::ports::probe::{Availability, CheckContext, Prober, Watch};

/// The probes of this run.
#[derive(Default)]
pub(super) struct Watches(Mutex<Vec<(AvailabilityCheck, Box<dyn Watch>)>>);

impl Watches {
    /// Starts every availability check of `checks` that is not running yet.
    pub(super) async fn start(
        &self,
        checks: &[Check],
        prober: &dyn Prober,
        context: &CheckContext,
    ) -> Result<(), String> {
        let mut running = self.0.lock().await;
        for check in checks {
            let Check::Availability(check) = check else { continue };
            if running.iter().all(|(known, _)| known != check) {
                let watch = prober.watch(check, context).await?;
                running.push((check.clone(), watch));
            }
        }
        Ok(())
    }

    /// Stops the probes and returns what each found.
    pub(super) async fn finish(&self) -> Vec<(AvailabilityCheck, Availability)> {
        let mut found = Vec::new();
        for (check, watch) in self.0.lock().await.drain(..) {
            found.push((check, watch.stop().await));
        }
        found
    }

    /// Stops the probes, whatever they found.
    pub(super) async fn abandon(&self) {
        self.finish().await;
    }
}

/// The findings of several probes as one.
pub(super) fn total(found: &[(AvailabilityCheck, Availability)]) -> Availability {
    found.iter().fold(Availability::default(), |sum, (_, a)| Availability {
        retried: sum.retried + a.retried,
        requests: sum.requests + a.requests,
        failed: sum.failed + a.failed,
        longest_gap_ms: sum.longest_gap_ms.max(a.longest_gap_ms),
    })
}
