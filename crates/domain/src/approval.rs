//! Signed consent: what is signed, whose it is, and whether it is enough.

mod act;
mod code;
mod count;
mod proof;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use act::{ACT_NAMESPACE, Act, ActStatement};
pub use code::{ApprovalCode, CodeError};
pub use count::{Consent, NotCounted, Parties, Registered, Voters, consent, counts};
pub use proof::{Proof, ProofKind, Workload};

use crate::{
    digest::Digest,
    name::{AppName, ComponentName, EnvironmentName, PersonId},
    promotion::{Kind, PromotionId},
    reference::Pinned,
};

/// The SSHSIG namespace of an approval (OpenSSH `PROTOCOL.sshsig`): a signature made for anything else is none of ours.
pub const APPROVAL_NAMESPACE: &str = "promotion-approval@sealift.dev/v1";

/// The SSHSIG namespace of a request.
pub const REQUEST_NAMESPACE: &str = "promotion-request@sealift.dev/v1";

/// The SSHSIG namespace of a change of policy.
pub const POLICY_NAMESPACE: &str = "policy-acceptance@sealift.dev/v1";

/// The version of the statements below.
pub const STATEMENT_VERSION: u32 = 1;

/// Yes, no, or no longer yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The promotion may go on.
    Approve,
    /// The promotion ends.
    Reject,
    /// The same person's approvals so far no longer count.
    Revoke,
}

/// What a person signs to decide on a promotion. The signed bytes are this, as compact JSON with fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalStatement {
    /// [`STATEMENT_VERSION`].
    pub v: u32,
    /// The promotion. With it a statement can be used only once.
    pub promotion: PromotionId,
    /// The application.
    pub app: AppName,
    /// Every component, as it will be in the target.
    pub release: BTreeMap<ComponentName, Pinned>,
    /// Where it comes from.
    pub from: Option<EnvironmentName>,
    /// Where it goes.
    pub to: EnvironmentName,
    /// The policy in force.
    pub policy_digest: Digest,
    /// The evidence that the passing gates used.
    pub evidence_digest: Digest,
    /// Yes or no.
    pub decision: Decision,
    /// Who signs.
    pub approver: PersonId,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// 32 random hexadecimal digits.
    pub nonce: String,
    /// Why; a rejection always has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the promotion is expedited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expedited: bool,
    /// The gates that do not pass and are waived, by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waived: BTreeSet<String>,
}

/// What a person signs to ask for a promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestStatement {
    /// [`STATEMENT_VERSION`].
    pub v: u32,
    /// The application.
    pub app: AppName,
    /// Promotion or rollback.
    pub kind: Kind,
    /// The digests asked for.
    pub release: BTreeMap<ComponentName, Digest>,
    /// Where it goes.
    pub to: EnvironmentName,
    /// Why.
    pub reason: Option<String>,
    /// Who asks.
    pub requester: PersonId,
    /// When.
    pub issued_at: Timestamp,
    /// 32 random hexadecimal digits.
    pub nonce: String,
    /// Whether it is to go the expedited way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expedited: bool,
}

/// A decision as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What was signed.
    pub statement: ApprovalStatement,
    /// How we know.
    pub proof: Proof,
    /// When it was accepted, by our own clock.
    pub at: Timestamp,
    /// When its author took it back, by our own clock. It stays on record, so that it is not used a second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// What an approval must be bound to now. Its compact JSON with fields in this order is what [`ApprovalCode`] is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The promotion.
    pub promotion: PromotionId,
    /// The application.
    pub app: AppName,
    /// Every component, as it will be in the target.
    pub release: BTreeMap<ComponentName, Pinned>,
    /// Where it comes from.
    pub from: Option<EnvironmentName>,
    /// Where it goes.
    pub to: EnvironmentName,
    /// The policy in force.
    pub policy_digest: Digest,
    /// The evidence that the passing gates used.
    pub evidence_digest: Digest,
    /// Whether it is expedited.
    pub expedited: bool,
    /// The gates that do not pass and are waived.
    pub waived: BTreeSet<String>,
}

#[cfg(test)]
mod tests;
