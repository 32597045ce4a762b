//! Small things that several gates of evidence need: foreign text made harmless, name patterns, exceptions with an end.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Deserializer, de::Error};

/// How many characters of a foreign text are shown.
const SHOWN: usize = 120;

/// A text that others wrote, as it may stand in a message: without control characters, and not long.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(SHOWN) {
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The first few of many, and how many more there are.
pub(super) fn first_few(items: impl IntoIterator<Item = String>) -> String {
    const FEW: usize = 3;
    let mut items = items.into_iter();
    let few: Vec<String> = items.by_ref().take(FEW).collect();
    match items.count() {
        0 => few.join(", "),
        more => format!("{} and {more} more", few.join(", ")),
    }
}

/// Whether `text` is `pattern`, or begins with it where the pattern ends with `*`.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == pattern,
    }
}

/// Whether a pattern for packages names `name` or `name@version`.
pub(super) fn names_package(pattern: &str, package: &str) -> bool {
    // A scoped name such as `@types/node` begins with the sign that divides name and version.
    let name = match package.rfind('@') {
        Some(at) if at > 0 => package.get(..at).unwrap_or(package),
        _ => package,
    };
    matches(pattern, package) || matches(pattern, name)
}

/// Whether something that ends with the day `until`, in UTC, is over.
pub(super) fn is_over(until: Date, now: Timestamp) -> bool {
    now.to_zoned(TimeZone::UTC).date() > until
}

/// Reads a day, and nothing else that might pass for one.
///
/// # Errors
/// The text is no day of the calendar, written `2026-12-31` (RFC 3339, `full-date`).
pub(super) fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = String::deserialize(deserializer)?;
    let day: Option<Date> = text.parse().ok().filter(|day: &Date| day.to_string() == text);
    day.ok_or_else(|| D::Error::custom(format!("`until` is a day, such as 2026-12-31, not `{}`", shown(&text))))
}

/// `1 package`, `2 packages`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_with_and_without_version() {
        for pattern in ["openssl", "openssl@3.0.1", "openssl@3.*", "open*", "*"] {
            assert!(names_package(pattern, "openssl@3.0.1"), "{pattern}");
        }
        assert!(names_package("@types/node", "@types/node@20.0.0") && names_package("@types/node", "@types/node"));
        for pattern in ["openssl@3.0", "open", "", "ssl*"] {
            assert!(!names_package(pattern, "openssl@3.0.1"), "{pattern}");
        }
    }

    #[test]
    fn what_ends_with_a_day_counts_through_that_day() {
        let until: Date = "2026-01-31".parse().unwrap();
        assert!(!is_over(until, "2026-01-31T23:59:59Z".parse().unwrap()));
        assert!(is_over(until, "2026-02-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn foreign_text_is_harmless_and_short() {
        assert_eq!(shown("it's \u{202e}"), "it's \\u{202e}");
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), SHOWN + 1);
        assert_eq!(first_few(["a", "b", "c", "d"].map(str::to_owned)), "a, b, c and 1 more");
    }
}
