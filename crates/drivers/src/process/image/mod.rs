//! Images on this machine: pulled by digest, verified, unpacked, kept and pruned.

mod layer;
mod manifest;
mod names;
mod rooted;
mod unpack;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::TryStreamExt;
use sealift_domain::{
    digest::Digest,
    quantity::ByteSize,
    reference::{Pinned, Repository},
    schema::{Expected, Schema},
};
use sealift_engine::ports::{
    driver::{DriverError, DriverErrorKind, DriverObserver},
    registry::Registry,
};
use tokio::io::AsyncWriteExt;

use self::{
    layer::{Compression, Measured},
    manifest::{Configuration, Descriptor, Document, Manifest, Platform},
    unpack::Unpacker,
};
pub(crate) use self::{manifest::Execution, rooted::resolve};
use super::failure;
use crate::files;

/// The most that one image may take unpacked, its tar headers included.
pub(crate) const MAX_UNPACKED: ByteSize = ByteSize::from_bytes(4 << 30);
/// The largest image configuration, in bytes.
const MAX_CONFIGURATION: u64 = 4 << 20;
/// How long another pull or prune on this machine is waited for.
const LOCK_WITHIN: Duration = Duration::from_secs(600);

/// The unpacked images of one environment.
pub(crate) struct Images {
    dir: PathBuf,
    registry: Arc<dyn Registry>,
    limit: ByteSize,
}

/// An image ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked {
    /// The root directory.
    pub(crate) root: PathBuf,
    /// How the image wants to be run.
    pub(crate) execution: Execution,
    /// What its labels say of the database.
    pub(crate) expects: Expected,
}

/// What the labels of an unpacked image say of the database. Earlier versions did not keep labels.
fn expects(bytes: &[u8], execution: Option<&Execution>) -> Expected {
    let Some(execution) = execution else { return Expected::Nothing };
    let written: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    if written.is_none_or(|written| written["config"].get("Labels").is_none()) {
        return Expected::Unreadable("an earlier version unpacked its image and did not keep its labels".to_owned());
    }
    match Schema::of_labels(&execution.labels.clone().unwrap_or_default()) {
        Ok(schema) => schema.into(),
        Err(error) => Expected::Unreadable(error.to_string()),
    }
}

/// An image that is known and not fetched yet.
struct Plan {
    repository: Repository,
    manifest: Manifest,
    configuration: Configuration,
}

impl Images {
    /// The images below `dir`, which need not exist.
    pub(crate) fn new(dir: PathBuf, registry: Arc<dyn Registry>) -> Self {
        Self { dir, registry, limit: MAX_UNPACKED }
    }

    /// The image that was unpacked earlier, if it is there. It is there completely or not at all.
    pub(crate) fn find(&self, digest: Digest) -> Option<Unpacked> {
        let place = self.dir.join(digest.hex());
        let bytes = files::read_bounded(&place.join("image.json"), MAX_CONFIGURATION).ok()??;
        let configuration: Configuration = serde_json::from_slice(&bytes).ok()?;
        let expects = expects(&bytes, configuration.config.as_ref());
        Some(Unpacked { root: place.join("rootfs"), execution: configuration.config.unwrap_or_default(), expects })
    }

    /// The image, fetched and unpacked if it is not there yet, and how many bytes of layers that took, as they are stored.
    pub(crate) async fn pull(
        &self,
        image: &Pinned,
        observer: &dyn DriverObserver,
    ) -> Result<(Unpacked, u64), DriverError> {
        if let Some(unpacked) = self.find(image.digest) {
            return Ok((unpacked, 0));
        }
        let _lock = self.lock().await?;
        if let Some(unpacked) = self.find(image.digest) {
            return Ok((unpacked, 0));
        }
        let plan = self.plan(image).await?;
        let stored = plan.manifest.stored_bytes();
        self.check_space(stored)?;
        let size = ByteSize::from_bytes(stored).human();
        observer.note(&format!("pulling {image}: {} layers, {size}", plan.manifest.layers.len()));
        let place = tempfile_dir(&self.dir).map_err(|e| self.disk("create a directory", &e))?;
        let fetched = self.fetch(&plan, &place).await;
        let done = fetched.and_then(|()| {
            let renamed = fs::rename(&place, self.dir.join(image.digest.hex()));
            renamed.and_then(|()| files::sync_dir(&self.dir)).map_err(|e| self.disk("keep the image", &e))
        });
        if done.is_err() {
            // What cannot be removed now is removed before the next pull.
            let _ = fs::remove_dir_all(&place);
        }
        done?;
        let unpacked = self.find(image.digest);
        unpacked
            .map(|unpacked| (unpacked, stored))
            .ok_or_else(|| failure(DriverErrorKind::Pull, format!("{image} was unpacked and is gone")))
    }

