//! Where a log lies: `git+<url>#<branch>`.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The longest address, in bytes.
const MAX_LENGTH: usize = 1000;

/// A branch of a git repository. Holds no secret: an address with one in it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    url: String,
    branch: String,
    over_http: bool,
}

/// Why an address is refused. Never quotes what stands before an `@`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RemoteError(String);

fn refused<T>(why: impl Into<String>) -> Result<T, RemoteError> {
    Err(RemoteError(why.into()))
}

impl Remote {
    /// What git is given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The branch, without `refs/heads/`.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Whether git starts `ssh` for it.
    pub(super) fn over_ssh(&self) -> bool {
        !self.over_http && !self.url.starts_with("file:")
    }

    /// Whether a token is of use, which goes into a header of HTTP.
    pub(super) fn over_http(&self) -> bool {
        self.over_http
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git+{}#{}", self.url, self.branch)
    }
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let Some(rest) = text.strip_prefix("git+") else {
            return refused("the address of a log in git begins with `git+`, as in `git+https://host/path.git#branch`");
        };
        if text.len() > MAX_LENGTH {
            return refused(format!("the address has more than {MAX_LENGTH} bytes"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || c == '"') {
            return refused("the address has a space, a control character, a quotation mark or a backslash in it");
        }
        let Some((url, branch)) = rest.split_once('#') else {
            return refused("the address does not name a branch: put `#` and its name at the end");
        };
        check_branch(branch)?;
        let over_http = check_url(url)?;
        Ok(Self { url: url.to_owned(), branch: branch.to_owned(), over_http })
    }
}

/// Whether it is one over HTTP.
fn check_url(url: &str) -> Result<bool, RemoteError> {
    if url.contains('?') {
        return refused("the address has a `?` in it: git takes no query");
    }
    let Some((scheme, rest)) = url.split_once("://") else { return check_scp(url).map(|()| false) };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.is_empty() {
        return refused("the address does not name a repository: a path must follow the host");
    }
    match scheme {
        "file" if authority.is_empty() => Ok(false),
        "file" => refused("a `file://` address has no host: write `file:///path`"),
        "ssh" => {
            let (user, host) = split_user(authority);
            check_user(user)?;
            check_host(host)?;
            Ok(false)
        }
        "https" | "http" => {
            let (user, host) = split_user(authority);
            if user.is_some() {
                return refused(format!(
                    "the address has a user name or a password before the host `{}`: give the token in the environment variable \
                     instead, and replace it if anybody may have read it here",
                    host.escape_debug()
                ));
            }
            let name = check_host(host)?;
            if scheme == "http" && !is_loopback(&name) {
                return refused(
                    "`http://` sends tokens and entries in the clear: use `https://`; it is taken for a loopback address only",
                );
            }
            Ok(true)
        }
        _ => refused("the address has a scheme that is not taken: use `https`, `ssh` or `file`"),
    }
}

/// `git@host:path`.
fn check_scp(url: &str) -> Result<(), RemoteError> {
    let (user, rest) = split_user(url);
    let Some((host, path)) = rest.split_once(':') else {
        return refused("the address is neither a URL nor `user@host:path`");
    };
    if user.is_none() {
        return refused("the address is neither a URL nor `user@host:path`: the user is missing, usually `git`");
    }
    check_user(user)?;
    if host.contains('/') || path.is_empty() || path.starts_with('-') {
        return refused("the address is no `user@host:path`");
    }
    check_host(host).map(drop)
}

fn split_user(authority: &str) -> (Option<&str>, &str) {
    match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    }
}

fn check_user(user: Option<&str>) -> Result<(), RemoteError> {
    let Some(user) = user else { return Ok(()) };
    if user.contains(':') {
        return refused(
            "the address has a password in it: use a key of SSH, and replace the password if anybody may have read it here",
        );
    }
    let plain = user.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if user.is_empty() || user.starts_with('-') || !plain {
        return refused("the user name before the host is not one");
    }
    Ok(())
}

