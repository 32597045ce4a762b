//! A registry in memory: the part of the port that pulling needs.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use sealift_domain::{
    digest::Digest,
    image::Image,
    reference::{Pinned, Repository, Tag},
};
use sealift_engine::ports::{
    copy::{Copied, CopyObserver, CopyPlan, CopyRequest},
    registry::{
        Detached, NewReferrer, RawManifest, Referrer, Registry, RegistryError, RegistryErrorKind, StoredEvidence,
        TagMode,
    },
};
use serde_json::{Value, json};

/// Media types of the OCI Image Specification 1.1.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[derive(Default)]
pub(crate) struct FakeRegistry {
    content: Mutex<HashMap<Digest, Bytes>>,
    /// Answers nothing any more.
    pub(crate) down: AtomicBool,
    /// How many manifests and blobs were asked for.
    pub(crate) requests: AtomicUsize,
}

impl FakeRegistry {
    fn store(&self, bytes: impl Into<Bytes>) -> (Digest, usize) {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        self.content.lock().unwrap().insert(digest, bytes);
        (digest, size)
    }

    fn descriptor(&self, media_type: &str, bytes: impl Into<Bytes>) -> Value {
        let (digest, size) = self.store(bytes);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// An image of one gzip layer with these files, `(path, mode, content)`.
    pub(crate) fn push(&self, files: &[(&str, u32, &str)], config: Value) -> Pinned {
        let tar = tar(files);
        let diff_id = Digest::of(&tar);
        self.push_layer(GZIP, gzip(&tar), diff_id, config)
    }

    /// An image of one layer as it is.
    pub(crate) fn push_layer(&self, media_type: &str, layer: Vec<u8>, diff_id: Digest, config: Value) -> Pinned {
        let mut full = json!({
            "os": "linux", "architecture": architecture(), "config": {"WorkingDir": "/app", "Entrypoint": ["./serve"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        full.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.descriptor(CONFIG, full.to_string()), "layers": [self.descriptor(media_type, layer)],
        });
        pinned(self.store(manifest.to_string()).0)
    }

    /// An index that offers `image` to this machine, and something else to another.
    pub(crate) fn push_index(&self, image: &Pinned) -> Pinned {
        let entry = |digest: Digest, architecture: &str| {
            let platform = json!({"os": "linux", "architecture": architecture});
            json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform})
        };
        let manifests = [entry(Digest::of(b"elsewhere"), "s390x"), entry(image.digest, architecture())];
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        pinned(self.store(index.to_string()).0)
    }

    /// An image whose program is this test program, playing a service that behaves as `mode` says.
    pub(crate) fn push_service(&self, mode: &str) -> Pinned {
        let me = std::env::current_exe().unwrap();
        let script = format!("#!/bin/sh\nSEALIFT_TEST_ROLE=service exec '{}' role --exact --nocapture\n", me.display());
        let migrate = "#!/bin/sh\necho \"migrating $1\"; echo x >>runs; echo $$ >pid; [ \"$1\" = wait ] && exec sleep 600; exit $1\n";
        let files = [("app/serve", 0o755, script.as_str()), ("app/mode", 0o644, mode), ("app/migrate", 0o755, migrate)];
        self.push(&files, json!({}))
    }

    fn read(&self, digest: Digest) -> Result<Bytes, RegistryError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(error(RegistryErrorKind::Transient, "the registry is down".to_owned()));
        }
        let content = self.content.lock().unwrap();
        content.get(&digest).cloned().ok_or_else(|| error(RegistryErrorKind::NotFound, format!("no {digest}")))
    }
}

fn pinned(digest: Digest) -> Pinned {
    "registry.test/shop".parse::<Repository>().unwrap().at(digest)
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn error(kind: RegistryErrorKind, message: String) -> RegistryError {
    RegistryError { kind, message }
}

fn unsupported<T>() -> Result<T, RegistryError> {
    Err(error(RegistryErrorKind::Unsupported, "not part of this fake".to_owned()))
}

pub(crate) fn tar(files: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let by_name: BTreeMap<_, _> = files.iter().map(|(name, mode, data)| (*name, (*mode, *data))).collect();
    for (name, (mode, data)) in by_name {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(mode);
        builder.append_data(&mut header, name, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn resolve(&self, _: &Repository, _: &Tag) -> Result<Option<Digest>, RegistryError> {
        unsupported()
    }

    async fn manifest(&self, image: &Pinned) -> Result<RawManifest, RegistryError> {
        let bytes = self.read(image.digest)?;
        Ok(RawManifest { bytes, media_type: MANIFEST.to_owned(), digest: image.digest })
    }

    async fn blob(
        &self,
        _: &Repository,
        digest: Digest,
        size: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, RegistryError>>, RegistryError> {
        let bytes = self.read(digest)?;
        assert_eq!(bytes.len() as u64, size);
        let parts: Vec<_> = bytes.chunks(1000).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        Ok(stream::iter(parts).boxed())
    }

    async fn evidence(&self, _: &Pinned, _: &[Digest]) -> Result<Vec<StoredEvidence>, RegistryError> {
        unsupported()
    }

    async fn referrers(&self, _: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        unsupported()
    }

    async fn inspect(&self, _: &Pinned) -> Result<Image, RegistryError> {
        unsupported()
    }

    async fn tags(&self, _: &Repository) -> Result<Vec<Tag>, RegistryError> {
        unsupported()
    }

    async fn plan_copy(&self, _: &CopyRequest) -> Result<CopyPlan, RegistryError> {
        unsupported()
    }

    async fn copy(&self, _: &CopyRequest, _: &dyn CopyObserver) -> Result<Copied, RegistryError> {
        unsupported()
    }

    async fn tag(&self, _: &Pinned, _: &Tag, _: TagMode) -> Result<(), RegistryError> {
        unsupported()
    }

    async fn attach(&self, _: &Pinned, _: &NewReferrer) -> Result<Digest, RegistryError> {
        unsupported()
    }

    async fn detach(&self, _: &Pinned, _: Digest) -> Result<Detached, RegistryError> {
        unsupported()
    }

    async fn add_envelope(&self, _: &Pinned, _: &[u8], _: &str) -> Result<(), RegistryError> {
        unsupported()
    }

    async fn drop_envelope(&self, _: &Pinned, _: Digest) -> Result<(), RegistryError> {
        unsupported()
    }

    async fn untag(&self, _: &Repository, _: &Tag) -> Result<(), RegistryError> {
        unsupported()
    }
}
