//! `sealift demo`

use std::path::PathBuf;

use super::{Ends, Global};
use crate::{
    demo::{self, Driver, Settings},
    shell::Shell,
};

/// Show the whole road on this machine: promote, approve, break, roll back, audit
///
/// Everything is real and local: registries, a web service in three releases, two environments, steady traffic. Where a
/// container engine answers and Compose 2 and nginx are there, releases run in containers behind nginx; otherwise as child
/// processes. All of it is removed afterwards. It needs `ssh-keygen`.
///
/// `SEALIFT_DEMO_COMPOSE` names a program that is Compose 2, if it is neither a plugin of `docker` nor in `PATH`.
#[derive(clap::Args)]
pub struct Args {
    /// Leave it running afterwards, to play with, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Where to put it; by default a temporary directory that is removed afterwards.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// What releases run in.
    #[arg(long, value_enum, default_value = "auto")]
    driver: Driver,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let directory = args.directory.map(|directory| shell.resolve(&directory));
    let settings = Settings { directory, keep: args.keep, driver: args.driver };
    demo::run(shell, global, settings).await.map_err(|d| vec![d])
}
