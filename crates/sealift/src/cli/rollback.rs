//! `sealift rollback`

use std::path::PathBuf;

use sealift_domain::{name::EnvironmentName, promotion::Kind};
use sealift_engine::request;

use super::{
    Ends, Global,
    offline::{self, Offline},
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
    /// Go back over the journal on the host, without the log and without a registry, and take that into the log later.
    ///
    /// For when they cannot be reached, on the host that is deployed to. Signed with `--identity`, by a person with a role of
    /// the environment's approvals, with a `--reason`. Of the digests, it goes back to the newest earlier one that the host
    /// still has.
    #[arg(long, conflicts_with_all = ["expedited", "wait", "oidc_token_file"])]
    offline: bool,
    /// With `--offline`: start the release although nobody knows that it works on the database. You sign that.
    #[arg(long, requires = "offline")]
    despite_schema: bool,
    /// With `--offline`: where to write the record at the end, beside the host's own; nothing may have that name yet.
    #[arg(long, requires = "offline", value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    if args.offline {
        let Args { environment, digest, despite_schema, record, common, .. } = args;
        let (identity, reason) = common.signed();
        let asked = Offline { environment, digest, identity, reason, despite_schema, record };
        return offline::make(asked, global, shell).await;
    }
    let session = Session::open(shell, global).await?;
    let policy = session.accepted_policy(shell).await.map_err(|d| vec![d])?;
    offline::take_in(shell, &session, &args.environment).await.map_err(|d| vec![d])?;
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
