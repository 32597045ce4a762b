//! The commands: check, start, switch, stop, migrate.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use super::{
    journal::{self, Journal, Service},
    migration,
    process::Running,
    protocol::{
        AgentError, Command, Ended, ErrorKind, Launch, Outcome, Past, Place, Secrets, ServiceStatus, Start, Status,
    },
    proxy::{Backend, Front},
};

use crate::shelf::Shelf;

/// Everything that the agent holds.
pub(super) struct Agent {
    pub(super) state: PathBuf,
    shelf: Shelf,
    /// What is durable. Locked for moments only; a change is stored before it is seen.
    pub(super) journal: AsyncMutex<Journal>,
    /// What runs, by key.
    units: Mutex<BTreeMap<String, Unit>>,
    pub(super) front: Front,
    /// Held by the one command that changes something.
    changes: AsyncMutex<()>,
    /// Held by the one migration.
    migrations: AsyncMutex<()>,
    finishing: AtomicBool,
    done: watch::Sender<bool>,
}

/// A service that runs or ran.
#[derive(Clone)]
pub(super) struct Unit {
    pub(super) running: Running,
    pub(super) backend: Arc<Backend>,
}

/// Keys become names of files.
const MAX_KEY: usize = 100;

/// Refuses a key that could not be the name of a file.
pub(crate) fn check_key(key: &str) -> Result<(), AgentError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !key.is_empty() && key.len() <= MAX_KEY && key.bytes().all(plain) {
        return Ok(());
    }
    let why = format!("`{key}` cannot be a deployment's key: 1 to {MAX_KEY} letters, digits, `-` and `_`");
    Err(AgentError::new(ErrorKind::Preflight, why))
}

fn internal(error: io::Error) -> AgentError {
    AgentError::new(ErrorKind::Internal, format!("the agent cannot keep its journal: {error}"))
}

impl Agent {
    pub(super) fn new(state: &Path, journal: Journal) -> Self {
        Self {
            state: state.to_owned(),
            shelf: Shelf::new(state),
            journal: AsyncMutex::new(journal),
            units: Mutex::default(),
            front: Front::new(),
            changes: AsyncMutex::default(),
            migrations: AsyncMutex::default(),
            finishing: AtomicBool::new(false),
            done: watch::Sender::new(false),
        }
    }

    pub(super) fn units(&self) -> MutexGuard<'_, BTreeMap<String, Unit>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs for `key` now.
    fn alive(&self, key: &str) -> Option<Unit> {
        self.units().get(key).filter(|unit| unit.running.alive()).cloned()
    }

    /// Stores a change of the journal, then makes it the truth.
    pub(super) async fn commit(
        &self,
        journal: &mut AsyncMutexGuard<'_, Journal>,
        change: impl FnOnce(&mut Journal),
    ) -> io::Result<()> {
        let mut next = (**journal).clone();
        change(&mut next);
        let state = self.state.clone();
        let stored = tokio::task::spawn_blocking(move || next.save(&state).map(|()| next)).await;
        **journal = stored.map_err(io::Error::other)??;
        Ok(())
    }

    /// Ends [`Agent::finished`].
    pub(super) fn finish(&self) {
        self.done.send_replace(true);
    }

