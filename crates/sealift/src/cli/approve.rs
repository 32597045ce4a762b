//! `sealift approve`

mod import;
mod offline;
mod shown;
mod take_back;

use std::{
    ffi::OsString,
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

use shown::Definitions;

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
///
/// With a file of `sealift request export` neither log nor network nor configuration is needed; the answer is a file too.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The promotion, or a file of `sealift request export`; without it, the promotion that waits for approval, if there is
    /// only one.
    #[arg(value_name = "PROMOTION|FILE")]
    target: Option<Target>,
    /// Take your approval back. It ends the promotion if too few approvals are left, as long as the switch has not begun.
    #[arg(long)]
    revoke: bool,
    /// Refuse it, as `sealift reject` does.
    #[arg(long, conflicts_with = "revoke", requires = "reason")]
    reject: bool,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// Sign what is shown without asking. Where nobody sits at a terminal, nothing is asked.
    #[arg(long, short)]
    yes: bool,
    /// Your SSH key, private or public (with an agent).
    #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
    identity: Option<PathBuf>,
    /// Where to write the answer to a file; `-` is standard output. By default `answer-ID-PERSON.json`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Command {
    Import(import::Args),
}

/// What is decided on.
#[derive(Clone, Debug)]
pub enum Target {
    /// A promotion in the log.
    Promotion(PromotionId),
    /// A request in a file.
    File(PathBuf),
}

impl From<OsString> for Target {
    fn from(text: OsString) -> Self {
        match text.to_str().and_then(|text| text.parse().ok()) {
            Some(id) => Self::Promotion(id),
            None => Self::File(text.into()),
        }
    }
}

/// What was said on the command line.
pub(super) struct Said {
    pub(super) decision: Decision,
    pub(super) reason: Option<String>,
    pub(super) yes: bool,
    pub(super) identity: Option<PathBuf>,
    pub(super) out: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let Args { command, target, revoke, reject, reason, yes, identity, out } = args;
    if let Some(Command::Import(args)) = command {
        return import::run(args, global, shell).await;
    }
    let decision = match (revoke, reject) {
        (true, _) => Decision::Revoke,
        (_, true) => Decision::Reject,
        _ => Decision::Approve,
    };
    decide(shell, global, target, Said { decision, reason, yes, identity, out }).await
}

/// Signs and hands in a decision.
pub(super) async fn decide(shell: &Shell, global: &Global, target: Option<Target>, said: Said) -> Ends {
    if said.decision == Decision::Reject && said.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err(vec![failure::usage("say why: `--reason \"…\"`")]);
    }
    match target {
        Some(Target::File(file)) => offline::decide(shell, global, &file, said),
        _ if said.out.is_some() => {
            Err(vec![failure::usage("`--out` is for the answer to a file: `sealift approve REQUEST-FILE --out FILE`")])
        }
        Some(Target::Promotion(id)) => online(shell, global, Some(id), said).await,
        None => online(shell, global, None, said).await,
    }
}

