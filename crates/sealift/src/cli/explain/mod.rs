//! `sealift explain`

mod evidence;
mod replay;

use sealift_domain::{
    name::EnvironmentName,
    promotion::{Promotion, PromotionId, Requester},
    reference::Reference,
};
use sealift_engine::{decide, error::EngineError, places, replay as log};
use serde_json::json;

use super::{Ends, Global, check, look, offline, status};
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

/// Explain a code, why a promotion was allowed, or how an image stands with the gates of an environment
#[derive(clap::Args)]
pub struct Args {
    /// A code (`E0103`, `G004`), a promotion's id, an environment's name, or with `--to` an image or its digest.
    #[arg(required_unless_present = "to")]
    what: Option<String>,
    /// The environment whose gates are asked; without an image, about what would be promoted next.
    #[arg(long, value_name = "ENVIRONMENT")]
    to: Option<EnvironmentName>,
    /// Judge the stored evidence of a promotion again, under the stored policy, and compare.
    #[arg(long, conflicts_with = "to")]
    replay: bool,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let Args { what, to, replay } = args;
    let what = what.unwrap_or_default();
    if let Some(to) = to {
        let session = Session::open(shell, global).await?;
        let named = if what.is_empty() { Vec::new() } else { vec![named(&session, &what).await.map_err(one)?] };
        return environment(shell, global, &session, &to, &named).await.map_err(one);
    }
    if let Some(page) = catalogue::explain(&what).filter(|_| !replay) {
        if global.json() {
            let value = json!({"schema_version": 1, "what": what, "page": page.trim_end()});
            shell.print(&format!("{value}\n"));
        } else {
            shell.print(&format!("{}\n", page.trim_end()));
        }
        return Ok(Exit::Ok);
    }
    if let Ok(id) = what.parse::<PromotionId>() {
        let session = Session::open(shell, global).await?;
        return match replay {
            true => replay::run(shell, global, &session, id).await.map_err(one),
            false => promotion(shell, global, &session, id).await.map_err(one),
        };
    }
    if let Ok(to) = what.parse::<EnvironmentName>().map_err(drop).and_then(|to| if replay { Err(()) } else { Ok(to) }) {
        let session = Session::open(shell, global).await?;
        return environment(shell, global, &session, &to, &[]).await.map_err(one);
    }
    let wrong = if replay { "no promotion" } else { "no code, no promotion and no environment" };
    Err(one(failure::usage(format!("`{what}` is {wrong}"))
        .next("for instance `sealift explain E0103`, `sealift explain 17`, `sealift explain production`")
        .next("an image is explained for an environment: `sealift explain IMAGE --to production`")))
}

/// The digest of an image that somebody names. A tag is read once, here.
async fn named(session: &Session, text: &str) -> Result<String, Diagnostic> {
    if text.contains("sha256:") {
        return Ok(text.to_owned());
    }
    let reference: Reference = text.parse().map_err(|why: sealift_domain::reference::ReferenceError| {
        failure::usage(format!("`{}` is no image: {why}", text.escape_debug()))
    })?;
    let pinned = look::pin(session.world.registry.as_ref(), &reference).await?;
    let pinned = pinned.ok_or_else(|| {
        Diagnostic::new("E0301", format!("{reference} is not in its registry")).state("nothing was changed")
    })?;
    Ok(pinned.digest.to_string())
}

/// Why a promotion was allowed, or was not: from the log alone.
async fn promotion(shell: &Shell, global: &Global, session: &Session, id: PromotionId) -> Result<Exit, Diagnostic> {
    let ledger = session.ledger().await?;
    if let Some((environment, past)) = offline::past(&ledger, None).into_iter().find(|(_, past)| past.entry == id.0) {
        match global.json() {
            true => {
                let value = json!({"schema_version": 1, "offline_rollback": offline::past_json(environment, past)});
                shell.print(&format!("{value}\n"));
            }
            false => offline::past_in_words(&ledger, environment, past)
                .iter()
                .for_each(|line| shell.print(&format!("{line}\n"))),
        }
        return Ok(Exit::Ok);
    }
    let promotion = decide::promotion(&ledger, id).map_err(failure::of_engine)?;
    // What it was judged on is not there where it never was judged, or was judged by a program that kept nothing.
    let facts = match log::recorded(&session.book, id).await {
        Ok(recorded) => recorded.kept.map(|kept| kept.facts),
        Err(EngineError::NotFound(_)) => None,
        Err(error) => return Err(failure::of_engine(error)),
    };
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "promotion": id,
            "status": promotion.status(),
            "policy": promotion.policy,
            "evidence": promotion.evidence,
            "gates": promotion.judged,
            "judged_on": facts.as_ref().map(evidence::json),
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
    if let Some(facts) = &facts {
        shell.print(&evidence::table(facts, &style));
    }
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

/// What an environment requires, and how an image stands, or what would be promoted now.
async fn environment(
    shell: &Shell,
    global: &Global,
    session: &Session,
    to: &EnvironmentName,
    named: &[String],
) -> Result<Exit, Diagnostic> {
    let ledger = session.ledger().await?;
    places::environment(&ledger, to).map_err(failure::of_engine)?;
    let trial = check::trial(session, to, None, named).await;
    // What would be promoted next there may be none; an image that somebody names must be there.
    let trial = if named.is_empty() { trial } else { Ok(trial?) };
    if global.json() {
        let (gates, evidence, why) = match &trial {
            Ok(trial) => (json!(trial.gates), evidence::json(&trial.facts), None),
            Err(diagnostic) => (json!([]), json!({}), Some(diagnostic.title.clone())),
        };
        let not_required: Vec<_> = missing_gates(session, to).into_iter().map(|gate| gate.name).collect();
        let value = json!({"schema_version": 1, "to": to, "gates": gates, "evidence": evidence, "not_required": not_required, "nothing_to_judge": why});
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    match trial {
        Ok(trial) => {
            let release = places::called(&ledger, &trial.promotion.release);
            shell.print(&format!("{}\n", style.paint(Tone::Strong, &format!("{release} into {to}, as of now"))));
            shell.print(&check::gates_table(&trial.gates, &style));
            shell.print(&evidence::table(&trial.facts, &style));
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
