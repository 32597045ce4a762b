//! `sealift schema`

use super::Ends;
use crate::{config, diagnostic::catalogue::Exit, shell::Shell};

/// Print the JSON Schema of sealift.yaml, for editors
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: &Args, shell: &Shell) -> Ends {
    let schema = serde_json::to_string_pretty(&config::schema()).unwrap_or_default();
    shell.print(&format!("{schema}\n"));
    Ok(Exit::Ok)
}
