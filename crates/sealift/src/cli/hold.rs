//! `sealift hold`

use std::path::PathBuf;

use sealift_domain::{approval::Act, freeze::HoldScope, name::EnvironmentName};
use sealift_engine::{act::Signed, places, record};
use serde_json::json;

use super::{Ends, Global};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, identity,
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
        /// Your SSH key, so that it is on record who placed it.
        #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
        identity: Option<PathBuf>,
    },
    /// End a block
    Release {
        /// `sha256:…`, the twelve digits of it that `status` shows, or the name of an environment.
        what: String,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Your SSH key, so that it is on record who released it.
        #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
        identity: Option<PathBuf>,
    },
    /// List what is blocked
    List,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    let engine = |e| one(failure::of_engine(e));
    let signatures = session.world.signatures.as_ref();
    match args {
        Args::Place { what, reason, identity } => {
            let scope = scope(&session, &what).map_err(one)?;
            let place = Act::PlaceHold { scope: scope.clone() };
            let signed = signed(shell, &session, place, (&reason, identity)).await.map_err(one)?;
            let wish = (scope.clone(), reason);
            record::hold(&session.book, signatures, wish, signed.as_ref()).await.map_err(engine)?;
            say(shell, global, &format!("{scope} is on hold"), json!({"held": scope}));
        }
        Args::Release { what, reason, identity } => {
            let scope = held(&session, &what).await.map_err(one)?;
            let release = Act::ReleaseHold { scope: scope.clone() };
            let signed = signed(shell, &session, release, (&reason, identity)).await.map_err(one)?;
            let wish = (scope.clone(), reason);
            record::release_hold(&session.book, signatures, wish, signed.as_ref()).await.map_err(engine)?;
            say(shell, global, &format!("{scope} is no longer on hold"), json!({"released": scope}));
        }
        Args::List => list(shell, global, &session).await.map_err(one)?,
    }
    Ok(Exit::Ok)
}

/// The act, signed if a key was named. Where none was, nobody is named: a hold is no promise of a person.
async fn signed(
    shell: &Shell,
    session: &Session,
    act: Act,
    (reason, key): (&str, Option<PathBuf>),
) -> Result<Option<Signed>, Diagnostic> {
    let Some(key) = key else { return Ok(None) };
    let ledger = session.ledger().await?;
    let policy = places::policy(&ledger).map_err(failure::of_engine)?;
    identity::require(shell, policy, Some(&key))?.act(&ledger, act, reason).map(Some)
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
    let mut table = Table::new(["ON HOLD", "BY", "WHY"]);
    for hold in ledger.holds.values() {
        let by = hold.by.as_ref().map_or("-", |by| by.as_str());
        table.row([hold.scope.to_string().into(), by.into(), hold.reason.as_str().into()]);
    }
    shell.print(&table.render(&style(shell, global.color())));
    Ok(())
}
