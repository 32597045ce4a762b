//! What the registry holds. Blobs belong to a repository, so that a mount is worth something.

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::RawManifest;

#[derive(Default)]
struct Repo {
    blobs: HashMap<Digest, Bytes>,
    manifests: HashMap<Digest, RawManifest>,
    tags: BTreeMap<String, Digest>,
    uploads: HashMap<String, BytesMut>,
}

#[derive(Default)]
pub(super) struct Store {
    repositories: HashMap<String, Repo>,
    uploads_opened: u64,
}

impl Store {
    fn repo(&mut self, name: &str) -> &mut Repo {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.repositories.contains_key(name)
    }

    pub(super) fn blob(&self, name: &str, digest: Digest) -> Option<Bytes> {
        self.repositories.get(name)?.blobs.get(&digest).cloned()
    }

    pub(super) fn put_blob(&mut self, name: &str, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        self.put_blob_as(name, digest, bytes);
        digest
    }

    pub(super) fn put_blob_as(&mut self, name: &str, digest: Digest, bytes: Bytes) {
        self.repo(name).blobs.insert(digest, bytes);
    }

    pub(super) fn blobs(&self, name: &str) -> Vec<(Digest, Bytes)> {
        let blobs = |repo: &Repo| repo.blobs.iter().map(|(digest, bytes)| (*digest, bytes.clone())).collect();
        let mut all: Vec<(Digest, Bytes)> = self.repositories.get(name).map(blobs).unwrap_or_default();
        all.sort_by_key(|(digest, _)| *digest);
        all
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.repositories.keys().cloned().collect();
        names.sort();
        names
    }

    pub(super) fn set_tag(&mut self, name: &str, tag: &str, digest: Digest) {
        self.repo(name).tags.insert(tag.to_owned(), digest);
    }

    pub(super) fn remove_blob(&mut self, name: &str, digest: Digest) -> bool {
        self.repo(name).blobs.remove(&digest).is_some()
    }

    pub(super) fn manifest(&self, name: &str, digest: Digest) -> Option<RawManifest> {
        self.repositories.get(name)?.manifests.get(&digest).cloned()
    }

    pub(super) fn manifests(&self, name: &str) -> Vec<RawManifest> {
        let mut all: Vec<RawManifest> =
            self.repositories.get(name).map(|repo| repo.manifests.values().cloned().collect()).unwrap_or_default();
        all.sort_by_key(|raw| raw.digest);
        all
    }

    pub(super) fn put_manifest(&mut self, name: &str, raw: RawManifest, tag: Option<&str>) {
        let repo = self.repo(name);
        if let Some(tag) = tag {
            repo.tags.insert(tag.to_owned(), raw.digest);
        }
        repo.manifests.insert(raw.digest, raw);
    }

    /// Removes a manifest and every tag that names it.
    pub(super) fn remove_manifest(&mut self, name: &str, digest: Digest) -> bool {
        let repo = self.repo(name);
        repo.tags.retain(|_, named| *named != digest);
        repo.manifests.remove(&digest).is_some()
    }

    pub(super) fn remove_tag(&mut self, name: &str, tag: &str) -> bool {
        self.repo(name).tags.remove(tag).is_some()
    }

    pub(super) fn tag(&self, name: &str, tag: &str) -> Option<Digest> {
        self.repositories.get(name)?.tags.get(tag).copied()
    }

    pub(super) fn tags(&self, name: &str) -> Vec<(String, Digest)> {
        let tags = |repo: &Repo| repo.tags.iter().map(|(tag, digest)| (tag.clone(), *digest)).collect();
        self.repositories.get(name).map(tags).unwrap_or_default()
    }

    pub(super) fn open_upload(&mut self, name: &str) -> String {
        self.uploads_opened += 1;
        let id = format!("upload-{}", self.uploads_opened);
        self.repo(name).uploads.insert(id.clone(), BytesMut::new());
        id
    }

    pub(super) fn open_uploads(&self, name: &str) -> usize {
        self.repositories.get(name).map_or(0, |repo| repo.uploads.len())
    }

    pub(super) fn upload_size(&self, name: &str, id: &str) -> Option<usize> {
        Some(self.repositories.get(name)?.uploads.get(id)?.len())
    }

    pub(super) fn append(&mut self, name: &str, id: &str, bytes: &[u8]) -> Option<usize> {
        let upload = self.repositories.get_mut(name)?.uploads.get_mut(id)?;
        upload.extend_from_slice(bytes);
        Some(upload.len())
    }

    /// Ends an upload and gives its bytes out.
    pub(super) fn take_upload(&mut self, name: &str, id: &str) -> Option<Bytes> {
        Some(self.repositories.get_mut(name)?.uploads.remove(id)?.freeze())
    }
}
