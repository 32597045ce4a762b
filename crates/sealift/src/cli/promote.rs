//! `sealift promote`

mod asking;

use std::path::PathBuf;

use sealift_domain::{
    name::EnvironmentName,
    policy::Policy,
    promotion::{Kind, PromotionId, Requester},
    release::Release,
};
use sealift_engine::{
    outbox,
    request::{self, Ask, Asked},
    worker::{RunOptions, Worker},
};

use super::{Ends, Global, offline, status};
use crate::{diagnostic::Diagnostic, failure, report::progress, session::Session, shell::Shell};

/// Bring the release verified in the environment before into the next one
///
/// The digest comes from the record; one that is given must be equal to it. A promotion that waits or was interrupted is
/// gone on with by the same command.
#[derive(clap::Args)]
pub struct Args {
    /// The target environment.
    #[arg(long, value_name = "ENVIRONMENT")]
    to: EnvironmentName,
    /// The environment it comes from, to be compared with the configuration.
    #[arg(long, value_name = "ENVIRONMENT")]
    from: Option<EnvironmentName>,
    /// The digest, to be compared with the verified one; `component=digest` where there are several.
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// What promotions and rollbacks take.
#[derive(clap::Args)]
pub struct Common {
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// Your SSH key, private or public (with an agent): it signs the request.
    #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
    identity: Option<PathBuf>,
    /// A file with a token of an identity provider of the policy: it says which workload asks.
    ///
    /// Instead of the file, the token itself may be in the variable SEALIFT_OIDC_TOKEN. In GitHub Actions, with
    /// `permissions: {id-token: write}`, it is fetched by itself.
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    oidc_token_file: Option<PathBuf>,
    /// The run of the pipeline that asks.
    #[arg(long, value_name = "ID", env = "GITHUB_RUN_ID")]
    run_id: Option<String>,
    /// Go the expedited way: more approvals, and the gates that the policy lets it waive may fail. Needs a reason.
    #[arg(long, requires = "reason")]
    expedited: bool,
    /// Stay and wait for conditions such as a soak or the end of a freeze.
    #[arg(long)]
    wait: bool,
}

impl Common {
    /// The key to sign with and the reason, for what is no request.
    pub(super) fn signed(self) -> (Option<PathBuf>, Option<String>) {
        (self.identity, self.reason)
    }
}

/// What is asked for, before it is signed.
pub struct Wish {
    /// Promotion or rollback.
    pub kind: Kind,
    /// The origin that was named.
    pub from: Option<EnvironmentName>,
    /// The target.
    pub to: EnvironmentName,
    /// What.
    pub release: Release,
    /// Whether a person named it.
    pub by_hand: bool,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    let policy = session.same_policy().await.map_err(|d| vec![d])?;
    offline::take_in(shell, &session, &args.to).await.map_err(|d| vec![d])?;
    let ledger = session.ledger().await.map_err(|d| vec![d])?;
    let named = session.named_release(&args.to, &args.digest).map_err(|d| vec![d])?;
    let by_hand = named.is_some();
    // One that is being worked on is resumed, whatever is the newest by now.
    let resumed = ledger.running_promotion(&args.to).filter(|running| !by_hand && running.kind == Kind::Promote);
    let release = match resumed {
        Some(running) => running.release.clone(),
        None => request::choose(&ledger, &args.to, named).map_err(|e| vec![failure::of_engine(e)])?,
    };
    let wish = Wish { kind: Kind::Promote, from: args.from, to: args.to, release, by_hand };
    go(shell, global, &session, &policy, wish, args.common).await
}

/// Puts a wish on record and works on it.
pub(super) async fn go(
    shell: &Shell,
    global: &Global,
    session: &Session,
    policy: &Policy,
    wish: Wish,
    common: Common,
) -> Ends {
    // What a run before this one could not deliver, or did not live to deliver, is owed whatever becomes of the wish.
    let engine = |error| vec![failure::of_engine(error)];
    outbox::deliver(&session.book, &session.world, outbox::Effort::Once).await.map_err(engine)?;
    let asked = ask(shell, session, policy, wish, &common).await.map_err(|d| vec![d])?;
    work(shell, global, session, asked.id(), RunOptions { wait: common.wait }).await
}

async fn ask(
    shell: &Shell,
    session: &Session,
    policy: &Policy,
    wish: Wish,
    common: &Common,
) -> Result<Asked, Diagnostic> {
    let ledger = session.ledger().await?;
    let mut ask = Ask {
        kind: wish.kind,
        from: wish.from,
        to: wish.to,
        release: wish.release,
        by_hand: wish.by_hand,
        requester: Requester::Unknown,
        proof: Vec::new(),
        reason: common.reason.clone(),
        run_id: common.run_id.clone(),
        expedited: common.expedited,
    };
    let known = ledger.open_promotion(&ask.to).is_some_and(|open| ask.is_the_same_as(open));
    if !known {
        let named = (common.identity.as_deref(), common.oidc_token_file.as_deref());
        asking::prove(shell, session, &ledger, policy, named, &mut ask).await?;
    }
    request::ask(&session.book, &ask).await.map_err(failure::of_engine)
}

/// Works on a promotion until it is over or waits, and says how it stands.
pub(super) async fn work(
    shell: &Shell,
    global: &Global,
    session: &Session,
    id: PromotionId,
    options: RunOptions,
) -> Ends {
    let observer = progress::observer(shell, global);
    let worker = Worker::new(&session.book, &session.world, observer.as_ref(), options);
    let stopped = tokio::select! {
        result = worker.run(id) => result.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    observer.finish();
    match stopped.map_err(|e| vec![failure::broken_off(e, id)])? {
        Some(_) => status::conclude(shell, global, session, id).await,
        None => Err(vec![status::interrupted(session, id).await]),
    }
}
