//! Driving a promotion: ask the heart for its intent, do it, commit how it went, ask again.
//!
//! Nothing here remembers anything that a crash could lose. A run that was killed is resumed by starting another, which
//! reads the log and goes on at the same step; each step is idempotent.

mod lease;
mod steps;
mod watch;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sealift_domain::{
    approval::NotCounted,
    cost::Cost,
    event::{Event, LeaseReleased, PromotionChanged},
    gate::Judged,
    ledger::Ledger,
    name::{EnvironmentName, PersonId},
    policy::AttestRule,
    promotion::{Intent, Judgement, Next, Promotion, PromotionEvent, PromotionId, Status, Step, Wait},
    quantity::Period,
    signature::PublicKey,
};

use crate::{
    book::{Book, Decision, Draft, Ground},
    decide::promotion,
    error::EngineError,
    gather,
    inbox::{self, Taken},
    judge, keep, meter, offline, outbox, places,
    ports::driver::{Deployment, Driver},
    progress::{Observer, Progress},
    request::change,
    silent,
    usual::usual,
    world::World,
};
use steps::{Outcome, StepError};
pub(crate) use steps::{availability_result, check_context, for_known_good, summarise};
use watch::Watches;

/// How a run behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Whether to stay and wait for a condition (a soak, the end of a freeze) instead of coming back later.
    pub wait: bool,
}

/// One run of the program over one promotion.
pub struct Worker<'a> {
    book: &'a Book,
    world: &'a World,
    observer: &'a dyn Observer,
    options: RunOptions,
    watches: Watches,
    /// Whether this run has done a step. Of the step that a run begins with, an earlier one may have done a part.
    went_on: AtomicBool,
}

impl<'a> Worker<'a> {
    /// A run that reports to `observer`.
    pub fn new(book: &'a Book, world: &'a World, observer: &'a dyn Observer, options: RunOptions) -> Self {
        Self { book, world, observer, options, watches: Watches::default(), went_on: AtomicBool::new(false) }
    }

    /// Goes on with a promotion until it is over or waits, and returns its state then.
    pub async fn run(&self, id: PromotionId) -> Result<Status, EngineError> {
        let result = self.go_on(id).await;
        self.watches.abandon().await;
        let status = result?;
        outbox::deliver(self.book, self.world, outbox::Effort::Full).await?;
        self.observer.on(&Progress::Rested { promotion: id, status });
        Ok(status)
    }

    async fn go_on(&self, id: PromotionId) -> Result<Status, EngineError> {
        self.announce(id).await?;
        // Before anything else: what was handed in in time must not be too late because nobody took it in.
        self.take_in(id).await?;
        // A pending promotion is judged anew in every run: what it waits for may have come, or gone.
        let mut fresh = true;
        loop {
            let ledger = self.book.ledger().await?;
            let promotion = promotion(&ledger, id)?;
            match promotion.intent() {
                Intent::Rest => return Ok(promotion.status()),
                Intent::Judge => self.judge(id).await?,
                Intent::Await(wait) if self.has_lapsed(wait) => self.lapse(id).await?,
                Intent::Await(_) if fresh => self.judge(id).await?,
                Intent::Await(Wait::Condition { until, .. }) if self.options.wait => {
                    self.world.clock.sleep(Period::between(self.world.clock.now(), *until)).await;
                    self.take_in(id).await?;
                    self.judge(id).await?;
                }
                Intent::Await(wait) => {
                    self.report_wait(wait);
                    return Ok(promotion.status());
                }
                Intent::Perform(step) => self.step(&ledger, promotion, step).await?,
            }
            fresh = false;
        }
    }

    async fn announce(&self, id: PromotionId) -> Result<(), EngineError> {
        let ledger = self.book.ledger().await?;
        let promotion = promotion(&ledger, id)?;
        let live = ledger.environments.get(&promotion.to).and_then(|record| record.live.as_ref());
        self.observer.on(&Progress::Began {
            promotion: id,
            app: places::policy(&ledger)?.app.clone(),
            kind: promotion.kind,
            live: live.map(|live| places::called(&ledger, &live.release)),
            release: places::called(&ledger, &promotion.release),
            to: promotion.to.clone(),
            resumed: promotion.status() == Status::InProgress,
        });
        Ok(())
    }

