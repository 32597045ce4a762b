//! `sealift record rebuild`

use std::process::{ExitStatus, Stdio};

use sealift_domain::{
    cost::{Cost, Rebuild},
    name::EnvironmentName,
};
use sealift_engine::{meter, places, ports::driver::Driver, record};
use serde_json::json;
use tokio::process::Command;

use crate::{
    cli::Global,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::cost,
    session::Session,
    shell::Shell,
    system::SystemClock,
};

/// The longest command that is recorded, all its words together, in bytes.
const MAX_COMMAND: usize = 16 << 10;

/// See [`super::Args::Rebuild`].
#[derive(clap::Args)]
pub struct Args {
    /// The environment whose deployments it is compared with.
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
    /// The command that rebuilds, with its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell, session: &Session) -> Result<Exit, Diagnostic> {
    let Args { environment, command } = args;
    let length: usize = command.iter().map(String::len).sum();
    if length > MAX_COMMAND {
        let why = format!("a command of {length} bytes is not recorded, {MAX_COMMAND} is the most");
        return Err(failure::usage(why).next("put it into a file, and name that"));
    }
    let ledger = session.ledger().await?;
    places::environment(&ledger, &environment).map_err(failure::of_engine)?;
    let driver = session.world.driver(&environment).map_err(failure::of_engine)?;
    if driver.usage().await.is_none() {
        return Err(unmeasured(&environment).next("run this on the host of the environment, where its engine is local"));
    }
    let (ended, measured) = measure(&command, global, shell, driver.as_ref()).await?;
    if !ended.success() {
        let shown = command.join(" ");
        return Err(Diagnostic::new("E0421", format!("`{shown}` failed: {ended}"))
            .state("nothing was recorded; what the command itself did stays as it is")
            .next("mend the command, then measure it again: its own output is above"));
    }
    let measured = measured.ok_or_else(|| unmeasured(&environment).next("run the command again"))?;
    let rebuild = Rebuild { command, cost: measured };
    record::rebuild(&session.book, &environment, rebuild.clone()).await.map_err(failure::of_engine)?;
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "environment": environment,
            "command": rebuild.command,
            "cost": rebuild.cost,
        });
        shell.print(&format!("{value}\n"));
    } else {
        let words = cost::rebuild(&rebuild, None);
        shell.print(&format!("recorded for {environment}: {words}\nnext: sealift status\n"));
    }
    Ok(Exit::Ok)
}

/// Runs the command with this program's streams. Where the result is for programs, what the command prints is progress.
async fn measure(
    command: &[String],
    global: &Global,
    shell: &Shell,
    driver: &dyn Driver,
) -> Result<(ExitStatus, Option<Cost>), Diagnostic> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(failure::usage("there is no command to measure"));
    };
    let mut child = Command::new(program);
    child
        .args(arguments)
        .current_dir(&shell.directory)
        .env_clear()
        .envs(shell.variables_for_others())
        .kill_on_drop(true);
    if global.json() {
        child.stdout(Stdio::from(std::io::stderr()));
    }
    let (ended, measured) = meter::measured(&SystemClock, Some(driver), child.status()).await;
    let ended = ended.map_err(|error| {
        failure::usage(format!("`{program}` cannot be run: {error}"))
            .state("nothing was run and nothing was recorded")
            .next("name a program and its arguments; pipes and variables are a shell's: `sh -c '…'`")
    })?;
    Ok((ended, measured))
}

fn unmeasured(environment: &EnvironmentName) -> Diagnostic {
    failure::usage(format!("nobody can tell what the host of {environment} uses, so nothing was measured"))
        .state("nothing was recorded")
}
