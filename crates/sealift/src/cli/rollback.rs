//! `sealift rollback`

use sealift_domain::{name::EnvironmentName, promotion::Kind};
use sealift_engine::request;

use super::{
    Ends, Global,
    promote::{self, Common, Wish},
};
use crate::{failure, session::Session, shell::Shell};

/// Go back to an earlier release that was verified in the same environment
///
/// A rollback is a promotion: it has gates, the approval of its environment, a deployment, a verification, and its place in
/// the log.
#[derive(clap::Args)]
pub struct Args {
    /// The environment to roll back.
    #[arg(long = "in", visible_alias = "to", value_name = "ENVIRONMENT")]
    environment: EnvironmentName,
    /// The digest to go back to; without it, the newest earlier release that was verified there.
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    let policy = session.accepted_policy(shell).await.map_err(|d| vec![d])?;
    let ledger = session.ledger().await.map_err(|d| vec![d])?;
    let named = session.named_release(&args.environment, &args.digest).map_err(|d| vec![d])?;
    let by_hand = named.is_some();
    // A rollback that waits or was interrupted is gone on with: what was known good then is what it goes back to.
    let open = ledger.open_promotion(&args.environment).filter(|open| !by_hand && open.kind == Kind::Rollback);
    let release = match open {
        Some(open) => open.release.clone(),
        None => request::choose_rollback(&ledger, &args.environment, named).map_err(|e| vec![failure::of_engine(e)])?,
    };
    let wish = Wish { kind: Kind::Rollback, from: None, to: args.environment, release, by_hand };
    promote::go(shell, global, &session, &policy, wish, args.common).await
}
