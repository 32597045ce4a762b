//! `sealift explain`

use sealift_domain::{
    name::EnvironmentName,
    promotion::{Promotion, PromotionId, Requester},
};
use sealift_engine::{decide, places};
use serde_json::json;

use super::{Ends, Global, check, status};
use crate::{
    diagnostic::{
        Diagnostic,
        catalogue::{self, Exit},
    },
    failure,
    report::{
        style::{Mark, Style, Tone},
        table::{Cell, Table},
    },
    session::Session,
    shell::{Shell, style},
};

/// Explain an error or gate code, a promotion, or what an environment requires
#[derive(clap::Args)]
pub struct Args {
    /// A code (`E0103`, `G004`), a promotion's id, or an environment's name.
    what: String,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    if let Some(page) = catalogue::explain(&args.what) {
        if global.json() {
            let value = json!({"schema_version": 1, "what": args.what, "page": page.trim_end()});
            shell.print(&format!("{value}\n"));
        } else {
            shell.print(&format!("{}\n", page.trim_end()));
        }
        return Ok(Exit::Ok);
    }
    let one = |d| vec![d];
    if let Ok(id) = args.what.parse::<PromotionId>() {
        let session = Session::open(shell, global).await?;
        return promotion(shell, global, &session, id).await.map_err(one);
    }
    if let Ok(to) = args.what.parse::<EnvironmentName>() {
        let session = Session::open(shell, global).await?;
        return environment(shell, global, &session, &to).await.map_err(one);
    }
    Err(one(failure::usage(format!("`{}` is no code, no promotion and no environment", args.what))
        .next("for instance `sealift explain E0103`, `sealift explain 17`, `sealift explain production`")))
}

/// Why a promotion was allowed, or was not: from the log alone.
async fn promotion(shell: &Shell, global: &Global, session: &Session, id: PromotionId) -> Result<Exit, Diagnostic> {
    let ledger = session.ledger().await?;
    let promotion = decide::promotion(&ledger, id).map_err(failure::of_engine)?;
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "promotion": id,
            "status": promotion.status(),
            "policy": promotion.policy,
            "evidence": promotion.evidence,
            "gates": promotion.judged,
            "approvals": promotion.approvals,
            "consent": promotion.consent,
            "undo": promotion.undo,
            "stage": promotion.stage,
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    shell.print(&format!("{}\n", style.paint(Tone::Strong, &format!("promotion {id}: {}", promotion.status()))));
    for line in people(promotion) {
        shell.print(&format!("  {}\n", style.clean(&line)));
    }
    shell.print(&check::gates_table(&promotion.judged, &style));
    shell.print(&not_required(session, &promotion.to, &style));
    shell.print(&status::story(session, &ledger, promotion, &style).await);
    Ok(Exit::Ok)
}

fn people(promotion: &Promotion) -> Vec<String> {
    let who = match &promotion.requester {
        Requester::Person { id, .. } => format!("{id} (signed)"),
        Requester::Workload(run) => {
            let by = run.actor.as_ref().map_or_else(|| "nobody known".to_owned(), ToString::to_string);
            format!("{}, started by {by} (token of {})", run.subject, run.issuer)
        }
        Requester::Unknown => "somebody who did not prove who they are".to_owned(),
    };
    let mut lines = vec![format!("asked for by {who} at {}", promotion.requested_at)];
    lines.extend(promotion.reason.iter().map(|reason| format!("because: {reason}")));
    for approval in &promotion.approvals {
        let (by, at, proof) = (&approval.statement.approver, approval.at, approval.proof.as_str());
        lines.push(format!("approved by {by} at {at} ({proof})"));
        lines.extend(approval.revoked.map(|at| format!("taken back by {by} at {at}")));
    }
    match &promotion.consent {
        Some((at, _)) => lines.push(format!("consent was complete at {at}")),
        None if promotion.approvals.is_empty() => lines.push("no approval was given".to_owned()),
        None => lines.push("consent was never complete".to_owned()),
    }
    lines.push(format!("policy {}", promotion.policy));
    if promotion.expedited {
        lines.push("it goes the expedited way".to_owned());
    }
    for given in &promotion.overrides {
        lines.push(format!("{} will not let a freeze stop it: {}", given.by, given.reason));
    }
    if let Some(follow_up) = &promotion.follow_up {
        lines.push(match &follow_up.closed {
            Some(closed) => format!("follow-up closed by {} at {}: {}", closed.by, closed.at, closed.reason),
            None => format!("follow-up open, due {}", follow_up.due),
        });
    }
    lines
}

/// What an environment requires, and how what would be promoted now stands.
async fn environment(
    shell: &Shell,
    global: &Global,
    session: &Session,
    to: &EnvironmentName,
) -> Result<Exit, Diagnostic> {
    let ledger = session.ledger().await?;
    places::environment(&ledger, to).map_err(failure::of_engine)?;
    let trial = check::trial(session, to, None, &[]).await;
    if global.json() {
        let (gates, why) = match &trial {
            Ok(trial) => (json!(trial.gates), None),
            Err(diagnostic) => (json!([]), Some(diagnostic.title.clone())),
        };
        let not_required: Vec<_> = missing_gates(session, to).into_iter().map(|gate| gate.name).collect();
        let value = json!({"schema_version": 1, "to": to, "gates": gates, "not_required": not_required, "nothing_to_judge": why});
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    match trial {
        Ok(trial) => {
            let release = places::called(&ledger, &trial.promotion.release);
            shell.print(&format!("{}\n", style.paint(Tone::Strong, &format!("{release} into {to}, as of now"))));
            shell.print(&check::gates_table(&trial.gates, &style));
            for judged in trial.gates.iter().filter(|judged| !judged.passed()) {
                if let Some(remedy) = judged.remedy() {
                    shell.print(&format!("  {}: {remedy}\n", judged.gate));
                }
            }
        }
        Err(diagnostic) => shell.print(&format!("nothing to judge yet: {}\n", diagnostic.title)),
    }
    shell.print(&not_required(session, to, &style));
    Ok(Exit::Ok)
}

fn missing_gates(session: &Session, to: &EnvironmentName) -> Vec<&'static sealift_domain::gate::GateInfo> {
    session.config.policy.environments.get(to).map(|environment| environment.gates.not_required()).unwrap_or_default()
}

/// The gates that nobody asked for, and the line that would.
fn not_required(session: &Session, to: &EnvironmentName, style: &Style) -> String {
    let mut table = Table::new([]);
    for gate in missing_gates(session, to) {
        let require = gate.require.unwrap_or_default();
        table.row([
            Cell::word(Mark::None, Tone::Dim, "not required"),
            gate.name.into(),
            format!("gates: {{{require}}}").into(),
        ]);
    }
    table.render(style)
}
