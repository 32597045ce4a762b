//! What is said of several times of the same thing. Of none, each is zero.

use std::time::Duration;

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let at = |i: usize| times.get(i).copied().unwrap_or_default();
    match times.len() {
        0 => Duration::ZERO,
        n if n % 2 == 1 => at(n / 2),
        n => (at(n / 2 - 1) + at(n / 2)) / 2,
    }
}

/// The shortest.
pub(crate) fn minimum(times: &[Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}

/// The longest.
pub(crate) fn maximum(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}
