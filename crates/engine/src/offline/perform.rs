//! Doing a rollback without the log: each step idempotent, so that a run that was killed is gone on with by the next.

use sealift_domain::{
    check::Check, failure::Code, ledger::Ledger, name::EnvironmentName, offline::Outcome, promotion::Step,
    release::Release, undo::Observed,
};

use super::{
    choose::Chosen,
    record::{Asked, End, RECORD_VERSION, Record},
};
use crate::{
    act::{self, Signed},
    checks::askable,
    code,
    error::EngineError,
    places,
    ports::{
        clock::Clock,
        driver::{Deployment, Driver, DriverError, DriverErrorKind, DriverObserver},
        offline::{Kept, OfflineHost},
        probe::{LogSource, Prober},
        signature::Signatures,
    },
    progress::{Observer, Progress},
    worker::{check_context, for_known_good},
};

/// How much of what a check saw is kept in the record, in characters.
const KEPT_WORDS: usize = 1000;
/// How much of the log a check may see, in bytes.
const CHECKED_LOG: usize = 1 << 20;

/// Where a rollback without the log takes place.
pub struct Site<'a> {
    /// Nothing but the policy of the configuration, which nobody could compare with the accepted one.
    pub ledger: &'a Ledger,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// Its driver.
    pub driver: &'a dyn Driver,
    /// What of it works without the log.
    pub host: &'a dyn OfflineHost,
    /// What checks signatures.
    pub signatures: &'a dyn Signatures,
    /// What runs checks.
    pub prober: &'a dyn Prober,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Whom it is told.
    pub observer: &'a dyn Observer,
}

/// The rollback that the same command is about which was killed, or ran already: one that has no end, or whose end is what is
/// live now. Whoever means to go further back names the release.
///
/// # Errors
/// [`EngineError::BadRecord`], [`EngineError::Unmerged`] if `named` is another release than the one that is gone back to just now.
pub async fn open(site: &Site<'_>, named: Option<&Release>) -> Result<Option<(Kept, Record)>, EngineError> {
    let Some(kept) = site.host.records().await?.pop() else { return Ok(None) };
    let record = Record::read(&kept)?;
    let other = named.is_some() && named != record.release().as_ref();
    let ended = record.end.as_ref().map(|end| &end.outcome);
    match ended {
        None if other => {
            let why = format!("that is not over: {} has no end", record.key);
            Err(EngineError::Unmerged { environment: site.environment.clone(), why, over: false })
        }
        None => Ok(Some((kept, record))),
        Some(Outcome::Unchanged { .. }) => Ok(None),
        Some(_) => {
            let is_live = site.host.remembered().await?.live.as_deref() == Some(&record.key);
            Ok((is_live && !other).then_some((kept, record)))
        }
    }
}

/// Keeps the signed record on the host, and with that keeps everybody else away from it.
///
/// # Errors
/// The statement is not what it should be, the host refuses, or something else came to be live since it was chosen. Nothing was
/// changed then.
pub async fn begin(site: &Site<'_>, chosen: Chosen, signed: Signed) -> Result<(Kept, Record), EngineError> {
    let (statement, _) = act::read(site.ledger, site.signatures, &signed, site.clock.now())?;
    if statement.act != chosen.act {
        return Err(EngineError::Statement("it is about something else".to_owned()));
    }
    let text = |bytes: Vec<u8>, what: &str| {
        String::from_utf8(bytes).map_err(|_| EngineError::Statement(format!("{what} is no text")))
    };
    let record = Record {
        v: RECORD_VERSION,
        key: format!("offline-{}", statement.nonce),
        statement: text(signed.statement, "the statement")?,
        signature: text(signed.signature, "the signature")?,
        before: chosen.before,
        before_key: chosen.before_key,
        target_key: chosen.target_key,
        images: chosen.images,
        definition: text(chosen.definition, "the definition")?,
        schema: chosen.schema,
        end: None,
    };
    record.verify(site.signatures)?;
    let kept = Kept { key: record.key.clone(), fence: chosen.fence, bytes: record.bytes() };
    site.host.keep(&kept).await?;
    // From here on nobody else changes anything. What they changed until then was not signed.
    let now = site.driver.observe().await;
    if matches!(&now, Ok(now) if is_same(now, &record.before)) {
        return Ok((kept, record));
    }
    site.host.withdraw(&kept).await?;
    let now = now?;
    Err(EngineError::NothingOnHost(format!(
        "while it was signed, something else became live in {}: {}; run the command again",
        site.environment,
        in_words(&now)
    )))
}

