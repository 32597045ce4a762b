//! Taking in what people handed in who cannot write to the log.

use jiff::Timestamp;
use sealift_domain::{
    approval::{ApprovalStatement, Decision as Verdict, NotCounted},
    digest::Digest,
    ledger::{IllegalEntry, Ledger},
    name::{EnvironmentName, PersonId},
    promotion::{PromotionId, Stage},
};

use crate::{
    act::Signed,
    book::Book,
    decide::{self, HandedIn},
    error::EngineError,
    exchange, places,
    ports::{inbox::Inbox, log::LogError, signature::Signatures},
};

/// What became of a statement that was handed in.
#[derive(Debug)]
pub struct Taken {
    /// The file.
    pub digest: Digest,
    /// Whose it is, and for which promotion; `None` where that was not proven.
    pub of: Option<(PersonId, PromotionId)>,
    /// What became of it.
    pub fate: Fate,
    /// Why it is still in the inbox although it is done with; the next run finds that out and removes it.
    pub left: Option<String>,
}

/// See [`Taken`].
#[derive(Debug)]
pub enum Fate {
    /// It is in the log now, and no longer in the inbox.
    Accepted(Verdict),
    /// It was in the log already, and is no longer in the inbox.
    Again,
    /// It can never count, and is no longer in the inbox.
    Refused(EngineError),
    /// It does not count yet, and stays.
    Stays(String),
}

impl Taken {
    /// What became of it, as people read it.
    pub fn in_words(&self) -> String {
        let who = match &self.of {
            Some((who, id)) => format!("{who} on promotion {id}"),
            None => format!("{}, by nobody known", self.digest.short()),
        };
        let left = self.left.as_ref().map(|why| format!(" (still in the inbox: {why})")).unwrap_or_default();
        let fate = match &self.fate {
            Fate::Accepted(Verdict::Approve) => format!("{who}: approved"),
            Fate::Accepted(Verdict::Reject) => format!("{who}: rejected"),
            Fate::Accepted(Verdict::Revoke) => format!("{who}: approval taken back"),
            Fate::Again => format!("{who}: it was in the log already"),
            Fate::Refused(why) => format!("{who}: refused: {why}"),
            Fate::Stays(why) => format!("{who}: it stays there: {why}"),
        };
        format!("{fate}{left}")
    }
}

/// Takes every statement of the inbox into the log that counts, the earliest first, and removes what is done with. One that does
/// not count hinders no other. With `to`, statements on promotions to other environments are left alone: whoever works on one
/// environment need not be able to write facts about another.
///
/// # Errors
/// The log or the inbox does not answer. Whatever was accepted until then is in the log.
pub async fn take_in(
    book: &Book,
    signatures: &dyn Signatures,
    inbox: &dyn Inbox,
    to: Option<&EnvironmentName>,
) -> Result<Vec<Taken>, EngineError> {
    let mut files: Vec<(Digest, Result<Read, EngineError>)> = Vec::new();
    for (digest, bytes) in inbox.list().await? {
        files.push((digest, read(&bytes, signatures)));
    }
    // Who approves and takes it back meant it in that order.
    files.sort_by_key(|(digest, read)| (read.as_ref().ok().map(|read| read.statement.issued_at), *digest));
    let mut taken = Vec::new();
    let ledger = book.ledger().await?;
    let elsewhere = |read: &Read| {
        let promotion = ledger.promotions.get(&read.statement.promotion);
        promotion.is_some_and(|promotion| to.is_some_and(|to| promotion.to != *to))
    };
    files.retain(|(_, read)| !read.as_ref().is_ok_and(elsewhere));
    for (digest, read) in files {
        taken.push(match read {
            Ok(read) => take(book, signatures, digest, read).await?,
            Err(why) => Taken { digest, of: None, fate: Fate::Refused(why), left: None },
        });
    }
    let done: Vec<Digest> =
        taken.iter().filter(|taken| !matches!(taken.fate, Fate::Stays(_))).map(|taken| taken.digest).collect();
    // What counts is in the log by now, so nothing is lost if this fails.
    if !done.is_empty()
        && let Err(why) = inbox.remove(&done).await
    {
        let done_with = taken.iter_mut().filter(|taken| done.contains(&taken.digest));
        done_with.for_each(|taken| taken.left = Some(why.to_string()));
    }
    Ok(taken)
}

/// A statement whose signature holds, by whatever key.
struct Read {
    signed: Signed,
    statement: ApprovalStatement,
}

fn read(bytes: &[u8], signatures: &dyn Signatures) -> Result<Read, EngineError> {
    let signed = exchange::read_answer(bytes)?;
    let (statement, _) = decide::read(signatures, &signed)?;
    Ok(Read { signed, statement })
}

/// A person's approvals that wait in the inbox, by promotion. By name alone: what in truth another signed counts for nothing.
///
/// # Errors
/// The inbox does not answer.
pub async fn approvals_of(
    inbox: &dyn Inbox,
    signatures: &dyn Signatures,
    who: &PersonId,
) -> Result<Vec<(PromotionId, Digest)>, EngineError> {
    let mut theirs = Vec::new();
    for (digest, bytes) in inbox.list().await? {
        let Ok(Read { statement, .. }) = read(&bytes, signatures) else { continue };
        if statement.approver == *who && statement.decision == Verdict::Approve {
            theirs.push((statement.promotion, digest));
        }
    }
    Ok(theirs)
}

async fn take(
    book: &Book,
    signatures: &dyn Signatures,
    digest: Digest,
    Read { signed, statement }: Read,
) -> Result<Taken, EngineError> {
    let of = |statement: &ApprovalStatement| Some((statement.approver.clone(), statement.promotion));
    let fate = match decide::hand_in(book, signatures, &signed).await {
        Ok(HandedIn { again: true, .. }) => Fate::Again,
        Ok(HandedIn { statement, again: false }) => Fate::Accepted(statement.decision),
        Err(why @ EngineError::Log(LogError::TooLarge(_))) => Fate::Refused(why),
        // A run may have no writer key of the environment: one that has takes it in.
        Err(EngineError::Refused(why @ IllegalEntry::ForeignWriter { .. })) => Fate::Stays(why.to_string()),
        // Not the fault of what was handed in.
        Err(
            why @ (EngineError::Log(_)
            | EngineError::Contended(_)
            | EngineError::Entry { .. }
            | EngineError::Illegal { .. }),
        ) => {
            return Err(why);
        }
        Err(why) => {
            let ledger = book.ledger().await?;
            let key = signatures.key_of(&signed.signature).unwrap_or_default();
            let known = places::policy(&ledger)?.owner_of_key(&key).is_some_and(|(who, _)| *who == statement.approver);
            if !known {
                return Ok(Taken { digest, of: None, fate: Fate::Refused(why), left: None });
            }
            if may_count_later(&ledger, &statement, &why, book.now()) {
                Fate::Stays(why.to_string())
            } else {
                Fate::Refused(why)
            }
        }
    };
    Ok(Taken { digest, of: of(&statement), fate, left: None })
}

/// Whether a statement of a known person might still count as it is: its promotion is to be judged, or its clock was ahead.
fn may_count_later(ledger: &Ledger, statement: &ApprovalStatement, why: &EngineError, now: Timestamp) -> bool {
    let Some(promotion) = ledger.promotions.get(&statement.promotion) else { return false };
    if now >= statement.expires_at {
        return false;
    }
    let pending = matches!(promotion.stage, Stage::Judging | Stage::Waiting(_));
    let ahead = matches!(why, EngineError::NotCounted { why: NotCounted::Future(_), .. });
    pending && (promotion.evidence.is_none() || ahead)
}
