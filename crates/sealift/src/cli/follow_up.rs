//! `sealift follow-up`

use std::path::PathBuf;

use sealift_domain::{
    approval::Act,
    ledger::Ledger,
    promotion::{Promotion, PromotionId},
};
use sealift_engine::{exceptions, places, ports::clock::Clock};
use serde_json::json;

use super::{Ends, Global};
use crate::{
    diagnostic::catalogue::Exit,
    failure, identity,
    report::{human, table::Table},
    session::Session,
    shell::{Shell, style},
    system::SystemClock,
};

/// What expedited promotions left to be done
#[derive(clap::Subcommand)]
pub enum Args {
    /// List what is to be made good, and until when
    List,
    /// Say that what was waived was made good, signed with your own SSH key
    Close {
        /// The promotion.
        promotion: PromotionId,
        /// What was done.
        #[arg(long)]
        reason: String,
        /// Your SSH key, private or public (with an agent).
        #[arg(long, value_name = "FILE", env = "SEALIFT_IDENTITY")]
        identity: Option<PathBuf>,
    },
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let session = Session::open(shell, global).await?;
    let ledger = session.ledger().await.map_err(one)?;
    match args {
        Args::List => list(shell, global, &ledger),
        Args::Close { promotion, reason, identity } => {
            let policy = places::policy(&ledger).map_err(|e| one(failure::of_engine(e)))?;
            let identity = identity::require(shell, policy, identity.as_deref()).map_err(one)?;
            let signed = identity.act(&ledger, Act::CloseFollowUp { promotion }, &reason).map_err(one)?;
            exceptions::close_follow_up(&session.book, session.world.signatures.as_ref(), &signed)
                .await
                .map_err(|e| one(failure::of_engine(e)))?;
            if global.json() {
                shell.print(&format!("{}\n", json!({"schema_version": 1, "closed": promotion})));
            } else {
                shell.print(&format!("the follow-up of promotion {promotion} is closed by {}\n", identity.person));
            }
        }
    }
    Ok(Exit::Ok)
}

/// The promotions whose follow-up is open.
pub(super) fn open(ledger: &Ledger) -> impl Iterator<Item = &Promotion> {
    let is_open = |promotion: &&Promotion| promotion.follow_up.as_ref().is_some_and(|f| f.closed.is_none());
    ledger.promotions.values().map(AsRef::as_ref).filter(is_open)
}

/// An open follow-up in words, and whether it is overdue.
pub(super) fn in_words(ledger: &Ledger, promotion: &Promotion) -> Option<(String, bool)> {
    let follow_up = promotion.follow_up.as_ref().filter(|follow_up| follow_up.closed.is_none())?;
    let now = SystemClock.now();
    let overdue = now >= follow_up.due;
    let when = if overdue {
        format!("OVERDUE since {}", follow_up.due.strftime("%F %H:%MZ"))
    } else {
        format!("due {}", human::ahead(follow_up.due, now))
    };
    let waived: Vec<&str> = follow_up.waived.iter().map(String::as_str).collect();
    let waived = if waived.is_empty() { "no gate".to_owned() } else { waived.join(", ") };
    let release = places::called(ledger, &promotion.release);
    let words = format!("{when}: expedited promotion {} ({release} in {}) waived {waived}", promotion.id, promotion.to);
    Some((words, overdue))
}

fn list(shell: &Shell, global: &Global, ledger: &Ledger) {
    if global.json() {
        let open: Vec<_> = open(ledger)
            .map(|promotion| json!({"promotion": promotion.id, "to": promotion.to, "follow_up": promotion.follow_up}))
            .collect();
        shell.print(&format!("{}\n", json!({"schema_version": 1, "follow_ups": open})));
        return;
    }
    let mut table = Table::new(["PROMOTION", "WHAT"]);
    let mut any = false;
    for promotion in open(ledger) {
        if let Some((words, _)) = in_words(ledger, promotion) {
            table.row([promotion.id.to_string().into(), words.into()]);
            any = true;
        }
    }
    if any {
        shell.print(&table.render(&style(shell, global.color())));
    } else {
        shell.print("nothing is left to be made good\n");
    }
}