/// Does what a record says, or goes on with it, and writes down how it ended.
///
/// # Errors
/// [`EngineError::BadRecord`], and what may pass by itself: the host does not answer, or another deployer holds the lock. The
/// record stays, and the same command goes on with it.
pub async fn go_on(site: &Site<'_>, kept: Kept, record: Record) -> Result<(Kept, Record), EngineError> {
    let said = record.verify(site.signatures)?;
    if said.environment != *site.environment || said.fence() != kept.fence {
        let why = "it is of another environment, or of another number, than the statement says".to_owned();
        return Err(EngineError::BadRecord { key: record.key, why });
    }
    if record.end.is_some() {
        return Ok((kept, record));
    }
    let Some(release) = record.release() else {
        return Err(EngineError::BadRecord { key: record.key, why: "it has no image".to_owned() });
    };
    let app = places::policy(site.ledger)?.app.clone();
    let deployment = Chosen::deployment(app, site.environment, &record, kept.fence);
    let work = Work { site, deployment, release, record: &record };
    let (outcome, checks) = work.done().await?;
    let running = site.driver.observe().await?;
    let end = End { at: site.clock.now(), running, outcome, checks };
    let record = Record { end: Some(end), ..record };
    let kept = Kept { bytes: record.bytes(), ..kept };
    site.host.keep(&kept).await?;
    Ok((kept, record))
}

/// Whether the same runs. What nobody can name is told in changing words.
fn is_same(one: &Observed, other: &Observed) -> bool {
    matches!((one, other), (Observed::Unknown { .. }, Observed::Unknown { .. })) || one == other
}

/// What runs, in words.
fn in_words(observed: &Observed) -> String {
    match observed {
        Observed::Nothing => "nothing runs".to_owned(),
        Observed::Running { release, .. } => format!("{release} runs"),
        Observed::Unknown { what } => format!("something unknown runs: {what}"),
    }
}

/// Whether an error may pass by itself, and says nothing about the release.
fn passes(error: &DriverError) -> bool {
    matches!(error.kind, DriverErrorKind::Locked | DriverErrorKind::Unreachable)
}

struct Work<'a> {
    site: &'a Site<'a>,
    deployment: Deployment,
    release: Release,
    record: &'a Record,
}

/// Hands a driver's words on.
struct Words<'a>(&'a dyn Observer, Step);

impl DriverObserver for Words<'_> {
    fn note(&self, text: &str) {
        self.0.on(&Progress::Note { step: self.1, text: text.to_owned() });
    }
}

/// The log of what was made live.
struct Log<'a>(&'a dyn Driver, &'a Deployment);

#[async_trait::async_trait]
impl LogSource for Log<'_> {
    async fn read(&self) -> Result<Vec<u8>, String> {
        self.0.logs(self.1, CHECKED_LOG).await.map_err(|error| error.message)
    }
}

type Ended = (Outcome, Vec<Asked>);

