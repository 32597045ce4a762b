//! A gate is one file, its fixtures, its section in `docs/gates.md` and one line of registration. None may be missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sealift_domain::gate::{ALL, Facts, GateInfo, Gates, Judged};
use serde::Deserialize;
use serde_json::{Value, json};

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nAA";

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

fn documentation() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gates.md")).unwrap()
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

/// What is missing or too much in `folder`, which has a folder of fixtures for each of `gates`.
fn faults_of_fixtures(gates: &[GateInfo], folder: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for gate in gates {
        for verdict in ["pass", "fail", "error"] {
            if !folder.join(gate.name).join(format!("{verdict}.json")).is_file() {
                faults.push(format!("{} has no fixture `{verdict}.json`", gate.name));
            }
        }
    }
    for found in fs::read_dir(folder).unwrap() {
        let name = found.unwrap().file_name().into_string().unwrap();
        if !gates.iter().any(|gate| gate.name == name) {
            faults.push(format!("fixtures/{name} belongs to no gate"));
        }
    }
    faults
}

/// What is missing or too much in `text`, which has a section for each of `gates`.
fn faults_of_documentation(gates: &[GateInfo], text: &str) -> Vec<String> {
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let mut faults = Vec::new();
    for gate in gates {
        let heading = format!("{} ({})\n", gate.name, gate.code);
        let Some(section) = sections.iter().find(|section| section.starts_with(&heading)) else {
            faults.push(format!("docs/gates.md has no section `## {}`", heading.trim()));
            continue;
        };
        for part in
            [gate.require.unwrap_or("Always required"), "**Why.**", "**Evidence.**", "**Fails", "**Errs", "**Remedy.**"]
        {
            if !section.contains(part) {
                faults.push(format!("section {} lacks `{part}`", gate.name));
            }
        }
    }
    for section in sections {
        let heading = section.lines().next().unwrap();
        let known = gates.iter().any(|gate| heading == format!("{} ({})", gate.name, gate.code));
        if !known && !GENERAL.contains(&heading) {
            faults.push(format!("section `{heading}` has no gate"));
        }
    }
    faults
}

/// The sections of the documentation that are about no single gate.
const GENERAL: &[&str] = &["Whose evidence counts", "How to add a gate"];

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
fn every_gate_has_a_fixture_for_every_verdict_and_every_folder_its_gate() {
    assert_eq!(faults_of_fixtures(ALL, &fixtures()), Vec::<String>::new());
}

#[test]
fn every_gate_has_its_section_in_the_documentation_and_every_section_its_gate() {
    assert_eq!(faults_of_documentation(ALL, &documentation()), Vec::<String>::new());
}

