//! Durations, ages and digests in words for people.

use jiff::Timestamp;
use sealift_domain::{digest::Digest, quantity::Period};

/// A duration with as much precision as its size deserves: `0.4 s`, `41 s`, `2 min 05 s`, `1 h 02 min`, `3 d 4 h`.
pub fn duration(period: Period) -> String {
    let millis = period.as_millis();
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        _ if millis < 9_950 => {
            let tenths = (millis + 50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {:02} s", seconds % 60),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A duration to the millisecond where that says something: `8 ms`, `1.6 s`.
pub fn exact(period: Period) -> String {
    match period.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => duration(period),
    }
}

/// A duration in its largest unit alone: `41 s`, `2 min`, `1 h`, `3 d`.
pub fn roughly(period: Period) -> String {
    let seconds = period.as_millis() / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long before `now` something was: `just now`, `3 min ago`, `2 h ago`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let passed = Period::between(then, now);
    if passed.as_millis() < 1000 { "just now".to_owned() } else { format!("{} ago", roughly(passed)) }
}

/// How long after `now` something will be: `in 23 h`; `now` if that time has come.
pub fn ahead(then: Timestamp, now: Timestamp) -> String {
    let left = Period::between(now, then);
    if left.as_millis() < 1000 { "now".to_owned() } else { format!("in {}", roughly(left)) }
}

/// An instant to the second in UTC, and how far it is from `now`: `2026-03-02 11:30:00 UTC (in 23 h)`.
pub fn until(then: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", then.strftime("%F %T UTC"), ahead(then, now))
}

/// A digest as people read it: `sha256:7a3f9c2e11b0`. Never an identity.
pub fn short(digest: Digest) -> String {
    format!("sha256:{}", digest.short())
}

/// `count` and its noun, which takes an `s` unless there is one: `1 gate`, `2 gates`.
pub fn count(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        let cases = [
            (0, "0.0 s"),
            (40, "0.0 s"),
            (400, "0.4 s"),
            (1_640, "1.6 s"),
            (9_940, "9.9 s"),
            (9_990, "9 s"),
            (41_000, "41 s"),
            (125_000, "2 min 05 s"),
            (3_720_000, "1 h 02 min"),
            (273_600_000, "3 d 4 h"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(Period::from_millis(millis)), text);
        }
        let exact = |millis| exact(Period::from_millis(millis));
        assert_eq!((exact(8), exact(999), exact(1640)), ("8 ms".into(), "999 ms".into(), "1.6 s".into()));
    }

    #[test]
    fn ages_look_back_and_deadlines_ahead() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(age(at("2026-03-01T11:56:30Z"), now), "3 min ago");
        assert_eq!(age(at("2026-02-27T11:00:00Z"), now), "2 d ago");
        assert_eq!((age(now, now), age(at("2027-01-01T00:00:00Z"), now)), ("just now".into(), "just now".into()));
        assert_eq!(ahead(at("2026-03-02T11:30:00Z"), now), "in 23 h");
        assert_eq!(ahead(at("2026-03-01T11:00:00Z"), now), "now");
        assert_eq!(until(at("2026-03-02T11:30:00.123456Z"), now), "2026-03-02 11:30:00 UTC (in 23 h)");
        assert_eq!(short(Digest::of(b"")), "sha256:e3b0c44298fc");
        assert_eq!((count(1, "gate"), count(0, "gate")), ("1 gate".to_owned(), "0 gates".to_owned()));
    }
}
