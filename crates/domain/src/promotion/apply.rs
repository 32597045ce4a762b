//! The reducer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Attested, Cause, Done, Ended, FollowUp, Judgement, Kind, Moment, Next, Promotion, PromotionEvent, PromotionId,
    Request, Stage, Step, Wait,
};
use crate::{
    approval::{Approval, Decision},
    failure::{Code, Failure},
    name::PersonId,
    undo::Observed,
};

/// An event that cannot happen to a promotion in its state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("promotion {id} is {stage}: `{event}` cannot happen to it{}", detail.map(|d| format!(" ({d})")).unwrap_or_default())]
pub struct IllegalEvent {
    /// The promotion.
    pub id: PromotionId,
    /// Where it is.
    pub stage: String,
    /// What was to happen.
    pub event: &'static str,
    /// More, where the stage alone does not say why.
    pub detail: Option<&'static str>,
}

// Codes of the error catalogue for what only the state machine knows.
pub(crate) const NO_TARGET: &str = "E0407";
pub(crate) const NOT_AUTOMATIC: &str = "E0408";
pub(crate) const NO_SECOND_ROLLBACK: &str = "E0409";
pub(crate) const PAST_DATABASE: &str = "E0420";
/// What stands against a promotion was found before a step began.
const REFUSED: &str = "E0404";

impl Promotion {
    /// A promotion that was just requested.
    pub fn request(id: PromotionId, request: Request, at: Timestamp) -> Self {
        Self {
            id,
            kind: request.kind,
            from: request.from,
            asked_from: request.asked_from,
            to: request.to,
            release: request.release,
            by_hand: request.by_hand,
            requester: request.requester,
            reason: request.reason,
            run_id: request.run_id,
            requested_at: at,
            judged: Vec::new(),
            evidence: None,
            policy: request.policy,
            approvals: Vec::new(),
            lapses_at: None,
            consent: None,
            needed: 0,
            expedited: request.expedited,
            follow_up: None,
            overrides: Vec::new(),
            immutable_tags: BTreeMap::new(),
            schema: None,
            migrated: false,
            attested: None,
            unmoved_tags: BTreeMap::new(),
            undo: None,
            definition: None,
            cost: None,
            verification: None,
            restored: None,
            stage: Stage::Judging,
            timeline: vec![Moment { at, what: "requested".to_owned() }],
        }
    }

    /// Lets `event` happen. On error nothing has changed.
    pub fn apply(&mut self, event: PromotionEvent, at: Timestamp) -> Result<(), IllegalEvent> {
        if let PromotionEvent::FollowUpClosed { by, reason, .. } = event {
            // It may come long after the end, and the time line ends with the promotion.
            return self.close_follow_up(by, reason, at);
        }
        let what = match &event {
            PromotionEvent::Done(done) => done.step().as_str(),
            other => other.name(),
        };
        let stage = match event {
            PromotionEvent::Requested(_) | PromotionEvent::FollowUpClosed { .. } => {
                Err(self.illegal("requested", None))
            }
            PromotionEvent::Judged(judgement) => self.judged(judgement, at),
            PromotionEvent::Approved(approval) => self.approved(approval),
            PromotionEvent::Revoked(revocation) => self.revoked(&revocation, at),
            PromotionEvent::FreezeOverridden(given) => self.freeze_overridden(given),
            PromotionEvent::Rejected { by, reason, .. } => self.pending_ends("rejected", reason, Some(by)),
            PromotionEvent::Withdrawn { by, reason } => self.withdrawn(by, reason),
            PromotionEvent::Superseded { by } => self.superseded(by),
            PromotionEvent::Lapsed => self.lapsed(),
            PromotionEvent::Done(done) => self.done(done),
            PromotionEvent::Failed { step, failure, automatic, untouched } => {
                let stage = self.failed(step, failure, automatic, untouched);
                self.migrated |= stage.is_ok() && !untouched && self.migrates(step);
                stage
            }
        }?;
        if matches!(stage, Stage::Ended(_)) && self.was_never_live() {
            // What was waived for it came nowhere, so there is nothing to make good.
            self.follow_up = None;
        }
        self.stage = stage;
        self.timeline.push(Moment { at, what: what.to_owned() });
        Ok(())
    }

    /// Whether it certainly touched nothing live, as far as its stage tells.
    pub(super) fn was_never_live(&self) -> bool {
        match &self.stage {
            Stage::Forward { step, .. } => !step.touches_live(),
            Stage::Back { cause: Cause::Failed { step, .. }, .. } => !step.touches_live(),
            Stage::Back { cause: Cause::Withdrawn { .. }, .. } => true,
            Stage::Judging | Stage::Waiting(_) | Stage::Back { .. } | Stage::Ended(_) => false,
        }
    }

