//! The catalogue against its pages, the documentation and the code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::*;

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = fs::read_dir(workspace().join("docs/errors"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let codes: BTreeSet<String> = ERRORS.iter().map(|entry| format!("{}.md", entry.code)).collect();
    assert_eq!(pages, codes);
    assert_eq!(codes.len(), ERRORS.len(), "a code stands twice");
}

#[test]
fn every_page_says_what_why_state_and_next() {
    let parts = ["## What it means", "## Why it happens", "## What state the world is in", "## What to do"];
    for entry in ERRORS {
        let first = entry.page.lines().next().unwrap();
        assert_eq!(first, format!("# {}: {}", entry.code, entry.title));
        for part in parts {
            let text = entry.page.split_once(part).unwrap_or_else(|| panic!("{}: no {part}", entry.code)).1;
            let text = text.split("\n## ").next().unwrap().split("Exit code:").next().unwrap().trim();
            assert!(text.len() > 30, "{}: {part} is nearly empty", entry.code);
        }
        let headings: Vec<&str> = entry.page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, parts, "{}", entry.code);
        let last = entry.page.trim_end().lines().last().unwrap();
        assert_eq!(last, format!("Exit code: {}", entry.exit.code()), "{}", entry.code);
    }
}

#[test]
fn codes_of_gates_and_unknown_codes_have_exit_codes_too() {
    assert_eq!((exit("E0413"), exit("G001"), exit("E9999")), (Exit::Cancelled, Exit::GateRefused, Exit::Internal));
    assert_eq!(find("e0103").map(|entry| entry.code), Some("E0103"));
    assert_eq!(find_gate("soak").map(|gate| gate.code), Some("G007"));
    assert_eq!(all().count(), ERRORS.len() + gate::ALL.len());
}

#[test]
fn every_gate_can_be_explained() {
    for gate in gate::ALL {
        let page = explain(gate.code).unwrap();
        assert!(page.starts_with(&format!("# {}: {}\n", gate.code, gate.name)), "{page}");
        assert!(page.len() > 80 && page.ends_with("Exit code: 3\n"), "{page}");
    }
    assert_eq!(explain("E4711"), None);
}

#[test]
fn a_gates_page_is_its_section() {
    let text = "# Gates\n\nWords.\n\n## hold\n## `soak` (G007)\n\nFirst.\n\n### More\n\nSecond.\n\n## soaked\n\nNo.\n";
    assert_eq!(section(text, "soak"), Some("First.\n\n### More\n\nSecond."));
    assert_eq!((section(text, "hold"), section(text, "order"), section("", "soak")), (None, None, None));
    assert_eq!(section(text, "soaked"), Some("No."));
    let soak = find_gate("soak").unwrap();
    assert!(gate_page(soak, text).contains("Second."));
    assert!(gate_page(soak, "").contains("Required by `soak: 1h`."));
}

/// Codes that nothing reports yet, and why they stand in the catalogue.
const RESERVED: [(&str, &str); 2] = [
    ("E0103", "for the parser of the configuration: a key that it does not know"),
    ("E0105", "for the parser of the configuration: a policy that contradicts itself"),
];

#[test]
fn every_code_in_the_sources_is_in_the_catalogue_and_every_code_of_it_is_used() {
    let mut used = BTreeSet::new();
    for krate in fs::read_dir(workspace().join("crates")).unwrap() {
        codes_below(&krate.unwrap().path().join("src"), &mut used);
    }
    let known: BTreeSet<String> = ERRORS.iter().map(|entry| entry.code.to_owned()).collect();
    let unknown: Vec<&String> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
    let reserved: BTreeSet<String> = RESERVED.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert!(reserved.is_subset(&known), "reserved and not in the catalogue");
    let idle: Vec<&String> = known.difference(&used).filter(|code| !reserved.contains(*code)).collect();
    assert!(idle.is_empty(), "nothing reports {idle:?}");
}

#[test]
fn the_overview_lists_every_exit_code_and_links_every_page() {
    let text = fs::read_to_string(workspace().join("docs/errors/README.md")).unwrap();
    for exit in EXITS {
        let row = format!("| {} | {}", exit.code(), meaning(exit));
        assert_eq!(text.lines().filter(|line| line.starts_with(&row)).count(), 1, "{row}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    assert_eq!(rows.count(), EXITS.len());
    let errors = ERRORS.iter().map(|entry| format!("- [{0}]({0}.md): {1}", entry.code, entry.title));
    let gates = gate::ALL.iter().map(|gate| {
        let anchor = format!("{}-{}", gate.name, gate.code.to_lowercase());
        format!("- [{}](../gates.md#{anchor}): {}", gate.code, gate.name)
    });
    let wanted: Vec<String> = errors.chain(gates).collect();
    let listed: Vec<&str> = text.lines().filter(|line| line.starts_with("- [")).collect();
    assert_eq!(listed, wanted);
}

#[test]
fn every_gate_has_a_section_of_its_own() {
    for gate in gate::ALL {
        let text = section(GATES, gate.name).unwrap_or_else(|| panic!("docs/gates.md has no section `{}`", gate.name));
        assert!(explain(gate.name).unwrap().contains(text));
        assert!(GATES.contains(&format!("\n## {} ({})\n", gate.name, gate.code)), "{}", gate.name);
    }
}

const EXITS: [Exit; 11] = [
    Exit::Ok,
    Exit::Internal,
    Exit::Usage,
    Exit::GateRefused,
    Exit::Authentication,
    Exit::Waiting,
    Exit::RolledBack,
    Exit::Stuck,
    Exit::Busy,
    Exit::Failed,
    Exit::Cancelled,
];

/// How the overview begins to say what an exit code means. Who adds one adds it to [`EXITS`] too.
fn meaning(exit: Exit) -> &'static str {
    match exit {
        Exit::Ok => "done",
        Exit::Internal => "an internal error",
        Exit::Usage => "wrong usage or configuration",
        Exit::GateRefused => "a gate refused",
        Exit::Authentication => "no authentication",
        Exit::Waiting => "waiting for approval or a condition",
        Exit::RolledBack => "failed, and rolled back",
        Exit::Stuck => "stuck: a person is needed",
        Exit::Busy => "another promotion holds the environment",
        Exit::Failed => "failed, and nothing live was changed",
        Exit::Cancelled => "rejected, cancelled",
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The codes that the sources below `directory` report: `"E0001"` or `code::E0001`, tests and this catalogue left out.
fn codes_below(directory: &Path, used: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            codes_below(&path, used);
        }
        if !name.ends_with(".rs") || matches!(name.as_str(), "catalogue.rs" | "tests.rs" | "testing.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for start in ["\"E", "code::E"].iter().flat_map(|start| text.match_indices(start)) {
            let rest = &text[start.0 + start.1.len() - 1..];
            let digits = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
            let closed = start.1 != "\"E" || rest.as_bytes().get(5) == Some(&b'"');
            if digits == 4 && closed {
                used.insert(rest[..5].to_owned());
            }
        }
    }
}
