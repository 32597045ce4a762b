//! `docs/security.md`: every attack has a defence and a test that is named after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

const ATTACKS: u32 = 28;
/// What there is nothing to attack of yet: the server, with teams and their tokens.
const NOT_YET: [u32; 1] = [20];

/// Tests: crate and function.
type Tests = BTreeSet<(String, String)>;

/// The tests named after attacks, by the attack.
fn tests() -> BTreeMap<u32, Tests> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeMap::<u32, Tests>::new();
    for entry in std::fs::read_dir(&crates).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        sources(&folder, &mut |text| {
            let mut test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" || line.starts_with("#[tokio::test") {
                    test = true;
                } else if let Some(function) = line.split("fn ").nth(1).filter(|_| !line.starts_with("//")) {
                    let function = function.split('(').next().unwrap().to_owned();
                    if let Some(number) = function.strip_prefix("attack_").and_then(|rest| rest.get(..2)?.parse().ok())
                    {
                        assert!(test, "{name}: {function} is named after an attack and is no test");
                        found.entry(number).or_default().insert((name.clone(), function));
                    }
                    test = false;
                }
            }
        });
    }
    found
}

fn sources(folder: &Path, each: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, each);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            each(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The rows of the table: number, attack, defence, and the tests that are named.
fn rows() -> Vec<(u32, String, String, Tests)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let text = std::fs::read_to_string(page).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> =
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('|').trim()).collect();
        let number = cells.first()?.parse().ok()?;
        assert_eq!(cells.len(), 4, "{line}");
        let test = |text: &str| {
            let (krate, function) = text.split_once(": ")?;
            Some((krate.trim_matches('`').to_owned(), function.trim_matches('`').to_owned()))
        };
        let tests = cells[3].split("<br>").filter_map(test).collect();
        Some((number, cells[1].to_owned(), cells[2].to_owned(), tests))
    };
    text.lines().filter(|line| line.starts_with("| ")).filter_map(row).collect()
}

#[test]
fn every_attack_has_a_defence_and_a_test_that_shows_it() {
    let rows = rows();
    let numbers: Vec<u32> = rows.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=ATTACKS).collect::<Vec<_>>(), "each attack has one row, in order");
    for (number, attack, defence, tests) in &rows {
        assert!(!attack.is_empty() && !defence.is_empty(), "{number}");
        assert_eq!(tests.is_empty(), NOT_YET.contains(number), "attack {number}: {tests:?}");
    }
}

#[test]
fn the_page_names_exactly_the_tests_that_there_are() {
    let there = tests();
    for (number, .., named) in rows() {
        let there = there.get(&number).cloned().unwrap_or_default();
        let missing: Vec<_> = there.difference(&named).collect();
        let gone: Vec<_> = named.difference(&there).collect();
        assert!(
            missing.is_empty() && gone.is_empty(),
            "attack {number}: not on the page {missing:?}, not there {gone:?}"
        );
    }
    let known: BTreeSet<u32> = (1..=ATTACKS).collect();
    assert!(there.keys().all(|number| known.contains(number)), "{:?}", there.keys());
}
