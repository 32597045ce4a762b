//! Consent that is taken back, freezes that are overridden, follow-ups that are closed.

use jiff::Timestamp;

use super::{Cause, Closed, FreezeOverride, IllegalEvent, Promotion, Stage};
use crate::{
    approval::{Approval, Decision},
    name::PersonId,
};

impl Promotion {
    /// Takes a person's approvals back. Before work begins it is judged anew; until the switch it ends where too few
    /// approvals are left.
    pub(super) fn revoked(&mut self, revocation: &Approval, at: Timestamp) -> Result<Stage, IllegalEvent> {
        let statement = &revocation.statement;
        if statement.promotion != self.id || statement.decision != Decision::Revoke {
            return Err(self.illegal("revoked", Some("the statement is not a revocation for this promotion")));
        }
        let stage = match &self.stage {
            Stage::Judging | Stage::Waiting(_) => Stage::Judging,
            Stage::Forward { step, cancel } if !step.touches_live() => {
                Stage::Forward { step: *step, cancel: cancel.clone().or_else(|| self.without(&statement.approver)) }
            }
            Stage::Forward { .. } => {
                return Err(self.illegal("revoked", Some("the switch has begun; roll back instead")));
            }
            Stage::Back { .. } | Stage::Ended(_) => return Err(self.illegal("revoked", None)),
        };
        let mut theirs = self
            .approvals
            .iter_mut()
            .filter(|given| given.statement.approver == statement.approver && given.revoked.is_none())
            .peekable();
        if theirs.peek().is_none() {
            return Err(self.illegal("revoked", Some("there is no approval of theirs to take back")));
        }
        theirs.for_each(|given| given.revoked = Some(at));
        Ok(stage)
    }

    /// Why it ends if `who` no longer consents; `None` if the others are enough.
    fn without(&self, who: &PersonId) -> Option<Cause> {
        let (_, by) = self.consent.as_ref().filter(|(_, by)| by.contains(who))?;
        let is_revoked = |id: &PersonId| {
            let mut theirs = self.approvals.iter().filter(|given| given.statement.approver == *id);
            theirs.all(|given| given.revoked.is_some())
        };
        let left = by.iter().filter(|id| *id != who && !is_revoked(id)).count();
        let needed = if self.needed == 0 { by.len() } else { self.needed as usize };
        (left < needed)
            .then(|| Cause::Withdrawn { by: Some(who.clone()), reason: format!("{who} took the approval back") })
    }

    pub(super) fn freeze_overridden(&mut self, given: FreezeOverride) -> Result<Stage, IllegalEvent> {
        if !matches!(self.stage, Stage::Judging | Stage::Waiting(_)) {
            return Err(self.illegal("freeze-overridden", None));
        }
        if self.overrides.iter().any(|before| before.freeze == given.freeze && before.by == given.by) {
            return Err(self.illegal("freeze-overridden", Some("this person said so already")));
        }
        self.overrides.push(given);
        Ok(Stage::Judging)
    }

    pub(super) fn close_follow_up(&mut self, by: PersonId, reason: String, at: Timestamp) -> Result<(), IllegalEvent> {
        match self.follow_up.as_mut().filter(|follow_up| follow_up.closed.is_none()) {
            Some(open) => {
                open.closed = Some(Closed { at, by, reason });
                Ok(())
            }
            None => Err(self.illegal("follow-up-closed", Some("it has no open follow-up"))),
        }
    }
}