impl Work<'_> {
    async fn done(&self) -> Result<Ended, EngineError> {
        let live = self.site.host.remembered().await?.live;
        if live.as_deref() != Some(&self.deployment.key)
            && let Some(why) = self.bring_up().await?
        {
            return Ok((why, Vec::new()));
        }
        if let Some(instead) = self.runs_instead().await? {
            return Ok((
                Outcome::Failing { why: format!("{} was made live, and {instead}", self.release) },
                Vec::new(),
            ));
        }
        let checks = self.check().await?;
        if let Some(bad) = checks.iter().find(|check| !check.passed) {
            return Ok((Outcome::Failing { why: format!("{}: {}", bad.check, bad.found) }, checks));
        }
        // Checks ask whoever answers, and that may be the release before.
        if let Some(instead) = self.runs_instead().await? {
            return Ok((Outcome::Failing { why: format!("every check holds, but {instead}") }, checks));
        }
        self.tidy().await?;
        let passed = u32::try_from(checks.len()).unwrap_or(u32::MAX);
        Ok((Outcome::Verified { passed }, checks))
    }

    /// Starts the release beside what is live and moves traffic. `Some` is how it ended, where it did not come to that.
    async fn bring_up(&self) -> Result<Option<Outcome>, EngineError> {
        let Site { driver, observer, .. } = self.site;
        if let Err(error) = driver.prepare(&self.deployment, &Words(*observer, Step::Prepare)).await {
            if passes(&error) {
                return Err(error.into());
            }
            return self.give_up(error).await.map(Some);
        }
        match driver.switch(&self.deployment, &Words(*observer, Step::Switch)).await {
            Ok(_) => Ok(None),
            Err(error) if passes(&error) => Err(error.into()),
            Err(error) => match driver.observe().await? {
                running if is_same(&running, &self.record.before) => self.give_up(error).await.map(Some),
                running => {
                    let why = format!("traffic could not be moved: {error}; {}", in_words(&running));
                    Ok(Some(Outcome::Failing { why }))
                }
            },
        }
    }

    /// Removes what was started; what was live is live.
    async fn give_up(&self, error: DriverError) -> Result<Outcome, EngineError> {
        let words = Words(self.site.observer, Step::Discard);
        let left = self.site.driver.discard(&self.deployment, &words).await.err();
        let left = left.map(|left| format!("; what was started beside it may be left: {left}")).unwrap_or_default();
        let running = self.site.driver.observe().await?;
        if matches!(&running, Observed::Running { release, .. } if *release == self.release) {
            return Ok(Outcome::Failing { why: format!("{error}{left}") });
        }
        Ok(Outcome::Unchanged { code: Code::new(code::of_driver(error.kind)), why: format!("{error}{left}") })
    }

    /// What runs, in words, if it is not what was made live.
    async fn runs_instead(&self) -> Result<Option<String>, EngineError> {
        let observed = self.site.driver.observe().await?;
        let right = matches!(&observed, Observed::Running { release, .. } if *release == self.release);
        Ok((!right).then(|| in_words(&observed)))
    }

    /// Runs the checks of the environment that can be asked without the log, and stops at the first that fails.
    async fn check(&self) -> Result<Vec<Asked>, EngineError> {
        let Site { ledger, environment, driver, prober, observer, .. } = self.site;
        let rules = places::environment(ledger, environment)?;
        let checks = askable(&rules.verify, ledger, &self.release);
        let checks: Vec<Check> = checks.into_iter().filter_map(for_known_good).collect();
        let context = check_context(ledger, &self.release, environment, "")?;
        let logs = Log(*driver, &self.deployment);
        let mut asked = Vec::new();
        for check in &checks {
            let result = prober.run(check, &context, &logs).await;
            observer.on(&Progress::Check { result: result.clone() });
            let found = result.found.chars().take(KEPT_WORDS).collect();
            asked.push(Asked { check: result.check, passed: result.passed, found });
            if !result.passed {
                break;
            }
        }
        Ok(asked)
    }

    /// Stops what was live before. It is kept, but nobody goes back to it by itself.
    async fn tidy(&self) -> Result<(), EngineError> {
        let Site { driver, host, observer, .. } = self.site;
        let words = Words(*observer, Step::Retire);
        let retired = driver.retire(&self.deployment, u32::MAX, &words).await;
        let forgotten = match &self.record.before_key {
            Some(key) if *key != self.deployment.key => host.forget(&self.deployment, key, &words).await,
            _ => Ok(()),
        };
        for error in [retired, forgotten].into_iter().filter_map(Result::err) {
            if passes(&error) {
                return Err(error.into());
            }
            // The earlier release is live and checked. What is left of the other is not worth failing for.
            words.note(&format!("what was live before is not tidied up: {error}"));
        }
        Ok(())
    }
}