#[test]
fn a_gate_without_fixtures_or_without_a_section_is_found_out() {
    let made_up =
        GateInfo { name: "made_up", code: "G999", version: 1, summary: "Nothing.", require: Some("made_up: required") };
    let with_it: Vec<GateInfo> = ALL.iter().copied().chain([made_up]).collect();
    assert_eq!(
        faults_of_fixtures(&with_it, &fixtures()),
        ["pass", "fail", "error"].map(|verdict| format!("made_up has no fixture `{verdict}.json`"))
    );
    assert_eq!(
        faults_of_documentation(&with_it, &documentation()),
        ["docs/gates.md has no section `## made_up (G999)`"]
    );
    // A heading alone is no section.
    let heading = format!("{}\n## made_up (G999)\n\n**Why.** Because.\n", documentation());
    let missing = ["made_up: required", "**Evidence.**", "**Fails", "**Errs", "**Remedy.**"];
    assert_eq!(
        faults_of_documentation(&with_it, &heading),
        missing.map(|part| format!("section made_up lacks `{part}`"))
    );
    // And the other way round: what is left of a gate that is gone.
    let without: Vec<GateInfo> = ALL.iter().copied().filter(|gate| gate.name != "soak").collect();
    assert_eq!(faults_of_fixtures(&without, &fixtures()), ["fixtures/soak belongs to no gate"]);
    assert_eq!(faults_of_documentation(&without, &documentation()), ["section `soak (G007)` has no gate"]);
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

/// The gates that judge what others say of the image, and of its source, and the conditions, in the order of registration.
const OF_EVIDENCE: [&str; 7] =
    ["signature", "sbom", "provenance", "licenses", "vulnerabilities", "source_reachable", "when"];

#[test]
fn what_is_required_is_judged_in_order_and_the_rest_is_named() {
    let facts = fixtures_of(&ALL[0]).remove("pass").unwrap().facts;
    let names = |gates: &Gates| gates.judge(&facts).into_iter().map(|judged| judged.gate).collect::<Vec<_>>();
    let left = |gates: &Gates| gates.not_required().iter().map(|gate| gate.name).collect::<Vec<_>>();
    let none = Gates::default();
    assert_eq!(names(&none), ["same_digest", "by_hand", "order", "verified", "hold", "freeze", "schema"]);
    assert_eq!(left(&none), [&["soak", "max_size", "layers", "metadata"][..], &OF_EVIDENCE].concat());
    let some: Gates = serde_json::from_value(json!({"layers": "required", "soak": "1h"})).unwrap();
    assert_eq!(names(&some)[7..], ["soak", "layers"]);
    assert_eq!(left(&some), [&["max_size", "metadata"][..], &OF_EVIDENCE].concat());
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
fn a_gate_of_evidence_that_is_configured_wrong_is_refused_and_says_why() {
    let (ours, theirs) = (json!({"key": KEY}), json!({"key": "-----BEGIN PUBLIC KEY-----\nBB"}));
    let exception = |until: &str| json!({"package": "a", "reason": "b", "until": until});
    for (gate, config, why) in [
        ("sbom", json!("optional"), "`sbom` is `required`"),
        ("sbom", json!({"by": "cosign.pub"}), "Written"),
        ("sbom", json!({"format": ["spdx"]}), "unknown field `format`"),
        ("sbom", json!({"formats": ["swid"]}), "unknown variant `swid`"),
        ("provenance", json!({"builder": "*"}), "`builder` must say who"),
        ("provenance", json!({"source": " "}), "`source` must name a repository"),
        ("provenance", json!({"labels": "allowed", "builder": "x"}), "labels say nothing of the builder"),
        ("provenance", json!({"level": 3}), "unknown field `level`"),
        ("licenses", json!({}), "`allow`, `deny` or both"),
        ("licenses", json!({"deny": ["GLP-3.0"]}), "`GLP-3.0` is no licence"),
        ("licenses", json!({"allow": ["MIT OR X11"]}), "is no licence"),
        ("licenses", json!({"deny": ["X*Y*"]}), "is no licence"),
        (
            "licenses",
            json!({"deny": ["GPL-3.0"], "exceptions": [{"package": "a", "until": "2026-01-01"}]}),
            "missing field `reason`",
        ),
        (
            "licenses",
            json!({"deny": ["GPL-3.0"], "exceptions": [{"package": "a", "reason": "b"}]}),
            "missing field `until`",
        ),
        (
            "licenses",
            json!({"deny": ["GPL-3.0"], "exceptions": [{"package": "", "reason": "b", "until": "2026-01-01"}]}),
            "names a `package`",
        ),
        ("licenses", json!({"deny": ["GPL-3.0"], "exceptions": [exception("soon")]}), "`until` is a day"),
        ("vulnerabilities", json!({}), "missing field `fail_on`"),
        ("vulnerabilities", json!({"fail_on": "bad"}), "unknown variant `bad`"),
        ("vulnerabilities", json!({"fail_on": "high", "max_age": "1 week"}), "length of time"),
        (
            "vulnerabilities",
            json!({"fail_on": "high", "ignore": [{"id": "a", "reason": "b"}]}),
            "missing field `until`",
        ),
        (
            "vulnerabilities",
            json!({"fail_on": "high", "ignore": [{"id": "a", "reason": " ", "until": "2026-01-01"}]}),
            "a `reason`",
        ),
        ("vulnerabilities", json!({"fail_on": "high", "vex": {}}), "missing field `by`"),
        ("vulnerabilities", json!({"fail_on": "high", "by": ours, "vex": {"by": ours}}), "somebody else than `by`"),
        (
            "vulnerabilities",
            json!({"fail_on": "high", "by": ours, "vex": {"by": {"keys": [KEY, "-----BEGIN PUBLIC KEY-----\nBB"]}}}),
            "somebody else than `by`",
        ),
        ("source_reachable", json!({"branches": []}), "1 to 16 branches"),
        ("source_reachable", json!({"branches": ["--upload-pack=x"]}), "a branch is its name"),
        ("source_reachable", json!({"branches": ["a*b"]}), "a branch is its name"),
        ("when", json!([]), "1 to 16 conditions"),
        ("when", json!(vec!["true"; 17]), "1 to 16 conditions"),
        ("when", json!(["to = 'x'"]), "line 1 column"),
        ("when", json!("true"), "sequence"),
    ] {
        let error = serde_json::from_value::<Gates>(json!({gate: config})).unwrap_err().to_string();
        assert!(error.contains(why), "{gate}: {config}: {error}");
    }
    let right = json!({"vulnerabilities": {"fail_on": "high", "by": ours, "vex": {"by": theirs}}});
    assert!(serde_json::from_value::<Gates>(right).is_ok());
}

#[test]
fn what_a_gate_is_configured_with_is_written_as_it_was_read() {
    for gate in ALL.iter().filter(|gate| gate.require.is_some()) {
        for (name, fixture) in fixtures_of(gate) {
            let gates = requiring(gate, &fixture.config);
            let written = serde_json::to_value(&gates).unwrap();
            assert_eq!(written[gate.name], fixture.config, "{} {name}", gate.name);
            assert_eq!(serde_json::from_value::<Gates>(written).unwrap(), gates, "{} {name}", gate.name);
        }
    }
}

#[test]
fn gates_ask_for_the_evidence_and_the_branches_that_they_judge() {
    let gates: Gates = serde_json::from_value(json!({
        "signature": {"key": KEY},
        "vulnerabilities": {"fail_on": "high", "by": {"key": KEY}, "vex": {"by": {"key": "-----BEGIN PUBLIC KEY-----\nBB"}}},
        "source_reachable": {"branches": ["main", "release/*"]},
    }))
    .unwrap();
    let asks = gates.asks();
    assert!(asks.evidence);
    assert_eq!((asks.trusts.len(), asks.branches), (3, vec!["main", "release/*"]));
    for (config, evidence) in [
        (json!({"sbom": "required"}), true),
        (json!({"provenance": {}}), true),
        (json!({"licenses": {"deny": ["GPL-3.0"]}}), true),
        (json!({"when": ["evidence.sbom"]}), true),
        (json!({"when": ["to == 'evidence'"]}), false),
        (json!({"source_reachable": {"branches": ["main"]}}), false),
        (json!({"soak": "1h"}), false),
    ] {
        let gates: Gates = serde_json::from_value(config.clone()).unwrap();
        assert_eq!(gates.asks().evidence, evidence, "{config}");
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
