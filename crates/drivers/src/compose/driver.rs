//! The driver: what every strategy has in common, and which one does what.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use sealift_domain::{name::ComponentName, quantity::Period, reference::Pinned, undo::Observed};
use sealift_engine::ports::{
    driver::{
        Candidate, Deployment, Driver, DriverError, DriverErrorKind, DriverObserver, Prepared, Usage, definition_digest,
    },
    offline::OfflineHost,
    registry::Registry,
};

use super::{
    config::{Config, MAX_FILE, Strategy},
    engine::{Container, Engine},
    fleet::{Fleet, identify},
    front::Front,
    host::{Held, Host, Past},
    project::{Resolved, Wanted},
    tool::{Compose, ProjectFile},
};
use crate::{failure, files, health::HealthProbe, shelf::Shelf, usage};

/// How often something that takes time is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Where the states of environments lie, unless the configuration says otherwise.
const STATES: &str = "/var/lib/sealift";
/// The longest key of a deployment. It becomes part of names.
const MAX_KEY: usize = 100;

/// Runs one environment's service by Docker Compose. See the [module](super) for how.
pub struct ComposeDriver {
    pub(super) config: Config,
    pub(super) project: String,
    pub(super) host: Host,
    pub(super) shelf: Shelf,
    pub(super) engine: Engine,
    pub(super) front: Front,
    pub(super) probe: HealthProbe,
    pub(super) registry: Arc<dyn Registry>,
}

/// A generated project file. Variables are put in already, secrets among them, so it is kept no longer than it is needed.
pub(super) struct Written(PathBuf);

impl Written {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // The next one of its name replaces it; the directory is closed to others.
        drop(std::fs::remove_file(&self.0));
    }
}

/// One deployment with everything that is read out of it.
pub(super) struct Target<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) component: &'a ComponentName,
    pub(super) image: &'a Pinned,
    pub(super) config: Config,
    /// The text of its Compose file.
    text: String,
}

impl Target<'_> {
    pub(super) fn key(&self) -> &str {
        &self.deployment.key
    }
}

impl ComposeDriver {
    /// A driver for the environment of `config`, whose paths are absolute. `project` is the project's name unless the
    /// configuration gives one. `registry` is asked how large layers are, nothing else.
    ///
    /// # Errors
    /// [`DriverErrorKind::Preflight`] if the configuration cannot be used.
    pub fn new(config: Config, project: &str, registry: Arc<dyn Registry>) -> Result<Self, DriverError> {
        config.validate().map_err(|why| failure(DriverErrorKind::Preflight, why))?;
        let project = config.project.clone().unwrap_or_else(|| project.to_owned());
        let state = config.state.clone().unwrap_or_else(|| PathBuf::from(STATES).join(&project));
        let shelf = Shelf::new(&state);
        let host = Host::new(state);
        let engine = Engine::new(config.engine.clone());
        let front = Front::new(config.nginx.clone(), &host);
        Ok(Self { config, project, host, shelf, engine, front, probe: HealthProbe::new(), registry })
    }

