//! The demo with containers: the engine, Compose 2 and nginx that are on this machine, and what is removed from them again.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use sealift_registry::server::Server;

use super::{
    images,
    nginx::{self, Nginx},
};
use crate::{diagnostic::Diagnostic, shell::Shell};

/// How long a tool may take to say its version. An engine that needs longer is none to show anything with.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the engine may take to pull the image of the trial, or to remove something.
const WORK_WITHIN: Duration = Duration::from_secs(60);
/// How often what is left is looked for: the engine may still have been at work on something when the demo was ended.
const SWEEPS: usize = 3;
/// The repository from which the engine pulls for a trial.
const TRIAL: &str = "trial";

/// What containers need.
pub(super) struct Tools {
    variables: BTreeMap<String, String>,
    /// Program and first arguments of Compose 2.
    compose: Vec<String>,
    /// The program nginx.
    nginx: String,
    /// What they are, for people.
    pub(super) words: String,
}

/// What runs for the demo beside its registries.
pub(super) struct Containers {
    tools: Tools,
    /// What the names of its Compose projects begin with, like those of no other demo on this machine.
    name: String,
    /// What the names of its images begin with.
    registries: [String; 2],
    nginx: Nginx,
}

impl Tools {
    /// Those of this machine.
    ///
    /// # Errors
    /// What is missing, in a few words.
    pub(super) async fn find(shell: &Shell) -> Result<Self, String> {
        let variables = shell.variables.clone();
        let engine = ask(&variables, &["docker", "version", "--format", "{{.Server.Version}}"], ANSWER_WITHIN).await;
        let engine = engine.map_err(|_| "no container engine answers".to_owned())?;
        let (compose, version) = find_compose(shell).await.ok_or("there is no Compose 2")?;
        let path = shell.variable("PATH").unwrap_or_default();
        let nginx = nginx::program(&path).ok_or("nginx is not installed")?;
        let front = nginx::version(&nginx).ok_or("nginx cannot be run")?;
        let words = format!("Docker {engine}, Compose {version}, nginx {front}");
        Ok(Self { variables, compose, nginx, words })
    }

    /// Whether the engine can pull from a registry of this process. One on another machine cannot, nor one in a network
    /// of its own.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn can_pull(&self, registry: &Server) -> Result<(), String> {
        registry.push(TRIAL, &images::contained("0.0.0").build(), Some("1"));
        let image = format!("{}/{TRIAL}:1", registry.address());
        let pulled = ask(&self.variables, &["docker", "pull", "--quiet", &image], WORK_WITHIN).await;
        // Removed by its name: an image of another demo may have the same bytes.
        drop(ask(&self.variables, &["docker", "image", "rm", &image], WORK_WITHIN).await);
        pulled.map(drop).map_err(|why| format!("the container engine cannot pull from this machine ({why})"))
    }

    /// Starts nginx and writes the Compose files into `directory`. `ports` are those of staging, nginx and its status.
    ///
    /// # Errors
    /// A file that cannot be written, or an nginx that does not listen.
    pub(super) async fn set_up(
        self,
        directory: &Path,
        registries: [&Server; 2],
        [staging, front]: [u16; 2],
    ) -> Result<Containers, Diagnostic> {
        let write = |file: &str, text: &str| {
            let file = directory.join(file);
            std::fs::write(&file, text).map_err(|error| crate::failure::file("write", &file, &error))
        };
        let of_staging = format!(
            "    ports: [\"127.0.0.1:{staging}:{}\"]\n    environment: {{DATABASE_URL: db.staging}}\n",
            images::CONTAINER_PORT
        );
        write("staging.yaml", &compose_file(&of_staging))?;
        write("production.yaml", &compose_file(&format!("    ports: [\"{}\"]\n", images::CONTAINER_PORT)))?;
        let nginx = Nginx::start(&self.nginx, &directory.join("nginx"), front).await?;
        let name = format!("sealift-demo-{}-{front}", std::process::id());
        let registries = registries.map(|registry| format!("{}/", registry.address()));
        Ok(Containers { tools: self, name, registries, nginx })
    }
}

impl Containers {
    /// How staging is deployed, as it stands in the configuration.
    pub(super) fn staging(&self) -> String {
        format!("deploy: {{compose: {{{}, strategy: recreate}}}}", self.common("staging"))
    }

    /// How production is deployed: `ports` are those on which releases take turns, `status` that of nginx's answers.
    pub(super) fn production(&self, [first, second]: [u16; 2], status: u16) -> String {
        format!(
            "deploy: {{compose: {{{}, strategy: blue-green, ports: [{first}, {second}],\n      nginx: {{include: {}, upstream: {}, \
             command: {}, keepalive: 8, status_port: {status}}}}}}}",
            self.common("production"),
            nginx::INCLUDE,
            nginx::UPSTREAM,
            flow(self.nginx.argv()),
        )
    }

