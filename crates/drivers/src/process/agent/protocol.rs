//! What driver and agent say to each other.
//!
//! The agent listens on the Unix socket `agent.sock` in the state directory, which only its owner may enter. A client
//! writes one [`Request`] as one line of JSON and reads one [`Response`] as one line of JSON; it may then go on with the next.
//! A line has at most [`MAX_LINE`] bytes. Both sides say which version of this protocol they speak, and refuse another.
//!
//! Every command can be repeated: what is done already is not done again, and the answer is the same. A command that changes
//! something carries the fence of the deployment for which it is done; the agent keeps the highest it has seen, also over
//! restarts, and refuses a lower one with [`ErrorKind::Fenced`]. A command that was read is carried out, also if its sender
//! dies meanwhile.
//!
//! ```text
//! → {"version":1,"command":{"switch":{"fence":12,"to":"p2"}}}
//! ← {"version":1,"ok":{"pid":411,"fence":12,"live":"p2","services":[…],"listening":["127.0.0.1:8080"],"history":[…]}}
//! → {"version":1,"command":{"switch":{"fence":11,"to":"p1"}}}
//! ← {"version":1,"error":{"kind":"fenced","message":"…"}}
//! ```

use std::{collections::VecDeque, io, net::SocketAddr};

use sealift_domain::{digest::Digest, name::ComponentName};
use sealift_engine::ports::driver::{DriverError, DriverErrorKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub use super::super::launch::{Launch, Secrets};

/// The version of this protocol.
pub const VERSION: u32 = 1;
/// The longest line, in bytes, its end included.
pub const MAX_LINE: u64 = 4 << 20;

/// A command and the version in which it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// What to do.
    pub command: Command,
}

/// What the agent does on request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Says what runs.
    Status,
    /// Checks that a service could be started, and opens the front. Starts nothing.
    Check(Place),
    /// Starts a service on the port that the live one does not use, unless the service of this key runs already. Whatever else is on
    /// that port and not live is stopped first.
    Start(Box<Start>),
    /// Moves the front to a service that runs, or to nothing.
    Switch {
        /// The fence of the deployment for which this is done.
        fence: u64,
        /// The key of the service, or nothing.
        to: Option<String>,
    },
    /// Lets requests under way end, then stops a service that is not live and forgets it.
    Stop {
        /// The fence of the deployment for which this is done.
        fence: u64,
        /// The key of the service.
        key: String,
        /// Whether it also leaves the history: it failed, and is not to be kept for going back to it.
        failed: bool,
    },
    /// Runs a program to its end, once for each key.
    Migrate {
        /// The fence of the deployment for which this is done.
        fence: u64,
        /// The key of the deployment.
        key: String,
        /// The program.
        launch: Launch,
        /// Further environment variables of the program.
        secrets: Secrets,
    },
    /// Stops all services and the agent. What was live is recorded, and is started again with the next agent.
    Shutdown,
}

/// Where a deployment would run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The key of the deployment.
    pub key: String,
    /// The fence of the deployment.
    pub fence: u64,
    /// The address of the front.
    pub listen: SocketAddr,
    /// The ports on which services take turns.
    pub ports: [u16; 2],
}

/// A service to start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Key, fence and addresses.
    pub place: Place,
    /// The component of the release.
    pub component: ComponentName,
    /// The digest of its image, as the release names it.
    pub digest: Digest,
    /// The digest of the definition from which it is started.
    pub definition: Digest,
    /// The program.
    pub launch: Launch,
    /// Further environment variables of the program.
    pub secrets: Secrets,
    /// How long it may take to end after SIGTERM, in milliseconds.
    pub grace_ms: u64,
    /// How long its requests may take to end before it is stopped, in milliseconds.
    pub drain_ms: u64,
}

/// The answer to a [`Request`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    /// [`VERSION`] of the agent.
    pub version: u32,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done, and this is the state now.
    Ok(Box<Status>),
    /// A migration has ended, now or earlier.
    Migrated(Ended),
    /// It is not done.
    Error(AgentError),
}