    pub(super) fn target<'a>(&self, deployment: &'a Deployment) -> Result<Target<'a>, DriverError> {
        check_key(&deployment.key)?;
        let refused = |why: String| failure(DriverErrorKind::Preflight, why);
        let mut images = deployment.images.iter();
        let (Some((component, image)), None) = (images.next(), images.next()) else {
            let n = deployment.images.len();
            return Err(refused(format!("the compose driver promotes the image of one service, this release has {n}")));
        };
        let (config, text) = self.config.with_definition(&deployment.definition).map_err(refused)?;
        Ok(Target { deployment, component, image, config, text })
    }

    pub(super) async fn lock(&self, deployment: &Deployment) -> Result<Held, DriverError> {
        let (key, fence) = (deployment.key.as_str(), deployment.fence);
        let admit = || self.shelf.admit(fence, key);
        self.host.lock((key, fence), self.config.lock_within, &self.engine.leash, admit).await
    }

    /// Writes down that a deployment is live, with all that it takes to bring it back from this host alone.
    fn remember(&self, held: &mut Held, target: &Target<'_>) -> Result<(), DriverError> {
        let definition = self.shelf.keep_definition(&target.deployment.definition)?;
        held.made_live(Past {
            key: target.key().to_owned(),
            image: target.image.clone(),
            component: Some(target.component.clone()),
            definition: Some(definition),
        })?;
        self.shelf.prune_definitions(&held.journal.past.iter().filter_map(|past| past.definition).collect())
    }

    pub(super) async fn fleet(&self) -> Result<Fleet, DriverError> {
        Fleet::read(&self.engine, &self.project, &self.config.service).await
    }

    /// The container that traffic goes to, running or not. `Err` in [`Result`] has words where traffic goes to nothing known.
    pub(super) fn live<'a>(&self, fleet: &'a Fleet) -> Result<Result<Option<&'a Container>, String>, DriverError> {
        if self.config.strategy == Strategy::Recreate {
            return Ok(Ok(fleet.in_place()));
        }
        Ok(match self.front.live_port()? {
            None => Ok(None),
            Some(port) => match fleet.on_port(port) {
                Some(container) => Ok(Some(container)),
                None => Err(format!("traffic goes to port {port}, and no container of `{}` has it", self.project)),
            },
        })
    }

    pub(super) async fn read_back(&self) -> Result<Observed, DriverError> {
        let fleet = self.fleet().await?;
        match self.live(&fleet)? {
            Ok(Some(container)) => identify(&self.engine, container).await,
            Ok(None) => Ok(Observed::Nothing),
            Err(what) => Ok(Observed::Unknown { what }),
        }
    }

    /// Has Compose resolve the target's file, with today's values of the variables that it may use.
    pub(super) async fn resolve(&self, target: &Target<'_>, compose: &Compose) -> Result<Resolved, DriverError> {
        let mut variables = Vec::new();
        let mut missing = Vec::new();
        for name in &target.config.env_from {
            match std::env::var(name) {
                Ok(value) => variables.push((name.clone(), value)),
                Err(_) => missing.push(name.as_str()),
            }
        }
        if !missing.is_empty() {
            let why = format!("the environment does not set {}, which `env_from` names", missing.join(", "));
            return Err(failure(DriverErrorKind::Preflight, why));
        }
        self.engine.leash.keep_secret(variables.iter().map(|(_, value)| value.clone()));
        let path = self.host.path("compose.yaml");
        self.host.write(&path, target.text.as_bytes())?;
        let value = compose.resolve(self.project_file(&self.project, &path), &variables).await?;
        Resolved::new(value, &target.config.service).map_err(|why| {
            let why = format!("{}: {why}", self.config.file.display());
            failure(DriverErrorKind::Preflight, why)
        })
    }

    /// A generated project, in the directory where the team's file has its own paths.
    pub(super) fn project_file<'a>(&'a self, project: &'a str, path: &'a Path) -> ProjectFile<'a> {
        let directory = self.config.file.parent().filter(|parent| !parent.as_os_str().is_empty());
        ProjectFile { project, path, directory: directory.unwrap_or(Path::new(".")) }
    }

    pub(super) fn wanted<'a>(&'a self, target: &'a Target<'_>) -> Wanted<'a> {
        Wanted {
            project: &self.project,
            key: target.key(),
            component: target.component.as_str(),
            definition: definition_digest(&target.deployment.definition).to_string(),
            image: target.image,
        }
    }

    /// Writes a generated project file, which is gone when what is returned is dropped.
    pub(super) fn write_project(&self, name: &str, project: &serde_json::Value) -> Result<Written, DriverError> {
        let path = self.host.path(name);
        let text =
            serde_json::to_vec_pretty(project).map_err(|e| failure(DriverErrorKind::Preflight, e.to_string()))?;
        self.host.write(&path, &text)?;
        Ok(Written(path))
    }

    /// Waits until nobody is connected to a port any more, but no longer than `drain`.
    pub(super) async fn drain(&self, port: u16, observer: &dyn DriverObserver) {
        let deadline = tokio::time::Instant::now() + self.config.drain.as_duration();
        while self.engine.is_local() {
            match super::host::connections_to(port) {
                Ok(0) => return,
                Ok(n) if tokio::time::Instant::now() >= deadline => {
                    observer
                        .note(&format!("{n} connections to port {port} are still open after {}", self.config.drain));
                    return;
                }
                Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
                // Where it cannot be seen, it is waited for.
                Err(_) => break,
            }
        }
        tokio::time::sleep_until(deadline).await;
    }

    /// Stops a container and says so when it had to be killed.
    pub(super) async fn stop(&self, container: &Container, observer: &dyn DriverObserver) -> Result<(), DriverError> {
        /// The exit code of a process that SIGKILL ended: 128 + 9.
        const KILLED: i64 = 137;
        let began = tokio::time::Instant::now();
        self.engine.stop(&container.id).await?;
        let after = self.engine.container(&container.id).await?;
        if let Some(after) = &after
            && after.state.running
        {
            let why = format!("{} still runs after it was stopped", container.name());
            return Err(failure(DriverErrorKind::Start, why));
        }
        if after.is_some_and(|after| after.state.exit_code == KILLED) {
            let took = Period::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            observer.note(&format!("{} did not end by itself and was killed after {took}", container.name()));
        }
        Ok(())
    }
}

/// Refuses a key that could not be part of a name.
fn check_key(key: &str) -> Result<(), DriverError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !key.is_empty() && key.len() <= MAX_KEY && key.bytes().all(plain) {
        return Ok(());
    }
    let why = format!("`{key}` cannot be a deployment's key: 1 to {MAX_KEY} letters, digits, `-` and `_`");
    Err(failure(DriverErrorKind::Preflight, why))
}

