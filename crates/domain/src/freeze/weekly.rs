//! Freezes that come every week, by the clock on the wall of one place.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::{
    Timestamp, ToSpan,
    civil::{DateTime, Time, Weekday},
    tz::{TimeZone, TimeZoneDatabase},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Freeze;

/// The days, as they are written.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A window that comes every week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recurring {
    /// When, for instance `Fri 16:00 to Mon 08:00`.
    pub every: Weekly,
    /// The time zone whose clocks count, by its name in the tz database, for instance `Europe/Berlin`. The database is part
    /// of the program, so that every machine tells the same.
    pub zone: String,
    /// Why.
    pub reason: String,
}

/// From a time of a day of the week to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Weekly {
    from: (Weekday, Time),
    until: (Weekday, Time),
}

/// A time zone that is not in the program's database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time zone `{0}` is not known")]
pub struct UnknownZone(pub String);

impl Recurring {
    /// Whether the program knows the time zone.
    pub fn zone_is_known(&self) -> bool {
        self.zone().is_ok()
    }

    fn zone(&self) -> Result<TimeZone, UnknownZone> {
        // The database in the program, never the machine's: where there is none, or another, a freeze would differ.
        TimeZoneDatabase::bundled().get(&self.zone).map_err(|_| UnknownZone(self.zone.clone()))
    }

    /// The window that covers `now`, or the next one. Where clocks are put forward or back, a window takes the longer way:
    /// it begins at the earlier of two instants and ends at the later.
    ///
    /// # Errors
    /// The time zone is not known.
    pub fn window(&self, now: Timestamp) -> Result<Freeze, UnknownZone> {
        let zone = self.zone()?;
        let unknown = || UnknownZone(self.zone.clone());
        let here = zone.to_datetime(now).date();
        let monday = i64::from(here.weekday().to_monday_zero_offset());
        // A window that began last week may last until now.
        for week in -1..=1_i64 {
            let day = |offset: i64| here.checked_add((week * 7 + offset - monday).days()).map_err(|_| unknown());
            let (from, until) = self.every.offsets();
            let begins = DateTime::from_parts(day(from)?, self.every.from.1);
            let ends = DateTime::from_parts(day(until)?, self.every.until.1);
            let from = zone.to_ambiguous_timestamp(begins).earlier().map_err(|_| unknown())?;
            let until = zone.to_ambiguous_timestamp(ends).later().map_err(|_| unknown())?;
            if now < until {
                return Ok(Freeze { from, until, reason: self.reason.clone() });
            }
        }
        Err(unknown())
    }
}

impl Weekly {
    /// The days of beginning and end, counted from the Monday of the week in which it begins.
    fn offsets(self) -> (i64, i64) {
        let offset = |(day, _): (Weekday, Time)| i64::from(day.to_monday_zero_offset());
        let (from, until) = (offset(self.from), offset(self.until));
        if until < from || until == from && self.until.1 <= self.from.1 { (from, until + 7) } else { (from, until) }
    }
}

impl FromStr for Weekly {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time of the week; write for instance `Fri 16:00 to Mon 08:00`");
        let (from, until) = text.split_once(" to ").ok_or_else(wrong)?;
        let one = |text: &str| {
            let (day, time) = text.split_once(' ')?;
            let day = DAYS.iter().position(|known| *known == day)?;
            let day = Weekday::from_monday_zero_offset(i8::try_from(day).ok()?).ok()?;
            let (hour, minute) = time.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2)?;
            let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i8>().ok())?;
            Some((day, Time::new(number(hour)?, number(minute)?, 0, 0).ok()?))
        };
        let (from, until) = (one(from).ok_or_else(wrong)?, one(until).ok_or_else(wrong)?);
        if from == until {
            return Err(format!("`{text}` begins when it ends, so it is not said whether it is always or never"));
        }
        Ok(Self { from, until })
    }
}

impl TryFrom<String> for Weekly {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Weekly> for String {
    fn from(weekly: Weekly) -> Self {
        weekly.to_string()
    }
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |day: Weekday| DAYS.get(usize::from(day.to_monday_zero_offset().unsigned_abs())).unwrap_or(&"?");
        let one = |(on, time): (Weekday, Time)| format!("{} {}", day(on), time.strftime("%H:%M"));
        write!(f, "{} to {}", one(self.from), one(self.until))
    }
}

