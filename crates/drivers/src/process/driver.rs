//! The driver: each method as a sequence of commands to the agent.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use sealift_domain::{name::ComponentName, reference::Pinned, release::Release, undo::Observed};
use sealift_engine::ports::{
    driver::{Deployment, Driver, DriverError, DriverErrorKind, DriverObserver, Prepared, Usage, definition_digest},
    offline::OfflineHost,
    registry::Registry,
};
use tokio::time::Instant;

use crate::{
    health::{HealthProbe, Unwell},
    shelf::Shelf,
    usage,
};

use super::{
    agent::{
        check_key, log_path, migration_began, migration_log_path,
        protocol::{Command, Ended, Place, ServiceStatus, Start, Status},
        prune_logs, read_log, recorded_live,
    },
    client::AgentClient,
    config::Config,
    failure,
    image::Images,
    launch::{Launch, Secrets},
};

/// How long the agent may take for a command that waits for nothing.
pub(super) const QUICK: Duration = Duration::from_secs(30);
/// How often a candidate is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take until it is known how a process ended.
const EXIT_WITHIN: Duration = Duration::from_secs(2);
/// How much of a log goes into an error, in bytes.
const ERROR_OUTPUT: usize = 64 << 10;
/// The most of a log that is handed out at once, in bytes.
const MAX_LOGS: usize = 4 << 20;
/// How many logs of past deployments are kept at least.
const KEPT_LOGS: usize = 20;

/// Runs one environment on this machine. See the [module](super) for how.
pub struct ProcessDriver {
    config: Config,
    pub(super) state: PathBuf,
    pub(super) images: Images,
    pub(super) agent: AgentClient,
    pub(super) shelf: Shelf,
    probe: HealthProbe,
}

/// One deployment with everything that is read out of it.
struct Target<'a> {
    deployment: &'a Deployment,
    component: &'a ComponentName,
    image: &'a Pinned,
    config: Config,
}

impl Target<'_> {
    fn place(&self, fence: u64) -> Place {
        let Config { listen, ports, .. } = self.config;
        Place { key: self.deployment.key.clone(), fence, listen: listen.address(), ports }
    }
}

impl ProcessDriver {
    /// A driver for the environment of `config`. Images come through `registry`. The agent is started, when one is needed, with
    /// `agent_command` and the state directory as one more argument; that program calls [`super::agent::run`].
    ///
    /// # Errors
    /// [`DriverErrorKind::Preflight`] if the configuration cannot be used.
    pub fn new(config: Config, registry: Arc<dyn Registry>, agent_command: Vec<OsString>) -> Result<Self, DriverError> {
        let refused = |why: String| failure(DriverErrorKind::Preflight, why);
        config.validate().map_err(refused)?;
        let state = std::path::absolute(&config.state).map_err(|e| refused(e.to_string()))?;
        let images = Images::new(state.join("images"), registry);
        let agent = AgentClient::new(state.clone(), agent_command);
        let shelf = Shelf::new(&state);
        Ok(Self { config, state, images, agent, shelf, probe: HealthProbe::new() })
    }

