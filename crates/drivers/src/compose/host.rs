//! What the driver keeps on the host: a lock with its holder, the highest fencing number, and the journal of what was
//! made live. And what the host has left: disk and memory.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use sealift_domain::{digest::Digest, name::ComponentName, quantity::Period, reference::Pinned};
use sealift_engine::ports::driver::{DriverError, DriverErrorKind};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::command::Leash;
use crate::{failure, files};

/// The version of the journal's format. Version 1 did not say from which definition a release was started.
const FORMAT: u32 = 2;
/// The oldest version that is read.
const OLDEST: u32 = 1;
/// The largest journal that is read, in bytes.
const MAX_JOURNAL: u64 = 1 << 20;
/// How many releases of the past are remembered, more than any environment keeps.
const MAX_PAST: usize = 200;
/// How often a lock that somebody else holds is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// The state directory of an environment on its host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    state: PathBuf,
}

/// The lock on an environment, held until this is dropped or the process ends, however it ends.
pub(super) struct Held {
    _lock: File,
    leash: Leash,
    host: Host,
    /// What the journal said when the lock was taken, or says since.
    pub(super) journal: Journal,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leash.untie();
    }
}

/// Who holds the lock, for whoever finds it taken.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    deployment: String,
    fence: u64,
    process: u32,
    host: String,
    since: Timestamp,
}

/// What is remembered between deployments. What runs is not in here: that is asked of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    format: u32,
    /// The highest fencing number that was seen.
    pub(super) fence: u64,
    /// What was made live, oldest first; the last one is what should be live now.
    pub(super) past: Vec<Past>,
}

/// A deployment that was made live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) key: String,
    pub(super) image: Pinned,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) component: Option<ComponentName>,
    /// The definition that it was started from, which lies on the shelf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) definition: Option<Digest>,
}

impl Journal {
    /// Writes down what is live now.
    fn made_live(&mut self, live: Past) {
        self.past.retain(|past| past.key != live.key);
        self.past.push(live);
        let surplus = self.past.len().saturating_sub(MAX_PAST);
        self.past.drain(..surplus);
    }
}

impl Host {
    /// The state directory, which is created when it is needed.
    pub(super) fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// A file in the state directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// Takes the lock for the deployment `key` under its fencing number, waiting for another holder up to `within`, and ties the tools
    /// of `leash` to it. Under the lock, `admit` is asked first whether anything speaks against it.
    ///
    /// # Errors
    /// [`DriverErrorKind::Locked`] if somebody else goes on holding it, [`DriverErrorKind::Fenced`] if a newer deployment was
    /// here, [`DriverErrorKind::Unreachable`] if the state directory cannot be used.
    pub(super) async fn lock(
        &self,
        (key, fence): (&str, u64),
        within: Period,
        leash: &Leash,
        admit: impl FnOnce() -> Result<(), DriverError>,
    ) -> Result<Held, DriverError> {
        files::private_dir(&self.state).map_err(|e| self.unusable(&e))?;
        let path = self.path("lock");
        let deadline = Instant::now() + within.as_duration();
        let mut lock = loop {
            match files::try_lock(&path).map_err(|e| self.unusable(&e))? {
                Some(lock) => break lock,
                None if Instant::now() >= deadline => return Err(self.locked(&path, within)),
                None => tokio::time::sleep(TRY_EVERY).await,
            }
        };
        write_holder(&mut lock, key, fence).map_err(|e| self.unusable(&e))?;
        leash.tie(&lock).map_err(|e| self.unusable(&e))?;
        let leash = leash.clone();
        let mut held = Held { _lock: lock, leash, host: self.clone(), journal: Journal::default() };
        // Before its number counts: whoever is barred must not keep others out by it.
        admit()?;
        held.journal = self.journal()?;
        held.fence(fence)?;
        Ok(held)
    }

    fn locked(&self, path: &Path, within: Period) -> DriverError {
        let holder = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Holder>(&bytes).ok());
        let holder = holder.map_or_else(
            || "another process".to_owned(),
            |h| format!("{} (process {} on {}, since {}, fence {})", h.deployment, h.process, h.host, h.since, h.fence),
        );
        let why = format!("{holder} holds the lock {} and did not let go within {within}", path.display());
        failure(DriverErrorKind::Locked, why)
    }

    /// The journal as it is now.
    pub(super) fn journal(&self) -> Result<Journal, DriverError> {
        let path = self.path("journal.json");
        let Some(bytes) = files::read_bounded(&path, MAX_JOURNAL).map_err(|e| self.unusable(&e))? else {
            return Ok(Journal { format: FORMAT, ..Journal::default() });
        };
        let refuse = |why: String| {
            let why = format!("the journal {} cannot be used: {why}; nothing was changed", path.display());
            failure(DriverErrorKind::Preflight, why)
        };
        let journal: Journal = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
        if (OLDEST..=FORMAT).contains(&journal.format) {
            Ok(Journal { format: FORMAT, ..journal })
        } else {
            Err(refuse(format!("its format is {}, not {OLDEST} to {FORMAT}", journal.format)))
        }
    }

    /// Replaces a file of the state directory, or one elsewhere on the host.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), DriverError> {
        if let Some(directory) = path.parent() {
            files::private_dir(directory).map_err(|e| self.unusable(&e))?;
        }
        files::replace(path, bytes).map_err(|e| self.unusable(&e))
    }

    fn unusable(&self, error: &io::Error) -> DriverError {
        let why = format!("the state directory {} cannot be used: {error}", self.state.display());
        failure(DriverErrorKind::Unreachable, why)
    }
}

