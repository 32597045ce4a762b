//! Putting facts on record: builds, deployments that others made, verifications, holds and freezes.

use sealift_domain::{
    approval::{Act, Proof},
    check::Check,
    cost::Rebuild,
    digest::Digest,
    event::{
        DatabaseRecorded, DeploymentRecorded, Event, FreezeLifted, FreezePlaced, HoldPlaced, HoldReleased,
        RebuildMeasured, VerificationRecorded,
    },
    freeze::{Freeze, Hold, HoldScope},
    name::{EnvironmentName, PersonId},
    quantity::Period,
    record::Build,
    release::Release,
    schema::{Expected, Schema},
    undo::Observed,
};

use crate::{
    act::{self, Signed},
    book::{Book, Decision, Draft, Ground},
    checks::askable,
    database,
    error::EngineError,
    places,
    ports::{
        driver::Deployment,
        probe::{Availability, CheckResult, LogSource},
        signature::Signatures,
    },
    progress::{Observer, Progress},
    proposal::approvers,
    worker::{availability_result, check_context, summarise},
    world::World,
};

/// Commits one event, whatever else is so.
async fn put(book: &Book, event: Event) -> Result<(), EngineError> {
    book.commit(|ground| {
        places::policy(ground.ledger)?;
        Ok(Decision { drafts: vec![event.clone().into()], value: () })
    })
    .await
}

/// Records that an image was built. The image must be where the record says.
pub async fn build(book: &Book, world: &World, build: Build) -> Result<(), EngineError> {
    world.registry.manifest(&build.repository.at(build.digest)).await?;
    put(book, Event::BuildRecorded(build)).await
}

/// What runs somewhere without our having brought it there.
#[derive(Clone, Debug)]
pub struct Found {
    /// The release.
    pub release: Release,
    /// What it was started from, if its driver knows.
    pub definition: Option<Vec<u8>>,
    /// Whether it is taken as the first release to go back to.
    pub baseline: bool,
    /// What the tool that deployed it reported.
    pub report: Option<Vec<u8>>,
}

/// Records what runs in an environment without our having brought it there.
pub async fn deployment(
    book: &Book,
    world: &World,
    environment: &EnvironmentName,
    found: Found,
) -> Result<(), EngineError> {
    let Found { release, definition, baseline, report } = found;
    let images = places::targets(book.ledger().await?.as_ref(), &release, environment)?;
    // It runs already. Labels that cannot be read are no reason not to record it; whoever needs them later fails closed.
    let schema = match database::read_schema(world.registry.as_ref(), &images).await {
        Expected::Schema(schema) => Some(schema),
        Expected::Nothing | Expected::Unreadable(_) => None,
    };
    let digest = definition.as_deref().map(Digest::of);
    let recorded = DeploymentRecorded {
        environment: environment.clone(),
        release,
        definition: digest,
        baseline,
        schema,
        report: report.as_deref().map(Digest::of),
    };
    book.commit(|ground| {
        places::environment(ground.ledger, environment)?;
        refuse_while_running(ground.ledger, environment)?;
        let mut draft: crate::book::Draft = Event::DeploymentRecorded(recorded.clone()).into();
        draft.evidence.extend(definition.clone().into_iter().chain(report.clone()));
        Ok(Decision { drafts: vec![draft], value: () })
    })
    .await
}

/// Records what a database is at, because a person restored it or migrated it by hand.
pub async fn schema(
    book: &Book,
    environment: &EnvironmentName,
    schema: Schema,
    reason: String,
) -> Result<(), EngineError> {
    book.commit(|ground| {
        places::environment(ground.ledger, environment)?;
        refuse_while_running(ground.ledger, environment)?;
        let recorded = DatabaseRecorded { environment: environment.clone(), schema, reason: reason.clone() };
        Ok(Decision { drafts: vec![Event::DatabaseRecorded(recorded).into()], value: () })
    })
    .await
}

/// Records under a running promotion would contradict it.
fn refuse_while_running(
    ledger: &sealift_domain::ledger::Ledger,
    environment: &EnvironmentName,
) -> Result<(), EngineError> {
    match ledger.running_promotion(environment) {
        Some(running) => Err(crate::request::held(ledger, running)),
        None => Ok(()),
    }
}

/// What the driver of an environment finds running there.
pub async fn observe(world: &World, environment: &EnvironmentName) -> Result<Observed, EngineError> {
    Ok(world.driver(environment)?.observe().await?)
}

