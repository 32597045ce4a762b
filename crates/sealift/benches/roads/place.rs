//! Where it is measured: two registries, keys, a configuration, a directory.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use sealift_registry::{
    image::Built,
    server::{Config, Server},
};

use crate::Failed;

/// The place. Its directory goes with it, however the run ends.
pub(crate) struct Place {
    /// The directory, with `sealift.yaml` and `keys/`.
    pub(crate) directory: PathBuf,
    /// Where staging's images are.
    pub(crate) staging: Server,
    /// Where production's images are.
    pub(crate) production: Server,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

impl Place {
    pub(crate) async fn new() -> Result<Self, Failed> {
        let directory = std::env::temp_dir().join(format!("sealift-bench-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("keys"))?;
        let place = Self {
            directory,
            staging: Server::start(Config::default()).await?,
            production: Server::start(Config::default()).await?,
        };
        for person in ["ana", "bob"] {
            place.make_key(person)?;
        }
        std::fs::write(place.directory.join("sealift.yaml"), place.configuration(free_ports()?)?)?;
        Ok(place)
    }

    fn make_key(&self, person: &str) -> Result<(), Failed> {
        let file = self.directory.join("keys").join(person);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", person, "-f"])
            .arg(&file)
            .output()
            .map_err(|error| format!("ssh-keygen: {error}"))?;
        if made.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&made.stderr).into_owned().into()) }
    }

    fn configuration(&self, [staging, a, b, production, c, d]: [u16; 6]) -> Result<String, Failed> {
        let key = |person: &str| std::fs::read_to_string(self.directory.join(format!("keys/{person}.pub")));
        let (ana, bob) = (key("ana")?, key("bob")?);
        let (first, second) = (self.staging.address(), self.production.address());
        Ok(format!(
            r#"app: hello
source: https://example.com/hello
people:
  - {{id: ana, email: ana@example.com, ssh: "{}", roles: [platform-lead]}}
  - {{id: bob, email: bob@example.com, ssh: "{}", roles: [developer]}}
environments:
  staging:
    image: {first}/hello
    tags: [staging, "staging-{{commit7}}"]
    deploy: {{process: {{listen: {staging}, ports: [{a}, {b}], state: staging, env: {{DATABASE_URL: "db.staging"}}}}}}
    verify:
      - {{http: "http://127.0.0.1:{staging}/health", within: 10s, json: {{status: ok, version: "{{version}}"}}}}
  production:
    from: staging
    image: {second}/hello
    tags: [main, {{immutable: "main-{{commit7}}"}}]
    gates: {{soak: 1s, max_size: 100MB, layers: required, metadata: [source, revision, created]}}
    approval: {{roles: [platform-lead], expires: 1h, not: [requester]}}
    deploy: {{process: {{listen: {production}, ports: [{c}, {d}], state: production}}}}
    verify:
      - {{http: "http://127.0.0.1:{production}/health", within: 1s, stable_for: 500ms, json: {{status: ok, version: "{{version}}"}}}}
      - {{availability: "http://127.0.0.1:{production}/", min: 100%}}
"#,
            ana.trim(),
            bob.trim()
        ))
    }

    /// Pushes a release to staging's registry, as a build would, and returns its name there.
    pub(crate) fn push(&self, image: &Built, version: &str) -> String {
        self.staging.push("hello", image, Some(version));
        format!("{}/hello:{version}", self.staging.address())
    }

    /// A directory within the place.
    pub(crate) fn within(&self, name: &str) -> Result<PathBuf, Failed> {
        let path = self.directory.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Requests that both registries answered since they were last forgotten.
    pub(crate) fn requests(&self) -> usize {
        self.staging.log().len() + self.production.log().len()
    }

    /// Forgets the requests so far.
    pub(crate) fn clear_requests(&self) {
        self.staging.clear_log();
        self.production.clear_log();
    }

    /// Stops what the process driver left running; the directory goes when the place is dropped.
    pub(crate) async fn clear_away(self) {
        for environment in ["staging", "production"] {
            let state: &Path = &self.directory.join(environment);
            drop(sealift_drivers::process::stop_agent(state).await);
        }
    }
}

/// Ports that are free now, held until all are found so that none is found twice.
pub(crate) fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
