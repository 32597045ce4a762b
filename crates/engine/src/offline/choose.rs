//! What a rollback without the log would do.

use std::collections::BTreeMap;

use sealift_domain::{
    approval::Act,
    digest::Digest,
    ledger::Ledger,
    name::{AppName, ComponentName, EnvironmentName},
    offline::Outcome,
    reference::Pinned,
    release::Release,
    schema::{Expected, Schema},
    undo::Observed,
};

use super::record::Record;
use crate::{
    error::EngineError,
    places,
    ports::{
        driver::{Deployment, Driver},
        offline::{Kept, OfflineHost, PastLive, Remembered},
    },
};

/// What a person wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where.
    pub environment: EnvironmentName,
    /// The release, if it was named.
    pub named: Option<Release>,
    /// Whether it is to run although it is not known to work on the database.
    pub despite_schema: bool,
}

/// What a rollback would do.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The application.
    pub app: AppName,
    /// What is to be signed.
    pub act: Act,
    /// What is to be live again.
    pub release: Release,
    /// What runs now.
    pub before: Observed,
    /// What is worth knowing before it is signed, a sentence each.
    pub notes: Vec<String>,
    pub(super) before_key: Option<String>,
    pub(super) target_key: String,
    pub(super) images: BTreeMap<ComponentName, Pinned>,
    pub(super) definition: Vec<u8>,
    pub(super) schema: Option<Schema>,
    pub(super) fence: u64,
}

/// Chooses the newest earlier release that the host could start by itself and that works on its database, or the one that was
/// named. `ledger` has nothing but the policy of the configuration. Changes nothing.
///
/// # Errors
/// [`EngineError::NothingOnHost`], or what driver and host say.
pub async fn choose(
    ledger: &Ledger,
    (driver, host): (&dyn Driver, &dyn OfflineHost),
    wish: &Wish,
) -> Result<Chosen, EngineError> {
    let environment = &wish.environment;
    let remembered = host.remembered().await?;
    let before = driver.observe().await?;
    let mut left = Left::default();
    for kept in host.records().await?.iter().chain(&host.merged().await?) {
        left.read(kept)?;
    }
    let mut notes = Vec::new();
    let place = Place { ledger, environment, remembered: &remembered, before: &before, left: &left };
    let past = place.target(wish, &mut notes)?;
    let release = place.release(past)?;
    let images = place.images(past)?;
    let definition = match &past.definition {
        Some(definition) => definition.clone(),
        None => {
            notes.push(
                "the host does not know from which definition it was started, because an earlier version of this program \
                 deployed it: what `deploy` in sealift.yaml says now is used"
                    .to_owned(),
            );
            driver.definition()?
        }
    };
    let fence = remembered.fence.saturating_add(1);
    let act = Act::OfflineRollback {
        environment: environment.clone(),
        from: place.live(),
        to: release.clone(),
        definition: Digest::of(&definition),
        fence,
        despite_schema: wish.despite_schema,
    };
    let schema = match past.expects {
        Expected::Schema(schema) => Some(schema),
        Expected::Nothing | Expected::Unreadable(_) => None,
    };
    Ok(Chosen {
        app: places::policy(ledger)?.app.clone(),
        act,
        release,
        before_key: remembered.live.clone(),
        target_key: past.key.clone(),
        images,
        definition,
        schema,
        fence,
        notes,
        before,
    })
}

struct Place<'a> {
    ledger: &'a Ledger,
    environment: &'a EnvironmentName,
    remembered: &'a Remembered,
    before: &'a Observed,
    left: &'a Left,
}

/// Releases that somebody has gone back from here without the log, and when, by fencing numbers.
#[derive(Default)]
struct Left {
    releases: Vec<(Release, u64)>,
    /// The deployments that were made in going back.
    made: BTreeMap<String, u64>,
}

impl Left {
    fn read(&mut self, kept: &Kept) -> Result<(), EngineError> {
        let record = Record::read(kept)?;
        let moved = record.end.is_none_or(|end| !matches!(end.outcome, Outcome::Unchanged { .. }));
        if let (Observed::Running { release, .. }, true) = (record.before, moved) {
            self.releases.push((release, kept.fence));
        }
        self.made.insert(kept.key.clone(), kept.fence);
        Ok(())
    }

    /// Whether somebody has gone back from a release since this deployment of it. A promotion's number is that of an entry of the
    /// log, which every fencing number before it is below.
    fn has(&self, past: &PastLive, release: &Release) -> bool {
        let promoted = || past.key.strip_prefix('p').and_then(|number| number.parse().ok());
        let since = self.made.get(&past.key).copied().or_else(promoted).unwrap_or_default();
        self.releases.iter().any(|(left, fence)| left == release && *fence > since)
    }
}

