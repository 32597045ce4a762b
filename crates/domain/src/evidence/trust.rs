//! Whose word counts: keys, or identities that a certificate authority vouches for.

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{digest::Digest, signature::PublicKey};

/// Whose signature counts. The policy holds keys and trust roots themselves and not the names of their files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(
    with = "Written",
    rename = "Trust",
    description = "Whose signature counts: a key, several keys of which any one suffices, or an identity with its issuer and a trust root.",
    extend("oneOf" = [{"required": ["key"]}, {"required": ["keys"]}, {"required": ["identity", "issuer", "trust_root"]}]),
)]
pub enum Trust {
    /// Any one of these keys.
    Keys(BTreeSet<PublicKey>),
    /// An identity in a certificate.
    Identity(Box<Identity>),
}

/// An identity that a certificate authority vouches for, such as a workflow on GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subject alternative name of the certificate, whole; or its beginning, if it ends with `*`.
    pub identity: String,
    /// The OIDC issuer that the certificate names (Fulcio's extension 1.3.6.1.4.1.57264.1.8, or .1.1).
    pub issuer: String,
    /// Whom to believe about certificates, logs and times.
    pub trust_root: TrustRoot,
}

/// A Sigstore trust root (`application/vnd.dev.sigstore.trustedroot+json;version=0.1`, and later): its JSON text.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TrustRoot(String);

/// Trust as it is written.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PublicKey>,
    /// Several keys, any one of which suffices.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(min = 1))]
    keys: BTreeSet<PublicKey>,
    /// Whom the certificate must name, for instance
    /// `https://github.com/acme/web/.github/workflows/build.yml@refs/heads/main`; with `*` at the end any continuation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// Who must have vouched for the identity, for instance `https://token.actions.githubusercontent.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The file with the trust root, for instance what `cosign trusted-root create` writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trust_root: Option<TrustRoot>,
}

const FORMS: &str = "say whose signature counts: `key: cosign.pub`, `keys: [first.pub, second.pub]`, or `identity`, `issuer` and `trust_root` together";

impl TryFrom<Written> for Trust {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written { key: Some(key), keys, identity: None, issuer: None, trust_root: None } if keys.is_empty() => {
                Ok(Self::Keys(BTreeSet::from([key])))
            }
            Written { key: None, keys, identity: None, issuer: None, trust_root: None } if !keys.is_empty() => {
                Ok(Self::Keys(keys))
            }
            Written {
                key: None,
                keys,
                identity: Some(identity),
                issuer: Some(issuer),
                trust_root: Some(trust_root),
            } if keys.is_empty() => {
                if identity.trim_end_matches('*').is_empty() || issuer.is_empty() {
                    return Err("`identity` and `issuer` must say whom: nobody trusts everybody");
                }
                Ok(Self::Identity(Box::new(Identity { identity, issuer, trust_root })))
            }
            _ => Err(FORMS),
        }
    }
}

impl From<Trust> for Written {
    fn from(trust: Trust) -> Self {
        match trust {
            Trust::Keys(mut keys) if keys.len() == 1 => Self { key: keys.pop_first(), ..Self::default() },
            Trust::Keys(keys) => Self { keys, ..Self::default() },
            Trust::Identity(identity) => {
                let Identity { identity, issuer, trust_root } = *identity;
                Self { identity: Some(identity), issuer: Some(issuer), trust_root: Some(trust_root), ..Self::default() }
            }
        }
    }
}

impl TrustRoot {
    /// A trust root from the text of its file. Only that it is a JSON object is looked at here; one that cannot be used
    /// verifies nothing.
    ///
    /// # Errors
    /// The text is no JSON object, for instance because it is the name of a file.
    pub fn from_json(text: impl Into<String>) -> Result<Self, &'static str> {
        let text = text.into();
        if text.trim_start().starts_with('{') { Ok(Self(text)) } else { Err("a trust root is a JSON object") }
    }

    /// The JSON text.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// The digest of the text, by which a [`Certificate`] names the root that it was verified under.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoot({})", self.digest().short())
    }
}

impl<'de> Deserialize<'de> for TrustRoot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Editors see the file, and there a trust root is the name of a file.
impl JsonSchema for TrustRoot {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TrustRootFile".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "minLength": 1,
            "description": "A file with a Sigstore trust root in JSON, relative to the configuration.",
        })
    }
}

