//! Writer keys through the whole program: each environment's runs write the facts about it, and nobody else's.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use sealift::wiring;
use sealift_domain::{
    digest::Digest,
    entry::{Entry, Place as LeafPlace},
    event::{Event, VerificationRecorded},
    personal::{Personal, Salt},
    release::Release,
};
use sealift_engine::ports::{log::NewLeaf, writer::Writer};
use sealift_store::{key::SigningKey, writer::WriterKeys};
use serde_json::Value;

use crate::place::{Place, Ran};

const VARIABLE: &str = "SEALIFT_WRITER_KEY";

/// A place where both environments have a writer, and the text of each private key, by environment.
struct Written {
    place: Place,
    keys: BTreeMap<&'static str, String>,
}

/// Makes a key for an environment into `out`. Returns the private and the public text.
fn generate(place: &Place, environment: &str, out: &str) -> (String, String) {
    let made = place.json(&["keys", "writer", environment, "--out", out]);
    let secret = std::fs::read_to_string(place.path(out)).unwrap();
    (secret, made["public_key"].as_str().unwrap().to_owned())
}

/// Lets an environment of the configuration have these writers.
fn name_writers(place: &Place, environment: &str, keys: &[&str]) {
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    let mut lines: Vec<String> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        if line.starts_with("  ") && !line.starts_with("   ") {
            within = line.trim_end() == format!("  {environment}:");
        }
        if within && line.trim_start().starts_with("writer:") {
            continue;
        }
        lines.push(line.to_owned());
        if line.trim_end() == format!("  {environment}:") && !keys.is_empty() {
            lines.push(format!("    writer: [\"{}\"]", keys.join("\", \"")));
        }
    }
    place.write("sealift.yaml", &(lines.join("\n") + "\n"));
}

impl Written {
    fn new() -> Self {
        let place = Place::new();
        let mut keys = BTreeMap::new();
        for environment in ["staging", "production"] {
            let (secret, public) = generate(&place, environment, &format!("{environment}.key"));
            name_writers(&place, environment, &[&public]);
            keys.insert(environment, secret);
        }
        place.run(&["init"]).ends(0);
        Self { place, keys }
    }

    /// Runs a command in a job of `environment`, which has that environment's secret.
    fn run(&self, environment: &str, arguments: &[&str]) -> Ran {
        self.place.run_with(arguments, &[(VARIABLE, &self.keys[environment])])
    }

    /// A release that runs in staging and was verified there, by staging's runs.
    fn staged(&self, version: &str) -> Digest {
        let image = sealift::demo::images::service(version, None).build();
        self.place.staging.push("hello", &image, Some(version));
        let name = format!("{}/hello:{version}", self.place.staging.address());
        self.run("staging", &["record", "build", &name]).ends(0);
        self.run("staging", &["promote", "--to", "staging"]).ends(0);
        image.digest
    }

    /// Appends that staging found a release well, signed with a key, as whoever has the log's key could.
    fn forge(&self, digest: Digest, secret: &str) -> u64 {
        let log = wiring::stores::open_log(&self.place.path(".sealift/log.sqlite")).unwrap();
        let key = WriterKeys::new(Some(SigningKey::from_text(secret.trim()).unwrap()));
        self.place.block_on(async {
            let head = log.head().await.unwrap();
            let last = log.leaves(head.size - 1, head.size).await.unwrap();
            let place = LeafPlace { index: head.size, previous: Some(Digest::of(&last[0])) };
            let entry = Entry {
                time: "2026-01-01T00:00:00Z".parse().unwrap(),
                actor: Personal::new("eve", Salt([1; 32])),
                event: Event::VerificationRecorded(VerificationRecorded {
                    environment: "staging".parse().unwrap(),
                    release: Release::single(digest),
                    passed: true,
                    summary: "looked".to_owned(),
                }),
            };
            let sealed = entry.seal_by(place, &key.key().unwrap(), |bytes| key.sign(bytes)).unwrap();
            let leaf = NewLeaf { bytes: sealed.leaf, objects: sealed.objects, snapshot: false };
            log.append(head, vec![leaf]).await.unwrap().size - 1
        })
    }

    /// Bob asks for production and ana approves, without any key of a writer. Returns the promotion.
    fn approved(&self) -> u64 {
        let id = self.place.request();
        self.place.approve();
        id
    }
}

