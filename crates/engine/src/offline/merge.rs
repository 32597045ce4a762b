//! Taking rollbacks that were made without the log into it.

use sealift_domain::{
    approval::ActStatement,
    digest::Digest,
    event::Event,
    ledger::Ledger,
    name::{EnvironmentName, PersonId},
    offline::{OfflineRollback, Outcome, not_entitled},
    policy::Policy,
    release::Release,
    schema::Expected,
    undo::Observed,
};

use super::record::{Record, Said};
use crate::{
    book::{Book, Decision, Draft, Ground},
    error::EngineError,
    places,
    ports::{offline::Kept, signature::Signatures},
    world::World,
};

/// A rollback that is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its entry.
    pub entry: u64,
    /// Whether it came in now, and not before.
    pub new: bool,
    /// Where.
    pub environment: EnvironmentName,
    /// Who made it.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// What was to be live again.
    pub to: Release,
    /// How it ended.
    pub outcome: Outcome,
    /// What ran at its end.
    pub running: Observed,
    /// Why the person was not entitled to it; `None` if they were.
    pub not_entitled: Option<String>,
    /// What is to be said of the database, where the log does not know that the release works on it.
    pub unfit: Option<String>,
}

/// The records that a host has for the log. None where its driver keeps none.
pub async fn waiting(world: &World, environment: &EnvironmentName) -> Result<Vec<Kept>, EngineError> {
    match world.drivers.get(environment).and_then(|driver| driver.offline()) {
        Some(host) => Ok(host.records().await?),
        None => Ok(Vec::new()),
    }
}

/// Refuses where a host has a record for the log: what is live there is not what the log says.
///
/// # Errors
/// [`EngineError::Unmerged`].
pub async fn none_waits(world: &World, environment: &EnvironmentName) -> Result<(), EngineError> {
    match waiting(world, environment).await?.as_slice() {
        [] => Ok(()),
        _ => Err(EngineError::Unmerged {
            environment: environment.clone(),
            why: "the log does not have that yet".to_owned(),
            over: true,
        }),
    }
}

/// Takes everything in that the host of an environment has for the log, in the order in which it was done, and lets the host
/// serve promotions again. Doing it twice does it once.
///
/// # Errors
/// [`EngineError::Unmerged`] while such a rollback is not over, [`EngineError::BadRecord`] if a record does not hold. What comes
/// after it stays on the host too.
pub async fn merge(book: &Book, world: &World, environment: &EnvironmentName) -> Result<Vec<Merged>, EngineError> {
    if waiting(world, environment).await?.is_empty() {
        return Ok(Vec::new());
    }
    let Some(host) = world.driver(environment)?.offline() else { return Ok(Vec::new()) };
    // What is under way now is neither taken in nor let go of.
    let _reserved = host.reserve().await?;
    let mut all = Vec::new();
    for kept in host.records().await? {
        let record = Record::read(&kept)?;
        let said = record.verify(world.signatures.as_ref())?;
        if said.fence() != kept.fence || said.environment != *environment {
            let why = format!("what was signed is about {} and the number {}", said.environment, said.fence());
            return Err(EngineError::BadRecord { key: kept.key, why });
        }
        let merged = take(book, &record, &said, &kept.bytes).await?;
        host.settle(&kept, merged.entry).await?;
        all.push(merged);
    }
    Ok(all)
}

/// Takes one record in from a file, wherever that came from. The host lets go of its own when it is asked the next time.
pub async fn merge_bytes(book: &Book, signatures: &dyn Signatures, bytes: &[u8]) -> Result<Merged, EngineError> {
    let bad = |why: String| EngineError::BadRecord { key: "in the file".to_owned(), why };
    let record: Record = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    let said = record.verify(signatures)?;
    record.signed().says::<ActStatement>().map_err(|why| bad(why.to_string()))?;
    plausible(&*book.ledger().await?, &record, &said)
        .map_err(|why| EngineError::BadRecord { key: record.key.clone(), why })?;
    take(book, &record, &said, bytes).await
}

/// Whether a record in a file can be one of this log. A host's own records show by where they lie that it happened there; of a
/// file nobody knows where it comes from, so it must be signed by whom it names, and be about what the log knows.
fn plausible(ledger: &Ledger, record: &Record, said: &Said) -> Result<(), String> {
    let policy = ledger.policy.as_ref().ok_or_else(|| "the log has no policy".to_owned())?;
    if let Some(why) = stranger(policy, said) {
        return Err(format!("{why}; take it in on its host, where that it happened can be seen"));
    }
    let environment = &said.environment;
    let seen = ledger.environments.get(environment);
    let statement = Digest::of(record.statement.as_bytes());
    if seen.is_some_and(|seen| seen.offline.iter().any(|past| past.statement == statement)) {
        return Ok(());
    }
    let live = seen.and_then(|seen| seen.live.as_ref());
    let ended_at = record.end.as_ref().map(|end| end.at);
    if let Some((live, at)) = live.zip(ended_at)
        && live.promotion.is_some_and(|promotion| promotion.0 > said.fence())
        && live.since >= at
    {
        return Err(format!("what is live in {environment} was promoted after that, which is no longer how it is"));
    }
    let known = |release: &Release| {
        let good = seen.is_some_and(|seen| seen.known_good.iter().any(|past| past.release == *release));
        good || ledger.promotions.values().any(|p| p.to == *environment && p.release == *release)
    };
    match record.release() {
        Some(to) if known(&to) => Ok(()),
        _ => Err(format!("the log knows of no such release in {environment}: it may be of another log")),
    }
}

