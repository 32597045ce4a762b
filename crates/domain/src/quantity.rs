//! Quantities that people write with a unit: `1h`, `250ms`, `1GB`.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};

use crate::text::serde_as_text;

/// A length of time in whole milliseconds, written as an integer with one of the units `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period(u64);

/// A number of bytes, written as an integer with a decimal (`kB`, `MB`, `GB`, `TB`) or binary (`KiB` … `TiB`) unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: write an integer and a unit ({units})")]
pub struct QuantityError {
    text: String,
    what: &'static str,
    units: &'static str,
}

// Milliseconds and bytes in each unit, the largest first so that display finds the shortest form.
const PERIOD_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn display(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)], zero: &str) -> fmt::Result {
    match units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => f.write_str(zero),
    }
}

impl Period {
    /// A period of `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// A period of `s` seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// The whole period in milliseconds.
    pub const fn as_millis(&self) -> u64 {
        self.0
    }

    /// The period as the standard library's duration.
    pub const fn as_duration(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// The instant this long after `start`; the end of time if there is no such instant.
    pub fn after(&self, start: Timestamp) -> Timestamp {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        start.checked_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
    }

    /// The time from `start` to `end`; zero if `end` comes first.
    pub fn between(start: Timestamp, end: Timestamp) -> Self {
        Self(u64::try_from(end.duration_since(start).as_millis()).unwrap_or(0))
    }
}

impl ByteSize {
    /// A size of `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub const fn bytes(&self) -> u64 {
        self.0
    }

    /// The size for people, with one decimal and a decimal unit: `12.3 MB`.
    pub fn human(&self) -> String {
        let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
        let value = self.0 as f64;
        match units.iter().find(|(_, factor)| value >= *factor) {
            Some((unit, factor)) => format!("{:.1} {unit}", value / factor),
            None => format!("{} B", self.0),
        }
    }
}

impl FromStr for Period {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || QuantityError { text: text.to_owned(), what: "a length of time", units: "ms, s, m, h, d" };
        parse(text, &PERIOD_UNITS).map(Self).ok_or_else(refused)
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || QuantityError { text: text.to_owned(), what: "a size", units: "B, kB, MB, GB, KiB, MiB, GiB" };
        parse(text, &SIZE_UNITS).map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(f, self.0, &PERIOD_UNITS, "0s")
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(f, self.0, &SIZE_UNITS, "0B")
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Period, "Period", "^[0-9]+ *(ms|s|m|h|d)$");
serde_as_text!(ByteSize, "ByteSize", "^[0-9]+ *(B|[kKMGT]B|[KMGT]iB)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_round_trip_in_their_largest_unit() {
        for (text, ms) in [("250ms", 250), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000), ("7d", 604_800_000)] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.as_millis(), period.to_string()), (ms, text.to_owned()));
        }
        assert_eq!("90s".parse::<Period>().unwrap().to_string(), "90s");
        assert_eq!("60s".parse::<Period>().unwrap().to_string(), "1m");
        assert_eq!("0s".parse::<Period>().unwrap().to_string(), "0s");
        assert_eq!(format!("{:?} {:?}", Period::from_secs(60), ByteSize::from_bytes(2000)), "1m 2kB");
        for text in ["", "1", "s", "-1s", "1.5h", "1w", "1 h x", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_round_trip_and_read_well() {
        for (text, bytes) in
            [("0B", 0), ("1GB", 1_000_000_000), ("1GiB", 1 << 30), ("512MiB", 512 << 20), ("3kB", 3000)]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string()), (bytes, text.to_owned()));
        }
        assert_eq!("1 GB".parse::<ByteSize>().unwrap().bytes(), 1_000_000_000);
        assert!("1Gb".parse::<ByteSize>().is_err());
        assert_eq!(ByteSize::from_bytes(12_345_678).human(), "12.3 MB");
        assert_eq!(ByteSize::from_bytes(999).human(), "999 B");
        assert_eq!(ByteSize::from_bytes(1000).human(), "1.0 kB");
    }

    #[test]
    fn periods_measure_time() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hour = Period::from_secs(3600);
        assert_eq!(hour.after(start).to_string(), "2026-01-01T01:00:00Z");
        assert_eq!(Period::between(start, hour.after(start)), hour);
        assert_eq!(Period::between(hour.after(start), start), Period::default());
        assert_eq!(Period(u64::MAX).after(start), Timestamp::MAX);
        assert_eq!(Period::from_millis(1500).as_duration().as_millis(), 1500);
    }
}
