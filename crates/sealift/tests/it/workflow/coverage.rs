//! Whether every box that must have a test has one that ran, and whether the table in `docs` says so.

use std::{collections::BTreeSet, fmt::Write};

use super::record::{self, Covered, WorkflowBox, covers};
use crate::real;

const HEAD: &str = "# Coverage of the workflow\n\n\
    Which test went through which box of the flowcharts, and what it found: the state of the promotion, the code of its\n\
    failure and the exit code of the command. `scripts/test` compares this table with the tests that ran;\n\
    `SEALIFT_UPDATE=1 scripts/test` writes it anew. The boxes are listed in [workflow-boxes.txt](workflow-boxes.txt); those in\n\
    bold must have a test, through the others the way leads to them.\n";

const CHARTS: [(&str, &str); 4] = [
    ("main", "Promotion"),
    ("validate", "Validation of the image"),
    ("deploy", "Deployment"),
    ("rollback", "Rollback"),
];

/// The table of what was covered.
fn table(boxes: &[WorkflowBox]) -> String {
    let mut page = HEAD.to_owned();
    for (chart, title) in CHARTS {
        write!(
            page,
            "\n## {title}\n\n| box | what happens | state | code | exit | test |\n|---|---|---|---|---|---|\n"
        )
        .unwrap();
        for workflow_box in boxes.iter().filter(|b| b.id.split('.').next() == Some(chart)) {
            let WorkflowBox { id, must, text } = workflow_box;
            let mut name = if *must { format!("**{id}**") } else { id.clone() };
            let mut what = text.as_str();
            let said = record::of(id);
            if said.is_empty() {
                writeln!(page, "| {name} | {what} | | | | |").unwrap();
            }
            for [test, state, code, exit] in said {
                writeln!(page, "| {name} | {what} | {state} | {code} | {exit} | `{test}` |").unwrap();
                (name, what) = (String::new(), "");
            }
        }
    }
    page
}

/// The last of all tests: `scripts/test` runs it when the others have ended.
#[test]
#[ignore = "scripts/test runs it after all others"]
fn is_complete() {
    const TEST: &str = "workflow::coverage::is_complete";
    let skipped = record::all_skipped();
    if !skipped.is_empty() {
        let excused = std::env::var("SEALIFT_SKIP_ENGINE").as_deref() == Ok("1");
        assert!(
            excused || !real::is_required(),
            "tests were skipped that say what the workflow does: {}",
            skipped.join(", ")
        );
        real::skip(
            TEST,
            &format!("the coverage of the workflow is not known, since {} tests were skipped", skipped.len()),
        );
        return;
    }
    let boxes = record::boxes();
    let (page, file) = (table(&boxes), record::docs("workflow-coverage.md"));
    if std::env::var("SEALIFT_UPDATE").as_deref() == Ok("1") {
        std::fs::write(&file, &page).unwrap();
    }
    let uncovered = boxes.iter().filter(|b| b.must && record::of(&b.id).is_empty());
    let uncovered: Vec<String> = uncovered.map(|b| format!("  {}: {}", b.id, b.text)).collect();
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = lines_that_differ(&written, &page);
    assert!(
        uncovered.is_empty() && differs.is_empty(),
        "\nboxes without a test that ran ({}):\n{}\ndocs/workflow-coverage.md and what ran differ (SEALIFT_UPDATE=1 writes it anew):\n{}",
        uncovered.len(),
        uncovered.join("\n"),
        differs.join("\n")
    );
}

fn lines_that_differ(written: &str, page: &str) -> Vec<String> {
    if written == page {
        return Vec::new();
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (written.lines().collect(), page.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    let mut differs: Vec<String> = gone.chain(come).collect();
    if differs.is_empty() {
        differs.push("  the order of the lines".to_owned());
    }
    differs
}

#[test]
fn the_list_has_every_box_of_the_four_flowcharts_once() {
    let boxes = record::boxes();
    let ids: BTreeSet<&str> = boxes.iter().map(|b| b.id.as_str()).collect();
    assert_eq!(ids.len(), boxes.len(), "an id is there twice");
    // Letters go from A to Z, then AA, BB …
    for (chart, last) in [("main", "II"), ("validate", "N"), ("deploy", "Q"), ("rollback", "O")] {
        let letters = (b'A'..=b'Z').map(|l| char::from(l).to_string());
        let doubled = (b'A'..=b'Z').map(|l| char::from(l).to_string().repeat(2));
        let all: Vec<String> = letters.chain(doubled).collect();
        let end = all.iter().position(|letter| letter == last).unwrap();
        let own = ids.iter().filter(|id| id.starts_with(&format!("{chart}."))).count();
        assert_eq!(own, end + 1, "{chart}");
        for letter in &all[..=end] {
            assert!(ids.contains(format!("{chart}.{letter}").as_str()), "{chart}.{letter}");
        }
    }
}

#[test]
#[should_panic(expected = "no box `main.ZZ`")]
fn a_box_that_is_not_in_the_list_cannot_be_covered() {
    let test = "workflow::coverage::a_box_that_is_not_in_the_list_cannot_be_covered";
    covers(Covered { test, boxes: &["main.ZZ"], state: "failed", code: "", exit: 9 });
}
