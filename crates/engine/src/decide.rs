//! People's decisions on a promotion: approve, reject, take back, cancel.

use jiff::Timestamp;
use sealift_domain::{
    approval::{
        self, APPROVAL_NAMESPACE, Approval, ApprovalStatement, Decision as Verdict, NotCounted, Proof,
        STATEMENT_VERSION,
    },
    digest::Digest,
    gate::Judged,
    ledger::Ledger,
    name::PersonId,
    promotion::{Ended, Promotion, PromotionEvent, PromotionId, Stage, Wait},
    quantity::Period,
};

use crate::{
    act::Signed,
    book::{Book, Decision, Draft, Ground},
    error::EngineError,
    judge, places,
    ports::signature::Signatures,
    request::change,
};

/// How long a signed revocation can be handed in.
const REVOCATION_LIFE: Period = Period::from_secs(3600);

/// How much earlier than its promotion a decision may have been signed, by another clock.
const EARLIER: Period = Period::from_secs(300);

/// The promotion of that name.
pub fn promotion(ledger: &Ledger, id: PromotionId) -> Result<&Promotion, EngineError> {
    ledger.promotions.get(&id).map(AsRef::as_ref).ok_or(EngineError::NoPromotion(id))
}

/// Whether people are asked about a promotion: it waits for approval, or it did and somebody has decided since. The second
/// approver need not wait until somebody has run it again.
pub fn takes_decisions(promotion: &Promotion) -> bool {
    let admitted = || promotion.judged.iter().all(Judged::admits) && !promotion.judged.is_empty();
    match promotion.stage {
        Stage::Waiting(Wait::Approval { .. }) => true,
        Stage::Judging => promotion.lapses_at.is_some() && !promotion.approvals.is_empty() && admitted(),
        _ => false,
    }
}

/// What `approver` would sign to decide on a promotion that waits for approval, or to take an approval back.
pub fn statement(
    ledger: &Ledger,
    id: PromotionId,
    approver: &PersonId,
    (decision, reason): (Verdict, Option<String>),
    now: Timestamp,
    nonce: String,
) -> Result<ApprovalStatement, EngineError> {
    let promotion = promotion(ledger, id)?;
    let wrong = |why: &str| EngineError::WrongState { id, status: promotion.status(), why: why.to_owned() };
    match decision {
        Verdict::Revoke => revocable(promotion, approver)?,
        Verdict::Approve | Verdict::Reject => {
            if !takes_decisions(promotion) {
                return Err(wrong("it does not wait for approval"));
            }
        }
    }
    let life = match decision {
        // Whatever became of the rule meanwhile, stopping stays possible.
        Verdict::Revoke => REVOCATION_LIFE,
        Verdict::Approve | Verdict::Reject => {
            judge::rule(ledger, promotion)?.ok_or_else(|| wrong("its environment needs no approval"))?.expires
        }
    };
    let evidence = promotion.evidence.ok_or_else(|| wrong("its gates were never judged"))?;
    let binding = judge::binding(ledger, promotion, evidence, judge::waived(&promotion.judged))?;
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
        expires_at: life.after(now),
        nonce,
        reason,
        expedited: binding.expedited,
        waived: binding.waived,
    })
}

/// Whether there is an approval of theirs that can still be taken back.
fn revocable(promotion: &Promotion, approver: &PersonId) -> Result<(), EngineError> {
    let wrong = |why: String| EngineError::WrongState { id: promotion.id, status: promotion.status(), why };
    match &promotion.stage {
        Stage::Judging | Stage::Waiting(_) => {}
        Stage::Forward { step, .. } if !step.touches_live() => {}
        Stage::Forward { .. } => return Err(wrong("the switch has begun; roll back instead".to_owned())),
        Stage::Back { .. } | Stage::Ended(_) => return Err(wrong("there is nothing left to stop".to_owned())),
    }
    let theirs = |given: &&Approval| given.statement.approver == *approver && given.revoked.is_none();
    match promotion.approvals.iter().find(theirs) {
        Some(_) => Ok(()),
        None => Err(wrong(format!("`{approver}` has not approved it, so there is nothing to take back"))),
    }
}

/// What became of a decision that came from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedIn {
    /// The decision.
    pub statement: ApprovalStatement,
    /// Whether the log had it already, and nothing was written.
    pub again: bool,
}

