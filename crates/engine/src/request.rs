//! Asking for a promotion or a rollback.

use jiff::Timestamp;
use sealift_domain::{
    approval::{Proof, REQUEST_NAMESPACE, RequestStatement, STATEMENT_VERSION, Workload},
    digest::Digest,
    event::{Event, PromotionChanged},
    freeze::HoldScope,
    ledger::Ledger,
    name::{EnvironmentName, PersonId},
    policy::{Contact, Environment, Excluded, Person, Policy},
    promotion::{Kind, Promotion, PromotionEvent, PromotionId, Request, Requester, Status},
    release::Release,
};

use crate::{
    act::Signed,
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
    /// Whether it is to go the expedited way.
    pub expedited: bool,
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
    signed: &Signed,
    ask: &Ask,
) -> Result<Requester, EngineError> {
    let (id, proof) = signed.signer(ledger, signatures, REQUEST_NAMESPACE)?;
    let parsed: RequestStatement = signed.says()?;
    let policy = places::policy(ledger)?;
    let release: std::collections::BTreeMap<_, _> =
        ask.release.components().map(|(name, digest)| (name.clone(), digest)).collect();
    let right = parsed.v == STATEMENT_VERSION
        && parsed.app == policy.app
        && parsed.kind == ask.kind
        && parsed.release == release
        && parsed.to == ask.to
        && parsed.reason == ask.reason
        && parsed.expedited == ask.expedited
        && parsed.requester == id;
    if !right {
        return Err(EngineError::Statement("it asks for something else, or in another's name".to_owned()));
    }
    Ok(Requester::Person { id, proof })
}

/// Checks a token and tells which workload asks, and which person started it: the one whose account on GitHub the contacts
/// of the policy name. With it come the objects that prove it.
pub fn workload(
    ledger: &Ledger,
    signatures: &dyn Signatures,
    token: &[u8],
    now: Timestamp,
) -> Result<(Requester, Vec<Vec<u8>>), EngineError> {
    let policy = places::policy(ledger)?;
    let claims = signatures.token(token, &policy.identities, now).map_err(EngineError::Token)?;
    if claims.expires_at <= now {
        return Err(EngineError::Token("it has expired".to_owned()));
    }
    let keys = claims.provider.jwks.clone().into_bytes();
    let account = claims.actor.as_deref().filter(|_| speaks_of_github(&claims.provider.issuer));
    let workload = Workload {
        actor: account.and_then(|account| person_of(ledger, account)),
        issuer: claims.provider.issuer,
        subject: claims.subject,
        actor_id: claims.actor_id,
        repository: claims.repository,
        run_id: claims.run_id,
        sha: claims.sha,
        reference: claims.reference,
        workflow_ref: claims.workflow_ref,
        proof: Proof::Oidc { token: Digest::of(&claims.token), keys: Digest::of(&keys) },
    };
    Ok((Requester::Workload(Box::new(workload)), vec![claims.token, keys]))
}

