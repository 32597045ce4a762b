//! `sealift status`

mod promotion;

use sealift_domain::{
    ledger::{EnvironmentRecord, Ledger},
    name::EnvironmentName,
    policy::Policy,
    promotion::{Promotion, PromotionId, Stage, Status, Wait},
};
use sealift_engine::{database, places, ports::clock::Clock, proposal, view};
use serde_json::json;

use promotion::{again, by_comment, show};
pub(super) use promotion::{conclude, interrupted, story};

use super::{Ends, Global, follow_up, offline};
use crate::{
    diagnostic::{
        Diagnostic,
        catalogue::{Exit, code},
    },
    failure,
    report::{
        cost, human,
        style::{Mark, Style, Tone},
        table::{Cell, Table},
        text,
    },
    session::Session,
    shell::{Shell, style},
    system::SystemClock,
};

/// Show what runs where, what waits and what needs a person; or one promotion
#[derive(clap::Args)]
pub struct Args {
    /// A promotion.
    promotion: Option<PromotionId>,
}

pub(super) async fn run(args: Args, global: &Global, shell: &Shell) -> Ends {
    let session = Session::open(shell, global).await?;
    if let Some(id) = args.promotion {
        return show(shell, global, &session, id).await.map_err(|d| vec![d]);
    }
    let ledger = session.ledger().await.map_err(|d| vec![d])?;
    let policy = places::policy(&ledger).map_err(|e| vec![failure::of_engine(e)])?;
    let handed_in = handed_in(&session).await.map_err(|d| vec![d])?;
    if global.json() {
        shell.print(&format!("{}\n", overview_json(&session, &ledger, policy, handed_in).await));
        return Ok(Exit::Ok);
    }
    let style = style(shell, global.color());
    print_environments(shell, &ledger, policy, &style);
    print_follow_ups(shell, &ledger, &style);
    if let Some(count) = handed_in.filter(|count| *count > 0) {
        let waits = human::count(count as u64, "statement");
        shell.print(&format!("handed in and not taken in yet: {waits}; the next promotion takes in what counts\n"));
    }
    print_offline(shell, &session, &style).await;
    for line in needs_attention(&ledger) {
        shell.print(&format!("{}\n", text::hang("", &style.clean(&line), style.width)));
    }
    Ok(Exit::Ok)
}

/// Everything, for programs.
async fn overview_json(
    session: &Session,
    ledger: &Ledger,
    policy: &Policy,
    handed_in: Option<usize>,
) -> serde_json::Value {
    let environments: Vec<_> = policy.in_order().into_iter().map(|name| environment_json(ledger, name)).collect();
    let pending: Vec<_> =
        ledger.outbox.pending().map(|(index, notice)| json!({"entry": index, "kind": notice.kind})).collect();
    let proposals: Vec<_> = ledger
        .open_proposals(SystemClock.now())
        .map(|open| json!({"proposal": open.id, "by": open.by, "expires_at": open.expires_at}))
        .collect();
    let follow_ups: Vec<_> = follow_up::open(ledger)
        .map(|promotion| json!({"promotion": promotion.id, "follow_up": promotion.follow_up}))
        .collect();
    let waiting = offline::waiting(session).await;
    let waiting: Vec<_> =
        waiting.iter().map(|(name, kept)| json!({"environment": name, "records": kept.len()})).collect();
    let mut value = json!({
        "schema_version": 1,
        "app": policy.app,
        "environments": environments,
        "undelivered": pending,
        "proposals": proposals,
        "follow_ups": follow_ups,
        "offline_waiting": waiting,
    });
    if let Some(count) = handed_in {
        value["handed_in"] = json!(count);
    }
    value
}

/// The environments, what their databases are at, and what their deployments took.
fn print_environments(shell: &Shell, ledger: &Ledger, policy: &Policy, style: &Style) {
    let mut table = Table::new(["ENVIRONMENT", "RUNS", "SINCE", "STATE", "WHY"]);
    for name in policy.in_order() {
        table.row(environment_row(ledger, name, style));
    }
    shell.print(&format!("{}\n{}", style.paint(Tone::Strong, policy.app.as_str()), table.render(style)));
    for name in policy.in_order() {
        if let Some(words) = database_in_words(ledger, name) {
            let line = style.clean(&format!("{name}: {words}"));
            shell.print(&format!("{}\n", text::hang("database  ", &line, style.width)));
        }
        let brought = live_promotion(ledger, name);
        for (label, words) in costs(ledger, name, brought) {
            let label = format!("{label} of {name}: ");
            shell.print(&format!("{}\n", text::hang(&label, &style.clean(&words), style.width)));
        }
    }
}