async fn take(book: &Book, record: &Record, said: &Said, bytes: &[u8]) -> Result<Merged, EngineError> {
    book.commit(|ground| {
        let policy = places::policy(ground.ledger)?;
        places::environment(ground.ledger, &said.environment)?;
        if policy.app != said.statement.app {
            let why = format!("it is of the application {}", said.statement.app);
            return Err(EngineError::BadRecord { key: record.key.clone(), why });
        }
        if let Some(merged) = known(ground, record, said) {
            return Ok(Decision::nothing(merged));
        }
        let rollback = event(policy, record, said, Digest::of(bytes))?;
        if let Some(why) = rollback.contradicts_itself() {
            return Err(EngineError::BadRecord { key: record.key.clone(), why: why.to_owned() });
        }
        let value = Merged {
            entry: ground.next,
            new: true,
            environment: rollback.environment.clone(),
            by: rollback.by.clone(),
            reason: rollback.reason.clone(),
            to: rollback.to.clone(),
            outcome: rollback.outcome.clone(),
            running: rollback.running.clone(),
            not_entitled: rollback.not_entitled.clone(),
            unfit: unfit(ground.ledger, &rollback),
        };
        let mut evidence = record.signed().objects();
        evidence.extend([bytes.to_vec(), record.definition.clone().into_bytes()]);
        let event = Event::OfflineRollback(Box::new(rollback));
        Ok(Decision { drafts: vec![Draft { event, evidence }], value })
    })
    .await
}

/// What the log has of a record already.
fn known(ground: &Ground<'_>, record: &Record, said: &Said) -> Option<Merged> {
    let statement = Digest::of(record.statement.as_bytes());
    let past = &ground.ledger.environments.get(&said.environment)?.offline;
    let past = past.iter().find(|past| past.statement == statement)?;
    Some(Merged {
        entry: past.entry,
        new: false,
        environment: said.environment.clone(),
        by: past.by.clone(),
        reason: past.reason.clone(),
        to: past.to.clone(),
        outcome: past.outcome.clone(),
        running: record.end.as_ref().map_or(Observed::Nothing, |end| end.running.clone()),
        not_entitled: past.not_entitled.clone(),
        unfit: None,
    })
}

fn event(policy: &Policy, record: &Record, said: &Said, bytes: Digest) -> Result<OfflineRollback, EngineError> {
    let Said { statement, proof, environment, from, despite_schema } = said;
    let Some(end) = &record.end else {
        let why = format!("that is not over: {} has no end", record.key);
        return Err(EngineError::Unmerged { environment: environment.clone(), why, over: false });
    };
    let Some(to) = record.release() else {
        return Err(EngineError::BadRecord { key: record.key.clone(), why: "it has no image".to_owned() });
    };
    Ok(OfflineRollback {
        environment: environment.clone(),
        from: from.clone(),
        to,
        running: end.running.clone(),
        outcome: end.outcome.clone(),
        fence: said.fence(),
        schema: record.schema,
        despite_schema: *despite_schema,
        began_at: statement.issued_at,
        ended_at: end.at,
        by: statement.person.clone(),
        reason: statement.reason.clone(),
        proof: proof.clone(),
        not_entitled: stranger(policy, said).or_else(|| not_entitled(policy, environment, &statement.person)),
        record: bytes,
        definition: Digest::of(record.definition.as_bytes()),
    })
}

/// What the log knows of the database, where the release that runs is not known to work on it.
fn unfit(ledger: &Ledger, rollback: &OfflineRollback) -> Option<String> {
    let record = ledger.environments.get(&rollback.environment)?;
    let database = record.database.as_ref().filter(|_| rollback.moved() && !record.serves(rollback.schema))?;
    let expected = Expected::from(rollback.schema);
    Some(format!("by the log the database is at {}, and the release that runs {expected}", database.fact))
}

/// That the key is not the person's, by the policy in force.
fn stranger(policy: &Policy, said: &Said) -> Option<String> {
    let sealift_domain::approval::Proof::Sshsig { key, .. } = &said.proof else { return None };
    let person = &said.statement.person;
    match policy.owner_of_key(key) {
        Some((owner, _)) if owner == person => None,
        Some((owner, _)) => Some(format!("it was signed in the name of `{person}` with a key of `{owner}`")),
        None => {
            Some(format!("it was signed in the name of `{person}` with a key that is nobody's in the policy: {key}"))
        }
    }
}
