//! What services write, bounded, and the list of starts.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::Timestamp;
use sealift_domain::digest::Digest;

use crate::files;
use std::io::Write;

/// The size at which a log is cut, in bytes.
const MAX_LOG: u64 = 8 << 20;

/// The log of the service `key`.
pub(crate) fn log_path(state: &Path, key: &str) -> PathBuf {
    state.join("logs").join(format!("{key}.log"))
}

/// The log of the migration of `key`.
pub(crate) fn migration_log_path(state: &Path, key: &str) -> PathBuf {
    state.join("logs").join(format!("{key}.migration.log"))
}

/// The file in which an older part of a log is kept.
fn older(log: &Path) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".1");
    path.into()
}

/// The last `limit` bytes of a log, its older part included.
pub(crate) fn read_log(log: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let newest = files::tail(log, limit)?;
    let mut bytes = files::tail(&older(log), limit - newest.len().min(limit))?;
    bytes.extend(newest);
    Ok(bytes)
}

/// Moves a log that has grown too large aside. The service goes on writing to the same, emptied file; what it writes between
/// the copy and the cut is lost.
pub(super) fn rotate(log: &Path) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(m) if m.len() > MAX_LOG => {}
        _ => return Ok(()),
    }
    // Only the end is kept: a service can write faster than anybody looks.
    let end = files::tail(log, usize::try_from(MAX_LOG).unwrap_or(usize::MAX))?;
    files::replace(&older(log), &end)?;
    fs::OpenOptions::new().write(true).open(log)?.set_len(0)
}

/// Removes all but the newest `keep` logs, and never one of the deployments in `spared`.
pub(crate) fn prune_logs(state: &Path, spared: &[String], keep: usize) -> io::Result<()> {
    let mut logs: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(state.join("logs"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let key = name.split('.').next().unwrap_or_default();
        if !spared.iter().any(|spared| spared == key) {
            logs.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    logs.sort();
    let surplus = logs.len().saturating_sub(keep);
    logs.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}

/// Notes in `starts.log` that a process of a service was started: time, key, digest, process id.
pub(super) fn note_start(state: &Path, key: &str, digest: Digest, pid: i32) -> io::Result<()> {
    let path = state.join("starts.log");
    rotate(&path)?;
    files::appended(&path)?.write_all(format!("{} {key} {digest} {pid}\n", Timestamp::now()).as_bytes())
}

/// Notes something that nobody is there to be told.
pub(super) fn note(state: &Path, text: &str) {
    let line = format!("{} {text}\n", Timestamp::now());
    // There is no other place to complain to.
    let _ = files::appended(&state.join("agent.log")).and_then(|mut file| file.write_all(line.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_and_still_read_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("p1.log");
        let mut writer = files::appended(&log).unwrap();
        writer.write_all(&vec![b'a'; usize::try_from(MAX_LOG).unwrap() + 1]).unwrap();
        rotate(&log).unwrap();
        writer.write_all(b"new").unwrap();
        rotate(&log).unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"new");
        assert_eq!(fs::metadata(older(&log)).unwrap().len(), MAX_LOG);
        assert_eq!(read_log(&log, 5).unwrap(), b"aanew");
        assert_eq!(read_log(&log, 2).unwrap(), b"ew");
        assert_eq!(read_log(&dir.path().join("none.log"), 2).unwrap(), b"");
    }

    #[test]
    fn old_logs_go_and_those_in_use_stay() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        for (age, key) in [(3, "p1"), (2, "p2"), (1, "p3"), (0, "p4")] {
            let file = files::appended(&log_path(dir.path(), key)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        prune_logs(dir.path(), &["p1".to_owned()], 1).unwrap();
        let there = |key: &str| log_path(dir.path(), key).exists();
        assert_eq!((there("p1"), there("p2"), there("p3"), there("p4")), (true, false, false, true));
    }
}