#[async_trait]
impl Driver for ComposeDriver {
    fn kind(&self) -> &'static str {
        "compose"
    }

    fn definition(&self) -> Result<Vec<u8>, DriverError> {
        let refused = |why: String| failure(DriverErrorKind::Preflight, why);
        let file = &self.config.file;
        // Opening a pipe would wait for whoever writes into it.
        if file.exists() && !file.is_file() {
            return Err(refused(format!("{} is not a regular file", file.display())));
        }
        let bytes = files::read_bounded(file, MAX_FILE).map_err(|e| refused(format!("{}: {e}", file.display())))?;
        let bytes = bytes.ok_or_else(|| refused(format!("there is no Compose file {}", file.display())))?;
        let text = String::from_utf8(bytes).map_err(|_| refused(format!("{} is not UTF-8", file.display())))?;
        self.config.definition(&text).map_err(|e| refused(e.to_string()))
    }

    async fn observe(&self) -> Result<Observed, DriverError> {
        self.read_back().await
    }

    async fn has(&self, image: &Pinned) -> Result<bool, DriverError> {
        Ok(self.engine.image(&image.to_string()).await?.is_some_and(|local| local.is(image)))
    }

    async fn migrate(
        &self,
        deployment: &Deployment,
        argv: &[String],
        observer: &dyn DriverObserver,
    ) -> Result<Prepared, DriverError> {
        let ran = async {
            let _held = self.lock(deployment).await?;
            self.run_migration(&self.target(deployment)?, argv, observer).await
        };
        match ran.await {
            Err(error) if error.kind != DriverErrorKind::Migrate => Err(self.unless_began(deployment, error).await),
            ran => ran,
        }
    }

    async fn migration_output(&self, deployment: &Deployment, limit: usize) -> Result<Vec<u8>, DriverError> {
        match self.engine.container(&self.migration(&deployment.key)).await? {
            Some(container) => self.engine.logs(&container.id, limit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn prepare(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        let _held = self.lock(deployment).await?;
        let target = self.target(deployment)?;
        match self.config.strategy {
            Strategy::BlueGreen => self.prepare_beside(&target, observer).await,
            Strategy::Recreate => self.prepare_in_place(&target, observer).await,
        }
    }

    async fn switch(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<Observed, DriverError> {
        let mut held = self.lock(deployment).await?;
        let target = self.target(deployment)?;
        match self.config.strategy {
            Strategy::BlueGreen => self.switch_front(&target, observer).await?,
            Strategy::Recreate => self.replace(&target, observer).await?,
        }
        self.remember(&mut held, &target)?;
        self.read_back().await
    }

    async fn restore(
        &self,
        failed: &Deployment,
        previous: Option<&Deployment>,
        observer: &dyn DriverObserver,
    ) -> Result<Observed, DriverError> {
        let mut held = self.lock(failed).await?;
        let previous = previous.map(|previous| self.target(previous)).transpose()?;
        match self.config.strategy {
            Strategy::BlueGreen => self.front_back(&failed.key, previous.as_ref(), observer).await?,
            Strategy::Recreate => self.replace_back(&failed.key, previous.as_ref(), observer).await?,
        }
        held.taken_back(&failed.key)?;
        self.read_back().await
    }

    async fn retire(
        &self,
        deployment: &Deployment,
        keep: u32,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        let held = self.lock(deployment).await?;
        let fleet = self.fleet().await?;
        let live = self.live(&fleet)?.ok().flatten();
        let Some(live) = live.filter(|live| fleet.of(&deployment.key).is_some_and(|own| own.id == live.id)) else {
            let found = live.map_or("nothing", Container::name);
            let why = format!("{} is not live ({found} is), so nothing before it is retired", deployment.key);
            return Err(failure(DriverErrorKind::Switch, why));
        };
        self.retire_before(&deployment.key, live, &fleet, observer).await?;
        self.forget_migration(&deployment.key).await?;
        self.prune(&held.journal, &fleet, keep, observer).await
    }

    async fn discard(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<(), DriverError> {
        let _held = self.lock(deployment).await?;
        let fleet = self.fleet().await?;
        if let Some(container) = fleet.of(&deployment.key) {
            let is_live = self.live(&fleet)?.ok().flatten().is_some_and(|live| live.id == container.id);
            if is_live {
                let why = format!("{} is live, and what is live is not discarded", container.name());
                return Err(failure(DriverErrorKind::Preflight, why));
            }
            observer.note(&format!("removing {}", container.name()));
            if container.state.running {
                self.stop(container, observer).await?;
            }
            self.engine.remove(&container.id).await?;
        }
        self.forget_migration(&deployment.key).await
    }

    async fn logs(&self, deployment: &Deployment, limit: usize) -> Result<Vec<u8>, DriverError> {
        match self.fleet().await?.of(&deployment.key) {
            Some(container) => self.engine.logs(&container.id, limit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn usage(&self) -> Option<Usage> {
        if self.engine.is_local() { usage::of_this_host().ok() } else { None }
    }

    fn offline(&self) -> Option<&dyn OfflineHost> {
        Some(self)
    }

    fn candidate(&self) -> Candidate {
        match self.config.strategy {
            Strategy::BlueGreen => Candidate::InPlaceOfKept,
            Strategy::Recreate => Candidate::NotStarted,
        }
    }
}
