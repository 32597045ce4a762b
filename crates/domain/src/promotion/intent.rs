//! What to do next: derived from the state, never stored.

use super::{Promotion, Stage, Step, Wait};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent<'a> {
    /// Judge the gates.
    Judge,
    /// Wait for this.
    Await(&'a Wait),
    /// Do this.
    Perform(Step),
    /// Nothing: it is over.
    Rest,
}

impl Promotion {
    /// What to do next.
    pub fn intent(&self) -> Intent<'_> {
        match &self.stage {
            Stage::Judging => Intent::Judge,
            Stage::Waiting(wait) => Intent::Await(wait),
            Stage::Forward { step, .. } | Stage::Back { step, .. } => Intent::Perform(*step),
            Stage::Ended(_) => Intent::Rest,
        }
    }
}
