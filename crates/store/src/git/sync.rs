//! Bringing the mirror up to the remote: every commit is verified as it comes in, and what was seen before must be continued.

use std::collections::BTreeSet;

use sealift_engine::ports::log::{Head, LogError};

use super::{
    blobs::Oid,
    layout::{self, CHECKPOINT, ERASED, SNAPSHOTS, TILE, tampered},
    reader::{Reader, blobs_of_names, blobs_of_tiles, files_of_tile, oid},
    repository::{Fault, Listing},
    session::Session,
    tiles::{Name, for_frontier, for_reach},
};
use crate::{
    checkpoint,
    merkle::Frontier,
    record::{Base, Record},
    sqlite::SqliteLog,
};

/// How many tiles are read into memory at once.
const CHUNK: u64 = 16;
/// Files below this size come with the first fetch: directories, checkpoint and lists, not entries and bodies.
const COLD: &str = "4k";
/// With a mirror, what is new is needed, whatever it is; but not large objects.
const WARM: &str = "1m";

impl Session<'_> {
    /// Looks at the remote and brings the mirror up to it. Returns the newest commit of the branch.
    pub(super) async fn sync(&mut self) -> Result<Oid, Fault> {
        let Some(found) = self.repository.look().await? else { return Err(self.gone()) };
        if !self.repository.fits(&found) {
            self.repository.renew(&self.log.remote, Some(&found))?;
        }
        if self.has_mirror() && self.repository.seen().as_ref() == Some(&found) {
            return Ok(found);
        }
        let tip = self.repository.fetch(if self.has_mirror() { WARM } else { COLD }).await?;
        let files = self.repository.files(&tip).await?;
        let (head, note) = self.checkpoint(&files).await?;
        self.continues_kept(&files, head).await?;
        if self.has_mirror() {
            self.advance(&files, head).await?
        } else {
            self.begin_mirror(&files, head, None).await?
        }
        self.forget_erased(&files).await?;
        self.cache().keep(&note)?;
        self.repository.set_seen(&tip)?;
        Ok(tip)
    }

    /// There is no such branch.
    fn gone(&self) -> Fault {
        match self.kept().map(|kept| kept.into_iter().next()) {
            Ok(Some((head, place))) => self.rewritten(head, &place, "the branch is gone now".into()),
            Ok(None) => {
                let why =
                    "the repository has no such branch: make a log there with `sealift init`, or check its name".into();
                LogError::Unreachable { place: self.log.remote.to_string(), why }.into()
            }
            Err(fault) => fault,
        }
    }

    /// The checkpoint on the branch.
    pub(super) async fn checkpoint(&self, files: &Listing) -> Result<(Head, String), Fault> {
        let oid = oid(files, CHECKPOINT)?;
        self.repository.ensure(&[oid.clone()].into()).await?;
        let bytes = self.repository.blobs()?.get(oid).await?;
        let text = String::from_utf8(bytes).map_err(|_| tampered("the checkpoint on the branch is not text"))?;
        let verified = checkpoint::verify(&text, self.keys());
        let verified = verified.map_err(|why| tampered(&format!("the checkpoint on the branch: {why}")))?;
        Ok((verified.head, text))
    }

    /// Compares a head with the checkpoints that were kept.
    pub(super) async fn continues_kept(&self, files: &Listing, head: Head) -> Result<(), Fault> {
        for (kept, place) in self.kept()? {
            if kept.size > head.size || (kept.size == head.size && kept != head) {
                return Err(self.rewritten(kept, &place, format!("there are {head:?} now")));
            }
            if self.has(kept)? || kept == head {
                continue;
            }
            if !self.is_beginning(files, kept, head).await? {
                let found = format!("the {} that are there now begin otherwise", head.size);
                return Err(self.rewritten(kept, &place, found));
            }
        }
        Ok(())
    }

    /// Whether the mirror has a commit with this head.
    fn has(&self, head: Head) -> Result<bool, Fault> {
        let Ok(mirror) = self.mirror() else { return Ok(false) };
        Ok(mirror.commit_at(head.size)?.is_some_and(|commit| commit.frontier.root() == head.root))
    }

    /// Whether the tree of `head`, on the branch, begins with the tree of `earlier`; by hash tiles alone.
    async fn is_beginning(&self, files: &Listing, earlier: Head, head: Head) -> Result<bool, Fault> {
        let mut names = for_frontier(earlier.size);
        names.extend(for_reach(earlier.size, head.size));
        self.repository.ensure(&blobs_of_names(files, head.size, &names)).await?;
        let tiles = Reader::new(files, head.size, self.repository.blobs()?).tiles(&names).await?;
        let frontier = tiles.frontier(earlier.size);
        let grown = frontier.clone().and_then(|frontier| tiles.reach(frontier, head.size));
        match (frontier, grown) {
            (Some(frontier), Some(grown)) if grown.root() == head.root => Ok(frontier.root() == earlier.root),
            _ => Err(tampered("the hash tiles on the branch do not have the root of its checkpoint").into()),
        }
    }

    /// Imports what is new.
    async fn advance(&mut self, files: &Listing, head: Head) -> Result<(), Fault> {
        let known = self.head()?;
        let place = format!("in {}", self.cache().directory().display());
        if head.size < known.size || (head.size == known.size && head != known) {
            return Err(self.rewritten(known, &place, format!("there are {head:?} now")));
        }
        match self.import(self.mirror()?, files, head.size).await {
            Err(Fault::Log(LogError::Tampered { what, at })) => match self.is_beginning(files, known, head).await {
                Ok(false) => {
                    let found = format!("the {} that are there now begin otherwise", head.size);
                    Err(self.rewritten(known, &place, found))
                }
                _ => Err(LogError::Tampered { what, at }.into()),
            },
            other => other,
        }
    }

    /// Reads all commits after the mirror's newest one into it, up to `size` leaves.
    async fn import(&self, mirror: &SqliteLog, files: &Listing, size: u64) -> Result<(), Fault> {
        let mut after = mirror.tip()?.frontier.size();
        let tiles = size.div_ceil(TILE);
        self.repository.ensure(&blobs_of_tiles(files, size, after / TILE, tiles)).await?;
        let mut reader = Reader::new(files, size, self.repository.blobs()?);
        let mut page = Vec::new();
        for tile in after / TILE..tiles {
            page.extend(reader.records(tile, &mut after, u64::MAX).await?);
            if tile % CHUNK == CHUNK - 1 || tile + 1 == tiles {
                mirror.import(&page)?;
                page.clear();
            }
        }
        if mirror.tip()?.frontier.size() == size {
            return Ok(());
        }
        Err(tampered(&format!("the checkpoint on the branch covers {size} entries, of which the last are missing"))
            .into())
    }

    /// Builds a mirror from the branch alone, from the newest snapshot on or, if it is given, from the leaf `from` on.
    pub(super) async fn begin_mirror(&mut self, files: &Listing, head: Head, from: Option<u64>) -> Result<(), Fault> {
        let start = match from {
            Some(from) => from,
            None => self.snapshots(files).await?.range(..head.size).next_back().copied().unwrap_or(0),
        };
        let base = self.base(files, head.size, start).await?;
        let mirror = SqliteLog::create_mirror(&self.new_mirror()?, self.keys().public(), &base)?;
        self.import(&mirror, files, head.size).await?;
        let tip = mirror.tip()?.frontier;
        if tip.root() != head.root {
            return Err(tampered("the entries on the branch do not have the root of its checkpoint").into());
        }
        self.take_mirror(mirror)
    }

    /// Where snapshots are, by the list on the branch.
    pub(super) async fn snapshots(&self, files: &Listing) -> Result<BTreeSet<u64>, Fault> {
        let Some(oid) = files.get(SNAPSHOTS) else { return Ok(BTreeSet::new()) };
        self.repository.ensure(&[oid.clone()].into()).await?;
        Ok(layout::numbers(&self.repository.blobs()?.get(oid).await?))
    }

    /// The newest place not after the leaf `start` at which the files of a tile begin. Fetches, in one go, what reading from
    /// there on takes, and what the next append takes.
    async fn base(&self, files: &Listing, size: u64, start: u64) -> Result<Base, Fault> {
        let mut wanted = blobs_of_tiles(files, size, start / TILE, u64::MAX);
        wanted.extend(blobs_of_names(files, size, &for_frontier(size)));
        wanted.extend([SNAPSHOTS, ERASED].iter().filter_map(|path| files.get(*path).cloned()));
        let mut tile = start / TILE;
        loop {
            while tile > 0 && files_of_tile(files, tile).is_empty() {
                tile -= 1;
            }
            wanted.extend(blobs_of_tiles(files, size, tile, tile + 1));
            wanted.extend(blobs_of_names(files, size, &around(tile)));
            self.repository.ensure(&wanted).await?;
            let base = self.base_of(files, size, tile).await?;
            if base.frontier.size() <= start || tile == 0 {
                return Ok(base);
            }
            // The commit of the snapshot began in a tile before.
            tile -= 1;
        }
    }

    /// The state before the first commit that begins in a tile, whose files are here.
    async fn base_of(&self, files: &Listing, size: u64, tile: u64) -> Result<Base, Fault> {
        let mut reader = Reader::new(files, size, self.repository.blobs()?);
        let beside = reader.beside(tile).await?;
        let after = beside.ok_or_else(|| tampered("the first commits are missing on the branch"))?.after;
        let frontier = match after.size {
            0 => Some(Frontier::default()),
            size => reader.tiles(&for_frontier(size)).await?.frontier(size),
        };
        let frontier = frontier.ok_or_else(|| tampered("the hash tiles on the branch are not whole"))?;
        let base = Base { frontier, note: after.note, annex: after.annex };
        base.verify(self.keys())?;
        Ok(base)
    }

    /// Lets the mirror begin at the leaf `target` or before.
    pub(super) async fn descend(&mut self, target: u64) -> Result<(), Fault> {
        let begin = |mirror: &SqliteLog| Ok::<_, Fault>(mirror.base()?.frontier.size());
        if begin(self.mirror()?)? <= target {
            return Ok(());
        }
        let (_, files) = self.known_files().await?;
        let (head, _) = self.checkpoint(&files).await?;
        let size = head.size;
        let end = begin(self.mirror()?)?;
        self.repository.ensure(&blobs_of_tiles(&files, size, target / TILE, end / TILE)).await?;
        loop {
            let end = begin(self.mirror()?)?;
            if end <= target {
                return Ok(());
            }
            let start = target.max((end / TILE).saturating_sub(CHUNK) * TILE).min(end - 1);
            let base = self.base_before(&files, size, start, end).await?;
            let records = self.between(&files, size, base.frontier.size(), end).await?;
            self.mirror()?.import_below(&base, &records)?;
        }
    }

    /// Like [`Self::base`], certainly before `end`, and without what comes after it.
    async fn base_before(&self, files: &Listing, size: u64, start: u64, end: u64) -> Result<Base, Fault> {
        let mut tile = start / TILE;
        loop {
            if !files_of_tile(files, tile).is_empty() {
                let mut wanted = blobs_of_tiles(files, size, tile, end / TILE + 1);
                wanted.extend(blobs_of_names(files, size, &around(tile)));
                self.repository.ensure(&wanted).await?;
                let base = self.base_of(files, size, tile).await?;
                if base.frontier.size() < end {
                    return Ok(base);
                }
            }
            tile = tile.checked_sub(1).ok_or_else(|| tampered("the first commits are missing on the branch"))?;
        }
    }

    /// The commits from one place to another.
    async fn between(&self, files: &Listing, size: u64, from: u64, to: u64) -> Result<Vec<Record>, Fault> {
        let mut reader = Reader::new(files, size, self.repository.blobs()?);
        let (mut after, mut records) = (from, Vec::new());
        for tile in from / TILE..to.div_ceil(TILE) {
            records.extend(reader.records(tile, &mut after, to).await?);
        }
        Ok(records)
    }

    /// Drops objects from the mirror that were erased by others.
    async fn forget_erased(&self, files: &Listing) -> Result<(), Fault> {
        let Some(oid) = files.get(ERASED) else { return Ok(()) };
        self.repository.ensure(&[oid.clone()].into()).await?;
        let erased = layout::digests(&self.repository.blobs()?.get(oid).await?);
        let here = self.mirror()?.stored(&erased)?;
        Ok(self.mirror()?.forget_objects(&here)?)
    }
}

/// The hash tiles from which the frontier follows at any place within a tile.
fn around(tile: u64) -> BTreeSet<Name> {
    let mut names = for_frontier(tile * TILE);
    names.insert((0, tile));
    names
}
