//! Texts with a form of their own: URLs, keys, names of secrets, the place of the log.

use std::{borrow::Cow, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A text that parses as itself, for deserialization and schema.
macro_rules! text {
    ($type:ident, $pattern:literal, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $description})
            }
        }
    };
}

/// Where the source of the application is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceUrl(pub(super) String);

/// An OpenSSH public key without its comment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SshKey(pub(super) String);

/// The name of an environment variable that holds a secret. Written with a `$` in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable(String);

/// Where notices are posted.
#[derive(Clone, PartialEq, Eq)]
pub enum Webhook {
    /// At this URL.
    Url(String),
    /// At the URL that this environment variable holds.
    Variable(Variable),
}

/// Where the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In an SQLite database in this file.
    Sqlite(PathBuf),
}

/// A registry host with its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host(pub(super) String);

text!(SourceUrl, r"^[a-z][a-z0-9+.-]*://[^\s]+$", "A URL, for instance `https://github.com/acme/dotca`.");
text!(SshKey, r"^(ssh|ecdsa|sk)-[^\s]+ [A-Za-z0-9+/=]+( .*)?$", "An OpenSSH public key, as it stands in a `.pub` file.");
text!(Variable, r"^\$[A-Za-z_][A-Za-z0-9_]*$", "The name of an environment variable with a `$` in front. The secret itself never stands in the file.");
text!(Webhook, r"^(\$[A-Za-z_][A-Za-z0-9_]*|https?://[^\s]+)$", "A URL, or the name of an environment variable that holds it, with a `$` in front.");
text!(Store, r"^sqlite:.+$", "Where the log is: `sqlite:` and a path, relative to this file.");
text!(Host, r"^[^/\s]+$", "A registry host, with its port if it has one.");

impl SourceUrl {
    fn parse(text: &str) -> Result<Self, String> {
        if is_url(text, |scheme| !scheme.is_empty()) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{text}` is not a URL: write for instance `https://github.com/acme/dotca`"))
    }
}

/// `scheme://host…` without white space. RFC 3986, section 3.
pub(super) fn is_url(text: &str, scheme_ok: impl Fn(&str) -> bool) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    scheme_ok(scheme) && !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A URL of HTTP or HTTPS.
pub(super) fn is_http(text: &str) -> bool {
    is_url(text, |scheme| scheme == "http" || scheme == "https")
}

impl SshKey {
    /// RSA keys of fewer bits are refused by OpenSSH 9.1 and later too.
    const LEAST_RSA_BITS: usize = 2048;

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains("PRIVATE KEY") {
            return Err("this is a private key: write the public one, from the file that ends in `.pub`".to_owned());
        }
        let mut key = ssh_key::PublicKey::from_openssh(text.trim()).map_err(|_| {
            "this is not an OpenSSH public key: copy the whole line of a `.pub` file, for instance `ssh-ed25519 AAAA…`"
        })?;
        if key.algorithm().is_dsa() {
            return Err("DSA keys are too weak: make a new key with `ssh-keygen -t ed25519`".to_owned());
        }
        if let Some(rsa) = key.key_data().rsa() {
            let bits = rsa.n.as_positive_bytes().map_or(0, |bytes| bytes.len() * 8);
            if bits < Self::LEAST_RSA_BITS {
                return Err(format!("an RSA key of {bits} bits is too weak: make a new key with `ssh-keygen -t ed25519`"));
            }
        }
        key.set_comment("");
        let text = key.to_openssh().map_err(|_| "this key cannot be written in the form of OpenSSH")?;
        Ok(Self(text.trim_end().to_owned()))
    }
}

impl Variable {
    /// The name, without the `$`.
    pub fn name(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('$').filter(|name| is_variable(name));
        let refused = "a secret never stands in the file: write the name of an environment variable, for instance `$WEBHOOK_SECRET`";
        name.map(|name| Self(name.to_owned())).ok_or_else(|| refused.to_owned())
    }
}

