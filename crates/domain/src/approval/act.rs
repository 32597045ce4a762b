//! What persons sign beside approvals, requests and policies: acts that change what is so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    freeze::HoldScope,
    name::{AppName, EnvironmentName, PersonId},
    promotion::PromotionId,
    quantity::Period,
    release::Release,
};

/// The SSHSIG namespace of an [`ActStatement`]. Which act it is stands in the statement itself.
pub const ACT_NAMESPACE: &str = "promotion-act@sealift.dev/v1";

/// How long after its signing an act may be handed in. It is signed and handed in by one command; a copy that is found
/// later does nothing.
const MAX_AGE: Period = Period::from_secs(15 * 60);
/// How far a signer's clock may be ahead of ours.
const MAX_AHEAD: Period = Period::from_secs(60);

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// A freeze is not to stop one promotion.
    OverrideFreeze {
        /// The promotion.
        promotion: PromotionId,
        /// The environment that is frozen.
        environment: EnvironmentName,
        /// The freeze: [`Freeze::digest`](crate::freeze::Freeze::digest).
        freeze: Digest,
    },
    /// What was waived for an expedited promotion was made good.
    CloseFollowUp {
        /// The promotion.
        promotion: PromotionId,
    },
    /// Something is blocked.
    PlaceHold {
        /// What.
        scope: HoldScope,
    },
    /// Something is no longer blocked.
    ReleaseHold {
        /// What.
        scope: HoldScope,
    },
    /// A new policy is proposed.
    ProposePolicy {
        /// The policy that would be replaced.
        replaces: Digest,
        /// The new one.
        policy: Digest,
    },
    /// An environment goes back to an earlier release, without the log.
    OfflineRollback {
        /// The environment.
        environment: EnvironmentName,
        /// What is live; `None` if nothing that has a digest.
        from: Option<Release>,
        /// What is to be live again.
        to: Release,
        /// The definition that it is started from.
        definition: Digest,
        /// The fencing number on the host.
        fence: u64,
        /// Whether it is to run although it is not known to work on the database.
        despite_schema: bool,
    },
    /// A proposed policy is refused.
    RejectProposal {
        /// The index of the proposal in the log.
        proposal: u64,
    },
}

/// What a person signs to do something. The signed bytes are this, as compact JSON with fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActStatement {
    /// [`STATEMENT_VERSION`](super::STATEMENT_VERSION).
    pub v: u32,
    /// The application.
    pub app: AppName,
    /// What is done.
    pub act: Act,
    /// Who does it.
    pub person: PersonId,
    /// Why.
    pub reason: String,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// 32 random hexadecimal digits.
    pub nonce: String,
}

impl ActStatement {
    /// Whether it was signed just now.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.issued_at <= MAX_AHEAD.after(now) && now <= MAX_AGE.after(self.issued_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, person};

    #[test]
    fn an_act_is_handed_in_when_it_is_signed_or_not_at_all() {
        let statement = ActStatement {
            v: 1,
            app: "shop".parse().unwrap(),
            act: Act::CloseFollowUp { promotion: PromotionId(7) },
            person: person("ana"),
            reason: "scanned since".into(),
            issued_at: at(100),
            nonce: "n".into(),
        };
        let fresh = [39, 40, 100, 1000, 1001].map(|second| statement.is_fresh(at(second)));
        assert_eq!(fresh, [false, true, true, true, false]);
        let json = serde_json::to_string(&statement).unwrap();
        assert!(json.starts_with(r#"{"v":1,"app":"shop","act":{"do":"close-follow-up","promotion":7},"#), "{json}");
        assert_eq!(serde_json::from_str::<ActStatement>(&json).unwrap(), statement);
    }
}