/// Who signed, as it was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Signer {
    /// A key.
    Key {
        /// The key.
        key: PublicKey,
        /// The SHA-256 of its DER, as `openssl pkey -pubin -outform DER | sha256sum` prints it.
        fingerprint: Digest,
    },
    /// Somebody whom a certificate names.
    Certificate(Box<Certificate>),
}

/// What a verified certificate of Fulcio says (sigstore/fulcio, `docs/oid-info.md`; the numbers are under
/// 1.3.6.1.4.1.57264). A certificate authority vouches for all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The subject alternative name: an address, or the URI of a workflow.
    pub identity: String,
    /// Who vouched for the identity (.1.8, else .1.1).
    pub issuer: String,
    /// The digest of the trust root under which it was verified.
    pub trust_root: Digest,
    /// When it was signed, by the log or a time stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// The workflow that built, with its reference (.1.9, Build Signer URI).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// The source repository (.1.12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The source commit (.1.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The reference that was built, such as `refs/heads/main` (.1.14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The run (.1.21).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl Trust {
    /// Whether a verified signer is one of those that are trusted.
    pub fn accepts(&self, signer: &Signer) -> bool {
        match (self, signer) {
            (Self::Keys(keys), Signer::Key { key, .. }) => keys.contains(key),
            (Self::Identity(wanted), Signer::Certificate(found)) => {
                let same = match wanted.identity.strip_suffix('*') {
                    Some(beginning) => found.identity.starts_with(beginning),
                    None => found.identity == wanted.identity,
                };
                same && found.issuer == wanted.issuer && found.trust_root == wanted.trust_root.digest()
            }
            _ => false,
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(keys) if keys.len() == 1 => f.write_str("the key of the policy"),
            Self::Keys(keys) => write!(f, "one of {} keys of the policy", keys.len()),
            Self::Identity(identity) => write!(f, "{} (by {})", identity.identity, identity.issuer),
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { fingerprint, .. } => write!(f, "key {}", fingerprint.short()),
            Self::Certificate(certificate) => f.write_str(&certificate.identity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(identity: &str) -> Trust {
        let json = serde_json::json!({"identity": identity, "issuer": "https://issuer", "trust_root": "{}"});
        serde_json::from_value(json).unwrap()
    }

    fn signer(identity: &str, issuer: &str, root: &str) -> Signer {
        Signer::Certificate(Box::new(Certificate {
            identity: identity.into(),
            issuer: issuer.into(),
            trust_root: Digest::of(root.as_bytes()),
            signed_at: None,
            builder: None,
            repository: None,
            commit: None,
            reference: None,
            run: None,
        }))
    }

    #[test]
    fn an_identity_is_accepted_whole_or_by_its_beginning_and_only_by_its_issuer_and_root() {
        let exact = trust("https://github.com/acme/web/.github/workflows/build.yml@refs/heads/main");
        let any = trust("https://github.com/acme/web/.github/workflows/build.yml@*");
        let main = "https://github.com/acme/web/.github/workflows/build.yml@refs/heads/main";
        let fork = "https://github.com/acme/web/.github/workflows/build.yml@refs/heads/fork";
        assert!(exact.accepts(&signer(main, "https://issuer", "{}")));
        assert!(!exact.accepts(&signer(fork, "https://issuer", "{}")));
        assert!(any.accepts(&signer(fork, "https://issuer", "{}")));
        assert!(!any.accepts(&signer("https://github.com/acme/web2", "https://issuer", "{}")));
        assert!(!exact.accepts(&signer(main, "https://other", "{}")));
        assert!(!exact.accepts(&signer(main, "https://issuer", "{ }")));
    }

    #[test]
    fn trust_is_one_of_three_and_never_everybody() {
        for wrong in [
            r#"{}"#,
            r#"{"identity":"a","issuer":"b"}"#,
            r#"{"identity":"*","issuer":"b","trust_root":"{}"}"#,
            r#"{"identity":"a","issuer":"b","trust_root":"trusted_root.json"}"#,
            r#"{"identity":"a","issuer":"","trust_root":"{}"}"#,
            r#"{"key":"-----BEGIN PUBLIC KEY-----\nAA","identity":"a","issuer":"b","trust_root":"{}"}"#,
        ] {
            assert!(serde_json::from_str::<Trust>(wrong).is_err(), "{wrong}");
        }
        let right = r#"{"identity":"a","issuer":"b","trust_root":"{}"}"#;
        let trust: Trust = serde_json::from_str(right).unwrap();
        assert_eq!(serde_json::to_string(&trust).unwrap(), right);
    }
}
