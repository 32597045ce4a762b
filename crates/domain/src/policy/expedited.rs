//! The ways around the usual ones: for what cannot wait, with more people and less waiting.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ApprovalRule;
use crate::{name::Role, quantity::Period};

/// Gates that no expedited promotion may waive, whatever a policy says. They guard that the bytes are those that were tested
/// (`same_digest`, `by_hand`), that the order of the environments is kept (`order`), that somebody vouched for them
/// (`signature`, `provenance`), that what somebody has put on hold stays out until they let go of it (`hold`), and that what Sealift itself put on record holds (`attestation`, `promotion_attestation`,
/// `admission`). Whoever adds such a gate adds its name here. A name that is no gate of this version does no harm.
pub const NEVER_WAIVED: &[&str] = &[
    "same_digest",
    "by_hand",
    "order",
    "hold",
    "signature",
    "provenance",
    "attestation",
    "promotion_attestation",
    "admission",
];

/// What it takes to bring something in that cannot wait, such as a security fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expedited {
    /// Roles that may approve.
    pub roles: BTreeSet<Role>,
    /// How many different persons must approve: at least one more than usual.
    pub count: u32,
    /// Gates that may fail. They are judged and reported all the same.
    #[serde(default)]
    pub waive: BTreeSet<String>,
    /// How long it may take until what was waived is made good.
    #[serde(default = "Expedited::default_follow_up")]
    pub follow_up: Period,
    /// How long an approval lives, if not as long as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Period>,
}

/// Who can let one promotion through a freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideRule {
    /// Roles that may sign.
    pub roles: BTreeSet<Role>,
    /// How many different persons must sign.
    #[serde(default = "OverrideRule::default_count")]
    pub count: u32,
}

impl OverrideRule {
    fn default_count() -> u32 {
        1
    }
}

impl Expedited {
    fn default_follow_up() -> Period {
        Period::from_secs(3 * 24 * 3600)
    }

    /// The rule by which approvals of an expedited promotion count: other people and another number, and otherwise as usual.
    pub fn rule(&self, usual: Option<&ApprovalRule>) -> ApprovalRule {
        ApprovalRule {
            roles: self.roles.clone(),
            count: self.count,
            expires: self
                .expires
                .or_else(|| usual.map(|rule| rule.expires))
                .unwrap_or_else(ApprovalRule::default_expires),
            not: usual.map_or_else(ApprovalRule::default_not, |rule| rule.not.clone()),
            accepts: usual.map_or_else(ApprovalRule::default_accepts, |rule| rule.accepts.clone()),
        }
    }
}