    pub(super) fn illegal(&self, event: &'static str, detail: Option<&'static str>) -> IllegalEvent {
        let stage = match &self.stage {
            Stage::Judging => "judging its gates".to_owned(),
            Stage::Waiting(Wait::Approval { .. }) => "waiting for approval".to_owned(),
            Stage::Waiting(Wait::Condition { .. }) => "waiting for a condition".to_owned(),
            Stage::Forward { step, .. } => format!("at {step}"),
            Stage::Back { step, .. } => format!("on its way back at {step}"),
            Stage::Ended(_) => format!("over ({})", self.status()),
        };
        IllegalEvent { id: self.id, stage, event, detail }
    }

    fn judged(&mut self, judgement: Judgement, at: Timestamp) -> Result<Stage, IllegalEvent> {
        if !matches!(self.stage, Stage::Judging | Stage::Waiting(_)) {
            return Err(self.illegal("judged", None));
        }
        let admits = judgement.gates.iter().all(crate::gate::Judged::admits);
        if !self.expedited && judgement.gates.iter().any(|judged| judged.waived) {
            return Err(self.illegal("judged", Some("only an expedited promotion has gates waived")));
        }
        // Nothing enters while a gate does not pass, and nobody is asked for consent to what may not enter.
        if !admits && matches!(judgement.next, Next::Admit { .. } | Next::Wait(Wait::Approval { .. })) {
            return Err(self.illegal("judged", Some("a gate does not pass")));
        }
        if judgement.gates.is_empty() {
            return Err(self.illegal("judged", Some("no gate was judged")));
        }
        let stage = match judgement.next {
            Next::Admit { consent, needed, follow_up } => {
                self.consent = if consent.is_empty() { None } else { Some((at, consent)) };
                // A rollback goes back to what was admitted before; it admits nothing.
                self.attested = (judgement.attests && self.kind == Kind::Promote).then(Attested::default);
                self.needed = needed;
                let waived: BTreeSet<String> =
                    judgement.gates.iter().filter(|judged| judged.waived).map(|judged| judged.gate.clone()).collect();
                self.follow_up = follow_up.map(|period| FollowUp { due: period.after(at), waived, closed: None });
                Stage::Forward { step: Step::Copy, cancel: None }
            }
            Next::Wait(wait) => {
                if let Wait::Approval { until, .. } = &wait {
                    self.lapses_at.get_or_insert(*until);
                }
                Stage::Waiting(wait)
            }
            Next::Refuse(failure) => Stage::Ended(Ended::Failed { failure, leftover: None }),
        };
        self.judged = judgement.gates;
        self.evidence = Some(judgement.evidence);
        self.policy = judgement.policy;
        self.schema = judgement.schema;
        Ok(stage)
    }

    fn approved(&mut self, approval: Approval) -> Result<Stage, IllegalEvent> {
        let statement = &approval.statement;
        if statement.promotion != self.id || statement.decision != Decision::Approve {
            return Err(self.illegal("approved", Some("the statement is not an approval of this promotion")));
        }
        if self.approvals.iter().any(|a| a.statement.nonce == statement.nonce) {
            return Err(self.illegal("approved", Some("the statement was used before")));
        }
        if !matches!(self.stage, Stage::Judging | Stage::Waiting(_)) {
            return Err(self.illegal("approved", None));
        }
        self.approvals.push(approval);
        // An approval is evidence, not a bypass: back to the gates.
        Ok(Stage::Judging)
    }

    fn pending_ends(&self, event: &'static str, reason: String, by: Option<PersonId>) -> Result<Stage, IllegalEvent> {
        match self.stage {
            Stage::Judging | Stage::Waiting(_) => {
                Ok(Stage::Ended(Ended::Cancelled { reason, by, superseded_by: None }))
            }
            _ => Err(self.illegal(event, None)),
        }
    }

    fn withdrawn(&self, by: Option<PersonId>, reason: String) -> Result<Stage, IllegalEvent> {
        match &self.stage {
            // A step under way is waited for; from the switch on, only a rollback leads back.
            Stage::Forward { step, cancel: None } if !step.touches_live() => {
                Ok(Stage::Forward { step: *step, cancel: Some(Cause::Withdrawn { by, reason }) })
            }
            Stage::Forward { cancel: Some(_), .. } => {
                Err(self.illegal("withdrawn", Some("it is being withdrawn already")))
            }
            Stage::Forward { .. } => Err(self.illegal("withdrawn", Some("the switch has begun; roll back instead"))),
            _ => self.pending_ends("withdrawn", reason, by),
        }
    }

