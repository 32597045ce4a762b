//! Asking for a promotion or a rollback.

use sealift_domain::{
    approval::{Proof, REQUEST_NAMESPACE, RequestStatement, STATEMENT_VERSION},
    digest::Digest,
    event::{Event, PromotionChanged},
    freeze::HoldScope,
    ledger::Ledger,
    name::EnvironmentName,
    policy::Excluded,
    promotion::{Kind, Promotion, PromotionEvent, PromotionId, Request, Requester, Status},
    release::Release,
};

use crate::{
    book::{Book, Decision, Draft, Ground},
    error::EngineError,
    places,
    ports::signature::Signatures,
};

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Promotion or rollback.
    pub kind: Kind,
    /// The origin that was named, if one was.
    pub from: Option<EnvironmentName>,
    /// The target.
    pub to: EnvironmentName,
    /// The release, as found by [`choose`].
    pub release: Release,
    /// Whether a person named it.
    pub by_hand: bool,
    /// Who asks.
    pub requester: Requester,
    /// Objects that prove who asks.
    pub proof: Vec<Vec<u8>>,
    /// Why.
    pub reason: Option<String>,
    /// The run of the pipeline.
    pub run_id: Option<String>,
}

/// The release to promote: what the environment before has verified, for the first environment what was built last. A
/// release that a person named is taken as it is; the gates compare it.
pub fn choose(ledger: &Ledger, to: &EnvironmentName, named: Option<Release>) -> Result<Release, EngineError> {
    let environment = places::environment(ledger, to)?;
    if let Some(named) = named {
        return Ok(named);
    }
    match &environment.from {
        Some(from) => {
            let record = ledger.environments.get(from);
            let live = record.and_then(|record| record.live.as_ref()).map(|live| live.release.clone());
            live.ok_or_else(|| {
                EngineError::NothingToPromote(format!("nothing is live in {from}, where {to} gets its releases from"))
            })
        }
        None if environment.components.len() == 1 => {
            let name = environment.components.keys().next().cloned();
            let newest = name.zip(ledger.newest_build).and_then(|pair| Release::new([pair].into()));
            newest.ok_or_else(|| EngineError::NothingToPromote("no build is on record".to_owned()))
        }
        None => Err(EngineError::NothingToPromote(format!(
            "{to} is the first environment and has several components: name each digest"
        ))),
    }
}

/// The release to roll back to: the newest known-good one that is neither live nor on hold and that works on the database by
/// its schema labels, or the one that a person named, which the gates judge.
pub fn choose_rollback(ledger: &Ledger, to: &EnvironmentName, named: Option<Release>) -> Result<Release, EngineError> {
    places::environment(ledger, to)?;
    let record = ledger.environments.get(to);
    let known = record.map(|record| record.known_good.as_slice()).unwrap_or_default();
    let live = record.and_then(|record| record.live.as_ref()).map(|live| &live.release);
    if let Some(named) = named {
        return match known.iter().find(|past| past.release == named) {
            Some(past) => Ok(past.release.clone()),
            None => Err(EngineError::NoRollbackTarget(format!(
                "{named} was never verified in {to}, so nothing says that it works"
            ))),
        };
    }
    if let Some(past) = ledger.ways_back(to).pop() {
        return Ok(past.release.clone());
    }
    let held = |release: &Release| {
        release.components().any(|(_, digest)| ledger.holds.contains_key(&HoldScope::Digest(digest)))
    };
    let earlier = known.iter().rev().find(|past| Some(&past.release) != live && !held(&past.release));
    Err(match (earlier, record.and_then(|record| record.database.as_ref())) {
        (Some(newest), Some(database)) => EngineError::PastDatabase {
            environment: to.clone(),
            database: database.fact,
            newest: places::called(ledger, &newest.release),
            expected: newest.schema.into(),
        },
        _ => EngineError::NoRollbackTarget(format!("no other release was ever verified in {to}")),
    })
}

