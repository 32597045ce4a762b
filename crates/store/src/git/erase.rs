//! Erasing an object: the branch begins anew without it, so that the remote can drop its bytes. The log stays the same.

use std::collections::BTreeSet;

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::LogError;

use super::{
    delta,
    layout::{self, Beside, ERASED, TILE, tampered},
    publish::{Manner, Outcome},
    reader::{Reader, files_of_tile},
    repository::{Changes, Fault, Listing},
    session::Session,
};

/// How often it is tried again because the branch has moved.
const TRIES: u32 = 16;

impl Session<'_> {
    /// Erases an object; whether there was one.
    pub(super) async fn erase(&mut self, digest: Digest) -> Result<bool, Fault> {
        for _ in 0..TRIES {
            if !self.present().await?.contains(&digest) {
                return Ok(false);
            }
            let (seen, files) = self.known_files().await?;
            if files.contains_key(&layout::elsewhere_path(digest)) {
                self.remove_large(digest).await?;
            }
            let changes = self.without(&files, digest).await?;
            let message = "An object was erased at the end of its retention";
            match self.change(&seen, Manner::Detached, &changes, message).await? {
                Outcome::Written(_) => {
                    self.mirror()?.forget_objects(&[digest])?;
                    // The clone has the bytes too. The next look at the remote fetches what is there now.
                    self.repository.renew(&self.log.remote, Some(&seen))?;
                    return Ok(true);
                }
                Outcome::Moved => {}
            }
        }
        Err(self.refused("others keep changing the branch"))
    }

    /// The changes that take an object out of every file.
    async fn without(&self, files: &Listing, digest: Digest) -> Result<Changes, Fault> {
        let tiles: BTreeSet<u64> = self.mirror()?.named_by(digest)?.into_iter().map(|first| first / TILE).collect();
        let all: Vec<_> = tiles.iter().flat_map(|tile| files_of_tile(files, *tile)).collect();
        let mut wanted: BTreeSet<_> = all.iter().map(|(_, oid)| oid.clone()).collect();
        wanted.extend(files.get(ERASED).cloned());
        self.repository.ensure(&wanted).await?;
        let mut changes = Changes::new();
        let mut blobs = self.repository.blobs()?;
        for (path, oid) in all {
            let mut beside = Beside::parse(&path, &blobs.get(&oid).await?)?;
            let held = beside.commits.iter_mut().filter_map(|commit| commit.inline.remove(&digest)).count();
            if held > 0 {
                changes.insert(path, Some(beside.encode()?));
            }
        }
        changes.extend(delta::names_of(files, digest).into_iter().map(|path| (path, None)));
        for path in [layout::object_path(digest), layout::elsewhere_path(digest)] {
            if files.contains_key(&path) {
                changes.insert(path, None);
            }
        }
        if changes.is_empty() {
            return Err(tampered(&format!("the object {digest} is nowhere on the branch")).into());
        }
        let mut erased = layout::digests(&Reader::new(files, 0, blobs).file_if_any(ERASED).await?);
        erased.insert(digest);
        changes.insert(ERASED.to_owned(), Some(layout::digest_list(&erased)));
        Ok(changes)
    }

    async fn remove_large(&self, digest: Digest) -> Result<(), Fault> {
        let Some(large) = &self.log.options.large else {
            let why =
                format!("the object {digest} does not lie on the branch: configure `store: {{large_objects: …}}`");
            return Err(LogError::Unavailable { place: self.log.remote.to_string(), why }.into());
        };
        Ok(large.remove(digest).await?)
    }
}
