//! What a deployment takes of its host, and what the rebuild took that it replaces.

use std::ops::Add;

use serde::{Deserialize, Serialize};

/// What the steps of a deployment, or a rebuild, took of a host.
///
/// Processor and memory are the whole host's: everything that ran at the same time is in them, the service under its load
/// included. They compare two ways of doing the same thing on the same host, and nothing finer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Time that the host's processors were busy, all of them added up, in milliseconds.
    pub cpu_ms: u64,
    /// How far the memory in use rose above what it was at the beginning, in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes that the host pulled, as the registry stores them; absent where nobody could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulled_bytes: Option<u64>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// One after the other: times and bytes add up, and of two rises of memory the higher one counts.
impl Add for Cost {
    type Output = Self;

    fn add(self, next: Self) -> Self {
        let pulled = self.pulled_bytes.into_iter().chain(next.pulled_bytes).reduce(u64::saturating_add);
        Self {
            cpu_ms: self.cpu_ms.saturating_add(next.cpu_ms),
            peak_memory_bytes: self.peak_memory_bytes.max(next.peak_memory_bytes),
            pulled_bytes: pulled,
            elapsed_ms: self.elapsed_ms.saturating_add(next.elapsed_ms),
        }
    }
}

impl Cost {
    /// How much less processor time this took than `other`, in percent, rounded down; negative if it took more, `None` where
    /// `other` has none to compare with. Never 100: what is too short to be measured was not free.
    pub fn less_cpu_than(&self, other: &Self) -> Option<i64> {
        let (this, that) = (i128::from(self.cpu_ms), i128::from(other.cpu_ms));
        if that == 0 {
            return None;
        }
        let percent = ((that - this) * 100).div_euclid(that);
        Some(i64::try_from(percent).unwrap_or(i64::MIN).min(99))
    }
}

/// A rebuild that was measured: what an environment would take without promotions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuild {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What it took.
    pub cost: Cost,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu_ms: u64, peak_memory_bytes: u64, pulled_bytes: Option<u64>, elapsed_ms: u64) -> Cost {
        Cost { cpu_ms, peak_memory_bytes, pulled_bytes, elapsed_ms }
    }

    #[test]
    fn times_and_bytes_add_up_and_the_higher_peak_counts() {
        assert_eq!(cost(1, 50, Some(7), 10).add(cost(2, 20, Some(1), 20)), cost(3, 50, Some(8), 30));
        assert_eq!(cost(1, 20, None, 10).add(cost(2, 50, None, 20)), cost(3, 50, None, 30));
        assert_eq!(cost(0, 0, None, 0).add(cost(0, 0, Some(0), 0)).pulled_bytes, Some(0));
        let most = cost(u64::MAX, u64::MAX, Some(u64::MAX), u64::MAX);
        assert_eq!(most.add(most), most);
    }

    #[test]
    fn less_is_rounded_down_and_never_all() {
        let cpu = |ms| cost(ms, 0, None, 0);
        for (this, that, percent) in [
            (900, 95_000, Some(99)),
            (500, 1000, Some(50)),
            (999, 1000, Some(0)),
            (1000, 1000, Some(0)),
            (1001, 1000, Some(-1)),
            (3000, 1000, Some(-200)),
            (0, 1000, Some(99)),
            (5, 0, None),
        ] {
            assert_eq!(cpu(this).less_cpu_than(&cpu(that)), percent, "{this} of {that}");
        }
        assert!(cpu(u64::MAX).less_cpu_than(&cpu(1)).is_some_and(|percent| percent < 0));
    }

    #[test]
    fn what_nobody_could_tell_is_left_out() {
        let text = serde_json::to_string(&cost(1, 2, None, 3)).unwrap();
        assert_eq!(text, r#"{"cpu_ms":1,"peak_memory_bytes":2,"elapsed_ms":3}"#);
        assert_eq!(serde_json::from_str::<Cost>(&text).unwrap(), cost(1, 2, None, 3));
    }
}
