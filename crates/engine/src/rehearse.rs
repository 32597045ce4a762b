//! A rehearsal: the candidate is started where no traffic comes, and so is the release that a rollback would go back to.
//!
//! Nothing live is changed and nothing is written to the log: a rehearsal is no fact about an environment. It takes no lease
//! either, so it must never be in the way of a promotion. It works under the fencing number of the newest entry, which is
//! lower than that of every lease that is taken from then on: where a promotion begins meanwhile, the host refuses the
//! rehearsal, and what is left of it makes room for the promotion's candidate. A driver that locks its host for as long as a
//! preparation takes lets the promotion wait for that lock.

use std::collections::BTreeMap;

use sealift_domain::{
    ledger::Ledger,
    name::{ComponentName, EnvironmentName},
    promotion::{PromotionId, Status, Step},
    quantity::Period,
    reference::Pinned,
    release::Release,
    undo::Observed,
};

use crate::{
    book::Book,
    error::EngineError,
    places,
    ports::{
        copy::{CopyEvent, CopyObserver, CopyRequest},
        driver::{Candidate, Deployment, Driver, DriverError, DriverObserver, Prepared},
        registry::RegistryErrorKind,
    },
    progress::{Observer, Progress},
    request::{choose, choose_rollback, held},
    world::World,
};

/// How much of a log is read where the driver's error brings none, in bytes.
const LOG: usize = 64 << 10;

/// What a rehearsal found.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What is live, before and after.
    pub live: Observed,
    /// The release that a promotion would bring.
    pub candidate: Rehearsed,
    /// The release that a rollback would go back to; `None` where there is none.
    pub rollback: Option<Rehearsed>,
    /// What else is worth knowing, a sentence each.
    pub notes: Vec<String>,
}

/// A release that was prepared, and discarded again.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The release.
    pub release: Release,
    /// What people call it.
    pub called: String,
    /// Whether it was started. Some drivers start nothing before the switch.
    pub started: bool,
    /// How long it took until it was up; where nothing was started, until everything was at hand.
    pub took: Period,
    /// Bytes that the host pulled for it, if its driver could tell.
    pub pulled_bytes: Option<u64>,
}

/// Why a rehearsal did not come to its end. What is live was not touched.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// It could not be done.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A release did not get up.
    #[error("{called} did not get up: {error}")]
    NotUp {
        /// Which, as people call it.
        called: String,
        /// Why, with the end of its log.
        error: DriverError,
        /// Why it could not be removed, if so.
        left: Option<DriverError>,
    },
    /// Somebody wanted it to end.
    #[error("interrupted: the rehearsal is not over")]
    Interrupted {
        /// Why what was started could not be removed, if so.
        left: Option<DriverError>,
    },
    /// A promotion began meanwhile, and the rehearsal gave way.
    #[error("promotion {by} began in {environment} meanwhile, and the rehearsal gave way")]
    Overtaken {
        /// Where.
        environment: EnvironmentName,
        /// The promotion.
        by: PromotionId,
    },
    /// Something else is live than before.
    #[error("before the rehearsal {before:?} was live in {environment}, after it {after:?}")]
    LiveChanged {
        /// Where.
        environment: EnvironmentName,
        /// What was live.
        before: Observed,
        /// What is.
        after: Observed,
    },
}

/// Rehearses a promotion into `to`, of the release that a promotion would bring or of the one that a person `named`, and then
/// the rollback. When `stop` completes, what was started is removed and nothing more is begun.
pub async fn rehearse(
    book: &Book,
    world: &World,
    observer: &dyn Observer,
    to: &EnvironmentName,
    named: Option<Release>,
    stop: impl Future<Output = ()>,
) -> Result<Rehearsal, RehearsalError> {
    let ledger = book.ledger().await?;
    places::environment(&ledger, to)?;
    nobody_at_work(&ledger, to)?;
    let driver = world.driver(to)?.as_ref();
    let candidate = choose_known(&ledger, to, named)?;
    let stage = Stage { book, world, observer, driver, ledger: &ledger, to };
    tokio::pin!(stop);
    let mut notes = stage.notes(&candidate)?;
    let live = driver.observe().await.map_err(EngineError::from)?;

    let images = tokio::select! {
        biased;
        () = &mut stop => return Err(RehearsalError::Interrupted { left: None }),
        images = stage.bring(&candidate) => images?,
    };
    let definition = driver.definition().map_err(EngineError::from)?;
    let candidate = stage.try_out(candidate, images, definition, &mut stop).await?;

    let rollback = match choose_rollback(&ledger, to, None) {
        Ok(release) => {
            let images = places::targets(&ledger, &release, to)?;
            let definition = stage.recorded_definition(&release).await?;
            Some(stage.try_out(release, images, definition, &mut stop).await?)
        }
        Err(EngineError::NoRollbackTarget(why)) => {
            notes.push(format!("no rollback was timed: {why}"));
            None
        }
        Err(other) => return Err(other.into()),
    };
    stage.is_untouched(&live).await?;
    Ok(Rehearsal { live, candidate, rollback, notes })
}