/// Whether an issuer's accounts are those of github.com, which the contacts name. An enterprise there may have an issuer of its
/// own below the same address. At any other issuer, anybody could have taken the same name.
fn speaks_of_github(issuer: &str) -> bool {
    let below = issuer.strip_prefix("https://token.actions.githubusercontent.com");
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The person of the policy with this account on GitHub, where upper and lower case are the same. Nobody, if several have it
/// or the openings were erased: whoever is not known for certain is not known.
pub(crate) fn person_of(ledger: &Ledger, account: &str) -> Option<PersonId> {
    let people = &ledger.policy.as_ref()?.people;
    let has = |contact: &Contact| {
        contact.github.as_ref().and_then(|github| github.text()).is_some_and(|text| text.eq_ignore_ascii_case(account))
    };
    let mut owners = ledger.contacts.iter().filter(|(id, contact)| people.contains_key(id) && has(contact));
    match (owners.next(), owners.next()) {
        (Some((id, _)), None) => Some(id.clone()),
        _ => None,
    }
}

/// What a request is told apart by: what was signed, or the token. Whoever finds it in the log asks for nothing with it.
fn used_before(ledger: &Ledger, requester: &Requester) -> bool {
    let mark = |requester: &Requester| match requester.proof()? {
        Proof::Sshsig { statement, .. } => Some(*statement),
        Proof::Oidc { token, .. } => Some(*token),
        _ => None,
    };
    let Some(ours) = mark(requester) else { return false };
    ledger.promotions.values().any(|promotion| mark(&promotion.requester) == Some(ours))
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
    if let Some(open) = open.filter(|open| ask.is_the_same_as(open)) {
        return Ok(Decision::nothing(Asked::Open(open.id)));
    }
    if let Some(running) = open.filter(|open| open.status() == Status::InProgress) {
        return Err(held(ground.ledger, running));
    }
    let excluded = environment.approval.as_ref().is_some_and(|rule| rule.not.contains(&Excluded::Requester));
    if excluded && ask.requester.person().is_none() {
        return Err(EngineError::RequesterUnknown(ask.to.clone()));
    }
    if used_before(ground.ledger, &ask.requester) {
        let why = "it was asked with before; sign anew, or fetch another token".to_owned();
        return Err(EngineError::Statement(why));
    }
    if ask.expedited {
        allow_expedited(environment, ask)?;
    }
    somebody_may_approve(places::policy(ground.ledger)?, environment, ask)?;
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
        expedited: ask.expedited,
    };
    let mut drafts = vec![Draft { event: change(id, PromotionEvent::Requested(request)), evidence: ask.proof.clone() }];
    drafts.extend(open.map(|old| change(old.id, PromotionEvent::Superseded { by: id }).into()));
    Ok(Decision { drafts, value: Asked::New(id) })
}

/// A request that nobody could ever approve is not put on record: it would only wait until it lapses.
fn somebody_may_approve(policy: &Policy, environment: &Environment, ask: &Ask) -> Result<(), EngineError> {
    let expedited = environment.expedited.as_ref().filter(|_| ask.expedited);
    let rule = expedited.map(|way| way.rule(environment.approval.as_ref())).or(environment.approval.clone());
    let (Some(rule), Some(who)) = (rule, ask.requester.person()) else { return Ok(()) };
    if !rule.not.contains(&Excluded::Requester) {
        return Ok(());
    }
    let may = |(id, person): &(&PersonId, &Person)| *id != who && !person.roles.is_disjoint(&rule.roles);
    let left = policy.people.iter().filter(may).count();
    if left >= rule.count as usize {
        return Ok(());
    }
    let roles: Vec<&str> = rule.roles.iter().map(|role| role.as_str()).collect();
    let (to, count, roles) = (&ask.to, rule.count, roles.join(" or "));
    let why = format!(
        "{to} wants {count} with the role {roles} to approve, nobody approves what they asked for, and beside `{who}` there \
         are {left}; somebody else asks, or a further person comes into sealift.yaml and `sealift policy accept` makes it \
         the policy"
    );
    Err(EngineError::MayNot { who: who.clone(), why })
}

/// The expedited way is open where the policy says so, to whoever says why.
fn allow_expedited(environment: &Environment, ask: &Ask) -> Result<(), EngineError> {
    if environment.expedited.is_none() {
        return Err(EngineError::NoSuchWay { environment: ask.to.clone(), key: "expedited" });
    }
    match &ask.reason {
        Some(reason) if !reason.trim().is_empty() => Ok(()),
        _ => Err(EngineError::Statement("an expedited promotion says why: `--reason \"…\"`".to_owned())),
    }
}

impl Ask {
    /// Whether an open promotion is what is asked for. One that is expedited already is gone on with by the plain command too.
    pub fn is_the_same_as(&self, open: &Promotion) -> bool {
        open.release == self.release && open.kind == self.kind && (open.expedited || !self.expedited)
    }
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
