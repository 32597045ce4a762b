//! `sealift approve import`

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
};

use sealift_domain::approval::{ApprovalStatement, Decision};
use sealift_engine::{
    act::Signed,
    comment,
    decide::{self, HandedIn},
    exchange, outbox,
    ports::clock::Clock,
};
use serde_json::json;

use super::super::{Ends, Global};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, files,
    session::Session,
    shell::Shell,
    system::SystemClock,
};

/// Take signed answers into the log, or a comment on GitHub
///
/// The same answer twice counts once, and is no error. Of several files each counts by itself.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What `sealift approve REQUEST-FILE` wrote.
    #[arg(required_unless_present = "comment", value_name = "FILE")]
    answers: Vec<PathBuf>,
    /// What GitHub's webhook `issue_comment` delivered; in GitHub Actions, `$GITHUB_EVENT_PATH`.
    ///
    /// The comment says `/sealift approve CODE` and nothing else. It rests on GitHub's word alone, and counts only where
    /// the rule lists `github-comment` under `accepts`.
    #[arg(long, value_name = "FILE", conflicts_with = "answers")]
    comment: Option<PathBuf>,
}

/// What became of one file.
enum Outcome {
    Taken(HandedIn),
    HandedIn(ApprovalStatement),
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    // What people decided counts under the accepted policy, whatever became of the file here.
    session.accepted_policy(shell).await.map_err(|d| vec![d])?;
    let mut wrong = Vec::new();
    let mut results = Vec::new();
    let files = args.answers.iter().map(|file| (file, false)).chain(args.comment.iter().map(|file| (file, true)));
    for (file, is_comment) in files {
        let taken =
            if is_comment { of_comment(shell, &session, file).await } else { of_answer(shell, &session, file).await };
        match taken {
            Ok(outcome) => results.push(told(shell, global, file, &outcome, is_comment)),
            Err(diagnostic) => {
                results.push(json!({"file": file, "result": "refused", "code": diagnostic.code}));
                wrong.push(diagnostic.note(format!("in {}", file.display())));
            }
        }
    }
    if global.json() {
        shell.print(&format!("{}\n", json!({"schema_version": 1, "answers": results})));
    }
    if session.book.log().can_write() {
        let delivered = outbox::deliver(&session.book, &session.world, outbox::Effort::Full).await;
        wrong.extend(delivered.err().map(failure::of_engine));
    }
    if wrong.is_empty() {
        return Ok(Exit::Ok);
    }
    // The first one decides how the command ends: what is the program's own fault is worse than what is the file's.
    wrong.sort_by_key(|diagnostic| Reverse((diagnostic.exit() == Exit::Internal, diagnostic.exit().code())));
    Err(wrong)
}

async fn of_answer(shell: &Shell, session: &Session, file: &Path) -> Result<Outcome, Diagnostic> {
    let bytes = files::read(shell, file, exchange::MAX_ANSWER)?;
    let signed = exchange::read_answer(&bytes).map_err(failure::of_engine)?;
    if !session.book.log().can_write() {
        return hand_in(session, &signed).await.map(Outcome::HandedIn);
    }
    let taken = decide::hand_in(&session.book, session.world.signatures.as_ref(), &signed).await;
    taken.map(Outcome::Taken).map_err(failure::of_engine)
}

async fn of_comment(shell: &Shell, session: &Session, file: &Path) -> Result<Outcome, Diagnostic> {
    if !session.book.log().can_write() {
        return Err(failure::read_only());
    }
    let bytes = files::read(shell, file, comment::MAX_DELIVERY)?;
    comment::hand_in(&session.book, &bytes).await.map(Outcome::Taken).map_err(failure::of_engine)
}

/// Puts a statement where the next run that can write takes it in. Nobody answers whoever hands in, so what would not count now
/// is not handed in.
pub(super) async fn hand_in(session: &Session, signed: &Signed) -> Result<ApprovalStatement, Diagnostic> {
    let inbox = session.world.inbox.as_ref().ok_or_else(failure::read_only)?;
    let ledger = session.ledger().await?;
    let statement = decide::verify(&ledger, session.world.signatures.as_ref(), signed, SystemClock.now());
    let statement = statement.map_err(failure::of_engine)?;
    let answer = exchange::answer(signed).map_err(failure::of_engine)?;
    inbox.put(&answer).await.map_err(|error| failure::of_log(&error))?;
    Ok(statement)
}

/// Says what became of a file.
fn told(shell: &Shell, global: &Global, file: &Path, outcome: &Outcome, is_comment: bool) -> serde_json::Value {
    let (statement, result) = match outcome {
        Outcome::Taken(HandedIn { statement, again: false }) => (statement, "taken"),
        Outcome::Taken(HandedIn { statement, again: true }) => (statement, "taken-before"),
        Outcome::HandedIn(statement) => (statement, "handed-in"),
    };
    if !global.json() {
        let (file, id, by) = (file.display(), statement.promotion, &statement.approver);
        let what = format!("{file}: {} by {by} (promotion {id})", super::word(statement.decision));
        let more = match result {
            "taken" => "",
            "taken-before" => ", which the log had already; nothing was written",
            _ => ", handed in",
        };
        shell.print(&format!("{what}{more}\n"));
        if is_comment {
            shell.print(
                "it rests on GitHub's word alone: anyone who can run a workflow with the log's key could have made it up\n",
            );
        }
        if result != "taken-before" && statement.decision != Decision::Reject {
            shell.print(&format!("next: sealift promote --to {}\n", statement.to));
        }
    }
    json!({
        "file": file,
        "result": result,
        "promotion": statement.promotion,
        "decision": statement.decision,
        "approver": statement.approver,
    })
}