/// What expedited promotions left to be made good.
fn print_follow_ups(shell: &Shell, ledger: &Ledger, style: &Style) {
    for promotion in follow_up::open(ledger) {
        let Some((words, overdue)) = follow_up::in_words(ledger, promotion) else { continue };
        let line = text::hang("follow-up  ", &style.clean(&words), style.width);
        shell.print(&format!("{}\n", style.paint(if overdue { Tone::Bad } else { Tone::Warn }, &line)));
        let next = format!("next: sealift follow-up close {} --reason \"…\"", promotion.id);
        shell.print(&format!("{next}\n"));
    }
}

/// What was rolled back without the log.
async fn print_offline(shell: &Shell, session: &Session, style: &Style) {
    for (name, kept) in offline::waiting(session).await {
        let (words, next) = match offline::is_over(&kept) {
            true => {
                ("was rolled back without the log, which does not have that yet", format!("record offline --in {name}"))
            }
            false => (
                "is being rolled back without the log, or that was cut off",
                format!("rollback --in {name} --offline --reason \"…\""),
            ),
        };
        let line = text::hang("offline  ", &format!("{name} {words}"), style.width);
        shell.print(&format!("{}\n", style.paint(Tone::Bad, &line)));
        shell.print(&format!("next: sealift {next}\n"));
    }
}

/// How many statements wait in the inbox of the log; `None` where it has none.
async fn handed_in(session: &Session) -> Result<Option<usize>, Diagnostic> {
    let Some(inbox) = &session.world.inbox else { return Ok(None) };
    inbox.list().await.map(|waiting| Some(waiting.len())).map_err(|error| failure::of_log(&error))
}

/// The promotion that brought what is live in an environment.
fn live_promotion<'a>(ledger: &'a Ledger, name: &EnvironmentName) -> Option<&'a Promotion> {
    let live = ledger.environments.get(name)?.live.as_ref()?;
    ledger.promotions.get(&live.promotion?).map(AsRef::as_ref)
}

/// What a deployment to an environment took, and beside it what the rebuild took that it replaces; as far as it was measured.
fn costs(ledger: &Ledger, to: &EnvironmentName, promotion: Option<&Promotion>) -> Vec<(&'static str, String)> {
    let deployment = promotion.and_then(|promotion| promotion.cost.as_ref());
    let rebuild = ledger.environments.get(to).and_then(|record| record.rebuild.as_ref());
    let deployed = deployment.map(|deployment| ("cost", cost::words(deployment)));
    let rebuilt = rebuild.map(|rebuild| ("rebuild", cost::rebuild(&rebuild.fact, deployment)));
    deployed.into_iter().chain(rebuilt).collect()
}

/// The rebuild that an environment's deployments are compared with.
fn rebuild_json(ledger: &Ledger, name: &EnvironmentName) -> serde_json::Value {
    let rebuild = ledger.environments.get(name).and_then(|record| record.rebuild.as_ref());
    json!(rebuild.map(|rebuild| json!({"command": rebuild.fact.command, "cost": rebuild.fact.cost, "at": rebuild.at})))
}

fn environment_row(ledger: &Ledger, name: &EnvironmentName, style: &Style) -> Vec<Cell> {
    let now = SystemClock.now();
    let record = ledger.environments.get(name);
    let live = record.and_then(|record| record.live.as_ref());
    let runs = live.map_or_else(|| "-".to_owned(), |live| places::called(ledger, &live.release));
    let since = live.map_or_else(|| "-".to_owned(), |live| human::age(live.since, now));
    let (mark, tone, word, why) = state_of(ledger, name, record);
    let _ = style;
    vec![name.as_str().into(), runs.into(), since.into(), Cell::word(mark, tone, word), why.into()]
}

/// An environment's state as mark, tone, word and reason. What needs a person comes first.
fn state_of(
    ledger: &Ledger,
    name: &EnvironmentName,
    record: Option<&EnvironmentRecord>,
) -> (Mark, Tone, &'static str, String) {
    let hold =
        ledger.holds.values().find(|hold| hold.scope == sealift_domain::freeze::HoldScope::Environment(name.clone()));
    if let Some(hold) = hold {
        return (Mark::Bad, Tone::Bad, "on hold", hold.reason.clone());
    }
    if let Some(open) = ledger.open_promotion(name) {
        let (word, why) = match &open.stage {
            Stage::Waiting(wait) => ("pending", format!("promotion {} waits for {}", open.id, wait_in_words(wait))),
            Stage::Judging => ("pending", format!("promotion {} is to be judged", open.id)),
            Stage::Forward { step, .. } => ("in progress", format!("promotion {} at {step}", open.id)),
            Stage::Back { step, .. } => ("rolling back", format!("promotion {} at {step}", open.id)),
            Stage::Ended(_) => ("over", String::new()),
        };
        return (Mark::Waiting, Tone::Warn, word, why);
    }
    match record {
        Some(record) if record.verified_now().is_some() => (Mark::Ok, Tone::Ok, "verified", String::new()),
        Some(record) if record.live.is_some() => {
            (Mark::Warn, Tone::Warn, "not verified", "its verification failed or never ran".into())
        }
        _ => (Mark::None, Tone::Dim, "empty", "nothing was deployed yet".into()),
    }
}