/// Accepts a signed decision, if it counts.
pub async fn accept(book: &Book, signatures: &dyn Signatures, signed: &Signed) -> Result<PromotionId, EngineError> {
    let (statement, proof) = read(signatures, signed)?;
    book.commit(|ground| {
        let draft = draft(ground, (&statement, &proof), signed.objects())?;
        Ok(Decision { drafts: vec![draft], value: statement.promotion })
    })
    .await
}

/// Accepts a signed decision that came from elsewhere, if it counts. The same one twice is no error, so that whoever does not
/// know whether it arrived hands it in again.
pub async fn hand_in(book: &Book, signatures: &dyn Signatures, signed: &Signed) -> Result<HandedIn, EngineError> {
    let (statement, proof) = read(signatures, signed)?;
    let stored = book.object(Digest::of(&signed.statement)).await?.is_some();
    let again = book
        .commit(|ground| {
            let signer = places::policy(ground.ledger)?.owner_of_key(signer_key(&proof)).map(|(who, _)| who);
            if signer == Some(&statement.approver) && taken_before(ground.ledger, &statement, stored)? {
                return Ok(Decision::nothing(true));
            }
            let draft = draft(ground, (&statement, &proof), signed.objects())?;
            Ok(Decision { drafts: vec![draft], value: false })
        })
        .await?;
    Ok(HandedIn { statement, again })
}

/// The key behind a proof; of no other kind is there one.
fn signer_key(proof: &Proof) -> &str {
    match proof {
        Proof::Sshsig { key, .. } => key,
        _ => "",
    }
}

/// The statement, with the proof that whoever has the key signed it.
pub(crate) fn read(signatures: &dyn Signatures, signed: &Signed) -> Result<(ApprovalStatement, Proof), EngineError> {
    let key = signed.key(signatures)?;
    let proof = signed.proof(signatures, key, APPROVAL_NAMESPACE)?;
    Ok((signed.says()?, proof))
}

/// Whether the log has this very decision. `stored` is whether its bytes lie beside the log.
fn taken_before(ledger: &Ledger, statement: &ApprovalStatement, stored: bool) -> Result<bool, EngineError> {
    let Some(promotion) = ledger.promotions.get(&statement.promotion) else { return Ok(false) };
    let by = &statement.approver;
    match statement.decision {
        Verdict::Approve => match promotion.approvals.iter().find(|given| given.statement == *statement) {
            None => Ok(false),
            Some(Approval { revoked: None, .. }) => Ok(true),
            Some(Approval { revoked: Some(at), .. }) => {
                Err(EngineError::NotCounted { by: by.clone(), why: NotCounted::Revoked(*at) })
            }
        },
        Verdict::Reject => {
            let ended = matches!(&promotion.stage, Stage::Ended(Ended::Cancelled { by: Some(who), .. }) if who == by);
            Ok(stored && ended)
        }
        Verdict::Revoke => {
            let mut theirs = promotion.approvals.iter().filter(|given| given.statement.approver == *by);
            Ok(stored && theirs.any(|given| given.revoked.is_some_and(|at| at >= statement.issued_at)))
        }
    }
}

/// The event of a decision that counts.
pub(crate) fn draft(
    ground: &Ground<'_>,
    (statement, proof): (&ApprovalStatement, &Proof),
    evidence: Vec<Vec<u8>>,
) -> Result<Draft, EngineError> {
    let promotion = promotion(ground.ledger, statement.promotion)?;
    let approval = Approval { statement: statement.clone(), proof: proof.clone(), at: ground.now, revoked: None };
    let event = match statement.decision {
        Verdict::Revoke => {
            check_revocation(ground.ledger, promotion, &approval)?;
            PromotionEvent::Revoked(approval)
        }
        Verdict::Approve => {
            check(ground.ledger, promotion, &approval)?;
            PromotionEvent::Approved(approval)
        }
        Verdict::Reject => {
            check(ground.ledger, promotion, &approval)?;
            let reason = approval.statement.reason.clone().filter(|reason| !reason.trim().is_empty());
            let reason = reason.ok_or_else(|| EngineError::Statement("a rejection says why".to_owned()))?;
            PromotionEvent::Rejected { by: approval.statement.approver, reason, proof: proof.clone() }
        }
    };
    Ok(Draft { event: change(promotion.id, event), evidence })
}

