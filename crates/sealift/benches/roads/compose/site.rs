//! Where the Compose driver and its peer are measured: an application whose production is a Compose project behind nginx,
//! and beside it the same service in a project without Sealift. Registries and keys are the place's.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sealift_registry::image::Built;

use super::nginx::{self, Nginx};
use crate::{
    Failed,
    place::{Place, free_ports},
};

/// The site. Containers, networks and images go with it, however the run ends.
pub(crate) struct Site {
    /// The directory with `sealift.yaml`, both Compose files, and `build/` for the rebuild.
    pub(crate) directory: PathBuf,
    /// Where clients reach production: nginx.
    pub(crate) front: u16,
    /// Where clients reach the peer's service: the port that its container publishes.
    pub(crate) peer: u16,
    /// The start of a command line of Compose v2.
    pub(crate) compose: Vec<String>,
    /// What the names of its projects begin with.
    id: String,
    /// The repository that the engine pulls from.
    repository: String,
    _nginx: Nginx,
}

impl Drop for Site {
    fn drop(&mut self) {
        let form = "{{.ID}} {{.Label \"com.docker.compose.project\"}}";
        for (kind, list, removal) in
            [("container", &["ls", "--all"][..], &["rm", "--force", "--volumes"][..]), ("network", &["ls"], &["rm"])]
        {
            let arguments =
                [&[kind], list, &["--filter", "label=com.docker.compose.project", "--format", form]].concat();
            let listed = docker(&arguments).unwrap_or_default();
            let own = listed.lines().filter_map(|line| line.split_once(' ')).filter(|(_, p)| p.starts_with(&self.id));
            own.for_each(|(id, _)| drop(docker(&[&[kind], removal, &[id]].concat())));
        }
        for repository in [self.repository.as_str(), &self.built()] {
            let listed = docker(&["image", "ls", "--all", "--quiet", "--no-trunc", repository]).unwrap_or_default();
            listed.lines().for_each(|id| drop(docker(&["image", "rm", "--force", id])));
        }
    }
}

impl Site {
    /// Sets it up. The inner `Err` says what is not there that it needs.
    pub(crate) fn new(place: &Place) -> Result<Result<Self, String>, Failed> {
        let (compose, program) = match parts() {
            Ok(parts) => parts,
            Err(why) => return Ok(Err(why)),
        };
        let directory = place.within("compose")?;
        std::fs::create_dir_all(directory.join("build"))?;
        let [front, peer, status, staging, a, b, c, d] = free_ports()?;
        let nginx = Nginx::start(&program, &directory, front)?;
        let id = format!("sealift-bench-{}", std::process::id());
        let file = service("replaced-by-the-digest", "8080");
        std::fs::write(directory.join("production.yaml"), file)?;
        // The one check that fails where it is asked to, once.
        std::fs::write(directory.join("check.sh"), "test -e fails || exit 0\nrm fails\necho asked to fail\nexit 1\n")?;
        let deploy = format!(
            "{{compose: {{file: production.yaml, service: web, project: {id}-production, compose: {}, state: host, \
             strategy: blue-green, ports: [{c}, {d}], start_within: 60s, drain: 1s, min_memory: 16MB, \
             nginx: {{include: {}, upstream: web, command: {}, keepalive: 8, status_port: {status}}}}}}}",
            serde_json::to_string(&compose)?,
            nginx.include.display(),
            serde_json::to_string(&nginx.argv)?,
        );
        let text = configuration(place, &deploy, [front, staging, a, b])?;
        std::fs::write(directory.join("sealift.yaml"), text)?;
        let repository = format!("{}/web", place.production.address());
        Ok(Ok(Self { directory, front, peer, compose, id, repository, _nginx: nginx }))
    }

    /// The name under which the rebuild tags its image.
    pub(crate) fn built(&self) -> String {
        format!("{}-rebuilt", self.id)
    }

    /// Makes the peer's Compose file name this image, and returns the file's path.
    pub(crate) fn name_for_peer(&self, image: &Built) -> Result<String, Failed> {
        let file = self.directory.join("peer.yaml");
        let name = format!("{}@{}", self.repository, image.digest);
        std::fs::write(&file, service(&name, &format!("127.0.0.1:{}:8080", self.peer)))?;
        Ok(file.display().to_string())
    }

    /// The peer's project.
    pub(crate) fn project(&self) -> String {
        format!("{}-peer", self.id)
    }
}

/// The same service on both sides.
fn service(image: &str, port: &str) -> String {
    format!(
        "services:\n  web:\n    image: {image}\n    init: true\n    stop_grace_period: 1s\n    ports: [\"{port}\"]\n"
    )
}

fn configuration(place: &Place, deploy: &str, [front, staging, a, b]: [u16; 4]) -> Result<String, Failed> {
    let key = |person: &str| std::fs::read_to_string(place.directory.join(format!("keys/{person}.pub")));
    let (ana, bob) = (key("ana")?, key("bob")?);
    let (first, second) = (place.staging.address(), place.production.address());
    Ok(format!(
        r#"app: web
source: https://example.com/hello
people:
  - {{id: ana, email: ana@example.com, ssh: "{}", roles: [platform-lead]}}
  - {{id: bob, email: bob@example.com, ssh: "{}", roles: [developer]}}
environments:
  staging:
    image: {first}/web
    tags: [staging, "staging-{{commit7}}"]
    deploy: {{process: {{listen: {staging}, ports: [{a}, {b}], state: staging}}}}
    verify:
      - {{http: "http://127.0.0.1:{staging}/health", within: 10s, json: {{status: ok, version: "{{version}}"}}}}
  production:
    from: staging
    image: {second}/web
    tags: [main, {{immutable: "main-{{commit7}}"}}]
    gates: {{max_size: 100MB, layers: required}}
    approval: {{roles: [platform-lead], expires: 1h, not: [requester]}}
    deploy: {deploy}
    verify:
      - {{http: "http://127.0.0.1:{front}/health", within: 10s, stable_for: 500ms, json: {{status: ok, version: "{{version}}"}}}}
      - {{run: [sh, check.sh], within: 30s}}
"#,
        ana.trim(),
        bob.trim()
    ))
}

/// Compose v2 and nginx, with an engine that answers; otherwise what there is not.
fn parts() -> Result<(Vec<String>, PathBuf), String> {
    if let Some(why) = std::env::var("SEALIFT_NO_ENGINE").ok().filter(|why| !why.is_empty()) {
        return Err(why);
    }
    docker(&["version", "--format", "{{.Server.Version}}"]).map_err(|why| format!("no container engine: {why}"))?;
    let compose = compose_v2().ok_or("no Compose v2 (scripts/compose-v2 gets one)")?;
    Ok((compose, nginx::program().ok_or("no nginx")?))
}

/// The plugin of `docker`, or the program that `scripts/compose-v2` got.
fn compose_v2() -> Option<Vec<String>> {
    if docker(&["compose", "version"]).is_ok() {
        return Some(vec!["docker".to_owned(), "compose".to_owned()]);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::repository().join("target"), PathBuf::from);
    let program = target.join("tools/compose-v2/docker-compose").canonicalize().ok()?;
    said(&program, &["version"]).ok().map(|_| vec![program.display().to_string()])
}

/// What docker printed, or what it complained of.
pub(crate) fn docker(arguments: &[&str]) -> Result<String, String> {
    said(Path::new("docker"), arguments)
}

fn said(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
