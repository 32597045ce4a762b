//! Reading the log as a ledger, and writing to it: commit, then act.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use sealift_domain::{
    digest::Digest,
    entry::{Entry, Leaf},
    event::Event,
    ledger::Ledger,
    personal::Personal,
};
use tokio::sync::Mutex;

use crate::{
    error::EngineError,
    ports::{
        clock::{Clock, Entropy},
        log::{Head, Log, LogError, NewLeaf},
    },
};

/// How often a decision is made again because somebody else wrote first.
const MAX_CONFLICTS: u32 = 32;

/// A fold may begin anew after this many entries, so that reading a long log stays quick.
const SNAPSHOT_EVERY: u64 = 1024;

/// How many leaves are read at once.
const PAGE: u64 = 2048;

/// The log as this program uses it: a ledger to decide on, and one way to write.
pub struct Book {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    actor: String,
    read: Mutex<Read>,
}

/// What was read so far.
#[derive(Clone)]
struct Read {
    head: Head,
    ledger: Arc<Ledger>,
    snapshot: u64,
}

/// An event to be written, with the objects that it refers to.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What happened.
    pub event: Event,
    /// Evidence that the event names by digest.
    pub evidence: Vec<Vec<u8>>,
}

/// What a decision leads to: events to commit, and a value for who decided.
#[derive(Clone, Debug)]
pub struct Decision<T> {
    /// In order; none is fine.
    pub drafts: Vec<Draft>,
    /// For the caller, if the commit succeeds.
    pub value: T,
}

/// What a decision is made on.
pub struct Ground<'a> {
    /// What is so now.
    pub ledger: &'a Ledger,
    /// The index that the first event will have.
    pub next: u64,
    /// Now.
    pub now: Timestamp,
}

impl From<Event> for Draft {
    fn from(event: Event) -> Self {
        Self { event, evidence: Vec::new() }
    }
}

impl<T> Decision<T> {
    /// Nothing to write.
    pub fn nothing(value: T) -> Self {
        Self { drafts: Vec::new(), value }
    }
}

impl Book {
    /// Opens the log and reads it. `actor` is the account that entries will name, in an erasable opening.
    pub async fn open(
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        actor: String,
    ) -> Result<Self, EngineError> {
        let empty = Read {
            head: Head { size: 0, root: *Digest::of(b"").as_bytes() },
            ledger: Arc::new(Ledger::default()),
            snapshot: 0,
        };
        let book = Self { log, clock, entropy, actor, read: Mutex::new(empty) };
        book.ledger().await?;
        Ok(book)
    }

    /// What is so now.
    pub async fn ledger(&self) -> Result<Arc<Ledger>, EngineError> {
        let mut read = self.read.lock().await;
        self.catch_up(&mut read).await?;
        Ok(read.ledger.clone())
    }