    fn superseded(&self, by: PromotionId) -> Result<Stage, IllegalEvent> {
        match self.stage {
            Stage::Judging | Stage::Waiting(_) if by > self.id => Ok(Stage::Ended(Ended::Cancelled {
                reason: format!("promotion {by} is newer"),
                by: None,
                superseded_by: Some(by),
            })),
            _ => Err(self.illegal("superseded", None)),
        }
    }

    fn lapsed(&self) -> Result<Stage, IllegalEvent> {
        match &self.stage {
            Stage::Waiting(Wait::Approval { until, .. }) => Ok(Stage::Ended(Ended::Cancelled {
                reason: format!("nobody approved before {until}"),
                by: None,
                superseded_by: None,
            })),
            _ => Err(self.illegal("lapsed", None)),
        }
    }

    fn done(&mut self, done: Done) -> Result<Stage, IllegalEvent> {
        let step = done.step();
        match self.stage.clone() {
            Stage::Forward { step: at, cancel } if at == step => self.forward(done, cancel),
            Stage::Back { step: at, cause } if at == step => self.back(done, cause),
            _ => Err(self.illegal("done", Some(step.as_str()))),
        }
    }

    /// Takes over what a forward step left, and goes on to the next.
    fn forward(&mut self, done: Done, cancel: Option<Cause>) -> Result<Stage, IllegalEvent> {
        let step = done.step();
        let migrates = match &done {
            Done::Migrate { ran, .. } => *ran && self.migrates(step),
            _ => self.migrates(step),
        };
        match done {
            Done::TagImmutable { tags } => self.immutable_tags = tags,
            Done::RecordUndo(undo) => self.undo = Some(undo),
            Done::Prepare { definition } => self.definition = Some(definition),
            Done::Switch { running } if !is_running(&running, &self.release) => {
                return Err(self.illegal("done", Some("what runs is not what was switched to")));
            }
            Done::Verify(summary) => self.verification = Some(summary),
            Done::MoveTags { unmoved, .. } => self.unmoved_tags = unmoved,
            Done::Admit { attestations } => self.attests(attestations, |attested| &mut attested.admitted)?,
            Done::AttestVerified { attestations } => self.attests(attestations, |attested| &mut attested.verified)?,
            _ => {}
        }
        self.migrated |= migrates;
        let Some(next) = step.next(self.attested.is_some()) else {
            return Ok(Stage::Ended(Ended::Completed { leftover: None }));
        };
        match cancel {
            Some(cause) if self.may_be_admitted(step) => Ok(Stage::Back { step: Step::WithdrawAdmission, cause }),
            Some(cause) if step.leaves_candidate() => Ok(Stage::Back { step: Step::Discard, cause }),
            Some(cause) => Ok(Stage::Ended(ended_before_live(cause, None))),
            None => Ok(Stage::Forward { step: next, cancel: None }),
        }
    }

    /// Takes over what a step back left, and goes on.
    fn back(&mut self, done: Done, cause: Cause) -> Result<Stage, IllegalEvent> {
        match done {
            Done::Discard => Ok(Stage::Ended(ended_before_live(cause, None))),
            Done::Restore { running } => {
                let previous = self.undo.as_ref().map(|undo| &undo.previous);
                let right = match previous {
                    Some(Observed::Running { release, .. }) => is_running(&running, release),
                    Some(Observed::Nothing) => running == Observed::Nothing,
                    Some(Observed::Unknown { .. }) | None => false,
                };
                if right {
                    Ok(Stage::Back { step: Step::ConfirmRestored, cause })
                } else {
                    Err(self.illegal("done", Some("what runs is not what was to be restored")))
                }
            }
            Done::ConfirmRestored(summary) => {
                self.restored = Some(summary);
                let step = if self.attested.is_some() { Step::WithdrawAdmission } else { Step::RestoreTags };
                Ok(Stage::Back { step, cause })
            }
            Done::WithdrawAdmission { left } => Ok(self.withdrawn_admission(cause, left)),
            Done::RestoreTags { unmoved, .. } => {
                self.unmoved_tags = unmoved;
                Ok(Stage::Ended(self.ended_restored(cause)))
            }
            _ => Err(self.illegal("done", None)),
        }
    }

    fn ended_restored(&self, cause: Cause) -> Ended {
        let nothing_before = self.undo.as_ref().is_some_and(|undo| undo.previous == Observed::Nothing);
        match cause {
            // Where nothing ran before, nothing runs now: there was no release to roll back to.
            Cause::Failed { failure, .. } if nothing_before => Ended::Failed { failure, leftover: None },
            Cause::Failed { failure, .. } => Ended::RolledBack { failure },
            Cause::Withdrawn { .. } | Cause::Blocked { .. } => ended_before_live(cause, None),
        }
    }

