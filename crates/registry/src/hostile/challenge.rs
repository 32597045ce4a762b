//! `WWW-Authenticate`.

use proptest::prelude::*;

use super::{hostile, texts};
use crate::challenge::{Challenge, parse};

const WORDS: &[&str] =
    &["Bearer ", "Basic ", "realm=", "scope=\"", "\\\"", "\"", ",", "=", " ", "\t", "é", "realm=\"https://a/t\""];

/// A parameter as a server may write it: a token, or a quoted string with escapes.
fn quoted(value: &str) -> String {
    let escaped: String =
        value.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| c == '"' || c == '\\').chain([c])).collect();
    format!("\"{escaped}\"")
}

#[test]
fn seeds_are_understood() {
    for text in texts("challenge") {
        assert!(!parse(&text).is_empty(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_find_more_than_is_there(bytes in hostile("challenge", WORDS)) {
        let text = String::from_utf8_lossy(&bytes);
        let found = parse(&text);
        prop_assert!(found.len() <= text.len().div_ceil(5));
        for challenge in found {
            if let Challenge::Bearer { realm, service, scope, error } = challenge {
                let parts = [Some(realm), service, scope, error];
                prop_assert!(parts.iter().flatten().map(String::len).sum::<usize>() <= text.len());
            }
        }
    }

    #[test]
    fn what_was_written_is_what_is_read(
        realm in "[ -~]{0,40}",
        service in prop::option::of("[ -~]{0,20}"),
        scope in prop::option::of("[ -~]{0,40}"),
        before in prop::sample::select(vec!["", "Negotiate abc==, ", "Digest realm=\"x, y\", ", ", ,"]),
        after in prop::sample::select(vec!["", ", Basic realm=\"b\"", " , "]),
        name in prop::sample::select(vec!["Bearer", "bearer", "BEARER"]),
    ) {
        let mut text = format!("{before}{name} realm={}", quoted(&realm));
        for (key, value) in [("service", &service), ("scope", &scope)] {
            if let Some(value) = value {
                text.push_str(&format!(", {key}={}", quoted(value)));
            }
        }
        text.push_str(after);
        let bearer = Challenge::Bearer { realm, service, scope, error: None };
        prop_assert_eq!(parse(&text).into_iter().next(), Some(bearer), "{}", text);
    }
}
