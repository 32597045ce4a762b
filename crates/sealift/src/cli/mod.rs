//! The command line: one file a command, each with its arguments and its function.

pub mod approve;
pub mod attest;
pub mod audit;
pub mod cancel;
pub mod check;
pub mod completions;
pub mod copy;
pub mod demo;
pub mod explain;
pub mod follow_up;
pub mod freeze;
pub mod history;
pub mod hold;
pub mod init;
pub mod keys;
pub mod look;
mod offline;
pub mod plan;
pub mod policy;
pub mod promote;
pub mod record;
pub mod registry_flags;
pub mod rehearse;
pub mod reject;
pub mod request;
pub mod rollback;
pub mod schema;
pub mod status;
pub mod store;
pub mod verify;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    report::style::{ColorChoice, Mode},
    shell::Shell,
    wiring,
};

/// Promote container images between environments: the same bytes, by digest, never rebuilt.
#[derive(Parser)]
#[command(name = "sealift", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = "sealift.yaml", env = "SEALIFT_CONFIG")]
    pub config: PathBuf,
    /// The form of the result; with `json`, progress is JSON lines on standard error.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, env = "SEALIFT_OUTPUT")]
    pub output: Output,
    /// Whether to colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Where the output is a terminal that can.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a command ends: an exit code, or errors to show.
pub type Ends = Result<Exit, Vec<Diagnostic>>;

#[derive(Subcommand)]
enum Command {
    Look(look::Args),
    Init(init::Args),
    Plan(plan::Args),
    Check(check::Args),
    Explain(explain::Args),
    Promote(promote::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    #[command(subcommand)]
    Request(request::Args),
    Cancel(cancel::Args),
    Rollback(rollback::Args),
    Rehearse(rehearse::Args),
    Status(status::Args),
    History(history::Args),
    #[command(subcommand)]
    Record(record::Args),
    Verify(verify::Args),
    #[command(subcommand)]
    Hold(hold::Args),
    Freeze(freeze::Args),
    #[command(subcommand, name = "follow-up")]
    FollowUp(follow_up::Args),
    Copy(copy::Args),
    #[command(subcommand)]
    Attest(attest::Args),
    #[command(subcommand)]
    Keys(keys::Args),
    #[command(subcommand)]
    Audit(audit::Args),
    #[command(subcommand)]
    Policy(policy::Args),
    #[command(subcommand)]
    Store(store::Args),
    Schema(schema::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    /// The process driver's agent.
    #[command(name = wiring::AGENT_COMMAND, hide = true)]
    Agent {
        state: PathBuf,
    },
}

impl Global {
    /// What `--color` says.
    pub fn color(&self) -> ColorChoice {
        match self.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        }
    }

    /// Whether results are for programs.
    pub fn json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Runs one command line and returns its exit code.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, shell: &Shell) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, shell),
    };
    let global = cli.global.clone();
    let code = match dispatch(cli.command, &cli.global, shell).await {
        Ok(exit) => exit.code(),
        Err(diagnostics) => report(&diagnostics, &global, shell),
    };
    told(shell, code)
}

/// The exit code, unless the result could not be written: whoever reads half of it must not take it for the whole.
fn told(shell: &Shell, code: u8) -> u8 {
    let Some(why) = shell.stdout.broken() else { return code };
    shell.tell(&format!("error: the output could not be written: {why}\n"));
    Exit::Internal.code()
}

fn usage(error: &clap::Error, shell: &Shell) -> u8 {
    let text = match shell.stderr_terminal {
        Some(_) => error.render().ansi().to_string(),
        None => error.render().to_string(),
    };
    if error.use_stderr() {
        shell.tell(&text);
        Exit::Usage.code()
    } else {
        shell.print(&text);
        told(shell, Exit::Ok.code())
    }
}

/// Shows errors; the first one decides the exit code.
fn report(diagnostics: &[Diagnostic], global: &Global, shell: &Shell) -> u8 {
    let surroundings = shell.err(global.json(), global.color());
    for diagnostic in diagnostics {
        match surroundings.mode() {
            Mode::Json => shell.tell(&format!("{}\n", diagnostic.to_json())),
            Mode::Terminal | Mode::Plain => shell.tell(&diagnostic.render(&surroundings.style())),
        }
    }
    diagnostics.first().map_or(Exit::Internal, Diagnostic::exit).code()
}

async fn dispatch(command: Command, global: &Global, shell: &Shell) -> Ends {
    match command {
        Command::Look(args) => look::run(args, global, shell).await,
        Command::Init(args) => init::run(args, global, shell).await,
        Command::Plan(args) => plan::run(args, global, shell).await,
        Command::Check(args) => check::run(args, global, shell).await,
        Command::Explain(args) => explain::run(args, global, shell).await,
        Command::Promote(args) => promote::run(args, global, shell).await,
        Command::Approve(args) => approve::run(args, global, shell).await,
        Command::Reject(args) => reject::run(args, global, shell).await,
        Command::Request(args) => request::run(args, global, shell).await,
        Command::Cancel(args) => cancel::run(args, global, shell).await,
        Command::Rollback(args) => rollback::run(args, global, shell).await,
        Command::Rehearse(args) => rehearse::run(args, global, shell).await,
        Command::Status(args) => status::run(args, global, shell).await,
        Command::History(args) => history::run(args, global, shell).await,
        Command::Record(args) => record::run(args, global, shell).await,
        Command::Verify(args) => verify::run(args, global, shell).await,
        Command::Hold(args) => hold::run(args, global, shell).await,
        Command::Freeze(args) => freeze::run(args, global, shell).await,
        Command::FollowUp(args) => follow_up::run(args, global, shell).await,
        Command::Copy(args) => copy::run(args, global, shell).await,
        Command::Attest(args) => attest::run(args, global, shell).await,
        Command::Keys(args) => keys::run(args, global, shell).await,
        Command::Audit(args) => audit::run(args, global, shell).await,
        Command::Policy(args) => policy::run(args, global, shell).await,
        Command::Store(args) => store::run(args, global, shell).await,
        Command::Schema(args) => schema::run(&args, shell),
        Command::Demo(args) => Box::pin(demo::run(args, global, shell)).await,
        Command::Completions(args) => completions::run(&args, shell),
        Command::Agent { state } => agent(&state).await,
    }
}

async fn agent(state: &std::path::Path) -> Ends {
    match sealift_drivers::process::agent::run(state).await {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(vec![Diagnostic::new("E0508", error.to_string())]),
    }
}
