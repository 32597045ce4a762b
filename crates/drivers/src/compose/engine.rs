//! The container engine of the host, through its own client: what runs, what is there, start, stop, remove.

use std::{collections::BTreeMap, time::Duration};

use sealift_domain::{
    reference::Pinned,
    schema::{Expected, Schema},
};
use sealift_engine::ports::driver::{DriverError, DriverErrorKind};
use serde::{Deserialize, de::DeserializeOwned};

use super::command::{Call, Leash, Ran};
use crate::failure;

/// How long the client may take for what the engine knows.
const QUICK: Duration = Duration::from_secs(30);
/// How long a pull may take.
const PULL_WITHIN: Duration = Duration::from_secs(3600);
/// How long stopping may take beyond the service's own grace period, which Compose allows up to an hour of.
const STOP_WITHIN: Duration = Duration::from_secs(3700);

/// The client of one engine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    /// `DOCKER_HOST`; `None` leaves it to the client's context.
    host: Option<String>,
    /// What ties tools to the lock of the deployer at work.
    pub(super) leash: Leash,
}

/// A container as the engine describes it (Docker Engine API 1.41, `ContainerInspect`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    pub(super) id: String,
    /// With a leading slash.
    name: String,
    /// The id of its image: the digest of the image configuration, which is not the digest of the manifest.
    pub(super) image: String,
    pub(super) state: State,
    #[serde(default)]
    pub(super) restart_count: u64,
    pub(super) config: ContainerConfig,
    #[serde(default)]
    host_config: HostConfig,
}

/// What a container was created with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerConfig {
    /// The name of the image that it was created from.
    pub(super) image: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    port_bindings: Option<BTreeMap<String, Option<Vec<Binding>>>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    #[serde(default)]
    host_port: String,
}

/// The state of a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    pub(super) running: bool,
    #[serde(default)]
    pub(super) restarting: bool,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default, rename = "OOMKilled")]
    pub(super) oom_killed: bool,
    pub(super) exit_code: i64,
    #[serde(default)]
    pub(super) error: String,
    /// RFC 3339; the year 1 if it never was.
    #[serde(default)]
    started_at: String,
    #[serde(default)]
    pub(super) health: Option<Health>,
}

/// The verdict of the container's own health check.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub(super) status: String,
    #[serde(default)]
    log: Option<Vec<HealthLog>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthLog {
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    output: String,
}

/// An image that the engine has (Docker Engine API 1.41, `ImageInspect`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LocalImage {
    /// `repository@digest` for each name under which it was pulled or pushed.
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    config: Option<ImageConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    #[serde(default)]
    healthcheck: Option<ImageHealth>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageHealth {
    #[serde(default)]
    test: Option<Vec<String>>,
}

/// What the engine says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Info {
    /// Where it keeps images and containers, on its own machine.
    #[serde(default)]
    pub(super) docker_root_dir: String,
    #[serde(default)]
    pub(super) server_errors: Option<Vec<String>>,
}

impl Container {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.name.trim_start_matches('/')
    }

    /// A label, if it has it.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// The ports of the host that it is published on, running or not.
    pub(super) fn ports(&self) -> Vec<u16> {
        let bindings = self.host_config.port_bindings.iter().flat_map(BTreeMap::values).flatten().flatten();
        bindings.filter_map(|binding| binding.host_port.parse().ok()).collect()
    }

    /// Whether it runs, and not only by being restarted again and again.
    pub(super) fn runs(&self) -> bool {
        self.state.running && !self.state.restarting && !self.state.paused
    }

    /// Whether it was ever started.
    pub(super) fn has_started(&self) -> bool {
        !self.state.started_at.is_empty() && !self.state.started_at.starts_with("0001-")
    }

    /// How it ended or is, in words.
    pub(super) fn how(&self) -> String {
        let state = &self.state;
        match state {
            _ if state.restarting => format!("it keeps being restarted, last exit code {}", state.exit_code),
            _ if state.paused => "it is paused".to_owned(),
            _ if state.running => "it runs".to_owned(),
            _ if state.oom_killed => "it was killed because it used more memory than it may".to_owned(),
            _ if !state.error.is_empty() => state.error.clone(),
            _ if !self.has_started() => "it was never started".to_owned(),
            _ => format!("it ended with exit code {}", state.exit_code),
        }
    }
}

impl Health {
    /// What the last run of the check said.
    pub(super) fn last(&self) -> Option<String> {
        let log = self.log.as_ref()?.last()?;
        Some(format!("exit code {}: {}", log.exit_code, log.output.trim().replace('\n', "; ")))
    }
}

impl LocalImage {
    /// Whether this is the image that `pinned` names, by what the registry called it when it was pulled.
    pub(super) fn is(&self, pinned: &Pinned) -> bool {
        let wanted = pinned.to_string();
        self.repo_digests.iter().flatten().any(|name| familiar(name) == familiar(&wanted))
    }

