use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::report::style::Style;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

/// The design's example, with every key that there is.
fn good() -> String {
    format!(
        r##"# yaml-language-server: $schema=./sealift.schema.json
app: dotca
source: https://github.com/acme/dotca
people:
  - {{id: ana, github: ana, email: ana@acme.dev, ssh: "{KEY} ana@laptop", roles: [platform-lead]}}
environments:
  staging:
    components: {{web: {{image: ghcr.io/acme/dotca}}, worker: {{image: ghcr.io/acme/worker}}}}
    tags: [staging, "staging-{{commit7}}"]
    deploy: {{process: {{listen: 8080, ports: [18080, 18081], state: .sealift/staging, env: {{DATABASE: db.staging}}}}}}
    verify:
      - {{http: "https://staging.dot.ca/api/health", within: 2m, stable_for: 20s}}
      - {{run: [npm, run, e2e]}}
  production:
    from: staging
    components:
      web:
        image: ghcr.io/acme/dotca
      worker:
        image: ghcr.io/acme/worker
    tags: [main, {{immutable: "main-{{commit7}}"}}]
    gates:
      soak: 1h
      max_size: 1GB
      layers: required
      metadata: [source, revision, created, run_id]
    approval: {{roles: [platform-lead, release-manager], count: 1, expires: 24h, not: [requester, author]}}
    freezes:
      - {{from: 2026-12-24T00:00:00Z, until: 2026-12-27T00:00:00Z, reason: holidays}}
    migrate: {{run: [npm, run, "db:migrate"]}}
    deploy: {{process: {{listen: "127.0.0.1:8081", ports: [18082, 18083], state: .sealift/production}}}}
    verify:
      - {{http: "https://dot.ca/api/health", stable_for: 30s, json: {{status: ok, version: "{{commit}}", depth: 1.5}}}}
      - {{logs: {{none: "ERROR|FATAL", for: 30s}}}}
      - {{availability: "https://dot.ca/", min: 100%}}
    rollback: {{automatic: true, keep: 10}}
notify:
  - {{webhook: $WEBHOOK_URL, secret: $WEBHOOK_SECRET, on: [approval-wanted, failed, rolled-back]}}
  - {{name: audit, webhook: "https://audit.acme.dev/in", on: [completed]}}
registries: {{plain_http: ["registry.local:5000"], mirrors: {{docker.io: ["mirror.local:5000", mirror.acme.dev]}}}}
store: sqlite:state/log.sqlite
"##
    )
}

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHYbI1C0qnWgKU7Dp9i4KUSx5s6gF
z1L0hgPPyyJJuW0GZSkamXstuAHz+aiFZGOlzxAgLzQgf0YhbNonkzbvYw==
-----END PUBLIC KEY-----
";

const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBiDCCAS+gAwIBAgIUDXlM6Du9kueB2udK0sCW9/RzR6YwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTI1MjE1ODAwWhgPMjEy
NjExMDEyMTU4MDBaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEUqRf4sG+e5nj9E6PzeynDzeXutBqLsRQ/pgEEOju
aEOAzJY5ooLqnJYPvR9Aw65+bjnM5SjkAt2a7pqX8c5mhKNTMFEwHQYDVR0OBBYE
FBZcaaqBcptI7MYJL8tId5PoJIbRMB8GA1UdIwQYMBaAFBZcaaqBcptI7MYJL8tI
d5PoJIbRMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgZRjl2S4e
nTbX9zE5NFRtZW/EAefOhh6KTcGLWSwcOyICIB4vpa8aRBLsgEt+8qpGXh3zzwn0
gwifPz08BeZ+T3Vx
-----END CERTIFICATE-----
";

/// A file with one environment, whose lines are given, behind what every file needs.
fn one(environment: &str) -> String {
    let lines: Vec<String> = environment.lines().map(|line| format!("    {line}\n")).collect();
    format!("app: web\nenvironments:\n  staging:\n{}", lines.concat())
}

const CHECKED: &str = "image: ghcr.io/acme/web\nverify: [{http: \"http://127.0.0.1:1/\"}]\n";

fn parse(text: &str, path: &str) -> Result<Config, Vec<Diagnostic>> {
    Config::parse(text, path, Path::new(""))
}

