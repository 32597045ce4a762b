//! The ways around the usual ones: letting a promotion through a freeze, and closing what an expedited one left to be done.

use jiff::Timestamp;
use sealift_domain::{
    approval::{Act, Proof},
    freeze::Freeze,
    ledger::Ledger,
    name::PersonId,
    promotion::{FreezeOverride, Promotion, PromotionEvent, PromotionId},
};

use crate::{
    act::{self, Signed},
    book::{Book, Decision, Draft},
    decide::promotion,
    error::EngineError,
    places,
    ports::signature::Signatures,
    request::change,
};

/// The freezes that cover now, the one that lasts longest first. Each is overridden by itself.
///
/// # Errors
/// There is none.
pub fn active_freezes(ledger: &Ledger, promotion: &Promotion, now: Timestamp) -> Result<Vec<Freeze>, EngineError> {
    let freezes = ledger
        .freezes_of(&promotion.to, now)
        .map_err(|unknown| EngineError::UnknownZone { environment: promotion.to.clone(), zone: unknown.0 })?;
    let mut active: Vec<Freeze> = freezes.into_iter().filter(|freeze| freeze.covers(now)).collect();
    if active.is_empty() {
        return Err(EngineError::NotFound(format!("{} is not frozen now", promotion.to)));
    }
    active.sort_by_key(|freeze| std::cmp::Reverse(freeze.until));
    Ok(active)
}

/// How many more persons must sign before a freeze no longer stops a promotion, and who did, that counts.
pub struct Overriding {
    /// The promotion.
    pub promotion: PromotionId,
    /// The freeze.
    pub freeze: Freeze,
    /// How many more.
    pub missing: u32,
}

/// Puts one person's signature under the override of a freeze on record.
pub async fn override_freeze(
    book: &Book,
    signatures: &dyn Signatures,
    signed: &Signed,
) -> Result<Overriding, EngineError> {
    book.commit(|ground| {
        let (statement, proof) = act::read(ground.ledger, signatures, signed, ground.now)?;
        let Act::OverrideFreeze { promotion: id, environment, freeze } = &statement.act else {
            return Err(another());
        };
        let promotion = promotion(ground.ledger, *id)?;
        let rules = places::environment(ground.ledger, environment)?;
        let rule = rules
            .freeze_override
            .as_ref()
            .ok_or_else(|| EngineError::NoSuchWay { environment: environment.clone(), key: "freeze_override" })?;
        act::has_role(ground.ledger, &statement.person, &rule.roles)?;
        let active = active_freezes(ground.ledger, promotion, ground.now)?;
        let meant = active.into_iter().find(|active| active.digest() == *freeze);
        let Some(active) = meant.filter(|_| promotion.to == *environment) else {
            return Err(EngineError::Statement("it is about a freeze that is not in force".to_owned()));
        };
        if let (Proof::Sshsig { key, .. }, Some(voters)) = (&proof, ground.ledger.voters()) {
            voters
                .registered_before(&statement.person, key, *id)
                .map_err(|why| EngineError::NotCounted { by: statement.person.clone(), why })?;
        }
        let (by, reason) = (statement.person.clone(), statement.reason.clone());
        let event = PromotionEvent::FreezeOverridden(FreezeOverride { freeze: *freeze, by: by.clone(), reason, proof });
        let others = promotion.overrides.iter().filter(|given| given.freeze == *freeze && given.by != by).count();
        let have = u32::try_from(others + 1).unwrap_or(u32::MAX);
        let value = Overriding { promotion: *id, freeze: active, missing: rule.count.saturating_sub(have) };
        Ok(Decision { drafts: vec![Draft { event: change(*id, event), evidence: signed.objects() }], value })
    })
    .await
}

/// Whether a person may say that what was waived for a promotion was made good.
///
/// # Errors
/// Why not.
pub(crate) fn may_close(ledger: &Ledger, id: PromotionId, who: &PersonId) -> Result<(), EngineError> {
    let promotion = promotion(ledger, id)?;
    let rules = places::environment(ledger, &promotion.to)?;
    let usual = rules.approval.iter().flat_map(|rule| &rule.roles);
    let expedited = rules.expedited.iter().flat_map(|rule| &rule.roles);
    act::has_role(ledger, who, &usual.chain(expedited).cloned().collect())?;
    if promotion.requester.person() == Some(who) {
        let why = "who asked for an expedited promotion does not say that it was made good".to_owned();
        return Err(EngineError::MayNot { who: who.clone(), why });
    }
    Ok(())
}

/// Closes the follow-up of an expedited promotion. Whoever may approve promotions into its environment, the usual or the
/// expedited way, may say that what was waived was made good.
pub async fn close_follow_up(
    book: &Book,
    signatures: &dyn Signatures,
    signed: &Signed,
) -> Result<PromotionId, EngineError> {
    book.commit(|ground| {
        let (statement, proof) = act::read(ground.ledger, signatures, signed, ground.now)?;
        let Act::CloseFollowUp { promotion: id } = statement.act else { return Err(another()) };
        may_close(ground.ledger, id, &statement.person)?;
        let event = PromotionEvent::FollowUpClosed { by: statement.person, reason: statement.reason, proof };
        Ok(Decision { drafts: vec![Draft { event: change(id, event), evidence: signed.objects() }], value: id })
    })
    .await
}

fn another() -> EngineError {
    EngineError::Statement("it is about something else".to_owned())
}
