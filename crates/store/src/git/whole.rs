//! Operations on the log as a whole.

use std::collections::BTreeSet;

use sealift_engine::ports::log::{AuditReport, Head, LogError, NewLeaf};

use super::{
    layout::{self, At, Beside, CHECKPOINT, tampered},
    publish::with_nonce,
    reader::{blobs_of_names, oid},
    repository::{Changes, Fault, Listing, Pushed},
    session::Session,
};
use crate::{checkpoint, key::SigningKey, record::Record, sqlite::SqliteLog, tile};

impl Session<'_> {
    /// Makes the branch, with the commit that creates a log.
    pub(super) async fn create(&mut self, first: &Record) -> Result<(), Fault> {
        let base = first.first().ok_or_else(|| self.refused("a log begins with the commit that created it"))?;
        base.verify(self.keys())?;
        if let Some((head, place)) = self.kept()?.into_iter().next() {
            return Err(self.rewritten(head, &place, "a new log was to be made there".into()));
        }
        if self.repository.look().await?.is_some() {
            return Err(self.exists());
        }
        let after = At { size: 0, note: first.note.clone(), annex: first.annex.clone() };
        let mut changes = Changes::new();
        changes.insert(CHECKPOINT.to_owned(), Some(first.note.clone().into_bytes()));
        changes.insert(layout::tail_path(0), Some(Beside { after, commits: Vec::new() }.encode()?));
        let commit = self.repository.commit(None, false, &changes, &with_nonce("A new log")).await?;
        if let Pushed::Failed(answer, words) = self.repository.push(&commit, None).await? {
            match self.repository.look().await {
                Ok(Some(found)) if found == commit => {}
                Ok(Some(_)) => return Err(self.exists()),
                Ok(None) => return Err(self.not_written(answer, words, true)),
                Err(_) => return Err(self.not_written(answer, words, false)),
            }
        }
        let mirror = SqliteLog::create_mirror(&self.new_mirror()?, self.keys().public(), &base)?;
        self.cache().keep(&first.note)?;
        self.take_mirror(mirror)?;
        self.repository.set_seen(&commit)
    }

    fn exists(&self) -> Fault {
        self.refused("the branch exists already: it is left as it is; choose another name, or open what is there")
    }

    /// Brings the mirror up to the remote, and compares with the kept checkpoints even if nothing has moved: one may have
    /// been given since.
    pub(super) async fn open(&mut self) -> Result<(), Fault> {
        let tip = self.sync().await?;
        let files = self.repository.files(&tip).await?;
        let (head, _) = self.checkpoint(&files).await?;
        if head != self.head()? {
            return Err(tampered("the checkpoint on the branch is not the one that was read").into());
        }
        self.continues_kept(&files, head).await
    }

    /// Appends a batch as one commit.
    pub(super) async fn append(
        &mut self,
        expected: Head,
        batch: Vec<NewLeaf>,
        key: &SigningKey,
    ) -> Result<Head, Fault> {
        self.some_mirror().await?;
        if batch.is_empty() || self.head()? != expected {
            self.sync().await?;
        }
        let found = self.head()?;
        if found != expected {
            return Err(LogError::Conflict { expected, found }.into());
        }
        if batch.is_empty() {
            return Ok(found);
        }
        let point = self.mirror()?.tip()?.verify(self.keys())?;
        self.publish(vec![Record::seal(&point, batch, key)]).await
    }

    /// Appends commits of another store.
    pub(super) async fn import_all(&mut self, records: Vec<Record>) -> Result<Head, Fault> {
        self.sync().await?;
        if records.is_empty() { self.head() } else { self.publish(records).await }
    }

    /// The newest snapshot below `size`. The list on the branch says where to look; what it says is verified.
    pub(super) async fn last_snapshot(&mut self, size: u64) -> Result<Option<u64>, Fault> {
        self.some_mirror().await?;
        loop {
            if let Some(found) = self.mirror()?.last_snapshot_now(size)? {
                return Ok(Some(found));
            }
            let begin = self.mirror()?.base()?.frontier.size();
            if begin == 0 {
                return Ok(None);
            }
            let (_, files) = self.known_files().await?;
            let hinted = self.snapshots(&files).await?;
            self.descend(hinted.range(..begin.min(size)).next_back().copied().unwrap_or(0)).await?;
        }
    }

    /// Audits the branch, and nothing else: what the cache has of it is not believed.
    pub(super) async fn audit(&mut self, kept: Option<&str>) -> Result<AuditReport, Fault> {
        if let Some(kept) = kept {
            let verified = checkpoint::verify(kept, self.keys());
            verified.map_err(|why| tampered(&format!("the kept checkpoint: {why}")))?;
        }
        let tip = self.sync().await?;
        let files = self.repository.files(&tip).await?;
        let (head, note) = self.checkpoint(&files).await?;
        self.continues_kept(&files, head).await?;
        self.begin_mirror(&files, head, Some(0)).await?;
        self.check_tiles(&files, head).await?;
        let absent = self.mirror()?.absent()?;
        self.bring(&files, &absent).await?;
        let report = self.mirror()?.audit_now(kept)?;
        if self.mirror()?.tip()?.note != note {
            return Err(tampered("the checkpoint on the branch is not the one of its newest commit").into());
        }
        Ok(report)
    }

    /// Every hash tile on the branch is the one of these entries.
    async fn check_tiles(&self, files: &Listing, head: Head) -> Result<(), Fault> {
        let tiles = tile::tiles(&self.mirror()?.leaf_hashes(head.size)?);
        let names: BTreeSet<_> = tiles.iter().map(|tile| (tile.level, tile.index)).collect();
        self.repository.ensure(&blobs_of_names(files, head.size, &names)).await?;
        let mut blobs = self.repository.blobs()?;
        for tile in tiles {
            let path = tile.path();
            if blobs.get(oid(files, &path)?).await? != tile.bytes() {
                return Err(tampered(&format!("the file `{path}` is not the tile of these entries")).into());
            }
        }
        Ok(())
    }

    /// Commits after the one at `after` entries, with their objects.
    pub(super) async fn commits(&mut self, after: u64) -> Result<Vec<Record>, Fault> {
        let (_, files) = self.known_files().await?;
        self.descend(after).await?;
        let page = self.mirror()?.records(after)?;
        let named = page.iter().flat_map(|record| &record.leaves).flat_map(|leaf| &leaf.objects);
        let have: BTreeSet<_> = page.iter().flat_map(|record| record.objects.keys().copied()).collect();
        let missing: BTreeSet<_> = named.copied().filter(|digest| !have.contains(digest)).collect();
        if missing.is_empty() {
            return Ok(page);
        }
        self.bring(&files, &missing).await?;
        Ok(self.mirror()?.records(after)?)
    }
}