    /// Whether everything is being stopped, so that nothing is to be started any more.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::SeqCst)
    }

    /// Waits until the agent was told to end and has answered.
    pub(super) async fn finished(&self) {
        // The sender lives as long as `self`.
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }

    /// Carries out one command.
    pub(super) async fn perform(self: &Arc<Self>, command: Command) -> Outcome {
        let done = match command {
            Command::Status => Ok(()),
            Command::Check(place) => self.check(&place).await,
            Command::Start(start) => self.start(*start).await,
            Command::Switch { fence, to } => self.switch(fence, to).await,
            Command::Stop { fence, key, failed } => self.stop(fence, &key, failed).await,
            Command::Migrate { fence, key, launch, secrets } => {
                return match self.migrate(fence, &key, &launch, &secrets).await {
                    Ok(ended) => Outcome::Migrated(ended),
                    Err(error) => Outcome::Error(error),
                };
            }
            Command::Shutdown => self.stop_everything().await,
        };
        match done {
            Ok(()) => Outcome::Ok(Box::new(self.status().await)),
            Err(error) => Outcome::Error(error),
        }
    }

    async fn status(&self) -> Status {
        let journal = self.journal.lock().await;
        let service = |(key, service): (&String, &Service)| ServiceStatus {
            key: key.clone(),
            component: service.component.clone(),
            digest: service.digest,
            definition: service.definition,
            port: service.port,
            pid: self.alive(key).and_then(|unit| u32::try_from(unit.running.id.pid).ok()),
            restarts: service.restarts,
            last_exit: service.last_exit.clone(),
        };
        Status {
            pid: std::process::id(),
            fence: journal.fence,
            live: journal.live.clone(),
            services: journal.services.iter().map(service).collect(),
            listening: self.front.listening(),
            history: journal.history.clone(),
        }
    }

    /// Takes note of a fence, and refuses one that is lower than the highest.
    async fn admit(&self, fence: u64) -> Result<(), AgentError> {
        // What the log does not know yet must not be undone by somebody who knows less, whatever number they have.
        let barred = self.shelf.bars(fence, None);
        if let Some(why) = barred.map_err(|e| AgentError::new(ErrorKind::Internal, e.message))? {
            return Err(AgentError::new(ErrorKind::Fenced, why));
        }
        let mut journal = self.journal.lock().await;
        let highest = journal.fence;
        if fence < highest {
            let why = format!("a newer deployment has been here: its fence is {highest}, this one's is {fence}");
            return Err(AgentError::new(ErrorKind::Fenced, why));
        }
        if fence > highest {
            self.commit(&mut journal, |journal| journal.fence = fence).await.map_err(internal)?;
        }
        Ok(())
    }

    async fn check(&self, place: &Place) -> Result<(), AgentError> {
        check_key(&place.key)?;
        let _change = self.changes.lock().await;
        self.admit(place.fence).await?;
        self.open_front(place.listen, ErrorKind::Preflight).await?;
        if self.alive(&place.key).is_some() {
            return Ok(());
        }
        let (port, ours) = self.next_port(place).await;
        if ours.iter().any(|key| self.alive(key).is_some()) { Ok(()) } else { check_port(port) }
    }

    async fn open_front(&self, listen: SocketAddr, kind: ErrorKind) -> Result<(), AgentError> {
        self.front
            .listen(listen)
            .await
            .map_err(|e| AgentError::new(kind, format!("the front cannot listen on {listen}: {}", in_use(&e))))
    }

    /// The port that the live service does not use, and the keys of the other services that do.
    async fn next_port(&self, place: &Place) -> (u16, Vec<String>) {
        let journal = self.journal.lock().await;
        let live = journal.live.as_ref().and_then(|key| journal.services.get(key)).map(|service| service.port);
        let users = |port: u16| -> Vec<String> {
            journal.services.iter().filter(|(_, service)| service.port == port).map(|(key, _)| key.clone()).collect()
        };
        let free = |port: &u16| Some(*port) != live;
        let [a, b] = place.ports;
        let empty = place.ports.into_iter().filter(free).find(|port| users(*port).is_empty());
        let port = empty.unwrap_or(if free(&a) { a } else { b });
        (port, users(port))
    }

    async fn start(self: &Arc<Self>, start: Start) -> Result<(), AgentError> {
        let Place { key, fence, listen, .. } = start.place.clone();
        check_key(&key)?;
        let _change = self.changes.lock().await;
        self.admit(fence).await?;
        if self.alive(&key).is_some() {
            return Ok(());
        }
        self.open_front(listen, ErrorKind::Preflight).await?;
        let (port, others) = self.next_port(&start.place).await;
        for other in others.iter().filter(|other| **other != key) {
            self.remove(other, false).await?;
        }
        check_port(port)?;
        journal::save_secrets(&self.state, &key, &start.secrets).map_err(internal)?;
        let service = Service {
            component: start.component,
            digest: start.digest,
            definition: start.definition,
            listen,
            port,
            launch: start.launch,
            grace_ms: start.grace_ms,
            drain_ms: start.drain_ms,
            process: None,
            restarts: 0,
            last_exit: None,
        };
        let mut journal = self.journal.lock().await;
        let noted = self.commit(&mut journal, |journal| {
            journal.services.insert(key.clone(), service);
            journal.listen.get_or_insert(listen);
        });
        noted.await.map_err(internal)?;
        // What an earlier start left, on another port perhaps.
        self.units().remove(&key);
        self.launch(&mut journal, &key)
            .await
            .map_err(|e| AgentError::new(ErrorKind::Start, format!("{key} cannot be started: {e}")))
    }

    async fn switch(&self, fence: u64, to: Option<String>) -> Result<(), AgentError> {
        let _change = self.changes.lock().await;
        self.admit(fence).await?;
        let mut journal = self.journal.lock().await;
        if journal.live == to {
            return Ok(());
        }
        let Some(key) = to else {
            self.commit(&mut journal, |journal| journal.live = None).await.map_err(internal)?;
            self.front.set(None);
            return Ok(());
        };
        let (Some(unit), Some(service)) = (self.alive(&key), journal.services.get(&key).cloned()) else {
            return Err(AgentError::new(
                ErrorKind::Switch,
                format!("{key} does not run, so nothing is forwarded to it"),
            ));
        };
        self.open_front(service.listen, ErrorKind::Switch).await?;
        let noted = self.commit(&mut journal, |journal| {
            journal.live = Some(key.clone());
            journal.listen = Some(service.listen);
            journal.remember(Past {
                key: key.clone(),
                digest: service.digest,
                component: Some(service.component.clone()),
                definition: Some(service.definition),
            });
        });
        noted.await.map_err(internal)?;
        self.front.set(Some(unit.backend));
        self.front.listen_only(service.listen);
        Ok(())
    }

    async fn stop(&self, fence: u64, key: &str, failed: bool) -> Result<(), AgentError> {
        let _change = self.changes.lock().await;
        self.admit(fence).await?;
        if self.journal.lock().await.live.as_deref() == Some(key) {
            return Err(AgentError::new(ErrorKind::Switch, format!("{key} is live and is not stopped")));
        }
        self.remove(key, failed).await
    }

    /// Drains, stops and forgets a service that is not live.
    async fn remove(&self, key: &str, failed: bool) -> Result<(), AgentError> {
        let service = self.journal.lock().await.services.get(key).cloned();
        let unit = self.units().get(key).cloned();
        if let (Some(unit), Some(service)) = (unit, &service) {
            if unit.running.alive() {
                unit.backend.drain(Duration::from_millis(service.drain_ms)).await;
            }
            unit.running.stop(Duration::from_millis(service.grace_ms)).await;
            if unit.running.alive() {
                let why = format!("the process {} of {key} does not end", unit.running.id.pid);
                return Err(AgentError::new(ErrorKind::Internal, why));
            }
        }
        let mut journal = self.journal.lock().await;
        let past = failed && journal.history.iter().any(|past| past.key == key);
        if service.is_some() || past {
            let noted = self.commit(&mut journal, |journal| {
                journal.services.remove(key);
                journal.history.retain(|past| !failed || past.key != key);
            });
            noted.await.map_err(internal)?;
            journal::forget_secrets(&self.state, key).map_err(internal)?;
        }
        self.units().remove(key);
        Ok(())
    }

    async fn migrate(&self, fence: u64, key: &str, launch: &Launch, secrets: &Secrets) -> Result<Ended, AgentError> {
        check_key(key)?;
        let _one = self.migrations.lock().await;
        {
            let _change = self.changes.lock().await;
            self.admit(fence).await?;
        }
        let port = self.journal.lock().await.services.get(key).map(|service| service.port);
        migration::run(&self.state, key, launch, secrets, port).await
    }

    /// Stops all services, and accepts nothing any more. The journal still says what was live.
    pub(super) async fn stop_everything(&self) -> Result<(), AgentError> {
        let _change = self.changes.lock().await;
        let Ok(_none) = self.migrations.try_lock() else {
            return Err(AgentError::new(
                ErrorKind::Preflight,
                "a migration is running: the agent does not end before it",
            ));
        };
        self.finishing.store(true, Ordering::SeqCst);
        self.front.close();
        let mut journal = self.journal.lock().await;
        let units = std::mem::take(&mut *self.units());
        let stops = units.iter().map(|(key, unit)| {
            let grace = journal.services.get(key).map_or(0, |service| service.grace_ms);
            unit.running.stop(Duration::from_millis(grace))
        });
        join_all(stops).await;
        let noted = self.commit(&mut journal, |journal| {
            journal.services.values_mut().for_each(|service| service.process = None);
        });
        noted.await.map_err(internal)
    }
}

/// Refuses a port on which somebody listens.
fn check_port(port: u16) -> Result<(), AgentError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(e) => {
            let why = format!("the port {port} cannot be given to the release: {}", in_use(&e));
            Err(AgentError::new(ErrorKind::Preflight, why))
        }
    }
}

fn in_use(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        _ => error.to_string(),
    }
}