/// Where a driver can read what runs, that counts, not what somebody says.
pub async fn really_runs(world: &World, environment: &EnvironmentName, release: &Release) -> Result<(), EngineError> {
    let Some(driver) = world.drivers.get(environment) else { return Ok(()) };
    match driver.observe().await? {
        Observed::Running { release: running, .. } if running == *release => Ok(()),
        Observed::Running { release: running, .. } => {
            Err(EngineError::NotFound(format!("{release} does not run in {environment}: {running} does")))
        }
        Observed::Nothing => {
            Err(EngineError::NotFound(format!("nothing runs in {environment}, so {release} does not")))
        }
        Observed::Unknown { what } => Err(EngineError::NotFound(format!(
            "{release} does not run in {environment}: something unknown does, {what}"
        ))),
    }
}

/// Records the verdict of checks that others ran.
pub async fn verification(
    book: &Book,
    environment: &EnvironmentName,
    release: Release,
    passed: bool,
    summary: String,
) -> Result<(), EngineError> {
    let recorded = VerificationRecorded { environment: environment.clone(), release, passed, summary };
    book.commit(|ground| {
        places::environment(ground.ledger, environment)?;
        let live = ground.ledger.environments.get(environment).and_then(|record| record.live.as_ref());
        if live.is_none_or(|live| live.release != recorded.release) {
            let message = format!("{} is not what is live in {environment} by the record", recorded.release);
            return Err(EngineError::NotFound(message));
        }
        Ok(Decision { drafts: vec![Event::VerificationRecorded(recorded.clone()).into()], value: () })
    })
    .await
}

/// No log to read: checks of what somebody else deployed.
struct NoLog;

#[async_trait::async_trait]
impl LogSource for NoLog {
    async fn read(&self) -> Result<Vec<u8>, String> {
        Err("this environment has no driver that could read the log".to_owned())
    }
}

/// The log of what is live.
struct LiveLog<'a> {
    driver: &'a dyn crate::ports::driver::Driver,
    deployment: Deployment,
}

#[async_trait::async_trait]
impl LogSource for LiveLog<'_> {
    async fn read(&self) -> Result<Vec<u8>, String> {
        self.driver.logs(&self.deployment, 1024 * 1024).await.map_err(|error| error.message)
    }
}

/// Runs the environment's checks against what is live now and records the verdict.
pub async fn verify(
    book: &Book,
    world: &World,
    observer: &dyn Observer,
    environment: &EnvironmentName,
) -> Result<(bool, Vec<CheckResult>), EngineError> {
    let ledger = book.ledger().await?;
    let rules = places::environment(&ledger, environment)?;
    refuse_while_running(&ledger, environment)?;
    let live = ledger.environments.get(environment).and_then(|record| record.live.clone());
    let live = live.ok_or_else(|| EngineError::NotFound(format!("nothing is live in {environment} by the record")))?;
    really_runs(world, environment, &live.release).await?;
    let context = check_context(&ledger, &live.release, environment, "")?;
    let key = live.promotion.map_or_else(|| format!("baseline-{}", live.release), |id| format!("p{id}"));
    let deployment = Deployment {
        key,
        fence: 0,
        app: places::policy(&ledger)?.app.clone(),
        environment: environment.clone(),
        images: places::targets(&ledger, &live.release, environment)?,
        definition: Vec::new(),
    };
    let live_log = world.drivers.get(environment).map(|driver| LiveLog { driver: driver.as_ref(), deployment });
    let logs: &dyn LogSource = match &live_log {
        Some(log) => log,
        None => &NoLog,
    };
    let mut results = Vec::new();
    for check in &askable(&rules.verify, &ledger, &live.release) {
        let result = match check {
            Check::Availability(check) => availability_now(world, check, &context).await,
            check => world.prober.run(check, &context, logs).await,
        };
        observer.on(&Progress::Check { result: result.clone() });
        results.push(result);
    }
    // What answered the checks must be what they are credited to, from before the first to after the last.
    really_runs(world, environment, &live.release).await?;
    let passed = !results.is_empty() && results.iter().all(|result| result.passed);
    let summary = match results.iter().find(|result| !result.passed) {
        Some(bad) => format!("{}: {}", bad.check, bad.found),
        None if results.is_empty() => "no check is configured".to_owned(),
        None => format!("{} checks hold", summarise(&results, &Availability::default()).0.passed),
    };
    verification(book, environment, live.release, passed, summary).await?;
    Ok((passed, results))
}

/// Outside a deployment, availability is probed for a moment.
async fn availability_now(
    world: &World,
    check: &sealift_domain::check::AvailabilityCheck,
    context: &crate::ports::probe::CheckContext,
) -> CheckResult {
    match world.prober.watch(check, context).await {
        Ok(watch) => {
            world.clock.sleep(Period::from_secs(2)).await;
            availability_result(check, &watch.stop().await)
        }
        Err(why) => CheckResult {
            check: format!("availability {}", check.availability),
            passed: false,
            found: why,
            output: Vec::new(),
        },
    }
}

