//! `sealift hold`

use sealift_domain::{freeze::HoldScope, name::EnvironmentName};
use sealift_engine::record;
use serde_json::json;

use super::{Ends, Global};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::table::Table,
    session::Session,
    shell::{Shell, style},
};

/// Block a digest or an environment
#[derive(clap::Subcommand)]
pub enum Args {
    /// Block a digest everywhere, or everything into an environment
    Place {
        /// `sha256:…` or the name of an environment.
        what: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// End a block
    Release {
        /// `sha256:…`, the twelve digits of it that `status` shows, or the name of an environment.
        what: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// List what is blocked
    List,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    let engine = |e| one(failure::of_engine(e));
    match args {
        Args::Place { what, reason } => {
            let scope = scope(&session, &what).map_err(one)?;
            record::hold(&session.book, scope.clone(), reason).await.map_err(engine)?;
            say(shell, global, &format!("{scope} is on hold"), json!({"held": scope}));
        }
        Args::Release { what, reason } => {
            let scope = held(&session, &what).await.map_err(one)?;
            record::release_hold(&session.book, scope.clone(), reason).await.map_err(engine)?;
            say(shell, global, &format!("{scope} is no longer on hold"), json!({"released": scope}));
        }
        Args::List => list(shell, global, &session).await.map_err(one)?,
    }
    Ok(Exit::Ok)
}

/// What is to be released: a hold's scope, or the beginning of the one digest on hold that begins so, as `status` shows it.
async fn held(session: &Session, what: &str) -> Result<HoldScope, Diagnostic> {
    let ledger = session.ledger().await?;
    let begins_so = |scope: &&HoldScope| matches!(scope, HoldScope::Digest(digest) if digest.hex().starts_with(what));
    let mut candidates = ledger.holds.keys().filter(begins_so);
    match (what.len() >= 12, candidates.next(), candidates.next()) {
        (true, Some(one), None) => Ok(one.clone()),
        _ => scope(session, what),
    }
}

fn scope(session: &Session, what: &str) -> Result<HoldScope, Diagnostic> {
    if let Ok(digest) = what.parse() {
        return Ok(HoldScope::Digest(digest));
    }
    let name: Option<EnvironmentName> = what.parse().ok();
    match name.filter(|name| session.config.policy.environments.contains_key(name)) {
        Some(name) => Ok(HoldScope::Environment(name)),
        None => Err(Diagnostic::new("E0108", format!("`{what}` is neither a digest nor an environment"))
            .state("nothing was changed")
            .next("`sealift status` lists the environments; a digest is written in full, `sha256:…`")),
    }
}

fn say(shell: &Shell, global: &Global, words: &str, mut value: serde_json::Value) {
    if global.json() {
        value["schema_version"] = json!(1);
        shell.print(&format!("{value}\n"));
    } else {
        shell.print(&format!("{words}\n"));
    }
}

async fn list(shell: &Shell, global: &Global, session: &Session) -> Result<(), Diagnostic> {
    let ledger = session.ledger().await?;
    if global.json() {
        let holds: Vec<_> = ledger.holds.values().collect();
        shell.print(&format!("{}\n", json!({"schema_version": 1, "holds": holds})));
        return Ok(());
    }
    if ledger.holds.is_empty() {
        shell.print("nothing is on hold\n");
        return Ok(());
    }
    let mut table = Table::new(["ON HOLD", "WHY"]);
    for hold in ledger.holds.values() {
        table.row([hold.scope.to_string().into(), hold.reason.as_str().into()]);
    }
    shell.print(&table.render(&style(shell, global.color())));
    Ok(())
}
