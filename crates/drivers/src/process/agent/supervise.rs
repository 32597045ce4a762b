//! Starting, watching and restarting, and going on where an earlier agent stopped.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{sync::MutexGuard, time::Instant};

use super::{
    control::{Agent, Unit},
    journal::{self, Journal},
    output::{self, log_path},
    process::{ProcessId, Running, Surroundings, find_marked},
    protocol::Ended,
    proxy::Backend,
};
use crate::files;

/// The wait before a first restart; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a restart.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A service that ran this long is taken for well: the next restart waits [`FIRST_WAIT`] again.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// How often logs are measured, and an address that was taken is tried again.
const TICK: Duration = Duration::from_secs(1);

impl Agent {
    /// An agent that goes on where the journal says: it adopts what still runs, and starts what was live.
    pub(super) async fn recover(state: &Path) -> io::Result<Arc<Self>> {
        for directory in ["logs", "migrations", "secrets"] {
            files::private_dir(&state.join(directory))?;
        }
        let agent = Arc::new(Self::adopt_only(state)?);
        agent.settle().await?;
        tokio::spawn(tick(Arc::downgrade(&agent)));
        Ok(agent)
    }

    /// An agent that holds what still runs, and starts nothing.
    pub(super) fn adopt_only(state: &Path) -> io::Result<Self> {
        let mut journal = Journal::load(state)?;
        let mut units = Vec::new();
        for (key, service) in &mut journal.services {
            let recorded = service.process.filter(ProcessId::alive);
            // Without a record the agent may have died just between starting a process and noting it.
            let found = recorded.or_else(|| find_marked(state, key));
            let running = found.and_then(Running::adopt);
            if let Some(running) = running {
                if service.process != Some(running.id) {
                    output::note_start(state, key, service.digest, running.id.pid)?;
                }
                units.push((key.clone(), Unit { running, backend: Backend::new(service.port)? }));
            } else if service.process.take().is_some() {
                service.last_exit = Some("ended while no agent was running".to_owned());
            }
        }
        for (key, unit) in &units {
            if let Some(service) = journal.services.get_mut(key) {
                service.process = Some(unit.running.id);
            }
        }
        let agent = Self::new(state, journal);
        agent.units().extend(units);
        Ok(agent)
    }

    /// Watches what was adopted, starts what is live and does not run, and opens the front.
    async fn settle(self: &Arc<Self>) -> io::Result<()> {
        let mut journal = self.journal.lock().await;
        self.commit(&mut journal, |_| {}).await?;
        let adopted: Vec<(String, Running)> =
            self.units().iter().map(|(key, unit)| (key.clone(), unit.running.clone())).collect();
        for (key, running) in adopted {
            watch(self.clone(), key, running);
        }
        if let Some(live) = journal.live.clone() {
            let there = self.units().get(&live).map(|unit| unit.backend.clone());
            match there {
                Some(backend) => self.front.set(Some(backend)),
                None if journal.services.contains_key(&live) => {
                    if let Err(error) = self.restart(&mut journal, &live).await {
                        output::note(&self.state, &format!("{live} cannot be started: {error}"));
                        tokio::spawn(revive(self.clone(), live));
                    }
                }
                None => output::note(&self.state, &format!("{live} is live and not in the journal")),
            }
        }
        if let Some(listen) = journal.listen
            && let Err(error) = self.front.listen(listen).await
        {
            output::note(&self.state, &format!("the front cannot listen on {listen} yet: {error}"));
        }
        Ok(())
    }

    /// Starts the process of a recorded service that has none, and watches it.
    pub(super) async fn launch(self: &Arc<Self>, journal: &mut MutexGuard<'_, Journal>, key: &str) -> io::Result<()> {
        let Some(service) = journal.services.get(key).cloned() else { return Ok(()) };
        let secrets = journal::load_secrets(&self.state, key)?;
        let log = log_path(&self.state, key);
        let around = Surroundings { state: &self.state, key, port: Some(service.port), log: &log };
        let running = Running::spawn(&service.launch, &secrets, &around)?;
        let noted = self.commit(journal, |journal| {
            if let Some(service) = journal.services.get_mut(key) {
                service.process = Some(running.id);
            }
        });
        let noted = noted.await.and_then(|()| output::note_start(&self.state, key, service.digest, running.id.pid));
        if let Err(error) = noted {
            // Nobody would know of it.
            running.stop(Duration::ZERO).await;
            return Err(error);
        }
        let known = self.units().get(key).map(|unit| unit.backend.clone());
        let backend = known.map_or_else(|| Backend::new(service.port), Ok)?;
        self.units().insert(key.to_owned(), Unit { running: running.clone(), backend: backend.clone() });
        if journal.live.as_deref() == Some(key) {
            self.front.set(Some(backend));
        }
        watch(self.clone(), key.to_owned(), running);
        Ok(())
    }

