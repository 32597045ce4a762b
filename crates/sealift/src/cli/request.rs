//! `sealift request`

use std::path::PathBuf;

use sealift_domain::{approval::Decision, promotion::PromotionId};
use sealift_engine::{comment, exchange};
use serde_json::json;

use super::{Ends, Global, approve};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, files,
    report::human,
    session::Session,
    shell::Shell,
    system::SystemClock,
};

/// Carry a request for approval to somebody whose machine reaches neither the log nor a network
#[derive(clap::Subcommand)]
pub enum Args {
    /// Write what waits for approval into a file, with everything that its approval is bound to
    ///
    /// The approver needs the file, this program and their SSH key: `sealift approve FILE` shows what is signed and writes
    /// an answer, and `sealift approve import` takes that into the log.
    Export(ExportArgs),
}

/// See [`Args::Export`].
#[derive(clap::Args)]
pub struct ExportArgs {
    /// The promotion; without it, the one that waits for approval, if there is only one.
    promotion: Option<PromotionId>,
    /// Where to write it; `-` is standard output. By default `request-ID.json`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let Args::Export(args) = args;
    let session = Session::open(shell, global).await?;
    export(args, global, shell, &session).await.map_err(|diagnostic| vec![diagnostic])
}

async fn export(args: ExportArgs, global: &Global, shell: &Shell, session: &Session) -> Result<Exit, Diagnostic> {
    let ledger = session.ledger().await?;
    let id = match args.promotion {
        Some(id) => id,
        None => approve::the_one(&ledger, Decision::Approve, None)?,
    };
    let bytes = exchange::export(&session.book, &session.world, id).await.map_err(failure::of_engine)?;
    let now = sealift_engine::ports::clock::Clock::now(&SystemClock);
    let opened = exchange::open(&bytes, now).map_err(failure::of_engine)?;
    let out = args.out.unwrap_or_else(|| format!("request-{id}.json").into());
    files::write(shell, &out, &bytes)?;
    let stdout = out == std::path::Path::new("-");
    let comment = comment::wanted(&ledger, sealift_engine::decide::promotion(&ledger, id).map_err(failure::of_engine)?)
        .map_err(failure::of_engine)?;
    if global.json() && !stdout {
        let value = json!({
            "schema_version": 1,
            "promotion": id,
            "file": out,
            "lapses_at": opened.request.lapses_at,
            "comment": comment,
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    // Where the file itself is the result, what is said about it is none.
    let say = |text: &str| if stdout { shell.tell(text) } else { shell.print(text) };
    let until = human::until(opened.request.lapses_at, now);
    say(&format!("request for approval of promotion {id}: {}, waits until {until}\n", out.display()));
    say(&format!("next: sealift approve {}   # the approver, anywhere\n", out.display()));
    if let Some(comment) = comment {
        say(&format!("or a comment of the approver on GitHub, which rests on GitHub's word alone: {comment}\n"));
    }
    Ok(Exit::Ok)
}
