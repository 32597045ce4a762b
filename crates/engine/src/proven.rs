//! Which consent is proven: its statement and signature lie beside the log and hold, whoever wrote the entry.
//!
//! The log says that a decision was verified when it was accepted. Whoever has the log's key can write that too, so before
//! consent lets anything in, it is verified once more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealift_domain::{
    approval::{NotCounted, Proof},
    digest::Digest,
    ledger::Ledger,
    name::PersonId,
    promotion::{FreezeOverride, Promotion, PromotionEvent},
};

use crate::{audit::statements, book::Book, comment, error::EngineError, ports::signature::Signatures};

/// What was verified of the consent to a promotion.
#[derive(Clone, Debug, Default)]
pub struct Proven {
    /// The statements of approvals, by digest.
    pub(crate) approvals: BTreeSet<Digest>,
    /// Overrides of freezes, by the digest of all that the log has of them.
    overrides: BTreeSet<Digest>,
    /// Whose consent is in the log and could not be verified, and why it does not count.
    pub(crate) refused: Vec<(PersonId, NotCounted)>,
    /// How many approvals and overrides were looked at.
    looked_at: usize,
}

impl Proven {
    /// Whether everything that the promotion has by now was looked at.
    pub(crate) fn covers(&self, promotion: &Promotion) -> bool {
        self.looked_at == promotion.approvals.len() + promotion.overrides.len()
    }

    /// Whether an override was verified.
    pub(crate) fn has(&self, given: &FreezeOverride) -> bool {
        digest(given).is_some_and(|digest| self.overrides.contains(&digest))
    }
}

/// Verifies all consent to a promotion again, by the policy in force.
///
/// # Errors
/// The log does not answer. Consent that cannot be verified is no error; it does not count.
pub async fn verify(
    book: &Book,
    signatures: &dyn Signatures,
    ledger: &Ledger,
    promotion: &Promotion,
    now: Timestamp,
) -> Result<Proven, EngineError> {
    let mut proven = Proven { looked_at: promotion.approvals.len() + promotion.overrides.len(), ..Proven::default() };
    for approval in promotion.approvals.iter().filter(|approval| approval.revoked.is_none()) {
        let event = PromotionEvent::Approved(approval.clone());
        match holds(book, signatures, ledger, (promotion, &event), now).await? {
            true => drop(proven.approvals.insert(approval.statement.digest())),
            false => proven.refused.push((approval.statement.approver.clone(), NotCounted::Unproven)),
        }
    }
    for given in &promotion.overrides {
        let event = PromotionEvent::FreezeOverridden(given.clone());
        match holds(book, signatures, ledger, (promotion, &event), now).await? {
            true => proven.overrides.extend(digest(given)),
            false => proven.refused.push((given.by.clone(), NotCounted::Unproven)),
        }
    }
    Ok(proven)
}

/// Whether everything that an event says somebody said is proven.
async fn holds(
    book: &Book,
    signatures: &dyn Signatures,
    ledger: &Ledger,
    (promotion, event): (&Promotion, &PromotionEvent),
    now: Timestamp,
) -> Result<bool, EngineError> {
    let claims = statements::of_promotion(promotion.id, event);
    for claim in &claims {
        let Some(objects) = claim.objects(book).await? else { return Ok(false) };
        if claim.verify(signatures, ledger.policy.as_ref(), &objects, now).is_err() {
            return Ok(false);
        }
        // A signature says whose it is; a comment only which account wrote it.
        if let (Proof::GithubComment { .. }, PromotionEvent::Approved(approval)) = (claim.proof, event)
            && !objects.iter().all(|delivery| comment::is_by(ledger, delivery, &approval.statement.approver))
        {
            return Ok(false);
        }
    }
    Ok(!claims.is_empty())
}

fn digest(given: &FreezeOverride) -> Option<Digest> {
    serde_json::to_vec(given).ok().map(|bytes| Digest::of(&bytes))
}
