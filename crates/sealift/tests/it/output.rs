//! What programs read: results as JSON, help, completions.

use serde_json::Value;

use crate::place::Place;

/// Every line of a result is JSON of schema version 1.
#[track_caller]
fn speaks_json(place: &Place, arguments: &[&str], code: i32) -> Value {
    let ran = place.run(&[&["--output", "json"], arguments].concat());
    ran.ends(code);
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {line}")))
        .collect();
    assert!(!lines.is_empty(), "{arguments:?} says nothing");
    for line in &lines {
        assert_eq!(line["schema_version"], 1, "{arguments:?}: {line}");
    }
    // Progress and errors are JSON too.
    for line in ran.stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{arguments:?} on stderr: {line}");
    }
    lines.into_iter().last().unwrap()
}

#[test]
fn every_command_speaks_json() {
    let place = Place::new();
    let json = |arguments: &[&str], code| speaks_json(&place, arguments, code);
    json(&["init"], 0);
    let image = sealift::demo::images::service("1.0.0", None).build();
    place.staging.push("hello", &image, Some("1.0.0"));
    let name = format!("{}/hello:1.0.0", place.staging.address());
    let copy = format!("{}/copied:1.0.0", place.production.address());
    json(&["record", "build", &name], 0);
    json(&["look", &name], 0);
    assert_eq!(json(&["copy", &name, &copy], 0)["digest"], image.digest.to_string());
    json(&["plan", "--to", "staging"], 0);
    json(&["rehearse", "--to", "staging"], 0);
    json(&["record", "rebuild", "--in", "staging", "--", "true"], 0);
    json(&["promote", "--to", "staging"], 0);
    json(&["check", "--to", "production"], 0);
    json(&["plan", "--to", "production"], 0);
    json(&["freeze", "production", "--for", "1h", "--reason", "x"], 0);
    json(&["check", "--to", "production"], 3);
    json(&["freeze", "production", "--lift", "--reason", "x"], 0);
    json(&["hold", "place", "production", "--reason", "x"], 0);
    json(&["hold", "list"], 0);
    json(&["hold", "release", "production", "--reason", "x"], 0);
    let ask = ["promote", "--to", "production", "--identity", "keys/bob"];
    let first = json(&ask, 5)["promotion_id"].as_u64().unwrap().to_string();
    json(&["cancel", &first, "--reason", "x"], 0);
    json(&ask, 5);
    json(&["reject", "--reason", "x", "--identity", "keys/ana"], 0);
    let id = json(&ask, 5)["promotion_id"].as_u64().unwrap().to_string();
    json(&["request", "export", "--out", "request.json"], 0);
    json(&["approve", "request.json", "--identity", "keys/ana", "--out", "answer.json"], 0);
    json(&["approve", "import", "answer.json"], 0);
    json(&["approve", "--identity", "keys/ana"], 0);
    assert_eq!(json(&["promote", "--to", "production"], 0)["state"], "completed");
    json(&["verify", "--in", "production"], 0);
    json(&["record", "deployment", "--in", "production"], 0);
    json(&["record", "database", "--in", "staging", "--schema", "0", "--reason", "x"], 0);
    for what in [id.as_str(), "production", "E0103", "G004"] {
        json(&["explain", what], 0);
    }
    json(&["status"], 0);
    json(&["status", &id], 0);
    json(&["history"], 0);
    json(&["keys", "generate", "--out", "promotion.key"], 0);
    json(&["keys", "show"], 0);
    place.run(&["keys", "rotate", "--out", "new.key"]).ends(2).says("no environment attests");
    assert!(!place.path("new.key").exists(), "a key was made that nothing wants");
    json(&["audit", "verify"], 0);
    json(&["audit", "checkpoint"], 0);
    json(&["audit", "show"], 0);
    json(&["audit", "show", &id], 0);
    json(&["audit", "export", "export"], 0);
    json(&["policy", "diff"], 0);
    json(&["policy", "accept"], 0);
    place.edit("max_size: 100MB", "max_size: 200MB");
    json(&["policy", "diff"], 0);
    json(&["policy", "accept", "--identity", "keys/ana"], 0);
    place.build("1.1.0");
    place.to_staging();
    place.to_production();
    json(&["rollback", "--in", "production", "--identity", "keys/bob"], 5);
}

#[test]
fn errors_are_json_on_standard_error() {
    let place = Place::new();
    let ran = place.run(&["status", "--output", "json"]);
    ran.ends(2);
    assert_eq!(ran.stdout, "");
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((&error["schema_version"], &error["code"]), (&1.into(), &"E0107".into()));
}

#[test]
fn the_configuration_has_a_schema() {
    let place = Place::new();
    let ran = place.run(&["schema"]);
    ran.ends(0);
    assert!(ran.json().is_object(), "{}", ran.stdout);
}

/// The commands of a help text, without `help` itself.
fn commands(help: &str) -> Vec<String> {
    let list = help.split_once("Commands:\n").map(|(_, list)| list).unwrap_or_default();
    let list = list.split_once("\n\n").map_or(list, |(list, _)| list);
    let name = |line: &str| line.strip_prefix("  ")?.split(' ').next().filter(|n| !n.is_empty()).map(str::to_owned);
    list.lines().filter_map(name).filter(|name| name != "help").collect()
}

/// A help text without the options that every command has; they stand in the help of `sealift` itself.
fn own_options(help: &str) -> String {
    let everywhere = ["      --config <FILE>", "      --output <OUTPUT>", "      --color <COLOR>", "  -h, --help"];
    let mut skipped = false;
    let mut own = String::new();
    for line in help.lines() {
        if line.starts_with("      --") || line.starts_with("  -") || !line.starts_with(' ') && !line.is_empty() {
            skipped = everywhere.contains(&line);
        }
        if !skipped {
            own.push_str(line);
            own.push('\n');
        }
    }
    own.replace("\nOptions:\n\n", "\n").trim_end().trim_end_matches("Options:").trim_end().to_owned() + "\n"
}

#[test]
fn the_help_of_every_command_is_what_was_agreed() {
    let place = Place::new();
    let help = |words: &[&str]| {
        let ran = place.run(&[words, &["--help"]].concat());
        ran.ends(0);
        ran.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
    };
    let top = help(&[]);
    let mut all = format!("$ sealift --help\n{top}");
    let mut seen = 0;
    for command in commands(&top) {
        let text = help(&[&command]);
        all.push_str(&format!("\n$ sealift {command} --help\n{}", own_options(&text)));
        for below in commands(&text) {
            all.push_str(&format!("\n$ sealift {command} {below} --help\n{}", own_options(&help(&[&command, &below]))));
            seen += 1;
        }
        seen += 1;
    }
    assert!(seen > 25, "{seen} commands");
    assert!(!all.contains("__agent"), "what people never type is not shown");
    insta::assert_snapshot!("help", all);
}

#[test]
fn completions_are_written_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = place.run(&["completions", shell]);
        ran.ends(0);
        assert!(ran.stdout.contains("promote") && ran.stdout.contains("rollback"), "{shell}");
    }
    place.run(&["completions", "cobol"]).ends(2);
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    sealift::cli::Cli::command().debug_assert();
}
