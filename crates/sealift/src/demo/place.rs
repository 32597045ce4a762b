//! Where the demo takes place: registries, keys, configuration, a directory.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use sealift_registry::server::{Config, Server};

use super::{
    Driver,
    containers::{Containers, Tools},
    images,
};
use crate::{
    diagnostic::Diagnostic,
    failure, promotion_keys,
    shell::{Shell, Stream},
    wiring,
};

/// The place, with everything that runs there.
pub(super) struct Place {
    /// The directory.
    pub(super) directory: PathBuf,
    /// A shell in that directory.
    pub(super) shell: Shell,
    staging_registry: Server,
    production_registry: Server,
    ports: [u16; 6],
    /// What runs beside it if releases run in containers; otherwise they are child processes.
    containers: Option<Containers>,
    /// What releases run in, for people.
    pub(super) means: String,
}

impl Place {
    pub(super) async fn new(shell: &Shell, directory: Option<PathBuf>, driver: Driver) -> Result<Self, Diagnostic> {
        let directory =
            directory.unwrap_or_else(|| std::env::temp_dir().join(format!("sealift-demo-{}", std::process::id())));
        if directory.join("sealift.yaml").exists() {
            let what = format!("{} holds a sealift.yaml already", directory.display());
            return Err(failure::usage(what).next("name an empty directory: `sealift demo --directory DIRECTORY`"));
        }
        let no_registry = |error| failure::file("start a registry for", &directory, &error);
        let staging_registry = Server::start(Config::default()).await.map_err(no_registry)?;
        let production_registry = Server::start(Config::default()).await.map_err(no_registry)?;
        let (tools, means) = choose(shell, driver, &staging_registry).await?;
        std::fs::create_dir_all(directory.join("keys")).map_err(|error| failure::file("create", &directory, &error))?;
        let ports = free_ports().map_err(|error| failure::file("find free ports for", &directory, &error))?;
        let mut inside = Shell { directory: directory.clone(), stdin_terminal: false, ..shell.clone() };
        // The person at the keyboard plays no part: the demo's people sign with the demo's keys.
        inside.variables.insert("HOME".to_owned(), directory.display().to_string());
        for name in ["SEALIFT_CONFIG", "SEALIFT_IDENTITY", "GITHUB_RUN_ID", "GITHUB_REPOSITORY"] {
            inside.variables.remove(name);
        }
        let containers = None;
        let mut place =
            Self { directory, shell: inside, staging_registry, production_registry, ports, containers, means };
        place.make_keys()?;
        if let Some(tools) = tools {
            let registries = [&place.staging_registry, &place.production_registry];
            place.containers = Some(tools.set_up(&place.directory, registries, [ports[0], ports[3]]).await?);
        }
        place.make_promotion_key()?;
        place.write("sealift.yaml", &place.configuration()?)?;
        Ok(place)
    }