/// The name or number of the host, without its port.
fn check_host(host: &str) -> Result<String, RemoteError> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, rest)) => (name, rest.strip_prefix(':').or(Some(""))),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let letter =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') || (b == b':' && host.starts_with('['));
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(letter) {
        return refused("the address has no host, or one that is none");
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return refused("the port behind the host is not a number from 1 to 65535");
    }
    Ok(name.to_owned())
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// The rules of `git check-ref-format`, and no leading `-`.
fn check_branch(branch: &str) -> Result<(), RemoteError> {
    let component = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && part.strip_suffix(".lock").is_none()
    };
    let bad = |c: char| matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '#') || !c.is_ascii_graphic();
    let right = branch.split('/').all(component)
        && !branch.contains(bad)
        && !branch.contains("..")
        && !branch.contains("@{")
        && !matches!(branch, "@" | "HEAD")
        && !branch.starts_with('-')
        && !branch.starts_with("refs/")
        && branch.len() <= 200;
    if right { Ok(()) } else { refused("what stands behind `#` is not the name of a branch") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_and_a_branch() {
        for (text, url, branch, over_http) in [
            ("git+https://github.com/acme/web.git#sealift", "https://github.com/acme/web.git", "sealift", true),
            ("git+https://host:8443/a#b/c-d_e.f", "https://host:8443/a", "b/c-d_e.f", true),
            ("git+http://127.0.0.1:3000/a.git#log", "http://127.0.0.1:3000/a.git", "log", true),
            ("git+http://[::1]:3000/a.git#log", "http://[::1]:3000/a.git", "log", true),
            ("git+ssh://git@host:22/a.git#log", "ssh://git@host:22/a.git", "log", false),
            ("git+git@github.com:acme/web.git#log", "git@github.com:acme/web.git", "log", false),
            ("git+file:///srv/git/a.git#log", "file:///srv/git/a.git", "log", false),
        ] {
            let remote: Remote = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((remote.url(), remote.branch(), remote.over_http()), (url, branch, over_http));
            assert_eq!(remote.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "https://host/a#b",
            "git+https://host/a",
            "git+https://host/a#",
            "git+https://host#b",
            "git+https:///a#b",
            "git+http://example.org/a#b",
            "git+http://127.0.0.1.example.org/a#b",
            "git+ext::sh -c true#b",
            "git+ext::sh#b",
            "git+git://host/a#b",
            "git+/srv/a#b",
            "git+file://host/a#b",
            "git+file:#b",
            "git+ssh://-oProxyCommand=x/a#b",
            "git+ssh://-x@host/a#b",
            "git+-x@host:a#b",
            "git+git@-x:a#b",
            "git+git@host:-a#b",
            "git+git@host:#b",
            "git+host:a#b",
            "git+https://host:0/a#b",
            "git+https://host:x/a#b",
            "git+https://host/a?x=1#b",
            "git+https://ho\nst/a#b",
            "git+https://host/a b#c",
            "git+https://host/a\"#c",
        ] {
            assert!(text.parse::<Remote>().is_err(), "{text}");
        }
        for branch in [
            "-x",
            "a..b",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a@{1}",
            "@",
            "HEAD",
            "refs/heads/a",
            "a#b",
            "ä",
        ] {
            assert!(format!("git+https://host/a#{branch}").parse::<Remote>().is_err(), "{branch}");
        }
    }

    #[test]
    fn a_secret_in_the_address_is_refused_and_not_repeated() {
        for text in [
            "git+https://hunter2@host/a#b",
            "git+https://user:hunter2@host/a#b",
            "git+http://user:hunter2@127.0.0.1/a#b",
            "git+ssh://git:hunter2@host/a#b",
            "git+git:hunter2@host:a#b",
            "git+https://x:hunter2@y@host/a#b",
        ] {
            let why = text.parse::<Remote>().unwrap_err();
            assert!(!format!("{why} {why:?}").contains("hunter2"), "{why}");
        }
    }
}
