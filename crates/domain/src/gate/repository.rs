//! Whether two texts name the same source repository.

use std::borrow::Cow;

/// Whether both name the same repository, written as one or another of the usual forms: with `git+` before it (SPDX download
/// locations, SLSA), with `.git` or a slash behind it, with a reference after `@` or `#`, the host in any case.
pub(super) fn same_repository(one: &str, other: &str) -> bool {
    let one = normal(one);
    !one.is_empty() && one == normal(other)
}

fn normal(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("git+").unwrap_or(text);
    let text = text.split(['#', '?']).next().unwrap_or_default();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, Cow::Borrowed(rest)),
        // `git@host:path`, as git's own short form for SSH (gitglossary, git-fetch(1), "GIT URLS").
        None => ("https", Cow::Owned(text.replacen(':', "/", 1))),
    };
    let (host, path) = rest.as_ref().split_once('/').unwrap_or((rest.as_ref(), ""));
    // Credentials are no part of a repository's name, and a reference stands behind the path's own `@`.
    let host = host.rsplit('@').next().unwrap_or(host).to_ascii_lowercase();
    let path = path.split('@').next().unwrap_or(path).trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    // What was fetched by SSH is the same repository as what people open in a browser.
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ssh" | "git" | "https" => "https".to_owned(),
        other => other.to_owned(),
    };
    // A directory of this machine has no host.
    let placed = !host.is_empty() || scheme == "file";
    if !placed || path.is_empty() { String::new() } else { format!("{scheme}://{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_is_written_in_many_ways() {
        let wanted = "https://github.com/acme/web";
        for same in [
            "https://github.com/acme/web/",
            "https://GitHub.com/acme/web.git",
            "git+https://github.com/acme/web@refs/heads/main",
            "git+https://github.com/acme/web.git#main",
            "ssh://git@github.com/acme/web.git",
            "github.com/acme/web",
            "git@github.com:acme/web.git",
        ] {
            assert!(same_repository(same, wanted), "{same}");
        }
        for other in [
            "https://github.com/acme/web2",
            "https://github.com/acme",
            "https://github.com.evil.example/acme/web",
            "https://github.com@evil.example/acme/web",
            "https://evil.example/github.com/acme/web",
            "http://github.com/acme/web",
            "https://github.com/ACME/web",
            "",
            "https://",
        ] {
            assert!(!same_repository(other, wanted), "{other}");
        }
        assert!(same_repository("file:///srv/web.git", "file:///srv/web"));
        assert!(!same_repository("file:///srv/web", "file:///srv/web2"));
        assert!(!same_repository("", ""), "nothing is no repository");
    }
}
