//! Migrations: run once, whatever happens to driver and agent.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::files;

use super::{
    output::migration_log_path,
    process::{Running, Surroundings},
    protocol::{AgentError, Ended, ErrorKind, Launch, Secrets},
};

/// The largest record, in bytes.
const MAX_RECORD: u64 = 1 << 20;

/// What is stored in `migrations/<key>.json`, before the program is started and when it has ended.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    argv: Vec<String>,
    ended: Option<Ended>,
}

fn record_path(state: &Path, key: &str) -> PathBuf {
    state.join("migrations").join(format!("{key}.json"))
}

/// Whether the migration of `key` was ever started. What cannot be read was.
pub(crate) fn began(state: &Path, key: &str) -> bool {
    record_path(state, key).try_exists().unwrap_or(true)
}

/// Runs a migration to its end, or reports how it ended earlier. Called for one migration at a time: a record without an end
/// is therefore one whose agent died.
pub(super) async fn run(
    state: &Path,
    key: &str,
    launch: &Launch,
    secrets: &Secrets,
    port: Option<u16>,
) -> Result<Ended, AgentError> {
    let failed = |e: io::Error| AgentError::new(ErrorKind::Migrate, format!("the migration of {key}: {e}"));
    let path = record_path(state, key);
    if let Some(bytes) = files::read_bounded(&path, MAX_RECORD).map_err(failed)? {
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| failed(e.into()))?;
        return earlier(key, record, &launch.argv);
    }
    let log = migration_log_path(state, key);
    let mut record = Record { argv: launch.argv.clone(), ended: None };
    let store = |record: &Record| files::replace(&path, &serde_json::to_vec(record)?);
    store(&record).map_err(failed)?;
    let running = match Running::spawn(launch, secrets, &Surroundings { state, key: "", port, log: &log }) {
        Ok(running) => running,
        Err(error) => {
            // It did not run, so it may be tried again.
            std::fs::remove_file(&path).map_err(failed)?;
            return Err(failed(error));
        }
    };
    let ended = running.ended().await;
    record.ended = Some(ended.clone());
    store(&record).map_err(failed)?;
    Ok(ended)
}

fn earlier(key: &str, record: Record, argv: &[String]) -> Result<Ended, AgentError> {
    let refused = |why: String| Err(AgentError::new(ErrorKind::Migrate, why));
    if record.argv != argv {
        return refused(format!("the migration of {key} was recorded as {:?}, which is not {argv:?}", record.argv));
    }
    match record.ended {
        Some(ended) => Ok(ended),
        None => refused(format!(
            "the migration of {key} was started and its outcome is unknown, because the agent died meanwhile; it may still be running: look at the database, then promote again, which runs it again"
        )),
    }
}
