//! A request for approval, and its answer, as files: for people whose machine reaches neither the log nor a network.
//!
//! What is shown on such a machine follows, as far as it can, from what is signed there: the digests in the statement are computed
//! from the policy, the judged gates and the definition that the file carries. What nothing binds is told by the file alone, and
//! [`Opened::told`] names it.

mod answer;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

pub use answer::{MAX_ANSWER, answer, read_answer};
use jiff::Timestamp;
use sealift_domain::{
    approval::Binding,
    digest::Digest,
    event::Event,
    gate::Judged,
    ledger::{EnvironmentRecord, Ledger, Live},
    policy::Policy,
    promotion::{Kind, Promotion, PromotionId, Stage, Wait},
    record::{Build, Recorded},
    schema::Schema,
};
use serde::{Deserialize, Serialize};

use crate::{book::Book, comment, decide, error::EngineError, judge, places, replay, world::World};

/// The largest request that is read, in bytes.
pub const MAX_REQUEST: usize = 8 << 20;
/// The largest piece of evidence, or definition, that travels with a request, in bytes.
const MAX_PIECE: usize = 256 << 10;
/// All pieces together, in bytes.
const MAX_PIECES: usize = 2 << 20;
/// What is told of the gates: a digest of what each rests on is bound, and nothing else of it.
pub const VERDICTS: &str = "the verdicts in words, and the gates that rest on no evidence";
/// The longest reason of a promotion that is shown to who signs, in characters.
const MAX_REASON: usize = 2000;
/// What is told of the log: until when consent is waited for is an entry of it, and no statement is bound to either.
pub const LOG: &str = "how long it waits, and the checkpoint of the log";
/// The version of both forms.
const VERSION: u32 = 1;

/// A request as it stands in a file: JSON, exactly as this program prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    /// The version of the form, 1.
    sealift_request: u32,
    /// The digest of [`Request`] as compact JSON: what went wrong on the way is noticed.
    digest: Digest,
    request: Request,
}

/// Everything that a person needs to decide on a promotion, and what their statement is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What a statement will be bound to.
    pub binding: Binding,
    /// What to write in a comment on GitHub, where the rule accepts that.
    pub comment: Option<String>,
    /// When it was exported.
    pub exported_at: Timestamp,
    /// When the promotion lapses without consent.
    pub lapses_at: Timestamp,
    /// The newest signed checkpoint of the log then (C2SP tlog-checkpoint), for the approver to keep.
    pub checkpoint: String,
    /// The policy in force.
    pub policy: Policy,
    /// The promotion, with its judged gates.
    pub promotion: Promotion,
    /// The definition that the release would be started from.
    pub definition: Option<Digest>,
    /// What the gates used and the definitions, by digest, as far as they are texts and not too large.
    pub pieces: BTreeMap<Digest, String>,
    /// What nothing that is signed binds.
    pub told: Told,
}

/// What the log says and no statement is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// What is live in the target.
    pub live: Option<Live>,
    /// What its database is at.
    pub database: Option<Recorded<Schema>>,
    /// Builds of what is live and of what would be.
    pub builds: BTreeMap<Digest, Recorded<Build>>,
}

/// A request that was read and agrees with itself.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What it says.
    pub request: Request,
    /// The part of a ledger that it is, to decide on.
    pub ledger: Ledger,
    /// What is shown of it and follows from nothing that is signed, in words.
    pub told: Vec<&'static str>,
}

/// Takes the request of a promotion that waits for approval out of the log.
///
/// # Errors
/// It does not wait for approval, or the log does not answer.
pub async fn export(book: &Book, world: &World, id: PromotionId) -> Result<Vec<u8>, EngineError> {
    let ledger = book.ledger().await?;
    let promotion = decide::promotion(&ledger, id)?;
    let lapses_at = waits_until(promotion).filter(|_| decide::takes_decisions(promotion)).ok_or_else(|| {
        EngineError::WrongState { id, status: promotion.status(), why: "it does not wait for approval".to_owned() }
    })?;
    let evidence = promotion.evidence.unwrap_or(Digest::of(b""));
    let binding = judge::binding(&ledger, promotion, evidence, judge::waived(&promotion.judged))?;
    let told = told(&ledger, promotion);
    let definition = definition(book, world, promotion).await?;
    let request = Request {
        pieces: pieces(book, world, promotion, (definition, &told)).await?,
        comment: comment::wanted(&ledger, promotion)?,
        exported_at: world.clock.now(),
        lapses_at,
        checkpoint: book.log().checkpoint().await?,
        policy: places::policy(&ledger)?.clone(),
        promotion: promotion.clone(),
        definition,
        binding,
        told,
    };
    let bytes = written(&request)?;
    if bytes.len() > MAX_REQUEST {
        return Err(EngineError::Request(format!(
            "it has {} bytes, and no more than {MAX_REQUEST} are read",
            bytes.len()
        )));
    }
    Ok(bytes)
}

