//! `sealift demo`

use std::path::PathBuf;

use super::{Ends, Global};
use crate::{demo, shell::Shell};

/// Show the whole road on this machine: promote, approve, break, roll back, audit
///
/// Everything is real and local: registries, a web service in three releases, two environments under the process driver,
/// steady traffic. It needs `ssh-keygen` and takes well under a minute.
#[derive(clap::Args)]
pub struct Args {
    /// Leave it running afterwards, to play with, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Where to put it; by default a temporary directory that is removed afterwards.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let directory = args.directory.map(|directory| shell.resolve(&directory));
    demo::run(shell, global, directory, args.keep).await.map_err(|d| vec![d])
}