    /// Whether `step` may change the database once it has begun. A release that carries a schema label may migrate by itself
    /// when it starts. A rollback migrates nothing.
    fn migrates(&self, step: Step) -> bool {
        self.kind == Kind::Promote && (step == Step::Migrate || step == Step::Prepare && self.schema.is_some())
    }

    fn failed(
        &mut self,
        step: Step,
        failure: Failure,
        automatic: bool,
        untouched: bool,
    ) -> Result<Stage, IllegalEvent> {
        match self.stage.clone() {
            Stage::Forward { step: at, .. } if at == step => Ok(match refused_to_switch(step, &failure, untouched) {
                // There is a candidate beside what is live, as after a preparation that failed.
                true => self.turn_back(Step::Prepare, failure, automatic),
                false => self.turn_back(step, failure, automatic),
            }),
            Stage::Back { step: at, cause } if at == step => Ok(match (step, cause) {
                (Step::Discard, cause) => Stage::Ended(ended_before_live(cause, Some(failure))),
                // That it is withdrawn counts, whatever the registry still has.
                (Step::WithdrawAdmission, cause) => {
                    let names = self.release.components().map(|(name, _)| name.clone());
                    let left = names.map(|name| (name, failure.message.clone())).collect();
                    self.withdrawn_admission(cause, left)
                }
                (_, Cause::Failed { failure: first, .. } | Cause::Blocked { failure: first, .. }) => {
                    self.stuck(step, first, failure)
                }
                (_, Cause::Withdrawn { .. }) => self.stuck(step, failure.clone(), failure),
            }),
            _ => Err(self.illegal("failed", Some(step.as_str()))),
        }
    }

    /// Where a failure of a forward step leads.
    fn turn_back(&self, step: Step, failure: Failure, automatic: bool) -> Stage {
        if step == Step::Retire {
            return Stage::Ended(Ended::Completed { leftover: Some(failure) });
        }
        if !step.touches_live() && self.may_be_admitted(step) {
            return Stage::Back { step: Step::WithdrawAdmission, cause: Cause::Failed { step, failure } };
        }
        if step.leaves_candidate() {
            return Stage::Back { step: Step::Discard, cause: Cause::Failed { step, failure } };
        }
        if !step.touches_live() {
            return Stage::Ended(Ended::Failed { failure, leftover: None });
        }
        match self.way_back(automatic) {
            Ok(()) => Stage::Back { step: Step::Restore, cause: Cause::Failed { step, failure } },
            Err(blocked) => self.stuck(step, failure, blocked),
        }
    }

    /// Whether the previous release may and can be restored by itself.
    fn way_back(&self, automatic: bool) -> Result<(), Failure> {
        let blocked = |code: &str, message: String| Failure { code: Code::new(code), message, evidence: Vec::new() };
        if self.kind == Kind::Rollback {
            let message = "a rollback is never rolled back by itself".to_owned();
            return Err(blocked(NO_SECOND_ROLLBACK, message));
        }
        let database = self.undo.as_ref().and_then(|undo| undo.database.as_ref());
        if let Some(after) = database.filter(|after| self.migrated && !after.is_open()) {
            return Err(blocked(PAST_DATABASE, after.choices(&self.to)));
        }
        if !automatic {
            let message = "the policy of this environment says `rollback: {automatic: false}`".to_owned();
            return Err(blocked(NOT_AUTOMATIC, message));
        }
        match self.undo.as_ref().map(|undo| &undo.previous) {
            Some(Observed::Running { .. } | Observed::Nothing) => Ok(()),
            Some(Observed::Unknown { what }) => {
                Err(blocked(NO_TARGET, format!("there is no release to go back to: what ran before is {what}")))
            }
            None => Err(blocked(NO_TARGET, "there is no record of what ran before".to_owned())),
        }
    }
}

/// Whether the switch was not begun, because something stood against it: a hold, a freeze, another policy, or old consent.
pub(crate) fn refused_to_switch(step: Step, failure: &Failure, untouched: bool) -> bool {
    step == Step::Switch && untouched && failure.code.as_str() == REFUSED
}

fn is_running(observed: &Observed, release: &crate::release::Release) -> bool {
    matches!(observed, Observed::Running { release: running, .. } if running == release)
}

/// The end of a promotion that never touched anything live.
pub(super) fn ended_before_live(cause: Cause, leftover: Option<Failure>) -> Ended {
    match cause {
        Cause::Failed { failure, .. } => Ended::Failed { failure, leftover },
        Cause::Withdrawn { by, reason } => Ended::Cancelled { reason, by, superseded_by: None },
        Cause::Blocked { failure, blocked } => Ended::Stuck { failure, blocked },
    }
}