    /// The names by digest that belong to a repository.
    pub(super) fn digests_in<'a>(&'a self, repository: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.repo_digests.iter().flatten();
        names.filter_map(move |name| {
            let (of, digest) = name.split_once('@')?;
            (familiar(of) == familiar(repository)).then_some(digest)
        })
    }

    /// What its labels say of the database.
    pub(super) fn expects(&self) -> Expected {
        let labels = self.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
        match Schema::of_labels(&labels) {
            Ok(schema) => schema.into(),
            Err(error) => Expected::Unreadable(error.to_string()),
        }
    }

    /// Whether it brings a health check of its own.
    pub(super) fn has_health_check(&self) -> bool {
        let test = self.config.as_ref().and_then(|config| config.healthcheck.as_ref()?.test.as_ref());
        test.is_some_and(|test| test.first().is_some_and(|kind| kind != "NONE"))
    }
}

impl Engine {
    /// The engine at `host`, or the one that the client uses by default.
    pub(super) fn new(host: Option<String>) -> Self {
        Self { host, leash: Leash::default() }
    }

    /// Whether it runs on this machine.
    pub(super) fn is_local(&self) -> bool {
        let host = self.host.clone().or_else(|| std::env::var("DOCKER_HOST").ok());
        host.is_none_or(|host| host.is_empty() || host.starts_with("unix://"))
    }

    /// Variables for tools that talk to this engine.
    pub(super) fn variables(&self) -> Option<(String, String)> {
        self.host.clone().map(|host| ("DOCKER_HOST".to_owned(), host))
    }

    fn docker<const N: usize>(&self, arguments: [&str; N], within: Duration) -> Call {
        Call::new(["docker"], within).args(arguments).variables(self.variables()).under(&self.leash)
    }

    /// What the engine says of itself; an error if none answers.
    pub(super) async fn info(&self) -> Result<Info, DriverError> {
        let call = self.docker(["info", "--format", "{{json .}}"], QUICK);
        let info: Info = one(&call.succeed(DriverErrorKind::Unreachable).await?, &call)?;
        match info.server_errors.iter().flatten().next() {
            Some(error) => Err(failure(DriverErrorKind::Unreachable, format!("no container engine answers: {error}"))),
            None => Ok(info),
        }
    }

