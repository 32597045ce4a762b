//! What a promotion attests: taken over step by step, and withdrawn on every way that ends otherwise than live.

use std::collections::BTreeMap;

use super::{Attachment, Attested, Cause, Ended, IllegalEvent, Promotion, Stage, Step, apply::ended_before_live};
use crate::{failure::Failure, name::ComponentName};

/// Statements by component.
type Attachments = BTreeMap<ComponentName, Attachment>;

impl Promotion {
    /// Takes over what was attested: of every image, or of none.
    pub(super) fn attests(
        &mut self,
        attestations: Attachments,
        place: impl FnOnce(&mut Attested) -> &mut Attachments,
    ) -> Result<(), IllegalEvent> {
        if !self.release.components().map(|(name, _)| name).eq(attestations.keys()) {
            return Err(self.illegal("done", Some("not every image was attested, or others were")));
        }
        let Some(attested) = &mut self.attested else {
            return Err(self.illegal("done", Some("it was admitted without an attestation")));
        };
        *place(attested) = attestations;
        Ok(())
    }

    /// Whether an image may be attested as admitted once `step` was begun.
    pub(super) fn may_be_admitted(&self, step: Step) -> bool {
        self.attested.is_some() && step >= Step::Admit
    }

    /// Where it goes on once what was attested is withdrawn: it does so wherever it turned back.
    pub(super) fn withdrawn_admission(&mut self, cause: Cause, left: BTreeMap<ComponentName, String>) -> Stage {
        if let Some(attested) = &mut self.attested {
            attested.left = left;
        }
        let candidate = match &cause {
            Cause::Blocked { failure, blocked } => {
                return Stage::Ended(Ended::Stuck { failure: failure.clone(), blocked: blocked.clone() });
            }
            Cause::Failed { step, .. } if step.touches_live() => {
                return Stage::Back { step: Step::RestoreTags, cause };
            }
            Cause::Failed { step, .. } => step.leaves_candidate(),
            Cause::Withdrawn { .. } => self.definition.is_some(),
        };
        match candidate {
            true => Stage::Back { step: Step::Discard, cause },
            false => Stage::Ended(ended_before_live(cause, None)),
        }
    }

    /// It ends with a person being needed, after what was attested is withdrawn.
    pub(super) fn stuck(&self, at: Step, failure: Failure, blocked: Failure) -> Stage {
        match self.attested.is_some() && at != Step::RestoreTags {
            true => Stage::Back { step: Step::WithdrawAdmission, cause: Cause::Blocked { failure, blocked } },
            false => Stage::Ended(Ended::Stuck { failure, blocked }),
        }
    }
}