fn environment_json(ledger: &Ledger, name: &EnvironmentName) -> serde_json::Value {
    let record = ledger.environments.get(name);
    let (_, _, state, why) = state_of(ledger, name, record);
    let live = record.and_then(|record| record.live.as_ref());
    json!({
        "environment": name,
        "state": state,
        "why": why,
        "release": live.map(|live| live.release.clone()),
        "called": live.map(|live| places::called(ledger, &live.release)),
        "since": live.map(|live| live.since),
        "promotion": live.and_then(|live| live.promotion),
        "cost": live_promotion(ledger, name).and_then(|promotion| promotion.cost),
        "rebuild": rebuild_json(ledger, name),
        "open_promotion": ledger.open_promotion(name).map(|open| open.id),
        "database": database_json(ledger, name),
    })
}

/// What the database of an environment is at, and how far back is safe; nothing where no label says anything.
fn database_in_words(ledger: &Ledger, name: &EnvironmentName) -> Option<String> {
    let safe = database::safe_back_to(ledger, name)?;
    let back = match safe.oldest {
        Some(past) => {
            let schema = past.schema.map_or_else(|| "no label".to_owned(), |schema| format!("schema {}", schema.at()));
            format!("safe back to {} ({schema})", places::called(ledger, &past.release))
        }
        None => "no earlier release to go back to works on it".to_owned(),
    };
    let live = match safe.live_works {
        Some(false) => "; by its labels the LIVE RELEASE DOES NOT WORK on it",
        _ => "",
    };
    Some(format!("schema {}, {back}{live}", safe.database.at()))
}

fn database_json(ledger: &Ledger, name: &EnvironmentName) -> Option<serde_json::Value> {
    let safe = database::safe_back_to(ledger, name)?;
    let oldest = safe.oldest.map(|past| {
        json!({
            "release": past.release,
            "called": places::called(ledger, &past.release),
            "schema": past.schema.map(|schema| schema.at()),
        })
    });
    Some(json!({
        "schema": safe.database.at(),
        "compatible_from": safe.database.compatible_from(),
        "safe_back_to": oldest,
        "live_works": safe.live_works,
    }))
}

fn wait_in_words(wait: &Wait) -> String {
    let now = SystemClock.now();
    match wait {
        Wait::Approval { until, missing: 1 } => format!("an approval (lapses {})", human::ahead(*until, now)),
        Wait::Approval { until, missing } => format!("{missing} approvals (lapses {})", human::ahead(*until, now)),
        Wait::Condition { reason, .. } => reason.clone(),
    }
}

fn needs_attention(ledger: &Ledger) -> Vec<String> {
    let mut lines = Vec::new();
    for promotion in ledger.promotions.values().filter(|promotion| !promotion.has_ended()) {
        lines.push(match &promotion.stage {
            Stage::Waiting(Wait::Approval { .. }) => {
                lines.push(format!("next: sealift approve {}", promotion.id));
                lines.extend(by_comment(ledger, promotion).map(|words| format!("or {words}")));
                continue;
            }
            _ => format!("next: {} goes on with promotion {}", again(promotion), promotion.id),
        });
    }
    for open in ledger.open_proposals(SystemClock.now()) {
        let wants = proposal::wants(ledger, open).map(|wants| format!("; {wants}")).unwrap_or_default();
        lines.push(format!("proposed policy {} by {}: {}{wants}", open.id, open.by, open.reason));
        lines.push(format!("next: sealift policy accept {}", open.id));
    }
    for hold in ledger.holds.values() {
        let by = hold.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
        lines.push(format!("on hold: {} ({}{by})", short_scope(&hold.scope), hold.reason));
    }
    for environment in ledger.policy.iter().flat_map(|policy| policy.environments.keys()) {
        let touched = |p: &&std::sync::Arc<Promotion>| {
            p.to == *environment && matches!(p.status(), Status::Completed | Status::RolledBack)
        };
        let last = ledger.promotions.values().rev().find(touched);
        lines.extend(last.and_then(|last| view::unmoved_in_words(ledger, last)).map(|words| format!("tags: {words}")));
    }
    let undelivered = ledger.outbox.pending().count();
    if undelivered > 0 {
        lines.push(format!(
            "{} not delivered yet; the next promotion tries again [{}]",
            human::count(undelivered as u64, "notice"),
            code::E0701
        ));
    }
    lines
}

fn short_scope(scope: &sealift_domain::freeze::HoldScope) -> String {
    match scope {
        sealift_domain::freeze::HoldScope::Digest(digest) => digest.short(),
        sealift_domain::freeze::HoldScope::Environment(name) => name.to_string(),
    }
}
