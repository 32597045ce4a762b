//! Asking a git remote on which of its branches a commit is.
//!
//! `git` itself does it: it knows every transport and every way to log in that people have set up. Branches are fetched without
//! files and directories (`--filter=tree:0`, gitformat-partial-clone) into a repository of their own that is removed afterwards.

use std::{collections::BTreeSet, ffi::OsString, path::Path, process::Stdio, time::Duration};

use async_trait::async_trait;
use sealift_engine::ports::source::{SourceError, Sources};
use tokio::{process::Command, time::timeout};

/// How long one call of git may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most branches that are looked at.
const MAX_BRANCHES: usize = 1000;
/// The most of git's own words that are shown, in characters.
const WORDS: usize = 300;
/// What may be spoken; above all not `ext`, which runs a command.
const TRANSPORTS: &str = "https:http:ssh:git:file";

/// Git remotes, by the `git` of this machine.
#[derive(Clone, Debug)]
pub struct Git {
    program: OsString,
}

impl Git {
    /// Asks with the `git` that is found on the path.
    pub fn new() -> Self {
        Self { program: "git".into() }
    }

    /// Asks with this program.
    pub fn with_program(program: impl Into<OsString>) -> Self {
        Self { program: program.into() }
    }

    /// What a call of git wrote, and whether it ended well.
    async fn call(&self, directory: &Path, arguments: &[&str]) -> Result<(bool, String), SourceError> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
        // Nobody is there to be asked, and no repository around this one is meant.
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", TRANSPORTS).env("LC_ALL", "C");
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
        // Helpers of git's are programs of others, and no business of theirs is what this run signs with.
        command.env_remove("SEALIFT_PROMOTION_KEY").env_remove("SEALIFT_WRITER_KEY");
        command.env_remove("SEALIFT_LOG_KEY").env_remove("SEALIFT_GIT_TOKEN");
        let verb = arguments.first().copied().unwrap_or_default();
        let ended = timeout(PATIENCE, command.output()).await;
        let ended = ended.map_err(|_| SourceError(format!("`git {verb}` took more than {} s", PATIENCE.as_secs())))?;
        let output = ended
            .map_err(|why| SourceError(format!("`{}` cannot be started: {why}", Path::new(&self.program).display())))?;
        let told = if output.status.success() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
    }

    /// The branches of a remote that match one of `patterns`.
    async fn branches(&self, at: &Path, repository: &str, patterns: &[&str]) -> Result<Vec<String>, SourceError> {
        let (right, told) = self.call(at, &["ls-remote", "--heads", "--", repository]).await?;
        if !right {
            return Err(SourceError(format!("{} cannot be read: {}", plain(repository), words(&told, repository))));
        }
        let names = told.lines().filter_map(|line| line.split_once("\trefs/heads/")).map(|(_, name)| name.to_owned());
        let wanted: Vec<String> = names.filter(|name| patterns.iter().any(|pattern| matches(pattern, name))).collect();
        if wanted.len() > MAX_BRANCHES {
            let many = format!("{} branches of {} match; the limit is {MAX_BRANCHES}", wanted.len(), plain(repository));
            return Err(SourceError(many));
        }
        Ok(wanted)
    }

    async fn fetch(&self, at: &Path, repository: &str, branches: &[String]) -> Result<(), SourceError> {
        let refs = branches.iter().map(|name| format!("+refs/heads/{name}:refs/heads/{name}")).collect::<Vec<_>>();
        let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--filter=tree:0", "--", repository];
        arguments.extend(refs.iter().map(String::as_str));
        let (right, told) = self.call(at, &arguments).await?;
        if right {
            return Ok(());
        }
        Err(SourceError(format!("branches of {} cannot be fetched: {}", plain(repository), words(&told, repository))))
    }
}

impl Default for Git {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Sources for Git {
    async fn branches_with(
        &self,
        repository: &str,
        commit: &str,
        patterns: &[&str],
    ) -> Result<BTreeSet<String>, SourceError> {
        if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(SourceError(format!("`{}` is no full commit id", commit.escape_debug())));
        }
        let place = tempfile::tempdir().map_err(|why| SourceError(format!("no temporary directory: {why}")))?;
        let at = place.path();
        let kind = if commit.len() == 64 { "sha256" } else { "sha1" };
        let (right, told) = self.call(at, &["init", "--quiet", "--bare", &format!("--object-format={kind}")]).await?;
        if !right {
            return Err(SourceError(format!("`git init` failed: {}", words(&told, repository))));
        }
        let branches = self.branches(at, repository, patterns).await?;
        if branches.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.fetch(at, repository, &branches).await?;
        let mut found = BTreeSet::new();
        for branch in branches {
            // Git answers 1 for "not among them" and 128 for a commit that it does not have, which is the same here.
            let head = format!("refs/heads/{branch}");
            if self.call(at, &["merge-base", "--is-ancestor", commit, &head]).await?.0 {
                found.insert(branch);
            }
        }
        Ok(found)
    }
}

/// Whether a branch has this name, or this beginning where the pattern ends with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// A URL without what somebody may have written before its host.
fn plain(repository: &str) -> String {
    match repository.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}/{path}").escape_debug().to_string()
        }
        None => repository.escape_debug().to_string(),
    }
}

/// The end of git's own words in a line, without the URL as it was given.
fn words(told: &str, repository: &str) -> String {
    let line = told.trim().replace(repository, &plain(repository));
    let line: String = line.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    line.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}
