//! Names of images, arbitrary and damaged. The whole texts that are damaged stand in `tests/seeds/reference/`.

use std::path::Path;

use proptest::{prelude::*, sample::Index};
use sealift_domain::reference::{Pinned, Reference, Repository, Tag};

fn seeds() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds/reference");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap().trim_end().to_owned()).collect()
}

/// A seed with one piece replaced by a word of the grammar, or by anything.
fn damaged() -> impl Strategy<Value = String> {
    let words = vec![
        "", "/", ":", "@", ".", "..", "-", "__", "___", "A", "é", " ", "\n", "%2f", "sha256:", "[", "]", "0", "//",
    ];
    let word = prop_oneof![prop::sample::select(words).prop_map(str::to_owned), any::<char>().prop_map(String::from)];
    let edit = (any::<Index>(), any::<Index>(), word);
    (prop::sample::select(seeds()), prop::collection::vec(edit, 1..4)).prop_map(|(seed, edits)| {
        let mut text: Vec<char> = seed.chars().collect();
        for (at, length, word) in edits {
            let from = at.index(text.len() + 1);
            let to = (from + length.index(4)).min(text.len());
            text.splice(from..to, word.chars());
        }
        text.into_iter().collect()
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => any::<String>(),
        1 => "[a-z0-9:/@._-]{0,60}",
        1 => "[a-z0-9.-]{1,12}(:[0-9]{1,6})?/[a-z0-9._/-]{1,30}(:[A-Za-z0-9._-]{1,20})?(@sha256:[0-9a-f]{63,65})?",
        3 => damaged(),
    ]
}

/// The rule of the specification for a path, said again (OCI Distribution Specification 1.1, "Pulling manifests"):
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`.
fn is_name(name: &str) -> bool {
    let separators = ["__", "_", "."];
    name.split('/').all(|component| {
        let dashed = component.replace('-', " ");
        let runs = dashed.split(' ').filter(|run| !run.is_empty());
        let edges = !component.starts_with('-') && !component.ends_with('-') && !component.is_empty();
        let run_ok = |run: &str| {
            let mut plain = run.to_owned();
            for separator in separators {
                plain = plain.replace(separator, "/");
            }
            plain.split('/').all(|word| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            })
        };
        edges && runs.into_iter().all(run_ok)
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

#[test]
fn seeds_are_references() {
    for seed in seeds() {
        assert_eq!(seed.parse::<Reference>().unwrap().to_string(), seed);
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_in_the_grammar_and_is_written_as_it_was_read(text in texts()) {
        let Ok(reference) = text.parse::<Reference>() else { return Ok(()) };
        prop_assert_eq!(reference.to_string(), text.as_str());
        prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
        let (registry, name) = (reference.repository.registry(), reference.repository.name());
        prop_assert!(is_name(name), "{}", name);
        prop_assert!(registry.contains(['.', ':']) || registry == "localhost", "{}", registry);
        prop_assert!(registry.is_ascii() && !registry.contains(['/', '@', '?', '#', '%', '\\', ' ']), "{}", registry);
        prop_assert!(reference.tag.as_ref().is_none_or(|tag| is_tag(tag.as_str())));
        prop_assert_eq!(reference.pinned().is_some(), text.contains('@'));
    }

    #[test]
    fn the_parts_agree_with_the_whole(text in texts()) {
        let reference = text.parse::<Reference>().ok();
        let pinned = text.parse::<Pinned>().ok();
        prop_assert_eq!(pinned, reference.as_ref().and_then(Reference::pinned));
        if let Ok(repository) = text.parse::<Repository>() {
            let whole = Reference { repository, tag: None, digest: None };
            prop_assert_eq!(reference, Some(whole));
        }
        prop_assert_eq!(text.parse::<Tag>().is_ok(), is_tag(&text));
    }
}