/// Whether an approval or a rejection by this key would count, as far as a part of a ledger can tell.
///
/// # Errors
/// Why it would not.
pub fn would_count(ledger: &Ledger, statement: &ApprovalStatement, key: &str) -> Result<(), EngineError> {
    let digest = statement.digest();
    let proof = Proof::Sshsig { key: key.to_owned(), statement: digest, signature: digest };
    would_count_by(ledger, (statement, proof), statement.issued_at)
}

/// Whether a signed decision would be accepted now, for who cannot accept it and only hands it in.
///
/// # Errors
/// Why it would not.
pub fn verify(
    ledger: &Ledger,
    signatures: &dyn Signatures,
    signed: &Signed,
    now: Timestamp,
) -> Result<ApprovalStatement, EngineError> {
    let (statement, proof) = read(signatures, signed)?;
    would_count_by(ledger, (&statement, proof), now)?;
    Ok(statement)
}

fn would_count_by(
    ledger: &Ledger,
    (statement, proof): (&ApprovalStatement, Proof),
    at: Timestamp,
) -> Result<(), EngineError> {
    let promotion = promotion(ledger, statement.promotion)?;
    let approval = Approval { statement: statement.clone(), proof, at, revoked: None };
    match statement.decision {
        Verdict::Revoke => check_revocation(ledger, promotion, &approval),
        Verdict::Approve | Verdict::Reject => check(ledger, promotion, &approval),
    }
}

/// Whether a decision would count now.
fn check(ledger: &Ledger, promotion: &Promotion, approval: &Approval) -> Result<(), EngineError> {
    let wrong =
        |why: &str| EngineError::WrongState { id: promotion.id, status: promotion.status(), why: why.to_owned() };
    if !matches!(promotion.stage, Stage::Judging | Stage::Waiting(_)) {
        return Err(wrong("it waits for no decision"));
    }
    let voters = ledger.voters().ok_or(EngineError::NotInitialised)?;
    let rule = judge::rule(ledger, promotion)?.ok_or_else(|| wrong("its environment needs no approval"))?;
    let evidence = promotion.evidence.ok_or_else(|| wrong("its gates were never judged"))?;
    let binding = judge::binding(ledger, promotion, evidence, judge::waived(&promotion.judged))?;
    let parties = judge::parties(ledger, promotion);
    approval::counts(approval, &rule, &binding, voters, &parties, approval.at)
        .map_err(|why| EngineError::NotCounted { by: approval.statement.approver.clone(), why })?;
    if EARLIER.after(approval.statement.issued_at) < promotion.requested_at {
        return Err(EngineError::Statement("it was signed before its promotion was asked for".to_owned()));
    }
    Ok(())
}

/// Whether a revocation is the approver's own and was signed now. It needs no more: stopping is the safe direction, and what
/// it was bound to may be exactly what changed.
fn check_revocation(ledger: &Ledger, promotion: &Promotion, given: &Approval) -> Result<(), EngineError> {
    let statement = &given.statement;
    let by = || statement.approver.clone();
    let not = |why| Err(EngineError::NotCounted { by: by(), why });
    revocable(promotion, &statement.approver)?;
    if statement.v != STATEMENT_VERSION {
        return not(NotCounted::Version(statement.v));
    }
    if statement.app != places::policy(ledger)?.app {
        return not(NotCounted::Other("application"));
    }
    if given.at >= statement.expires_at {
        return not(NotCounted::Expired(statement.expires_at));
    }
    if statement.issued_at > Period::from_secs(60).after(given.at) {
        return not(NotCounted::Future(statement.issued_at));
    }
    // One that is older than the approval was for the one before, which may have been taken back with it already.
    let theirs = promotion.approvals.iter().filter(|before| before.statement.approver == statement.approver);
    if theirs.filter(|before| before.revoked.is_none()).any(|before| before.statement.issued_at > statement.issued_at) {
        return not(NotCounted::Other("approval, an earlier one"));
    }
    let Proof::Sshsig { key, .. } = &given.proof else {
        return not(NotCounted::Unverifiable(given.proof.as_str()));
    };
    match places::policy(ledger)?.owner_of_key(key) {
        Some((owner, _)) if *owner == statement.approver => Ok(()),
        Some(_) => not(NotCounted::ForeignKey(by())),
        None => not(NotCounted::Stranger(by())),
    }
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