    fn target<'a>(&self, deployment: &'a Deployment) -> Result<Target<'a>, DriverError> {
        check_key(&deployment.key)?;
        let mut images = deployment.images.iter();
        let (Some((component, image)), None) = (images.next(), images.next()) else {
            let n = deployment.images.len();
            let why = format!("the process driver runs one component, this release has {n}");
            return Err(failure(DriverErrorKind::Preflight, why));
        };
        let config = Config::from_definition(&deployment.definition, &self.state)
            .map_err(|why| failure(DriverErrorKind::Preflight, why))?;
        Ok(Target { deployment, component, image, config })
    }

    /// How long a command may take that may stop a service.
    fn patience(&self) -> Duration {
        QUICK + (self.config.grace.as_duration() + self.config.drain.as_duration()) * 2
    }

    pub(super) async fn stop(&self, fence: u64, key: &str, failed: bool) -> Result<Status, DriverError> {
        self.agent.call(Command::Stop { fence, key: key.to_owned(), failed }, self.patience()).await
    }

    /// Starts the service of `target`, unless it runs, and waits until it is up.
    async fn bring_up(
        &self,
        target: &Target<'_>,
        fence: u64,
        observer: &dyn DriverObserver,
    ) -> Result<Prepared, DriverError> {
        let key = &target.deployment.key;
        if self.observe().await? == Observed::Nothing {
            // Nothing runs that could do without: what is missing is said before anything is touched.
            secrets(&target.config)?;
        }
        let status = self.agent.call(Command::Check(target.place(fence)), QUICK).await?;
        // What runs needs neither its image nor the registry: the way back must not depend on either.
        let runs = service(&status, key).is_some_and(|service| service.pid.is_some());
        let pulled = if runs { 0 } else { self.start(target, fence, observer).await? };
        self.wait_until_up(target).await?;
        observer.note(&format!("{key} is up"));
        Ok(Prepared { pulled_bytes: Some(pulled) })
    }

    /// Starts the service and returns how many bytes were pulled for it.
    async fn start(&self, target: &Target<'_>, fence: u64, observer: &dyn DriverObserver) -> Result<u64, DriverError> {
        let secrets = secrets(&target.config)?;
        let (image, pulled) = self.images.pull(target.image, observer).await?;
        self.may_migrate(&image)?;
        self.shelf.keep_definition(&target.deployment.definition)?;
        let launch = Launch::service(&image, &target.config).map_err(|why| failure(DriverErrorKind::Preflight, why))?;
        let start = Start {
            place: target.place(fence),
            component: target.component.clone(),
            digest: target.image.digest,
            definition: definition_digest(&target.deployment.definition),
            launch,
            secrets,
            grace_ms: target.config.grace.as_millis(),
            drain_ms: target.config.drain.as_millis(),
        };
        let key = &target.deployment.key;
        let status = self.agent.call(Command::Start(Box::new(start)), self.patience()).await?;
        let service = service(&status, key).ok_or_else(|| self.ended(key, None))?;
        observer.note(&format!("{key} runs on port {}, waiting for {}", service.port, target.config.health));
        Ok(pulled)
    }

    async fn wait_until_up(&self, target: &Target<'_>) -> Result<(), DriverError> {
        let (key, config) = (&target.deployment.key, &target.config);
        let deadline = Instant::now() + config.start_within.as_duration();
        let mut well_since: Option<Instant> = None;
        loop {
            let status = self.agent.call(Command::Status, QUICK).await?;
            let Some(service) = service(&status, key) else { return Err(self.ended(key, None)) };
            if service.pid.is_none() {
                return Err(self.ended(key, Some(self.exit_of(key).await?)));
            }
            let port = service.port;
            match self.probe.ask(port, &config.health).await {
                Ok(()) => {
                    let since = *well_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= config.stable_for.as_duration() {
                        return Ok(());
                    }
                }
                Err(unwell) if Instant::now() >= deadline => return Err(self.unhealthy(target, port, unwell)),
                Err(_) => well_since = None,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How the process of `key` ended. The agent sees that it is gone a moment before it is told how.
    async fn exit_of(&self, key: &str) -> Result<String, DriverError> {
        let deadline = Instant::now() + EXIT_WITHIN;
        loop {
            let status = self.agent.call(Command::Status, QUICK).await?;
            let exit = service(&status, key).and_then(|service| service.last_exit.clone());
            match exit {
                Some(exit) => return Ok(exit),
                None if Instant::now() >= deadline => return Ok("nobody was told how".to_owned()),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    fn ended(&self, key: &str, exit: Option<String>) -> DriverError {
        let message = format!("{key} started and ended again: {}", exit.as_deref().unwrap_or("it does not run"));
        DriverError { kind: DriverErrorKind::Start, message, output: self.end_of_log(key) }
    }

    fn unhealthy(&self, target: &Target<'_>, port: u16, unwell: Unwell) -> DriverError {
        let Config { health, start_within, .. } = &target.config;
        let key = &target.deployment.key;
        let found = unwell.found;
        let message =
            format!("{key} is not healthy {start_within} after its start: http://127.0.0.1:{port}{health}: {found}");
        let mut output = self.end_of_log(key);
        if !unwell.body.is_empty() {
            output.extend_from_slice(b"\n--- answer ---\n");
            output.extend(unwell.body);
        }
        DriverError { kind: DriverErrorKind::Unhealthy, message, output }
    }

    fn end_of_log(&self, key: &str) -> Vec<u8> {
        // The error that it would explain is told in any case.
        read_log(&log_path(&self.state, key), ERROR_OUTPUT).unwrap_or_default()
    }

    /// Moves the front to `target` and checks that it is there.
    async fn move_to(&self, target: &Target<'_>, fence: u64) -> Result<(), DriverError> {
        let to = Some(target.deployment.key.clone());
        let status = self.agent.call(Command::Switch { fence, to }, QUICK).await?;
        let listen = target.config.listen.address();
        if status.listening.contains(&listen) {
            return Ok(());
        }
        Err(failure(
            DriverErrorKind::Switch,
            format!("{} is live, but the front does not listen on {listen}", target.deployment.key),
        ))
    }

    async fn read_back(&self) -> Result<Observed, DriverError> {
        Ok(observed(&self.agent.call(Command::Status, QUICK).await?))
    }

    /// Has the agent run a migration, or tell how it ended.
    async fn run_migration(
        &self,
        deployment: &Deployment,
        argv: &[String],
        observer: &dyn DriverObserver,
    ) -> Result<(Ended, u64), DriverError> {
        self.shelf.admit(deployment.fence, &deployment.key)?;
        let target = self.target(deployment)?;
        let (image, pulled) = self.images.pull(target.image, observer).await?;
        let launch = Launch::program(&image, &target.config, argv.to_vec())
            .map_err(|why| failure(DriverErrorKind::Preflight, why))?;
        let secrets = secrets(&target.config)?;
        self.may_migrate(&image)?;
        let key = deployment.key.clone();
        observer.note(&format!("running the migration of {key}"));
        let ended = self.agent.migrate(Command::Migrate { fence: deployment.fence, key, launch, secrets }).await?;
        Ok((ended, pulled))
    }
}

#[async_trait]
impl Driver for ProcessDriver {
    fn kind(&self) -> &'static str {
        "process"
    }

    fn definition(&self) -> Result<Vec<u8>, DriverError> {
        self.config.definition().map_err(|e| failure(DriverErrorKind::Preflight, e.to_string()))
    }

    async fn observe(&self) -> Result<Observed, DriverError> {
        if let Some(status) = self.agent.status(QUICK).await? {
            return Ok(observed(&status));
        }
        let unreadable = |e: std::io::Error| failure(DriverErrorKind::Unreachable, e.to_string());
        match recorded_live(&self.state).map_err(unreadable)? {
            None => Ok(Observed::Nothing),
            // Nobody forwards to it. An agent that is started does, and starts it if need be.
            Some(_) => self.read_back().await,
        }
    }

    async fn has(&self, image: &Pinned) -> Result<bool, DriverError> {
        Ok(self.images.find(image.digest).is_some())
    }

    async fn migrate(
        &self,
        deployment: &Deployment,
        argv: &[String],
        observer: &dyn DriverObserver,
    ) -> Result<Prepared, DriverError> {
        let key = &deployment.key;
        let ended = self.run_migration(deployment, argv, observer).await;
        let message = match ended {
            Ok((ended, pulled)) if ended.success => return Ok(Prepared { pulled_bytes: Some(pulled) }),
            Ok((ended, _)) => format!("the migration of {key} failed: {}", ended.status),
            Err(error) if error.kind == DriverErrorKind::Migrate => error.message,
            // An earlier run began it. That this one cannot so much as ask for its outcome does not mean that nothing happened.
            Err(error) if error.kind.began_nothing() && migration_began(&self.state, key) => {
                format!(
                    "the migration of {key} was started by an earlier run and its outcome is unknown to this one: {error}"
                )
            }
            Err(error) => return Err(error),
        };
        let output = read_log(&migration_log_path(&self.state, key), ERROR_OUTPUT).unwrap_or_default();
        Err(DriverError { kind: DriverErrorKind::Migrate, message, output })
    }

    async fn migration_output(&self, deployment: &Deployment, limit: usize) -> Result<Vec<u8>, DriverError> {
        check_key(&deployment.key)?;
        let path = migration_log_path(&self.state, &deployment.key);
        read_log(&path, limit.min(MAX_LOGS))
            .map_err(|e| failure(DriverErrorKind::Unreachable, format!("{}: {e}", path.display())))
    }

    async fn prepare(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<Prepared, DriverError> {
        self.shelf.admit(deployment.fence, &deployment.key)?;
        let target = self.target(deployment)?;
        let up = self.bring_up(&target, deployment.fence, observer).await;
        if let Err(error) = &up
            && matches!(error.kind, DriverErrorKind::Start | DriverErrorKind::Unhealthy)
            && let Err(error) = self.stop(deployment.fence, &deployment.key, true).await
        {
            observer.note(&format!("{} cannot be stopped: {error}", deployment.key));
        }
        up
    }

    async fn switch(&self, deployment: &Deployment, observer: &dyn DriverObserver) -> Result<Observed, DriverError> {
        self.shelf.admit(deployment.fence, &deployment.key)?;
        let target = self.target(deployment)?;
        self.move_to(&target, deployment.fence).await?;
        observer.note(&format!("{} forwards to {}", target.config.listen.address(), deployment.key));
        self.read_back().await
    }

    async fn restore(
        &self,
        failed: &Deployment,
        previous: Option<&Deployment>,
        observer: &dyn DriverObserver,
    ) -> Result<Observed, DriverError> {
        check_key(&failed.key)?;
        self.shelf.admit(failed.fence, &failed.key)?;
        match previous {
            Some(previous) => {
                let target = self.target(previous)?;
                self.bring_up(&target, failed.fence, observer).await?;
                self.move_to(&target, failed.fence).await?;
            }
            None => {
                self.agent.call(Command::Switch { fence: failed.fence, to: None }, QUICK).await?;
            }
        }
        let back = previous.map_or("nothing", |previous| previous.key.as_str());
        observer.note(&format!("traffic is back on {back}, stopping {}", failed.key));
        self.stop(failed.fence, &failed.key, true).await?;
        self.read_back().await
    }

    async fn retire(
        &self,
        deployment: &Deployment,
        keep: u32,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        check_key(&deployment.key)?;
        self.shelf.admit(deployment.fence, &deployment.key)?;
        let mut status = self.agent.call(Command::Status, QUICK).await?;
        if status.live.as_deref() != Some(&deployment.key) {
            let live = status.live.as_deref().unwrap_or("nothing");
            let why = format!("{} is not live ({live} is), so nothing before it is retired", deployment.key);
            return Err(failure(DriverErrorKind::Switch, why));
        }
        for old in status.services.iter().map(|service| service.key.clone()).collect::<Vec<_>>() {
            if old != deployment.key {
                observer.note(&format!("draining and stopping {old}"));
                status = self.stop(deployment.fence, &old, false).await?;
            }
        }
        let named = status.history.iter().filter_map(|past| past.definition);
        self.shelf.prune_definitions(&named.chain(status.services.iter().map(|s| s.definition)).collect())?;
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let removed = self.images.prune(&kept(&status, keep)).await?;
        if removed > 0 {
            observer.note(&format!("removed {removed} unpacked images"));
        }
        let spared: Vec<String> = status.services.into_iter().map(|service| service.key).collect();
        prune_logs(&self.state, &spared, keep.max(KEPT_LOGS))
            .map_err(|e| failure(DriverErrorKind::Unreachable, format!("{}: {e}", self.state.display())))
    }

    async fn discard(&self, deployment: &Deployment, _: &dyn DriverObserver) -> Result<(), DriverError> {
        check_key(&deployment.key)?;
        self.shelf.admit(deployment.fence, &deployment.key)?;
        self.stop(deployment.fence, &deployment.key, true).await.map(|_| ())
    }

    async fn logs(&self, deployment: &Deployment, limit: usize) -> Result<Vec<u8>, DriverError> {
        check_key(&deployment.key)?;
        let path: &Path = &log_path(&self.state, &deployment.key);
        read_log(path, limit.min(MAX_LOGS))
            .map_err(|e| failure(DriverErrorKind::Unreachable, format!("{}: {e}", path.display())))
    }

    fn offline(&self) -> Option<&dyn OfflineHost> {
        Some(self)
    }

    async fn usage(&self) -> Option<Usage> {
        usage::of_this_host().ok()
    }
}

fn secrets(config: &Config) -> Result<Secrets, DriverError> {
    Secrets::from_environment(&config.env_from).map_err(|missing| {
        let why = format!("the environment does not set {}, which `env_from` names", missing.join(", "));
        failure(DriverErrorKind::Preflight, why)
    })
}

fn service<'a>(status: &'a Status, key: &str) -> Option<&'a ServiceStatus> {
    status.services.iter().find(|service| service.key == key)
}

/// What is live, as far as its process is alive.
fn observed(status: &Status) -> Observed {
    let Some(key) = &status.live else { return Observed::Nothing };
    let service = service(status, key);
    match service.filter(|service| service.pid.is_some()) {
        Some(service) => running(service),
        None => {
            let exit = service.and_then(|service| service.last_exit.as_deref()).unwrap_or("no process");
            Observed::Unknown { what: format!("{key} should be live and does not run: {exit}") }
        }
    }
}

fn running(service: &ServiceStatus) -> Observed {
    match Release::new([(service.component.clone(), service.digest)].into()) {
        Some(release) => Observed::Running { release, definition: Some(service.definition) },
        None => Observed::Nothing,
    }
}

/// The images that stay: what runs, and the newest `keep` of what was live before. One is always kept to go back to.
fn kept(status: &Status, keep: usize) -> BTreeSet<sealift_domain::digest::Digest> {
    let mut kept: BTreeSet<_> = status.services.iter().map(|service| service.digest).collect();
    let wanted = kept.len().saturating_add(keep.max(1));
    for past in status.history.iter().rev() {
        if kept.len() == wanted {
            break;
        }
        kept.insert(past.digest);
    }
    kept
}