    fn has_lapsed(&self, wait: &Wait) -> bool {
        matches!(wait, Wait::Approval { until, .. } if self.world.clock.now() >= *until)
    }

    fn has_lapsed_in(&self, promotion: &Promotion) -> bool {
        matches!(promotion.intent(), Intent::Await(wait) if self.has_lapsed(wait))
    }

    async fn lapse(&self, id: PromotionId) -> Result<(), EngineError> {
        self.book
            .commit(|ground| {
                // Somebody may have decided meanwhile.
                let waits = self.has_lapsed_in(promotion(ground.ledger, id)?);
                let drafts = waits.then(|| change(id, PromotionEvent::Lapsed).into());
                Ok(Decision { drafts: drafts.into_iter().collect(), value: () })
            })
            .await
    }

    fn report_wait(&self, wait: &Wait) {
        let (reason, until) = match wait {
            Wait::Approval { until, missing: 1 } => ("an approval".to_owned(), *until),
            Wait::Approval { until, missing } => (format!("{missing} approvals"), *until),
            Wait::Condition { until, reason } => (reason.clone(), *until),
        };
        self.observer.on(&Progress::Waiting { reason, until });
    }

    /// Judges the gates on what is so now, and commits what follows. With an admission comes the lease.
    async fn judge(&self, id: PromotionId) -> Result<(), EngineError> {
        let began = self.world.clock.now();
        let ledger = self.book.ledger().await?;
        let gathered = gather::gather(self.book, self.world, &ledger, promotion(&ledger, id)?).await?;
        let on_host = silent::rests_on_host(self.world, &ledger, promotion(&ledger, id)?, &gathered).await?;
        let definition = judge::definition(self.world, promotion(&ledger, id)?)?;
        let judged = self
            .book
            .commit(|ground| {
                let promotion = promotion(ground.ledger, id)?;
                // While the registries were read, somebody may have ended it, or another run may have begun with it.
                if !matches!(promotion.intent(), Intent::Judge | Intent::Await(_)) {
                    return Ok(Decision::nothing(None));
                }
                // Somebody decided meanwhile, and nobody has verified that yet: it is judged again.
                if !gathered.proven.covers(promotion) {
                    return Ok(Decision::nothing(None));
                }
                let facts = judge::facts(ground.ledger, promotion, gathered.clone(), ground.now)?;
                let judgement =
                    judge::judge(ground.ledger, promotion, &facts, definition, (on_host, &gathered.proven))?;
                // Before anything is copied: without the key, the admission would come to nothing.
                if let (Next::Admit { .. }, Some(rule)) =
                    (&judgement.next, attest_rule(ground.ledger, &judgement, promotion)?)
                {
                    key_for(self.world, &promotion.to, rule)?;
                }
                let value = Some((judgement.gates.clone(), judgement.next.clone()));
                if says_nothing_new(promotion, &judgement) {
                    return Ok(Decision::nothing(value));
                }
                let kept = keep::keep(judgement, facts, &gathered, (definition, on_host))?;
                Ok(Decision { drafts: self.judged(ground, promotion, kept)?, value })
            })
            .await?;
        if !gathered.proven.refused.is_empty() {
            self.observer.on(&Progress::Unproven { consent: gathered.proven.refused.iter().map(unproven).collect() });
        }
        if let Some((gates, next)) = judged {
            self.report_judgement(gates, &next, began);
        }
        outbox::deliver(self.book, self.world, outbox::Effort::Once).await
    }

    /// Takes what people handed in who cannot write to the log. Who took an approval back there must be heard too.
    async fn take_in(&self, id: PromotionId) -> Result<(), EngineError> {
        let Some(inbox) = &self.world.inbox else { return Ok(()) };
        let ledger = self.book.ledger().await?;
        let (signatures, to) = (self.world.signatures.as_ref(), &promotion(&ledger, id)?.to);
        let taken = inbox::take_in(self.book, signatures, inbox.as_ref(), Some(to)).await?;
        if !taken.is_empty() {
            self.observer.on(&Progress::TakenIn { statements: taken.iter().map(Taken::in_words).collect() });
        }
        Ok(())
    }

