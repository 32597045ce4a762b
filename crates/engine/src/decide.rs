//! People's decisions on a promotion: approve, reject, cancel.

use jiff::Timestamp;
use sealift_domain::{
    approval::{self, APPROVAL_NAMESPACE, Approval, ApprovalStatement, Decision as Verdict, Proof, STATEMENT_VERSION},
    digest::Digest,
    ledger::Ledger,
    name::PersonId,
    promotion::{Promotion, PromotionEvent, PromotionId, Stage, Wait},
};

use crate::{
    book::{Book, Decision, Draft},
    error::EngineError,
    judge, places,
    ports::signature::Signatures,
    request::change,
};

/// The promotion of that name.
pub fn promotion(ledger: &Ledger, id: PromotionId) -> Result<&Promotion, EngineError> {
    ledger.promotions.get(&id).map(AsRef::as_ref).ok_or(EngineError::NoPromotion(id))
}

/// What `approver` would sign to decide on a promotion that waits for approval.
pub fn statement(
    ledger: &Ledger,
    id: PromotionId,
    approver: &PersonId,
    decision: Verdict,
    now: Timestamp,
    nonce: String,
) -> Result<ApprovalStatement, EngineError> {
    let promotion = promotion(ledger, id)?;
    let wrong = |why: &str| EngineError::WrongState { id, status: promotion.status(), why: why.to_owned() };
    if !matches!(promotion.stage, Stage::Waiting(Wait::Approval { .. })) {
        return Err(wrong("it does not wait for approval"));
    }
    let environment = places::environment(ledger, &promotion.to)?;
    let rule = environment.approval.as_ref().ok_or_else(|| wrong("its environment needs no approval"))?;
    let evidence = promotion.evidence.ok_or_else(|| wrong("its gates were never judged"))?;
    let binding = judge::binding(ledger, promotion, evidence)?;
    Ok(ApprovalStatement {
        v: STATEMENT_VERSION,
        promotion: id,
        app: binding.app,
        release: binding.release,
        from: binding.from,
        to: binding.to,
        policy_digest: binding.policy_digest,
        evidence_digest: binding.evidence_digest,
        decision,
        approver: approver.clone(),
        issued_at: now,
        expires_at: rule.expires.after(now),
        nonce,
    })
}

/// Accepts a signed decision, if it counts.
pub async fn accept(
    book: &Book,
    signatures: &dyn Signatures,
    bytes: &[u8],
    signature: &[u8],
    reason: Option<String>,
) -> Result<PromotionId, EngineError> {
    let statement: ApprovalStatement =
        serde_json::from_slice(bytes).map_err(|e| EngineError::Statement(e.to_string()))?;
    let key = signatures.key_of(signature).map_err(EngineError::Signature)?;
    signatures.verify(&key, APPROVAL_NAMESPACE, bytes, signature).map_err(EngineError::Signature)?;
    let proof = Proof::Sshsig { key, statement: Digest::of(bytes), signature: Digest::of(signature) };
    book.commit(|ground| {
        let promotion = promotion(ground.ledger, statement.promotion)?;
        let approval = Approval { statement: statement.clone(), proof: proof.clone(), at: ground.now };
        check(ground.ledger, promotion, &approval)?;
        let event = match statement.decision {
            Verdict::Approve => PromotionEvent::Approved(approval),
            Verdict::Reject => {
                let reason = reason.clone().unwrap_or_else(|| "no reason given".to_owned());
                PromotionEvent::Rejected { by: statement.approver.clone(), reason, proof: proof.clone() }
            }
        };
        let evidence = vec![bytes.to_vec(), signature.to_vec()];
        Ok(Decision { drafts: vec![Draft { event: change(promotion.id, event), evidence }], value: promotion.id })
    })
    .await
}

/// Whether a decision would count now.
fn check(ledger: &Ledger, promotion: &Promotion, approval: &Approval) -> Result<(), EngineError> {
    let wrong =
        |why: &str| EngineError::WrongState { id: promotion.id, status: promotion.status(), why: why.to_owned() };
    if !matches!(promotion.stage, Stage::Judging | Stage::Waiting(_)) {
        return Err(wrong("it waits for no decision"));
    }
    let policy = places::policy(ledger)?;
    let environment = places::environment(ledger, &promotion.to)?;
    let rule = environment.approval.as_ref().ok_or_else(|| wrong("its environment needs no approval"))?;
    let evidence = promotion.evidence.ok_or_else(|| wrong("its gates were never judged"))?;
    let binding = judge::binding(ledger, promotion, evidence)?;
    let parties = judge::parties(ledger, promotion);
    approval::counts(approval, rule, &binding, &policy.people, &parties, approval.at)
        .map_err(|why| EngineError::NotCounted { by: approval.statement.approver.clone(), why })
}

/// Ends a promotion that has not switched yet. Stopping needs no proof: it is the safe direction.
pub async fn withdraw(book: &Book, id: PromotionId, by: Option<PersonId>, reason: String) -> Result<(), EngineError> {
    book.commit(|ground| {
        promotion(ground.ledger, id)?;
        let event = PromotionEvent::Withdrawn { by: by.clone(), reason: reason.clone() };
        Ok(Decision { drafts: vec![change(id, event).into()], value: () })
    })
    .await
}
