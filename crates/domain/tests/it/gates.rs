//! A gate is one file, its fixtures, its section in `docs/gates.md` and one line of registration. None may be missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sealift_domain::gate::{ALL, Facts, GateInfo, Gates, Judged};
use serde::Deserialize;
use serde_json::{Value, json};

/// A question to a gate, and its whole answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    /// The gate's configuration; `null` for a gate that is always required.
    config: Value,
    facts: Facts,
    /// Verdict, words, remedy and evidence.
    expect: Value,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gate/fixtures")
}

/// The fixtures of `gate` by name, read from its folder.
fn fixtures_of(gate: &GateInfo) -> BTreeMap<String, Fixture> {
    let folder = fixtures().join(gate.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{} has no fixtures: {e}", gate.name));
    files
        .map(|file| {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let fixture = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fixture)
        })
        .collect()
}

/// A configuration that requires `gate`, where that is a matter of choice.
fn requiring(gate: &GateInfo, config: &Value) -> Gates {
    assert_eq!(gate.require.is_none(), config.is_null(), "{}: only gates by choice have a configuration", gate.name);
    let mut gates = json!({});
    if !config.is_null() {
        gates[gate.name] = config.clone();
    }
    serde_json::from_value(gates).unwrap()
}

fn judge(gate: &GateInfo, fixture: &Fixture) -> Judged {
    let judged = requiring(gate, &fixture.config).judge(&fixture.facts);
    judged.into_iter().find(|judged| judged.gate == gate.name).unwrap()
}

#[test]
fn every_fixture_gets_exactly_the_answer_it_expects() {
    for gate in ALL {
        for (name, fixture) in fixtures_of(gate) {
            let judged = judge(gate, &fixture);
            let answer = serde_json::to_value(&judged.finding).unwrap();
            assert_eq!(answer, fixture.expect, "{} {name}", gate.name);
            assert_eq!(judged.code.as_str(), gate.code);
            let verdict = name.split('-').next().unwrap();
            assert_eq!(answer["verdict"], verdict, "{} {name}: the name of a fixture is its verdict", gate.name);
        }
    }
}

#[test]
fn a_judgement_tells_its_words_its_remedy_and_when_it_clears() {
    for gate in ALL {
        for (name, fixture) in fixtures_of(gate) {
            let judged = judge(gate, &fixture);
            let expect = &fixture.expect;
            assert_eq!(judged.passed(), expect["verdict"] == "pass", "{} {name}", gate.name);
            let words = if judged.passed() { &expect["found"] } else { &expect["reason"] };
            assert_eq!(judged.words(), words.as_str().unwrap());
            assert_eq!(judged.remedy(), expect["remedy"].as_str());
            assert_eq!(judged.clears_at().map(|at| at.to_string()).as_deref(), expect["clears_at"].as_str());
            assert!(!judged.words().is_empty() && judged.remedy().is_none_or(|remedy| !remedy.is_empty()));
            let text = serde_json::to_string(&judged).unwrap();
            assert_eq!(serde_json::from_str::<Judged>(&text).unwrap(), judged);
        }
    }
}

#[test]
fn every_gate_has_a_fixture_for_every_verdict() {
    for gate in ALL {
        let names: BTreeSet<String> = fixtures_of(gate).into_keys().collect();
        for verdict in ["pass", "fail", "error"] {
            assert!(names.contains(verdict), "{} has no fixture `{verdict}.json`", gate.name);
        }
    }
}

#[test]
fn every_folder_of_fixtures_has_a_gate() {
    for folder in fs::read_dir(fixtures()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(ALL.iter().any(|gate| gate.name == name), "fixtures/{name} belongs to no gate");
    }
}

#[test]
fn every_gate_has_its_section_in_the_documentation_and_every_section_its_gate() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gates.md");
    let text = fs::read_to_string(path).unwrap();
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    for gate in ALL {
        let heading = format!("{} ({})\n", gate.name, gate.code);
        let section = sections.iter().find(|section| section.starts_with(&heading));
        let section = section.unwrap_or_else(|| panic!("docs/gates.md has no section `## {}`", heading.trim()));
        let require = gate.require.unwrap_or("Always required");
        assert!(section.contains(require), "section {} does not say `{require}`", gate.name);
        for part in ["**Why.**", "**Evidence.**", "**Fails", "**Remedy.**"] {
            assert!(section.contains(part), "section {} lacks {part}", gate.name);
        }
    }
    for section in sections {
        let heading = section.lines().next().unwrap();
        let coded = heading.ends_with(')') && heading.contains("(G");
        let known = ALL.iter().any(|gate| heading == format!("{} ({})", gate.name, gate.code));
        assert!(known || !coded, "section `{heading}` has no gate");
        assert!(known || heading == "How to add a gate", "section `{heading}` has no gate");
    }
}

#[test]
fn the_catalogue_is_consistent() {
    let names: BTreeSet<&str> = ALL.iter().map(|gate| gate.name).collect();
    let codes: BTreeSet<&str> = ALL.iter().map(|gate| gate.code).collect();
    assert_eq!((names.len(), codes.len()), (ALL.len(), ALL.len()), "names and codes are unique");
    for gate in ALL {
        assert!(gate.summary.ends_with('.'), "{}", gate.name);
        let line = gate.require.unwrap_or("");
        assert!(line.is_empty() || line.starts_with(&format!("{}: ", gate.name)), "{line}");
    }
}

#[test]
fn what_is_required_is_judged_in_order_and_the_rest_is_named() {
    let facts = fixtures_of(&ALL[0]).remove("pass").unwrap().facts;
    let names = |gates: &Gates| gates.judge(&facts).into_iter().map(|judged| judged.gate).collect::<Vec<_>>();
    let left = |gates: &Gates| gates.not_required().iter().map(|gate| gate.name).collect::<Vec<_>>();
    let none = Gates::default();
    assert_eq!(names(&none), ["same_digest", "by_hand", "order", "verified", "hold", "freeze", "schema"]);
    assert_eq!(left(&none), ["soak", "max_size", "layers", "metadata", "signature"]);
    let some: Gates = serde_json::from_value(json!({"layers": "required", "soak": "1h"})).unwrap();
    assert_eq!(names(&some)[7..], ["soak", "layers"]);
    assert_eq!(left(&some), ["max_size", "metadata", "signature"]);
}

#[test]
fn an_unknown_gate_is_refused() {
    for text in [
        r#"{"soaks":"1h"}"#,
        r#"{"order":"required"}"#,
        r#"{"layers":"yes"}"#,
        r#"{"metadata":["colour"]}"#,
        r#"{"signature":{}}"#,
        r#"{"signature":{"keys":[]}}"#,
        r#"{"signature":{"key":"cosign.pub"}}"#,
        r#"{"signature":{"key":"-----BEGIN PUBLIC KEY-----\nAA","keys":["-----BEGIN PUBLIC KEY-----\nAA"]}}"#,
        r#"{"signature":{"key":"-----BEGIN PUBLIC KEY-----\nAA","identity":"x"}}"#,
    ] {
        assert!(serde_json::from_str::<Gates>(text).is_err(), "{text}");
    }
}

#[test]
fn a_broken_answer_never_reads_as_a_pass() {
    for text in [
        r#"{"gate":"order","code":"G003"}"#,
        r#"{"gate":"order","code":"G003","verdict":"passed","found":"x"}"#,
        r#"{"gate":"order","code":"G003","verdict":"pass"}"#,
    ] {
        assert!(serde_json::from_str::<Judged>(text).is_err(), "{text}");
    }
}