    fn common(&self, environment: &str) -> String {
        format!(
            "file: {environment}.yaml, service: web, project: {}-{environment}, compose: {}, state: {environment}, \
             start_within: 20s, drain: 1s, min_memory: 16MB, min_disk: 64MB",
            self.name,
            flow(&self.tools.compose),
        )
    }

    /// Ends nginx and removes what the engine has of the demo. What cannot be removed is left: there is nobody to tell
    /// who could do more than `docker` says by itself.
    pub(super) async fn clear_away(self) {
        drop(self.nginx);
        for _ in 0..SWEEPS {
            let mut found = false;
            for kind in ["container", "network", "volume"] {
                for id in self.tools.of_projects(kind, &self.name).await {
                    found = true;
                    let mut command = vec!["docker", kind, "rm", &id];
                    if kind == "container" {
                        command.extend(["--force", "--volumes"]);
                    }
                    drop(ask(&self.tools.variables, &command, WORK_WITHIN).await);
                }
            }
            if !found {
                break;
            }
        }
        for image in self.tools.images(&self.registries).await {
            drop(ask(&self.tools.variables, &["docker", "image", "rm", &image], WORK_WITHIN).await);
        }
    }
}

impl Tools {
    /// The containers, networks or volumes (`kind`) of Compose projects whose names begin with this one and a hyphen.
    async fn of_projects(&self, kind: &str, name: &str) -> Vec<String> {
        let id = if kind == "volume" { "{{.Name}}" } else { "{{.ID}}" };
        let form = format!("{id} {{{{.Label \"com.docker.compose.project\"}}}}");
        let mut command = vec!["docker", kind, "ls", "--filter", "label=com.docker.compose.project", "--format", &form];
        if kind == "container" {
            command.push("--all");
        }
        let listed = ask(&self.variables, &command, WORK_WITHIN).await.unwrap_or_default();
        let begin = format!("{name}-");
        let own = listed.lines().filter_map(|line| line.split_once(' ')).filter(|(_, of)| of.starts_with(&begin));
        own.map(|(id, _)| id.to_owned()).collect()
    }

    /// The images from these registries, by repository and digest.
    async fn images(&self, registries: &[String]) -> Vec<String> {
        let command = ["docker", "image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}"];
        let listed = ask(&self.variables, &command, WORK_WITHIN).await.unwrap_or_default();
        let own = listed.lines().filter(|name| registries.iter().any(|registry| name.starts_with(registry)));
        own.map(str::to_owned).collect()
    }
}

/// Compose 2 and its version: the one that `SEALIFT_DEMO_COMPOSE` names, the plugin of `docker`, or a program of its own.
async fn find_compose(shell: &Shell) -> Option<(Vec<String>, String)> {
    let named = shell.variable("SEALIFT_DEMO_COMPOSE");
    let named = named.map(|path| vec![shell.resolve(Path::new(&path)).display().to_string()]);
    let others = [vec!["docker".to_owned(), "compose".to_owned()], vec!["docker-compose".to_owned()]];
    for argv in named.into_iter().chain(others) {
        let command: Vec<&str> = argv.iter().map(String::as_str).chain(["version", "--short"]).collect();
        let answer = ask(&shell.variables, &command, ANSWER_WITHIN).await.unwrap_or_default();
        let version = answer.trim_start_matches('v');
        // Version 2 has had successors with the same command line, and version 1 has not.
        if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 2) {
            return Some((argv, version.to_owned()));
        }
    }
    None
}

/// Runs a tool and returns what it printed.
async fn ask(variables: &BTreeMap<String, String>, argv: &[&str], within: Duration) -> Result<String, String> {
    let (program, arguments) = argv.split_first().ok_or("no program")?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_clear().envs(variables).stdin(Stdio::null()).kill_on_drop(true);
    // A Ctrl-C at the terminal is for the demo, which clears away with these tools.
    command.process_group(0);
    let ended = tokio::time::timeout(within, command.output()).await;
    let output = ended.map_err(|_| format!("{program} takes longer than {within:?}"))?;
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The Compose file of an environment.
///
/// The container's own check asks only whether the service answers. What a release needs of its environment is left for
/// `verify` to find out, so that the demo can show a release which is live before anybody knows that it is broken.
fn compose_file(lines: &str) -> String {
    format!(
        "services:\n  web:\n    image: replaced-by-the-digest\n    stop_grace_period: 1s\n    \
         healthcheck: {{test: [CMD, /hello, health, /], interval: 500ms, timeout: 3s, retries: 3}}\n{lines}"
    )
}

/// A list of texts in a flow mapping of YAML, which a JSON array is.
fn flow(argv: &[String]) -> String {
    serde_json::Value::from(argv.to_vec()).to_string()
}