#[test]
fn each_environment_s_runs_bring_a_release_through_with_their_own_keys() {
    let written = Written::new();
    let digest = written.staged("1.0.0");
    // Asking and approving take no key of an environment.
    written.approved();
    written.run("production", &["promote", "--to", "production"]).ends(0);
    assert_eq!(written.place.live("production"), Some(digest));
    assert!(written.place.audited() > 10);
}

#[test]
fn attack_26_a_run_of_another_environment_records_nothing_about_staging() {
    let written = Written::new();
    let digest = written.staged("1.0.0");
    let before = written.place.audited();
    let text = digest.to_string();
    for arguments in [
        vec!["verify", "--in", "staging"],
        vec!["record", "deployment", "--in", "staging", "--baseline", "--digest", &text],
        vec!["record", "database", "--in", "staging", "--schema", "3", "--reason", "restored"],
        vec!["freeze", "staging", "--for", "1h", "--reason", "sales day"],
        vec!["promote", "--to", "staging", "--digest", &text],
    ] {
        let asks = u64::from(arguments[0] == "promote");
        let refused = written.run("production", &arguments);
        refused
            .ends(2)
            .says("E0211")
            .says("facts about staging are written with its writer key, which this run has not");
        refused.says("the writer key of production").says(VARIABLE);
        assert!(written.place.audited() <= before + asks, "{arguments:?}");
    }
    written.run("staging", &["verify", "--in", "staging"]).ends(0);
}

#[test]
fn attack_26_production_s_run_believes_of_staging_only_what_staging_s_key_signed() {
    let written = Written::new();
    let digest = written.staged("1.0.0");
    written.approved();
    // Whoever has the log's key and staging's is staging; production's run goes on.
    written.forge(digest, &written.keys["staging"]);
    written.run("production", &["status"]).ends(0);
    let forged = written.forge(digest, &written.keys["production"]);
    let refused = written.run("production", &["promote", "--to", "production"]);
    refused.ends(1).says("E0202").says(&format!("entry {forged} of the log"));
    refused.says("counts only from its writer key: the writer of production signed the entry");
    assert_eq!(written.place.answers("production"), None);
}

#[test]
fn a_run_without_a_key_is_told_before_anything_is_done_and_looks_at_everything() {
    let written = Written::new();
    let digest = written.staged("1.0.0");
    written.approved();
    let place = &written.place;
    place.run(&["check", "--to", "production"]).ends(0);
    place.run(&["plan", "--to", "production"]).ends(0).says("the writer key of production is not at hand here [E0211]");
    let planned = written.run("production", &["plan", "--to", "production"]);
    assert!(!planned.ends(0).stdout.contains("E0211"), "{}", planned.stdout);
    place.run(&["status"]).ends(0);
    place.run(&["explain", "E0211"]).ends(0).says("SEALIFT_WRITER_KEY");
    place.production.clear_log();
    let told = place.run(&["promote", "--to", "production"]);
    told.ends(2).says("E0211").says("facts about production").says("this run has no writer key of the policy");
    assert!(place.production.manifest("hello", digest).is_none(), "it was copied");
    assert_eq!(place.answers("production"), None);
    // An empty secret is none: a pipeline gives that where it has no such secret.
    place.run_with(&["promote", "--to", "production"], &[(VARIABLE, "")]).ends(2).says("E0211");
    written.run("production", &["promote", "--to", "production"]).ends(0);
    place.run(&["verify", "--in", "production"]).ends(2).says("E0211");
}

#[test]
fn a_key_that_cannot_be_used_is_refused_and_never_shown() {
    let written = Written::new();
    let secret = written.keys["staging"].trim().to_owned();
    let middle = &secret[secret.len() - 20..secret.len() - 4];
    let broken = format!("{}A", &secret[..secret.len() - 1]);
    for text in ["no key", &secret["PRIVATE+KEY+".len()..], &broken, &secret[..secret.len() - 6]] {
        let refused = written.place.run_with(&["status"], &[(VARIABLE, text)]);
        refused.ends(2).says("E0204").says("the key in $SEALIFT_WRITER_KEY cannot be used");
        assert!(!refused.stderr.contains(middle) && !refused.stdout.contains(middle), "{}", refused.stderr);
    }
    let file = written.place.path(".sealift/writer.key");
    std::fs::write(&file, &written.keys["staging"]).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    written.place.run(&["status"]).ends(2).says("E0204").says("open to others").says("chmod 600");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    written.place.run(&["keys", "show"]).ends(0).says("writer of staging: hello/staging+");
    written.place.build("1.0.0");
    written.place.to_staging();
    // The variable is asked first.
    written.run("production", &["verify", "--in", "staging"]).ends(2).says("E0211");
}

