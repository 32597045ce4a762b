//! `sealift store`

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::LogError;
use sealift_store::copy::DESTINATION;
use serde_json::json;

use super::{Ends, Global};
use crate::{
    config::{Config, Store},
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::style::Tone,
    session,
    shell::{Shell, style},
    wiring::stores,
};

/// Where the log is kept
#[derive(clap::Subcommand)]
pub enum Args {
    /// Copy the log to another store, and prove that both hold the same
    ///
    /// Every entry, body and signed checkpoint is copied as it is, so what was kept of the log still holds. Run again, it copies
    /// what came since. Which store counts, sealift.yaml says: stop writing to the first one, copy, then change `store`.
    Copy {
        /// The store to copy to: `sqlite:FILE` or `git+URL#BRANCH`.
        #[arg(long, value_name = "STORE")]
        to: String,
    },
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let Args::Copy { to } = args;
    let config = session::configuration(shell, global)?;
    copy(shell, global, &config, &to).await.map_err(|diagnostic| vec![diagnostic])
}

/// Where the private key has to be for whoever writes there.
fn key_hint(to: &Store) -> String {
    match to {
        Store::Sqlite(path) => {
            format!("to write there, its private key lies beside it: {}\n", path.with_extension("key").display())
        }
        Store::Git(_) => String::new(),
    }
}

async fn copy(shell: &Shell, global: &Global, config: &Config, to: &str) -> Result<Exit, Diagnostic> {
    let to = Store::parse(to).ok_or_else(|| {
        failure::usage(format!("`{to}` is no store"))
            .next("write `sqlite:FILE` or `git+URL#BRANCH`, as in sealift.yaml")
    })?;
    if to == config.store {
        return Err(failure::usage("the log is there already").state("nothing was changed"));
    }
    let from = stores::open(shell, config).await?;
    let destination = stores::destination(shell, config, &to, &from).await?;
    let report = sealift_store::copy::copy(from.commits(), destination.commits()).await;
    let report = report.map_err(|error| {
        if matches!(&error, LogError::Unavailable { place, .. } if place == DESTINATION) {
            return failure::foreign_copy(&error, &to);
        }
        failure::of_log(&error)
            .state(format!("{} is as it was; what {to} holds of it is a beginning of the same log", config.store))
            .next("run the command again: it goes on where it stopped")
    })?;
    let (audit, root) = (&report.audit, Digest::from_bytes(report.audit.root));
    if global.json() {
        let value = json!({
            "schema_version": 1, "from": config.store.to_string(), "to": to.to_string(), "equal": true,
            "entries": audit.size, "root": root, "checkpoints": audit.checkpoints, "objects": report.objects,
            "copied_commits": report.copied,
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    let equal = format!("EQUAL: {} entries, root {}", audit.size, root.short());
    shell.print(&format!(
        "{}\n  {} signed checkpoints and {} objects are in both, audited again; {} commits were copied now\n\
         next: in sealift.yaml, `store: {}`\n{}",
        style.paint(Tone::Ok, &equal),
        audit.checkpoints,
        report.objects,
        report.copied,
        to.with_key(&destination.public_key()?),
        key_hint(&to)
    ));
    Ok(Exit::Ok)
}
