//! Texts for people: durations, excerpts, and URLs without their secret parts.

use reqwest::Url;
use sealift_domain::quantity::Period;

/// The most output kept as evidence of one check, in bytes.
pub(crate) const OUTPUT_LIMIT: usize = 64 * 1024;

/// The most characters of foreign text quoted in one line.
const EXCERPT_CHARS: usize = 200;

/// A length of time for people: `350 ms`, `1.2 s`, `30 s`.
pub(crate) fn human(period: Period) -> String {
    let ms = period.as_millis();
    match ms {
        0..1000 => format!("{ms} ms"),
        _ if (ms % 1000) / 100 == 0 || ms >= 100_000 => format!("{} s", ms / 1000),
        _ => format!("{}.{} s", ms / 1000, (ms % 1000) / 100),
    }
}

/// The start of a foreign text as one line without control characters, so that it can neither fake further lines nor
/// steer a terminal.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    // Four bytes are the most that one character takes.
    let head = &bytes[..bytes.len().min(EXCERPT_CHARS * 4 + 4)];
    let line = String::from_utf8_lossy(head).replace(|c: char| c.is_control(), " ");
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A URL as it may be shown: user, password, query and fragment can carry secrets and are left out.
pub(crate) fn shown_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return excerpt(text.split(['?', '#']).next().unwrap_or("").as_bytes()) };
    let hidden = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return format!("{}:…", url.scheme());
    }
    if hidden { format!("{url}?…") } else { url.to_string() }
}

/// The innermost reason of an error, which is the part that tells people something.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (ms, text) in [
            (0, "0 ms"),
            (350, "350 ms"),
            (1000, "1 s"),
            (1249, "1.2 s"),
            (30_000, "30 s"),
            (30_050, "30 s"),
            (99_900, "99.9 s"),
            (600_700, "600 s"),
        ] {
            assert_eq!(human(Period::from_millis(ms)), text);
        }
    }

    #[test]
    fn an_excerpt_is_one_short_line_without_control_characters() {
        assert_eq!(excerpt(b"a\r\nb\x1b[31m\tc  "), "a b [31m c");
        assert_eq!(excerpt("é".repeat(300).as_bytes()), format!("{}…", "é".repeat(200)));
        assert_eq!(excerpt(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn a_shown_url_has_no_secret_parts() {
        for (url, shown) in [
            ("http://127.0.0.1:8080/health", "http://127.0.0.1:8080/health"),
            ("https://user:secret@host/a?token=secret#secret", "https://host/a?…"),
            ("not a url?secret", "not a url"),
            ("mailto:secret@host", "mailto:…"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
