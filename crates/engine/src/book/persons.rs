//! What persons alone may say is verified while the log is read, where it changes whose facts are believed.
//!
//! Any writer may bring these entries, because persons signed them. Whoever has the log's key could write them with a proof of
//! nothing, so where the policy names writers the proof is verified before the entry counts. Other statements of persons, such as
//! approvals, are verified again where they are used.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sealift_domain::{
    approval::ActStatement,
    digest::Digest,
    event::{Event, PolicyAccepted},
    ledger::Ledger,
    policy::Policy,
    promotion::PromotionEvent,
};

use crate::{
    act,
    audit::statements,
    error::EngineError,
    exceptions, init,
    ports::{
        log::{Log, LogError},
        signature::Signatures,
    },
    proposal,
};

/// Verifies an entry that persons must have signed.
///
/// # Errors
/// It is one, and they did not; or nothing here can verify signatures of persons.
pub(super) async fn verify(
    log: &dyn Log,
    signatures: Option<&dyn Signatures>,
    ledger: &Ledger,
    (index, time): (u64, Timestamp),
    event: &Event,
) -> Result<(), EngineError> {
    let Some(policy) = ledger.policy.as_ref().filter(|policy| policy.has_writers() && by_persons(policy, event)) else {
        return Ok(());
    };
    let tampered = |what: String| EngineError::Log(LogError::Tampered { what, at: Some(index) });
    let claims = statements::of(event);
    if claims.is_empty() {
        return Err(tampered(format!("nobody signed a `{}`", event.kind())));
    }
    let Some(signatures) = signatures else {
        return Err(tampered("nothing here can verify who signed it".to_owned()));
    };
    for claim in &claims {
        let objects: Option<Vec<Vec<u8>>> = log.objects(&claim.proof.objects()).await?.into_iter().collect();
        let Some(objects) = objects else {
            return Err(tampered("statement or signature of who signed it is not beside the log".to_owned()));
        };
        let held = claim.verify(signatures, Some(policy), &objects, time);
        let said = held.and_then(|()| counts(ledger, policy, event, objects.first(), time));
        said.map_err(tampered)?;
    }
    enough(ledger, event).map_err(tampered)
}

/// Whether persons must have signed an event, because anybody may bring it and it opens something.
fn by_persons(policy: &Policy, event: &Event) -> bool {
    match event {
        // Where the policy names nobody it is a fact of the last environment's writer.
        Event::PolicyAccepted(_) => !policy.people.is_empty(),
        Event::HoldReleased(released) => released.proof.is_some(),
        Event::Promotion(changed) => matches!(changed.change, PromotionEvent::FollowUpClosed { .. }),
        _ => false,
    }
}

/// Whether a signed statement was made for this place in the log, and not for an earlier one.
fn counts(
    ledger: &Ledger,
    policy: &Policy,
    event: &Event,
    statement: Option<&Vec<u8>>,
    time: Timestamp,
) -> Result<(), String> {
    let statement = statement.map(Vec::as_slice).unwrap_or_default();
    if let Event::PolicyAccepted(accepted) = event {
        let signed: serde_json::Value = serde_json::from_slice(statement).map_err(|why| why.to_string())?;
        let contacts = serde_json::to_vec(&accepted.contacts).map_err(|why| why.to_string())?;
        let same = signed["app"] == policy.app.to_string()
            && signed["contacts"] == Digest::of(&contacts).to_string()
            && signed["replaces"] == policy.digest().to_string()
            && signed["since"] == ledger.policy_since.unwrap_or_default()
            && signed["policy"] == accepted.policy.digest().to_string();
        return if same { Ok(()) } else { Err("a policy was accepted in place of another one".to_owned()) };
    }
    let signed: ActStatement = serde_json::from_slice(statement).map_err(|why| why.to_string())?;
    if signed.app != policy.app {
        return Err("what was signed is about another application".to_owned());
    }
    if signed.is_fresh(time) { Ok(()) } else { Err("what was signed was not signed for this entry".to_owned()) }
}

/// Whether those who signed were the right ones, by the policy in force.
fn enough(ledger: &Ledger, event: &Event) -> Result<(), String> {
    match event {
        Event::PolicyAccepted(accepted) => quorum(ledger, accepted),
        Event::HoldReleased(released) => {
            let signed = ledger.holds.get(&released.scope).is_some_and(|hold| hold.by.is_some());
            match (&released.by, &ledger.policy) {
                (Some(by), Some(policy)) if signed => {
                    act::has_role(ledger, by, &proposal::approvers(policy, by)).map_err(|why| why.to_string())
                }
                _ => Ok(()),
            }
        }
        Event::Promotion(changed) => match &changed.change {
            PromotionEvent::FollowUpClosed { by, .. } => {
                exceptions::may_close(ledger, changed.promotion, by).map_err(|why| why.to_string())
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn quorum(ledger: &Ledger, accepted: &PolicyAccepted) -> Result<(), String> {
    let proposer = match accepted.proposal {
        None => None,
        Some(id) => {
            let proposed = ledger.proposals.iter().find(|proposal| proposal.id == id);
            let proposed = proposed.ok_or_else(|| format!("a proposal {id} was accepted that was not open"))?;
            if proposed.policy != accepted.policy {
                return Err(format!("another policy was accepted than proposal {id}"));
            }
            Some(&proposed.by)
        }
    };
    let signers: BTreeSet<_> = accepted.accepted_by.keys().collect();
    // Accounts may have been erased since, and then no comparison says what was so at the time.
    let new = (&accepted.policy, &ledger.contacts);
    init::enough(ledger, new, &signers, proposer).map_err(|why| why.to_string())
}