/// The same over the log.
async fn online(shell: &Shell, global: &Global, promotion: Option<PromotionId>, said: Said) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    let writes = session.book.log().can_write();
    if !writes && session.world.inbox.is_none() {
        return Err(one(failure::read_only()));
    }
    let Said { decision, reason, yes, identity, .. } = said;
    // Taking back and refusing stop something, and must not wait until a file is in order again.
    let policy = match decision {
        Decision::Revoke | Decision::Reject => session.accepted_policy(shell).await.map_err(one)?,
        Decision::Approve => session.same_policy().await.map_err(one)?,
    };
    let identity = identity::require(shell, &policy, identity.as_deref()).map_err(one)?;
    if decision == Decision::Revoke
        && let Some(exit) =
            take_back::from_inbox(shell, global, &session, (&identity.person, promotion)).await.map_err(one)?
    {
        return Ok(exit);
    }
    let ledger = session.ledger().await.map_err(one)?;
    let id = match promotion {
        Some(id) => id,
        None => the_one(&ledger, decision, Some(&identity.person)).map_err(one)?,
    };
    let statement = decide::statement(&ledger, id, &identity.person, (decision, reason), SystemClock.now(), nonce())
        .map_err(|e| one(failure::of_engine(e)))?;
    if !global.json() {
        let style = shell.err(false, global.color()).style();
        let definitions = match ledger.promotions.get(&id) {
            Some(promotion) => Definitions::of(&session, &ledger, promotion).await,
            None => Definitions::default(),
        };
        shell.tell(&shown::what_is_signed(&ledger, &statement, &definitions, &[], &style));
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
    let before = ledger.promotions.get(&id).map(AsRef::as_ref);
    if writes {
        decide::accept(&session.book, session.world.signatures.as_ref(), &signed)
            .await
            .map_err(|e| one(failure::of_engine(e)))?;
        // A rejection ends the promotion, and no later run works on it: whoever waits for it hears of it from here.
        outbox::deliver(&session.book, &session.world, outbox::Effort::Full)
            .await
            .map_err(|e| one(failure::of_engine(e)))?;
    } else {
        import::hand_in(&session, &signed).await.map_err(one)?;
    }
    conclude(shell, global, &statement, (before, writes));
    Ok(Exit::Ok)
}

/// Whether the next line says yes. Anything else, and no line at all, is no.
fn agrees(input: &mut impl BufRead) -> bool {
    let mut line = String::new();
    let read = input.take(MAX_ANSWER).read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// The promotion that is meant where none is named: the only one that this can be about.
pub(super) fn the_one(ledger: &Ledger, decision: Decision, who: Option<&PersonId>) -> Result<PromotionId, Diagnostic> {
    let theirs = |promotion: &Promotion| {
        let mut given = promotion.approvals.iter();
        given.any(|given| Some(&given.statement.approver) == who && given.revoked.is_none())
    };
    let meant = |promotion: &Promotion| match decision {
        Decision::Revoke => !promotion.has_ended() && theirs(promotion),
        Decision::Approve | Decision::Reject => decide::takes_decisions(promotion),
    };
    let called = || who.map_or("nobody", PersonId::as_str);
    let mut found = ledger.promotions.values().filter(|promotion| meant(promotion)).map(|promotion| promotion.id);
    match (found.next(), found.next(), decision) {
        (Some(id), None, _) => Ok(id),
        (None, _, Decision::Revoke) => {
            Err(Diagnostic::new("E0403", format!("no promotion that is open has an approval of {}", called()))
                .state("nothing was changed")
                .next("`sealift status`"))
        }
        (None, _, _) => Err(Diagnostic::new("E0403", "no promotion waits for approval")
            .state("nothing was changed")
            .next("`sealift status`")),
        (Some(_), Some(_), Decision::Revoke) => {
            Err(failure::usage(format!("{} approved several promotions: name one", called())).next("`sealift status`"))
        }
        (Some(_), Some(_), _) => {
            Err(failure::usage("several promotions wait for approval: name one").next("`sealift status`"))
        }
    }
}

/// A decision as people read it.
fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
        Decision::Revoke => "approval taken back",
    }
}

fn conclude(
    shell: &Shell,
    global: &Global,
    statement: &ApprovalStatement,
    (before, written): (Option<&Promotion>, bool),
) {
    if global.json() {
        let mut value = json!({
            "schema_version": 1,
            "promotion": statement.promotion,
            "decision": statement.decision,
            "approver": statement.approver,
            "expires_at": statement.expires_at,
        });
        if !written {
            value["handed_in"] = json!(true);
        }
        shell.print(&format!("{value}\n"));
        return;
    }
    let word = word(statement.decision);
    shell.print(&format!("{word} by {} (promotion {})\n", statement.approver, statement.promotion));
    let again = match before.map(|promotion| promotion.kind) {
        Some(Kind::Rollback) => "rollback --in",
        _ => "promote --to",
    };
    if !written {
        shell.print(&format!("handed in; the next run of `sealift {again} {}` takes it in\n", statement.to));
    } else if statement.decision != Decision::Reject {
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