impl Held {
    fn fence(&mut self, fence: u64) -> Result<(), DriverError> {
        let seen = self.journal.fence;
        if fence < seen {
            let why = format!("a newer deployment was here: it has the fencing number {seen}, this one {fence}");
            return Err(failure(DriverErrorKind::Fenced, why));
        }
        if fence > seen {
            self.journal.fence = fence;
            self.store()?;
        }
        Ok(())
    }

    /// Writes down that a deployment is live.
    pub(super) fn made_live(&mut self, live: Past) -> Result<(), DriverError> {
        self.journal.made_live(live);
        self.store()
    }

    /// Forgets a deployment that was taken back.
    pub(super) fn taken_back(&mut self, key: &str) -> Result<(), DriverError> {
        self.journal.past.retain(|past| past.key != key);
        self.store()
    }

    fn store(&self) -> Result<(), DriverError> {
        let bytes =
            serde_json::to_vec_pretty(&self.journal).map_err(|e| failure(DriverErrorKind::Preflight, e.to_string()))?;
        self.host.write(&self.host.path("journal.json"), &bytes)
    }
}

fn write_holder(lock: &mut File, key: &str, fence: u64) -> io::Result<()> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let holder =
        Holder { deployment: key.to_owned(), fence, process: std::process::id(), host, since: Timestamp::now() };
    lock.set_len(0)?;
    lock.write_all(&serde_json::to_vec(&holder)?)
}

/// Bytes free for this user on the disk of `path`, or of the nearest directory above it that is there.
pub(super) fn free_disk(path: &Path) -> io::Result<u64> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(there)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes of memory that can be given to new programs without swapping (`/proc/meminfo`, `MemAvailable`; proc_meminfo(5)).
pub(super) fn available_memory() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib.saturating_mul(1024)).ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))
}

/// Established connections to a port of this machine, seen from the side that accepted them (`/proc/net/tcp`; proc_net(5)).
pub(super) fn connections_to(port: u16) -> io::Result<usize> {
    /// `TCP_ESTABLISHED` in the kernel's `tcp_states.h`.
    const ESTABLISHED: &str = "01";
    let wanted = format!("{port:04X}");
    let mut count = 0;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            // A kernel without IPv6 has no such table.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        count += text
            .lines()
            .skip(1)
            .filter(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let local = fields.next().and_then(|local| local.rsplit_once(':')).map(|(_, port)| port);
                local == Some(&wanted) && fields.nth(1) == Some(ESTABLISHED)
            })
            .count();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn image(letter: &str) -> Pinned {
        format!("r.example/a@sha256:{}", letter.repeat(64)).parse().unwrap()
    }

    fn past(key: &str, letter: &str) -> Past {
        Past { key: key.to_owned(), image: image(letter), component: None, definition: None }
    }

    #[tokio::test]
    async fn the_lock_has_one_holder_who_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path().join("state"));
        let held = host.lock(("p1", 7), Period::default(), &Leash::default(), || Ok(())).await.unwrap();
        let error = host.lock(("p2", 8), Period::from_millis(60), &Leash::default(), || Ok(())).await.err().unwrap();
        assert_eq!(error.kind, DriverErrorKind::Locked);
        assert!(error.message.contains("p1 (process ") && error.message.contains("fence 7"), "{}", error.message);
        drop(held);
        host.lock(("p2", 8), Period::default(), &Leash::default(), || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn an_older_deployment_is_fenced_off_and_the_journal_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path().to_owned());
        let mut held = host.lock(("p9", 9), Period::default(), &Leash::default(), || Ok(())).await.unwrap();
        held.made_live(past("p8", "a")).unwrap();
        held.made_live(past("p9", "b")).unwrap();
        held.made_live(past("p8", "a")).unwrap();
        drop(held);
        let error = host.lock(("p8", 8), Period::default(), &Leash::default(), || Ok(())).await.err().unwrap();
        assert_eq!(error.kind, DriverErrorKind::Fenced);
        let keys: Vec<_> = host.journal().unwrap().past.into_iter().map(|past| past.key).collect();
        assert_eq!(keys, ["p9", "p8"]);
    }

    #[test]
    fn a_journal_that_cannot_be_read_stops_everything() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path().to_owned());
        fs::write(host.path("journal.json"), b"{").unwrap();
        assert_eq!(host.journal().unwrap_err().kind, DriverErrorKind::Preflight);
        fs::write(host.path("journal.json"), br#"{"format":3,"fence":0,"past":[]}"#).unwrap();
        assert!(host.journal().unwrap_err().message.contains("its format is 3"));
    }

    #[test]
    fn a_journal_of_the_version_before_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path().to_owned());
        let old = format!(r#"{{"format":1,"fence":7,"past":[{{"key":"p6","image":"{}"}}]}}"#, image("a"));
        fs::write(host.path("journal.json"), old).unwrap();
        let journal = host.journal().unwrap();
        assert_eq!((journal.format, journal.fence, journal.past), (2, 7, vec![past("p6", "a")]));
    }

    #[test]
    fn the_host_says_what_it_has() {
        assert!(free_disk(Path::new("/does/not/exist")).unwrap() > 0);
        assert!(available_memory().unwrap() > 1 << 20);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(connections_to(port).unwrap(), 0);
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let accepted = listener.accept().unwrap();
        assert_eq!(connections_to(port).unwrap(), 1);
        drop((client, accepted));
    }
}
