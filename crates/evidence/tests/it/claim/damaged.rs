//! Damaged documents: whatever the bytes, there is an answer, and it never says more than the bytes do.

use proptest::prelude::*;
use sealift_domain::evidence::Claim;
use sealift_evidence::claim::{of_document, of_predicate, of_statement};

use super::{DOCUMENTS, PREDICATES, STATEMENTS, text, wrap};

fn all() -> Vec<String> {
    let statements = PREDICATES.iter().map(|(name, kind)| wrap(kind, &text(name)));
    let documents = PREDICATES.iter().map(|(name, _)| *name).chain(DOCUMENTS).chain(STATEMENTS);
    statements.chain(documents.map(text)).collect()
}

/// A scan that says that nothing was found.
fn is_clean(claim: &Claim) -> bool {
    matches!(claim, Claim::Scan(scan) if scan.findings.as_ref().is_some_and(Vec::is_empty))
}

/// Reads the bytes in every way. Returns whether any says that nothing was found.
fn clean(bytes: &[u8]) -> bool {
    let mut clean = [of_document(bytes), of_statement(bytes)].iter().flatten().any(|said| is_clean(&said.claim));
    if let Ok(text) = std::str::from_utf8(bytes) {
        clean |= PREDICATES.iter().any(|(_, kind)| is_clean(&of_predicate(kind, text).0));
    }
    clean
}

#[test]
fn a_document_that_ends_early_says_nothing() {
    for whole in all() {
        let whole = whole.trim_end();
        for end in (0..whole.len()).step_by(23) {
            assert!(of_document(&whole.as_bytes()[..end]).is_err(), "{end} bytes of {whole}");
            assert!(of_statement(&whole.as_bytes()[..end]).is_err());
        }
    }
}

#[test]
fn a_reason_repeats_nothing_of_the_document() {
    let word = "ForeignWord";
    for (name, predicate_type) in PREDICATES {
        let whole: serde_json::Value = serde_json::from_str(&text(name)).unwrap();
        let mut places = Vec::new();
        collect("", &whole, &mut places);
        for place in places {
            let changed = super::with(whole.clone(), &place, serde_json::json!({word: word}));
            let (_, why_not) = of_predicate(predicate_type, &changed.to_string());
            assert!(!why_not.unwrap_or_default().contains(word), "{name} {place}");
            let changed = super::with(whole.clone(), &place, serde_json::json!(word));
            let why = of_document(changed.to_string().as_bytes()).err().map(|why| why.to_string());
            assert!(!why.unwrap_or_default().contains(word), "{name} {place}");
        }
    }
}

fn collect(place: &str, value: &serde_json::Value, places: &mut Vec<String>) {
    let mut within = |key: String, value| {
        let place = format!("{place}/{key}");
        collect(&place, value, places);
        places.push(place);
    };
    match value {
        serde_json::Value::Object(object) => {
            object.iter().for_each(|(key, value)| within(key.replace('/', "~1"), value))
        }
        serde_json::Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| within(at.to_string(), value)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_bytes_say_that_nothing_was_found(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!clean(&bytes));
    }

    #[test]
    fn no_words_say_that_nothing_was_found(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..40)) {
        let text = words.concat();
        // Only these say so, each in its format.
        let says = ["\"matches\":[]", "\"result\":[]", "\"results\":[]", "\"Vulnerabilities\":[]", "\"os-pkgs\""];
        prop_assert!(!clean(text.as_bytes()) || says.iter().any(|say| text.contains(say)));
    }

    #[test]
    fn a_document_with_other_bytes_in_it_is_read_or_not(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let all = all();
        let mut document = all[which.index(all.len())].clone().into_bytes();
        let at = at.index(document.len());
        let end = (at + bytes.len()).min(document.len());
        document.splice(at..end, bytes);
        // None of the files says that nothing was found, and a few bytes do not make it say so.
        prop_assert!(!clean(&document));
    }
}

const WORDS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"SchemaVersion\":2",
    "\"Results\":",
    "\"Class\":\"os-pkgs\"",
    "\"Vulnerabilities\":[]",
    "\"matches\":[]",
    "\"matches\":",
    "\"descriptor\":{}",
    "\"scanner\":{",
    "\"result\":",
    "\"result\":[]",
    "null",
    "0",
    "\"x\":",
    "\"x\"",
    "\"version\":\"2.1.0\"",
    "\"runs\":[",
    "\"tool\":{\"driver\":{}}",
    "\"results\":[]",
    "\"runs\":[]",
];
