//! `sealift approve`

use std::path::PathBuf;

use sealift_domain::{
    approval::{APPROVAL_NAMESPACE, ApprovalStatement, Decision},
    promotion::{Kind, PromotionId, Stage, Wait},
};
use sealift_engine::{database, decide, outbox, places, ports::clock::Clock};
use serde_json::json;

use super::{Ends, Global};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, identity,
    report::{
        human,
        style::{Style, Tone},
        text,
    },
    session::Session,
    shell::Shell,
    system::{SystemClock, nonce},
};

/// Consent to a promotion, signed with your own SSH key
#[derive(clap::Args)]
pub struct Args {
    /// The promotion; without it, the one that waits for approval, if there is only one.
    promotion: Option<PromotionId>,
    /// Your SSH key, private or public (with an agent).
    #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
    identity: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    decide(shell, global, args.promotion, args.identity, Decision::Approve, None).await
}

/// Signs and hands in a decision.
pub(super) async fn decide(
    shell: &Shell,
    global: &Global,
    promotion: Option<PromotionId>,
    key: Option<PathBuf>,
    decision: Decision,
    reason: Option<String>,
) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    let policy = session.same_policy().await.map_err(one)?;
    let ledger = session.ledger().await.map_err(one)?;
    let id = match promotion {
        Some(id) => id,
        None => the_waiting_one(&ledger).map_err(one)?,
    };
    let identity = identity::require(shell, &policy, key.as_deref()).map_err(one)?;
    let statement = decide::statement(&ledger, id, &identity.person, decision, SystemClock.now(), nonce())
        .map_err(|e| one(failure::of_engine(e)))?;
    if !global.json() {
        let style = shell.err(false, global.color()).style();
        shell.tell(&what_is_signed(&ledger, &statement, &style));
    }
    let bytes = serde_json::to_vec(&statement).unwrap_or_default();
    let signature = identity.sign(APPROVAL_NAMESPACE, &bytes).map_err(one)?;
    decide::accept(&session.book, session.world.signatures.as_ref(), &bytes, &signature, reason)
        .await
        .map_err(|e| one(failure::of_engine(e)))?;
    // A rejection ends the promotion, and no later run works on it: whoever waits for it hears of it from here.
    outbox::deliver(&session.book, &session.world, outbox::Effort::Full)
        .await
        .map_err(|e| one(failure::of_engine(e)))?;
    conclude(shell, global, &statement, ledger.promotions.get(&id).map(|p| p.kind));
    Ok(Exit::Ok)
}

fn the_waiting_one(ledger: &sealift_domain::ledger::Ledger) -> Result<PromotionId, Diagnostic> {
    let waits = |stage: &Stage| matches!(stage, Stage::Waiting(Wait::Approval { .. }));
    let mut waiting = ledger.promotions.values().filter(|p| waits(&p.stage)).map(|p| p.id);
    match (waiting.next(), waiting.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Diagnostic::new("E0403", "no promotion waits for approval")
            .state("nothing was changed")
            .next("`sealift status`")),
        (Some(_), Some(_)) => {
            Err(failure::usage("several promotions wait for approval: name one").next("`sealift status`"))
        }
    }
}

/// What the person is about to sign, in words.
fn what_is_signed(ledger: &sealift_domain::ledger::Ledger, statement: &ApprovalStatement, style: &Style) -> String {
    let promotion = ledger.promotions.get(&statement.promotion);
    let release = promotion.map(|p| places::called(ledger, &p.release)).unwrap_or_default();
    let live = ledger.environments.get(&statement.to).and_then(|record| record.live.as_ref());
    let live = live.map_or_else(|| "nothing".to_owned(), |live| places::called(ledger, &live.release));
    let mut lines = vec![
        ("promotion", format!("{} of {}", statement.promotion, statement.app)),
        ("change", format!("{live} → {release} in {}", statement.to)),
    ];
    lines.extend(statement.release.values().map(|image| ("image", image.to_string())));
    if let Some(promotion) = promotion {
        let passed = promotion.judged.iter().filter(|judged| judged.passed()).count();
        lines.push(("gates", format!("{passed} of {} passed", promotion.judged.len())));
        // The migration is what no approver can take back.
        let outlook = database::outlook(ledger, &promotion.to, promotion.schema);
        let outlook = outlook.filter(|_| promotion.kind == Kind::Promote);
        lines.extend(outlook.map(|outlook| ("database", outlook.to_string())));
        lines.extend(promotion.reason.iter().map(|reason| ("reason", reason.clone())));
    }
    let word = match statement.decision {
        Decision::Approve => "approval",
        Decision::Reject => "rejection",
    };
    let until = human::until(statement.expires_at, statement.issued_at);
    lines.push(("signs", format!("{word} by {}, which counts until {until}", statement.approver)));
    // The reason and the names of releases come from others: nothing in them may hide what is signed.
    let line = |(label, words): (&str, String)| {
        let label = format!("{label:<9}  ");
        let label = style.paint(Tone::Dim, &label);
        format!("{}\n", text::hang(&label, &style.clean(&words), style.width))
    };
    lines.into_iter().map(line).collect()
}

fn conclude(shell: &Shell, global: &Global, statement: &ApprovalStatement, kind: Option<Kind>) {
    let word = match statement.decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
    };
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "promotion": statement.promotion,
            "decision": statement.decision,
            "approver": statement.approver,
            "expires_at": statement.expires_at,
        });
        shell.print(&format!("{value}\n"));
    } else {
        shell.print(&format!("{word} by {}\n", statement.approver));
        if statement.decision == Decision::Approve {
            let again = match kind {
                Some(Kind::Rollback) => "rollback --in",
                _ => "promote --to",
            };
            shell.print(&format!("next: sealift {again} {}\n", statement.to));
        }
    }
}
