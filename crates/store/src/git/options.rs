//! How a log in git is reached.

use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealift_engine::ports::large_objects::LargeObjects;

/// How long one call of git may take, unless it is said otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a log in git is reached, and where what was read of it is kept.
#[derive(Clone)]
pub struct GitOptions {
    /// The program `git`, 2.36 or newer.
    pub program: OsString,
    /// A token for `https`; without one, git logs in as it is set up on this machine.
    pub token: Option<Token>,
    /// The user name that goes with the token.
    pub username: String,
    /// The directory for what was read; each remote and branch has one of its own in it.
    pub cache: PathBuf,
    /// A checkpoint that was kept elsewhere: what lies at the remote must continue it.
    pub checkpoint: Option<String>,
    /// Environment variables for git besides those of this process, for instance `GIT_SSH_COMMAND` or `GIT_SSL_CAINFO`.
    pub environment: Vec<(OsString, OsString)>,
    /// How long one call of git may take.
    pub timeout: Duration,
    /// Where objects above 1 MiB lie; without it, those up to 48 MiB lie on the branch.
    pub large: Option<Arc<dyn LargeObjects>>,
}

impl GitOptions {
    /// The usual ones, with this directory for caches.
    pub fn new(cache: PathBuf) -> Self {
        Self {
            program: "git".into(),
            token: None,
            username: "x-access-token".to_owned(),
            cache,
            checkpoint: None,
            environment: Vec::new(),
            timeout: PATIENCE,
            large: None,
        }
    }

    /// The header of HTTP that the token goes into.
    pub(super) fn authorization(&self) -> Option<String> {
        Some(format!("Authorization: Basic {}", self.credentials()?))
    }

    fn credentials(&self) -> Option<String> {
        self.token.as_ref().map(|token| STANDARD.encode(format!("{}:{}", self.username, token.0)))
    }

    /// `text` without the token, in whatever form it has.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets = [self.credentials(), self.token.as_ref().map(|token| token.0.clone())];
        secrets.into_iter().flatten().fold(text.to_owned(), |text, secret| text.replace(&secret, "[token]"))
    }
}

impl fmt::Debug for GitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitOptions")
            .field("program", &self.program)
            .field("token", &self.token)
            .field("cache", &self.cache)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A token of a forge. Shows nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token of visible ASCII characters; `None` for anything else, which could become further headers.
    pub fn new(text: &str) -> Option<Self> {
        let right = !text.is_empty() && text.len() <= 8192 && text.bytes().all(|b| b.is_ascii_graphic());
        right.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_printed() {
        let options = GitOptions { token: Token::new("hunter2"), ..GitOptions::new("/cache".into()) };
        assert!(!format!("{options:?}").contains("hunter2"));
        let header = options.authorization().unwrap();
        assert_eq!(header, "Authorization: Basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==");
        assert_eq!(options.redact(&format!("hunter2, {header}")), "[token], Authorization: Basic [token]");
    }

    #[test]
    fn what_would_be_a_further_header_is_no_token() {
        for text in ["", "a b", "a\r\nX: y", "ä", "a\0"] {
            assert_eq!(Token::new(text), None, "{text:?}");
        }
    }
}