    /// Removes every image but those in `keep`.
    pub(crate) async fn prune(&self, keep: &BTreeSet<Digest>) -> Result<u32, DriverError> {
        let _lock = self.lock().await?;
        let kept: BTreeSet<String> = keep.iter().map(Digest::hex).collect();
        let mut removed = 0;
        for entry in fs::read_dir(&self.dir).map_err(|e| self.disk("list the images", &e))? {
            let entry = entry.map_err(|e| self.disk("list the images", &e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.len() == 64 && !kept.contains(&name) {
                // Renamed first, so that no half image stands under a digest.
                let doomed = self.dir.join(format!(".tmp-{name}"));
                let gone = fs::rename(entry.path(), &doomed).and_then(|()| fs::remove_dir_all(&doomed));
                gone.map_err(|e| self.disk("remove an image", &e))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// One pull or prune at a time, also among processes. What an interrupted one left behind is removed.
    async fn lock(&self) -> Result<File, DriverError> {
        files::private_dir(&self.dir).map_err(|e| self.disk("create the directory", &e))?;
        let path = self.dir.join(".lock");
        let deadline = tokio::time::Instant::now() + LOCK_WITHIN;
        let lock = loop {
            if let Some(lock) = files::try_lock(&path).map_err(|e| self.disk("lock the directory", &e))? {
                break lock;
            }
            if tokio::time::Instant::now() > deadline {
                let why = format!("another pull has held {} for {LOCK_WITHIN:?}", path.display());
                return Err(failure(DriverErrorKind::Pull, why));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".tmp-") {
                fs::remove_dir_all(entry.path()).map_err(|e| self.disk("remove a half pull", &e))?;
            }
        }
        Ok(lock)
    }

    async fn plan(&self, image: &Pinned) -> Result<Plan, DriverError> {
        let bad = |why: String| failure(DriverErrorKind::Pull, format!("{image}: {why}"));
        let machine = Platform::here();
        let manifest = manifest_for(self.registry.as_ref(), image, &machine).await?;
        manifest.runnable_layers().map_err(bad)?;
        let bytes = self.configuration(&image.repository, &manifest.config).await?;
        let configuration: Configuration =
            serde_json::from_slice(&bytes).map_err(|e| bad(format!("the image configuration does not parse: {e}")))?;
        configuration.check(&machine, manifest.layers.len()).map_err(bad)?;
        Ok(Plan { repository: image.repository.clone(), manifest, configuration })
    }

    async fn configuration(&self, repository: &Repository, blob: &Descriptor) -> Result<Vec<u8>, DriverError> {
        let bad = |why: &str| failure(DriverErrorKind::Pull, format!("{repository}@{}: {why}", blob.digest));
        if blob.size > MAX_CONFIGURATION {
            return Err(bad("the image configuration is too large"));
        }
        let refused = |e: sealift_engine::ports::registry::RegistryError| failure(DriverErrorKind::Pull, e.message);
        let stream = self.registry.blob(repository, blob.digest, blob.size).await.map_err(refused)?;
        let collect = |mut all: Vec<u8>, part: bytes::Bytes| async move {
            all.extend_from_slice(&part);
            Ok(all)
        };
        let bytes = stream.try_fold(Vec::new(), collect).await.map_err(refused)?;
        if Digest::of(&bytes) == blob.digest { Ok(bytes) } else { Err(bad("the blob has another digest")) }
    }

    /// Unpacks all layers into `place`, makes it durable, and writes the configuration last.
    async fn fetch(&self, plan: &Plan, place: &Path) -> Result<(), DriverError> {
        let bad = |why: String| failure(DriverErrorKind::Pull, why);
        let root = place.join("rootfs");
        fs::create_dir(&root).map_err(|e| self.disk("create a directory", &e))?;
        let mut unpacker = Unpacker::new(root);
        let mut budget = self.limit.bytes();
        let layers = plan.manifest.runnable_layers().map_err(bad)?;
        for ((layer, compression), expected) in layers.into_iter().zip(&plan.configuration.rootfs.diff_ids) {
            let blob = place.join("blob");
            self.download(&plan.repository, layer, &blob).await?;
            let named = format!("layer {} of {}", layer.digest, plan.repository);
            let work = move || apply(unpacker, &blob, compression, budget);
            let applied = tokio::task::spawn_blocking(work).await.map_err(|e| bad(format!("{named}: {e}")))?;
            let (after, found, left) = applied.map_err(|why| bad(format!("{named}: {why}")))?;
            if found != *expected {
                let why = format!("{named}: unpacked it is {found}, the configuration promises {expected}");
                return Err(bad(why));
            }
            (unpacker, budget) = (after, left);
        }
        let json = serde_json::to_vec(&plan.configuration).map_err(|e| bad(e.to_string()))?;
        files::replace(&place.join("image.json"), &json)
            .and_then(|()| Ok(rustix::fs::syncfs(File::open(place)?)?))
            .map_err(|e| self.disk("keep the image", &e))
    }

    async fn download(&self, repository: &Repository, layer: &Descriptor, to: &Path) -> Result<(), DriverError> {
        let refused = |e: sealift_engine::ports::registry::RegistryError| failure(DriverErrorKind::Pull, e.message);
        if layer.size > self.limit.bytes() {
            let why = format!("{repository}@{}: a layer of more than {}", layer.digest, self.limit);
            return Err(failure(DriverErrorKind::Pull, why));
        }
        let mut stream = self.registry.blob(repository, layer.digest, layer.size).await.map_err(refused)?;
        let mut file = tokio::fs::File::create(to).await.map_err(|e| self.disk("create a file", &e))?;
        while let Some(part) = stream.try_next().await.map_err(refused)? {
            file.write_all(&part).await.map_err(|e| self.disk("write a layer", &e))?;
        }
        file.flush().await.map_err(|e| self.disk("write a layer", &e))
    }

    /// Layers are stored once and unpacked beside it; three times the stored size is what images usually need.
    fn check_space(&self, stored: u64) -> Result<(), DriverError> {
        let disk = rustix::fs::statvfs(&self.dir).map_err(|e| self.disk("read the free space", &e.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = stored.saturating_mul(3);
        if free >= needed {
            return Ok(());
        }
        let (free, needed) = (ByteSize::from_bytes(free).human(), ByteSize::from_bytes(needed).human());
        let why = format!("{}: {free} are free, the image needs about {needed}", self.dir.display());
        Err(failure(DriverErrorKind::Preflight, why))
    }

    fn disk(&self, what: &str, error: &io::Error) -> DriverError {
        failure(DriverErrorKind::Pull, format!("cannot {what} in {}: {error}", self.dir.display()))
    }
}

/// The layers of an image for this machine, with their sizes as they are stored, in bytes.
///
/// # Errors
/// [`DriverErrorKind::Pull`] if the registry or its manifest refuses.
pub(crate) async fn stored_layers(registry: &dyn Registry, image: &Pinned) -> Result<Vec<(Digest, u64)>, DriverError> {
    let manifest = manifest_for(registry, image, &Platform::here()).await?;
    Ok(manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect())
}

async fn manifest_for(registry: &dyn Registry, image: &Pinned, machine: &Platform) -> Result<Manifest, DriverError> {
    let bad = |why: String| failure(DriverErrorKind::Pull, format!("{image}: {why}"));
    let mut manifest = document(registry, image).await?;
    if let Document::Index(index) = &manifest {
        let chosen = image.repository.at(index.pick(machine).map_err(bad)?);
        manifest = document(registry, &chosen).await?;
    }
    match manifest {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(bad("an index within an index is not run".to_owned())),
    }
}

async fn document(registry: &dyn Registry, image: &Pinned) -> Result<Document, DriverError> {
    let raw = registry.manifest(image).await.map_err(|e| failure(DriverErrorKind::Pull, e.message))?;
    if Digest::of(&raw.bytes) != image.digest {
        return Err(failure(DriverErrorKind::Pull, format!("{image}: the manifest has another digest")));
    }
    serde_json::from_slice(&raw.bytes)
        .map_err(|_| failure(DriverErrorKind::Pull, format!("{image} is neither an image manifest nor an index")))
}

/// Applies the stored layer `blob` and removes it. Returns the digest of its uncompressed bytes and what is left of the budget.
fn apply(
    mut unpacker: Unpacker,
    blob: &Path,
    compression: Compression,
    budget: u64,
) -> Result<(Unpacker, Digest, u64), String> {
    let file = File::open(blob).map_err(|e| e.to_string())?;
    let mut tar = Measured::new(compression.reader(file), budget);
    unpacker.layer(&mut tar).map_err(|e| e.to_string())?;
    let (digest, left) = tar.finish().map_err(|e| e.to_string())?;
    fs::remove_file(blob).map_err(|e| e.to_string())?;
    Ok((unpacker, digest, left))
}

/// A fresh directory whose name says that it is not complete. Called under the lock, where no other exists.
fn tempfile_dir(parent: &Path) -> io::Result<PathBuf> {
    let path = parent.join(format!(".tmp-{}", std::process::id()));
    files::private_dir(&path)?;
    Ok(path)
}
