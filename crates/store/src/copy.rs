//! Copying a log from one store to another, as it is.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{AuditReport, Head, Log, LogError};

use crate::{
    git::GitLog,
    merkle::Frontier,
    record::{Base, Record},
    sqlite::SqliteLog,
};

/// A store that hands out commits as they are and takes them.
#[async_trait]
pub trait Commits: Log {
    /// The commit that created the log.
    async fn first(&self) -> Result<Record, LogError>;

    /// The commit after which there are `size` entries, if one ends there.
    async fn commit_at(&self, size: u64) -> Result<Option<Base>, LogError>;

    /// The commits after the one at `after` entries, in order, with their objects: as many as fit a page, none at the end.
    async fn records(&self, after: u64) -> Result<Vec<Record>, LogError>;

    /// Appends commits as they are, all or none, after verifying them. No private key is needed.
    async fn import(&self, records: Vec<Record>) -> Result<Head, LogError>;

    /// The digests of all objects that are not erased.
    async fn present(&self) -> Result<BTreeSet<Digest>, LogError>;
}

/// What was copied, and that both are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// How many entries the destination had before.
    pub before: u64,
    /// How many commits were copied now.
    pub copied: u64,
    /// What the audit of the destination found; that of the source found the same.
    pub audit: AuditReport,
    /// How many objects both have.
    pub objects: u64,
}

/// Copies all commits of a log that the destination does not have yet, with their notes and objects as they are, and then
/// proves that both are the same: both are audited, and size, root, number of checkpoints, newest annex and the set of
/// objects compared.
///
/// The destination holds the beginning of the same log (see [`SqliteLog::create_copy`] and [`GitLog::create_copy`]); anything
/// else is refused before anything is written. A copy that was interrupted is continued by the next one. Nobody may write to
/// the source meanwhile.
pub async fn copy(from: &dyn Commits, to: &dyn Commits) -> Result<CopyReport, LogError> {
    let (source, before) = (from.head().await?, to.head().await?);
    if from.first().await? != to.first().await? {
        return Err(other("it was created as another log"));
    }
    let (there, here) = (from.commit_at(before.size).await?, to.commit_at(before.size).await?);
    if before.size > source.size || there.is_none() || there != here {
        return Err(other("what it holds is not the beginning of the log that is to be copied"));
    }
    let (mut size, mut copied) = (before.size, 0);
    loop {
        let page = from.records(size).await?;
        let Some(last) = page.last() else { break };
        (size, copied) = (last.size, copied + page.len() as u64);
        to.import(page).await?;
    }
    let (audit, objects) = same(from, to).await?;
    Ok(CopyReport { before: before.size, copied, audit, objects })
}

/// Proves that two logs are the same. What the audit of both found, and how many objects both have.
async fn same(from: &dyn Commits, to: &dyn Commits) -> Result<(AuditReport, u64), LogError> {
    let (source, copied) = (from.audit(None).await?, to.audit(None).await?);
    if (source.size, source.root, source.checkpoints) != (copied.size, copied.root, copied.checkpoints) {
        return Err(other(&format!(
            "after copying it has {} entries and {} checkpoints, the source {} and {}; somebody wrote meanwhile: copy again",
            copied.size, copied.checkpoints, source.size, source.checkpoints
        )));
    }
    if from.commit_at(source.size).await? != to.commit_at(source.size).await? {
        return Err(other("its newest checkpoint or annex is not the one of the source"));
    }
    let (source, present) = (from.present().await?, to.present().await?);
    if let Some(digest) = source.symmetric_difference(&present).next() {
        let held =
            if present.contains(digest) { "the destination, and was erased in the source" } else { "the source only" };
        return Err(other(&format!("the object {digest} is in {held}: erase it there too")));
    }
    Ok((copied, present.len() as u64))
}

/// What an error names as its place where the destination is not what it must be.
pub const DESTINATION: &str = "the destination of the copy";

fn other(why: &str) -> LogError {
    LogError::Unavailable { place: DESTINATION.to_owned(), why: why.to_owned() }
}

/// The commit that creates a log, from where that log begins.
fn first_of(base: Base) -> Result<Record, LogError> {
    if base.frontier != Frontier::default() {
        return Err(LogError::Tampered { what: "the checkpoint of the empty log is missing".to_owned(), at: None });
    }
    let Base { note, annex, .. } = base;
    Ok(Record { after: 0, size: 0, note, annex, leaves: Vec::new(), objects: Default::default() })
}

#[async_trait]
impl Commits for SqliteLog {
    async fn first(&self) -> Result<Record, LogError> {
        first_of(self.base()?)
    }

    async fn commit_at(&self, size: u64) -> Result<Option<Base>, LogError> {
        Self::commit_at(self, size)
    }

    async fn records(&self, after: u64) -> Result<Vec<Record>, LogError> {
        Self::records(self, after)
    }

    async fn import(&self, records: Vec<Record>) -> Result<Head, LogError> {
        Self::import(self, &records)
    }

    async fn present(&self) -> Result<BTreeSet<Digest>, LogError> {
        Ok(self.object_digests()?.into_iter().collect())
    }
}

#[async_trait]
impl Commits for GitLog {
    async fn first(&self) -> Result<Record, LogError> {
        first_of(self.beginning().await?)
    }

    async fn commit_at(&self, size: u64) -> Result<Option<Base>, LogError> {
        Self::commit_at(self, size).await
    }

    async fn records(&self, after: u64) -> Result<Vec<Record>, LogError> {
        Self::records(self, after).await
    }

    async fn import(&self, records: Vec<Record>) -> Result<Head, LogError> {
        Self::import(self, records).await
    }

    async fn present(&self) -> Result<BTreeSet<Digest>, LogError> {
        Ok(self.object_digests().await?.into_iter().collect())
    }
}
