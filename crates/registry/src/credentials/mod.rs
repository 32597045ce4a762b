//! Credentials for registries, from the files and helpers that `docker login` and `podman login` leave behind.

mod file;
mod helper;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use sealift_domain::reference::Repository;
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind};

use crate::{error::error, secret::Secret};

/// What proves an identity to one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password or access token.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth 2 refresh token (`identitytoken` in Docker's configuration).
    IdentityToken(Secret),
}

/// Where credentials come from. Nothing is read before a registry asks for a credential.
#[derive(Clone, Debug, Default)]
pub struct CredentialSource {
    given: Vec<(String, Credential)>,
    files: Vec<PathBuf>,
    helper_directories: Vec<PathBuf>,
    helper_timeout: Option<Duration>,
    last: Vec<(String, Credential)>,
}

/// How long a credential helper may take: some ask a person to unlock a keyring.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// GitHub's container registry, the only one that its tokens are for.
const GITHUB: &str = "ghcr.io";
/// The user of a token that belongs to nobody in particular.
const GITHUB_USER: &str = "x-access-token";

impl CredentialSource {
    /// No credentials: only anonymous access.
    pub fn none() -> Self {
        Self::default()
    }

    /// The process's environment, read as [`CredentialSource::from_variables`] does. For binaries; libraries pass paths.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// The files that podman and Docker use, the first that knows the registry wins: `$REGISTRY_AUTH_FILE`,
    /// `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`, `$DOCKER_CONFIG/config.json`,
    /// `~/.docker/config.json`. Helpers are looked for in `$PATH`. Sources: containers-auth.json(5), docker login(1).
    ///
    /// For `ghcr.io` alone, where none of them knows it, `$GITHUB_TOKEN` is the password, of the user `$GITHUB_ACTOR` or of
    /// `x-access-token`: GitHub looks at the token only. Source: "Working with the Container registry" of GitHub's documentation.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME");
        let files = [
            path("REGISTRY_AUTH_FILE"),
            path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
            home.as_ref().map(|dir| dir.join(".config/containers/auth.json")),
            path("DOCKER_CONFIG").map(|dir| dir.join("config.json")),
            home.as_ref().map(|dir| dir.join(".docker/config.json")),
        ];
        let directories = variable("PATH").map(|list| std::env::split_paths(&list).collect()).unwrap_or_default();
        let mut source = Self::none().with_files(files.into_iter().flatten()).with_helper_directories(directories);
        let text =
            |name: &str| variable(name).and_then(|value| value.into_string().ok()).filter(|text| !text.is_empty());
        if let Some(token) = text("GITHUB_TOKEN") {
            let user = text("GITHUB_ACTOR").unwrap_or_else(|| GITHUB_USER.to_owned());
            source.last.push((GITHUB.to_owned(), Credential::Password { user, password: Secret::new(token) }));
        }
        source
    }

    /// Adds files in the format of Docker's `config.json` or podman's `auth.json`. A file that does not exist is passed over.
    #[must_use]
    pub fn with_files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.files.extend(files);
        self
    }

    /// Sets the directories in which `docker-credential-<name>` programs are looked for.
    #[must_use]
    pub fn with_helper_directories(mut self, directories: Vec<PathBuf>) -> Self {
        self.helper_directories = directories;
        self
    }

    /// Sets how long a helper may take; 30 s unless told.
    #[must_use]
    pub fn with_helper_timeout(mut self, timeout: Duration) -> Self {
        self.helper_timeout = Some(timeout);
        self
    }

    /// Adds a credential for a registry host (`host[:port]`) or a path below it. It goes before every file.
    #[must_use]
    pub fn with(mut self, registry: impl Into<String>, credential: Credential) -> Self {
        self.given.push((registry.into(), credential));
        self
    }

    /// The credential for `repository`; `None` for anonymous access.
    ///
    /// # Errors
    /// A file cannot be read or understood, or a helper fails: access is not quietly downgraded to anonymous.
    pub(crate) async fn find(&self, repository: &Repository) -> Result<Option<Credential>, RegistryError> {
        let keys = keys(repository);
        for key in &keys {
            if let Some((_, credential)) = self.given.iter().find(|(given, _)| given == key) {
                return Ok(Some(credential.clone()));
            }
        }
        for path in &self.files {
            let refused = |why: String| {
                error(
                    RegistryErrorKind::Unauthenticated,
                    format!("credentials in {} cannot be used: {why}", path.display()),
                )
            };
            let Some(file) = file::read(path).await.map_err(refused)? else { continue };
            let found = match file.lookup(&keys).map_err(refused)? {
                file::Found::Credential(credential) => Some(credential),
                file::Found::Helper { name, server } => self.ask(&name, &server).await.map_err(refused)?,
                file::Found::Nothing => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        let last = self.last.iter().find(|(registry, _)| registry == repository.registry());
        Ok(last.map(|(_, credential)| credential.clone()))
    }

    async fn ask(&self, helper: &str, server: &str) -> Result<Option<Credential>, String> {
        let timeout = self.helper_timeout.unwrap_or(HELPER_TIMEOUT);
        helper::get(&self.helper_directories, helper, server, timeout).await
    }
}

/// The keys under which a credential may be stored, the most specific first: `host/a/b`, `host/a`, `host`.
fn keys(repository: &Repository) -> Vec<String> {
    let full = repository.to_string();
    let mut keys: Vec<String> = Vec::new();
    let mut rest = full.as_str();
    while let Some((head, _)) = rest.rsplit_once('/') {
        keys.push(rest.to_owned());
        rest = head;
    }
    keys.push(rest.to_owned());
    if matches!(rest, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        keys.extend(["docker.io", "index.docker.io", "registry-1.docker.io"].map(str::to_owned));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_from_the_variables_in_order() {
        let source = CredentialSource::from_variables(|name| {
            let value = match name {
                "HOME" => "/home/ana",
                "XDG_RUNTIME_DIR" => "/run/user/1",
                "DOCKER_CONFIG" => "/cfg",
                "PATH" => "/bin:/usr/bin",
                _ => return None,
            };
            Some(OsString::from(value))
        });
        let files: Vec<&str> = source.files.iter().filter_map(|path| path.to_str()).collect();
        let expected = [
            "/run/user/1/containers/auth.json",
            "/home/ana/.config/containers/auth.json",
            "/cfg/config.json",
            "/home/ana/.docker/config.json",
        ];
        assert_eq!(files, expected);
        assert_eq!(source.helper_directories, [PathBuf::from("/bin"), PathBuf::from("/usr/bin")]);
        assert!(CredentialSource::from_variables(|_| None).files.is_empty());
    }

    #[test]
    fn the_most_specific_key_comes_first() {
        assert_eq!(
            keys(&"r.example:5000/a/b".parse().unwrap()),
            ["r.example:5000/a/b", "r.example:5000/a", "r.example:5000"]
        );
        assert!(keys(&"docker.io/x".parse().unwrap()).contains(&"index.docker.io".to_owned()));
    }

    #[tokio::test]
    async fn githubs_token_is_for_ghcr_alone_and_files_go_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("auth.json");
        let source = |more: &[(&str, &str)]| {
            let given =
                |name: &str| more.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            let file = file.clone();
            CredentialSource::from_variables(|name| match name {
                "REGISTRY_AUTH_FILE" => Some(file.clone().into()),
                "GITHUB_TOKEN" => Some("t0ken".into()),
                other => given(other),
            })
        };
        let password = |user: &str, password: &str| {
            Some(Credential::Password { user: user.to_owned(), password: Secret::new(password) })
        };
        let find = async |source: &CredentialSource, repository: &str| source.find(&repository.parse().unwrap()).await;
        assert_eq!(find(&source(&[]), "ghcr.io/acme/app").await.unwrap(), password("x-access-token", "t0ken"));
        let named = source(&[("GITHUB_ACTOR", "ana")]);
        assert_eq!(find(&named, "ghcr.io/acme/app").await.unwrap(), password("ana", "t0ken"));
        for other in
            ["ghcr.io:443/a", "docker.ghcr.io/a", "ghcr.io.example/a", "docker.io/ghcr.io/a", "127.0.0.1:5000/a"]
        {
            assert_eq!(find(&named, other).await.unwrap(), None, "{other}");
        }
        std::fs::write(&file, r#"{"auths":{"ghcr.io/acme":{"auth":"Ym9iOnB3"}}}"#).unwrap();
        assert_eq!(find(&named, "ghcr.io/acme/app").await.unwrap(), password("bob", "pw"));
        assert_eq!(find(&named, "ghcr.io/other/app").await.unwrap(), password("ana", "t0ken"));
        std::fs::write(&file, "{").unwrap();
        assert!(find(&named, "ghcr.io/acme/app").await.is_err(), "a broken file is not passed over");
    }

    #[tokio::test]
    async fn a_given_credential_goes_before_the_files() {
        let credential = Credential::IdentityToken(Secret::new("t"));
        let source = CredentialSource::none().with("r.example", credential.clone()).with_files(["/nonexistent".into()]);
        assert_eq!(source.find(&"r.example/a".parse().unwrap()).await.unwrap(), Some(credential));
        assert_eq!(source.find(&"other.example/a".parse().unwrap()).await.unwrap(), None);
    }
}
