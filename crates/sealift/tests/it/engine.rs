//! The container engine and both generations of Compose, as tests use them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::real;

/// The label that everything of a test carries; its value is the test's own name for itself.
pub(crate) const LABEL: &str = "dev.sealift.test";

/// What a test needs besides the engine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Compose v1, the program `docker-compose` of Debian 12.
    ComposeV1,
    /// Compose v2, as the plugin of `docker` or as a program.
    ComposeV2,
    /// nginx, openssl for its certificate, and python3 for load.
    Nginx,
}

/// Whether an engine answers and all parts are there; see [`real::is_complete`]. An engine that could not be started for the
/// tests skips them, unless `SEALIFT_REQUIRE_REAL=1` was given by whoever runs them.
pub(crate) fn are_there(test: &str, parts: &[Part]) -> bool {
    if let Some(why) = no_engine() {
        if std::env::var("SEALIFT_SKIP_ENGINE").as_deref() == Ok("1") {
            real::skip(test, &why);
            return false;
        }
        return real::is_complete(test, &[why]);
    }
    if parts.contains(&Part::ComposeV1) && compose_v1().is_none() && real::program("docker-compose").is_some() {
        // Debian 13 and others have no v1 any more; nothing that could be set up is missing.
        real::skip(test, "docker-compose here is not Compose v1");
        return false;
    }
    let absent = parts.iter().flat_map(|part| match part {
        Part::ComposeV1 if compose_v1().is_none() => vec!["docker-compose is not in PATH".to_owned()],
        Part::ComposeV2 if compose_v2().is_none() => vec!["no Compose v2: run scripts/compose-v2".to_owned()],
        Part::Nginx => real::absent(&["nginx", "openssl", "python3"]),
        Part::ComposeV1 | Part::ComposeV2 => Vec::new(),
    });
    real::is_complete(test, &absent.collect::<Vec<_>>())
}

/// Why there is no engine; `None` if one answers.
fn no_engine() -> Option<String> {
    if let Some(why) = std::env::var("SEALIFT_NO_ENGINE").ok().filter(|why| !why.is_empty()) {
        return Some(why);
    }
    if real::program("docker").is_none() {
        return Some("docker is not in PATH".to_owned());
    }
    try_docker(&["version", "--format", "{{.Server.Version}}"]).err()
}

/// Compose v1 as the start of a command line.
pub(crate) fn compose_v1() -> Option<Vec<String>> {
    let program = real::program("docker-compose")?;
    version_of(&program).filter(|version| version.starts_with("1."))?;
    Some(vec![program.display().to_string()])
}

/// Compose v2 as the start of a command line: the plugin, or a program in `PATH`, or the one that `scripts/compose-v2` got.
pub(crate) fn compose_v2() -> Option<Vec<String>> {
    if try_docker(&["compose", "version"]).is_ok() {
        return Some(vec!["docker".to_owned(), "compose".to_owned()]);
    }
    let unpacked = crate::workflow::record::target().join("tools/compose-v2/docker-compose");
    let candidates = real::program("docker-compose").into_iter().chain([unpacked]);
    let program = candidates.into_iter().find(|program| version_of(program).is_some_and(|v| !v.starts_with("1.")))?;
    Some(vec![program.display().to_string()])
}

fn version_of(compose: &Path) -> Option<String> {
    let output = Command::new(compose).args(["version", "--short"]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Runs docker and returns what it printed; `Err` says what it complained of.
pub(crate) fn try_docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("docker: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// The same; a complaint fails the test.
#[track_caller]
pub(crate) fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).unwrap_or_else(|why| panic!("{why}"))
}

/// `docker inspect` of one object.
#[track_caller]
pub(crate) fn inspect(object: &str) -> Value {
    let found: Value = serde_json::from_str(&docker(&["inspect", object])).unwrap();
    found[0].clone()
}

/// Removes what a test made in the engine when it is dropped: containers, networks and volumes that carry the label with
/// its name, and those of Compose projects whose names begin with it.
pub(crate) struct Cleanup {
    /// The test's own name for itself.
    pub(crate) id: String,
    images: Vec<String>,
}

impl Cleanup {
    /// For a test that calls itself `id`, which no other test does, and which is fit for the name of a Compose project.
    pub(crate) fn new(id: &str) -> Self {
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b)), "{id}");
        Self { id: id.to_owned(), images: Vec::new() }
    }

    /// A name that begins with `what` and that no other place has, nor a run beside this one.
    pub(crate) fn unique(what: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self::new(&format!("{what}-{}-{number}", std::process::id()))
    }

    /// The label as an argument: `dev.sealift.test=<id>`.
    pub(crate) fn label(&self) -> String {
        format!("{LABEL}={}", self.id)
    }

    /// Has an image removed too.
    pub(crate) fn image(&mut self, name: &str) {
        self.images.push(name.to_owned());
    }

    /// The ids of containers, networks or volumes (`kind`) that are the test's.
    fn of(&self, kind: &str) -> Vec<String> {
        let list = if kind == "container" { vec![kind, "ls", "--all"] } else { vec![kind, "ls"] };
        let field = if kind == "volume" { "{{.Name}}" } else { "{{.ID}}" };
        let filter = format!("label={}", self.label());
        let listed = try_docker(&[&list[..], &["--filter", &filter, "--format", field]].concat()).unwrap_or_default();
        let mut found: Vec<String> = listed.lines().map(str::to_owned).collect();
        let form = format!("{field} {{{{.Label \"com.docker.compose.project\"}}}}");
        let projects = ["--filter", "label=com.docker.compose.project", "--format", &form];
        let listed = try_docker(&[&list[..], &projects].concat()).unwrap_or_default();
        let own = listed.lines().filter_map(|line| line.split_once(' ')).filter(|(_, p)| p.starts_with(&self.id));
        found.extend(own.map(|(id, _)| id.to_owned()));
        found.sort();
        found.dedup();
        found
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        for (kind, how) in [("container", "--force"), ("network", ""), ("volume", "--force")] {
            for id in self.of(kind) {
                let arguments: Vec<&str> = [kind, "rm", how, &id].into_iter().filter(|a| !a.is_empty()).collect();
                drop(try_docker(&arguments));
            }
        }
        for image in &self.images {
            drop(try_docker(&["image", "rm", "--force", image]));
        }
    }
}
