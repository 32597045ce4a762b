//! How scanners say how bad something is.

use sealift_domain::evidence::Severity;

use super::read::Reason;

const NOT_UNDERSTOOD: Reason = "a severity in it is not understood";
/// The words by which scanners say that nobody has rated it.
const UNRATED: &[&str] =
    &["", "unknown", "none", "unspecified", "undefined", "not available", "n/a", "untriaged", "not yet assigned"];

/// A severity as a word, in whatever case.
///
/// # Errors
/// If it is no word that is known: a report that is read in part would say less than its maker did.
pub(super) fn of_word(word: &str) -> Result<Severity, Reason> {
    let known = [
        ("critical", Severity::Critical),
        ("high", Severity::High),
        ("important", Severity::High),
        ("medium", Severity::Medium),
        ("moderate", Severity::Medium),
        ("low", Severity::Low),
        ("negligible", Severity::Negligible),
    ];
    let word = word.trim();
    let of = |(name, severity): &(&str, Severity)| word.eq_ignore_ascii_case(name).then_some(*severity);
    let unrated = || UNRATED.iter().any(|unrated| word.eq_ignore_ascii_case(unrated)).then_some(Severity::Unknown);
    known.iter().find_map(of).or_else(unrated).ok_or(NOT_UNDERSTOOD)
}

/// A severity as a CVSS score (CVSS 3.1, section 5; the same bands are those of `security-severity` in SARIF). A score
/// of 0 is unknown: scanners write it for what nobody has rated.
pub(super) fn of_score(score: f64) -> Severity {
    match score {
        9.0..=10.0 => Severity::Critical,
        7.0..9.0 => Severity::High,
        4.0..7.0 => Severity::Medium,
        score if score > 0.0 && score < 4.0 => Severity::Low,
        _ => Severity::Unknown,
    }
}

/// A severity as a text that is either.
///
/// # Errors
/// As for [`of_word`].
pub(super) fn of_text(text: &str) -> Result<Severity, Reason> {
    text.trim().parse().map_or_else(|_| of_word(text), |score| Ok(of_score(score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_scores_are_bands() {
        for (text, severity) in [
            ("CRITICAL", Severity::Critical),
            ("10", Severity::Critical),
            ("9.0", Severity::Critical),
            ("8.9", Severity::High),
            ("High", Severity::High),
            ("7", Severity::High),
            ("6.99", Severity::Medium),
            (" 4.0 ", Severity::Medium),
            ("3.9", Severity::Low),
            ("0.1", Severity::Low),
            ("negligible", Severity::Negligible),
            (" CRITICAL\n", Severity::Critical),
        ] {
            assert_eq!(of_text(text), Ok(severity), "{text}");
        }
        for text in ["", "0", "0.0", "-1", "11", "NaN", "inf", "none", " UNKNOWN ", "untriaged"] {
            assert_eq!(of_text(text), Ok(Severity::Unknown), "{text}");
        }
        for text in ["hoch", "9,8", "catastrophic", "critical!"] {
            assert_eq!(of_text(text), Err(NOT_UNDERSTOOD), "{text}");
            assert_eq!(of_word(text), Err(NOT_UNDERSTOOD), "{text}");
        }
    }
}
