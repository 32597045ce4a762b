//! What each kind of event says that somebody signed, and whether they did.

use jiff::Timestamp;
use sealift_domain::{
    approval::{
        ACT_NAMESPACE, APPROVAL_NAMESPACE, Act, ActStatement, Approval, ApprovalStatement, POLICY_NAMESPACE, Proof,
        REQUEST_NAMESPACE, RequestStatement, Workload,
    },
    digest::Digest,
    event::Event,
    name::PersonId,
    policy::Policy,
    promotion::{PromotionEvent, PromotionId, Request, Requester},
};

use crate::{book::Book, comment, error::EngineError, ports::signature::Signatures};

/// That somebody said something.
pub(crate) struct Claim<'a> {
    /// Who; `None` for a workload.
    who: Option<&'a PersonId>,
    /// How it was known.
    pub(crate) proof: &'a Proof,
    said: Said<'a>,
    /// Whether it is on record that the key need not be the author's: a fact was taken in, not a permission.
    whoever: bool,
}

enum Said<'a> {
    Approval(&'a Approval),
    Rejection {
        promotion: PromotionId,
        reason: &'a str,
    },
    Request(&'a Request),
    Workload(&'a Workload),
    Policy(Option<Digest>),
    Act {
        act: Act,
        reason: &'a str,
    },
    Proposal {
        policy: Digest,
        reason: &'a str,
    },
    /// The environment is the promotion's own, which does not stand in the event; the rest is compared.
    Override {
        promotion: PromotionId,
        freeze: Digest,
        reason: &'a str,
    },
}

/// Kinds of leaves whose events carry signed statements.
pub(super) fn is_signed(kind: &str) -> bool {
    const KINDS: [&str; 13] = [
        "policy-accepted",
        "policy-proposed",
        "policy-signed",
        "policy-rejected",
        "hold-placed",
        "hold-released",
        "offline-rollback",
        "promotion.requested",
        "promotion.approved",
        "promotion.revoked",
        "promotion.rejected",
        "promotion.freeze-overridden",
        "promotion.follow-up-closed",
    ];
    KINDS.contains(&kind)
}

/// What an event says that somebody said.
pub(crate) fn of(event: &Event) -> Vec<Claim<'_>> {
    let one = |who, proof, said| vec![Claim::new(Some(who), proof, said)];
    match event {
        Event::PolicyAccepted(accepted) => {
            let said = || Said::Policy(Some(accepted.policy.digest()));
            accepted.accepted_by.iter().map(|(who, proof)| Claim::new(Some(who), proof, said())).collect()
        }
        Event::PolicySigned(signed) => one(&signed.by, &signed.proof, Said::Policy(None)),
        Event::PolicyProposed(proposed) => {
            let said = Said::Proposal { policy: proposed.policy.digest(), reason: &proposed.reason };
            one(&proposed.by, &proposed.proof, said)
        }
        Event::PolicyRejected(rejected) => {
            let act = Act::RejectProposal { proposal: rejected.proposal };
            one(&rejected.by, &rejected.proof, Said::Act { act, reason: &rejected.reason })
        }
        Event::HoldPlaced(placed) => {
            let (Some(who), Some(proof)) = (&placed.hold.by, &placed.proof) else { return Vec::new() };
            let act = Act::PlaceHold { scope: placed.hold.scope.clone() };
            one(who, proof, Said::Act { act, reason: &placed.hold.reason })
        }
        Event::HoldReleased(released) => {
            let (Some(who), Some(proof)) = (&released.by, &released.proof) else { return Vec::new() };
            let act = Act::ReleaseHold { scope: released.scope.clone() };
            one(who, proof, Said::Act { act, reason: &released.reason })
        }
        Event::OfflineRollback(rollback) => {
            let said = Said::Act { act: crate::offline::act(rollback), reason: &rollback.reason };
            let whoever = rollback.not_entitled.is_some();
            vec![Claim { whoever, ..Claim::new(Some(&rollback.by), &rollback.proof, said) }]
        }
        Event::Promotion(changed) => of_promotion(changed.promotion, &changed.change),
        _ => Vec::new(),
    }
}

/// What an event of a promotion says that somebody said.
pub(crate) fn of_promotion(promotion: PromotionId, event: &PromotionEvent) -> Vec<Claim<'_>> {
    let one = |who, proof, said| vec![Claim::new(Some(who), proof, said)];
    match event {
        PromotionEvent::Requested(request) => match &request.requester {
            Requester::Person { id, proof } => one(id, proof, Said::Request(request)),
            Requester::Workload(workload) => {
                vec![Claim::new(None, &workload.proof, Said::Workload(workload))]
            }
            Requester::Unknown => Vec::new(),
        },
        PromotionEvent::Approved(approval) | PromotionEvent::Revoked(approval) => {
            one(&approval.statement.approver, &approval.proof, Said::Approval(approval))
        }
        PromotionEvent::Rejected { by, reason, proof } => one(by, proof, Said::Rejection { promotion, reason }),
        PromotionEvent::FreezeOverridden(given) => {
            let said = Said::Override { promotion, freeze: given.freeze, reason: &given.reason };
            one(&given.by, &given.proof, said)
        }
        PromotionEvent::FollowUpClosed { by, reason, proof } => {
            one(by, proof, Said::Act { act: Act::CloseFollowUp { promotion }, reason })
        }
        _ => Vec::new(),
    }
}

impl<'a> Claim<'a> {
    fn new(who: Option<&'a PersonId>, proof: &'a Proof, said: Said<'a>) -> Self {
        Self { who, proof, said, whoever: false }
    }

