//! The agent: one small supervisor for each environment, which outlives the command line that started it.
//!
//! It runs services, restarts the live one when it ends by itself, forwards to it, and keeps a journal from which the next
//! agent goes on: killed and started again, it adopts the services that still run. Whatever starts the machine may run it
//! too, otherwise the next driver does.

mod control;
mod journal;
mod migration;
mod output;
mod process;
pub mod protocol;
mod proxy;
mod supervise;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tokio::{
    io::BufReader,
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
};

use self::{
    control::Agent,
    protocol::{AgentError, Command, ErrorKind, Outcome, Response, VERSION, receive, send},
};
use crate::files;

pub(crate) use self::{
    control::check_key,
    journal::{recorded, recorded_live},
    migration::began as migration_began,
    output::{log_path, migration_log_path, prune_logs, read_log},
};

/// The longest path of a Unix socket, in bytes: `sun_path` of unix(7), without the final NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Runs the agent of a state directory until it is told to end, by [`Command::Shutdown`], SIGTERM or SIGINT. Returns at once
/// if another agent runs there.
///
/// The binary calls it in a process of its own, for the hidden subcommand that it names to the driver. Needs a Tokio
/// runtime with I/O and time.
///
/// # Errors
/// If the state directory or what is in it cannot be used.
pub async fn run(state: &Path) -> Result<(), AgentError> {
    let failed = |what: &str, error: &io::Error| {
        AgentError::new(ErrorKind::Internal, format!("{what} {}: {error}", state.display()))
    };
    // A session of its own, so that no terminal takes it along. Refused only to a process that leads its group already.
    let _ = rustix::process::setsid();
    files::private_dir(state).map_err(|e| failed("cannot use", &e))?;
    let state = fs::canonicalize(state).map_err(|e| failed("cannot use", &e))?;
    let Some(_lock) = lock(&state).map_err(|e| failed("cannot lock", &e))? else { return Ok(()) };
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| failed("cannot watch signals in", &e))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| failed("cannot watch signals in", &e))?;

    let agent = Agent::recover(&state).await.map_err(|e| failed("cannot go on in", &e))?;
    let listener = Socket::new(&state).and_then(|socket| socket.bind()).map_err(|e| failed("cannot listen in", &e))?;
    loop {
        tokio::select! {
            () = serve(&listener, &agent) => {}
            () = agent.finished() => return Ok(()),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        match agent.stop_everything().await {
            Ok(()) => return Ok(()),
            Err(error) => output::note(&state, &format!("told to end by a signal: {error}")),
        }
    }
}

/// The lock that the one agent of a state directory holds; `None` if it is taken.
pub(super) fn lock(state: &Path) -> io::Result<Option<fs::File>> {
    files::try_lock(&state.join("agent.lock"))
}

/// Stops what an agent left running that is no more. Returns false, and does nothing, if an agent runs.
pub(super) async fn stop_orphans(state: &Path) -> Result<bool, AgentError> {
    let failed = |error: io::Error| {
        AgentError::new(ErrorKind::Internal, format!("cannot clean up {}: {error}", state.display()))
    };
    let state = fs::canonicalize(state).map_err(failed)?;
    let Some(_lock) = lock(&state).map_err(failed)? else { return Ok(false) };
    Agent::adopt_only(&state).map_err(failed)?.stop_everything().await?;
    Ok(true)
}

/// Never returns.
async fn serve(listener: &UnixListener, agent: &Arc<Agent>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, agent.clone()));
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn converse(stream: UnixStream, agent: Arc<Agent>) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let (outcome, last) = match receive::<Value>(&mut from).await {
            Ok(None) => return,
            Ok(Some(request)) => match command(request) {
                Ok(command) => {
                    let last = matches!(command, Command::Shutdown);
                    (agent.perform(command).await, last)
                }
                Err(error) => (Outcome::Error(error), false),
            },
            Err(error) => {
                let error = AgentError::new(ErrorKind::Protocol, error.to_string());
                // Whoever does not speak the protocol may not listen either.
                let _ = send(&mut to, &Response { version: VERSION, outcome: Outcome::Error(error) }).await;
                return;
            }
        };
        let ends = last && matches!(outcome, Outcome::Ok(_));
        let sent = send(&mut to, &Response { version: VERSION, outcome }).await;
        if ends {
            agent.finish();
        }
        if sent.is_err() {
            return;
        }
    }
}

/// The command of a request, if it is of this version.
fn command(mut request: Value) -> Result<Command, AgentError> {
    let refused = |why: String| AgentError::new(ErrorKind::Protocol, why);
    match request.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        other => {
            let other = other.map_or("none".to_owned(), |v| v.to_string());
            return Err(refused(format!(
                "the agent that runs here speaks version {VERSION} of its protocol, not {other}"
            )));
        }
    }
    serde_json::from_value(request["command"].take()).map_err(|e| refused(format!("unknown command: {e}")))
}

/// The agent's socket in a state directory.
pub(super) struct Socket {
    path: PathBuf,
    /// Keeps the directory open where `path` goes through its descriptor.
    _directory: Option<fs::File>,
}

impl Socket {
    /// The socket of `state`, reached over a descriptor of the directory if its path is too long for a socket.
    pub(super) fn new(state: &Path) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let path = state.join("agent.sock");
        if path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(Self { path, _directory: None });
        }
        let directory = fs::File::open(state)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/agent.sock", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }

    /// Connects to the agent.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.path).await
    }

    /// Listens as the agent, which holds the lock: a socket that is there is a dead one's.
    fn bind(&self) -> io::Result<UnixListener> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        UnixListener::bind(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused_by_its_number() {
        let said = |request: Value| command(request).map_err(|e| e.message);
        assert!(matches!(said(serde_json::json!({"version": 1, "command": "status"})), Ok(Command::Status)));
        assert!(said(serde_json::json!({"version": 2, "command": "new"})).unwrap_err().contains("not 2"));
        assert!(said(serde_json::json!({"command": "status"})).unwrap_err().contains("none"));
        assert!(said(serde_json::json!({"version": 1, "command": "new"})).unwrap_err().contains("unknown command"));
    }

    #[tokio::test]
    async fn a_socket_works_however_long_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(150));
        fs::create_dir(&deep).unwrap();
        let socket = Socket::new(&deep).unwrap();
        assert!(socket.connect().await.is_err());
        let _listener = socket.bind().unwrap();
        Socket::new(&deep).unwrap().connect().await.unwrap();
    }
}
