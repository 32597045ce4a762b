//! The heart: one promotion, as a state machine over its events.
//!
//! [`Promotion::apply`] is the only way a promotion changes, and [`Promotion::intent`] says what to do next. Both are
//! pure. Whoever drives a promotion performs the intent, commits the event that tells how it went, and asks again;
//! after a crash, asking again is the whole recovery.
//!
//! ```text
//! judging ⇄ waiting → copy → tag → undo → migrate → prepare → switch → verify → move tags → retire → completed
//!    │         │        └──────┬──────┘  │         │       └──────────┬────────────┘
//!    │         │               ▼         ▼         ▼                  ▼
//!  failed  cancelled         failed   discard → failed     restore → confirm → restore tags → rolled back
//!                                                          (any of these failing, or nothing to restore: stuck)
//! ```
//!
//! A promotion into an environment that attests has three steps more: `admit` after the copy, `attest` after the verification,
//! and on every way back from there `withdraw admission`: before a candidate is removed, after the release before is restored,
//! and before it is stuck.

mod apply;
mod attesting;
mod consent;
mod event;
mod intent;
mod offline;
mod state;
mod step;

pub use apply::IllegalEvent;
pub(crate) use apply::{PAST_DATABASE, refused_to_switch};
pub use event::{Judgement, Next, PromotionEvent, Request};
pub use intent::Intent;
pub use state::{
    Attested, Cause, Closed, Ended, FollowUp, FreezeOverride, Kind, Moment, Promotion, PromotionId, Requester, Stage,
    Status, Wait,
};
pub use step::{Attachment, Done, Step, VerificationSummary};

#[cfg(test)]
mod tests;