fn refused(text: &str) -> String {
    let faults = parse(text, "sealift.yaml").map(drop).unwrap_err();
    faults.iter().map(|fault| fault.render(&Style::plain())).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_read() {
    let config = parse(&good(), "sealift.yaml").unwrap_or_else(|_| panic!("{}", refused(&good())));
    insta::assert_json_snapshot!("example", config.policy);
    let ana = config.contacts.iter().next().unwrap();
    assert_eq!(
        (ana.0.as_str(), ana.1.email.as_deref(), ana.1.github.as_deref()),
        ("ana", Some("ana@acme.dev"), Some("ana"))
    );
    let production = "production".parse().unwrap();
    let Deploy::Process(process) = &config.deploy[&production] else { panic!("{:?}", config.deploy) };
    assert_eq!(process.listen.address().port(), 8081);
    assert_eq!(config.registries.plain_http, ["registry.local:5000"]);
    assert_eq!(config.registries.mirrors["docker.io"], ["mirror.local:5000", "mirror.acme.dev"]);
    assert_eq!(config.store, Store::Sqlite("state/log.sqlite".into()));
    let at = config.spans.locate("environments.production.gates.soak").unwrap();
    assert_eq!((at.file.as_str(), at.line, at.column), ("sealift.yaml", 23, 7));
    assert_eq!(config.spans.locate("environments.production.gates.sbom"), None);
    let Channel::Webhook { url, secret } = &config.channels[&"webhook".parse().unwrap()];
    assert_eq!(
        (url.read(|name| Some(format!("<{name}>"))).as_deref(), secret.as_deref()),
        (Some("<WEBHOOK_URL>"), Some("WEBHOOK_SECRET"))
    );
    let Channel::Webhook { url, .. } = &config.channels[&"audit".parse().unwrap()];
    assert_eq!(url.read(|_| None).as_deref(), Some("https://audit.acme.dev/in"));
}

#[test]
fn a_key_is_compared_without_its_comment_and_a_person_may_have_several() {
    let text = good().replace(&format!("\"{KEY} ana@laptop\""), &format!("[\"{KEY}\", \"  {KEY}  again \"]"));
    let config = parse(&text, "f").unwrap_or_else(|_| panic!("{}", refused(&text)));
    let ana = config.policy.people.values().next().unwrap();
    assert_eq!(ana.ssh.iter().collect::<Vec<_>>(), [KEY]);
}

#[test]
fn places_and_comments_do_not_change_the_policy() {
    let first = parse(&good(), "f").map_err(|_| ()).unwrap().policy;
    let second = parse(&good().replace('\n', " # c\r\n"), "f").map_err(|_| ()).unwrap().policy;
    assert_eq!(first.digest(), second.digest());
}

#[test]
fn what_is_not_yaml_is_refused() {
    insta::assert_snapshot!("not_yaml", refused("app: web\nenvironments: {staging: [}\n"));
    insta::assert_snapshot!("alias", refused("app: &name web\nsource: *name\n"));
    insta::assert_snapshot!("empty", refused("# nothing\n"));
    insta::assert_snapshot!("no_mapping", refused("- app\n"));
    let large = format!("app: {}", "a".repeat(MAX_BYTES));
    assert!(refused(&large).starts_with("error[E0104]: the file has 1048581 bytes"));
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion_all_at_once() {
    let text = good()
        .replace("source: https", "soucre: https")
        .replace("tags: [main", "tag: [main")
        .replace("soak: 1h", "soke: 1h")
        .replace("max_size", "same_digest")
        .replace("github: ana", "gitlab: ana")
        .replace("count: 1", "cuont: 1")
        .replace("keep: 10", "kept: 10, days: 1")
        .replace("process: {listen: 8080", "proces: {listen: 8080")
        .replace("listen: \"127.0.0.1:8081\"", "listen: 8081, helth: /")
        .replace("- {run: [npm, run, e2e]}", "- {rum: [npm]}")
        .replace("mirrors: {docker.io", "mirors: {docker.io")
        .replace("stable_for: 30s", "stabel_for: 30s");
    insta::assert_snapshot!("unknown_keys", refused(&text));
}

#[test]
fn wrong_values_are_shown_where_they_stand() {
    let text = good()
        .replace("app: dotca", "app: Dotca")
        .replace("image: ghcr.io/acme/dotca}", "image: acme/dotca}")
        .replace("soak: 1h", "soak: 1 hour")
        .replace("layers: required", "layers: yes")
        .replace("[source, revision", "[sauce, revision")
        .replace("count: 1", "count: one")
        .replace("ports: [18082, 18083]", "ports: [18082, 70000]")
        .replace("ports: [18080, 18081]", "ports: [8080, 18081]")
        .replace("2026-12-27T00:00:00Z", "2026-12-23T00:00:00Z")
        .replace("min: 100%", "min: 101%")
        .replace("status: ok", "status: ok}, status: {a: 1")
        .replace("none: \"ERROR|FATAL\", ", "")
        .replace("main-{commit7}", "main-{commit7")
        .replace("rolled-back]", "rolledback]")
        .replace("plain_http: [\"", "plain_http: [\"http://")
        .replace("mirrors: {docker.io: [\"", "mirrors: {docker: [\"https://")
        .replace("sqlite:state", "postgres:state")
        .replace("automatic: true", "automatic: maybe")
        .replace(KEY, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFoo");
    insta::assert_snapshot!("wrong_values", refused(&text));
}

#[test]
fn a_log_on_a_branch_is_named_with_its_key_and_where_large_objects_lie() {
    let key = sealift_store::key::SigningKey::generate("dotca.sealift").unwrap();
    let url = "git+https://github.com/acme/web.git#sealift";
    let long = format!("store: {{url: \"{url}\", key: \"{}\", large_objects: ghcr.io/acme/evidence}}", key.verifier());
    let store = |line: &str| {
        let text = good().replace("store: sqlite:state/log.sqlite", line);
        parse(&text, "f").unwrap_or_else(|_| panic!("{}", refused(&text))).store
    };
    let Store::Git(git) = store(&long) else { panic!("no branch") };
    assert_eq!((git.url.as_str(), git.key.as_deref()), (url, Some(key.verifier().to_string().as_str())));
    assert_eq!(git.large_objects.unwrap().to_string(), "ghcr.io/acme/evidence");
    assert_eq!(store(&format!("store: {url}")).to_string(), url);

    let refusals = [
        "store: git+https://github.com/acme/web.git",
        "store: git+https://ana:hunter2@github.com/acme/web.git#sealift",
        "store: git+ext::sh#sealift",
        "store: {url: \"sqlite:log\"}",
        "store: {url: \"git+ssh://git@host/x.git#sealift\", key: AAAA}",
        "store: {key: AAAA, branch: x}",
        "store: [a]",
    ];
    let refused = refusals.map(|line| refused(&good().replace("store: sqlite:state/log.sqlite", line)));
    assert!(!refused.concat().contains("hunter2"), "a password is not repeated");
    insta::assert_snapshot!("wrong_stores", refused.join("\n"));
}

#[test]
fn what_is_missing_is_named() {
    insta::assert_snapshot!("missing_top", refused("people: []\n"));
    insta::assert_snapshot!("missing_image_and_checks", refused(&one("tags: [x]\n")));
    insta::assert_snapshot!("no_check", refused(&one("image: ghcr.io/acme/web\nverify: []\n")));
    insta::assert_snapshot!("no_environment", refused("app: web\nenvironments: {}\n"));
    let text =
        good().replace("    approval: {roles", "    #").replace("ports: [18082, 18083], ", "").replace("id: ana, ", "");
    insta::assert_snapshot!("missing_approval", refused(&text));
}

#[test]
fn going_without_approval_must_be_said_only_where_a_pipeline_ends() {
    let without = good().replace("    approval: {roles", "    #");
    assert!(refused(&without).contains("`approval: none`"));
    let said = without.replace("    migrate", "    approval: none\n    migrate");
    let config = parse(&said, "f").unwrap_or_else(|_| panic!("{}", refused(&said)));
    assert!(config.policy.environments.values().all(|environment| environment.approval.is_none()));
    assert!(parse(&one(CHECKED), "f").is_ok(), "the first environment needs none");
    assert!(refused(&one(&format!("{CHECKED}approval: nobody\n"))).contains("or the word `none`"));
}

/// A file whose first environment wants signatures, in a directory with key files.
fn wanting(signature: &str) -> Result<Config, Vec<Diagnostic>> {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(directory.path().join(name), text).unwrap();
    write("cosign.pub", PUBLIC_KEY.as_bytes());
    write("crlf.pub", format!(" {}", PUBLIC_KEY.replace('\n', "\r\n")).as_bytes());
    write(
        "cosign.key",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
    );
    write("cut.pub", PUBLIC_KEY.replace("MFkw", "").as_bytes());
    write("large.pub", &[b'a'; 20_000]);
    write("binary.pub", &[0xff; 20]);
    let text = one(&format!("{CHECKED}gates:\n  signature: {signature}\n"));
    Config::parse(&text, "sealift.yaml", directory.path())
}

#[test]
fn the_policy_holds_the_keys_and_not_the_names_of_their_files() {
    for (signature, form) in [
        ("{key: cosign.pub}", json!({"key": PUBLIC_KEY})),
        ("{key: crlf.pub}", json!({"key": PUBLIC_KEY})),
        ("{keys: [cosign.pub, crlf.pub]}", json!({"key": PUBLIC_KEY})),
    ] {
        let config = wanting(signature).unwrap_or_else(|faults| panic!("{signature}: {faults:?}"));
        let gates = &config.policy.environments.values().next().unwrap().gates;
        let stored = serde_json::to_value(gates).unwrap();
        assert_eq!(stored, json!({"signature": form}), "{signature}");
        assert_eq!(serde_json::from_value::<sealift_domain::gate::Gates>(stored).unwrap(), *gates);
    }
}

#[test]
fn a_key_file_that_cannot_be_used_is_shown_where_it_is_named() {
    let refusals: Vec<String> = [
        "{key: missing.pub}",
        "{key: ''}",
        "{keys: [cosign.pub, large.pub, binary.pub]}",
        "{key: cosign.key}",
        "{key: cut.pub}",
        "{key: 5}",
        "{keys: cosign.pub}",
        "{keys: []}",
        "{key: cosign.pub, keys: [cosign.pub]}",
        "{keys: [cosign.pub], identity: me}",
        "cosign.pub",
        "",
    ]
    .into_iter()
    .flat_map(|signature| wanting(signature).map(drop).unwrap_err())
    .map(|fault| fault.render(&Style::plain()))
    .collect();
    let shown = refusals.join("\n");
    assert!(!shown.contains("c2VjcmV0"), "a private key is not repeated: {shown}");
    insta::assert_snapshot!("key_files", shown);
}

/// A file whose `registries` are given, in a directory with a certificate authority.
fn reached(registries: &str) -> Result<Config, Vec<Diagnostic>> {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("ca.pem", AUTHORITY);
    write("cut.pem", &AUTHORITY.replace("MIIB", ""));
    write("no.pem", "secret words\n");
    write("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let text = format!("{}registries: {registries}\n", one(CHECKED));
    Config::parse(&text, "sealift.yaml", directory.path())
}

#[test]
fn how_registries_are_reached_is_no_policy() {
    let plain = reached("{}").unwrap_or_else(|faults| panic!("{faults:?}"));
    let set =
        reached("{ca_file: ca.pem, mirrors: {ghcr.io: [mirror.local]}}").unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(set.registries.authorities, [AUTHORITY.as_bytes()]);
    assert_eq!(set.registries.identity, None);
    assert_eq!(plain.policy.digest(), set.policy.digest());
}

#[test]
fn files_for_tls_that_cannot_be_used_are_shown_where_they_are_named() {
    let refusals: Vec<String> = [
        "{ca_file: missing.pem}",
        "{ca_file: cut.pem}",
        "{ca_file: no.pem}",
        "{ca_file: .}",
        "{ca_file: ''}",
        "{ca_file: [ca.pem]}",
        "{client_cert: ca.pem}",
        "{client_cert: missing.pem, client_key: locked.pem}",
        "{client_cert: no.pem, client_key: locked.pem}",
        "{client_cert: ca.pem, client_key: locked.pem}",
        "{client_cert: ca.pem, client_key: no.pem}",
        "{mirrors: [mirror.local]}",
        "{mirrors: {ghcr.io: mirror.local}}",
    ]
    .into_iter()
    .flat_map(|registries| reached(registries).map(drop).unwrap_err())
    .map(|fault| fault.render(&Style::plain()))
    .collect();
    let shown = refusals.join("\n");
    assert!(!shown.contains("c2VjcmV0") && !shown.contains("secret words"), "contents are not repeated: {shown}");
    insta::assert_snapshot!("tls_files", shown);
}

#[test]
fn keys_stand_once() {
    insta::assert_snapshot!(
        "duplicates",
        refused(&one(&format!("{CHECKED}tags: [a]\ntags: [b]\nrollback: {{keep: 1, keep: 2}}\n")))
    );
}

#[test]
fn exclusive_parts_are_refused_together() {
    let both = one(&format!("{CHECKED}components: {{web: {{image: ghcr.io/acme/web}}}}\n"));
    assert!(refused(&both).contains("`image` and `components` exclude each other"));
    let two = one("image: ghcr.io/acme/web\nverify: [{http: \"http://a/\", run: [x]}]\n");
    assert!(refused(&two).contains("`http` and `run` are two checks"));
    let no_driver = one(&format!("{CHECKED}deploy: {{}}\n"));
    assert!(refused(&no_driver).contains("`deploy` names one driver: process"));
    let channels = good().replace("{name: audit, ", "{");
    assert!(refused(&channels).contains("there are two channels called `webhook`"));
    let people = good().replace(
        "environments:\n  staging",
        &format!("  - {{id: ana, ssh: \"{KEY}\", roles: []}}\nenvironments:\n  staging"),
    );
    assert!(refused(&people).contains("there are two people called `ana`"));
}

#[test]
fn impossible_policies_are_shown_at_their_environment() {
    insta::assert_snapshot!("unknown_from", refused(&good().replace("from: staging", "from: stagging")));
    insta::assert_snapshot!("no_approvers", refused(&good().replace("count: 1", "count: 2")));
    insta::assert_snapshot!("circle", refused(&good().replace("  staging:\n", "  staging:\n    from: production\n")));
    insta::assert_snapshot!(
        "components",
        refused(&good().replace("      worker:\n        image: ghcr.io/acme/worker\n", ""))
    );
    let shared = format!("  - {{id: bob, ssh: \"{KEY}\", roles: [platform-lead]}}\nenvironments:\n  staging");
    insta::assert_snapshot!("shared_key", refused(&good().replace("environments:\n  staging", &shared)));
}

/// One public key, made by another implementation of the format, under two names.
const WRITER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const RENAMED: &str = "elsewhere+aac8488a+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// The example with these lines under staging and production.
fn with_writers(staging: &str, production: &str) -> String {
    let text = good().replace("  staging:\n", &format!("  staging:\n    {staging}\n"));
    text.replace("  production:\n", &format!("  production:\n    {production}\n"))
}

#[test]
fn a_writer_is_one_key_or_a_list_while_it_is_replaced() {
    let key = sealift_store::key::SigningKey::generate("web/staging").unwrap().verifier().to_string();
    let (one, several) = (format!("writer: \"{WRITER}\""), format!("writer: [\" {WRITER} \", \"{key}\"]"));
    for (line, expected) in [(one, vec![WRITER]), (several, vec![WRITER, &key])] {
        let text = with_writers(&line, "# none");
        let config = parse(&text, "f").unwrap_or_else(|_| panic!("{}", refused(&text)));
        let writers: Vec<String> = config.policy.writers().map(|(at, key)| format!("{at} {key}")).collect();
        assert_eq!(writers, expected.iter().map(|key| format!("staging {key}")).collect::<Vec<_>>());
    }
    let without = parse(&good(), "f").map_err(|_| ()).unwrap().policy;
    assert!(!without.has_writers());
}

#[test]
fn what_is_no_writer_key_is_shown_where_it_stands() {
    let mut shown = String::new();
    for line in [
        "writer: staging.pub",
        "writer: []",
        "writer: 7",
        "writer: {key: x}",
        &format!("writer: \"{}\"", WRITER.replace("c74f", "c74e")),
        &format!("writer: [\"{WRITER}\", \"{WRITER}\"]"),
    ] {
        shown.push_str(&refused(&with_writers(line, "# none")));
        shown.push('\n');
    }
    let same = format!("writer: \"{WRITER}\"");
    shown.push_str(&refused(&with_writers(&same, &same)));
    insta::assert_snapshot!("writers", shown);
    // One key under two names is one key.
    let renamed = refused(&with_writers(&same, &format!("writer: \"{RENAMED}\"")));
    assert!(renamed.contains("have the same writer key"), "{renamed}");
    let unknown = refused(&good().replace("  staging:\n", &format!("  staging:\n    writers: \"{WRITER}\"\n")));
    assert!(unknown.contains("unknown key `writers`") && unknown.contains("`writer`"), "{unknown}");
    let private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let secret = refused(&with_writers(&format!("writer: \"{private}\""), "# none"));
    assert!(secret.starts_with("error[E0109]") && !secret.contains("AYEKFALV"), "{secret}");
}

#[test]
fn secrets_are_refused_and_never_repeated() {
    let text = good()
        .replace("secret: $WEBHOOK_SECRET", "secret: hunter2")
        .replace("DATABASE: db.staging", "DATABASE: \"postgres://app:hunter2@db/app\"")
        .replace("https://audit.acme.dev/in", "https://hooks.slack.com/services/T0/B0/hunter2")
        .replace("app: dotca", "app: Wrong");
    let shown = refused(&text);
    assert!(!shown.contains("hunter2"), "{shown}");
    insta::assert_snapshot!("secrets", shown);
}

#[test]
fn errors_are_counted_beyond_a_limit() {
    let keys: Vec<String> = (0..1000).map(|n| format!("key{n}: 1\n")).collect();
    let faults = parse(&keys.concat(), "f").map(drop).unwrap_err();
    assert!(faults.len() <= 20, "{}", faults.len());
    assert_eq!(faults.last().unwrap().notes.last().unwrap(), "and 982 more errors");
}

#[test]
fn what_init_writes_is_short_and_right() {
    let (app, staging, production) =
        ("web".parse().unwrap(), "ghcr.io/acme/web".parse().unwrap(), "registry.acme.dev:5000/web".parse().unwrap());
    let ana = "ana".parse().unwrap();
    let key = format!("{KEY} ana \"the\" \\ first");
    for approver in [None, Some((&ana, key.as_str()))] {
        let text = minimal(&app, &staging, &production, approver, None);
        let config = parse(&text, "f").unwrap_or_else(|_| panic!("{text}\n{}", refused(&text)));
        assert!(text.lines().count() <= 40);
        assert_eq!(config.deploy.len(), 2);
        let rule = &config.policy.environments[&"production".parse().unwrap()].approval;
        assert_eq!(rule.is_some(), approver.is_some());
        assert_eq!(config.policy.people.len(), usize::from(approver.is_some()));
        insta::assert_snapshot!(if approver.is_some() { "minimal_approver" } else { "minimal" }, text);
    }
    let broken = minimal(&app, &staging, &production, Some((&ana, "no key")), None);
    assert!(refused(&broken).contains("not an SSH public key"));
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC*", tail in "[a-z:{}\\[\\]\\-,\"'&*!|>#%@` \\n\\r\\t]{0,80}") {
        drop(parse(&text, "f").map(drop));
        drop(parse(&tail, "f").map(drop));
        drop(parse(&format!("app: web\n{tail}"), "f").map(drop));
    }

    #[test]
    fn a_damaged_file_is_read_or_refused_with_places(at in 0usize..3000, length in 0usize..40, put in "[a-z0-9:{}\\[\\]\\-,\"'&*!|>#%@$. \\n]{0,6}") {
        let good = good();
        let characters: Vec<char> = good.chars().collect();
        let at = at.min(characters.len());
        let end = (at + length).min(characters.len());
        let text: String = characters[..at].iter().copied().chain(put.chars()).chain(characters[end..].iter().copied()).collect();
        if let Err(faults) = parse(&text, "f") {
            prop_assert!(!faults.is_empty());
            let lines = u32::try_from(text.lines().count()).unwrap() + 1;
            for fault in faults {
                let place = fault.at.clone().unwrap();
                prop_assert!(place.line >= 1 && place.line <= lines && place.column >= 1, "{place:?}");
                prop_assert!(!fault.render(&Style::plain()).is_empty());
            }
        }
    }
}
