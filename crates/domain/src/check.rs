//! Verification checks: what must hold after a deployment, as the configuration states it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Period;

/// One check of an environment's `verify` list.
///
/// In texts, `{commit}`, `{commit7}`, `{digest}` and `{version}` stand for facts of the release being verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Check {
    /// An HTTP endpoint answers as expected.
    Http(HttpCheck),
    /// A command succeeds.
    Run(RunCheck),
    /// The candidate's log has, or does not have, a pattern.
    Logs(LogsCheck),
    /// An endpoint stayed available during the whole deployment.
    Availability(AvailabilityCheck),
}

/// An HTTP endpoint answers as expected, and keeps doing so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// The URL to GET.
    pub http: String,
    /// How long the endpoint may take until it first answers as expected.
    #[serde(default = "HttpCheck::default_within")]
    pub within: Period,
    /// How long it must then go on answering as expected.
    #[serde(default)]
    pub stable_for: Period,
    /// The expected status.
    #[serde(default = "HttpCheck::default_status")]
    pub status: u16,
    /// A text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Fields of a JSON body and their expected values; nested fields are written `a.b`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, serde_json::Value>,
}

/// A command, given as its argument vector, exits with 0. No shell is involved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCheck {
    /// Program and arguments.
    pub run: Vec<String>,
    /// How long the command may take.
    #[serde(default = "RunCheck::default_within")]
    pub within: Period,
}

/// The candidate's own log output, watched for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsCheck {
    /// What to look for.
    pub logs: LogPatterns,
}

/// Patterns of a [`LogsCheck`]: alternatives of plain text separated by `|`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogPatterns {
    /// None of these may appear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
    /// One of these must appear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub some: Option<String>,
    /// How long to watch.
    #[serde(default, rename = "for")]
    pub watch: Period,
}

/// Requests at a steady rate through the whole deployment, on kept and on fresh connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AvailabilityCheck {
    /// The URL to GET.
    pub availability: String,
    /// The share of requests that must succeed, for instance `100%` or `99.9%`.
    #[serde(default)]
    pub min: Percentage,
    /// Requests a second.
    #[serde(default = "AvailabilityCheck::default_rate")]
    pub rate: u32,
}

/// A share of a whole, kept in thousandths of a percent and written `99.9%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u32);

/// Why a text is not a percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a percentage: write for instance `100%` or `99.9%`, with at most three decimals")]
pub struct PercentageError(String);

impl HttpCheck {
    fn default_within() -> Period {
        Period::from_secs(60)
    }

    fn default_status() -> u16 {
        200
    }
}

impl RunCheck {
    fn default_within() -> Period {
        Period::from_secs(600)
    }
}

impl AvailabilityCheck {
    fn default_rate() -> u32 {
        50
    }
}

impl Percentage {
    /// Everything.
    pub const ALL: Self = Self(100_000);

    /// Whether `part` of `whole` reaches this share. Nothing of nothing does not.
    pub fn reached_by(&self, part: u64, whole: u64) -> bool {
        whole > 0 && u128::from(part) * 100_000 >= u128::from(whole) * u128::from(self.0)
    }
}

impl Default for Percentage {
    fn default() -> Self {
        Self::ALL
    }
}

impl std::str::FromStr for Percentage {
    type Err = PercentageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || PercentageError(text.to_owned());
        let number = text.trim().strip_suffix('%').ok_or_else(refused)?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || decimals.len() > 3 || !digits(whole) || !digits(decimals) {
            return Err(refused());
        }
        let value: u32 = format!("{whole}{decimals:0<3}").parse().map_err(|_| refused())?;
        if value > Self::ALL.0 { Err(refused()) } else { Ok(Self(value)) }
    }
}

impl std::fmt::Display for Percentage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let decimals = format!("{:03}", self.0 % 1000);
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{}%", self.0 / 1000),
            rest => write!(f, "{}.{rest}%", self.0 / 1000),
        }
    }
}

crate::text::serde_as_text!(Percentage, "Percentage", r"^[0-9]{1,3}(\.[0-9]{1,3})?%$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact() {
        for text in ["100%", "99.9%", "99.999%", "0%", "5.25%"] {
            assert_eq!(text.parse::<Percentage>().unwrap().to_string(), text);
        }
        let refused =
            ["", "100", "101%", "99.9999%", "-1%", "+1%", "a%", ".5%", "9.+1%", "0100%", "1.5.5%", "%", "100.001%"];
        for text in refused {
            assert!(text.parse::<Percentage>().is_err(), "{text}");
        }
        let share: Percentage = "99.9%".parse().unwrap();
        assert!(share.reached_by(999, 1000) && !share.reached_by(998, 1000));
        assert!(Percentage::ALL.reached_by(5, 5) && !Percentage::ALL.reached_by(4, 5));
        assert!(!Percentage::default().reached_by(0, 0), "no request proves nothing");
    }

    #[test]
    fn a_check_is_told_by_its_key() {
        let check: Check = serde_json::from_str(r#"{"http":"http://x/","stable_for":"2s","json":{"a.b":1}}"#).unwrap();
        let Check::Http(http) = check else { panic!("{check:?}") };
        assert_eq!((http.status, http.within, http.stable_for), (200, Period::from_secs(60), Period::from_secs(2)));
        let check: Check = serde_json::from_str(r#"{"run":["true"]}"#).unwrap();
        assert!(matches!(check, Check::Run(RunCheck { within, .. }) if within == Period::from_secs(600)));
        let check: Check = serde_json::from_str(r#"{"availability":"http://x/"}"#).unwrap();
        assert!(matches!(check, Check::Availability(a) if a.rate == 50 && a.min == Percentage::ALL));
        assert!(serde_json::from_str::<Check>(r#"{"http":"http://x/","typo":1}"#).is_err());
    }
}
