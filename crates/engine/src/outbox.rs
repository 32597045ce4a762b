//! Delivering notices: at least once, in order per promotion and channel.

use std::collections::BTreeSet;

use sealift_domain::{
    event::{Event, NoticeReceipt},
    ledger::{Ledger, Notice},
    name::ChannelName,
    notice::NoticeKind,
    promotion::{Ended, Promotion, Stage},
    quantity::Period,
};
use serde_json::json;

use crate::{
    book::{Book, Decision},
    error::EngineError,
    places,
    ports::notifier::Delivery,
    view,
    world::World,
};

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Once: a promotion under way does not wait for a slow channel.
    Once,
    /// Three times with a growing pause.
    Full,
}

/// Delivers what is pending. What a channel does not take stays pending and is tried again by the next run.
pub async fn deliver(book: &Book, world: &World, effort: Effort) -> Result<(), EngineError> {
    let ledger = book.ledger().await?;
    // A channel that does not answer is asked no more in this run: people wait for the promotion, not for the channel.
    let mut blocked: BTreeSet<ChannelName> = BTreeSet::new();
    let pending: Vec<(u64, Notice)> = ledger.outbox.pending().map(|(index, notice)| (index, notice.clone())).collect();
    for (index, notice) in pending {
        for channel in &notice.channels {
            if blocked.contains(channel) {
                continue;
            }
            match try_channel(&ledger, world, index, &notice, channel, effort).await {
                Tried::Taken => settle(book, index, channel, None).await?,
                Tried::Refused(why) => settle(book, index, channel, Some(why)).await?,
                Tried::Later => {
                    blocked.insert(channel.clone());
                }
            }
        }
    }
    Ok(())
}

enum Tried {
    Taken,
    Refused(String),
    Later,
}

async fn try_channel(
    ledger: &Ledger,
    world: &World,
    index: u64,
    notice: &Notice,
    channel: &ChannelName,
    effort: Effort,
) -> Tried {
    let Some(notifier) = world.notifiers.get(channel) else { return Tried::Later };
    let delivery = Delivery {
        id: format!("sealift-{index}-{channel}"),
        time: notice.at,
        body: body(ledger, index, notice).to_string().into_bytes(),
    };
    let tries = if effort == Effort::Full { 3 } else { 1 };
    for attempt in 1..=tries {
        match notifier.deliver(&delivery).await {
            Ok(()) => return Tried::Taken,
            Err(error) if !error.transient => return Tried::Refused(error.message),
            Err(_) if attempt < tries => world.clock.sleep(Period::from_millis(250 << attempt)).await,
            Err(_) => {}
        }
    }
    Tried::Later
}

async fn settle(book: &Book, notice: u64, channel: &ChannelName, refused: Option<String>) -> Result<(), EngineError> {
    book.commit(|ground| {
        let waiting = ground.ledger.outbox.pending().any(|(i, n)| i == notice && n.channels.contains(channel));
        if !waiting {
            // Another run delivered it too; at least once is what was promised.
            return Ok(Decision::nothing(()));
        }
        let receipt = NoticeReceipt { notice, channel: channel.clone(), detail: refused.clone() };
        let event = if refused.is_some() { Event::NoticeRefused(receipt) } else { Event::NoticeDelivered(receipt) };
        Ok(Decision { drafts: vec![event.into()], value: () })
    })
    .await
}

/// What a notice says.
fn body(ledger: &Ledger, index: u64, notice: &Notice) -> serde_json::Value {
    let promotion = ledger.promotions.get(&notice.promotion);
    let release = promotion.map(|p| places::called(ledger, &p.release));
    json!({
        "schema_version": 1,
        "type": format!("promotion.{}", notice.kind.as_str()),
        "time": notice.at,
        "entry": index,
        "app": ledger.policy.as_ref().map(|policy| policy.app.to_string()),
        "promotion": notice.promotion,
        "from": promotion.and_then(|p| p.from.clone()),
        "to": promotion.map(|p| p.to.clone()),
        "release": release,
        "digests": promotion.map(|p| p.release.clone()),
        "reason": promotion.and_then(|p| why(p, notice.kind)),
        "next": promotion.and_then(|p| next(p, notice)),
        "tags": promotion.filter(|_| ends(notice.kind)).and_then(|p| view::unmoved_in_words(ledger, p)),
    })
}

/// Why a promotion was asked for; once it is over, why it ended as it did. It follows from the kind of notice, so that a
/// notice that is delivered again, by a later run, says what it said the first time.
fn why(promotion: &Promotion, kind: NoticeKind) -> Option<String> {
    match (kind, &promotion.stage) {
        (NoticeKind::ApprovalWanted | NoticeKind::Started | NoticeKind::Completed, _) => promotion.reason.clone(),
        (_, Stage::Ended(Ended::Failed { failure, .. } | Ended::RolledBack { failure })) => {
            Some(with_database(&failure.message, promotion))
        }
        (_, Stage::Ended(Ended::Stuck { failure, blocked })) => {
            Some(format!("{}; {}", failure.message, blocked.message))
        }
        (_, Stage::Ended(Ended::Cancelled { reason, .. })) => Some(with_database(reason, promotion)),
        _ => promotion.reason.clone(),
    }
}

/// Nothing live was changed but the database: whoever reads of the failure has to read of that too.
pub(crate) fn with_database(words: &str, promotion: &Promotion) -> String {
    match promotion.left_database() {
        Some(left) => format!("{words}; {left}"),
        None => words.to_owned(),
    }
}

/// Whether a notice tells how a promotion ended that may have touched tags.
fn ends(kind: NoticeKind) -> bool {
    matches!(kind, NoticeKind::Completed | NoticeKind::RolledBack | NoticeKind::Failed)
}

/// The command that goes on from here.
fn next(promotion: &Promotion, notice: &Notice) -> Option<String> {
    match notice.kind {
        NoticeKind::ApprovalWanted => Some(format!("sealift approve {}", promotion.id)),
        NoticeKind::Stuck => Some(format!("sealift status {}", promotion.id)),
        NoticeKind::Failed | NoticeKind::RolledBack => Some(format!("sealift explain {}", promotion.id)),
        _ => None,
    }
}
