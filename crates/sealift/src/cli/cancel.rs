//! `sealift cancel`

use std::path::PathBuf;

use sealift_domain::promotion::{PromotionId, Status};
use sealift_engine::{decide, outbox};

use super::{Ends, Global};
use crate::{diagnostic::catalogue::Exit, failure, identity, session::Session, shell::Shell};

/// End a promotion that has not switched yet
///
/// A step that is under way is waited for; then the promotion ends. Once traffic was switched, only `sealift rollback`
/// leads back.
#[derive(clap::Args)]
pub struct Args {
    /// The promotion.
    promotion: PromotionId,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Your SSH key, if you want your name in the log.
    #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
    identity: Option<PathBuf>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    let policy = session.accepted_policy(shell).await.map_err(one)?;
    let by = identity::find(shell, &policy, args.identity.as_deref()).map_err(one)?.map(|identity| identity.person);
    decide::withdraw(&session.book, args.promotion, by, args.reason).await.map_err(|e| one(failure::of_engine(e)))?;
    outbox::deliver(&session.book, &session.world, outbox::Effort::Full)
        .await
        .map_err(|e| one(failure::of_engine(e)))?;
    let ledger = session.ledger().await.map_err(one)?;
    let status = ledger.promotions.get(&args.promotion).map_or(Status::Cancelled, |promotion| promotion.status());
    if global.json() {
        let value = serde_json::json!({"schema_version": 1, "promotion": args.promotion, "status": status});
        shell.print(&format!("{value}\n"));
    } else if status == Status::Cancelled {
        shell.print(&format!("promotion {} is cancelled; nothing live was changed\n", args.promotion));
    } else {
        shell.print(&format!("promotion {} ends after the step that is under way\n", args.promotion));
    }
    Ok(Exit::Ok)
}
