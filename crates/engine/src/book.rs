//! Reading the log as a ledger, and writing to it: commit, then act.

mod fold;
mod persons;
mod trust;

use std::sync::Arc;

use jiff::Timestamp;
use sealift_domain::{
    digest::Digest,
    entry::{Entry, Place},
    event::Event,
    ledger::Ledger,
    personal::Personal,
    quantity::Period,
};
use tokio::sync::Mutex;

pub(crate) use fold::Folding;
pub use trust::Trust;

use crate::{
    error::EngineError,
    ports::{
        clock::{Clock, Entropy},
        log::{Head, Log, LogError, NewLeaf},
    },
};

/// How often a decision is made again because somebody else wrote first.
const MAX_CONFLICTS: u32 = 32;

/// How old what is read may be where the log lies across a network. An answer is about as old by the time it is here, and whatever
/// is decided on it counts only if the log takes it.
const FRESH: Period = Period::from_secs(1);

/// A fold may begin anew after this many entries, so that reading a long log stays quick.
const SNAPSHOT_EVERY: u64 = 1024;

/// The log as this program uses it: a ledger to decide on, and one way to write.
pub struct Book {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    actor: String,
    trust: Trust,
    read: Mutex<Read>,
}

/// What was read so far.
#[derive(Clone)]
struct Read {
    head: Head,
    ledger: Arc<Ledger>,
    /// The digest of the newest leaf, which the next one is signed on top of.
    last: Option<Digest>,
    snapshot: u64,
    /// When the log was asked last.
    asked: Option<Timestamp>,
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
    /// Opens a log of a policy without writers, and reads it. `actor` is the account that entries will name, in an erasable
    /// opening.
    pub async fn open(
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        actor: String,
    ) -> Result<Self, EngineError> {
        Self::open_with(log, clock, entropy, actor, Trust::default()).await
    }

    /// Opens any log and reads it, believing what `trust` says.
    pub async fn open_with(
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        actor: String,
        trust: Trust,
    ) -> Result<Self, EngineError> {
        let empty = Read {
            head: Head { size: 0, root: *Digest::of(b"").as_bytes() },
            ledger: Arc::new(Ledger::default()),
            last: None,
            snapshot: 0,
            asked: None,
        };
        let book = Self { log, clock, entropy, actor, trust, read: Mutex::new(empty) };
        {
            let mut read = book.read.lock().await;
            // Whoever opened it has just asked.
            book.catch_up_with_known(&mut read).await?;
            read.asked = Some(book.clock.now());
        }
        Ok(book)
    }

    /// What is so now, or was a second ago where the log lies across a network.
    pub async fn ledger(&self) -> Result<Arc<Ledger>, EngineError> {
        let mut read = self.read.lock().await;
        let now = self.clock.now();
        let fresh = read.asked.is_some_and(|asked| asked <= now && now < FRESH.after(asked));
        if fresh {
            self.catch_up_with_known(&mut read).await?;
        } else {
            self.catch_up(&mut read).await?;
        }
        Ok(read.ledger.clone())
    }

    /// The log itself, for audits and exports.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Now, by the clock that decisions are dated with.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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
        let mut after = read.clone();
        let mut ledger = Ledger::clone(&read.ledger);
        let mut batch = Vec::new();
        for draft in drafts {
            batch.push(self.leaf(&mut ledger, &mut after.last, draft, now)?);
        }
        if ledger.size >= after.snapshot + SNAPSHOT_EVERY && self.would_be_believed(&ledger) {
            after.snapshot = ledger.size;
            let event = Event::Snapshot(Box::new(ledger.clone()));
            let leaf = self.leaf(&mut ledger, &mut after.last, event.into(), now)?;
            batch.push(NewLeaf { snapshot: true, ..leaf });
        }
        after.ledger = Arc::new(ledger);
        Ok((batch, after))
    }

    /// Whether a fold of this book would begin at a snapshot that it writes now.
    fn would_be_believed(&self, ledger: &Ledger) -> bool {
        let Some(anchors) = self.trust.anchors() else { return true };
        self.trust.own(ledger.policy.as_ref()).is_some_and(|own| anchors.contains(&own.key))
    }

    fn leaf(
        &self,
        ledger: &mut Ledger,
        last: &mut Option<Digest>,
        draft: Draft,
        now: Timestamp,
    ) -> Result<NewLeaf, EngineError> {
        let place = Place { index: ledger.size, previous: *last };
        let actor = Personal::new(self.actor.clone(), self.entropy.salt());
        let entry = Entry { time: now, actor, event: draft.event.clone() };
        let own = self.trust.own(ledger.policy.as_ref());
        let sealed = self.trust.seal(own.as_ref(), place, entry);
        let sealed = sealed.map_err(|source| EngineError::Entry { index: place.index, source })?;
        let by = own.map(|own| own.environment);
        ledger.apply_by(place.index, now, sealed.body, draft.event, by.as_ref()).map_err(EngineError::Refused)?;
        *last = Some(Digest::of(&sealed.leaf));
        let objects = sealed.objects.into_iter().chain(draft.evidence).collect();
        Ok(NewLeaf { bytes: sealed.leaf, objects, snapshot: false })
    }

    /// A fold of the log that begins at its first entry, and believes what this book believes.
    pub(crate) fn folding(&self) -> Folding<'_> {
        Folding::new(self.log.as_ref(), &self.trust)
    }

    /// Reads on as far as is known without asking.
    async fn catch_up_with_known(&self, read: &mut Read) -> Result<(), EngineError> {
        let head = self.log.known_head().await?;
        match head {
            same if same == read.head => Ok(()),
            longer if longer.size > read.head.size => self.read_on(read, longer).await,
            // Nothing becomes shorter by itself; what has become of it is found out by asking.
            _ => self.catch_up(read).await,
        }
    }

    async fn catch_up(&self, read: &mut Read) -> Result<(), EngineError> {
        let head = self.log.head().await?;
        read.asked = Some(self.clock.now());
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
        let mut folding = self.folding();
        if read.head.size == 0 {
            folding.begin(head.size).await?;
        } else {
            (folding.last, folding.snapshot) = (read.last, read.snapshot);
            folding.ledger = Ledger::clone(&read.ledger);
        }
        folding.up_to(head.size).await?;
        let Folding { ledger, last, snapshot, .. } = folding;
        *read = Read { head, ledger: Arc::new(ledger), last, snapshot, asked: read.asked };
        Ok(())
    }
}
