//! `sealift reject`

use std::path::PathBuf;

use sealift_domain::{approval::Decision, promotion::PromotionId};

use super::{Ends, Global, approve};
use crate::shell::Shell;

/// Refuse a promotion, signed with your own SSH key
#[derive(clap::Args)]
pub struct Args {
    /// The promotion; without it, the one that waits for approval, if there is only one.
    promotion: Option<PromotionId>,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Your SSH key, private or public (with an agent).
    #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
    identity: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    approve::decide(shell, global, (args.promotion, true), args.identity, (Decision::Reject, Some(args.reason))).await
}
