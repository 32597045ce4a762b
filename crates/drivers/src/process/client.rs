//! The driver's side of the agent: find it, start it, talk to it.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sealift_engine::ports::driver::{DriverError, DriverErrorKind};
use tokio::{io::BufReader, process::Child, time::Instant};

use crate::files;

use super::{
    agent::{
        self, Socket,
        protocol::{Command, Ended, Outcome, Request, Response, Status, VERSION, receive, send},
    },
    failure,
};

/// How long a started agent may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(15);
/// How long an agent and its services may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(120);
/// How long an agent that broke off may take to be gone.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(10);
/// How many agents are started for one command.
const MAX_STARTS: u32 = 3;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Variables of the caller that an agent may see. Services see none of them.
const AGENT_ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LANG", "RUST_BACKTRACE"];
/// The size at which the agent's own log is begun anew, in bytes.
const MAX_AGENT_LOG: u64 = 4 << 20;

/// A way to the agent of one state directory.
pub(crate) struct AgentClient {
    state: PathBuf,
    command: Vec<OsString>,
}

/// Why there was no answer.
enum NoAnswer {
    /// No agent listens.
    NotRunning,
    /// It ended before it answered.
    Broken(io::Error),
    /// It took too long, or cannot be reached at all.
    Failed(io::Error),
}

impl AgentClient {
    /// The agent of `state`, an absolute path, started with `command` and the path of the state directory as last argument.
    pub(crate) fn new(state: PathBuf, command: Vec<OsString>) -> Self {
        Self { state, command }
    }

    /// Has a command carried out, and starts the agent if none runs. Returns the state afterwards.
    pub(crate) async fn call(&self, command: Command, within: Duration) -> Result<Status, DriverError> {
        match self.ask(command, Some(within)).await? {
            Outcome::Ok(status) => Ok(*status),
            Outcome::Error(error) => Err(error.into()),
            Outcome::Migrated(_) => Err(self.unreachable("answered something else than it was asked")),
        }
    }

    /// Has a migration run, however long it takes.
    pub(crate) async fn migrate(&self, command: Command) -> Result<Ended, DriverError> {
        match self.ask(command, None).await? {
            Outcome::Migrated(ended) => Ok(ended),
            Outcome::Error(error) => Err(error.into()),
            Outcome::Ok(_) => Err(self.unreachable("answered something else than it was asked")),
        }
    }

    /// The state, if an agent runs. None is started.
    pub(crate) async fn status(&self, within: Duration) -> Result<Option<Status>, DriverError> {
        let request = Request { version: VERSION, command: Command::Status };
        match exchange(&self.state, &request, Some(within)).await {
            Ok(Outcome::Ok(status)) => Ok(Some(*status)),
            Ok(Outcome::Error(error)) => Err(error.into()),
            Ok(Outcome::Migrated(_)) => Err(self.unreachable("answered something else than it was asked")),
            Err(NoAnswer::NotRunning | NoAnswer::Broken(_)) => Ok(None),
            Err(NoAnswer::Failed(error)) => Err(self.unreachable(&error.to_string())),
        }
    }

