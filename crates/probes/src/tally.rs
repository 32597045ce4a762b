//! Counting the requests of an availability watch.

use std::time::{Duration, Instant};

use sealift_engine::ports::probe::Availability;

/// Counts since one instant.
#[derive(Debug)]
pub(crate) struct Tally {
    requests: u64,
    failed: u64,
    retried: u64,
    last_success: Instant,
    longest_gap: Duration,
}

impl Tally {
    /// Starts counting; time until the first success is a gap too.
    pub(crate) fn starting(at: Instant) -> Self {
        Self { requests: 0, failed: 0, retried: 0, last_success: at, longest_gap: Duration::ZERO }
    }

    /// A request was sent.
    pub(crate) fn sent(&mut self) {
        self.requests += 1;
    }

    /// A request failed.
    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    /// A request was asked again on a new connection, and answered there.
    pub(crate) fn retried(&mut self) {
        self.retried += 1;
    }

    /// A request succeeded, its answer being complete at `at`.
    pub(crate) fn succeeded(&mut self, at: Instant) {
        self.longest_gap = self.gap_at(at);
        // Answers may be told in another order than they came in.
        self.last_success = self.last_success.max(at);
    }

    /// The counts, the time from the last success to `at` being a gap too.
    pub(crate) fn at(&self, at: Instant) -> Availability {
        let longest_gap_ms = u64::try_from(self.gap_at(at).as_millis()).unwrap_or(u64::MAX);
        Availability { requests: self.requests, failed: self.failed, retried: self.retried, longest_gap_ms }
    }

    fn gap_at(&self, at: Instant) -> Duration {
        self.longest_gap.max(at.saturating_duration_since(self.last_success))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_run_from_the_start_between_successes_and_to_the_end() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut tally = Tally::starting(start);
        assert_eq!(tally.at(at(70)).longest_gap_ms, 70);
        for ms in [30, 40, 100, 90, 120] {
            tally.sent();
            tally.succeeded(at(ms));
        }
        assert_eq!(tally.at(at(130)).longest_gap_ms, 60);
        tally.sent();
        tally.failed();
        assert_eq!(tally.at(at(200)), Availability { requests: 6, failed: 1, retried: 0, longest_gap_ms: 80 });
        assert_eq!(tally.at(at(10)).longest_gap_ms, 60, "an instant in the past opens no gap");
    }
}