    /// What proves it, as it lies beside the log; `None` if something of it is missing.
    pub(crate) async fn objects(&self, book: &Book) -> Result<Option<Vec<Vec<u8>>>, EngineError> {
        let found = book.log().objects(&self.proof.objects()).await?;
        Ok(found.into_iter().collect())
    }

    /// What was said, in words.
    pub(super) fn what(&self) -> &'static str {
        self.said.name()
    }

    /// Whether it is an approval, which reports count by themselves.
    pub(super) fn is_approval(&self) -> bool {
        matches!(self.said, Said::Approval(_))
    }

    /// Whether it was really said, by the stored objects of its proof.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn verify(
        &self,
        signatures: &dyn Signatures,
        policy: Option<&Policy>,
        objects: &[Vec<u8>],
        at: Timestamp,
    ) -> Result<(), String> {
        let what = self.said.name();
        match (self.proof, objects) {
            (Proof::Sshsig { key, .. }, [message, signature]) => {
                let owner = policy.and_then(|policy| policy.owner_of_key(key)).map(|(id, _)| id);
                if !self.whoever && (owner.is_none() || owner != self.who) {
                    return Err(format!("the key of {what} was not its author's in the policy of that time"));
                }
                signatures
                    .verify(key, self.said.namespace(), message, signature)
                    .map_err(|why| format!("the signature of {what} does not hold: {why}"))?;
                if self.said.is(message, self.who) { Ok(()) } else { Err(format!("{what} is not what was signed")) }
            }
            (Proof::Oidc { keys, .. }, [token, stored]) => {
                let providers = policy.map(|policy| policy.identities.as_slice()).unwrap_or_default();
                if !providers.iter().any(|p| Digest::of(p.jwks.as_bytes()) == *keys) || Digest::of(stored) != *keys {
                    return Err(format!("the keys of {what} were not in the policy of that time"));
                }
                let claims = signatures.token(token, providers, at);
                let claims = claims.map_err(|why| format!("the token of {what} does not hold: {why}"))?;
                let same = matches!(self.said, Said::Workload(workload)
                    if workload.subject == claims.subject && workload.issuer == claims.provider.issuer
                        && workload.actor_id == claims.actor_id && workload.run_id == claims.run_id);
                if same { Ok(()) } else { Err(format!("{what} is not what the token says")) }
            }
            (Proof::GithubComment { .. }, [delivery]) => {
                let Said::Approval(approval) = &self.said else {
                    return Err(format!("the proof of {what} is a comment, which nothing but an approval can rest on"));
                };
                let comment = comment::read(delivery).map_err(|why| format!("the comment of {what}: {why}"))?;
                comment
                    .says(&approval.statement, self.proof, policy)
                    .map_err(|why| format!("the comment of {what}: {why}"))
            }
            // No version of this program has written any other, so nobody can have accepted it.
            (other, _) => Err(format!("the proof of {what} is a {}, which nothing here could verify", other.as_str())),
        }
    }
}

impl Said<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Approval(_) => "an approval",
            Self::Rejection { .. } => "a rejection",
            Self::Request(_) | Self::Workload(_) => "a request",
            Self::Policy(_) => "an acceptance of a policy",
            Self::Act { .. } | Self::Override { .. } | Self::Proposal { .. } => "a statement",
        }
    }

    fn namespace(&self) -> &'static str {
        match self {
            Self::Approval(_) | Self::Rejection { .. } => APPROVAL_NAMESPACE,
            Self::Request(_) | Self::Workload(_) => REQUEST_NAMESPACE,
            Self::Policy(_) => POLICY_NAMESPACE,
            Self::Act { .. } | Self::Override { .. } | Self::Proposal { .. } => ACT_NAMESPACE,
        }
    }

    /// Whether these bytes say it.
    fn is(&self, message: &[u8], who: Option<&PersonId>) -> bool {
        match self {
            Self::Approval(approval) => serde_json::to_vec(&approval.statement).is_ok_and(|signed| signed == message),
            Self::Rejection { promotion, reason } => {
                let Ok(signed) = serde_json::from_slice::<ApprovalStatement>(message) else { return false };
                // Statements of earlier versions have no reason.
                let same = signed.reason.as_deref().is_none_or(|said| said == *reason);
                signed.promotion == *promotion && Some(&signed.approver) == who && same
            }
            Self::Request(request) => {
                let Ok(signed) = serde_json::from_slice::<RequestStatement>(message) else { return false };
                let mut release = request.release.components();
                Some(&signed.requester) == who
                    && signed.to == request.to
                    && signed.kind == request.kind
                    && signed.expedited == request.expedited
                    && release.all(|(name, digest)| signed.release.get(name) == Some(&digest))
            }
            Self::Workload(_) => false,
            Self::Policy(policy) => {
                let Ok(signed) = serde_json::from_slice::<serde_json::Value>(message) else { return false };
                policy.is_none_or(|policy| signed["policy"] == policy.to_string())
            }
            Self::Act { act, reason } => {
                let Ok(signed) = serde_json::from_slice::<ActStatement>(message) else { return false };
                signed.act == *act && signed.reason == *reason && Some(&signed.person) == who
            }
            Self::Proposal { policy: proposed, reason } => {
                let Ok(signed) = serde_json::from_slice::<ActStatement>(message) else { return false };
                let same = matches!(&signed.act, Act::ProposePolicy { policy, .. } if policy == proposed);
                same && signed.reason == *reason && Some(&signed.person) == who
            }
            Self::Override { promotion: id, freeze: of, reason } => {
                let Ok(signed) = serde_json::from_slice::<ActStatement>(message) else { return false };
                let same = matches!(&signed.act, Act::OverrideFreeze { promotion, freeze, .. }
                    if promotion == id && freeze == of);
                same && signed.reason == *reason && Some(&signed.person) == who
            }
        }
    }
}

#[cfg(test)]
mod tests;
