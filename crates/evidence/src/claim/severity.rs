//! How scanners say how bad something is.

use sealift_domain::evidence::Severity;

/// A severity as a word, in whatever case. A word that nobody knows is [`Severity::Unknown`].
pub(super) fn of_word(word: &str) -> Severity {
    let known = [
        ("critical", Severity::Critical),
        ("high", Severity::High),
        ("important", Severity::High),
        ("medium", Severity::Medium),
        ("moderate", Severity::Medium),
        ("low", Severity::Low),
        ("negligible", Severity::Negligible),
    ];
    let of = |(name, severity): &(&str, Severity)| word.eq_ignore_ascii_case(name).then_some(*severity);
    known.iter().find_map(of).unwrap_or_default()
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
pub(super) fn of_text(text: &str) -> Severity {
    text.trim().parse().map_or_else(|_| of_word(text.trim()), of_score)
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
        ] {
            assert_eq!(of_text(text), severity, "{text}");
        }
        for text in ["", "0", "0.0", "-1", "11", "NaN", "inf", "none", "UNKNOWN", "hoch", "9,8"] {
            assert_eq!(of_text(text), Severity::Unknown, "{text}");
        }
    }
}
