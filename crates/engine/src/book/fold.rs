//! Reading the log from the newest place that is believed, one entry after the other.

use std::collections::BTreeMap;

use sealift_domain::{
    digest::Digest,
    entry::{Leaf, Place},
    event::Event,
    ledger::Ledger,
    writer::WriterKey,
};

use super::{Trust, persons, trust};
use crate::{
    error::EngineError,
    ports::log::{Log, LogError},
};

/// How many leaves are read at once.
const PAGE: u64 = 2048;

/// A ledger while it grows, and what the next entry is verified with.
pub(crate) struct Folding<'a> {
    pub(super) log: &'a dyn Log,
    pub(super) trust: &'a Trust,
    pub(crate) ledger: Ledger,
    /// The digest of the leaf that was folded last.
    pub(super) last: Option<Digest>,
    /// The newest snapshot that a fold of this reader would begin at; 0 if there is none.
    pub(super) snapshot: u64,
}

impl<'a> Folding<'a> {
    /// From the first entry on.
    pub(crate) fn new(log: &'a dyn Log, trust: &'a Trust) -> Self {
        Self { log, trust, ledger: Ledger::default(), last: None, snapshot: 0 }
    }

    /// Begins at the newest snapshot below `size` that is believed; at the first entry if none is.
    pub(super) async fn begin(&mut self, size: u64) -> Result<(), EngineError> {
        let anchors = self.trust.anchors();
        let mut below = size;
        while let Some(at) = self.log.last_snapshot(below).await? {
            let from = at.saturating_sub(1);
            let leaves = self.log.leaves(from, at + 1).await?;
            let (before, leaf) = match leaves.as_slice() {
                [leaf] => (None, leaf),
                [before, leaf] => (Some(before), leaf),
                _ => return Err(missing(1, at)),
            };
            let place = Place { index: at, previous: before.map(|bytes| Digest::of(bytes)) };
            if self.believes(anchors.as_deref(), place, leaf) {
                return self.begin_at(at, leaf).await;
            }
            below = at;
        }
        Ok(())
    }

    /// Whether a fold may begin at a leaf. What cannot be read is found by whoever folds it.
    fn believes(&self, anchors: Option<&[WriterKey]>, place: Place, bytes: &[u8]) -> bool {
        let Some(anchors) = anchors else { return true };
        Leaf::parse(bytes).is_ok_and(|leaf| self.trust.begins_at(anchors, place, &leaf))
    }

    async fn begin_at(&mut self, index: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let (_, event) = read_entries(self.log, index, &[bytes]).await?.remove(0);
        let Event::Snapshot(ledger) = event else {
            let what = format!("a fold was to begin at a `{}`", event.kind());
            return Err(LogError::Tampered { what, at: Some(index) }.into());
        };
        self.ledger = Ledger::from_snapshot(*ledger, index).map_err(|source| EngineError::Illegal { index, source })?;
        self.last = trust::after(index, bytes).previous;
        self.snapshot = index;
        Ok(())
    }

    /// Folds on until there are `size` entries.
    pub(crate) async fn up_to(&mut self, size: u64) -> Result<(), EngineError> {
        let anchors = self.trust.anchors();
        while self.ledger.size < size {
            let at = self.ledger.size;
            let end = (at + PAGE).min(size);
            let leaves = self.log.leaves(at, end).await?;
            let slices: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
            for ((leaf, event), bytes) in read_entries(self.log, at, &slices).await?.into_iter().zip(&slices) {
                self.entry(anchors.as_deref(), leaf, event, bytes).await?;
            }
            if self.ledger.size < end {
                return Err(missing(end - self.ledger.size, self.ledger.size));
            }
        }
        Ok(())
    }

    async fn entry(
        &mut self,
        anchors: Option<&[WriterKey]>,
        leaf: Leaf,
        event: Event,
        bytes: &[u8],
    ) -> Result<(), EngineError> {
        let place = Place { index: self.ledger.size, previous: self.last };
        let wrote = self.trust.wrote(self.ledger.policy.as_ref(), place, &leaf)?;
        persons::verify(self.log, self.trust.signatures.as_deref(), &self.ledger, (place.index, leaf.time), &event)
            .await?;
        if matches!(event, Event::Snapshot(_)) && self.believes(anchors, place, bytes) {
            self.snapshot = place.index;
        }
        let by = wrote.map(|wrote| wrote.environment);
        let applied = self.ledger.apply_by(place.index, leaf.time, leaf.body, event, by.as_ref());
        applied.map_err(|source| EngineError::Illegal { index: place.index, source })?;
        self.last = trust::after(place.index, bytes).previous;
        Ok(())
    }
}

fn missing(count: u64, at: u64) -> EngineError {
    LogError::Tampered { what: format!("{count} entries are missing"), at: Some(at) }.into()
}

/// Reads entries with their bodies and, where they were not erased, the openings of personal texts.
async fn read_entries(log: &dyn Log, first: u64, leaves: &[&[u8]]) -> Result<Vec<(Leaf, Event)>, EngineError> {
    let at = |i: usize| first + i as u64;
    let mut parsed = Vec::with_capacity(leaves.len());
    for (i, bytes) in leaves.iter().enumerate() {
        parsed.push(Leaf::parse(bytes).map_err(|source| EngineError::Entry { index: at(i), source })?);
    }
    let wanted: Vec<Digest> =
        parsed.iter().flat_map(|leaf| leaf.commitments.iter().copied().chain([leaf.body])).collect();
    let objects = log.objects(&wanted).await?;
    let objects: BTreeMap<Digest, Vec<u8>> =
        wanted.into_iter().zip(objects).filter_map(|(d, o)| Some((d, o?))).collect();
    let mut entries = Vec::with_capacity(parsed.len());
    for (i, leaf) in parsed.into_iter().enumerate() {
        let body = objects.get(&leaf.body).map(Vec::as_slice);
        let mut event = leaf.event(body).map_err(|source| EngineError::Entry { index: at(i), source })?;
        event.each_personal(&mut |personal| {
            if let Some(opening) = objects.get(&personal.commitment()) {
                personal.open(opening);
            }
        });
        entries.push((leaf, event));
    }
    Ok(entries)
}
