//! `sealift reject`

use std::path::PathBuf;

use sealift_domain::approval::Decision;

use super::{Ends, Global, approve};
use crate::shell::Shell;

/// Refuse a promotion, signed with your own SSH key
#[derive(clap::Args)]
pub struct Args {
    /// The promotion, or a file of `sealift request export`; without it, the promotion that waits for approval, if there is
    /// only one.
    #[arg(value_name = "PROMOTION|FILE")]
    target: Option<approve::Target>,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Your SSH key, private or public (with an agent).
    #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
    identity: Option<PathBuf>,
    /// Where to write the answer to a file; `-` is standard output. By default `answer-ID-PERSON.json`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let Args { target, reason, identity, out } = args;
    let said = approve::Said { decision: Decision::Reject, reason: Some(reason), yes: true, identity, out };
    approve::decide(shell, global, target, said).await
}