/// Refuses where a promotion works on the environment or somebody holds its lease.
fn nobody_at_work(ledger: &Ledger, to: &EnvironmentName) -> Result<(), EngineError> {
    let lease = ledger.leases.get(to).and_then(|lease| ledger.promotions.get(&lease.promotion)).map(AsRef::as_ref);
    match ledger.running_promotion(to).or(lease) {
        Some(promotion) => Err(held(ledger, promotion)),
        None => Ok(()),
    }
}

/// The release to rehearse. Gates are for promotions; but what nobody built or verified is not started on a host by a digest
/// alone.
fn choose_known(ledger: &Ledger, to: &EnvironmentName, named: Option<Release>) -> Result<Release, EngineError> {
    let by_hand = named.is_some();
    let release = choose(ledger, to, named)?;
    let was_verified = || ledger.environments.values().flat_map(|r| &r.known_good).any(|past| past.release == release);
    if by_hand && !release.components().all(|(_, digest)| ledger.builds.contains_key(&digest)) && !was_verified() {
        return Err(EngineError::NotFound(format!("no build of {release} is on record, and it was verified nowhere")));
    }
    Ok(release)
}

/// The name of a rehearsed release's deployment on its host.
fn key(release: &Release) -> String {
    let mut components = release.components();
    match (components.next(), components.next()) {
        (Some((_, digest)), None) => format!("rehearse-{}", digest.short()),
        _ => format!("rehearse-{}", release.id().short()),
    }
}

/// Where a rehearsal takes place.
struct Stage<'a> {
    book: &'a Book,
    world: &'a World,
    observer: &'a dyn Observer,
    driver: &'a dyn Driver,
    ledger: &'a Ledger,
    to: &'a EnvironmentName,
}

/// Hands a driver's and a copy's words on as progress.
struct Words<'a>(&'a dyn Observer);

impl DriverObserver for Words<'_> {
    fn note(&self, text: &str) {
        self.0.on(&Progress::Note { step: Step::Prepare, text: text.to_owned() });
    }
}

impl CopyObserver for Words<'_> {
    fn on(&self, event: CopyEvent) {
        self.0.on(&Progress::Copy { event });
    }
}

