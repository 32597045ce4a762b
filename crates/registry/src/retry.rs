//! Trying again: when, how often, and after how long.

use std::{
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
};

use jiff::{SignedDuration, Timestamp};
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use sealift_domain::quantity::Period;
use sealift_engine::ports::{
    clock::Clock,
    registry::{RegistryError, RegistryErrorKind},
};

use crate::error::{Words, error, is_secondary_limit};

/// How often a request is sent before its failure is final.
pub(crate) const TRIES: u32 = 3;
/// How often a request waits for as long as the registry asks for.
const WAITS: u32 = 10;
/// The wait after the first failure, in milliseconds; each further wait doubles it.
const FIRST_WAIT_MS: u64 = 500;
/// The longest wait a registry may ask for. It is never cut short: a registry that asks for more makes the request fail.
pub(crate) const LONGEST_WAIT: Period = Period::from_secs(3600);

/// Whether another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The answer would be the same.
    Never,
    /// After a growing pause.
    Backoff,
    /// After the time that the registry asked for.
    After(Period),
    /// At once, from another place: a mirror failed, and is not asked again. This counts as no try.
    Elsewhere,
}

/// A failed try.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What went wrong.
    pub(crate) error: RegistryError,
    /// Whether to try again.
    pub(crate) again: Again,
}

impl Failure {
    /// A failure that another try would not change.
    pub(crate) fn last(kind: RegistryErrorKind, message: impl Into<String>) -> Self {
        Self { error: error(kind, message), again: Again::Never }
    }

    /// A failure of the connection.
    pub(crate) fn transient(message: impl Into<String>) -> Self {
        Self { error: error(RegistryErrorKind::Transient, message), again: Again::Backoff }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self { error, again: Again::Never }
    }
}

/// Exponential back-off with jitter: between half and all of 0.5 s, 1 s, 2 s …
pub(crate) fn backoff(failed: u32) -> Period {
    jittered((FIRST_WAIT_MS << failed.saturating_sub(1).min(6)) / 2)
}

/// Between `least` milliseconds and twice as many, so that clients do not go on in step.
pub(crate) fn jittered(least: u64) -> Period {
    // The standard library's randomly keyed hasher is random enough for that.
    let random = RandomState::new().build_hasher().finish();
    Period::from_millis(least.saturating_add(random % (least + 1)))
}

/// Runs `attempt` until it succeeds, fails for good, has failed [`TRIES`] times, or was asked to wait [`WAITS`] times. A registry
/// that says how long to wait is not broken, it is busy.
pub(crate) async fn retrying<T, F, A>(clock: &dyn Clock, mut attempt: A) -> Result<T, RegistryError>
where
    A: FnMut() -> F,
    F: Future<Output = Result<T, Failure>>,
{
    let (mut failed, mut waited) = (0, 0);
    loop {
        let failure = match attempt().await {
            Ok(value) => return Ok(value),
            Err(Failure { again: Again::Elsewhere, .. }) => continue,
            Err(failure) => failure,
        };
        let wait = match failure.again {
            // One is continued with above.
            Again::Never | Again::Elsewhere => return Err(failure.error),
            Again::Backoff => {
                failed += 1;
                backoff(failed)
            }
            Again::After(wait) => {
                waited += 1;
                wait
            }
        };
        let RegistryError { kind, message } = failure.error;
        if wait > LONGEST_WAIT {
            return Err(error(kind, format!("{message} (the registry asks to wait {wait}, which is too long)")));
        }
        if failed == TRIES || waited == WAITS {
            return Err(error(kind, format!("{message} (given up after {} tries)", failed + waited)));
        }
        clock.sleep(wait).await;
    }
}

/// Whether an answer with this status, these headers and words is worth another try.
pub(crate) fn after_answer(status: StatusCode, headers: &HeaderMap, words: &Words, now: Timestamp) -> Again {
    let again = is_secondary_limit(status, words) || matches!(status.as_u16(), 408 | 429 | 500 | 502..=504 | 506..=599);
    if !again {
        return Again::Never;
    }
    let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| retry_after(text, now));
    header.or_else(|| in_message(&words.text)).map_or(Again::Backoff, Again::After)
}

/// `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Period> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Period::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    // Rounded up: a moment too early would be answered with 429 again.
    let until = until.checked_add(SignedDuration::from_micros(999)).unwrap_or(until);
    Some(Period::between(now, until))
}

/// GHCR writes the wait into its message as a Go duration: `retry-after: 880.092µs`.
fn in_message(text: &str) -> Option<Period> {
    let lower = text.to_lowercase();
    let rest = lower.split_once("retry-after:")?.1.trim_start();
    let mut micros = 0.0;
    let mut rest = &rest[..rest.find(|c: char| c.is_whitespace() || c == ',' || c == '"').unwrap_or(rest.len())];
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        let factor = match &rest[digits..unit] {
            "h" => 3.6e9,
            "m" => 6e7,
            "s" => 1e6,
            "ms" => 1e3,
            "µs" | "μs" | "us" => 1.0,
            "ns" => 1e-3,
            _ => return None,
        };
        micros += rest[..digits].parse::<f64>().ok()? * factor;
        rest = &rest[unit..];
    }
    // A float to integer cast saturates.
    Some(Period::from_millis((micros / 1000.0).ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        Words { text: text.to_owned(), ..Words::default() }
    }

    #[test]
    fn only_answers_that_time_can_change_are_tried_again() {
        let now = Timestamp::UNIX_EPOCH;
        let again =
            |status: u16| after_answer(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &words(""), now);
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(again(status), Again::Backoff, "{status}");
        }
        for status in [200, 400, 401, 403, 404, 405, 416, 501, 505] {
            assert_eq!(again(status), Again::Never, "{status}");
        }
        let limit = words("You have exceeded a secondary rate limit");
        assert_eq!(after_answer(StatusCode::FORBIDDEN, &HeaderMap::new(), &limit, now), Again::Backoff);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Period::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Period::from_secs(37)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:48:00 GMT", now), Some(Period::default()));
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_go_duration_in_the_message_is_read() {
        for (text, millis) in [
            ("TOOMANYREQUESTS: retry-after: 880.092µs, allowed: 44000/minute", Some(1)),
            ("retry-after: 1.5s", Some(1500)),
            ("retry-after: 1m2.5s", Some(62_500)),
            ("Retry-After: 250ms\"", Some(250)),
            ("retry-after: soon", None),
            ("retry-after: 5", None),
            ("nothing", None),
        ] {
            assert_eq!(in_message(text), millis.map(Period::from_millis), "{text}");
        }
    }

    #[test]
    fn waits_grow_and_stay_within_their_bounds() {
        for failed in 1..=4 {
            let full = FIRST_WAIT_MS << (failed - 1);
            for _ in 0..50 {
                let wait = backoff(failed).as_millis();
                assert!((full / 2..=full).contains(&wait), "{failed}: {wait}");
            }
        }
    }
}
