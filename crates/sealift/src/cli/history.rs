//! `sealift history`

use sealift_domain::{
    name::EnvironmentName,
    promotion::{Kind, Promotion, Status},
};
use sealift_engine::{places, ports::clock::Clock, view};

use super::{Ends, Global, offline};
use crate::{
    diagnostic::catalogue::Exit,
    report::{
        cost, human,
        style::{Mark, Tone},
        table::{Cell, Table},
        text,
    },
    session::Session,
    shell::{Shell, style},
    system::SystemClock,
};

/// List the promotions, the newest first
#[derive(clap::Args)]
pub struct Args {
    /// Only those into this environment.
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    environment: Option<EnvironmentName>,
    /// How many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    let ledger = session.ledger().await.map_err(|d| vec![d])?;
    let wanted = |promotion: &&Promotion| args.environment.as_ref().is_none_or(|name| promotion.to == *name);
    let promotions: Vec<&Promotion> =
        ledger.promotions.values().rev().map(AsRef::as_ref).filter(wanted).take(args.limit).collect();
    if global.json() {
        let records: Vec<_> = promotions.iter().map(|promotion| view::audit_record(&ledger, promotion)).collect();
        let past = offline::past(&ledger, args.environment.as_ref());
        let past: Vec<_> =
            past.into_iter().take(args.limit).map(|(name, past)| offline::past_json(name, past)).collect();
        let value = serde_json::json!({"schema_version": 1, "promotions": records, "offline_rollbacks": past});
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    if promotions.is_empty() {
        shell.print("no promotion yet\nnext: sealift promote --to ENVIRONMENT\n");
        return Ok(Exit::Ok);
    }
    let now = SystemClock.now();
    let mut table = Table::new(["ID", "RELEASE", "TO", "STATE", "WHEN", "COST", "BY"]);
    for promotion in promotions {
        let (mark, tone) = look(promotion.status());
        let release = places::called(&ledger, &promotion.release);
        let release = if promotion.kind == Kind::Rollback { format!("back to {release}") } else { release };
        let by =
            promotion.consent.iter().flat_map(|(_, by)| by).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        table.row([
            promotion.id.to_string().into(),
            release.into(),
            promotion.to.as_str().into(),
            Cell::word(mark, tone, promotion.status().as_str()),
            human::age(promotion.ended_at().unwrap_or(promotion.requested_at), now).into(),
            promotion.cost.as_ref().map(cost::cpu).unwrap_or_default().into(),
            by.into(),
        ]);
    }
    let style = style(shell, global.color());
    shell.print(&table.render(&style));
    for (name, past) in offline::past(&ledger, args.environment.as_ref()).into_iter().take(args.limit) {
        for (i, line) in offline::past_in_words(&ledger, name, past).iter().enumerate() {
            let label = if i == 0 { format!("without the log, {}  ", past.entry) } else { "  ".to_owned() };
            shell.print(&format!("{}\n", text::hang(&label, &style.clean(line), style.width)));
        }
    }
    Ok(Exit::Ok)
}

fn look(status: Status) -> (Mark, Tone) {
    match status {
        Status::Completed => (Mark::Ok, Tone::Ok),
        Status::Failed | Status::Stuck => (Mark::Bad, Tone::Bad),
        Status::RolledBack => (Mark::Back, Tone::Bad),
        Status::Cancelled => (Mark::None, Tone::Dim),
        Status::Pending | Status::InProgress => (Mark::Waiting, Tone::Warn),
    }
}