impl Stage<'_> {
    /// What is to be known before anything is tried.
    fn notes(&self, candidate: &Release) -> Result<Vec<String>, EngineError> {
        let mut notes = Vec::new();
        let called = places::called(self.ledger, candidate);
        if let Some(argv) = places::environment(self.ledger, self.to)?.migrate.as_ref() {
            notes.push(format!("the migration `{}` was not run: everything met the database as it is", argv.join(" ")));
        }
        if !self.ledger.holds_on(candidate, self.to).is_empty() {
            notes.push(format!("a hold is on {called} or on {}: a promotion would be refused", self.to));
        }
        match self.driver.candidate() {
            Candidate::Beside => {}
            Candidate::InPlaceOfKept => notes.push(
                "if the release before was kept ready to start, it made room; a rollback starts it from its image, which \
                 the host still has"
                    .to_owned(),
            ),
            Candidate::NotStarted => notes.push(
                "nothing can run beside what is live here: images were pulled and everything was checked, and nothing was \
                 started"
                    .to_owned(),
            ),
        }
        Ok(notes)
    }

    /// Makes sure that the images are where the host pulls them from. What is missing is copied by digest: no tag is written,
    /// so nobody sees it who does not ask for that digest, and a promotion finds it there.
    async fn bring(&self, release: &Release) -> Result<BTreeMap<ComponentName, Pinned>, EngineError> {
        let targets = places::targets(self.ledger, release, self.to)?;
        let from = places::environment(self.ledger, self.to)?.from.as_ref();
        let sources = places::sources_of(self.ledger, from, &targets)?;
        let registry = self.world.registry.as_ref();
        for (name, target) in &targets {
            match registry.manifest(target).await {
                Ok(_) => continue,
                Err(error) if error.kind == RegistryErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            let Some(source) = sources.get(name) else { continue };
            let what = format!("copying {source} to {} by digest, without a tag", target.repository);
            self.observer.on(&Progress::Trying { what });
            let began = self.world.clock.now();
            registry.copy(&CopyRequest::pinned(source, &target.repository), &Words(self.observer)).await?;
            let took = Period::between(began, self.world.clock.now());
            let found = format!(
                "{} was not in {} yet: copied by digest, without a tag",
                target.digest.short(),
                target.repository
            );
            self.observer.on(&Progress::Tried { found, took });
        }
        Ok(targets)
    }

    /// The definition that a release was live with, if it is still beside the log, else what the configuration says now.
    async fn recorded_definition(&self, release: &Release) -> Result<Vec<u8>, EngineError> {
        let known =
            self.ledger.environments.get(self.to).map(|record| record.known_good.as_slice()).unwrap_or_default();
        let recorded = known.iter().find(|past| past.release == *release).and_then(|past| past.definition);
        if let Some(digest) = recorded
            && let Some(bytes) = self.book.object(digest).await?
        {
            return Ok(bytes);
        }
        Ok(self.driver.definition()?)
    }

    /// Prepares a release, takes the time, and discards it again, however that went.
    async fn try_out(
        &self,
        release: Release,
        images: BTreeMap<ComponentName, Pinned>,
        definition: Vec<u8>,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<Rehearsed, RehearsalError> {
        self.not_overtaken().await?;
        let called = places::called(self.ledger, &release);
        let deployment = Deployment {
            key: key(&release),
            fence: self.ledger.size.saturating_sub(1),
            app: places::policy(self.ledger)?.app.clone(),
            environment: self.to.clone(),
            images,
            definition,
        };
        self.observer.on(&Progress::Trying { what: called.clone() });
        let words = Words(self.observer);
        let began;
        let prepared = tokio::select! {
            biased;
            () = stop => None,
            (at, prepared) = self.prepare_anew(&deployment, &words) => {
                began = at;
                Some((prepared, Period::between(began, self.world.clock.now())))
            }
        };
        let prepared = match prepared {
            Some((Err(error), took)) => Some((Err(self.with_log(&deployment, error).await), took)),
            other => other,
        };
        let left = self.driver.discard(&deployment, &words).await.err();
        match (prepared, left) {
            (None, left) => Err(RehearsalError::Interrupted { left }),
            (Some((Err(error), _)), left) => {
                self.not_overtaken().await?;
                Err(RehearsalError::NotUp { called, error, left })
            }
            (Some((Ok(_), _)), Some(left)) => {
                self.not_overtaken().await?;
                Err(EngineError::from(left).into())
            }
            (Some((Ok(prepared), took)), None) => Ok(self.tried(release, called, prepared, took)),
        }
    }

    /// Prepares it, without what an earlier rehearsal may have left when it was killed; from when on, and how that went.
    async fn prepare_anew(
        &self,
        deployment: &Deployment,
        words: &Words<'_>,
    ) -> (jiff::Timestamp, Result<Prepared, DriverError>) {
        let cleared = self.driver.discard(deployment, words).await;
        let began = self.world.clock.now();
        match cleared {
            Ok(()) => (began, self.driver.prepare(deployment, words).await),
            Err(error) => (began, Err(error)),
        }
    }

    /// An error with what the release itself said, where the driver did not add that.
    async fn with_log(&self, deployment: &Deployment, mut error: DriverError) -> DriverError {
        if error.output.is_empty() {
            error.output = self.driver.logs(deployment, LOG).await.unwrap_or_default();
        }
        error
    }

    fn tried(&self, release: Release, called: String, prepared: Prepared, took: Period) -> Rehearsed {
        let started = self.driver.candidate() != Candidate::NotStarted;
        let found = match started {
            true => format!("{called} was up and is removed again"),
            false => format!("everything is at hand for {called}, and nothing was started"),
        };
        self.observer.on(&Progress::Tried { found, took });
        Rehearsed { release, called, started, took, pulled_bytes: prepared.pulled_bytes }
    }

    /// Refuses if a promotion began since the rehearsal did. It is in its right, and what it did to the rehearsal says nothing
    /// about the release that is rehearsed.
    async fn not_overtaken(&self) -> Result<(), RehearsalError> {
        let now = self.book.ledger().await?;
        let works = |status| !matches!(status, Status::Pending | Status::Cancelled);
        let began_since = now.promotions.values().find(|promotion| {
            let before = self.ledger.promotions.get(&promotion.id).map(|before| before.status());
            promotion.to == *self.to && works(promotion.status()) && before.is_none_or(|before| !works(before))
        });
        match began_since {
            Some(by) => Err(RehearsalError::Overtaken { environment: self.to.clone(), by: by.id }),
            None => Ok(()),
        }
    }

    /// What was live must be live, unless a promotion began meanwhile and changes it.
    async fn is_untouched(&self, before: &Observed) -> Result<(), RehearsalError> {
        let after = self.driver.observe().await.map_err(EngineError::from)?;
        if after == *before {
            return Ok(());
        }
        self.not_overtaken().await?;
        let (environment, before) = (self.to.clone(), before.clone());
        Err(RehearsalError::LiveChanged { environment, before, after })
    }
}
