//! `sealift record offline`, and what every command that deploys does first.

use std::path::PathBuf;

use sealift_domain::{name::EnvironmentName, offline::Outcome};
use sealift_engine::{
    offline::{self, Merged, Record},
    ports::offline::{Kept, MAX_RECORD},
};
use serde_json::json;

use super::{super::Global, outcome_in_words};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    session::Session,
    shell::Shell,
};

/// See `sealift record offline`.
#[derive(clap::Args)]
pub struct RecordArgs {
    /// Where; without it, every environment that is deployed from here.
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// A record that was written to a file, where the host cannot be reached from here.
    #[arg(conflicts_with = "environment")]
    file: Option<PathBuf>,
}

/// Takes rollbacks that were made without the log into it.
pub(crate) async fn record(
    args: RecordArgs,
    global: &Global,
    shell: &Shell,
    session: &Session,
) -> Result<Exit, Diagnostic> {
    let all = match (args.file, args.environment) {
        (Some(file), _) => {
            let path = shell.resolve(&file);
            let bytes = read(&path).map_err(|error| failure::file("read", &path, &error))?;
            let merged = offline::merge_bytes(&session.book, session.world.signatures.as_ref(), &bytes).await;
            vec![merged.map_err(failure::of_engine)?]
        }
        (None, Some(environment)) => {
            session.world.driver(&environment).map_err(failure::of_engine)?;
            merge(session, &environment).await?
        }
        (None, None) => {
            let mut all = Vec::new();
            for environment in session.world.drivers.keys() {
                all.extend(merge(session, environment).await?);
            }
            all
        }
    };
    if global.json() {
        let records: Vec<_> = all.iter().map(in_json).collect();
        shell.print(&format!("{}\n", json!({"schema_version": 1, "offline_rollbacks": records})));
    } else if all.is_empty() {
        shell.print("nothing waits for the log\n");
    } else {
        all.iter().for_each(|merged| shell.print(&in_words(merged)));
    }
    all.iter().for_each(|merged| warn(shell, merged));
    Ok(Exit::Ok)
}

/// Takes in what a host has for the log before anything is done to it, and says so.
pub(crate) async fn take_in(shell: &Shell, session: &Session, environment: &EnvironmentName) -> Result<(), Diagnostic> {
    for merged in merge(session, environment).await? {
        shell.tell(&in_words(&merged));
        warn(shell, &merged);
    }
    Ok(())
}

/// What waits on the hosts of this configuration for the log. A host that cannot be asked is no reason not to say the rest.
pub(crate) async fn waiting(session: &Session) -> Vec<(EnvironmentName, Vec<Kept>)> {
    let mut all = Vec::new();
    for environment in session.world.drivers.keys() {
        let kept = offline::waiting(&session.world, environment).await.unwrap_or_default();
        if !kept.is_empty() {
            all.push((environment.clone(), kept));
        }
    }
    all
}

/// Whether everything that waits has come to its end. What cannot be read says so where it is taken in.
pub(crate) fn is_over(kept: &[Kept]) -> bool {
    kept.iter().all(|kept| Record::read(kept).map_or(true, |record| record.end.is_some()))
}

async fn merge(session: &Session, environment: &EnvironmentName) -> Result<Vec<Merged>, Diagnostic> {
    offline::merge(&session.book, &session.world, environment).await.map_err(failure::of_engine)
}

fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_RECORD + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_RECORD {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it has more than {MAX_RECORD} bytes"),
        ));
    }
    Ok(bytes)
}

fn in_json(merged: &Merged) -> serde_json::Value {
    json!({
        "entry": merged.entry, "new": merged.new, "environment": merged.environment, "by": merged.by,
        "reason": merged.reason, "to": merged.to, "outcome": merged.outcome, "running": merged.running,
        "not_entitled": merged.not_entitled, "database": merged.unfit,
    })
}

fn in_words(merged: &Merged) -> String {
    let Merged { environment, by, to, entry, reason, .. } = merged;
    let word = if merged.new { "taken into the log" } else { "in the log already" };
    format!(
        "{word}, entry {entry}: `{by}` rolled {environment} back to {to} without the log: {reason}; {}\n",
        outcome_in_words(&merged.outcome)
    )
}

/// What somebody must hear who takes it in.
fn warn(shell: &Shell, merged: &Merged) {
    let Merged { environment, by, .. } = merged;
    if let Some(why) = &merged.not_entitled {
        shell.tell(&format!(
            "WARNING: `{by}` WAS NOT ENTITLED to roll {environment} back without the log: {why}. It has happened, so it is on \
             record all the same, marked so; look into it\n"
        ));
    }
    if let Some(why) = &merged.unfit {
        shell.tell(&format!("WARNING: {why}; nobody knows whether it works on it\n"));
    }
    if matches!(merged.outcome, Outcome::Failing { .. }) && merged.new {
        shell.tell(&format!(
            "WARNING: {environment} is on hold, because that rollback needs a person: `sealift hold list`\n"
        ));
    }
}
