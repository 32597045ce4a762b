//! A registry that answers as the script says.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use sealift_domain::{
    digest::Digest,
    image::{Image, PlatformImage},
    promotion::Step,
    reference::{Pinned, Repository, Tag},
};
use sealift_engine::ports::{
    copy::{Copied, CopyObserver, CopyPlan, CopyRequest, CopyTally},
    registry::{
        Detached, NewReferrer, RawManifest, Referrer, Registry, RegistryError, RegistryErrorKind, StoredEvidence,
        TagMode,
    },
};

use super::Script;

pub(super) struct StubRegistry(pub(super) Arc<Script>);

impl StubRegistry {
    fn answers(&self) -> Result<(), RegistryError> {
        match *self.0.registry.lock().unwrap() {
            Some(kind) => Err(registry_error(kind)),
            None => Ok(()),
        }
    }
}

/// The manifest of what is attached, as far as anybody reads it.
fn attached_manifest(artifact: &NewReferrer) -> Bytes {
    let layer = serde_json::json!({
        "mediaType": artifact.media_type, "digest": Digest::of(&artifact.bytes), "size": artifact.bytes.len(),
    });
    serde_json::json!({"layers": [layer], "annotations": artifact.annotations}).to_string().into()
}

/// Whether the statement in an artifact of [`StubAttestor`] has this text.
pub(crate) fn artifact_says(artifact: &NewReferrer, text: &str) -> bool {
    String::from_utf8_lossy(&artifact.bytes).contains(text)
}

fn registry_error(kind: RegistryErrorKind) -> RegistryError {
    RegistryError { kind, message: "the script says so".into() }
}

#[async_trait]
impl Registry for StubRegistry {
    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
        self.answers()?;
        Ok(self.0.tags.lock().unwrap().get(&(repository.clone(), tag.clone())).copied())
    }

    async fn manifest(&self, image: &Pinned) -> Result<RawManifest, RegistryError> {
        let attached = self.0.attached.lock().unwrap();
        let found = attached.iter().find(|(_, manifest, _)| *manifest == image.digest);
        let bytes = found.map(|(_, _, artifact)| attached_manifest(artifact)).unwrap_or_default();
        Ok(RawManifest { bytes, media_type: String::new(), digest: image.digest })
    }

    async fn blob(
        &self,
        _: &Repository,
        digest: Digest,
        _: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, RegistryError>>, RegistryError> {
        let attached = self.0.attached.lock().unwrap();
        let found = attached.iter().map(|(_, _, artifact)| artifact.bytes.clone());
        let found = found.into_iter().find(|bytes| Digest::of(bytes) == digest);
        Ok(futures_util::stream::iter(found.map(Ok)).boxed())
    }

    async fn attach(&self, subject: &Pinned, artifact: &NewReferrer) -> Result<Digest, RegistryError> {
        let verified = artifact_says(artifact, "VERIFIED_IN_");
        let failed = self.0.step(if verified { Step::AttestVerified } else { Step::Admit }, "");
        self.answers()?;
        let manifest = Digest::of(&attached_manifest(artifact));
        // It may have arrived although the answer was lost.
        self.0.attached.lock().unwrap().push((subject.clone(), manifest, artifact.clone()));
        if failed { Err(registry_error(RegistryErrorKind::Denied)) } else { Ok(manifest) }
    }

    async fn detach(&self, subject: &Pinned, manifest: Digest) -> Result<Detached, RegistryError> {
        if self.0.step(Step::WithdrawAdmission, "") {
            return Err(registry_error(RegistryErrorKind::Unsupported));
        }
        self.0.attached.lock().unwrap().retain(|(place, digest, _)| place != subject || *digest != manifest);
        Ok(Detached::Removed)
    }

    async fn add_envelope(&self, subject: &Pinned, envelope: &[u8], _: &str) -> Result<(), RegistryError> {
        self.0.envelopes.lock().unwrap().insert((subject.clone(), Digest::of(envelope)));
        Ok(())
    }

    async fn drop_envelope(&self, subject: &Pinned, envelope: Digest) -> Result<(), RegistryError> {
        self.0.envelopes.lock().unwrap().remove(&(subject.clone(), envelope));
        Ok(())
    }

    async fn evidence(&self, _: &Pinned, _: &[Digest]) -> Result<Vec<StoredEvidence>, RegistryError> {
        Ok(Vec::new())
    }

    async fn referrers(&self, image: &Pinned) -> Result<Vec<Referrer>, RegistryError> {
        self.answers()?;
        let attached = self.0.attached.lock().unwrap();
        let here = attached.iter().filter(|(place, ..)| place == image);
        Ok(here.map(|(_, digest, a)| Referrer { digest: *digest, artifact_type: a.artifact_type.clone() }).collect())
    }

    async fn inspect(&self, image: &Pinned) -> Result<Image, RegistryError> {
        self.answers()?;
        let platform = PlatformImage {
            platform: "linux/amd64".into(),
            digest: image.digest,
            config: None,
            compressed_bytes: 10,
            layers: 1,
            missing: Vec::new(),
            labels: BTreeMap::new(),
            created: None,
        };
        let (media_type, annotations) = ("m".to_owned(), BTreeMap::new());
        Ok(Image { digest: image.digest, media_type, platforms: vec![platform], annotations })
    }

    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, RegistryError> {
        let tags = self.0.tags.lock().unwrap();
        Ok(tags.keys().filter(|(place, _)| place == repository).map(|(_, tag)| tag.clone()).collect())
    }

    async fn plan_copy(&self, _: &CopyRequest) -> Result<CopyPlan, RegistryError> {
        Ok(CopyPlan::default())
    }

    async fn copy(&self, request: &CopyRequest, _: &dyn CopyObserver) -> Result<Copied, RegistryError> {
        let failed = self.0.step(Step::Copy, "");
        self.answers()?;
        match request.from.digest.filter(|_| !failed) {
            Some(digest) => Ok(Copied { digest, tally: CopyTally::default() }),
            None => Err(registry_error(RegistryErrorKind::Transient)),
        }
    }

    async fn tag(&self, image: &Pinned, tag: &Tag, mode: TagMode) -> Result<(), RegistryError> {
        let undoing = self.0.count(Step::Restore) > 0;
        let step = match mode {
            TagMode::Immutable => Step::TagImmutable,
            TagMode::Moving if undoing => Step::RestoreTags,
            TagMode::Moving => Step::MoveTags,
        };
        let failed = self.0.step(step, "");
        self.answers()?;
        // A tag may have been written although the answer was lost.
        if !failed || step == Step::MoveTags {
            self.0.tags.lock().unwrap().insert((image.repository.clone(), tag.clone()), image.digest);
        }
        if failed { Err(registry_error(RegistryErrorKind::Denied)) } else { Ok(()) }
    }

    async fn untag(&self, repository: &Repository, tag: &Tag) -> Result<(), RegistryError> {
        if self.0.step(Step::RestoreTags, "") {
            return Err(registry_error(RegistryErrorKind::Denied));
        }
        self.0.tags.lock().unwrap().remove(&(repository.clone(), tag.clone()));
        Ok(())
    }
}
