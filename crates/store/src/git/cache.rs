//! What is kept of a remote between runs: a directory with the clone, the mirror, and the newest checkpoint that was verified.
//! All but the last can be made again from the remote.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::LogError;
use tokio::time::{Instant, sleep};

use super::Remote;
use crate::note::MAX_NOTE;

/// How long to wait before trying the lock again.
const PAUSE: Duration = Duration::from_millis(10);

/// The directory of one remote and branch.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    place: String,
    directory: PathBuf,
}

impl Cache {
    /// Makes the directory, which only this account may open.
    pub(super) fn open(remote: &Remote, all: &Path) -> Result<Self, LogError> {
        let name = format!("git-{}", Digest::of(remote.to_string().as_bytes()).short());
        let cache = Self { place: remote.to_string(), directory: all.join(name) };
        private_dir(&cache.directory).map_err(|why| cache.failed("made", &why))?;
        Ok(cache)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.directory.join("repository")
    }

    /// The mirror's own directory: SQLite has further files beside the one that is named.
    pub(super) fn mirror(&self) -> PathBuf {
        self.directory.join("mirror")
    }

    /// Where a mirror is built before it takes the place of the other one.
    pub(super) fn new_mirror(&self) -> PathBuf {
        self.directory.join("mirror.new")
    }

    /// Waits until nobody else works here, for at most `patience`. The lock is gone when the file is dropped and no program
    /// that was started meanwhile holds it any more.
    pub(super) async fn lock(&self, patience: Duration) -> Result<Arc<File>, LogError> {
        let path = self.directory.join("lock");
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(|why| self.failed("locked", &why))?;
        let end = Instant::now() + patience;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Arc::new(file)),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < end => {
                    sleep(PAUSE).await
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let why =
                        format!("another process works with its cache in {}; try again", self.directory.display());
                    return Err(LogError::Unavailable { place: self.place.clone(), why });
                }
                Err(why) => return Err(self.failed("locked", &why.into())),
            }
        }
    }

    /// The newest checkpoint that was verified here.
    pub(super) fn kept(&self) -> Result<Option<String>, LogError> {
        let mut text = String::new();
        match File::open(self.directory.join("checkpoint")) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(self.failed("read", &why)),
            Ok(file) => {
                let read = file.take(MAX_NOTE as u64 + 1).read_to_string(&mut text);
                read.map(|_| Some(text)).map_err(|why| self.failed("read", &why))
            }
        }
    }

    /// Keeps a checkpoint in place of the one before, as a whole or not at all.
    pub(super) fn keep(&self, note: &str) -> Result<(), LogError> {
        let (path, new) = (self.directory.join("checkpoint"), self.directory.join("checkpoint.new"));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(note.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|why| self.failed("written", &why))
    }

    /// Puts a mirror that was built in the place of the other one.
    pub(super) fn replace_mirror(&self) -> Result<(), LogError> {
        let replace = || {
            remove(&self.mirror())?;
            fs::rename(self.new_mirror(), self.mirror())
        };
        replace().map_err(|why| self.failed("written", &why))
    }

    /// An empty directory to build a mirror in.
    pub(super) fn begin_mirror(&self) -> Result<PathBuf, LogError> {
        let path = self.new_mirror();
        remove(&path).and_then(|()| private_dir(&path)).map_err(|why| self.failed("written", &why))?;
        Ok(path)
    }

    fn failed(&self, what: &str, why: &io::Error) -> LogError {
        let why = format!("its cache in {} cannot be {what}: {why}", self.directory.display());
        LogError::Unavailable { place: self.place.clone(), why }
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

/// Creates a directory that only its owner may open. One of somebody else is refused: he could replace what is in it.
fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let owner = fs::metadata(path)?.uid();
    let me = rustix::process::geteuid().as_raw();
    if owner == me {
        return Ok(());
    }
    let why = format!("it belongs to user {owner}, not to user {me} who runs this");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}
