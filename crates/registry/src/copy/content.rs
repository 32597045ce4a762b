//! What is under a manifest, brought to the destination: blobs first, each child as soon as its own blobs are there. Everything
//! begins at once; how much of it is really under way is up to the host's places and the budget for bytes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join, try_join_all},
};
use sealift_domain::{digest::Digest, reference::Repository};
use sealift_engine::ports::{
    copy::{CopyEvent, CopyObserver, CopyRequest, CopyTally},
    registry::{RawManifest, RegistryError, RegistryErrorKind},
};
use tokio::sync::OnceCell;

use super::known::Known;
use crate::{
    blob::BlobRef,
    error::error,
    graph::{Extent, Node, check_child},
    manifest::{Content, Descriptor},
    transport::Http,
    upload::{Approach, Moved},
};

/// Work that is done once, however many ask for it.
type Once = Arc<OnceCell<()>>;

/// One copy under way.
pub(super) struct Copying<'a> {
    pub(super) http: &'a Http,
    pub(super) from: Repository,
    pub(super) to: Repository,
    /// Whether what refers to the image comes along.
    pub(super) referrers: bool,
    pub(super) known: Known,
    observer: &'a dyn CopyObserver,
    root: Digest,
    careful: bool,
    /// Whether the destination had a blob that was not known of: then it may have more of them.
    shares: AtomicBool,
    /// Whether a manifest was refused because something that it names is not there.
    lacks: AtomicBool,
    extent: Mutex<Extent>,
    tally: Mutex<CopyTally>,
    blobs: Mutex<HashMap<Digest, (u64, Once)>>,
    manifests: Mutex<HashMap<Digest, Once>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Copying<'a> {
    pub(super) fn new(
        http: &'a Http,
        request: &CopyRequest,
        root: &Node,
        known: Known,
        observer: &'a dyn CopyObserver,
    ) -> Self {
        Self {
            http,
            from: request.from.repository.clone(),
            to: request.to.clone(),
            referrers: request.referrers,
            known,
            observer,
            root: root.raw.digest,
            careful: false,
            shares: AtomicBool::new(false),
            lacks: AtomicBool::new(false),
            extent: Mutex::new(Extent::of(root.raw.digest)),
            tally: Mutex::default(),
            blobs: Mutex::default(),
            manifests: Mutex::default(),
        }
    }

    /// The same, with a question for each blob.
    pub(super) fn carefully(mut self) -> Self {
        self.careful = true;
        self
    }

    /// Whether the destination lacks something that it was thought to have.
    pub(super) fn was_wrong(&self) -> bool {
        self.lacks.load(Ordering::Relaxed)
    }

    /// What was done so far.
    pub(super) fn tally(&self) -> CopyTally {
        *lock(&self.tally)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut CopyTally)) {
        count(&mut lock(&self.tally));
    }

    /// Counts a manifest of the source against the limits of a graph, and understands it.
    pub(super) fn admit(&self, raw: RawManifest, depth: usize) -> Result<Node, RegistryError> {
        lock(&self.extent).admit(&raw, depth)?;
        Node::new(raw)
    }

    /// Brings everything under a manifest, and not the manifest itself. `depth` is the number of indexes above it.
    pub(super) fn bring<'b>(&'b self, node: &'b Node, depth: usize) -> BoxFuture<'b, Result<(), RegistryError>> {
        async move {
            match &node.manifest.content {
                Content::Image { .. } => self.bring_blobs(node).await,
                Content::Index { manifests } => {
                    try_join_all(manifests.iter().map(|child| self.bring_child(child, depth + 1))).await.map(drop)
                }
            }
        }
        .boxed()
    }

    /// Brings a child of an index with everything that refers to it.
    async fn bring_child(&self, child: &Descriptor, depth: usize) -> Result<(), RegistryError> {
        let once = Arc::clone(lock(&self.manifests).entry(child.digest).or_default());
        let work = async {
            let there = self.known.has(child.digest);
            let content = async {
                if there {
                    return Ok(());
                }
                let raw = self.http.manifest_anywhere(&self.from, child.digest).await?;
                check_child(self.root, child, &raw)?;
                let node = self.admit(raw, depth)?;
                self.bring(&node, depth).await?;
                self.put(&node).await.map(drop)
            };
            let ((), attached) = try_join(content, self.find_attached(child.digest, 0)).await?;
            self.put_attached(attached).await
        };
        once.get_or_try_init(|| work).await.map(drop)
    }

    /// Brings the blobs of an image, the largest first: the longest transfer should not be the last to start.
    async fn bring_blobs(&self, node: &Node) -> Result<(), RegistryError> {
        let mut blobs: Vec<&Descriptor> = node.blobs().collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let work = self.enlist_all(&blobs)?.into_iter().zip(blobs);
        try_join_all(
            work.map(|(once, blob)| async move { once.get_or_try_init(|| self.bring_blob(blob)).await.map(drop) }),
        )
        .await
        .map(drop)
    }

    /// The blobs of an image that is there count as there.
    pub(super) fn skip_blobs(&self, node: &Node) -> Result<(), RegistryError> {
        let blobs: Vec<&Descriptor> = node.blobs().collect();
        self.enlist_all(&blobs)?;
        let distinct: BTreeMap<Digest, u64> = blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
        distinct.values().for_each(|size| self.settled(Moved::Skipped, *size));
        Ok(())
    }

    /// The one work for each blob; those that are named for the first time are told.
    fn enlist_all(&self, blobs: &[&Descriptor]) -> Result<Vec<Once>, RegistryError> {
        let (mut new, mut bytes) = (0, 0_u64);
        let mut all = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let (once, first) = self.enlist(blob)?;
            if first {
                new += 1;
                bytes = bytes.saturating_add(blob.size);
            }
            all.push(once);
        }
        self.observer.on(CopyEvent::Found { blobs: new, bytes });
        Ok(all)
    }

    /// The one work for a blob, and whether it is named for the first time.
    fn enlist(&self, blob: &Descriptor) -> Result<(Once, bool), RegistryError> {
        let mut blobs = lock(&self.blobs);
        let first = !blobs.contains_key(&blob.digest);
        let (size, once) = blobs.entry(blob.digest).or_insert_with(|| (blob.size, Once::default()));
        if *size == blob.size {
            return Ok((Arc::clone(once), first));
        }
        let why = format!(
            "the graph of {} cannot be used: blob {} is said to have {size} and {} bytes",
            self.root, blob.digest, blob.size
        );
        Err(error(RegistryErrorKind::Malformed, why))
    }

    async fn bring_blob(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        let moved = match self.known.has_blob(blob.digest) {
            true => Moved::Skipped,
            false => {
                let approach = match (self.careful, self.shares.load(Ordering::Relaxed)) {
                    (true, _) => Approach::Careful,
                    (false, true) => Approach::UploadFirst,
                    (false, false) => Approach::Together,
                };
                let source = BlobRef { repository: self.from.clone(), digest: blob.digest, size: blob.size };
                self.http.transfer(&source, &self.to, approach, self.observer).await?
            }
        };
        if moved == Moved::Skipped {
            self.shares.store(true, Ordering::Relaxed);
        }
        self.settled(moved, blob.size);
        Ok(())
    }

    fn settled(&self, moved: Moved, size: u64) {
        let mut tally = lock(&self.tally);
        let event = match moved {
            Moved::Streamed => {
                tally.blobs_copied += 1;
                tally.bytes += size;
                CopyEvent::BlobCopied(size)
            }
            Moved::Mounted => {
                tally.blobs_mounted += 1;
                CopyEvent::BlobMounted(size)
            }
            Moved::Skipped => {
                tally.blobs_skipped += 1;
                CopyEvent::BlobSkipped(size)
            }
        };
        drop(tally);
        self.observer.on(event);
    }

    /// Puts a manifest under its digest. Says whether the registry lists it as a referrer of its subject.
    pub(super) async fn put(&self, node: &Node) -> Result<bool, RegistryError> {
        self.put_as(&node.raw.digest.to_string(), node).await
    }

    /// Puts a manifest under a digest or a tag.
    pub(super) async fn put_as(&self, reference: &str, node: &Node) -> Result<bool, RegistryError> {
        let put = self.http.put_manifest(&self.to, reference, &node.raw).await;
        match &put {
            Ok(_) => self.count(|tally| tally.manifests += 1),
            Err(refused) if refused.kind == RegistryErrorKind::NotFound => self.lacks.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        put
    }
}