/// Records what a rebuild took, to compare the environment's deployments with.
pub async fn rebuild(book: &Book, environment: &EnvironmentName, rebuild: Rebuild) -> Result<(), EngineError> {
    book.commit(|ground| {
        places::environment(ground.ledger, environment)?;
        let measured = RebuildMeasured { environment: environment.clone(), rebuild: rebuild.clone() };
        Ok(Decision { drafts: vec![Event::RebuildMeasured(measured).into()], value: () })
    })
    .await
}

/// Blocks a digest or an environment. Stopping needs no proof; who gives one is named.
pub async fn hold(
    book: &Book,
    signatures: &dyn Signatures,
    (scope, reason): (HoldScope, String),
    signed: Option<&Signed>,
) -> Result<(), EngineError> {
    book.commit(|ground| {
        places::policy(ground.ledger)?;
        let place = Act::PlaceHold { scope: scope.clone() };
        let (by, proof) = named(ground, signatures, signed, (&place, &reason))?;
        let hold = Hold { scope: scope.clone(), reason: reason.clone(), by };
        let event = Event::HoldPlaced(HoldPlaced { hold, proof });
        let evidence = signed.map(Signed::objects).unwrap_or_default();
        Ok(Decision { drafts: vec![Draft { event, evidence }], value: () })
    })
    .await
}

/// Ends a hold.
pub async fn release_hold(
    book: &Book,
    signatures: &dyn Signatures,
    (scope, reason): (HoldScope, String),
    signed: Option<&Signed>,
) -> Result<(), EngineError> {
    book.commit(|ground| {
        let Some(placed) = ground.ledger.holds.get(&scope) else {
            return Err(EngineError::NotFound(format!("{scope} is not on hold")));
        };
        if reason.trim().is_empty() {
            return Err(EngineError::Statement("whoever releases a hold says why".to_owned()));
        }
        let release = Act::ReleaseHold { scope: scope.clone() };
        let (by, proof) = named(ground, signatures, signed, (&release, &reason))?;
        match (&placed.by, &by) {
            (None, _) => {}
            // What somebody signed is not undone by nobody.
            (Some(_), Some(by)) => {
                act::has_role(ground.ledger, by, &approvers(places::policy(ground.ledger)?, by))?;
            }
            (Some(placed), None) => {
                let why = format!("`{placed}` signed this hold, so who releases it signs too: `--identity FILE`");
                return Err(EngineError::Statement(why));
            }
        }
        let event = Event::HoldReleased(HoldReleased { scope: scope.clone(), reason: reason.clone(), by, proof });
        let evidence = signed.map(Signed::objects).unwrap_or_default();
        Ok(Decision { drafts: vec![Draft { event, evidence }], value: () })
    })
    .await
}

/// Who does something, if they signed exactly that.
fn named(
    ground: &Ground<'_>,
    signatures: &dyn Signatures,
    signed: Option<&Signed>,
    (act, reason): (&Act, &str),
) -> Result<(Option<PersonId>, Option<Proof>), EngineError> {
    let Some(signed) = signed else { return Ok((None, None)) };
    let (statement, proof) = act::read(ground.ledger, signatures, signed, ground.now)?;
    if statement.act != *act || statement.reason != reason {
        return Err(EngineError::Statement("it is about something else".to_owned()));
    }
    Ok((Some(statement.person), Some(proof)))
}

/// Freezes an environment for a while.
pub async fn freeze(book: &Book, environment: EnvironmentName, freeze: Freeze) -> Result<(), EngineError> {
    book.commit(|ground| {
        places::environment(ground.ledger, &environment)?;
        let placed = FreezePlaced { environment: environment.clone(), freeze: freeze.clone() };
        Ok(Decision { drafts: vec![Event::FreezePlaced(placed).into()], value: () })
    })
    .await
}

/// Ends the freezes of an environment that were placed by hand.
pub async fn lift_freeze(book: &Book, environment: EnvironmentName, reason: String) -> Result<(), EngineError> {
    book.commit(|ground| {
        places::environment(ground.ledger, &environment)?;
        if !ground.ledger.freezes.contains_key(&environment) {
            return Err(EngineError::NotFound(format!("no freeze of {environment} was placed by hand")));
        }
        let lifted = FreezeLifted { environment: environment.clone(), reason: reason.clone() };
        Ok(Decision { drafts: vec![Event::FreezeLifted(lifted).into()], value: () })
    })
    .await
}
