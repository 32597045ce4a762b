//! `sealift freeze`

use jiff::Timestamp;
use sealift_domain::{freeze::Freeze, name::EnvironmentName, quantity::Period};
use sealift_engine::{ports::clock::Clock, record};
use serde_json::json;

use super::{Ends, Global};
use crate::{diagnostic::catalogue::Exit, failure, session::Session, shell::Shell, system::SystemClock};

/// Let nothing enter an environment for a while; rollbacks are exempt
#[derive(clap::Args)]
pub struct Args {
    /// The environment.
    environment: EnvironmentName,
    /// When it begins (RFC 3339); by default now.
    #[arg(long, value_name = "TIME", conflicts_with = "lift")]
    from: Option<Timestamp>,
    /// When it ends (RFC 3339).
    #[arg(long, value_name = "TIME", required_unless_present_any = ["lasting", "lift"], conflicts_with = "lift")]
    until: Option<Timestamp>,
    /// How long it lasts, for instance `2h`.
    #[arg(long = "for", value_name = "PERIOD", conflicts_with_all = ["until", "lift"], id = "lasting")]
    lasting: Option<Period>,
    /// End the freezes of this environment that were placed by this command.
    #[arg(long)]
    lift: bool,
    /// Why.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    let engine = |e| vec![failure::of_engine(e)];
    let environment = args.environment.clone();
    if args.lift {
        record::lift_freeze(&session.book, environment.clone(), args.reason).await.map_err(engine)?;
        say(shell, global, &format!("{environment} is no longer frozen by hand"), json!({"lifted": environment}));
        return Ok(Exit::Ok);
    }
    let from = args.from.unwrap_or_else(|| SystemClock.now());
    let until = match (args.until, args.lasting) {
        (Some(until), _) => until,
        (None, Some(lasting)) => lasting.after(from),
        (None, None) => return Err(vec![failure::usage("say when the freeze ends: `--until TIME` or `--for PERIOD`")]),
    };
    if until <= from {
        return Err(vec![failure::usage(format!("the freeze would end at {until} and begin at {from}"))]);
    }
    let freeze = Freeze { from, until, reason: args.reason };
    record::freeze(&session.book, environment.clone(), freeze.clone()).await.map_err(engine)?;
    let words = format!("{environment} is frozen from {} until {}", freeze.from, freeze.until);
    say(shell, global, &words, json!({"environment": environment, "freeze": freeze}));
    Ok(Exit::Ok)
}

fn say(shell: &Shell, global: &Global, words: &str, mut value: serde_json::Value) {
    if global.json() {
        value["schema_version"] = json!(1);
        shell.print(&format!("{value}\n"));
    } else {
        shell.print(&format!("{words}\n"));
    }
}
