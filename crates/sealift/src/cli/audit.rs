//! `sealift audit`

use std::path::PathBuf;

use sealift_domain::promotion::PromotionId;
use sealift_engine::{audit, decide, view};
use serde_json::json;

use super::{Ends, Global, offline};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::style::Tone,
    session::Session,
    shell::{Shell, style},
};

/// Prove that the log is what was written
#[derive(clap::Subcommand)]
pub enum Args {
    /// Compute the tree again from the stored bytes, fold every entry again, and compare with what is shown
    Verify {
        /// A checkpoint that was kept elsewhere: with it, a log that was rewritten as a whole is found too.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Print the newest signed checkpoint, to be kept elsewhere
    Checkpoint,
    /// Print the audit record of a promotion, or of all
    Show {
        /// The promotion, or the entry of a rollback without the log.
        promotion: Option<PromotionId>,
    },
    /// Write the log as static files that anyone verifies with the public key
    Export {
        /// A directory.
        directory: PathBuf,
    },
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    match args {
        Args::Verify { checkpoint } => verify(shell, global, &session, checkpoint).await.map_err(one),
        Args::Checkpoint => {
            let checkpoint = session.book.log().checkpoint().await.map_err(|e| one(failure::of_log(&e)))?;
            if global.json() {
                shell.print(&format!("{}\n", json!({"schema_version": 1, "checkpoint": checkpoint})));
            } else {
                shell.print(&checkpoint);
            }
            Ok(Exit::Ok)
        }
        Args::Show { promotion } => show(shell, &session, promotion).await.map_err(one),
        Args::Export { directory } => export(shell, global, &session, &shell.resolve(&directory)).await.map_err(one),
    }
}

async fn verify(shell: &Shell, global: &Global, session: &Session, kept: Option<PathBuf>) -> Result<Exit, Diagnostic> {
    let kept = match kept {
        None => None,
        Some(path) => {
            let path = shell.resolve(&path);
            let text = std::fs::read_to_string(&path).map_err(|error| failure::file("read", &path, &error))?;
            // Editors, and shells that pass it on, change how its last line ends.
            Some(format!("{}\n", text.replace("\r\n", "\n").trim_end()))
        }
    };
    let report = audit::verify(&session.book, session.world.signatures.as_ref(), kept.as_deref())
        .await
        .map_err(failure::of_engine)?;
    if global.json() {
        let mut value = serde_json::to_value(&report).unwrap_or_default();
        value["schema_version"] = json!(1);
        value["verified"] = json!(true);
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    let mut text = format!(
        "{}\n",
        style.paint(Tone::Ok, &format!("VERIFIED: {} entries, root {}", report.entries, report.root.short()))
    );
    text.push_str(&format!(
        "  {} signed checkpoints, {} approvals and {} other statements, every entry folded again\n",
        report.checkpoints, report.approvals, report.statements
    ));
    if report.erased > 0 {
        text.push_str(&format!("  {} objects were erased, which retention allows\n", report.erased));
    }
    if !report.kept_checkpoint {
        text.push_str("  compared with no checkpoint from elsewhere: keep one with `sealift audit checkpoint`\n");
    }
    shell.print(&text);
    Ok(Exit::Ok)
}

async fn show(shell: &Shell, session: &Session, promotion: Option<PromotionId>) -> Result<Exit, Diagnostic> {
    let ledger = session.ledger().await?;
    let past = offline::past(&ledger, None);
    let wanted = |entry: u64| promotion.is_none_or(|id| id.0 == entry);
    for (environment, past) in past.into_iter().filter(|(_, past)| wanted(past.entry)) {
        let record = json!({"schema_version": 1, "offline_rollback": offline::past_json(environment, past)});
        shell.print(&format!("{record}\n"));
        if promotion.is_some() {
            return Ok(Exit::Ok);
        }
    }
    let records = match promotion {
        Some(id) => vec![decide::promotion(&ledger, id).map_err(failure::of_engine)?],
        None => ledger.promotions.values().map(AsRef::as_ref).collect(),
    };
    for promotion in records {
        let mut record = serde_json::to_value(view::audit_record(&ledger, promotion)).unwrap_or_default();
        record["schema_version"] = json!(1);
        shell.print(&format!("{record}\n"));
    }
    Ok(Exit::Ok)
}

async fn export(
    shell: &Shell,
    global: &Global,
    session: &Session,
    directory: &std::path::Path,
) -> Result<Exit, Diagnostic> {
    let size = session.store.export(directory).await?;
    if global.json() {
        shell.print(&format!("{}\n", json!({"schema_version": 1, "entries": size, "directory": directory})));
    } else {
        shell.print(&format!("wrote {size} entries to {}\n", directory.display()));
    }
    Ok(Exit::Ok)
}