impl Place<'_> {
    /// The component of a deployment. Earlier versions did not write it down; then it is the only one of the environment.
    fn component(&self, past: &PastLive) -> Result<ComponentName, EngineError> {
        if let Some(name) = &past.component {
            return Ok(name.clone());
        }
        let components = &places::environment(self.ledger, self.environment)?.components;
        match (components.keys().next(), components.len()) {
            (Some(name), 1) => Ok(name.clone()),
            _ => Err(EngineError::NothingOnHost(format!("the host does not know which component {} was", past.key))),
        }
    }

    fn release(&self, past: &PastLive) -> Result<Release, EngineError> {
        let release = Release::new([(self.component(past)?, past.digest)].into());
        release.ok_or_else(|| EngineError::NothingOnHost(format!("{} has no image", past.key)))
    }

    fn images(&self, past: &PastLive) -> Result<BTreeMap<ComponentName, Pinned>, EngineError> {
        match &past.image {
            Some(image) => Ok([(self.component(past)?, image.clone())].into()),
            None => places::targets(self.ledger, &self.release(past)?, self.environment),
        }
    }

    /// What is live: what runs, or what should by the journal.
    fn live(&self) -> Option<Release> {
        match self.before {
            Observed::Running { release, .. } => Some(release.clone()),
            Observed::Nothing => None,
            Observed::Unknown { .. } => {
                let key = self.remembered.live.as_ref()?;
                let past = self.remembered.past.iter().rev().find(|past| past.key == *key)?;
                self.release(past).ok()
            }
        }
    }

    fn target(&self, wish: &Wish, notes: &mut Vec<String>) -> Result<&PastLive, EngineError> {
        let live = self.live();
        if let Some(named) = wish.named.as_ref().filter(|named| live.as_ref() == Some(*named)) {
            return Err(EngineError::NothingOnHost(format!("{named} is live in {} already", self.environment)));
        }
        let mut passed_over = Vec::new();
        for past in self.remembered.past.iter().rev() {
            let release = self.release(past)?;
            let named = wish.named.as_ref() == Some(&release);
            if live.as_ref() == Some(&release) || wish.named.is_some() && !named {
                continue;
            }
            match self.against((past, &release), named, wish.despite_schema) {
                Some(why) => passed_over.push(format!("{release} ({}): {why}", past.key)),
                None => {
                    notes.extend(passed_over);
                    notes.extend(self.database_note(past));
                    return Ok(past);
                }
            }
        }
        Err(EngineError::NothingOnHost(self.nothing(wish, &passed_over)))
    }

    /// Why a release of the past cannot be gone back to.
    fn against(&self, (past, release): (&PastLive, &Release), named: bool, despite_schema: bool) -> Option<String> {
        if !named && self.left.has(past, release) {
            return Some(
                "somebody has gone back from it; name it with `--digest` if it is meant all the same".to_owned(),
            );
        }
        if !past.at_hand {
            return Some("the host does not have its image any more, and no registry is asked".to_owned());
        }
        match self.remembered.database {
            Some(database) if !past.expects.works_on(database) && !despite_schema => Some(format!(
                "it {}, and the database is at {database}, or may be: a release that was started here had that label",
                past.expects
            )),
            _ => None,
        }
    }

    /// What is to be said of the database where a release is taken although nobody knows that it works on it.
    fn database_note(&self, past: &PastLive) -> Option<String> {
        let database = self.remembered.database.filter(|database| !past.expects.works_on(*database))?;
        Some(format!(
            "NOT KNOWN TO WORK ON THE DATABASE: it {}, and the database is at {database}, or may be; you sign that it is to run \
             all the same",
            past.expects
        ))
    }

    fn nothing(&self, wish: &Wish, passed_over: &[String]) -> String {
        let what = match &wish.named {
            Some(named) => format!("{named} cannot be gone back to in {} by this host alone", self.environment),
            None => format!("nothing earlier in {} can be gone back to by this host alone", self.environment),
        };
        match passed_over {
            [] => {
                format!("{what}: its journal has {} deployments, and no such other release", self.remembered.past.len())
            }
            all => format!("{what}: {}", all.join("; ")),
        }
    }
}

impl Chosen {
    /// The deployment that a record makes.
    pub(super) fn deployment(app: AppName, environment: &EnvironmentName, record: &Record, fence: u64) -> Deployment {
        Deployment {
            key: record.key.clone(),
            fence,
            app,
            environment: environment.clone(),
            images: record.images.clone(),
            definition: record.definition.clone().into_bytes(),
        }
    }
}
