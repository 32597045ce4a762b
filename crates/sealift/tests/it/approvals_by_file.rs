//! Requests and answers that travel as files, to a machine that has nothing but the program, a key and the file.

use std::path::{Path, PathBuf};

use crate::place::{Place, Ran, finish};

/// The machine of a person: a directory with one key and the program.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn of(place: &Place, person: &str) -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        for (from, to) in [(person.to_owned(), "key"), (format!("{person}.pub"), "key.pub")] {
            std::fs::copy(place.path("keys").join(from), machine.path(to)).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Brings a file here, or from here.
    fn carry(from: &Path, to: &Path) {
        std::fs::copy(from, to).unwrap();
    }

    fn run(&self, place: &Place, arguments: &[&str]) -> Ran {
        let mut command = place.command(env!("CARGO_BIN_EXE_sealift").as_ref());
        command.current_dir(self.directory.path()).env("HOME", self.directory.path()).args(arguments);
        finish(command, &format!("sealift {}", arguments.join(" ")))
    }

    /// Approves the request of a place on this machine, and brings the answer back.
    fn answers(&self, place: &Place, request: &str, answer: &str) -> Ran {
        Self::carry(&place.path(request), &self.path("request.json"));
        drop(std::fs::remove_file(self.path("answer.json")));
        let ran = self.run(place, &["approve", "request.json", "--identity", "key", "--out", "answer.json"]);
        if ran.code == Some(0) {
            Self::carry(&self.path("answer.json"), &place.path(answer));
        }
        ran
    }
}

/// Bob has asked, and the request was exported.
fn exported() -> (Place, u64) {
    let place = Place::initialised();
    place.build("1.0.0");
    place.to_staging();
    let id = place.request();
    place.run(&["request", "export", "--out", "request.json"]).ends(0).says("next: sealift approve request.json");
    (place, id)
}

#[test]
fn a_request_is_approved_where_there_is_nothing_but_the_program_the_key_and_the_file() {
    let (place, id) = exported();
    let ana = Machine::of(&place, "ana");
    let shown = ana.answers(&place, "request.json", "answer.json");
    let digest = place.live("staging").unwrap().to_string();
    shown.ends(0).says(&format!("approved by ana (promotion {id}), signed into answer.json"));
    for words in [
        "nothing → 1.0.0",
        "in production, from staging",
        digest.as_str(),
        "bob (signed)",
        "pass verified:",
        "the first one",
        "not bound by the signature",
        "approval by ana, which counts until",
        "entries, root",
    ] {
        shown.says(words);
    }
    assert_eq!(place.answers("production"), None);
    place.run(&["promote", "--to", "production"]).ends(5);
    // An identity that is set for the account is no argument of this command.
    let set = [("SEALIFT_IDENTITY", "keys/ana")];
    let taken = place.run_with(&["approve", "import", "answer.json"], &set);
    taken.ends(0).says("approved by ana").says("next: sealift promote");
    let size = place.audited();
    place.run(&["approve", "import", "answer.json"]).ends(0).says("which the log had already");
    assert_eq!(place.audited(), size, "the second time writes nothing");
    place.run(&["promote", "--to", "production"]).ends(0);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    // Used up: it is another promotion's, and of no use for the next.
    place.build("1.1.0");
    place.to_staging();
    let next = place.request();
    assert_ne!(next, id);
    place.run(&["promote", "--to", "production"]).ends(5);
    place.run(&["approve", "import", "answer.json"]).ends(0).says("which the log had already");
    place.run(&["promote", "--to", "production"]).ends(5);
    place.audited();
}

#[test]
fn attack_09_an_answer_to_what_has_changed_since_does_not_count() {
    let (place, _) = exported();
    Machine::of(&place, "ana").answers(&place, "request.json", "answer.json").ends(0);
    place.edit("max_size: 100MB", "max_size: 101MB");
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(5);
    let stale = place.run(&["approve", "import", "answer.json"]);
    stale.ends(2).says("E0601").says("another policy").says("sealift request export ID");
    place.run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(place.answers("production"), None);
}