    fn judged(
        &self,
        ground: &Ground<'_>,
        promotion: &Promotion,
        (judgement, evidence): (Judgement, Vec<Vec<u8>>),
    ) -> Result<Vec<Draft>, EngineError> {
        let mut drafts = Vec::new();
        if matches!(judgement.next, Next::Admit { .. }) {
            drafts.extend(lease::claim(ground, promotion, self.world.host.as_ref())?);
        }
        drafts.push(Draft { event: change(promotion.id, PromotionEvent::Judged(judgement)), evidence });
        Ok(drafts)
    }

    fn report_judgement(&self, gates: Vec<Judged>, next: &Next, began: jiff::Timestamp) {
        let now = self.world.clock.now();
        self.observer.on(&Progress::Gates { gates, took: Period::between(began, now) });
        if let Next::Admit { consent, .. } = next
            && !consent.is_empty()
        {
            self.observer.on(&Progress::Consent { by: consent.clone(), at: now });
        }
    }

    /// Does one step under the lease and commits how it went.
    async fn step(&self, ledger: &Arc<Ledger>, promotion: &Promotion, step: Step) -> Result<(), EngineError> {
        offline::none_waits(self.world, &promotion.to).await?;
        let fence = lease::hold(self.book, self.world, promotion).await?;
        self.key_at_hand(&steps::Context { ledger, promotion, step, fence })?;
        let began = self.world.clock.now();
        self.observer
            .on(&Progress::StepBegan { step, usually: usual(ledger, &promotion.to, step, Some(promotion.id)) });
        let (outcome, cost) = {
            let work = self.perform(ledger, promotion, step, fence);
            let work = meter::measured(self.world.clock.as_ref(), self.metered(promotion, step), work);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    outcome = &mut work => break outcome,
                    () = self.world.clock.sleep(lease::RENEW) => { lease::hold(self.book, self.world, promotion).await?; }
                }
            }
        };
        if outcome.is_err() {
            // It did not fail then: somebody has rolled back meanwhile, and that decides how it ends.
            offline::none_waits(self.world, &promotion.to).await?;
        }
        let took = Period::between(began, self.world.clock.now());
        if !step.touches_live() {
            // Once it is committed that the switch is next, nobody can take an approval back any more.
            self.take_in(promotion.id).await?;
        }
        self.commit_step(promotion.id, step, outcome, (took, cost)).await
    }

    /// The driver to measure a step with: where the step deploys, and nothing else. The registry's side is no host's, a
    /// verification takes as long as the policy says, and what was measured of a step that a crash cut off is lost with it.
    fn metered(&self, promotion: &Promotion, step: Step) -> Option<&dyn Driver> {
        let deploys =
            matches!(step, Step::Migrate | Step::Prepare | Step::Switch | Step::Retire | Step::Discard | Step::Restore);
        self.world.drivers.get(&promotion.to).filter(|_| deploys).map(AsRef::as_ref)
    }

    async fn commit_step(
        &self,
        id: PromotionId,
        step: Step,
        outcome: Result<Outcome, StepError>,
        (took, cost): (Period, Option<Cost>),
    ) -> Result<(), EngineError> {
        let untouched = matches!(&outcome, Err(error) if error.untouched);
        let mut cost = cost;
        let (event, evidence, report) = match outcome {
            Ok(outcome) => {
                cost = cost.map(|cost| Cost { pulled_bytes: outcome.pulled, ..cost });
                let report = Progress::StepDone { step, found: outcome.found, took };
                (Ok(outcome.done), outcome.evidence, report)
            }
            Err(error) => {
                let StepError { failure, evidence, .. } = error;
                let code = failure.code.to_string();
                let report = Progress::StepFailed { step, code, why: failure.message.clone(), took };
                (Err(failure), evidence, report)
            }
        };
        self.book
            .commit(|ground| {
                let promotion = promotion(ground.ledger, id)?;
                let automatic = places::environment(ground.ledger, &promotion.to)?.rollback.automatic;
                let news = match &event {
                    Ok(done) => PromotionEvent::Done(done.clone()),
                    Err(failure) => PromotionEvent::Failed { step, failure: failure.clone(), automatic, untouched },
                };
                let drafts = self.under_lease(ground, promotion, (news, cost), evidence.clone())?;
                Ok(Decision { drafts, value: () })
            })
            .await?;
        self.went_on.store(true, Ordering::Relaxed);
        self.observer.on(&report);
        Ok(())
    }

    /// An event under the lease; if it ends the promotion, the lease ends in the same commit.
    fn under_lease(
        &self,
        ground: &Ground<'_>,
        promotion: &Promotion,
        (news, cost): (PromotionEvent, Option<Cost>),
        evidence: Vec<Vec<u8>>,
    ) -> Result<Vec<Draft>, EngineError> {
        let lease = ground.ledger.leases.get(&promotion.to);
        let ours =
            lease.filter(|lease| lease.holder.run == self.world.host.holder().run && lease.promotion == promotion.id);
        let Some(lease) = ours else {
            return Err(crate::request::held(ground.ledger, promotion));
        };
        let mut after = promotion.clone();
        let ends = after.apply(news.clone(), ground.now).is_ok() && after.has_ended();
        let changed = PromotionChanged { promotion: promotion.id, lease: Some(lease.fence), cost, change: news };
        let mut drafts = vec![Draft { event: Event::Promotion(Box::new(changed)), evidence }];
        if ends {
            let released = LeaseReleased { environment: promotion.to.clone(), lease: lease.fence };
            drafts.push(Event::LeaseReleased(released).into());
        }
        Ok(drafts)
    }

    /// A deployment of this promotion's release.
    fn deployment(
        &self,
        ledger: &Ledger,
        promotion: &Promotion,
        fence: u64,
        definition: Vec<u8>,
    ) -> Result<Deployment, EngineError> {
        Ok(Deployment {
            key: key(promotion.id),
            fence,
            app: places::policy(ledger)?.app.clone(),
            environment: promotion.to.clone(),
            images: places::targets(ledger, &promotion.release, &promotion.to)?,
            definition,
        })
    }
}

