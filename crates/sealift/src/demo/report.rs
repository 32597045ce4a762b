//! What the demo showed, in one summary.

use sealift_domain::{
    promotion::{Ended, Promotion, Stage},
    quantity::Period,
};
use sealift_engine::ports::probe::Availability;
use serde_json::{Value, json};

use super::{in_words, place::Place};
use crate::{
    cli::Global,
    diagnostic::{Diagnostic, catalogue::Exit},
    report::{
        human,
        style::{Mark, Tone},
        table::{Cell, Table},
    },
    session::Session,
    shell::{self, Shell},
};

/// What the audit found.
pub(super) struct Audit {
    /// Whether the changed byte was found.
    pub(super) tamper_detected: bool,
}

/// Prints the summary. The demo has failed if a request failed or the changed byte was not found.
pub(super) async fn summary(
    shell: &Shell,
    global: &Global,
    place: &Place,
    availability: &Availability,
    audit: &Audit,
) -> Result<Exit, Diagnostic> {
    let session = Session::open(&place.shell, global).await.map_err(|mut all| all.remove(0))?;
    let ledger = session.ledger().await?;
    let report = sealift_engine::audit::verify(&session.book, session.world.signatures.as_ref(), None).await;
    let rollback = ledger.promotions.values().find_map(|promotion| rollback_took(promotion));
    let good = availability.failed == 0 && audit.tamper_detected && report.is_ok() && rollback.is_some();
    if global.json() {
        let value = json!({
            "driver": place.driver(),
            "promotions": ledger.promotions.values().map(|promotion| row(&ledger, promotion)).collect::<Vec<_>>(),
            "availability": {
                "requests": availability.requests,
                "failed": availability.failed,
                "longest_gap_ms": availability.longest_gap_ms,
            },
            "rollback_seconds": rollback.map(|took| took.as_duration().as_secs_f64()),
            "audit": {
                "entries": ledger.size,
                "verified": report.is_ok(),
                "tamper_detected": audit.tamper_detected,
            },
        });
        shell.print(&format!("{value}\n"));
    } else {
        let style = shell::style(shell, global.color());
        let mut table = Table::new([]);
        let mut line = |good: bool, what: &str, found: String| {
            let (mark, tone) = if good { (Mark::Ok, Tone::Ok) } else { (Mark::Bad, Tone::Bad) };
            table.row([Cell::word(mark, tone, what), found.into()]);
        };
        line(availability.failed == 0, "traffic", in_words(availability));
        let took = rollback.map_or_else(|| "it never happened".to_owned(), human::duration);
        line(rollback.is_some(), "rollback by itself", took);
        line(report.is_ok(), "audit", format!("{} entries verified", ledger.size));
        let tampered = if audit.tamper_detected { "found" } else { "not found" };
        line(audit.tamper_detected, "one changed byte", tampered.to_owned());
        shell.print(&table.render(&style));
    }
    Ok(if good { Exit::Ok } else { Exit::Internal })
}

fn row(ledger: &sealift_domain::ledger::Ledger, promotion: &Promotion) -> Value {
    let took = promotion.ended_at().map(|end| Period::between(promotion.requested_at, end));
    json!({
        "id": promotion.id,
        "app": ledger.policy.as_ref().map(|policy| policy.app.clone()),
        "from": promotion.from,
        "to": promotion.to,
        "digest": promotion.release.components().next().map(|(_, digest)| digest),
        "status": promotion.status(),
        "seconds": took.map(|took| took.as_duration().as_secs_f64()),
    })
}

/// From the failed verification to the verdict.
fn rollback_took(promotion: &Promotion) -> Option<Period> {
    if !matches!(promotion.stage, Stage::Ended(Ended::RolledBack { .. })) {
        return None;
    }
    let failed = promotion.timeline.iter().find(|moment| moment.what == "failed")?;
    Some(Period::between(failed.at, promotion.ended_at()?))
}
