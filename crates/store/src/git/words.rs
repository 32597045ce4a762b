//! What git and forges say when something does not work, and what that means.

/// The most of git's own words that are shown, in characters.
const WORDS: usize = 400;

/// What kind of answer it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The remote was reached and does not take it: nothing was written.
    No,
    /// The remote does not let us in, does not know the repository, or was not reached: nothing was sent.
    Unreachable,
    /// The local repository is at fault.
    Local,
    /// Anything may have happened.
    Unknown,
}

/// What git may say (in lower case), what kind of answer that is, and what helps.
const KNOWN: &[(&[&str], Answer, &str)] = &[
    (
        &[
            "gh001",
            "file size limit",
            "exceeds github's file size limit",
            "larger than 100",
            "pack exceeds maximum allowed size",
        ],
        Answer::No,
        "a file is larger than the server takes: keep large objects elsewhere, `store: {large_objects: …}`",
    ),
    (
        &[
            "no space left on device",
            "disk quota exceeded",
            "unpacker error",
            "unpack failed",
            "quota",
            "unable to write file",
        ],
        Answer::No,
        "the disk or the quota of the server is full: make room there",
    ),
    (
        &[
            "protected branch",
            "gh006",
            "gh013",
            "not allowed to push code to protected",
            "repository rule violations",
            "cannot update this protected ref",
        ],
        Answer::No,
        "the branch is protected against this account: let it push there",
    ),
    (
        &["pre-receive hook declined", "update hook declined", "hook declined", "declined by"],
        Answer::No,
        "a hook of the server declined it: ask who runs the server",
    ),
    (
        &["denying non-fast-forward", "non-fast-forward (force)", "deny updating a hidden ref", "deletion prohibited"],
        Answer::No,
        "the server refuses forced pushes: erasing needs one, allow it for this account for the moment",
    ),
    (
        &["shallow update not allowed"],
        Answer::No,
        "the server takes no pushes from shallow clones: set `receive.shallowUpdate` there",
    ),
    (
        &[
            "the requested url returned error: 403",
            "permission denied to",
            "write access to repository not granted",
            "permission to",
            "not authorized to push",
            "read-only",
            "you are not allowed to push",
            "denied to deploy key",
            "marked as read only",
        ],
        Answer::No,
        "this account may not write the repository: give its token or key the permission to write contents",
    ),
    (
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "invalid username or",
            "the requested url returned error: 401",
            "permission denied (publickey",
            "host key verification failed",
            "terminal prompts disabled",
        ],
        Answer::Unreachable,
        "the server wants to know who asks: give a token (`SEALIFT_GIT_TOKEN`) or a key of SSH that it knows",
    ),
    (
        &[
            "repository not found",
            "does not appear to be a git repository",
            "the requested url returned error: 404",
            "not found",
            "does not exist",
            "could not be found",
        ],
        Answer::Unreachable,
        "there is no such repository, or this account may not see it: check the address and the token",
    ),
    (
        &["ssl certificate problem", "server certificate verification failed", "certificate"],
        Answer::Unreachable,
        "the server's certificate is not trusted: name its authority with `GIT_SSL_CAINFO`",
    ),
    (
        &[
            "unable to update url base from redirection",
            "the requested url returned error: 301",
            "the requested url returned error: 302",
            "the requested url returned error: 307",
            "the requested url returned error: 308",
        ],
        Answer::Unreachable,
        "the repository has moved: write its new address, tokens are not sent after redirections",
    ),
    (
        &[
            "could not resolve host",
            "couldn't connect to server",
            "failed to connect",
            "connection refused",
            "connect to host",
            "network is unreachable",
            "no route to host",
            "name or service not known",
        ],
        Answer::Unreachable,
        "the server does not answer: check the network and the address",
    ),
    (
        &[
            "bad object",
            "corrupt",
            "unable to read tree",
            ".lock': file exists",
            "unable to create temporary",
            "not a git repository",
            "invalid object",
            "missing blob",
            "unable to read sha1",
            "did not send all necessary objects",
            "missing necessary objects",
            "not our ref",
        ],
        Answer::Local,
        "the cache is damaged",
    ),
];

/// What kind of answer `told` is, in which words it is shown, and what helps.
pub(super) fn understand(told: &str) -> (Answer, String) {
    let lower = told.to_lowercase();
    let known = KNOWN.iter().find(|(signs, ..)| signs.iter().any(|sign| lower.contains(sign)));
    match known {
        Some((_, answer, advice)) => (*answer, format!("{advice} (git: {})", words(told))),
        None => (Answer::Unknown, format!("git: {}", words(told))),
    }
}

/// Git's own words in one line: its hints and progress left out, control characters too, no more than is readable.
pub(super) fn words(told: &str) -> String {
    let noise = |line: &str| line.is_empty() || line.starts_with("hint:") || line.starts_with("To ") || line == "Done";
    let clean =
        |line: &str| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
    let lines: Vec<String> = told.split(['\n', '\r']).map(clean).filter(|line| !noise(line)).collect();
    let line = lines.join("; ");
    if line.is_empty() {
        return "it said nothing".to_owned();
    }
    let short: String = line.chars().take(WORDS).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_refusals_are_understood() {
        for (told, answer, advice) in [
            (
                "remote: Permission to acme/web.git denied to bot.\nfatal: unable to access 'https://github.com/acme/web.git/': The requested URL returned error: 403",
                Answer::No,
                "may not write",
            ),
            (
                "remote: error: GH006: Protected branch update failed for refs/heads/sealift.\n! [remote rejected] a -> b (protected branch hook declined)",
                Answer::No,
                "protected",
            ),
            ("remote: no\n ! [remote rejected] a -> b (pre-receive hook declined)", Answer::No, "hook"),
            (
                "remote: error: File objects/ab/c is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB",
                Answer::No,
                "large_objects",
            ),
            (
                "error: remote unpack failed: unable to create temporary object directory\n! [remote rejected] (unpacker error)",
                Answer::No,
                "full",
            ),
            ("remote: fatal: write error: No space left on device", Answer::No, "full"),
            ("fatal: Authentication failed for 'https://host/a/'", Answer::Unreachable, "SEALIFT_GIT_TOKEN"),
            (
                "fatal: could not read Username for 'https://host': terminal prompts disabled",
                Answer::Unreachable,
                "SEALIFT_GIT_TOKEN",
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://host/a/' not found",
                Answer::Unreachable,
                "no such repository",
            ),
            (
                "fatal: unable to access 'https://host/': Could not resolve host: host",
                Answer::Unreachable,
                "does not answer",
            ),
            ("fatal: Unable to create '/c/shallow.lock': File exists.", Answer::Local, "damaged"),
        ] {
            let (found, shown) = understand(told);
            assert_eq!(found, answer, "{told}");
            assert!(shown.contains(advice) && shown.contains("git: "), "{shown}");
        }
    }

    #[test]
    fn other_words_are_shown_as_they_are_in_one_line_and_bounded() {
        let (answer, shown) = understand("\u{1b}[31mfatal\u{7}: strange\r\n\nhint: do this\nDone\n");
        assert_eq!((answer, shown.as_str()), (Answer::Unknown, "git: [31mfatal : strange"));
        assert!(understand(&"x".repeat(100_000)).1.chars().count() < WORDS + 10);
        assert_eq!(words("\n"), "it said nothing");
    }
}