/// What the agent knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The agent's process id.
    pub pid: u32,
    /// The highest fence seen.
    pub fence: u64,
    /// The key of the service to which the front forwards.
    pub live: Option<String>,
    /// All services that are to run.
    pub services: Vec<ServiceStatus>,
    /// Addresses on which the front listens.
    pub listening: Vec<SocketAddr>,
    /// What has been live, the newest last.
    pub history: VecDeque<Past>,
}

/// Something that has been live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The key of its deployment.
    pub key: String,
    /// The digest of its image.
    pub digest: Digest,
    /// The component of the release; `None` in what earlier versions noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentName>,
    /// The digest of its definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Digest>,
}

/// One service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The key of its deployment.
    pub key: String,
    /// The component of the release.
    pub component: ComponentName,
    /// The digest of the image from which its process was started.
    pub digest: Digest,
    /// The digest of its definition.
    pub definition: Digest,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its process, if that is alive now.
    pub pid: Option<u32>,
    /// How often it ended by itself and was started again.
    pub restarts: u32,
    /// How its last process ended by itself.
    pub last_exit: Option<String>,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Whether it exited with 0.
    pub success: bool,
    /// The exit status in words, for instance `exit status: 1`.
    pub status: String,
}

/// Why the agent did not do something.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct AgentError {
    /// What callers decide on.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
}

/// The kinds of [`AgentError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// A newer deployment has been here.
    Fenced,
    /// A port is taken, or something needed is missing.
    Preflight,
    /// The program could not be started.
    Start,
    /// The front cannot forward there.
    Switch,
    /// A migration's outcome is unknown.
    Migrate,
    /// The other side speaks another version, or not this protocol at all.
    Protocol,
    /// The agent cannot do its work: its disk is full, for instance.
    Internal,
}

impl AgentError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl From<AgentError> for DriverError {
    fn from(error: AgentError) -> Self {
        let kind = match error.kind {
            ErrorKind::Fenced => DriverErrorKind::Fenced,
            ErrorKind::Preflight => DriverErrorKind::Preflight,
            ErrorKind::Start => DriverErrorKind::Start,
            ErrorKind::Switch => DriverErrorKind::Switch,
            ErrorKind::Migrate => DriverErrorKind::Migrate,
            ErrorKind::Protocol | ErrorKind::Internal => DriverErrorKind::Unreachable,
        };
        Self { kind, message: error.message, output: Vec::new() }
    }
}

/// Writes one line.
pub(crate) async fn send<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() as u64 > MAX_LINE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
    }
    to.write_all(&line).await?;
    to.flush().await
}

/// Reads one line; `None` at the end of the stream.
pub(crate) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let read = from.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long, or cut"));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_lines_and_bounded() {
        let mut buffer = Vec::new();
        let switch = Command::Switch { fence: 12, to: Some("p2".to_owned()) };
        send(&mut buffer, &Request { version: VERSION, command: switch }).await.unwrap();
        send(&mut buffer, &Request { version: VERSION, command: Command::Status }).await.unwrap();
        let text = String::from_utf8(buffer.clone()).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"version":1,"command":{"switch":{"fence":12,"to":"p2"}}}
        {"version":1,"command":"status"}
        "#);
        let mut reader = buffer.as_slice();
        assert!(matches!(receive(&mut reader).await.unwrap(), Some(Request { command: Command::Switch { .. }, .. })));
        assert!(matches!(receive(&mut reader).await.unwrap(), Some(Request { command: Command::Status, .. })));
        assert!(receive::<Request>(&mut reader).await.unwrap().is_none());
        let long = vec![b' '; usize::try_from(MAX_LINE).unwrap() + 1];
        assert!(receive::<Request>(&mut long.as_slice()).await.is_err());
        assert!(receive::<Request>(&mut b"{}".as_slice()).await.is_err());
    }

    #[test]
    fn an_error_survives_the_way() {
        let error = AgentError::new(ErrorKind::Fenced, "no");
        let text = serde_json::to_string(&Response { version: VERSION, outcome: Outcome::Error(error) }).unwrap();
        assert_eq!(text, r#"{"version":1,"error":{"kind":"fenced","message":"no"}}"#);
        let back: Response = serde_json::from_str(&text).unwrap();
        let Outcome::Error(error) = back.outcome else { panic!("{back:?}") };
        assert_eq!(DriverError::from(error).kind, DriverErrorKind::Fenced);
    }
}