/// How a promotion that is admitted by `judgement` will be attested, if it will.
fn attest_rule<'a>(
    ledger: &'a Ledger,
    judgement: &Judgement,
    promotion: &Promotion,
) -> Result<Option<&'a AttestRule>, EngineError> {
    Ok(places::environment(ledger, &promotion.to)?.attest.as_ref().filter(|_| judgement.attests))
}

/// The key to sign with for an environment.
fn key_for(world: &World, environment: &EnvironmentName, rule: &AttestRule) -> Result<PublicKey, EngineError> {
    let found = world.attestor.key_among(&rule.keys);
    found.map_err(|why| EngineError::NoPromotionKey { environment: environment.clone(), why })
}

/// Whose consent does not count, and why, in words.
fn unproven((who, why): &(PersonId, NotCounted)) -> String {
    format!("{who}: {why}")
}

/// The name of a promotion's deployment on its host.
fn key(id: PromotionId) -> String {
    format!("p{id}")
}

/// Whether a judgement would only repeat what the promotion waits for already.
fn says_nothing_new(promotion: &Promotion, judgement: &Judgement) -> bool {
    use sealift_domain::promotion::Stage;
    let (Stage::Waiting(now), Next::Wait(next)) = (&promotion.stage, &judgement.next) else { return false };
    let same_wait = match (now, next) {
        (Wait::Approval { missing: a, .. }, Wait::Approval { missing: b, .. }) => a == b,
        (Wait::Condition { until: a, .. }, Wait::Condition { until: b, .. }) => a == b,
        _ => false,
    };
    same_wait && promotion.evidence == Some(judgement.evidence) && promotion.policy == judgement.policy
}
