//! A bare repository on this disk, and logs on a branch of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use async_trait::async_trait;
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Head, Log, LogError, NewLeaf};
use sealift_store::{
    conformance::Fixture,
    git::{GitLog, GitOptions, Remote},
    key::{Keyring, SigningKey, VerifierKey},
};

pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    secret: String,
}

/// Git as a person calls it, in `at`.
pub(crate) fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(at)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Mallory")
        .env("GIT_AUTHOR_EMAIL", "mallory@example.org")
        .env("GIT_COMMITTER_NAME", "Mallory")
        .env("GIT_COMMITTER_EMAIL", "mallory@example.org")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Place {
    /// A repository that filters and has no branch yet.
    pub(crate) fn new() -> Self {
        let place = Self::without_filter();
        git(&place.repository(), &["config", "uploadpack.allowFilter", "true"]);
        place
    }

    /// A repository that always gives everything.
    pub(crate) fn without_filter() -> Self {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "--quiet", "--bare", "remote.git"]);
        let secret = SigningKey::generate("log.example/shop").unwrap().secret_text().unwrap();
        Self { dir, secret }
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    pub(crate) fn remote(&self) -> Remote {
        format!("git+file://{}#sealift", self.repository().display()).parse().unwrap()
    }

    pub(crate) fn key(&self) -> SigningKey {
        SigningKey::from_text(&self.secret).unwrap()
    }

    pub(crate) fn public(&self) -> Keyring {
        Keyring::reader(self.key().verifier().clone())
    }

    /// Options with a cache of this name.
    pub(crate) fn options(&self, cache: &str) -> GitOptions {
        let mut options = GitOptions::new(self.dir.path().join(cache));
        options.environment.push(("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()));
        options
    }

    pub(crate) async fn create(&self, cache: &str) -> GitLog {
        GitLog::create(self.remote(), self.options(cache), self.key()).await.unwrap()
    }

    pub(crate) async fn open(&self, cache: &str) -> Result<GitLog, LogError> {
        GitLog::open(self.remote(), self.options(cache), Keyring::writer(self.key())).await
    }

    pub(crate) async fn reader(&self, cache: &str) -> Result<GitLog, LogError> {
        GitLog::open(self.remote(), self.options(cache), self.public()).await
    }

    /// The newest commit of the branch.
    pub(crate) fn tip(&self) -> String {
        git(&self.repository(), &["rev-parse", "refs/heads/sealift"]).trim().to_owned()
    }

    pub(crate) fn set_tip(&self, commit: &str) {
        git(&self.repository(), &["update-ref", "refs/heads/sealift", commit]);
    }

    /// The files of the branch: path and blob.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let listed = git(&self.repository(), &["ls-tree", "-r", "sealift"]);
        let entry = |line: &str| {
            let (kind, path) = line.split_once('\t').unwrap();
            (path.to_owned(), kind.rsplit(' ').next().unwrap().to_owned())
        };
        listed.lines().map(entry).collect()
    }

    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        let show = ["cat-file", "blob", &format!("sealift:{path}")];
        let output = Command::new("git").args(show).current_dir(self.repository()).output().unwrap();
        assert!(output.status.success(), "{path}");
        output.stdout
    }

    /// A commit on top of the branch in which a file has other bytes, or is gone. The branch stays.
    pub(crate) fn edited(&self, path: &str, bytes: Option<&[u8]>) -> String {
        let before = self.tip();
        let mut change = match bytes {
            None => return self.imported(format!("D {path}\n").into_bytes(), &before),
            Some(bytes) => format!("M 100644 inline {path}\ndata {}\n", bytes.len()).into_bytes(),
        };
        change.extend_from_slice(bytes.unwrap());
        change.push(b'\n');
        self.imported(change, &before)
    }

    /// Changes files of the branch, in the words of `git fast-import`.
    pub(crate) fn import(&self, changes: &str) {
        let commit = self.imported(changes.as_bytes().to_vec(), &self.tip());
        self.set_tip(&commit);
    }

    fn imported(&self, changes: Vec<u8>, parent: &str) -> String {
        let start = "commit refs/heads/edited\ncommitter Mallory <m@example.org> now\ndata 0\n";
        let stream = [format!("{start}from {parent}\n").into_bytes(), changes].concat();
        let mut child = Command::new("git")
            .args(["fast-import", "--quiet", "--force", "--date-format=now"])
            .current_dir(self.repository())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &stream).unwrap();
        assert!(child.wait().unwrap().success());
        let commit = git(&self.repository(), &["rev-parse", "edited"]).trim().to_owned();
        git(&self.repository(), &["update-ref", "-d", "refs/heads/edited"]);
        commit
    }

    /// The blobs that a cache has.
    pub(crate) fn cached(log: &GitLog) -> Vec<String> {
        let repository = log.cache_directory().join("repository");
        let all = git(&repository, &["cat-file", "--batch-check", "--batch-all-objects"]);
        all.lines().filter(|line| line.contains(" blob ")).map(|line| line[..40].to_owned()).collect()
    }
}