    async fn ask(&self, command: Command, within: Option<Duration>) -> Result<Outcome, DriverError> {
        let request = Request { version: VERSION, command };
        let (mut starts, mut give_up) = (0, None);
        loop {
            match exchange(&self.state, &request, within).await {
                Ok(outcome) => return Ok(outcome),
                Err(NoAnswer::NotRunning) if starts < MAX_STARTS => {
                    self.start().await?;
                    starts += 1;
                }
                Err(NoAnswer::NotRunning) => return Err(self.unreachable("ends as soon as it is started")),
                // It died, or is still dying with its socket open. Every command can be repeated with the agent that comes
                // after it, but not for ever: the command itself may be what it dies of.
                Err(NoAnswer::Broken(error)) => {
                    if Instant::now() > *give_up.get_or_insert_with(|| Instant::now() + TAKE_OVER_WITHIN) {
                        return Err(self.unreachable(&error.to_string()));
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(NoAnswer::Failed(error)) => return Err(self.unreachable(&error.to_string())),
            }
        }
    }

    /// Starts an agent and waits until one listens. Of two that are started at once, one ends again.
    async fn start(&self) -> Result<(), DriverError> {
        let failed = |e: io::Error| self.unreachable(&format!("cannot be started: {e}"));
        files::private_dir(&self.state).map_err(failed)?;
        let socket = Socket::new(&self.state).map_err(failed)?;
        let mut child = self.spawn().map_err(failed)?;
        let deadline = Instant::now() + START_WITHIN;
        while socket.connect().await.is_err() {
            let ended = child.try_wait().map_err(failed)?;
            if ended.is_some_and(|status| status.success()) {
                // Another one holds the lock: either it will listen, or it was about to end.
                child = self.spawn().map_err(failed)?;
            } else if ended.is_some() {
                let said = files::tail(&self.state.join("agent.log"), 2000).unwrap_or_default();
                let said = String::from_utf8_lossy(&said).into_owned();
                return Err(self.unreachable(&format!("ended as soon as it was started: {}", said.trim_end())));
            }
            if Instant::now() > deadline {
                return Err(self.unreachable(&format!("does not listen {START_WITHIN:?} after it was started")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn spawn(&self) -> io::Result<Child> {
        let path = self.state.join("agent.log");
        let log = files::appended(&path)?;
        if log.metadata()?.len() > MAX_AGENT_LOG {
            log.set_len(0)?;
        }
        let program = self.command.first().ok_or_else(|| io::Error::other("no command is configured"))?;
        let mut command = tokio::process::Command::new(program);
        command.args(&self.command[1..]).arg(fs::canonicalize(&self.state)?).current_dir("/");
        command.env_clear().envs(AGENT_ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
    }

    fn unreachable(&self, why: &str) -> DriverError {
        failure(DriverErrorKind::Unreachable, format!("the agent of {} {why}", self.state.display()))
    }
}

async fn exchange(state: &Path, request: &Request, within: Option<Duration>) -> Result<Outcome, NoAnswer> {
    let socket = Socket::new(state).map_err(no_connection)?;
    let stream = socket.connect().await.map_err(no_connection)?;
    let talk = async {
        let (from, mut to) = stream.into_split();
        send(&mut to, request).await?;
        let answer: Option<Response> = receive(&mut BufReader::new(from)).await?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let answer = match within {
        Some(within) => {
            let late = |_| NoAnswer::Failed(io::Error::other(format!("does not answer within {within:?}")));
            tokio::time::timeout(within, talk).await.map_err(late)?
        }
        None => talk.await,
    };
    let answer = answer.map_err(NoAnswer::Broken)?;
    if answer.version == VERSION || matches!(answer.outcome, Outcome::Error(_)) {
        return Ok(answer.outcome);
    }
    let why = format!("speaks version {} of its protocol, this program version {VERSION}", answer.version);
    Err(NoAnswer::Failed(io::Error::other(why)))
}

fn no_connection(error: io::Error) -> NoAnswer {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => NoAnswer::NotRunning,
        // The agent died with this connection in its queue, or its queue is full.
        io::ErrorKind::ConnectionReset | io::ErrorKind::WouldBlock => NoAnswer::Broken(error),
        _ => NoAnswer::Failed(error),
    }
}

/// Stops all services of a state directory and its agent, and returns when they have ended. What was live is recorded, and is
/// started again by the next agent. Does nothing where no agent has ever been.
///
/// # Errors
/// [`DriverErrorKind::Unreachable`] if they do not end, [`DriverErrorKind::Preflight`] while a migration runs.
pub async fn stop_agent(state: &Path) -> Result<(), DriverError> {
    let failed =
        |why: String| failure(DriverErrorKind::Unreachable, format!("the agent of {}: {why}", state.display()));
    if !state.join("agent.lock").exists() {
        return Ok(());
    }
    let request = Request { version: VERSION, command: Command::Shutdown };
    let deadline = Instant::now() + STOP_WITHIN;
    while Instant::now() < deadline {
        match exchange(state, &request, Some(STOP_WITHIN)).await {
            Ok(Outcome::Error(error)) => return Err(error.into()),
            // Asked again until nobody answers: an agent ends shortly after its answer.
            Ok(_) | Err(NoAnswer::Broken(_)) => {}
            Err(NoAnswer::NotRunning) if agent::stop_orphans(state).await? => return Ok(()),
            Err(NoAnswer::NotRunning) => {}
            Err(NoAnswer::Failed(error)) => return Err(failed(error.to_string())),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(failed(format!("it does not end within {STOP_WITHIN:?}")))
}
