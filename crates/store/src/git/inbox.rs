//! Statements on the branch that wait to be taken into the log. Permission to push is enough to hand one in.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sealift_domain::digest::Digest;
use sealift_engine::ports::{
    inbox::{Inbox, MAX_STATEMENT, MAX_STATEMENTS},
    log::LogError,
};

use super::{
    GitLog,
    blobs::Oid,
    layout::INBOX,
    publish::{Manner, Outcome},
    repository::{Changes, Fault, Listing},
    session::{Attempts, Session},
};

/// How often it is tried again because the branch has moved.
const TRIES: u32 = 16;

/// What lies in an inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Statements, by digest in ascending order.
    pub statements: Vec<(Digest, Vec<u8>)>,
    /// How many files were passed over: too large, with other content than their name says, or one too many.
    pub ignored: usize,
}

fn path(digest: Digest) -> String {
    format!("{INBOX}{}", digest.hex())
}

fn names(files: &Listing) -> impl Iterator<Item = &str> {
    files.range(INBOX.to_owned()..).map_while(|(path, _)| path.strip_prefix(INBOX))
}

impl Session<'_> {
    /// Changes the inbox, whatever else happens on the branch meanwhile.
    async fn change_inbox(
        &mut self,
        message: &str,
        changes: impl Fn(&Listing) -> Result<Changes, String>,
    ) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let seen = self.sync().await?;
            let changes = changes(&self.repository.files(&seen).await?).map_err(|why| self.refused(&why))?;
            if changes.is_empty() {
                return Ok(());
            }
            match self.change(&seen, Manner::OnTop, &changes, message).await? {
                Outcome::Written(Some(commit)) => {
                    drop(self.repository.set_seen(&commit));
                    return Ok(());
                }
                Outcome::Written(None) => return Ok(()),
                Outcome::Moved => {}
            }
        }
        Err(self.refused("others keep changing the branch"))
    }

    async fn waiting(&mut self) -> Result<Waiting, Fault> {
        let seen = self.sync().await?;
        let files = self.repository.files(&seen).await?;
        let mut waiting = Waiting::default();
        let mut right = Vec::new();
        for name in names(&files) {
            let oid = files.get(&format!("{INBOX}{name}"));
            match (format!("sha256:{name}").parse::<Digest>(), oid) {
                (Ok(digest), Some(oid)) if right.len() < MAX_STATEMENTS => right.push((digest, oid.clone())),
                _ => waiting.ignored += 1,
            }
        }
        let sizes = self.sizes(&seen, &right.iter().map(|(_, oid)| oid.clone()).collect()).await?;
        let mut blobs = self.repository.blobs()?;
        for (digest, oid) in right {
            let fits = sizes.get(&oid).is_some_and(|size| *size <= MAX_STATEMENT as u64);
            let bytes = if fits { Some(blobs.get(&oid).await?) } else { None };
            match bytes.filter(|bytes| Digest::of(bytes) == digest) {
                Some(bytes) => waiting.statements.push((digest, bytes)),
                None => waiting.ignored += 1,
            }
        }
        Ok(waiting)
    }

    /// The sizes of these statements, in bytes. Anybody who may push can lay large files there, so a remote that filters is
    /// asked for those within the limit only, and what does not come is too large.
    async fn sizes(&self, commit: &Oid, statements: &BTreeSet<Oid>) -> Result<BTreeMap<Oid, u64>, Fault> {
        let sizes = self.repository.sizes(statements).await?;
        if sizes.len() == statements.len() {
            return Ok(sizes);
        }
        self.repository.fetch_folder(commit, INBOX, MAX_STATEMENT as u64).await?;
        self.repository.sizes(statements).await
    }
}

impl GitLog {
    /// What lies in the inbox, and how much of it is passed over.
    pub async fn waiting(&self) -> Result<Waiting, LogError> {
        let mut attempts = Attempts::default();
        loop {
            let outcome = self.begin(&attempts).await?.waiting().await;
            match outcome {
                Ok(waiting) => return Ok(waiting),
                Err(fault) => attempts.after(self, fault).await?,
            }
        }
    }

    async fn change_inbox(
        &self,
        message: &str,
        changes: impl Fn(&Listing) -> Result<Changes, String>,
    ) -> Result<(), LogError> {
        let mut attempts = Attempts::default();
        loop {
            let outcome = self.begin(&attempts).await?.change_inbox(message, &changes).await;
            match outcome {
                Ok(()) => return Ok(()),
                Err(fault) => attempts.after(self, fault).await?,
            }
        }
    }
}

#[async_trait]
impl Inbox for GitLog {
    async fn put(&self, bytes: &[u8]) -> Result<Digest, LogError> {
        let place = self.remote.to_string();
        if bytes.len() > MAX_STATEMENT {
            let why = format!("a statement of {} bytes is too large: at most {MAX_STATEMENT} are taken", bytes.len());
            return Err(LogError::Refused { place, why });
        }
        let digest = Digest::of(bytes);
        let put = |files: &Listing| {
            if files.contains_key(&path(digest)) {
                return Ok(Changes::new());
            }
            if names(files).count() >= MAX_STATEMENTS {
                return Err(format!("{MAX_STATEMENTS} statements wait there already, which is the limit"));
            }
            Ok([(path(digest), Some(bytes.to_vec()))].into())
        };
        self.change_inbox("A statement was handed in", put).await?;
        Ok(digest)
    }

    async fn list(&self) -> Result<Vec<(Digest, Vec<u8>)>, LogError> {
        Ok(self.waiting().await?.statements)
    }

    async fn remove(&self, digests: &[Digest]) -> Result<(), LogError> {
        let remove = |files: &Listing| {
            let there = digests.iter().map(|digest| path(*digest)).filter(|path| files.contains_key(path));
            Ok(there.map(|path| (path, None)).collect())
        };
        self.change_inbox("Statements were taken in", remove).await
    }
}
