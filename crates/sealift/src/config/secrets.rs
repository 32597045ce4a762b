//! Secrets have no place in a file that everybody reads, and whose digest and contents go on record.

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
    node::Value,
};
use crate::diagnostic::catalogue::code;

/// How tokens of widely used services begin, by the documentation of their makers, and private keys (RFC 7468, c2sp.org/signed-note).
const BEGINNINGS: &[&str] = &[
    "-----BEGIN ",
    "PRIVATE+KEY+",
    "whsec_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "rk_live_",
    "AKIA",
    "https://hooks.slack.com/services/",
    "https://discord.com/api/webhooks/",
];

/// Looks for literal secrets in all values.
pub(super) fn refuse(reader: &mut Reader, at: &Cursor<'_>) {
    match &at.node.value {
        Value::Text(text) if is_secret(text) => {
            reader.push(literal(at, "this looks like a secret, and this file is no place for one"));
        }
        Value::List(_) => reader.list(at).iter().for_each(|item| refuse(reader, item)),
        Value::Map(_) => at.keys().for_each(|entry| refuse(reader, &at.entry(entry))),
        _ => {}
    }
}

/// A secret that stands in the file.
pub(super) fn literal(at: &Cursor<'_>, title: &str) -> Fault {
    at.here(Fault::new(code::E0109, title))
        .note("whoever can read this file has it now: replace it where it is valid")
        .next("give it in an environment variable, and name that: `$NAME` under `notify`, `env_from: [NAME]` for a service")
}

fn is_secret(text: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| text.trim_start().starts_with(beginning)) || has_password(text)
}

/// Whether a URL carries a password: RFC 3986, section 3.2.1.
fn has_password(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme && password.is_some_and(|password| !password.is_empty() && !password.starts_with('$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_what_is_none() {
        for text in
            ["whsec_AAAA", "postgres://app:hunter2@db/app", "-----BEGIN OPENSSH PRIVATE KEY-----", "https://a:b@c"]
        {
            assert!(is_secret(text), "{text}");
        }
        for text in [
            "db.staging",
            "$TOKEN",
            "https://a@c/",
            "https://c/a:b@d",
            "ssh-ed25519 AAAA ana@host",
            "a:b@c",
            "postgres://app:$PW@db",
        ] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
