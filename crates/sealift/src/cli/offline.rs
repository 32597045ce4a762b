//! Rollbacks without the log: making one, taking it in, and showing it.

mod make;
mod take;

use sealift_domain::{
    ledger::Ledger,
    name::EnvironmentName,
    offline::{OfflinePast, Outcome},
};
use sealift_engine::places;
use serde_json::{Value, json};

pub(super) use make::{Offline, run as make};
pub(super) use take::{RecordArgs, is_over, record, take_in, waiting};

/// Rollbacks without the log that are in it, the newest first.
pub(super) fn past<'a>(
    ledger: &'a Ledger,
    environment: Option<&EnvironmentName>,
) -> Vec<(&'a EnvironmentName, &'a OfflinePast)> {
    let wanted = |name: &EnvironmentName| environment.is_none_or(|wanted| wanted == name);
    let records = ledger.environments.iter().filter(|(name, _)| wanted(name));
    let mut all: Vec<_> =
        records.flat_map(|(name, record)| record.offline.iter().map(move |past| (name, past))).collect();
    all.sort_by_key(|(_, past)| std::cmp::Reverse(past.entry));
    all
}

/// One of them, for scripts.
pub(super) fn past_json(environment: &EnvironmentName, past: &OfflinePast) -> Value {
    let mut value = serde_json::to_value(past).unwrap_or_default();
    value["environment"] = json!(environment);
    value
}

/// One of them, in lines.
pub(super) fn past_in_words(ledger: &Ledger, environment: &EnvironmentName, past: &OfflinePast) -> Vec<String> {
    let from = past.from.as_ref().map_or_else(|| "nothing known".to_owned(), |from| places::called(ledger, from));
    let to = places::called(ledger, &past.to);
    let mut lines = vec![
        format!("`{}` rolled {environment} back without the log at {}, from {from} to {to}", past.by, past.ended_at),
        format!("why: {}", past.reason),
        format!("how it ended: {}", outcome_in_words(&past.outcome)),
        format!("in the log since {}, entry {}, signed statement {}", past.merged_at, past.entry, past.statement),
    ];
    if past.late {
        lines.push("a later one was in the log before it, so it says nothing of what is live".to_owned());
    }
    lines.extend(past.not_entitled.as_ref().map(|why| format!("NOT ENTITLED: {why}")));
    lines
}

/// How one ended, in words.
pub(super) fn outcome_in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Verified { passed: 0 } => "live; no check could be asked without the log".to_owned(),
        Outcome::Verified { passed: 1 } => "live, 1 check holds".to_owned(),
        Outcome::Verified { passed } => format!("live, {passed} checks hold"),
        Outcome::Failing { why } => format!("a person is needed: {why}"),
        Outcome::Unchanged { why, .. } => format!("nothing live was changed: {why}"),
    }
}
