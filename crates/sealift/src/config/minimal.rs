//! The configuration that `sealift init` writes.

use sealift_domain::{
    name::{AppName, PersonId},
    reference::Repository,
};

/// The first role that there is.
const ROLE: &str = "release-manager";

/// A commented configuration of two environments under the `process` driver. With `approver`, a person and an SSH public
/// key, that person decides about production; without, nobody does. With `attested`, the name of the file of a public key,
/// production attests what enters it.
pub fn minimal(
    app: &AppName,
    staging: &Repository,
    production: &Repository,
    approver: Option<(&PersonId, &str)>,
    attested: Option<&str>,
) -> String {
    let attest = attested.map_or(String::new(), |key| {
        format!("    attest: {{key: {key}}}   # what may run is signed beside the image: `sealift keys show`\n")
    });
    let people = approver.map_or(String::new(), |(person, key)| {
        // JSON's quoted strings are strings of YAML, too (YAML 1.2.2, section 1.3).
        let key = serde_json::Value::from(key.trim());
        format!("people:\n  - {{id: {person}, ssh: {key}, roles: [{ROLE}]}}\n")
    });
    let approval = match approver {
        Some(_) => {
            format!("{{roles: [{ROLE}], expires: 24h, not: [requester]}}   # one of them, and never who asked for it")
        }
        None => {
            "none   # whoever can run this program releases; a rule: {roles: [release-manager]}, and people".to_owned()
        }
    };
    format!(
        r#"# Every key: `sealift schema`. Whoever changes this file changes nothing until `sealift policy accept`.
app: {app}
{people}environments:
  staging:
    image: {staging}
    tags: [staging, "staging-{{commit7}}"]
    deploy:
      process: {{listen: 8080, ports: [18080, 18081], state: .sealift/staging, health: /health}}
    verify:   # what must hold after a deployment
      - {{http: "http://127.0.0.1:8080/health", within: 1m, stable_for: 10s}}
  production:
    from: staging   # only what is verified there, the same bytes
    image: {production}
    tags: [main, {{immutable: "main-{{commit7}}"}}]
    # gates: {{soak: 1h, max_size: 1GB}}   # more than is always required: `sealift explain soak`
    approval: {approval}
{attest}    deploy:
      process: {{listen: 8081, ports: [18082, 18083], state: .sealift/production, health: /health}}
    verify:   # if one of these fails, the previous release comes back by itself
      - {{http: "http://127.0.0.1:8081/health", within: 1m, stable_for: 10s}}
      - {{availability: "http://127.0.0.1:8081/health", min: 100%}}
"#
    )
}