    /// The name of the driver of both environments.
    pub(super) fn driver(&self) -> &'static str {
        if self.containers.is_some() { "compose" } else { "process" }
    }

    /// How staging and production are deployed, and how soon production has to be well.
    fn deployments(&self) -> [String; 3] {
        let [staging, a, b, production, c, d] = self.ports;
        if let Some(containers) = &self.containers {
            return [containers.staging(), containers.production([c, d], a), "3s".to_owned()];
        }
        [
            format!(
                "deploy: {{process: {{listen: {staging}, ports: [{a}, {b}], state: staging, env: {{DATABASE_URL: \"db.staging\"}}}}}}"
            ),
            format!("deploy: {{process: {{listen: {production}, ports: [{c}, {d}], state: production}}}}"),
            "1s".to_owned(),
        ]
    }

    /// The same place for a run whose results are for programs: only the summary is printed.
    pub(super) fn silence(&mut self) {
        self.shell.stdout = Stream::new(std::io::sink());
    }

    fn make_keys(&self) -> Result<(), Diagnostic> {
        for person in ["ana", "bob"] {
            let file = self.directory.join("keys").join(person);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", person, "-f"])
                .arg(&file)
                .output();
            let failed = |why: String| {
                Diagnostic::new("E0602", format!("ssh-keygen makes no key: {why}"))
                    .state("nothing was changed")
                    .next("install it; Debian has it in `openssh-client`")
            };
            let made = made.map_err(|error| failed(error.to_string()))?;
            if !made.status.success() {
                return Err(failed(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
            }
        }
        Ok(())
    }

    /// The key that what enters production is attested with.
    fn make_promotion_key(&self) -> Result<(), Diagnostic> {
        let (private, public) = (self.directory.join(".sealift/promotion.key"), self.directory.join("promotion.pub"));
        let made = promotion_keys::generate(&private, &public);
        made.map(drop).map_err(|why| Diagnostic::new("E0801", why).state("nothing was changed"))
    }

    fn configuration(&self) -> Result<String, Diagnostic> {
        let key = |person: &str| {
            let path = self.directory.join("keys").join(format!("{person}.pub"));
            std::fs::read_to_string(&path)
                .map(|text| text.trim().to_owned())
                .map_err(|e| failure::file("read", &path, &e))
        };
        let [staging, _, _, production, _, _] = self.ports;
        let [deploy_staging, deploy_production, within] = self.deployments();
        let (ana, bob) = (key("ana")?, key("bob")?);
        let (first, second) = (self.staging_registry.address(), self.production_registry.address());
        Ok(format!(
            r#"app: hello
source: https://example.com/hello
people:
  - {{id: ana, email: ana@example.com, ssh: "{ana}", roles: [platform-lead]}}
  - {{id: bob, email: bob@example.com, ssh: "{bob}", roles: [developer]}}
environments:
  staging:
    image: {first}/hello
    tags: [staging, "staging-{{commit7}}"]
    {deploy_staging}
    verify:
      - {{http: "http://127.0.0.1:{staging}/health", within: 10s, json: {{status: ok, version: "{{version}}"}}}}
  production:
    from: staging
    attest: {{key: promotion.pub}}
    image: {second}/hello
    tags: [main, {{immutable: "main-{{commit7}}"}}]
    gates: {{soak: 3s, max_size: 100MB, layers: required, metadata: [source, revision, created]}}
    approval: {{roles: [platform-lead], expires: 1h, not: [requester]}}
    {deploy_production}
    verify:
      - {{http: "http://127.0.0.1:{production}/health", within: {within}, stable_for: 500ms, json: {{status: ok, version: "{{version}}"}}}}
      - {{availability: "http://127.0.0.1:{production}/", min: 100%}}
"#
        ))
    }

    /// Pushes a release to the first registry, as a build would, and returns its name there.
    pub(super) fn push(&self, version: &str) -> String {
        let needs: &[(&str, &str)] = if version == "1.9.0" { &[("NEEDS", "DATABASE_URL")] } else { &[] };
        let image = match self.containers {
            Some(_) => images::contained_with(version, needs).build(),
            None => images::service_with(version, needs).build(),
        };
        self.staging_registry.push("hello", &image, Some(version));
        format!("{}/hello:{version}", self.staging_registry.address())
    }

    /// What production's tag names in its registry.
    pub(super) fn production_image(&self) -> String {
        format!("{}/hello:main", self.production_registry.address())
    }

    /// Where production answers.
    pub(super) fn production_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.ports[3])
    }

    /// Keeps the newest checkpoint outside the log.
    pub(super) async fn keep_checkpoint(&self) -> Result<(), Diagnostic> {
        let log = wiring::stores::open_log(&self.directory.join(".sealift/log.sqlite"))?;
        let checkpoint = log.checkpoint().await.map_err(|error| failure::of_log(&error))?;
        self.write("checkpoint", &checkpoint)
    }

    /// Copies the log and changes one byte of an entry in the copy.
    pub(super) fn tampered_copy(&self) -> Result<(), Diagnostic> {
        let (from, to) = (self.directory.join(".sealift"), self.directory.join("copy/.sealift"));
        std::fs::create_dir_all(&to).map_err(|error| failure::file("create", &to, &error))?;
        let copy =
            |from: &Path, to: &Path| std::fs::copy(from, to).map_err(|error| failure::file("copy", from, &error));
        for name in ["sealift.yaml", "promotion.pub"] {
            copy(&self.directory.join(name), &self.directory.join("copy").join(name))?;
        }
        for name in ["log.sqlite", "log.sqlite-wal", "log.key", "log.pub"] {
            if from.join(name).exists() {
                copy(&from.join(name), &to.join(name))?;
            }
        }
        let path = to.join("log.sqlite");
        let mut bytes = std::fs::read(&path).map_err(|error| failure::file("read", &path, &error))?;
        let entry = br#""kind":"promotion.approved""#;
        let at = bytes.windows(entry.len()).position(|window| window == entry);
        let at = at.ok_or_else(|| Diagnostic::new("E0001", "the copy of the log holds no approval to change"))?;
        // "approved" becomes "approvee": one bit less honest.
        if let Some(byte) = bytes.get_mut(at + entry.len() - 2) {
            *byte ^= 1;
        }
        std::fs::write(&path, bytes).map_err(|error| failure::file("write", &path, &error))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Diagnostic> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).map_err(|error| failure::file("write", &path, &error))
    }

    /// Stops what runs, and removes the directory unless it is to be kept.
    pub(super) async fn clear_away(self, keep: bool) {
        match self.containers {
            Some(containers) => containers.clear_away().await,
            None => {
                for environment in ["staging", "production"] {
                    drop(sealift_drivers::process::stop_agent(&self.directory.join(environment)).await);
                }
            }
        }
        if !keep {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

/// The tools for containers if releases are to run in them, and what they run in, for people.
async fn choose(shell: &Shell, driver: Driver, registry: &Server) -> Result<(Option<Tools>, String), Diagnostic> {
    let found = async {
        let tools = Tools::find(shell).await?;
        tools.can_pull(registry).await?;
        Ok::<_, String>(tools)
    };
    match driver {
        Driver::Process => Ok((None, "Releases run as child processes, as asked.".to_owned())),
        Driver::Auto => Ok(match found.await {
            Ok(tools) => in_containers(tools),
            Err(why) => (None, format!("Releases run as child processes: {why}.")),
        }),
        Driver::Compose => found.await.map(in_containers).map_err(|why| {
            failure::usage(format!("nothing to show the compose driver with: {why}"))
                .next("`sealift demo --driver process` needs none of it")
        }),
    }
}

fn in_containers(tools: Tools) -> (Option<Tools>, String) {
    let means = format!("Releases run in containers: {}.", tools.words);
    (Some(tools), means)
}

/// Six ports that are free now.
fn free_ports() -> std::io::Result<[u16; 6]> {
    let mut listeners = Vec::new();
    let mut ports = [0; 6];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        // Held until all are found, so that no port is found twice.
        listeners.push(listener);
    }
    Ok(ports)
}
