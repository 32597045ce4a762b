//! Git remotes, asked with the real `git`.

// Clippy's allowances for tests do not reach the helper functions beside them.
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command};

use sealift_engine::ports::source::Sources;
use sealift_forge::git::Git;

/// A repository whose history is told in the tests.
struct Remote(tempfile::TempDir);

impl Remote {
    fn new() -> Self {
        let remote = Self(tempfile::tempdir().unwrap());
        remote.git(&["init", "--quiet", "--initial-branch=main"]);
        remote
    }

    fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(self.0.path(), arguments)
    }

    /// A commit on the present branch, and its id.
    fn commit(&self, what: &str) -> String {
        std::fs::write(self.0.path().join(what), what).unwrap();
        self.git(&["add", "."]);
        self.git(&["-c", "user.name=dan", "-c", "user.email=dan@acme.dev", "commit", "--quiet", "-m", what]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(at).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn found(remote: &Remote, commit: &str, patterns: &[&str]) -> Vec<String> {
    Git::new().branches_with(&remote.url(), commit, patterns).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn a_commit_is_found_on_every_branch_that_contains_it_and_on_no_other() {
    let remote = Remote::new();
    let first = remote.commit("first");
    remote.git(&["branch", "release/1"]);
    let second = remote.commit("second");
    remote.git(&["checkout", "--quiet", "-b", "feature", &first]);
    let side = remote.commit("side");
    assert_eq!(found(&remote, &first, &["main", "release/*"]).await, ["main", "release/1"]);
    assert_eq!(found(&remote, &second, &["main", "release/*"]).await, ["main"]);
    assert_eq!(found(&remote, &side, &["main", "release/*"]).await, Vec::<String>::new());
    assert_eq!(found(&remote, &side, &["*"]).await, ["feature"]);
    assert_eq!(found(&remote, &first, &["trunk"]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_that_the_remote_does_not_have_is_on_no_branch() {
    let remote = Remote::new();
    remote.commit("first");
    assert_eq!(found(&remote, &"0".repeat(40), &["main"]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_that_was_force_pushed_away_is_on_no_branch() {
    let remote = Remote::new();
    let first = remote.commit("first");
    let gone = remote.commit("gone");
    remote.git(&["reset", "--quiet", "--hard", &first]);
    assert_eq!(found(&remote, &gone, &["main"]).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_commit_and_what_is_no_remote_are_errors_without_secrets() {
    let remote = Remote::new();
    remote.commit("first");
    for wrong in ["main", "HEAD", "--upload-pack=x", &"A".repeat(40), &"0".repeat(39)] {
        let refused = Git::new().branches_with(&remote.url(), wrong, &["main"]).await.unwrap_err();
        assert!(refused.to_string().contains("no full commit id"), "{refused}");
    }
    let gone = "http://dan:hunter2@127.0.0.1:9/acme/web.git";
    let refused = Git::new().branches_with(gone, &"0".repeat(40), &["main"]).await.unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1:9/acme/web.git") && !refused.contains("hunter2"), "{refused}");
    let run = format!("ext::touch {}", remote.0.path().join("ran").display());
    Git::new().branches_with(&run, &"0".repeat(40), &["main"]).await.unwrap_err();
    assert!(!remote.0.path().join("ran").exists(), "a remote ran a command");
    let option = format!("--upload-pack=touch {}", remote.0.path().join("ran").display());
    Git::new().branches_with(&option, &"0".repeat(40), &["main"]).await.unwrap_err();
    assert!(!remote.0.path().join("ran").exists(), "a remote was taken for an option");
}

#[tokio::test]
async fn without_git_the_error_names_the_program() {
    let none = Git::with_program("no-such-git");
    let refused = none.branches_with("https://acme.dev/web", &"0".repeat(40), &["main"]).await.unwrap_err();
    assert!(refused.to_string().contains("no-such-git"), "{refused}");
}