fn written(request: &Request) -> Result<Vec<u8>, EngineError> {
    let unwritable = |why: serde_json::Error| EngineError::Request(why.to_string());
    let digest = Digest::of(&serde_json::to_vec(request).map_err(unwritable)?);
    let file = RequestFile { sealift_request: VERSION, digest, request: request.clone() };
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(unwritable)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Until when consent is waited for.
fn waits_until(promotion: &Promotion) -> Option<Timestamp> {
    match &promotion.stage {
        Stage::Waiting(Wait::Approval { until, .. }) => Some(*until),
        _ => promotion.lapses_at,
    }
}

fn told(ledger: &Ledger, promotion: &Promotion) -> Told {
    let record = ledger.environments.get(&promotion.to);
    let live = record.and_then(|record| record.live.clone());
    let shown = live.iter().flat_map(|live| live.release.components()).chain(promotion.release.components());
    let builds = shown.filter_map(|(_, digest)| Some((digest, ledger.builds.get(&digest)?.clone()))).collect();
    Told { live, database: record.and_then(|record| record.database.clone()), builds }
}

/// The definition that the judgement was bound to: the one here, or else what the log kept of it.
async fn definition(book: &Book, world: &World, promotion: &Promotion) -> Result<Option<Digest>, EngineError> {
    let bound = |definition| promotion.evidence == Some(judge::evidence_digest(&promotion.judged, definition));
    if promotion.kind == Kind::Rollback || bound(None) {
        return Ok(None);
    }
    if let Ok(here) = judge::definition(world, promotion)
        && bound(here)
    {
        return Ok(here);
    }
    let kept = replay::recorded(book, promotion.id).await?.kept;
    let kept = kept.and_then(|kept| kept.definition).filter(|kept| bound(Some(*kept)));
    kept.map(Some).ok_or_else(|| {
        let why =
            "what the gates were judged with is neither here nor beside the log; export it where the promotion is run";
        EngineError::Request(why.to_owned())
    })
}

/// The texts behind the digests: both definitions first, then what the gates used.
async fn pieces(
    book: &Book,
    world: &World,
    promotion: &Promotion,
    (definition, told): (Option<Digest>, &Told),
) -> Result<BTreeMap<Digest, String>, EngineError> {
    let here = world.drivers.get(&promotion.to).and_then(|driver| driver.definition().ok());
    let before = told.live.as_ref().and_then(|live| live.definition);
    let used = promotion.judged.iter().flat_map(|judged| judged.finding.evidence.iter().copied());
    let mut pieces = BTreeMap::new();
    let mut room = MAX_PIECES;
    for digest in definition.into_iter().chain(before).chain(used) {
        let bytes = match &here {
            Some(bytes) if Digest::of(bytes) == digest => Some(bytes.clone()),
            _ => book.object(digest).await?,
        };
        let fits = |bytes: &Vec<u8>| bytes.len() <= MAX_PIECE.min(room);
        let Some(text) = bytes.filter(fits).and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
        if let Entry::Vacant(place) = pieces.entry(digest) {
            room -= text.len();
            place.insert(text);
        }
    }
    Ok(pieces)
}

/// Reads a request, and compares every digest in it with what it is the digest of.
///
/// # Errors
/// [`EngineError::Request`], or [`EngineError::RequestLapsed`].
pub fn open(bytes: &[u8], now: Timestamp) -> Result<Opened, EngineError> {
    let wrong = |why: &str| Err(EngineError::Request(why.to_owned()));
    if bytes.len() > MAX_REQUEST {
        return wrong("it is larger than any that this program makes");
    }
    let file: RequestFile = serde_json::from_slice(bytes)
        .map_err(|why| EngineError::Request(format!("it is no file of `sealift request export`: {why}")))?;
    if file.sealift_request != VERSION {
        return Err(EngineError::Request(format!(
            "it has version {}, and this program knows {VERSION}: use a newer program",
            file.sealift_request
        )));
    }
    let request = file.request;
    if written(&request)? != bytes {
        return wrong("it was edited, cut or written by another version of this program");
    }
    if request.promotion.reason.as_ref().is_some_and(|reason| reason.chars().nth(MAX_REASON).is_some()) {
        return Err(EngineError::Request(format!("its reason has more than {MAX_REASON} characters")));
    }
    let ledger = ledger_of(&request);
    agrees(&request, &ledger)?;
    if now >= request.lapses_at {
        return Err(EngineError::RequestLapsed(request.lapses_at));
    }
    let told = what_is_told(&request)?;
    Ok(Opened { request, ledger, told })
}

/// The part of a ledger that a request is.
fn ledger_of(request: &Request) -> Ledger {
    let Told { live, database, builds } = request.told.clone();
    let (id, to) = (request.promotion.id, request.promotion.to.clone());
    let record = EnvironmentRecord { live, database, ..EnvironmentRecord::default() };
    Ledger {
        policy: Some(request.policy.clone()),
        builds,
        environments: [(to, record)].into(),
        promotions: [(id, Arc::new(request.promotion.clone()))].into(),
        ..Ledger::default()
    }
}

/// That what is to be signed follows from what the file carries.
fn agrees(request: &Request, ledger: &Ledger) -> Result<(), EngineError> {
    let Request { binding, promotion, definition, .. } = request;
    let wrong = |why: &str| Err(EngineError::Request(why.to_owned()));
    if request.policy.digest() != binding.policy_digest {
        return wrong("its policy has another digest than the one that would be signed");
    }
    if judge::evidence_digest(&promotion.judged, *definition) != binding.evidence_digest {
        return wrong("its gates and its definition have another digest than the one that would be signed");
    }
    let own = judge::binding(ledger, promotion, binding.evidence_digest, judge::waived(&promotion.judged))?;
    if own != *binding
        || promotion.evidence != Some(binding.evidence_digest)
        || promotion.policy != binding.policy_digest
    {
        return wrong("its promotion is another than the one that would be signed");
    }
    let admits = !promotion.judged.is_empty() && promotion.judged.iter().all(Judged::admits);
    if !admits || !decide::takes_decisions(promotion) || waits_until(promotion) != Some(request.lapses_at) {
        return wrong("its promotion does not wait for approval");
    }
    if request.comment != comment::wanted(ledger, promotion)? {
        return wrong("the comment that it asks for stands for something else");
    }
    match request.pieces.iter().find(|(digest, text)| Digest::of(text.as_bytes()) != **digest) {
        Some((digest, _)) => Err(EngineError::Request(format!("its piece {digest} has another digest"))),
        None => Ok(()),
    }
}

/// What is shown and rests on the file's word alone. A build whose record a gate used, and whose bytes are here, is bound.
fn what_is_told(request: &Request) -> Result<Vec<&'static str>, EngineError> {
    let used = request.promotion.judged.iter().filter(|judged| judged.passed());
    let used: BTreeSet<Digest> = used.flat_map(|judged| judged.finding.evidence.iter().copied()).collect();
    let mut bound: BTreeMap<Digest, Build> = BTreeMap::new();
    for (_, text) in request.pieces.iter().filter(|(digest, _)| used.contains(digest)) {
        if let Ok(Event::BuildRecorded(build)) = serde_json::from_str(text) {
            bound.insert(build.digest, build);
        }
    }
    let mut all_bound = true;
    for (_, digest) in request.promotion.release.components() {
        match (bound.get(&digest), request.told.builds.get(&digest)) {
            (Some(bound), Some(told)) if told.fact != *bound => {
                let why = "what it says of a build is not what the gates used";
                return Err(EngineError::Request(why.to_owned()));
            }
            (Some(_), Some(_)) => {}
            _ => all_bound = false,
        }
    }
    let mut told = vec!["what is live now, and what it was started from", "who asked, when and why", VERDICTS, LOG];
    if !all_bound {
        told.insert(0, "the version and the commit");
    }
    if request.told.database.is_some() || request.promotion.schema.is_some() {
        told.push("what becomes of the database");
    }
    Ok(told)
}
