//! `sealift approve`

mod shown;

use std::{
    io::{BufRead, Read},
    path::PathBuf,
};

use sealift_domain::{
    approval::{APPROVAL_NAMESPACE, ApprovalStatement, Decision},
    ledger::Ledger,
    name::PersonId,
    promotion::{Kind, Promotion, PromotionId},
};
use sealift_engine::{act::Signed, decide, outbox, ports::clock::Clock};
use serde_json::json;

use super::{Ends, Global};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, identity,
    session::Session,
    shell::Shell,
    system::{SystemClock, nonce},
};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 100;

/// Consent to a promotion, signed with your own SSH key; or take that back
///
/// What is signed is shown first: the digests, what changes against what is live, the gates and who asked. It counts for
/// exactly that: another digest, policy, definition or set of evidence wants it anew.
#[derive(clap::Args)]
pub struct Args {
    /// The promotion; without it, the one that waits for approval, if there is only one.
    promotion: Option<PromotionId>,
    /// Take your approval back. It ends the promotion if too few approvals are left, as long as the switch has not begun.
    #[arg(long)]
    revoke: bool,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// Sign what is shown without asking. Where nobody sits at a terminal, nothing is asked.
    #[arg(long, short)]
    yes: bool,
    /// Your SSH key, private or public (with an agent).
    #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
    identity: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let decision = if args.revoke { Decision::Revoke } else { Decision::Approve };
    decide(shell, global, (args.promotion, args.yes), args.identity, (decision, args.reason)).await
}

/// Signs and hands in a decision.
pub(super) async fn decide(
    shell: &Shell,
    global: &Global,
    (promotion, yes): (Option<PromotionId>, bool),
    key: Option<PathBuf>,
    (decision, reason): (Decision, Option<String>),
) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    // Taking back and refusing stop something, and must not wait until a file is in order again.
    let policy = match decision {
        Decision::Revoke | Decision::Reject => session.accepted_policy(shell).await.map_err(one)?,
        Decision::Approve => session.same_policy().await.map_err(one)?,
    };
    if decision == Decision::Reject && reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err(one(failure::usage("say why: `--reason \"…\"`")));
    }
    let ledger = session.ledger().await.map_err(one)?;
    let identity = identity::require(shell, &policy, key.as_deref()).map_err(one)?;
    let id = match promotion {
        Some(id) => id,
        None => the_one(&ledger, decision, &identity.person).map_err(one)?,
    };
    let decided = (decision, reason);
    let statement = decide::statement(&ledger, id, &identity.person, decided, SystemClock.now(), nonce())
        .map_err(|e| one(failure::of_engine(e)))?;
    if !global.json() {
        let style = shell.err(false, global.color()).style();
        shell.tell(&shown::what_is_signed(&session, &ledger, &statement, &style).await);
    }
    if decision == Decision::Approve && shell.stdin_terminal && !yes && !global.json() {
        shell.tell(&format!("sign this approval of promotion {id}? [y/N] "));
        if !agrees(&mut std::io::stdin().lock()) {
            return Err(one(failure::usage("nothing was signed").state("nothing was changed")));
        }
    }
    let bytes = serde_json::to_vec(&statement).unwrap_or_default();
    let signature = identity.sign(APPROVAL_NAMESPACE, &bytes).map_err(one)?;
    let signed = Signed { statement: bytes, signature };
    decide::accept(&session.book, session.world.signatures.as_ref(), &signed)
        .await
        .map_err(|e| one(failure::of_engine(e)))?;
    // A rejection ends the promotion, and no later run works on it: whoever waits for it hears of it from here.
    outbox::deliver(&session.book, &session.world, outbox::Effort::Full)
        .await
        .map_err(|e| one(failure::of_engine(e)))?;
    conclude(shell, global, &statement, ledger.promotions.get(&id).map(AsRef::as_ref));
    Ok(Exit::Ok)
}

/// Whether the next line says yes. Anything else, and no line at all, is no.
fn agrees(input: &mut impl BufRead) -> bool {
    let mut line = String::new();
    let read = input.take(MAX_ANSWER).read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// The promotion that is meant where none is named: the only one that this can be about.
fn the_one(ledger: &Ledger, decision: Decision, who: &PersonId) -> Result<PromotionId, Diagnostic> {
    let theirs = |promotion: &Promotion| {
        let mut given = promotion.approvals.iter();
        given.any(|given| given.statement.approver == *who && given.revoked.is_none())
    };
    let meant = |promotion: &Promotion| match decision {
        Decision::Revoke => !promotion.has_ended() && theirs(promotion),
        Decision::Approve | Decision::Reject => decide::takes_decisions(promotion),
    };
    let mut found = ledger.promotions.values().filter(|promotion| meant(promotion)).map(|promotion| promotion.id);
    match (found.next(), found.next(), decision) {
        (Some(id), None, _) => Ok(id),
        (None, _, Decision::Revoke) => {
            Err(Diagnostic::new("E0403", format!("no promotion that is open has an approval of {who}"))
                .state("nothing was changed")
                .next("`sealift status`"))
        }
        (None, _, _) => Err(Diagnostic::new("E0403", "no promotion waits for approval")
            .state("nothing was changed")
            .next("`sealift status`")),
        (Some(_), Some(_), Decision::Revoke) => {
            Err(failure::usage(format!("{who} approved several promotions: name one")).next("`sealift status`"))
        }
        (Some(_), Some(_), _) => {
            Err(failure::usage("several promotions wait for approval: name one").next("`sealift status`"))
        }
    }
}

fn conclude(shell: &Shell, global: &Global, statement: &ApprovalStatement, before: Option<&Promotion>) {
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "promotion": statement.promotion,
            "decision": statement.decision,
            "approver": statement.approver,
            "expires_at": statement.expires_at,
        });
        shell.print(&format!("{value}\n"));
        return;
    }
    let word = match statement.decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
        Decision::Revoke => "approval taken back",
    };
    shell.print(&format!("{word} by {} (promotion {})\n", statement.approver, statement.promotion));
    let again = match before.map(|promotion| promotion.kind) {
        Some(Kind::Rollback) => "rollback --in",
        _ => "promote --to",
    };
    if statement.decision != Decision::Reject {
        shell.print(&format!("next: sealift {again} {}\n", statement.to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        let says = |text: &str| agrees(&mut text.as_bytes());
        assert!(says("y\n") && says("Yes\n"));
        assert!(!says("") && !says("\n") && !says("n\n") && !says("yesterday\n"));
    }
}
