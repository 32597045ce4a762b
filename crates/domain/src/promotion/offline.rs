//! What a rollback without the log means for a promotion that was open meanwhile.

use jiff::Timestamp;

use super::{Attested, Cause, Ended, Moment, Promotion, Stage, Step, apply::ended_before_live};
use crate::{failure::Failure, name::PersonId};

/// How the time line calls it.
const WHAT: &str = "rolled-back-offline";

impl Promotion {
    /// Somebody has rolled its environment back without the log. `moved` says whether traffic was moved by that, or may have
    /// been; where it was not, what waits goes on waiting, and what is live already is gone on with.
    ///
    /// Returns whether it has ended by that.
    pub fn rolled_back_offline(
        &mut self,
        moved: bool,
        (by, reason): (&PersonId, &str),
        failure: Failure,
        at: Timestamp,
    ) -> bool {
        let ended = match &self.stage {
            Stage::Ended(_) => return false,
            Stage::Judging | Stage::Waiting(_) if moved => {
                let reason = format!("{}: {reason}", failure.message);
                Ended::Cancelled { reason, by: Some(by.clone()), superseded_by: None }
            }
            Stage::Judging | Stage::Waiting(_) => return false,
            // The candidate may have had to make room on the host, and another fencing number counts there now.
            Stage::Forward { step, cancel } if !step.touches_live() => {
                let left = step.leaves_candidate().then(|| leftover(&failure));
                match cancel.clone() {
                    Some(cause) => ended_before_live(cause, left),
                    None => Ended::Failed { failure, leftover: left },
                }
            }
            Stage::Back { cause, .. } if self.was_never_live() => {
                ended_before_live(cause.clone(), Some(leftover(&failure)))
            }
            _ if !moved => return false,
            Stage::Back {
                cause: Cause::Failed { failure: first, .. } | Cause::Blocked { failure: first, .. }, ..
            } => Ended::RolledBack { failure: first.clone() },
            Stage::Forward { .. } | Stage::Back { .. } => Ended::RolledBack { failure },
        };
        if self.moved_tags() {
            let undo = self.undo.iter().flat_map(|undo| &undo.tags);
            self.unmoved_tags = undo.map(|(name, tags)| (name.clone(), tags.keys().cloned().collect())).collect();
        }
        if let Some(attested) = &mut self.attested {
            leave(attested);
        }
        if self.was_never_live() || matches!(self.stage, Stage::Judging | Stage::Waiting(_)) {
            self.follow_up = None;
        }
        self.stage = Stage::Ended(ended);
        self.timeline.push(Moment { at, what: WHAT.to_owned() });
        true
    }

    /// Whether it may have let the moving tags name its release.
    fn moved_tags(&self) -> bool {
        match &self.stage {
            Stage::Forward { step, .. } => *step >= Step::MoveTags,
            Stage::Back { cause: Cause::Failed { step, .. }, .. } => *step >= Step::MoveTags,
            _ => false,
        }
    }
}

/// What nobody has removed.
fn leftover(failure: &Failure) -> Failure {
    let message =
        "what it had started on the host was not removed by this run; the next promotion makes room".to_owned();
    Failure { message, ..failure.clone() }
}

/// What was attested counts no longer, and nobody has taken it off the images.
fn leave(attested: &mut Attested) {
    let why = "its environment was rolled back without the log, which removes nothing from a registry";
    let names: Vec<_> = attested.admitted.keys().cloned().collect();
    attested.left.extend(names.into_iter().map(|name| (name, why.to_owned())));
}
