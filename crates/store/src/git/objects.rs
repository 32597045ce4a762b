//! Objects: in the mirror, else on the branch, else elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::LogError;

use super::{
    layout::{self, TILE, tampered},
    repository::{Fault, Listing},
    session::Session,
};

/// About how many bytes of objects are held at once.
const BATCH: usize = 64 << 20;
/// How many tiles are read first where it is not known how old an object is; then twice as many, and so on.
const FIRST_STEP: u64 = 16;

impl Session<'_> {
    /// Objects in the order asked for.
    pub(super) async fn objects(&mut self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        self.some_mirror().await?;
        let wanted: BTreeSet<Digest> = digests.iter().copied().collect();
        let mut step = FIRST_STEP;
        loop {
            let here: BTreeSet<Digest> = self.mirror()?.stored(&wanted)?.into_iter().collect();
            let missing: BTreeSet<Digest> = wanted.difference(&here).copied().collect();
            if missing.is_empty() {
                break;
            }
            let (_, files) = self.known_files().await?;
            self.bring(&files, &missing).await?;
            // What an entry names that is here is in the file of its commit or a file of its own, or it was erased.
            let named = self.mirror()?.absent()?;
            let stored: BTreeSet<Digest> = self.mirror()?.stored(&missing)?.into_iter().collect();
            let begin = self.mirror()?.base()?.frontier.size();
            if begin == 0 || missing.iter().all(|digest| named.contains(digest) || stored.contains(digest)) {
                break;
            }
            self.descend((begin / TILE).saturating_sub(step) * TILE).await?;
            step *= 2;
        }
        Ok(self.mirror()?.objects_now(digests)?)
    }

    /// Brings those of these objects into the mirror that are files of their own, or lie elsewhere.
    pub(super) async fn bring(&self, files: &Listing, digests: &BTreeSet<Digest>) -> Result<(), Fault> {
        let mut own: BTreeMap<Digest, _> = BTreeMap::new();
        let mut batch = Vec::new();
        for digest in digests {
            if let Some(oid) = files.get(&layout::object_path(*digest)) {
                own.insert(*digest, oid.clone());
            } else if files.contains_key(&layout::elsewhere_path(*digest)) {
                batch.extend(self.get_large(*digest).await?.map(|bytes| (*digest, bytes)));
            }
        }
        self.repository.ensure(&own.values().cloned().collect()).await?;
        let mut blobs = self.repository.blobs()?;
        for (digest, oid) in own {
            batch.push((digest, blobs.get(&oid).await?));
            if batch.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > BATCH {
                self.mirror()?.add_objects(&batch)?;
                batch.clear();
            }
        }
        if batch.is_empty() { Ok(()) } else { Ok(self.mirror()?.add_objects(&batch)?) }
    }

    async fn get_large(&self, digest: Digest) -> Result<Option<Vec<u8>>, Fault> {
        let Some(large) = &self.log.options.large else {
            let why =
                format!("the object {digest} does not lie on the branch: configure `store: {{large_objects: …}}`");
            return Err(LogError::Unavailable { place: self.log.remote.to_string(), why }.into());
        };
        match large.get(digest).await? {
            Some(bytes) if Digest::of(&bytes) != digest => {
                Err(tampered(&format!("the object {digest} has other content where large objects lie")).into())
            }
            found => Ok(found),
        }
    }

    /// The digests of all objects that are not erased, in order.
    pub(super) async fn present(&mut self) -> Result<BTreeSet<Digest>, Fault> {
        let tip = self.sync().await?;
        self.descend(0).await?;
        let files = self.repository.files(&tip).await?;
        let mut present: BTreeSet<Digest> = self.mirror()?.object_digests()?.into_iter().collect();
        let lies = |digest: &Digest| {
            files.contains_key(&layout::object_path(*digest)) || files.contains_key(&layout::elsewhere_path(*digest))
        };
        present.extend(self.mirror()?.absent()?.into_iter().filter(lies));
        Ok(present)
    }
}
