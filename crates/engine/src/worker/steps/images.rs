//! The registry's side: copy, tags, and what the tags named before.

use std::collections::BTreeMap;

use sealift_domain::{
    name::ComponentName,
    promotion::{Done, Kind},
    quantity::{ByteSize, Period},
    reference::{Pinned, Tag},
    schema::{AfterMigration, Expected},
    tag::TagTemplateError,
    undo::{Observed, Undo},
};

use super::{Context, Outcome, StepError};
use crate::{
    code, database, places,
    ports::registry::{Copied, CopyEvent, CopyObserver, RegistryError, RegistryErrorKind, TagMode},
    progress::{Observer, Progress},
    worker::Worker,
};

/// How often a copy is tried.
const COPY_TRIES: u32 = 3;

/// Hands a copy's events on as progress.
struct CopyProgress<'a>(&'a dyn Observer);

impl CopyObserver for CopyProgress<'_> {
    fn on(&self, event: CopyEvent) {
        self.0.on(&Progress::Copy { event });
    }
}

impl Worker<'_> {
    pub(super) async fn copy(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let sources = places::sources(context.ledger, context.promotion)?;
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let mut total = Copied::default();
        let mut most_tries = 1;
        for (name, source) in &sources {
            let Some(target) = targets.get(name) else { continue };
            let (copied, tries) = self.copy_with_retries(context, source, target).await?;
            total.bytes += copied.bytes;
            total.blobs_copied += copied.blobs_copied;
            total.blobs_mounted += copied.blobs_mounted;
            total.blobs_skipped += copied.blobs_skipped;
            most_tries = most_tries.max(tries);
        }
        let done = Done::Copy {
            bytes: total.bytes,
            copied: total.blobs_copied,
            mounted: total.blobs_mounted,
            skipped: total.blobs_skipped,
            tries: most_tries,
        };
        Ok(Outcome::new(done, copy_in_words(&total)))
    }

    async fn copy_with_retries(
        &self,
        context: &Context<'_>,
        source: &Pinned,
        target: &Pinned,
    ) -> Result<(Copied, u32), RegistryError> {
        let mut attempt = 1;
        loop {
            let observer = CopyProgress(self.observer);
            match self.world.registry.copy(source, &target.repository, &observer).await {
                Ok(copied) => return Ok((copied, attempt)),
                Err(error) if attempt < COPY_TRIES && may_pass(error.kind) => {
                    let why = error.message.clone();
                    self.observer.on(&Progress::Retry { step: context.step, attempt, why });
                    self.world.clock.sleep(Period::from_millis(500 << attempt)).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn tag_immutable(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let tags = self.write_tags(context, TagMode::Immutable).await?;
        let found = tags_in_words(&tags);
        Ok(Outcome::new(Done::TagImmutable { tags }, found))
    }

    pub(super) async fn move_tags(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let tags = self.write_tags(context, TagMode::Moving).await?;
        let found = tags_in_words(&tags);
        Ok(Outcome::new(Done::MoveTags { tags }, found))
    }

    async fn write_tags(
        &self,
        context: &Context<'_>,
        mode: TagMode,
    ) -> Result<BTreeMap<ComponentName, Vec<Tag>>, StepError> {
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let tags = rendered_tags(context, mode)?;
        for (name, tags) in &tags {
            let Some(image) = targets.get(name) else { continue };
            for tag in tags {
                self.world.registry.tag(image, tag, mode).await?;
            }
        }
        Ok(tags)
    }

    pub(super) async fn record_undo(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let driver = self.world.driver(&context.promotion.to)?;
        let previous = driver.observe().await?;
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let mut tags = BTreeMap::new();
        for (name, moving) in rendered_tags(context, TagMode::Moving)? {
            let Some(image) = targets.get(&name) else { continue };
            let mut named = BTreeMap::new();
            for tag in moving {
                let digest = self.world.registry.resolve(&image.repository, &tag).await?;
                named.insert(tag, digest);
            }
            tags.insert(name, named);
        }
        let found = super::deploy::observed_in_words(context.ledger, &previous);
        let database = self.after_migration(context, &previous).await;
        Ok(Outcome::new(Done::RecordUndo(Undo { previous, tags, database }), found))
    }

    /// Whether what runs still works once the candidate has migrated the database. A rollback migrates nothing.
    async fn after_migration(&self, context: &Context<'_>, previous: &Observed) -> Option<AfterMigration> {
        let Observed::Running { release, .. } = previous else { return None };
        let record = context.ledger.environments.get(&context.promotion.to);
        let before = record.and_then(|record| record.database.as_ref()).map(|database| database.fact);
        let database = match context.promotion.schema {
            Some(candidate) => candidate.after(before),
            None => before?,
        };
        if context.promotion.kind == Kind::Rollback {
            return None;
        }
        let live = record.and_then(|record| record.live.as_ref()).filter(|live| live.release == *release);
        let previous = match live.and_then(|live| live.schema) {
            Some(schema) => Expected::Schema(schema),
            // Nothing is on record: it carries no label, or it was brought here before labels were read.
            None => {
                let images = places::targets(context.ledger, release, &context.promotion.to);
                match images {
                    Ok(images) => database::read_schema(self.world.registry.as_ref(), &images).await,
                    Err(error) => Expected::Unreadable(error.to_string()),
                }
            }
        };
        Some(AfterMigration { database, previous })
    }

    pub(super) async fn restore_tags(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let undo = context.promotion.undo.clone().unwrap_or_else(|| Undo {
            previous: Observed::Nothing,
            tags: BTreeMap::new(),
            database: None,
        });
        let registry = self.world.registry.as_ref();
        let (mut moved, mut left) = (0, Vec::new());
        for (name, tags) in &undo.tags {
            let Some(image) = targets.get(name) else { continue };
            for (tag, before) in tags {
                let now = registry.resolve(&image.repository, tag).await?;
                match before {
                    _ if now == *before => {}
                    Some(digest) => {
                        registry.tag(&image.repository.at(*digest), tag, TagMode::Moving).await?;
                        moved += 1;
                    }
                    None => match registry.untag(&image.repository, tag).await {
                        Ok(()) => moved += 1,
                        Err(error) if error.kind == RegistryErrorKind::Unsupported => left.push(tag.clone()),
                        Err(error) => return Err(error.into()),
                    },
                }
            }
        }
        let found = match (moved, left.len()) {
            (0, 0) => "tags never moved".to_owned(),
            (moved, 0) => format!("{moved} tags moved back"),
            (moved, n) => format!("{moved} tags moved back, {n} new ones could not be removed"),
        };
        Ok(Outcome::new(Done::RestoreTags { left }, found))
    }
}

/// Whether trying again can help.
fn may_pass(kind: RegistryErrorKind) -> bool {
    matches!(kind, RegistryErrorKind::Transient | RegistryErrorKind::Corrupt)
}

/// The tags of one mode that the policy gives each component of the release.
fn rendered_tags(context: &Context<'_>, mode: TagMode) -> Result<BTreeMap<ComponentName, Vec<Tag>>, StepError> {
    let environment = places::environment(context.ledger, &context.promotion.to)?;
    let values = places::placeholders(context.ledger, &context.promotion.release);
    let mut rendered = BTreeMap::new();
    for (name, values) in &values {
        let mut tags = Vec::new();
        for template in environment.tags.iter().filter(|t| t.is_immutable() == (mode == TagMode::Immutable)) {
            match template.render(values) {
                Ok(tag) => tags.push(tag),
                // A baseline has no build record, and can be gone back to all the same: without that name.
                Err(TagTemplateError::NoValue { .. }) if context.promotion.kind == Kind::Rollback => {}
                Err(error) => return Err(StepError::new(code::TAG_TEMPLATE, error.to_string())),
            }
        }
        rendered.insert(name.clone(), tags);
    }
    Ok(rendered)
}

fn copy_in_words(copied: &Copied) -> String {
    let all = copied.blobs_copied + copied.blobs_mounted + copied.blobs_skipped;
    let moved = ByteSize::from_bytes(copied.bytes).human();
    match (copied.blobs_copied, copied.blobs_mounted) {
        (0, 0) => "everything was there".to_owned(),
        (0, mounted) => format!("{mounted} of {all} blobs mounted, nothing moved"),
        (_, 0) => format!("{} of {all} blobs, {moved} moved", copied.blobs_copied),
        (_, mounted) => format!("{mounted} of {all} blobs mounted, {moved} moved"),
    }
}

fn tags_in_words(tags: &BTreeMap<ComponentName, Vec<Tag>>) -> String {
    let names: std::collections::BTreeSet<&str> = tags.values().flatten().map(Tag::as_str).collect();
    match names.is_empty() {
        true => "none to write".to_owned(),
        false => names.into_iter().collect::<Vec<_>>().join(", "),
    }
}