impl JsonSchema for Weekly {
    fn schema_name() -> Cow<'static, str> {
        "Weekly".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let time = format!("({}) ([01][0-9]|2[0-3]):[0-5][0-9]", DAYS.join("|"));
        json_schema!({
            "type": "string",
            "pattern": format!("^{time} to {time}$"),
            "description": "A time of the week to another, for instance `Fri 16:00 to Mon 08:00`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn every(every: &str, zone: &str) -> Recurring {
        Recurring { every: every.parse().unwrap(), zone: zone.into(), reason: "weekend".into() }
    }

    /// Beginning and end of the window at `now`, and whether it covers it.
    fn window(rule: &Recurring, now: &str) -> (String, String, bool) {
        let now = now.parse().unwrap();
        let freeze = rule.window(now).unwrap();
        (freeze.from.to_string(), freeze.until.to_string(), freeze.covers(now))
    }

    fn is(from: &str, until: &str, covers: bool) -> (String, String, bool) {
        (from.into(), until.into(), covers)
    }

    #[test]
    fn a_weekend_is_the_one_that_is_or_the_next_by_the_clocks_of_its_place() {
        let rule = every("Fri 16:00 to Mon 08:00", "Europe/Berlin");
        let weekend = |covers| is("2026-01-09T15:00:00Z", "2026-01-12T07:00:00Z", covers);
        assert_eq!(window(&rule, "2026-01-07T12:00:00Z"), weekend(false));
        assert_eq!(window(&rule, "2026-01-09T14:59:59Z"), weekend(false));
        assert_eq!(window(&rule, "2026-01-09T15:00:00Z"), weekend(true));
        // It is Monday already, and the window began last week.
        assert_eq!(window(&rule, "2026-01-12T06:59:59Z"), weekend(true));
        assert_eq!(window(&rule, "2026-01-12T07:00:00Z"), is("2026-01-16T15:00:00Z", "2026-01-19T07:00:00Z", false));
        // The same rule in summer is an hour earlier in UTC.
        assert_eq!(window(&rule, "2026-07-11T00:00:00Z"), is("2026-07-10T14:00:00Z", "2026-07-13T06:00:00Z", true));
    }

    #[test]
    fn a_night_and_a_part_of_a_day_are_windows_too() {
        let night = every("Sun 22:00 to Mon 04:00", "UTC");
        assert_eq!(window(&night, "2026-01-12T03:00:00Z"), is("2026-01-11T22:00:00Z", "2026-01-12T04:00:00Z", true));
        let noon = every("Wed 11:00 to Wed 13:00", "UTC");
        assert_eq!(window(&noon, "2026-01-07T13:00:00Z"), is("2026-01-14T11:00:00Z", "2026-01-14T13:00:00Z", false));
        // All week but two hours.
        let week = every("Wed 13:00 to Wed 11:00", "UTC");
        assert_eq!(window(&week, "2026-01-06T00:00:00Z"), is("2025-12-31T13:00:00Z", "2026-01-07T11:00:00Z", true));
        assert_eq!(window(&week, "2026-01-07T12:00:00Z"), is("2026-01-07T13:00:00Z", "2026-01-14T11:00:00Z", false));
    }

    #[test]
    fn where_the_clocks_change_a_window_takes_the_longer_way() {
        // 02:30 does not exist in Berlin on 29 March 2026: from 01:59:59+01:00 the clocks go to 03:00:00+02:00.
        let begins = every("Sun 02:30 to Sun 06:00", "Europe/Berlin");
        assert_eq!(window(&begins, "2026-03-29T00:00:00Z"), is("2026-03-29T00:30:00Z", "2026-03-29T04:00:00Z", false));
        let ends = every("Sat 20:00 to Sun 02:30", "Europe/Berlin");
        assert_eq!(window(&ends, "2026-03-28T20:00:00Z"), is("2026-03-28T19:00:00Z", "2026-03-29T01:30:00Z", true));
        // 02:30 is twice on 25 October 2026: once at +02:00, an hour later at +01:00.
        assert_eq!(window(&begins, "2026-10-25T00:30:00Z"), is("2026-10-25T00:30:00Z", "2026-10-25T05:00:00Z", true));
        assert_eq!(window(&ends, "2026-10-25T01:29:59Z"), is("2026-10-24T18:00:00Z", "2026-10-25T01:30:00Z", true));
        assert!(!window(&ends, "2026-10-25T01:30:00Z").2);
    }

    #[test]
    fn a_zone_that_is_not_known_is_no_freeze_that_never_comes() {
        for zone in ["Europe/Atlantis", "", "/etc/passwd", "../UTC"] {
            let rule = every("Fri 16:00 to Mon 08:00", zone);
            assert!(!rule.zone_is_known(), "{zone}");
            assert_eq!(rule.window(Timestamp::UNIX_EPOCH), Err(UnknownZone(zone.into())));
        }
        for zone in ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"] {
            assert!(every("Fri 16:00 to Mon 08:00", zone).zone_is_known(), "{zone}");
        }
    }

    #[test]
    fn a_time_of_the_week_is_written_in_one_way() {
        for text in ["Fri 16:00 to Mon 08:00", "Sun 00:00 to Sun 23:59"] {
            assert_eq!(text.parse::<Weekly>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Fri 16:00",
            "Fri 16:00-Mon 08:00",
            "fri 16:00 to Mon 08:00",
            "Fri 4:00 to Mon 08:00",
            "Fri 24:00 to Mon 08:00",
            "Fri 16:60 to Mon 08:00",
            "Fri +1:00 to Mon 08:00",
            "Fri 16:00 to Fri 16:00",
        ] {
            assert!(text.parse::<Weekly>().is_err(), "{text}");
        }
    }

    #[test]
    fn wherever_a_window_lies_it_ends_after_it_begins_and_is_the_first_that_is_not_over() {
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"] {
            let rule = every("Sat 23:30 to Sun 02:15", zone);
            for hours in (0..366 * 24).step_by(5) {
                let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
                let now = now + SignedDuration::from_hours(hours);
                let freeze = rule.window(now).unwrap();
                assert!(freeze.from < freeze.until && now < freeze.until, "{zone} {now}: {freeze:?}");
                assert!(freeze.from - SignedDuration::from_hours(8 * 24) < now, "{zone} {now}: {freeze:?} is too late");
            }
        }
    }
}