    /// The log itself, for audits and exports.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The bytes of an object that an entry refers to.
    pub async fn object(&self, digest: Digest) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.log.objects(&[digest]).await?.into_iter().next().flatten())
    }

    /// Decides and commits. If somebody else wrote first, `decide` is asked again on what is so then; if what it wants to
    /// write cannot follow, nothing is written.
    ///
    /// The first decision is made on what is known without asking where the log lies: the log takes it only if that is still
    /// so. An error, and a decision to write nothing, stand only once the log was asked.
    pub async fn commit<T>(
        &self,
        mut decide: impl FnMut(&Ground<'_>) -> Result<Decision<T>, EngineError>,
    ) -> Result<T, EngineError> {
        let mut read = self.read.lock().await;
        self.catch_up_with_known(&mut read).await?;
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let decided = decide(&Ground { ledger: &read.ledger, next: read.head.size, now });
            let prepared = decided.and_then(|decision| {
                let batch = self.prepare(&read, decision.drafts, now)?;
                Ok((batch, decision.value))
            });
            match prepared {
                Ok(((batch, after), value)) if !batch.is_empty() => match self.log.append(read.head, batch).await {
                    Ok(head) => {
                        *read = Read { head, ..after };
                        return Ok(value);
                    }
                    Err(LogError::Conflict { .. }) => self.catch_up(&mut read).await?,
                    Err(other) => return Err(other.into()),
                },
                // Nobody would notice that this rests on what is no longer so.
                outcome => {
                    let before = read.head;
                    self.catch_up(&mut read).await?;
                    if read.head == before {
                        return outcome.map(|(_, value)| value);
                    }
                }
            }
        }
        Err(EngineError::Contended(MAX_CONFLICTS))
    }

    /// Seals the drafts and folds them, so that nothing is ever written that could not be read again.
    fn prepare(&self, read: &Read, drafts: Vec<Draft>, now: Timestamp) -> Result<(Vec<NewLeaf>, Read), EngineError> {
        let mut ledger = Ledger::clone(&read.ledger);
        let mut snapshot = read.snapshot;
        let mut batch = Vec::new();
        for draft in drafts {
            batch.push(self.leaf(&mut ledger, draft, now)?);
        }
        if ledger.size >= snapshot + SNAPSHOT_EVERY {
            snapshot = ledger.size;
            let event = Event::Snapshot(Box::new(ledger.clone()));
            let leaf = self.leaf(&mut ledger, event.into(), now)?;
            batch.push(NewLeaf { snapshot: true, ..leaf });
        }
        let after = Read { head: read.head, ledger: Arc::new(ledger), snapshot };
        Ok((batch, after))
    }

    fn leaf(&self, ledger: &mut Ledger, draft: Draft, now: Timestamp) -> Result<NewLeaf, EngineError> {
        let index = ledger.size;
        let actor = Personal::new(self.actor.clone(), self.entropy.salt());
        let entry = Entry { time: now, actor, event: draft.event.clone() };
        let sealed = entry.seal().map_err(|source| EngineError::Entry { index, source })?;
        ledger.apply(index, now, sealed.body, draft.event).map_err(EngineError::Refused)?;
        let objects = sealed.objects.into_iter().chain(draft.evidence).collect();
        Ok(NewLeaf { bytes: sealed.leaf, objects, snapshot: false })
    }

    /// Reads on as far as is known without asking.
    async fn catch_up_with_known(&self, read: &mut Read) -> Result<(), EngineError> {
        let head = self.log.known_head().await?;
        if head.size > read.head.size { self.read_on(read, head).await } else { Ok(()) }
    }

    async fn catch_up(&self, read: &mut Read) -> Result<(), EngineError> {
        let head = self.log.head().await?;
        if head == read.head {
            return Ok(());
        }
        if head.size <= read.head.size {
            let what = format!("it had {} entries a moment ago and has {} now", read.head.size, head.size);
            return Err(LogError::Tampered { what, at: None }.into());
        }
        self.read_on(read, head).await
    }

    /// Folds what was appended up to `head`, which is ahead of what was read.
    async fn read_on(&self, read: &mut Read, head: Head) -> Result<(), EngineError> {
        let mut from = read.head.size;
        let mut ledger = Ledger::clone(&read.ledger);
        if from == 0
            && let Some(at) = self.log.last_snapshot(head.size).await?
        {
            ledger = self.begin_at(at).await?;
            read.snapshot = at;
            from = at + 1;
        }
        fold(self.log.as_ref(), &mut ledger, from, head.size).await?;
        *read = Read { head, ledger: Arc::new(ledger), snapshot: read.snapshot };
        Ok(())
    }

    async fn begin_at(&self, index: u64) -> Result<Ledger, EngineError> {
        let leaves = self.log.leaves(index, index + 1).await?;
        let bytes = leaves.first().map(Vec::as_slice).unwrap_or_default();
        let (_, event) = read_entries(self.log.as_ref(), index, &[bytes]).await?.remove(0);
        match event {
            Event::Snapshot(ledger) => {
                Ledger::from_snapshot(*ledger, index).map_err(|source| EngineError::Illegal { index, source })
            }
            other => {
                let what = format!("a fold was to begin at a `{}`", other.kind());
                Err(LogError::Tampered { what, at: Some(index) }.into())
            }
        }
    }
}

/// Folds the entries `from..to` of `log` into `ledger`.
pub(crate) async fn fold(log: &dyn Log, ledger: &mut Ledger, from: u64, to: u64) -> Result<(), EngineError> {
    let mut at = from;
    while at < to {
        let end = (at + PAGE).min(to);
        let leaves = log.leaves(at, end).await?;
        let slices: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
        for (leaf, event) in read_entries(log, at, &slices).await? {
            ledger
                .apply(at, leaf.time, leaf.body, event)
                .map_err(|source| EngineError::Illegal { index: at, source })?;
            at += 1;
        }
        if at < end {
            let what = format!("{} entries are missing", end - at);
            return Err(LogError::Tampered { what, at: Some(at) }.into());
        }
    }
    Ok(())
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
