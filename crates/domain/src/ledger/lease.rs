//! Who works on an environment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{event::Holder, promotion::PromotionId};

/// An environment taken for a while. One promotion works on an environment at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The index of the leaf that took it: the fencing number, which only ever grows.
    pub fence: u64,
    /// For what.
    pub promotion: PromotionId,
    /// Who holds it.
    pub holder: Holder,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Lease {
    /// Whether `run` holds it, or nobody does any more.
    pub fn is_free_for(&self, run: &str, now: Timestamp) -> bool {
        self.holder.run == run || self.expires_at <= now
    }
}
