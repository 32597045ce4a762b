//! What the agent must still know when it is started again.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use sealift_domain::{digest::Digest, name::ComponentName};
use serde::{Deserialize, Serialize};

use crate::files;

use super::{
    process::ProcessId,
    protocol::{Launch, Past, Secrets},
};

/// The version of the journal's format. Version 1 did not say from which definition a past release was started.
const VERSION: u32 = 2;
/// The oldest version that is read.
const OLDEST: u32 = 1;
/// The largest journal and the largest file of secrets, in bytes.
const MAX_JOURNAL: u64 = 16 << 20;
/// How many past releases are remembered.
const MAX_HISTORY: usize = 1000;

/// The agent's whole durable state, stored in `agent.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    version: u32,
    /// The highest fence seen.
    pub(super) fence: u64,
    /// The key of the service to which the front forwards.
    pub(super) live: Option<String>,
    /// Where the front listens.
    pub(super) listen: Option<SocketAddr>,
    /// Services that are to run, or that ended by themselves and were not stopped yet.
    pub(super) services: BTreeMap<String, Service>,
    /// What has been live, the newest last.
    pub(super) history: VecDeque<Past>,
}

/// One service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) component: ComponentName,
    pub(super) digest: Digest,
    pub(super) definition: Digest,
    pub(super) listen: SocketAddr,
    pub(super) port: u16,
    pub(super) launch: Launch,
    pub(super) grace_ms: u64,
    pub(super) drain_ms: u64,
    /// Its process; `None` from before it is spawned until it is known, and after it ended.
    pub(super) process: Option<ProcessId>,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<String>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            version: VERSION,
            fence: 0,
            live: None,
            listen: None,
            services: BTreeMap::new(),
            history: VecDeque::new(),
        }
    }
}

impl Journal {
    /// Reads the journal of a state directory; an empty one if there is none.
    pub(super) fn load(state: &Path) -> io::Result<Self> {
        let path = path(state);
        let Some(bytes) = files::read_bounded(&path, MAX_JOURNAL)? else { return Ok(Self::default()) };
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        let journal: Self = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if !(OLDEST..=VERSION).contains(&journal.version) {
            return Err(damaged(format!("version {} of the format is not known here", journal.version)));
        }
        Ok(Self { version: VERSION, ..journal })
    }

    /// Writes it durably.
    pub(super) fn save(&self, state: &Path) -> io::Result<()> {
        files::replace(&path(state), &serde_json::to_vec(self)?)
    }

    /// Notes that `key` has become live.
    pub(super) fn remember(&mut self, live: Past) {
        self.history.retain(|past| past.key != live.key);
        self.history.push_back(live);
        while self.history.len() > MAX_HISTORY {
            self.history.pop_front();
        }
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("agent.json")
}

fn secrets_path(state: &Path, key: &str) -> PathBuf {
    state.join("secrets").join(format!("{key}.json"))
}

/// The key of the live service that the journal of `state` names, read without an agent.
pub(crate) fn recorded_live(state: &Path) -> io::Result<Option<String>> {
    Journal::load(state).map(|journal| journal.live)
}

/// The highest fence, the live service and what has been live, read without an agent.
pub(crate) fn recorded(state: &Path) -> io::Result<(u64, Option<String>, VecDeque<Past>)> {
    Journal::load(state).map(|journal| (journal.fence, journal.live, journal.history))
}

/// Keeps the secrets of a service, apart from the journal, so that the journal may be shown.
pub(super) fn save_secrets(state: &Path, key: &str, secrets: &Secrets) -> io::Result<()> {
    if secrets.is_empty() {
        return forget_secrets(state, key);
    }
    let path = secrets_path(state, key);
    path.parent().map_or(Ok(()), files::private_dir)?;
    files::replace(&path, &serde_json::to_vec(secrets)?)
}

/// The secrets of a service.
pub(super) fn load_secrets(state: &Path, key: &str) -> io::Result<Secrets> {
    let bytes = files::read_bounded(&secrets_path(state, key), MAX_JOURNAL)?;
    Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?.unwrap_or_default())
}

/// Removes the secrets of a service.
pub(super) fn forget_secrets(state: &Path, key: &str) -> io::Result<()> {
    match std::fs::remove_file(secrets_path(state, key)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_survives_and_a_foreign_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Journal::load(dir.path()).unwrap().fence, 0);
        let mut journal = Journal { fence: 7, live: Some("p1".to_owned()), ..Journal::default() };
        let past = |key: &str| Past {
            key: key.to_owned(),
            digest: Digest::of(key.as_bytes()),
            component: Some(ComponentName::only()),
            definition: Some(Digest::of(b"definition")),
        };
        for key in ["p1", "p2", "p1"] {
            journal.remember(past(key));
        }
        journal.save(dir.path()).unwrap();
        let back = Journal::load(dir.path()).unwrap();
        assert_eq!((back.fence, back.history), (7, journal.history));
        assert_eq!(recorded_live(dir.path()).unwrap().as_deref(), Some("p1"));
        let old = format!(
            r#"{{"version":1,"fence":3,"live":null,"listen":null,"services":{{}},"history":[{{"key":"p1","digest":"{}"}}]}}"#,
            Digest::of(b"p1")
        );
        std::fs::write(path(dir.path()), old).unwrap();
        let (fence, _, history) = recorded(dir.path()).unwrap();
        assert_eq!((fence, &history[0]), (3, &Past { component: None, definition: None, ..past("p1") }));
        for text in ["", "{}", r#"{"version":3,"fence":0,"live":null,"listen":null,"services":{},"history":[]}"#] {
            std::fs::write(path(dir.path()), text).unwrap();
            assert!(Journal::load(dir.path()).is_err(), "{text}");
        }
    }
}
