//! Docker's `config.json` and podman's `auth.json`.

use std::{collections::BTreeMap, io::ErrorKind, path::Path};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::Credential;
use crate::secret::Secret;

/// The largest credential file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The parts of a credential file that name credentials.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

/// What a file says about a registry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Credential(Credential),
    /// `docker-credential-<name>` knows, under the key `server`.
    Helper {
        name: String,
        server: String,
    },
    Nothing,
}

/// Reads a file; `None` if there is none.
pub(super) async fn read(path: &Path) -> Result<Option<File>, String> {
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(why) if why.kind() == ErrorKind::NotFound || why.kind() == ErrorKind::NotADirectory => return Ok(None),
        Err(why) => return Err(why.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).await.map_err(|why| why.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    parse(&bytes).map(Some)
}

fn parse(bytes: &[u8]) -> Result<File, String> {
    // The position is enough to find the fault; the parser's message could repeat a secret.
    serde_json::from_slice(bytes)
        .map_err(|why| format!("not valid JSON of the expected form at line {}, column {}", why.line(), why.column()))
}

/// Docker wrote keys as `https://index.docker.io/v1/`; the host and path are what counts.
fn normal(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    match bare {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => key.trim_end_matches('/'),
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::IdentityToken(Secret::new(self.identitytoken.as_str()))));
        }
        if self.auth.is_empty() {
            let given = !self.username.is_empty() && !self.password.is_empty();
            let password = || Secret::new(self.password.as_str());
            return Ok(given.then(|| Credential::Password { user: self.username.clone(), password: password() }));
        }
        let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let decoded = GeneralPurpose::new(&STANDARD, lenient).decode(self.auth.trim()).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        match text.as_deref().and_then(|text| text.split_once(':')) {
            // Docker pads some entries with NUL.
            Some((user, password)) => {
                let password = Secret::new(password.trim_end_matches('\0'));
                Ok(Some(Credential::Password { user: user.to_owned(), password }))
            }
            None => Err("an `auth` entry is not base64 of `user:password`".to_owned()),
        }
    }
}

impl File {
    /// Looks `keys` up, the most specific first. A helper named for the registry goes before entries, the general store
    /// after them: with a store, Docker leaves empty entries behind.
    pub(super) fn lookup(&self, keys: &[String]) -> Result<Found, String> {
        for key in keys {
            if let Some((server, name)) =
                self.cred_helpers.iter().find(|(k, name)| normal(k) == key && !name.is_empty())
            {
                return Ok(Found::Helper { name: name.clone(), server: server.clone() });
            }
        }
        for key in keys {
            for (_, entry) in self.auths.iter().filter(|(k, _)| normal(k) == key) {
                if let Some(credential) = entry.credential()? {
                    return Ok(Found::Credential(credential));
                }
            }
        }
        if self.creds_store.is_empty() {
            return Ok(Found::Nothing);
        }
        // The store is asked with the key that `docker login` used, if an empty entry still shows it.
        let listed = self.auths.keys().find(|k| keys.iter().any(|key| normal(k) == key));
        let server = listed.map(String::as_str).or_else(|| store_key(keys));
        Ok(server.map_or(Found::Nothing, |server| Found::Helper {
            name: self.creds_store.clone(),
            server: server.to_owned(),
        }))
    }
}

fn store_key(keys: &[String]) -> Option<&str> {
    let hub = keys.iter().any(|key| key == "index.docker.io");
    if hub {
        Some("https://index.docker.io/v1/")
    } else {
        keys.iter().find(|key| !key.contains('/')).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(json: &str, keys: &[&str]) -> Result<Found, String> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        parse(json.as_bytes())?.lookup(&keys)
    }

    fn password(user: &str, password: &str) -> Found {
        Found::Credential(Credential::Password { user: user.to_owned(), password: Secret::new(password) })
    }

    #[test]
    fn entries_are_found_by_host_url_and_path() {
        let json = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"aHViOnA6dw=="},
            "quay.io/acme":{"auth":"YWNtZTpzZWNyZXQ"},
            "quay.io":{"username":"plain","password":"pw"},
            "id.example":{"auth":"dTo=","identitytoken":"refresh"}}}"#;
        assert_eq!(lookup(json, &["index.docker.io"]).unwrap(), password("hub", "p:w"));
        assert_eq!(lookup(json, &["quay.io/acme/app", "quay.io/acme", "quay.io"]).unwrap(), password("acme", "secret"));
        assert_eq!(lookup(json, &["quay.io/other", "quay.io"]).unwrap(), password("plain", "pw"));
        let token = Found::Credential(Credential::IdentityToken(Secret::new("refresh")));
        assert_eq!(lookup(json, &["id.example"]).unwrap(), token);
        assert_eq!(lookup(json, &["ghcr.io"]).unwrap(), Found::Nothing);
    }

    #[test]
    fn helpers_go_before_entries_and_the_store_after_them() {
        let json = r#"{"auths":{"a.example":{"auth":"dTpw"},"b.example":{}},"credHelpers":{"gcr.io":"gcloud"},"credsStore":"pass"}"#;
        let helper = |name: &str, server: &str| Found::Helper { name: name.to_owned(), server: server.to_owned() };
        assert_eq!(lookup(json, &["gcr.io/x", "gcr.io"]).unwrap(), helper("gcloud", "gcr.io"));
        assert_eq!(lookup(json, &["a.example"]).unwrap(), password("u", "p"));
        assert_eq!(lookup(json, &["b.example/x", "b.example"]).unwrap(), helper("pass", "b.example"));
        assert_eq!(
            lookup(json, &["docker.io", "index.docker.io"]).unwrap(),
            helper("pass", "https://index.docker.io/v1/")
        );
    }

    #[test]
    fn a_broken_file_is_an_error_that_repeats_no_secret() {
        let why = lookup(r#"{"auths":{"a":{"auth":"c2VjcmV0"}}}"#, &["a"]).unwrap_err();
        assert!(!why.contains("c2VjcmV0") && !why.contains("secret"), "{why}");
        let why = lookup(r#"{"auths":{"a":"hunter2"}}"#, &["a"]).unwrap_err();
        assert!(why.contains("line 1") && !why.contains("hunter2"), "{why}");
    }
}