#[test]
fn a_key_is_made_for_one_environment_and_said_where_it_belongs() {
    let place = Place::new();
    let made = place.run(&["keys", "writer", "production"]);
    made.ends(0).says("under `environments.production` in sealift.yaml: `writer: \"hello/production+");
    made.says("gh secret set SEALIFT_WRITER_KEY --env production < ");
    let file = place.path(".sealift/writer-production.key");
    let secret = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(secret.starts_with("PRIVATE+KEY+hello/production+"), "not a signing key");
    assert!(!made.stdout.contains("PRIVATE+KEY") && !made.stderr.contains("PRIVATE+KEY"), "the key is shown");
    place.run(&["keys", "writer", "production"]).ends(2).says("E0204");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret, "a key that is there is not written over");
    place.run(&["keys", "writer", "nowhere"]).ends(2).says("E0108");
    // The line that is printed is one that the configuration takes.
    let line = made.stdout.lines().find_map(|line| line.split('`').find(|part| part.starts_with("writer: "))).unwrap();
    place.edit("  production:\n", &format!("  production:\n    {line}\n"));
    place.run(&["init"]).ends(0);
    let shown: Value = place.run_with(&["keys", "show", "--output", "json"], &[(VARIABLE, &secret)]).json();
    assert_eq!(shown["writer"]["environment"], "production");
    assert!(!shown.to_string().contains("PRIVATE"), "{shown}");
    place.run(&["keys", "show"]).ends(0).says("no writer key: neither $SEALIFT_WRITER_KEY nor");
    let again = place.run(&["keys", "writer", "production", "--out", "new.key"]);
    again.ends(0).says("once every run signs with it").says("writer: [\"hello/production+");
}

#[test]
fn a_key_is_replaced_while_releases_go_on() {
    let written = Written::new();
    let place = &written.place;
    let old_public = SigningKey::from_text(written.keys["production"].trim()).unwrap().verifier().to_string();
    let (new, new_public) = generate(place, "production", "new.key");
    let promote = |secret: &str, version: &str| {
        written.staged(version);
        let id = written.approved();
        (place.run_with(&["promote", "--to", "production"], &[(VARIABLE, secret)]), id.to_string())
    };
    promote(&written.keys["production"], "1.0.0").0.ends(0);
    let (early, id) = promote(&new, "1.1.0");
    early.ends(2).says("E0211");
    place.run(&["cancel", &id, "--reason", "not yet"]).ends(0);
    name_writers(place, "production", &[&old_public, &new_public]);
    place.run(&["policy", "diff"]).says("environments.production.writer");
    place.run(&["policy", "accept", "--identity", "keys/ana", "--identity", "keys/bob"]).ends(0);
    promote(&written.keys["production"], "1.2.0").0.ends(0);
    promote(&new, "1.3.0").0.ends(0);
    name_writers(place, "production", &[&new_public]);
    place.run(&["policy", "accept", "--identity", "keys/ana", "--identity", "keys/bob"]).ends(0);
    promote(&new, "1.4.0").0.ends(0);
    promote(&written.keys["production"], "1.5.0").0.ends(2).says("E0211");
    // What the old key signed while it counted still does.
    assert!(place.audited() > 50);
}

#[test]
fn the_writer_key_is_given_to_no_command_of_others() {
    let place = Place::new();
    let (secret, public) = generate(&place, "production", "production.key");
    name_writers(&place, "production", &[&public]);
    let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    place.write("sealift.yaml", &format!("{text}      - {{run: [sh, -c, \"env > seen\"], within: 10s}}\n"));
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place.request();
    place.approve();
    place.run_with(&["promote", "--to", "production"], &[(VARIABLE, &secret), ("SEEN", "yes")]).ends(0);
    let seen = std::fs::read_to_string(place.path("seen")).unwrap();
    assert!(seen.contains("SEEN=yes"), "{seen}");
    assert!(!seen.contains("PRIVATE+KEY") && !seen.contains(VARIABLE), "{seen}");
}
