//! Taking back what still waits in the inbox of the log.

use std::collections::BTreeSet;

use sealift_domain::{
    digest::Digest,
    ledger::Ledger,
    name::PersonId,
    promotion::{Promotion, PromotionId},
};
use sealift_engine::inbox;
use serde_json::json;

use super::Global;
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    session::Session,
    shell::Shell,
};

/// Removes the person's approvals of a promotion from the inbox. That is all, unless one is in the log as well; that one is
/// taken back by a signed revocation. A run may have taken one in meanwhile, so the log is asked afterwards.
///
/// # Errors
/// The inbox or the log does not answer, or several promotions could be meant.
pub(super) async fn from_inbox(
    shell: &Shell,
    global: &Global,
    session: &Session,
    (who, named): (&PersonId, Option<PromotionId>),
) -> Result<Option<Exit>, Diagnostic> {
    let Some(inbox) = &session.world.inbox else { return Ok(None) };
    let waiting = inbox::approvals_of(inbox.as_ref(), session.world.signatures.as_ref(), who).await;
    let waiting = waiting.map_err(failure::of_engine)?;
    if waiting.is_empty() {
        return Ok(None);
    }
    let ledger = session.ledger().await?;
    let id = match named {
        Some(id) => id,
        None => the_one(&ledger, who, &waiting)?,
    };
    let theirs: Vec<Digest> = waiting.into_iter().filter(|(of, _)| *of == id).map(|(_, digest)| digest).collect();
    if theirs.is_empty() {
        return Ok(None);
    }
    inbox.remove(&theirs).await.map_err(|error| failure::of_log(&error))?;
    let ledger = session.ledger().await?;
    let in_log = ledger.promotions.get(&id).is_some_and(|promotion| approved(promotion, who));
    if !global.json() {
        shell.print(&format!("approval by {who} (promotion {id}) removed from the inbox, before any run took it in\n"));
        if in_log {
            shell.print("another one is in the log already: that is taken back, too\n");
        }
    }
    if in_log {
        return Ok(None);
    }
    if global.json() {
        let value = json!({
            "schema_version": 1, "promotion": id, "decision": "revoke", "approver": who, "removed": theirs.len(),
        });
        shell.print(&format!("{value}\n"));
    }
    Ok(Some(Exit::Ok))
}

/// Whether an approval of theirs is in the log and can be taken back.
fn approved(promotion: &Promotion, who: &PersonId) -> bool {
    let mut given = promotion.approvals.iter();
    !promotion.has_ended() && given.any(|given| given.statement.approver == *who && given.revoked.is_none())
}

/// The only promotion that has an approval of theirs, in the inbox or in the log.
fn the_one(ledger: &Ledger, who: &PersonId, waiting: &[(PromotionId, Digest)]) -> Result<PromotionId, Diagnostic> {
    let in_log = ledger.promotions.values().filter(|promotion| approved(promotion, who)).map(|promotion| promotion.id);
    let meant: BTreeSet<PromotionId> = waiting.iter().map(|(id, _)| *id).chain(in_log).collect();
    match meant.iter().next() {
        Some(id) if meant.len() == 1 => Ok(*id),
        _ => Err(failure::usage(format!("{who} approved several promotions: name one")).next("`sealift status`")),
    }
}