/// POSIX.1-2017, section 8.1, and the portable characters only.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Webhook {
    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('$') {
            Some(name) if is_variable(name) => Ok(Self::Variable(Variable(name.to_owned()))),
            None if is_http(text) => Ok(Self::Url(text.to_owned())),
            _ => Err("this is neither a URL nor a name: write `https://…` or the name of an environment variable, for instance `$WEBHOOK_URL`".to_owned()),
        }
    }
}

/// A webhook's URL is often a secret by itself, so only its host is shown.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(variable) => write!(f, "Variable({})", variable.0),
            Self::Url(url) => {
                let host = url.split('/').nth(2).unwrap_or_default();
                write!(f, "Url({}/…)", host.rsplit('@').next().unwrap_or_default())
            }
        }
    }
}

impl Store {
    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sqlite:").map(str::trim) {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(format!("`{text}` is not a place for the log: write `sqlite:` and a path")),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        // The grammar of a registry host is that of a repository's first part.
        match format!("{text}/x").parse::<sealift_domain::reference::Repository>() {
            Ok(repository) if repository.registry() == text => Ok(Self(text.to_owned())),
            _ => Err(format!("`{text}` is not a registry host: write for instance `localhost:5000`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_key_is_kept_without_its_comment() {
        assert_eq!(SshKey::parse(&format!("{KEY} ana@acme.dev\n")), Ok(SshKey(KEY.to_owned())));
        assert_eq!(SshKey::parse(KEY), Ok(SshKey(KEY.to_owned())));
        let refused = |text: &str| SshKey::parse(text).unwrap_err();
        assert!(refused("-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET").contains("private"));
        assert!(!refused("-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET").contains("SECRET"));
        for text in ["", "ssh-ed25519", &KEY[..60], &KEY.replace("ssh-ed25519", "ssh-rsa"), "~/.ssh/id_ed25519.pub"] {
            assert!(refused(text).contains(".pub"), "{text}");
        }
    }

    #[test]
    fn a_short_rsa_key_is_refused() {
        // RFC 4253, section 6.6: "ssh-rsa", e, n. This n has 1024 bits.
        let mut blob = Vec::new();
        for part in [b"ssh-rsa".as_slice(), &[1, 0, 1], &[&[0][..], &[0xc5; 128]].concat()] {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(part);
        }
        let text = format!("ssh-rsa {}", base64(&blob));
        assert!(SshKey::parse(&text).unwrap_err().contains("1024 bits"));
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            for place in 0..4 {
                let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= chunk.len() { digit as char } else { '=' });
            }
        }
        text
    }

    #[test]
    fn secrets_are_named_and_never_written() {
        assert_eq!(Variable::parse("$HOOK_1").unwrap().name(), "HOOK_1");
        for text in ["hunter2", "$", "$1A", "${A}", "$A B"] {
            let error = Variable::parse(text).unwrap_err();
            assert!(error.contains("never stands") && !error.contains("hunter2"), "{error}");
        }
        let url = Webhook::parse("https://hooks.acme.dev/T0/SECRET").unwrap();
        assert_eq!(format!("{url:?}"), "Url(hooks.acme.dev/…)");
        assert!(matches!(Webhook::parse("$URL"), Ok(Webhook::Variable(_))));
        for text in ["ftp://x", "hooks.acme.dev", "https://", "https://a b", "$"] {
            assert!(Webhook::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_stores_and_hosts_have_their_forms() {
        assert!(SourceUrl::parse("ssh://git@host/x").is_ok() && SourceUrl::parse("github.com/acme").is_err());
        assert_eq!(Store::parse("sqlite:.sealift/log.sqlite"), Ok(Store::Sqlite(".sealift/log.sqlite".into())));
        assert!(Store::parse("sqlite:").is_err() && Store::parse("postgres://x").is_err());
        assert!(Host::parse("localhost:5000").is_ok() && Host::parse("http://x").is_err() && Host::parse("a.b/c").is_err());
    }
}
