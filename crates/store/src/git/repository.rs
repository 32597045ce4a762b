//! The bare clone in the cache: the newest commit of the branch, and of its files those that were needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use sealift_engine::ports::log::LogError;
use tokio::sync::OnceCell;

use super::{
    GitOptions, Remote,
    blobs::{Blobs, Oid},
    empty::{config, lay_out},
    program::{Git, Input, Said, Trouble},
    words::{Answer, understand},
};

/// The commit up to which the mirror was brought.
const SEEN: &str = "refs/sealift/seen";
/// What was fetched last.
const FETCHED: &str = "refs/sealift/fetched";
/// What is about to be pushed.
const NEW: &str = "refs/sealift/new";
/// The most output of a short call, in bytes.
const SHORT: u64 = 1 << 20;
/// The longest list of files, in bytes: about three million names.
const MAX_LISTING: u64 = 256 << 20;

/// The files of a commit: path and blob.
pub(super) type Listing = BTreeMap<String, Oid>;

/// What a commit changes: the new bytes of a file, or that it goes.
pub(super) type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// For whoever asked.
    Log(LogError),
    /// The cache is damaged; with a new one it may work.
    Cache(String),
}

impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// What became of a push.
#[derive(Debug)]
pub(super) enum Pushed {
    /// It is there.
    Done,
    /// It failed, with this answer and in these words.
    Failed(Answer, String),
}

/// The bare clone.
pub(super) struct Repository {
    git: Git,
    place: String,
    branch: String,
    lock: Arc<File>,
    patience: Duration,
}

impl Repository {
    /// Opens the clone in `directory`, whose lock is held, or makes an empty one if there is none as it should be.
    pub(super) fn open(
        options: &Arc<GitOptions>,
        remote: &Remote,
        directory: &Path,
        lock: Arc<File>,
        ssh: &Arc<OnceCell<bool>>,
    ) -> Result<Self, LogError> {
        let wanted = [config(remote, false), config(remote, true)];
        if !fs::read_to_string(directory.join("config")).is_ok_and(|found| wanted.contains(&found)) {
            lay_out(directory, &config(remote, false)).map_err(|why| local(remote, directory, &why))?;
        }
        Ok(Self {
            git: Git::new(options.clone(), remote, directory.to_owned(), ssh.clone()),
            place: remote.to_string(),
            branch: remote.branch().to_owned(),
            lock,
            patience: options.timeout,
        })
    }

    /// Makes it anew, empty; for a remote that names objects by SHA-256 if need be.
    pub(super) fn renew(&self, remote: &Remote, like: Option<&Oid>) -> Result<(), LogError> {
        let long = like.is_some_and(|oid| oid.as_str().len() == 64);
        let directory = self.git.repository();
        lay_out(directory, &config(remote, long)).map_err(|why| local(remote, directory, &why))
    }

    /// Whether it names objects as `oid` is named.
    pub(super) fn fits(&self, oid: &Oid) -> bool {
        let config = fs::read_to_string(self.git.repository().join("config")).unwrap_or_default();
        config.contains("objectFormat") == (oid.as_str().len() == 64)
    }

    /// The newest commit of the branch at the remote; one round trip.
    pub(super) async fn look(&self) -> Result<Option<Oid>, Fault> {
        let name = format!("refs/heads/{}", self.branch);
        let said = self.remote_call(&["ls-remote", "origin", &name], Input::Lock(&self.lock)).await?;
        let text = String::from_utf8_lossy(&said);
        let line = text.lines().find_map(|line| line.split_once('\t').filter(|(_, found)| *found == name));
        Ok(line.and_then(|(oid, _)| Oid::parse(oid)))
    }