    async fn restart(self: &Arc<Self>, journal: &mut MutexGuard<'_, Journal>, key: &str) -> io::Result<()> {
        let counted = self.commit(journal, |journal| {
            if let Some(service) = journal.services.get_mut(key) {
                service.restarts += 1;
            }
        });
        counted.await?;
        self.launch(journal, key).await
    }

    /// Notes that a process ended by itself. Returns how often its service was started again if it is to be started again.
    async fn note_end(&self, key: &str, running: &Running, ended: &Ended) -> Option<u32> {
        let mut journal = self.journal.lock().await;
        let service = journal.services.get(key).filter(|service| service.process == Some(running.id))?;
        let restarts = service.restarts;
        if !self.units().contains_key(key) {
            return None;
        }
        let noted = self.commit(&mut journal, |journal| {
            if let Some(service) = journal.services.get_mut(key) {
                service.process = None;
                service.last_exit = Some(ended.status.clone());
            }
        });
        if let Err(error) = noted.await {
            output::note(&self.state, &format!("{key} ended and that cannot be noted: {error}"));
        }
        (journal.live.as_deref() == Some(key)).then_some(restarts)
    }
}

/// Has a process watched. A function of its own, because starting and watching call each other.
fn watch(agent: Arc<Agent>, key: String, running: Running) {
    tokio::spawn(keep(agent, key, running));
}

/// Watches one process to its end, and starts its service again if that is live.
async fn keep(agent: Arc<Agent>, key: String, running: Running) {
    let started = Instant::now();
    let ended = running.ended().await;
    let Some(restarts) = agent.note_end(&key, &running, &ended).await else { return };
    output::note(&agent.state, &format!("{key} is live and ended by itself: {}", ended.status));
    let wait = if started.elapsed() >= WELL_AFTER { FIRST_WAIT } else { back_off(restarts) };
    tokio::time::sleep(wait).await;
    revive(agent, key).await;
}

/// Starts a live service until it starts, or is not live any more.
async fn revive(agent: Arc<Agent>, key: String) {
    loop {
        let mut journal = agent.journal.lock().await;
        let waiting = journal.services.get(&key).filter(|service| service.process.is_none());
        let Some(restarts) = waiting.map(|service| service.restarts) else { return };
        if journal.live.as_ref() != Some(&key) || agent.is_finishing() {
            return;
        }
        let Err(error) = agent.restart(&mut journal, &key).await else { return };
        drop(journal);
        output::note(&agent.state, &format!("{key} cannot be started: {error}"));
        tokio::time::sleep(back_off(restarts)).await;
    }
}

fn back_off(restarts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << restarts.min(16)).min(LONGEST_WAIT)
}

/// Cuts logs, and opens the front at an address that was taken when the agent started.
async fn tick(agent: std::sync::Weak<Agent>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(agent) = agent.upgrade() else { return };
        let keys: Vec<String> = agent.units().keys().cloned().collect();
        let state = agent.state.clone();
        let cut = move || keys.iter().try_for_each(|key| output::rotate(&log_path(&state, key)));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(cut).await {
            output::note(&agent.state, &format!("a log cannot be cut: {error}"));
        }
        let journal = agent.journal.lock().await;
        if let Some(listen) = journal.listen.filter(|_| !agent.is_finishing()) {
            // Said once when the agent started; it shows in the status as long as it lasts.
            let _ = agent.front.listen(listen).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_wait_longer_each_time_and_never_for_ever() {
        assert_eq!(back_off(0), FIRST_WAIT);
        assert_eq!(back_off(3), FIRST_WAIT * 8);
        assert_eq!((back_off(20), back_off(u32::MAX)), (LONGEST_WAIT, LONGEST_WAIT));
    }
}
