//! `sealift completions`

use clap::CommandFactory;
use clap_complete::Shell as Kind;

use super::{Cli, Ends};
use crate::{diagnostic::catalogue::Exit, shell::Shell};

/// Print completions for a shell
#[derive(clap::Args)]
pub struct Args {
    /// Which shell.
    shell: Kind,
}

pub(super) fn run(args: &Args, shell: &Shell) -> Ends {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sealift", &mut text);
    shell.print(&String::from_utf8_lossy(&text));
    Ok(Exit::Ok)
}