    /// Fetches the newest commit of the branch with all its directories and, where the remote filters, only those files that
    /// are smaller than `limit`, which is as git writes it.
    pub(super) async fn fetch(&self, limit: &str) -> Result<Oid, Fault> {
        let filter = format!("--filter=blob:limit={limit}");
        let refs = format!("+refs/heads/{}:{FETCHED}", self.branch);
        let arguments =
            ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", &filter, "origin", &refs];
        self.remote_call(&arguments, Input::Lock(&self.lock)).await?;
        self.resolve(FETCHED).ok_or_else(|| Fault::Cache("what was fetched is not there".into()))
    }

    /// Fetches the commits with their directories, without files, since the one that was seen, up to the newest; whether `ours` is among them.
    /// `None` if the newest does not continue what was seen.
    pub(super) async fn has_arrived(&self, seen: &Oid, ours: &Oid) -> Result<Option<bool>, Fault> {
        let history = "refs/sealift/history";
        let refs = format!("+refs/heads/{}:{history}", self.branch);
        let arguments =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "origin", &refs];
        self.remote_call(&arguments, Input::Lock(&self.lock)).await?;
        if !self.is_ancestor(seen, history).await? {
            return Ok(None);
        }
        self.is_ancestor(ours, history).await.map(Some)
    }

    async fn is_ancestor(&self, oid: &Oid, of: &str) -> Result<bool, Fault> {
        let arguments = ["merge-base", "--is-ancestor", oid.as_str(), of];
        Ok(self.local_call(&arguments, Input::Lock(&self.lock), SHORT).await?.well)
    }

    /// The commit up to which the mirror was brought.
    pub(super) fn seen(&self) -> Option<Oid> {
        self.resolve(SEEN)
    }

    pub(super) fn set_seen(&self, oid: &Oid) -> Result<(), Fault> {
        let path = self.git.repository().join(SEEN);
        let new = path.with_extension("written");
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(&new, format!("{oid}\n"))?;
            fs::rename(&new, &path)
        };
        write().map_err(|why: io::Error| Fault::Cache(format!("what was seen cannot be noted: {why}")))
    }

    /// What a name of ours stands for. Nobody packs them, so each is a file, and that is quicker than to ask git. Whether the
    /// commit is there too, whoever uses it finds out.
    fn resolve(&self, name: &str) -> Option<Oid> {
        Oid::parse(fs::read_to_string(self.git.repository().join(name)).ok()?.trim_end())
    }

    /// The files of a commit. Whatever is no plain file is left out.
    pub(super) async fn files(&self, commit: &Oid) -> Result<Listing, Fault> {
        let arguments = ["ls-tree", "-r", "-z", "--full-tree", commit.as_str()];
        let said = self.local_call(&arguments, Input::Lock(&self.lock), MAX_LISTING).await?;
        if !said.well {
            return Err(Fault::Cache(said.words));
        }
        let mut files = Listing::new();
        for entry in said.out.split(|b| *b == 0).filter_map(|entry| std::str::from_utf8(entry).ok()) {
            let Some((kind, path)) = entry.split_once('\t') else { continue };
            let oid = kind.strip_prefix("100644 blob ").and_then(Oid::parse);
            if let Some(oid) = oid {
                files.insert(path.to_owned(), oid);
            }
        }
        Ok(files)
    }

    /// Fetches those of these blobs that are not here, all at once.
    pub(super) async fn ensure(&self, wanted: &BTreeSet<Oid>) -> Result<(), Fault> {
        let missing = self.missing(wanted).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let names: String = missing.iter().fold(String::new(), |mut names, oid| {
            let _ = writeln!(names, "{oid}");
            names
        });
        let arguments = [
            "-c",
            "fetch.negotiationAlgorithm=noop",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--filter=blob:none",
            "--stdin",
            "origin",
        ];
        let first = self.remote_call(&arguments, Input::Bytes(names.into_bytes())).await;
        if let Err(error) = first {
            // An old server gives no single files. Then all of them come.
            let refs = format!("+refs/heads/{}:{FETCHED}", self.branch);
            let arguments = [
                "fetch",
                "--quiet",
                "--refetch",
                "--depth=1",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-filter",
                "origin",
                &refs,
            ];
            if self.remote_call(&arguments, Input::Lock(&self.lock)).await.is_err() {
                return Err(error);
            }
        }
        let missing = self.missing(&missing).await?;
        match missing.first() {
            None => Ok(()),
            Some(oid) => {
                Err(LogError::Tampered { what: format!("the remote does not give the file {oid}"), at: None }.into())
            }
        }
    }

    /// Fetches the files of a folder that have at most `limit` bytes, if the remote filters.
    pub(super) async fn fetch_folder(&self, commit: &Oid, folder: &str, limit: u64) -> Result<(), Fault> {
        let tree = self.object(&format!("{commit}:{folder}")).await?;
        // What has the limit itself is left out by git.
        let filter = format!("--filter=blob:limit={}", limit + 1);
        // The folder is here already, without its files: git would not ask again for what it has.
        let arguments =
            ["fetch", "--quiet", "--refetch", "--no-tags", "--no-write-fetch-head", &filter, "origin", tree.as_str()];
        self.remote_call(&arguments, Input::Lock(&self.lock)).await.map(drop)
    }

    /// Those of these blobs that are not here.
    pub(super) async fn missing(&self, wanted: &BTreeSet<Oid>) -> Result<BTreeSet<Oid>, Fault> {
        let sizes = self.sizes(wanted).await?;
        Ok(wanted.iter().filter(|oid| !sizes.contains_key(oid)).cloned().collect())
    }

    /// The sizes in bytes of those of these blobs that are here.
    pub(super) async fn sizes(&self, wanted: &BTreeSet<Oid>) -> Result<BTreeMap<Oid, u64>, Fault> {
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: String = wanted.iter().fold(String::new(), |mut names, oid| {
            let _ = writeln!(names, "{oid}");
            names
        });
        let limit = wanted.len() as u64 * 128 + SHORT;
        let said = self.local_call(&["cat-file", "--batch-check"], Input::Bytes(names.into_bytes()), limit).await?;
        if !said.well {
            return Err(Fault::Cache(said.words));
        }
        let text = String::from_utf8_lossy(&said.out);
        let line = |line: &str| {
            let (oid, rest) = line.split_once(' ')?;
            Some((Oid::parse(oid)?, rest.rsplit(' ').next()?.parse().ok()?))
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// Opens blobs for reading.
    pub(super) fn blobs(&self) -> Result<Blobs, Fault> {
        Blobs::start(&self.git, self.patience).map_err(|trouble| self.trouble(trouble))
    }

    /// Makes a commit: `parent` with `changes`; without the parent in its history if `detached`.
    pub(super) async fn commit(
        &self,
        parent: Option<&Oid>,
        detached: bool,
        changes: &Changes,
        message: &str,
    ) -> Result<Oid, Fault> {
        let who = "committer Sealift <sealift@localhost> now";
        let mut stream =
            format!("feature done\nreset {NEW}\n\ncommit {NEW}\n{who}\ndata {}\n{message}\n", message.len())
                .into_bytes();
        let start = match parent {
            Some(parent) if detached => {
                format!("M 040000 {} \"\"\n", self.object(&format!("{parent}^{{tree}}")).await?)
            }
            Some(parent) => format!("from {parent}\n"),
            None => String::new(),
        };
        stream.extend_from_slice(start.as_bytes());
        for (path, change) in changes {
            match change {
                None => stream.extend_from_slice(format!("D {path}\n").as_bytes()),
                Some(bytes) => {
                    stream.extend_from_slice(format!("M 100644 inline {path}\ndata {}\n", bytes.len()).as_bytes());
                    stream.extend_from_slice(bytes);
                    stream.push(b'\n');
                }
            }
        }
        stream.extend_from_slice(b"done\n");
        let arguments = ["fast-import", "--quiet", "--force", "--done", "--date-format=now"];
        let said = self.local_call(&arguments, Input::Bytes(stream), SHORT).await?;
        if !said.well {
            return Err(Fault::Cache(said.words));
        }
        self.resolve(NEW).ok_or_else(|| Fault::Cache("the commit that was made is not there".into()))
    }

    /// The object of this name.
    async fn object(&self, name: &str) -> Result<Oid, Fault> {
        let said = self.local_call(&["rev-parse", "--verify", "--quiet", name], Input::Lock(&self.lock), SHORT).await?;
        let oid = Oid::parse(String::from_utf8_lossy(&said.out).trim());
        oid.ok_or_else(|| Fault::Cache(format!("there is no `{name}` in the clone")))
    }

    /// Pushes a commit to the branch, if exactly `seen` is there, or no such branch. Something else is never replaced, and
    /// nothing that was taken away there comes back unnoticed.
    pub(super) async fn push(&self, commit: &Oid, seen: Option<&Oid>) -> Result<Pushed, Fault> {
        let refs = format!("{commit}:refs/heads/{}", self.branch);
        let seen = seen.map(Oid::as_str).unwrap_or_default();
        let lease = format!("--force-with-lease=refs/heads/{}:{seen}", self.branch);
        let arguments = ["push", "--porcelain", "--no-verify", &lease, "origin", &refs];
        match self.git.run(&arguments, Input::Lock(&self.lock), SHORT).await {
            Ok(said) if said.well => Ok(Pushed::Done),
            Ok(said) => {
                let told = format!("{}\n{}", said.words, String::from_utf8_lossy(&said.out));
                let (answer, words) = understand(&told);
                // A line for the branch with an answer of the remote's is an answer, whatever it says.
                let refused = told.lines().any(|line| line.starts_with('!') && line.contains("[remote rejected]"));
                let answer = if refused { Answer::No } else { answer };
                Ok(Pushed::Failed(answer, words))
            }
            Err(Trouble::NotStarted(why)) => Err(self.trouble(Trouble::NotStarted(why))),
            Err(Trouble::TooLong(why) | Trouble::TooMuch(why) | Trouble::Broken(why)) => {
                Ok(Pushed::Failed(Answer::Unknown, why))
            }
        }
    }

    /// How many objects lie about unpacked, roughly, and how many packs there are.
    pub(super) fn clutter(&self) -> (usize, usize) {
        let objects = self.git.repository().join("objects");
        let count = |name: &str| fs::read_dir(objects.join(name)).map_or(0, Iterator::count);
        (count("17") * 256, count("pack") / 2)
    }

    /// A call that talks to the remote and must end well.
    async fn remote_call(&self, arguments: &[&str], input: Input<'_>) -> Result<Vec<u8>, Fault> {
        let said = self.git.run(arguments, input, SHORT).await.map_err(|trouble| self.trouble(trouble))?;
        if said.well {
            return Ok(said.out);
        }
        match understand(&said.words) {
            (Answer::Local, words) => Err(Fault::Cache(words)),
            (_, why) => Err(LogError::Unreachable { place: self.place.clone(), why }.into()),
        }
    }

    async fn local_call(&self, arguments: &[&str], input: Input<'_>, limit: u64) -> Result<Said, Fault> {
        self.git.run(arguments, input, limit).await.map_err(|trouble| self.trouble(trouble))
    }

    fn trouble(&self, trouble: Trouble) -> Fault {
        let (Trouble::NotStarted(why) | Trouble::TooLong(why) | Trouble::TooMuch(why) | Trouble::Broken(why)) = trouble;
        LogError::Unreachable { place: self.place.clone(), why }.into()
    }
}

fn local(remote: &Remote, directory: &Path, why: &io::Error) -> LogError {
    let why = format!("the cache of it in {} cannot be made: {why}", directory.display());
    LogError::Unavailable { place: remote.to_string(), why }
}
