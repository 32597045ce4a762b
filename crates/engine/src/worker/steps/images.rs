//! The registry's side: copy, tags, and what the tags named before.

use std::collections::BTreeMap;

use sealift_domain::{
    digest::Digest,
    name::ComponentName,
    promotion::{Cause, Done, Kind, Stage, Step},
    quantity::{ByteSize, Period},
    reference::{Pinned, Repository, Tag},
    schema::{AfterMigration, Expected},
    tag::TagTemplateError,
    undo::{Observed, Undo},
};

use super::{Context, Outcome, StepError};
use crate::{
    code, database, places,
    ports::{
        copy::{CopyEvent, CopyObserver, CopyRequest, CopyTally},
        registry::{RegistryError, RegistryErrorKind, TagMode},
    },
    progress::{Observer, Progress},
    silent,
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
        // What the moving tags name there now is mostly the release before, which shares most blobs with this one.
        let mut hints = rendered_tags(context, TagMode::Moving)?;
        let mut total = CopyTally::default();
        let (mut most_tries, mut on_host) = (1, None);
        for (name, source) in &sources {
            let Some(target) = targets.get(name) else { continue };
            let request =
                CopyRequest::pinned(source, &target.repository).hinted(hints.remove(name).unwrap_or_default());
            let (copied, tries) = match self.copy_with_retries(context, &request, target).await {
                Ok(copied) => copied,
                Err(error) if self.rests_on_host(context, target, &error).await => {
                    on_host = Some(error.message);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            total += copied;
            most_tries = most_tries.max(tries);
        }
        let done = Done::Copy {
            bytes: total.bytes,
            copied: total.blobs_copied,
            mounted: total.blobs_mounted,
            skipped: total.blobs_skipped,
            tries: most_tries,
        };
        let found = match on_host {
            Some(why) => format!("the host has the image; the registry does not answer: {why}"),
            None => copy_in_words(&total),
        };
        Ok(Outcome::new(done, found))
    }

    /// Whether a rollback goes on with the image that the host has, since the registry does not answer.
    async fn rests_on_host(&self, context: &Context<'_>, target: &Pinned, error: &RegistryError) -> bool {
        if !bridged(context, error) {
            return false;
        }
        match self.world.driver(&context.promotion.to) {
            Ok(driver) => silent::has(driver.as_ref(), target).await,
            Err(_) => false,
        }
    }

    async fn copy_with_retries(
        &self,
        context: &Context<'_>,
        request: &CopyRequest,
        target: &Pinned,
    ) -> Result<(CopyTally, u32), RegistryError> {
        let mut attempt = 1;
        loop {
            let observer = CopyProgress(self.observer);
            match self.world.registry.copy(request, &observer).await {
                Ok(copied) => return Ok((copied.tally, attempt)),
                // The client has tried its requests again already; what the host has needs no more patience.
                Err(error) if self.rests_on_host(context, target, &error).await => return Err(error),
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
        let Written { tags, silent, .. } = self.write_tags(context, TagMode::Immutable).await?;
        let found = match silent {
            // They were written when the release was promoted, and nobody may have moved them since.
            Some(why) => format!("left as they are, the registry does not answer: {why}"),
            None => tags_in_words(&tags),
        };
        Ok(Outcome::new(Done::TagImmutable { tags }, found))
    }

    pub(super) async fn move_tags(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let Written { tags, unmoved, silent } = self.write_tags(context, TagMode::Moving).await?;
        let found = match silent {
            Some(why) => format!("not moved: {}; the registry does not answer: {why}", tags_in_words(&unmoved)),
            None => tags_in_words(&tags),
        };
        Ok(Outcome::new(Done::MoveTags { tags, unmoved }, found))
    }

    /// Writes the tags of one mode. In a rollback, those that a silent registry does not take are told and left.
    async fn write_tags(&self, context: &Context<'_>, mode: TagMode) -> Result<Written, StepError> {
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let mut written = Written::default();
        for (name, tags) in rendered_tags(context, mode)? {
            let Some(image) = targets.get(&name) else { continue };
            let mut done = Vec::new();
            for tag in tags {
                // Once it is silent, it is asked no more: each further tag would take as long to fail.
                if written.silent.is_none() {
                    match self.world.registry.tag(image, &tag, mode).await {
                        Ok(()) => {
                            done.push(tag);
                            continue;
                        }
                        Err(error) if bridged(context, &error) => written.silent = Some(error.message),
                        Err(error) => return Err(error.into()),
                    }
                }
                written.unmoved.entry(name.clone()).or_default().push(tag);
            }
            written.tags.insert(name, done);
        }
        Ok(written)
    }

    pub(super) async fn record_undo(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let driver = self.world.driver(&context.promotion.to)?;
        let previous = driver.observe().await?;
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let (mut tags, mut silent) = (BTreeMap::new(), None::<String>);
        for (name, moving) in rendered_tags(context, TagMode::Moving)? {
            let Some(image) = targets.get(&name) else { continue };
            let mut named = BTreeMap::new();
            for tag in moving {
                if silent.is_some() {
                    continue;
                }
                match self.world.registry.resolve(&image.repository, &tag).await {
                    Ok(digest) => drop(named.insert(tag, digest)),
                    Err(error) if bridged(context, &error) => silent = Some(error.message),
                    Err(error) => return Err(error.into()),
                }
            }
            tags.insert(name, named);
        }
        let mut found = super::deploy::observed_in_words(context.ledger, &previous);
        if let Some(why) = silent {
            found = format!("{found}; what the tags name is not known, the registry does not answer: {why}");
        }
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
        let none = || Done::RestoreTags { left: Vec::new(), unmoved: BTreeMap::new() };
        let Some(undo) = context.promotion.undo.as_ref().filter(|_| may_have_moved(context)) else {
            return Ok(Outcome::new(none(), "tags never moved"));
        };
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let (mut moved, mut left) = (0, Vec::new());
        let (mut unmoved, mut silent) = (BTreeMap::<_, Vec<Tag>>::new(), None);
        for (name, tags) in &undo.tags {
            let Some(image) = targets.get(name) else { continue };
            for (tag, before) in tags {
                if silent.is_none() {
                    match self.restore_tag(&image.repository, tag, *before).await {
                        Ok(Back::Was) => continue,
                        Ok(Back::Moved) => {
                            moved += 1;
                            continue;
                        }
                        Ok(Back::Left) => {
                            left.push(tag.clone());
                            continue;
                        }
                        // The release before runs and is well. What a tag names is told, and no reason to call a person.
                        Err(error) if error.kind.is_silence() => silent = Some(error.message),
                        Err(error) => return Err(error.into()),
                    }
                }
                unmoved.entry(name.clone()).or_default().push(tag.clone());
            }
        }
        let mut found = match (moved, left.len()) {
            (0, 0) => "tags are as they were".to_owned(),
            (moved, 0) => format!("{moved} tags moved back"),
            (moved, n) => format!("{moved} tags moved back, {n} new ones could not be removed"),
        };
        if let Some(why) = silent {
            let names = tags_in_words(&unmoved);
            found = format!("{moved} tags moved back, not {names}; the registry does not answer: {why}");
        }
        Ok(Outcome::new(Done::RestoreTags { left, unmoved }, found))
    }

    async fn restore_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        before: Option<Digest>,
    ) -> Result<Back, RegistryError> {
        let registry = self.world.registry.as_ref();
        if registry.resolve(repository, tag).await? == before {
            return Ok(Back::Was);
        }
        let done = match before {
            Some(digest) => registry.tag(&repository.at(digest), tag, TagMode::Moving).await,
            None => registry.untag(repository, tag).await,
        };
        match done {
            Ok(()) => Ok(Back::Moved),
            Err(error) if before.is_none() && error.kind == RegistryErrorKind::Unsupported => Ok(Back::Left),
            Err(error) => Err(error),
        }
    }
}

/// What became of tags that were to be written.
#[derive(Default)]
struct Written {
    /// Those that were, by component.
    tags: BTreeMap<ComponentName, Vec<Tag>>,
    /// Those that were not.
    unmoved: BTreeMap<ComponentName, Vec<Tag>>,
    /// How the registry's silence shows, if it is silent.
    silent: Option<String>,
}

/// What became of a tag on the way back.
enum Back {
    /// It never named anything else.
    Was,
    /// It names what it named.
    Moved,
    /// It is new, and the registry does not remove tags.
    Left,
}

/// Whether the promotion turned back at a step by which a moving tag may have been moved.
fn may_have_moved(context: &Context<'_>) -> bool {
    match &context.promotion.stage {
        Stage::Back { cause: Cause::Failed { step, .. }, .. } => *step >= Step::MoveTags,
        _ => true,
    }
}

/// Whether a rollback goes on without the registry: it does not answer, and nothing else is wrong with it.
fn bridged(context: &Context<'_>, error: &RegistryError) -> bool {
    context.promotion.kind == Kind::Rollback && error.kind.is_silence()
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

fn copy_in_words(copied: &CopyTally) -> String {
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
