//! The log: the one durable thing.

use std::fmt;

use async_trait::async_trait;
use sealift_domain::digest::Digest;

/// The state of the Merkle tree (RFC 6962, section 2.1): how many leaves, and the root over them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// Root hash; for an empty tree the SHA-256 of nothing.
    pub root: [u8; 32],
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leaves, root {}", self.size, Digest::from_bytes(self.root).short())
    }
}

/// A leaf to append, with what lies beside it.
#[derive(Clone, Debug)]
pub struct NewLeaf {
    /// The exact bytes that are hashed into the tree; at most [`MAX_LEAF`].
    pub bytes: Vec<u8>,
    /// Body, openings and evidence that the leaf names by digest. Stored once, whoever names them.
    pub objects: Vec<Vec<u8>>,
    /// Whether a fold may begin at this leaf.
    pub snapshot: bool,
}

/// The largest leaf, in bytes. Tiles of the C2SP `tlog-tiles` format carry entries with a 16-bit length.
pub const MAX_LEAF: usize = 65_535;

/// What a whole-log audit found when every hash was computed again from the stored bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// The head that was recomputed.
    pub size: u64,
    /// The recomputed root.
    pub root: [u8; 32],
    /// How many signed checkpoints were verified.
    pub checkpoints: u64,
    /// Objects that leaves name and that were erased (allowed) with their leaf index.
    pub erased: Vec<(u64, Digest)>,
}

/// Why the log could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Somebody else appended first. Read again and decide again.
    #[error("the log has moved on: expected {expected:?}, found {found:?}")]
    Conflict {
        /// The head that the writer had seen.
        expected: Head,
        /// The head that is there.
        found: Head,
    },
    /// What is stored is not what was written.
    #[error("the log is damaged or was edited: {what}{}", at.map(|i| format!(" (entry {i})")).unwrap_or_default())]
    Tampered {
        /// What is wrong.
        what: String,
        /// The first leaf concerned, if one can be named.
        at: Option<u64>,
    },
    /// A leaf is larger than [`MAX_LEAF`].
    #[error("an entry of {0} bytes is too large: a leaf holds at most {MAX_LEAF}")]
    TooLarge(usize),
    /// The store cannot be opened, read or written.
    #[error("the log at {place} cannot be used: {why}")]
    Unavailable {
        /// Path or address of the store.
        place: String,
        /// What the store said.
        why: String,
    },
    /// The place where the log lies answered that it does not take this. Nothing was written.
    #[error("{place} refused to take it: {why}")]
    Refused {
        /// Address of the store.
        place: String,
        /// What it said, and what helps.
        why: String,
    },
    /// It was handed over, and nobody can say whether it arrived. Nothing is lost or doubled: whoever reads the log next sees.
    #[error("it is not certain whether {place} has taken it: {why}")]
    Uncertain {
        /// Address of the store.
        place: String,
        /// What happened.
        why: String,
    },
    /// The place answers, or does not, so that the log there cannot be read.
    #[error("{place} cannot be read: {why}")]
    Unreachable {
        /// Address of the store.
        place: String,
        /// What it said, and what helps.
        why: String,
    },
    /// What lies there does not continue what was seen there before: it was rewritten, cut short, forked, or put back.
    #[error("the log at {place} was rewritten: seen were {seen}, and {found}")]
    Rewritten {
        /// Address of the store.
        place: String,
        /// What was seen and verified before.
        seen: String,
        /// What is there now.
        found: String,
    },
}

/// An append-only Merkle log with one write.
#[async_trait]
pub trait Log: Send + Sync {
    /// The current head, after checking that the newest signed checkpoint is ours and agrees with it.
    async fn head(&self) -> Result<Head, LogError>;

    /// Whether this program has the key to append with. Whoever has not reads, and hands in what they sign elsewhere.
    fn can_write(&self) -> bool {
        true
    }

    /// The head as it was seen last, without asking anybody. It may be old, and what is decided on it holds only if
    /// [`Log::append`] takes it. Stores for which [`Log::head`] costs nothing return that.
    async fn known_head(&self) -> Result<Head, LogError> {
        self.head().await
    }

    /// Appends `batch` as one commit with one signed checkpoint, if the head still is `expected`.
    async fn append(&self, expected: Head, batch: Vec<NewLeaf>) -> Result<Head, LogError>;

    /// The bytes of the leaves `from..to`, in order.
    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError>;

    /// Objects by digest, in the order asked for; `None` where erased or never stored. What is returned hashes to its digest.
    async fn objects(&self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LogError>;

    /// The newest leaf below `size` at which a fold may begin.
    async fn last_snapshot(&self, size: u64) -> Result<Option<u64>, LogError>;

    /// The newest checkpoint, a C2SP signed note.
    async fn checkpoint(&self) -> Result<String, LogError>;

    /// Computes the tree again from the stored bytes, checks every checkpoint, object and, if given, a checkpoint that was
    /// kept elsewhere.
    async fn audit(&self, kept: Option<&str>) -> Result<AuditReport, LogError>;
}