/// Checks a signed request and tells whose it is.
pub fn requester(
    ledger: &Ledger,
    signatures: &dyn Signatures,
    statement: &[u8],
    signature: &[u8],
    ask: &Ask,
) -> Result<Requester, EngineError> {
    let parsed: RequestStatement =
        serde_json::from_slice(statement).map_err(|e| EngineError::Statement(e.to_string()))?;
    let policy = places::policy(ledger)?;
    let key = signatures.key_of(signature).map_err(EngineError::Signature)?;
    let (id, _) = policy.owner_of_key(&key).ok_or_else(|| EngineError::UnknownKey(key.clone()))?;
    signatures.verify(&key, REQUEST_NAMESPACE, statement, signature).map_err(EngineError::Signature)?;
    let release: std::collections::BTreeMap<_, _> =
        ask.release.components().map(|(name, digest)| (name.clone(), digest)).collect();
    let right = parsed.v == STATEMENT_VERSION
        && parsed.app == policy.app
        && parsed.kind == ask.kind
        && parsed.release == release
        && parsed.to == ask.to
        && parsed.requester == *id;
    if !right {
        return Err(EngineError::Statement("it asks for something else, or in another's name".to_owned()));
    }
    let proof = Proof::Sshsig { key, statement: Digest::of(statement), signature: Digest::of(signature) };
    Ok(Requester::Person { id: id.clone(), proof })
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is on record.
    New(PromotionId),
    /// The same was asked for before and is not over; this goes on with it.
    Open(PromotionId),
}

impl Asked {
    /// The promotion.
    pub fn id(self) -> PromotionId {
        match self {
            Self::New(id) | Self::Open(id) => id,
        }
    }
}

/// Puts a request on record. A pending older one is superseded; one that is the same is gone on with; while another is
/// being worked on, nothing is asked.
pub async fn ask(book: &Book, ask: &Ask) -> Result<Asked, EngineError> {
    book.commit(|ground| decide(ground, ask)).await
}

fn decide(ground: &Ground<'_>, ask: &Ask) -> Result<Decision<Asked>, EngineError> {
    let environment = places::environment(ground.ledger, &ask.to)?;
    let open = ground.ledger.open_promotion(&ask.to);
    if let Some(open) = open.filter(|open| open.release == ask.release && open.kind == ask.kind) {
        return Ok(Decision::nothing(Asked::Open(open.id)));
    }
    if let Some(running) = open.filter(|open| open.status() == Status::InProgress) {
        return Err(held(ground.ledger, running));
    }
    let excluded = environment.approval.as_ref().is_some_and(|rule| rule.not.contains(&Excluded::Requester));
    if excluded && ask.requester == Requester::Unknown {
        return Err(EngineError::RequesterUnknown(ask.to.clone()));
    }
    let id = PromotionId(ground.next);
    let request = Request {
        kind: ask.kind,
        from: environment.from.clone().filter(|_| ask.kind == Kind::Promote),
        asked_from: ask.from.clone(),
        to: ask.to.clone(),
        release: ask.release.clone(),
        by_hand: ask.by_hand,
        requester: ask.requester.clone(),
        reason: ask.reason.clone(),
        run_id: ask.run_id.clone(),
        policy: places::policy(ground.ledger)?.digest(),
    };
    let mut drafts = vec![Draft { event: change(id, PromotionEvent::Requested(request)), evidence: ask.proof.clone() }];
    drafts.extend(open.map(|old| change(old.id, PromotionEvent::Superseded { by: id }).into()));
    Ok(Decision { drafts, value: Asked::New(id) })
}

/// An event of a promotion that needs no lease.
pub(crate) fn change(promotion: PromotionId, change: PromotionEvent) -> Event {
    Event::Promotion(Box::new(PromotionChanged { promotion, lease: None, cost: None, change }))
}

/// That another promotion has the environment.
pub(crate) fn held(ledger: &Ledger, by: &Promotion) -> EngineError {
    let until = ledger.leases.get(&by.to).map_or(by.requested_at, |lease| lease.expires_at);
    EngineError::Held { environment: by.to.clone(), by: by.id, until }
}
