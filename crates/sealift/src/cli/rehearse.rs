//! `sealift rehearse`

use sealift_domain::{ledger::Ledger, name::EnvironmentName, quantity::ByteSize, undo::Observed};
use sealift_engine::{
    places,
    rehearse::{self, Rehearsal, Rehearsed},
};
use serde_json::{Value, json};

use super::{Ends, Global};
use crate::{
    diagnostic::catalogue::Exit,
    failure,
    report::{human, progress, style::Tone, text},
    session::Session,
    shell::{Shell, style},
};

/// Start the candidate beside what is live, without traffic, and time a rollback
///
/// Nothing live is changed, no gate is judged and nothing is recorded; no approval is needed. Images that the environment's
/// repository does not have yet are copied there by digest, without a tag. What was started is removed again.
#[derive(clap::Args)]
pub struct Args {
    /// The target environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    to: EnvironmentName,
    /// The digest to rehearse; by default what a promotion would bring. `component=digest` where there are several.
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<String>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    session.same_policy().await.map_err(|d| vec![d])?;
    let named = session.named_release(&args.to, &args.digest).map_err(|d| vec![d])?;
    let observer = progress::observer(shell, global);
    let stop = async {
        // Where no signal can be waited for, none ends the rehearsal.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let rehearsed = rehearse::rehearse(&session.book, &session.world, observer.as_ref(), &args.to, named, stop).await;
    observer.finish();
    let rehearsal = rehearsed.map_err(|error| vec![failure::of_rehearsal(error, &args.to)])?;
    if global.json() {
        shell.print(&format!("{}\n", to_json(&args.to, &rehearsal)));
    } else {
        let ledger = session.ledger().await.map_err(|d| vec![d])?;
        shell.print(&to_text(shell, global, &ledger, &args.to, &rehearsal));
    }
    Ok(Exit::Ok)
}

fn to_json(to: &EnvironmentName, rehearsal: &Rehearsal) -> Value {
    let part = |rehearsed: &Rehearsed| {
        json!({
            "release": rehearsed.release,
            "called": rehearsed.called,
            "started": rehearsed.started,
            "seconds": rehearsed.took.as_duration().as_secs_f64(),
            "pulled_bytes": rehearsed.pulled_bytes,
        })
    };
    json!({
        "schema_version": 1,
        "environment": to,
        "candidate": part(&rehearsal.candidate),
        "rollback": rehearsal.rollback.as_ref().map(part),
        "notes": rehearsal.notes,
    })
}

fn to_text(shell: &Shell, global: &Global, ledger: &Ledger, to: &EnvironmentName, rehearsal: &Rehearsal) -> String {
    let style = style(shell, global.color());
    let runs = match &rehearsal.live {
        Observed::Nothing => "nothing".to_owned(),
        Observed::Running { release, .. } => places::called(ledger, release),
        Observed::Unknown { what } => format!("something unknown, {what}"),
    };
    let mut lines = vec![candidate(&rehearsal.candidate)];
    lines.extend(rehearsal.rollback.as_ref().map(rollback));
    lines.extend(rehearsal.notes.iter().map(|note| ("note", note.clone())));
    let verdict = format!("REHEARSED: nothing live was changed; {to} runs {runs}");
    let mut shown = format!("{}\n", style.paint(Tone::Ok, &style.clean(&verdict)));
    for (label, words) in lines {
        shown.push_str(&format!("{}\n", text::hang(&format!("  {label}: "), &style.clean(&words), style.width)));
    }
    shown
}

fn candidate(rehearsed: &Rehearsed) -> (&'static str, String) {
    let (called, took) = (&rehearsed.called, human::exact(rehearsed.took));
    let pulled = rehearsed.pulled_bytes.map(|bytes| format!(", {} pulled", ByteSize::from_bytes(bytes).human()));
    let pulled = pulled.unwrap_or_default();
    let found = match rehearsed.started {
        true => format!("{called} was healthy after {took}{pulled}"),
        false => format!("everything is at hand for {called} after {took}{pulled}; nothing was started"),
    };
    ("candidate", found)
}

fn rollback(rehearsed: &Rehearsed) -> (&'static str, String) {
    let (called, took) = (&rehearsed.called, human::exact(rehearsed.took));
    let found = match rehearsed.started {
        true => format!("a rollback to {called} takes about {took} until healthy, plus the switch"),
        false => format!("everything is at hand for {called} after {took}; its start comes with the switch"),
    };
    ("rollback", found)
}