    /// The containers with a label, running or not.
    pub(super) async fn containers(&self, label: &str) -> Result<Vec<Container>, DriverError> {
        let filter = format!("label={label}");
        let list = self.docker(["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter], QUICK);
        let ids = list.succeed(DriverErrorKind::Unreachable).await?.text();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.docker(["container", "inspect"], QUICK).args(ids);
        let ran = call.run().await?;
        // One that was removed since the listing is left out, and the others are still told of.
        if ran.code != Some(0) && !ran.words().contains("No such container") {
            return Err(call.failed(&ran, DriverErrorKind::Unreachable));
        }
        one(&ran, &call)
    }

    /// A container by name or id; `None` if there is none.
    pub(super) async fn container(&self, name: &str) -> Result<Option<Container>, DriverError> {
        let call = self.docker(["container", "inspect", name], QUICK);
        let ran = call.run().await?;
        if ran.code != Some(0) && ran.words().contains("No such container") {
            return Ok(None);
        }
        if ran.code != Some(0) {
            return Err(call.failed(&ran, DriverErrorKind::Unreachable));
        }
        let found: Vec<Container> = one(&ran, &call)?;
        Ok(found.into_iter().next())
    }

    /// An image by name or id; `None` if the engine does not have it.
    pub(super) async fn image(&self, name: &str) -> Result<Option<LocalImage>, DriverError> {
        let call = self.docker(["image", "inspect", name], QUICK);
        let ran = call.run().await?;
        if ran.code != Some(0) && ran.words().to_ascii_lowercase().contains("no such image") {
            return Ok(None);
        }
        if ran.code != Some(0) {
            return Err(call.failed(&ran, DriverErrorKind::Unreachable));
        }
        let found: Vec<LocalImage> = one(&ran, &call)?;
        Ok(found.into_iter().next())
    }

    /// Pulls an image, and returns the short ids of the layers that were moved.
    pub(super) async fn pull(&self, image: &Pinned) -> Result<Vec<String>, DriverError> {
        let call = self.docker(["pull", &image.to_string()], PULL_WITHIN);
        let ran = call.succeed(DriverErrorKind::Pull).await?;
        // One line an event: `<first 12 digits of the layer's digest>: Pull complete`.
        let text = String::from_utf8_lossy(&ran.stdout);
        let moved =
            text.lines().filter_map(|line| line.split_once(": ").filter(|(_, event)| *event == "Pull complete"));
        Ok(moved.map(|(layer, _)| layer.trim().to_owned()).collect())
    }

    /// Starts a container that exists.
    pub(super) async fn start(&self, id: &str) -> Result<(), DriverError> {
        self.docker(["container", "start", id], QUICK * 4).succeed(DriverErrorKind::Start).await.map(drop)
    }

    /// Stops a container: its stop signal, its grace period, then SIGKILL.
    pub(super) async fn stop(&self, id: &str) -> Result<(), DriverError> {
        self.docker(["container", "stop", id], STOP_WITHIN).succeed(DriverErrorKind::Start).await.map(drop)
    }

    /// Removes a container with its anonymous volumes, running or not. One that is gone already is fine.
    pub(super) async fn remove(&self, id: &str) -> Result<(), DriverError> {
        let call = self.docker(["container", "rm", "--force", "--volumes", id], QUICK * 4);
        let ran = call.run().await?;
        if ran.code == Some(0) || ran.words().contains("No such container") {
            return Ok(());
        }
        Err(call.failed(&ran, DriverErrorKind::Start))
    }

    /// Removes an image unless something still uses it. Returns whether it is gone.
    pub(super) async fn remove_image(&self, image: &Pinned) -> Result<bool, DriverError> {
        let ran = self.docker(["image", "rm", &image.to_string()], QUICK * 4).run().await?;
        Ok(ran.code == Some(0))
    }

    /// Waits until a container has ended, and returns its exit code.
    pub(super) async fn wait(&self, id: &str, within: Duration) -> Result<i64, DriverError> {
        let call = self.docker(["container", "wait", id], within);
        let ran = call.succeed(DriverErrorKind::Unreachable).await?;
        ran.text().parse().map_err(|_| unreadable(&call, "no exit code"))
    }

    /// The last lines of a container's log, both streams.
    pub(super) async fn logs(&self, id: &str, limit: usize) -> Result<Vec<u8>, DriverError> {
        let call = self.docker(["container", "logs", "--tail", "2000", id], QUICK);
        let ran = call.succeed(DriverErrorKind::Unreachable).await?;
        // The client separates the streams; in which order lines of both were written is not known any more.
        let mut log = ran.stdout;
        log.extend(ran.stderr);
        let skip = log.len().saturating_sub(limit);
        Ok(log.split_off(skip))
    }
}

/// A name as the engine shortens it: images of Docker Hub go without its host, and official ones without `library/`.
fn familiar(name: &str) -> &str {
    match name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")) {
        Some(hub) => hub.strip_prefix("library/").unwrap_or(hub),
        None => name,
    }
}

fn one<T: DeserializeOwned>(ran: &Ran, call: &Call) -> Result<T, DriverError> {
    serde_json::from_slice(&ran.stdout).map_err(|error| unreadable(call, &error.to_string()))
}

fn unreadable(call: &Call, why: &str) -> DriverError {
    failure(DriverErrorKind::Unreachable, format!("`{}` answers something unexpected: {why}", call.words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_from_what_the_engine_says() {
        let text = r#"{"Id":"abc","Name":"/hello-blue-web-1","Image":"sha256:1","RestartCount":2,
            "State":{"Running":true,"StartedAt":"2026-01-01T00:00:00Z","Restarting":true,"ExitCode":1,"Health":{"Status":"unhealthy","Log":[{"ExitCode":7,"Output":"no\nway\n"}]}},
            "Config":{"Image":"r/a@sha256:2","Labels":{"a":"b"}},
            "HostConfig":{"PortBindings":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"18080"}],"9/tcp":null}}}"#;
        let container: Container = serde_json::from_str(text).unwrap();
        assert_eq!(
            (container.name(), container.label("a"), container.label("b")),
            ("hello-blue-web-1", Some("b"), None)
        );
        assert_eq!((container.ports(), container.runs()), (vec![18080], false));
        assert_eq!(container.how(), "it keeps being restarted, last exit code 1");
        assert_eq!(container.state.health.unwrap().last().unwrap(), "exit code 7: no; way");
    }

    #[test]
    fn an_image_is_the_one_that_the_registry_named() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let text = format!(
            r#"{{"RepoDigests":["127.0.0.1:5000/a@{digest}"],"Config":{{"Healthcheck":{{"Test":["NONE"]}}}}}}"#
        );
        let image: LocalImage = serde_json::from_str(&text).unwrap();
        assert!(image.is(&format!("127.0.0.1:5000/a@{digest}").parse().unwrap()));
        assert!(!image.is(&format!("127.0.0.1:5000/b@{digest}").parse().unwrap()));
        assert_eq!(image.digests_in("127.0.0.1:5000/a").collect::<Vec<_>>(), [digest.as_str()]);
        assert!(!image.has_health_check());
        let hub: LocalImage =
            serde_json::from_str(&format!(r#"{{"RepoDigests":["team/a@{digest}","a@{digest}"]}}"#)).unwrap();
        assert!(hub.is(&format!("docker.io/team/a@{digest}").parse().unwrap()));
        assert!(hub.is(&format!("docker.io/library/a@{digest}").parse().unwrap()));
        assert!(!hub.is(&format!("ghcr.io/team/a@{digest}").parse().unwrap()));
    }
}
