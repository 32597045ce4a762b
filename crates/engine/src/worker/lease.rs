//! One promotion works on an environment at a time.

use sealift_domain::{
    event::{Event, LeaseTaken},
    promotion::Promotion,
    quantity::Period,
};

use crate::{
    book::{Book, Decision, Draft, Ground},
    decide::promotion,
    error::EngineError,
    ports::host::Host,
    request::held,
    world::World,
};

/// How long a lease lasts without renewal. Long enough for a machine that stalls, short enough for people who wait.
const LASTS: Period = Period::from_secs(15 * 60);

/// How often it is renewed while a step runs.
pub(super) const RENEW: Period = Period::from_secs(5 * 60);

/// The entry that takes the environment for `promotion`, if it is not ours already.
pub(super) fn claim(ground: &Ground<'_>, promotion: &Promotion, host: &dyn Host) -> Result<Option<Draft>, EngineError> {
    let ours = host.holder();
    if let Some(lease) = ground.ledger.leases.get(&promotion.to) {
        let holds = ground.ledger.promotions.get(&lease.promotion).filter(|p| !p.has_ended());
        if let Some(other) = holds.filter(|p| p.id != promotion.id) {
            return Err(held(ground.ledger, other));
        }
        let mine = lease.holder.run == ours.run && lease.promotion == promotion.id;
        if mine && lease.expires_at > RENEW.after(ground.now) {
            return Ok(None);
        }
        let free = lease.is_free_for(&ours.run, ground.now) || host.is_gone(&lease.holder) || holds.is_none();
        if !free {
            return Err(held(ground.ledger, promotion));
        }
    }
    let taken = LeaseTaken {
        environment: promotion.to.clone(),
        promotion: promotion.id,
        holder: ours,
        expires_at: LASTS.after(ground.now),
    };
    Ok(Some(Event::LeaseTaken(taken).into()))
}

/// Holds the environment for `of`, taking it over from a run that is gone, and returns the fencing number.
pub(super) async fn hold(book: &Book, world: &World, of: &Promotion) -> Result<u64, EngineError> {
    book.commit(|ground| {
        let promotion = promotion(ground.ledger, of.id)?;
        if promotion.has_ended() {
            // A rollback without the log came in meanwhile and ended it. Nobody takes an environment for what is over.
            let why = "it has ended, and nothing more is done for it".to_owned();
            return Err(EngineError::WrongState { id: promotion.id, status: promotion.status(), why });
        }
        let draft = claim(ground, promotion, world.host.as_ref())?;
        let held_now = ground.ledger.leases.get(&of.to).map(|lease| lease.fence);
        let fence = match &draft {
            Some(_) => ground.next,
            None => held_now.unwrap_or(ground.next),
        };
        Ok(Decision { drafts: draft.into_iter().collect(), value: fence })
    })
    .await
}