#[test]
fn several_answers_count_each_by_itself() {
    let (place, id) = exported();
    Machine::of(&place, "ana").answers(&place, "request.json", "good.json").ends(0);
    place.write("garbage.json", "{\"sealift_answer\": 1}");
    let good = std::fs::read_to_string(place.path("good.json")).unwrap();
    // Ana's statement in another's name, and with another decision: the signature is over neither.
    place.write("forged.json", &good.replace("approve\\\"", "reject\\\""));
    let mixed = place.run(&["approve", "import", "garbage.json", "forged.json", "nowhere.json", "good.json"]);
    mixed.ends(2).says("E0618").says("in garbage.json").says("E0601").says("in forged.json").says("E0101");
    mixed.says("good.json: approved by ana");
    let told = place.run(&["approve", "import", "good.json", "garbage.json", "--output", "json"]);
    told.ends(2);
    let told = told.json();
    assert_eq!((&told["answers"][0]["result"], &told["answers"][0]["promotion"]), (&"taken-before".into(), &id.into()));
    assert_eq!((&told["answers"][1]["result"], &told["answers"][1]["code"]), (&"refused".into(), &"E0618".into()));
    place.run(&["promote", "--to", "production"]).ends(0);
}

#[test]
fn attack_09_an_edited_request_and_a_key_that_may_not_approve_sign_nothing() {
    let (place, _) = exported();
    let (ana, bob, eve) = (Machine::of(&place, "ana"), Machine::of(&place, "bob"), Machine::of(&place, "eve"));
    let text = std::fs::read_to_string(place.path("request.json")).unwrap();
    for (from, to) in [("\"hello\"", "\"hallo\""), ("1.0.0", "1.0.1"), ("\n  ", "\n   "), ("production", "productiom")]
    {
        assert!(text.contains(from), "{from}");
        place.write("edited.json", &text.replacen(from, to, 1));
        ana.answers(&place, "edited.json", "answer.json").ends(2).says("E0615");
    }
    place.write("cut.json", &text[..text.len() / 2]);
    ana.answers(&place, "cut.json", "answer.json").ends(2).says("E0615");
    eve.answers(&place, "request.json", "answer.json").ends(2).says("E0604");
    bob.answers(&place, "request.json", "answer.json").ends(2).says("E0601");
    ana.run(&place, &["approve", "nowhere.json", "--identity", "key"]).ends(2).says("neither the number");
    assert!(!place.path("answer.json").exists());
    place.run(&["approve", "17", "--out", "x"]).ends(2).says("E0002");
}

#[test]
fn what_is_written_replaces_nothing() {
    let (place, id) = exported();
    let ana = Machine::of(&place, "ana");
    Machine::carry(&place.path("request.json"), &ana.path("request.json"));
    let key = std::fs::read(ana.path("key")).unwrap();
    for name in ["key", "request.json"] {
        let ran = ana.run(&place, &["approve", "request.json", "--identity", "key", "--out", name]);
        ran.ends(2).says("E0101").says("exists already").says("nothing was overwritten");
    }
    let rejects = ["reject", "request.json", "--reason", "no", "--identity", "key", "--out", "key"];
    ana.run(&place, &rejects).ends(2).says("exists already");
    assert_eq!(std::fs::read(ana.path("key")).unwrap(), key);
    let nowhere = ["approve", "request.json", "--identity", "key", "--out", "missing/answer.json"];
    ana.run(&place, &nowhere).ends(2).says("E0101");
    assert!(!ana.path("missing").exists());
    let id = id.to_string();
    place.run(&["request", "export", &id, "--out", "request.json"]).ends(2).says("exists already");
    place.run(&["request", "export", &id, "--out", "sealift.yaml"]).ends(2).says("exists already");
}

#[test]
fn a_request_of_another_application_or_policy_is_not_signed_by_mistake() {
    let (place, _) = exported();
    let ana = Machine::of(&place, "ana");
    let here = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    std::fs::write(ana.path("sealift.yaml"), here.replace("app: hello", "app: other")).unwrap();
    ana.answers(&place, "request.json", "answer.json").ends(2).says("E0615").says("it is a request of `hello`");
    // A policy that is older, or newer, than the accepted one.
    std::fs::write(ana.path("sealift.yaml"), here.replace("max_size: 100MB", "max_size: 10MB")).unwrap();
    ana.answers(&place, "request.json", "answer.json").ends(2).says("WARNING").says("max_size").says("--yes");
    let all_the_same = ["approve", "request.json", "--identity", "key", "--yes", "--out", "answer.json"];
    ana.run(&place, &all_the_same).ends(0).says("WARNING");
    std::fs::write(ana.path("sealift.yaml"), here).unwrap();
    ana.answers(&place, "request.json", "answer.json").ends(0);
    place.run(&["approve", "import", "answer.json"]).ends(0);
}