/// A leaf of realistic size with a body, two openings, and a snapshot mark.
pub(crate) fn realistic(index: u64, snapshot: bool) -> NewLeaf {
    let filler = |length: usize, salt: u64| {
        let mut text = String::new();
        let mut i = 0u64;
        while text.len() < length {
            text.push_str(&Digest::of(format!("{index}/{salt}/{i}").as_bytes()).hex());
            i += 1;
        }
        text.truncate(length);
        text
    };
    NewLeaf {
        bytes: format!("{{\"entry\":{index},\"text\":\"{}\"}}", filler(460, 0)).into_bytes(),
        objects: vec![
            format!("{{\"body\":\"{}\"}}", filler(1000 + (index as usize * 37) % 2000, 1)).into_bytes(),
            filler(100, 2).into_bytes(),
            filler(100, 3).into_bytes(),
        ],
        snapshot,
    }
}

/// Appends commits of one leaf each.
pub(crate) async fn append(log: &GitLog, count: u64) -> Head {
    let mut head = log.head().await.unwrap();
    for _ in 0..count {
        head = log.append(head, vec![realistic(head.size, false)]).await.unwrap();
    }
    head
}

/// For the suite that every store passes: all handles of a machine, or each on a machine of its own.
pub(crate) struct Suite {
    place: Place,
    own_caches: bool,
    opened: std::sync::Mutex<Vec<Arc<GitLog>>>,
    created: tokio::sync::OnceCell<()>,
}

impl Suite {
    pub(crate) fn new(place: Place, own_caches: bool) -> Self {
        Self { place, own_caches, opened: std::sync::Mutex::default(), created: tokio::sync::OnceCell::new() }
    }

    async fn cache(&self) -> String {
        self.created.get_or_init(|| async { drop(self.place.create("cache").await) }).await;
        let count = self.opened.lock().unwrap().len();
        if self.own_caches { format!("cache-{count}") } else { "cache".to_owned() }
    }

    fn hand_out(&self, log: GitLog) -> Arc<dyn Log> {
        let log = Arc::new(log);
        self.opened.lock().unwrap().push(log.clone());
        log
    }
}

#[async_trait]
impl Fixture for Suite {
    async fn writer(&self) -> Result<Arc<dyn Log>, LogError> {
        Ok(self.hand_out(self.place.open(&self.cache().await).await?))
    }

    async fn reader(&self) -> Result<Arc<dyn Log>, LogError> {
        Ok(self.hand_out(self.place.reader(&self.cache().await).await?))
    }

    fn verifier(&self) -> VerifierKey {
        self.place.key().verifier().clone()
    }

    async fn erase(&self, digest: Digest) -> Result<bool, LogError> {
        let erased = self.place.open("cache").await?.erase_object(digest).await?;
        // A cache of another machine drops it with its next look at the remote.
        let opened = self.opened.lock().unwrap().clone();
        for log in opened {
            log.head().await?;
        }
        Ok(erased)
    }
}