#[test]
fn a_promotion_is_rejected_by_file_and_the_second_approver_works_at_the_same_time() {
    let place = Place::new();
    let eve = format!("  - {{id: eve, ssh: \"{}\", roles: [platform-lead]}}\nenvironments:", place.public_key("eve"));
    place.edit("environments:", &eve);
    place.edit("expires: 1h, not", "count: 2, expires: 1h, not");
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    let id = place.request();
    place.run(&["request", "export", &id.to_string(), "--out", "request.json"]).ends(0);
    let (ana, eve) = (Machine::of(&place, "ana"), Machine::of(&place, "eve"));
    ana.answers(&place, "request.json", "ana.json").ends(0);
    eve.answers(&place, "request.json", "eve.json").ends(0);
    place.run(&["approve", "import", "ana.json"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(5).says("waits for an approval");
    place.run(&["approve", "import", "eve.json"]).ends(0);
    Machine::carry(&place.path("request.json"), &eve.path("request.json"));
    eve.run(&place, &["reject", "request.json", "--identity", "key", "--reason", " "]).ends(2).says("say why");
    let rejects = ["reject", "request.json", "--identity", "key", "--reason", "not on a Friday"];
    eve.run(&place, &rejects).ends(0).says(&format!("answer-{id}-eve.json"));
    let named = format!("answer-{id}-eve.json");
    Machine::carry(&eve.path(&named), &place.path(&named));
    place.run(&["approve", "import", &named]).ends(0).says("rejected by eve");
    place.run(&["approve", "import", &named]).ends(0).says("which the log had already");
    place.run(&["promote", "--to", "production"]).ends(2);
    assert_eq!(place.answers("production"), None);
    place.audited();
}

#[test]
fn a_log_that_can_only_be_read_says_how_to_approve_all_the_same() {
    let (place, id) = exported();
    let key = place.path(".sealift/log.key");
    std::fs::rename(&key, place.path("log.key")).unwrap();
    place.run(&["approve", "--identity", "keys/ana"]).ends(2).says("E0617").says("sealift request export ID");
    place.run(&["reject", "--reason", "no", "--identity", "keys/ana"]).ends(2).says("E0617");
    // Whoever only reads can export, to standard output too.
    let printed = place.run(&["request", "export", &id.to_string(), "--out", "-"]);
    printed.ends(0);
    place.write("printed.json", &printed.stdout);
    place.run(&["approve", "printed.json", "--identity", "keys/ana", "--out", "answer.json"]).ends(0);
    place.run(&["approve", "import", "answer.json"]).ends(2).says("E0617");
    std::fs::rename(place.path("log.key"), &key).unwrap();
    place.run(&["approve", "import", "answer.json"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(0);
}

#[test]
fn nothing_is_exported_of_what_does_not_wait() {
    let place = Place::initialised();
    place.run(&["request", "export"]).ends(2).says("no promotion waits for approval");
    place.run(&["request", "export", "17"]).ends(2).says("E0402");
    place.release("1.0.0");
    let id = place.ledger().promotions.keys().last().unwrap().to_string();
    place.run(&["request", "export", &id]).ends(2).says("E0403");
}

#[test]
fn what_is_waived_is_shown_and_signed_by_file_too() {
    let place = Place::new();
    let eve = format!("  - {{id: eve, ssh: \"{}\", roles: [platform-lead]}}\nenvironments:", place.public_key("eve"));
    place.edit("environments:", &eve);
    let rules = "    gates: {max_size: 100MB, soak: 1h}
    expedited: {roles: [platform-lead], count: 2, waive: [soak], follow_up: 3d}";
    place.edit("    gates: {max_size: 100MB, layers: required}", rules);
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place.request_by(&["promote", "--to", "production", "--expedited", "--reason", "CVE-2026-1"]);
    place.run(&["request", "export", "--out", "request.json"]).ends(0);
    for person in ["ana", "eve"] {
        let answer = format!("{person}.json");
        let shown = Machine::of(&place, person).answers(&place, "request.json", &answer);
        shown.ends(0).says("WAIVED soak:").says("WAIVING soak").says("CVE-2026-1");
    }
    place.run(&["approve", "import", "ana.json", "eve.json"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(0);
    place.audited();
}
