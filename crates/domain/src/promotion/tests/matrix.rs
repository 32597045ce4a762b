//! The state × event matrix, kept as one table that people can read and a change cannot slip past.

use super::{
    super::{Ended, Kind, Promotion, PromotionEvent, Stage, Step},
    catalogue::{STEPS, attesting_states, decisions, done, every_event, failed, promotion, states},
};
use crate::{
    schema::{AfterMigration, Expected, Schema},
    testing::{at, running},
    undo::Observed,
};

/// A stage in a few words.
fn words(stage: &Stage) -> String {
    match stage {
        Stage::Judging => "judging".into(),
        Stage::Waiting(super::super::Wait::Approval { .. }) => "approval?".into(),
        Stage::Waiting(super::super::Wait::Condition { .. }) => "condition?".into(),
        Stage::Forward { step, cancel: None } => step.to_string(),
        Stage::Forward { step, cancel: Some(_) } => format!("{step}, withdrawn"),
        Stage::Back { step, .. } => format!("back: {step}"),
        Stage::Ended(Ended::Completed { leftover: Some(_) }) => "COMPLETED+".into(),
        Stage::Ended(Ended::Failed { leftover: Some(_), .. }) => "FAILED+".into(),
        Stage::Ended(Ended::Completed { .. }) => "COMPLETED".into(),
        Stage::Ended(Ended::Failed { .. }) => "FAILED".into(),
        Stage::Ended(Ended::RolledBack { .. }) => "ROLLED BACK".into(),
        Stage::Ended(Ended::Cancelled { .. }) => "CANCELLED".into(),
        Stage::Ended(Ended::Stuck { blocked, .. }) => format!("STUCK {}", blocked.code),
    }
}

/// Where `event` leads from `before`: the next stage, or `-`. What is illegal must change nothing.
fn cell(before: &Promotion, event: PromotionEvent) -> String {
    let mut after = before.clone();
    match after.apply(event, at(1)) {
        Ok(()) => words(&after.stage),
        Err(_) => {
            assert_eq!(after, *before, "an illegal event changed something");
            "-".into()
        }
    }
}

fn own_step(stage: &Stage) -> Option<Step> {
    match stage {
        Stage::Forward { step, .. } | Stage::Back { step, .. } => Some(*step),
        _ => None,
    }
}

/// One cell for an event of each step that is not the promotion's own.
fn other_steps(before: &Promotion, event: impl Fn(Step) -> PromotionEvent) -> String {
    let others = STEPS.into_iter().filter(|step| Some(*step) != own_step(&before.stage));
    let mut cells: Vec<String> = others.map(|step| cell(before, event(step))).collect();
    cells.dedup();
    cells.join("/")
}

/// Rows of equal columns; the first row is the heading.
fn table(rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join(" | ").trim_end());
        text.push('\n');
        if at == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str(&format!("{}\n", rule.join("-|-")));
        }
    }
    text
}

/// All states of a promotion whose undo record names `old`, by all events.
fn main_table() -> String {
    let step_columns = ["done", "done, other step", "failed", "failed, automatic: false", "failed, other step"];
    let mut heading = vec!["state".to_owned()];
    heading.extend(decisions().iter().map(|(name, _)| (*name).to_owned()));
    heading.extend(step_columns.map(str::to_owned));
    let mut rows = vec![heading];
    for (name, stage) in states() {
        let before = promotion(Kind::Promote, stage, Some(running("old")));
        let own = own_step(&before.stage);
        let at_own = |event: &dyn Fn(Step) -> PromotionEvent| own.map_or("-".into(), |s| cell(&before, event(s)));
        let mut row = vec![name];
        row.extend(decisions().into_iter().map(|(_, event)| cell(&before, event)));
        row.push(at_own(&|step| PromotionEvent::Done(done(step))));
        row.push(other_steps(&before, |step| PromotionEvent::Done(done(step))));
        row.push(at_own(&|step| failed(step, true)));
        row.push(at_own(&|step| failed(step, false)));
        row.push(other_steps(&before, |step| failed(step, true)));
        rows.push(row);
    }
    table(&rows)
}

/// Where failures lead, by what ran before and by the kind of promotion.
fn way_back_table() -> String {
    let unknown = Observed::Unknown { what: "a container without a digest".into() };
    let befores = [
        ("old ran", Some(running("old"))),
        ("nothing ran", Some(Observed::Nothing)),
        ("unknown ran", Some(unknown)),
        ("no record", None),
    ];
    let kinds = [("promote", Kind::Promote), ("rollback", Kind::Rollback)];
    let mut heading = vec!["failed at".to_owned()];
    for (kind, _) in kinds {
        heading.extend(befores.iter().map(|(name, _)| format!("{kind}, {name}")));
    }
    let mut rows = vec![heading];
    for (name, stage) in states() {
        let Some(step) = own_step(&stage) else { continue };
        let mut row = vec![name];
        for (_, kind) in kinds {
            for (_, previous) in &befores {
                row.push(cell(&promotion(kind, stage.clone(), previous.clone()), failed(step, true)));
            }
        }
        rows.push(row);
    }
    table(&rows)
}

/// Where a failure leads once the database was migrated, or may have been, by what the release before expects of it.
fn database_table() -> String {
    let database = Schema::new(8, 7).unwrap();
    let expects = |at| Expected::Schema(Schema::new(at, at).unwrap());
    let befores = [
        ("before works on it", Some(expects(7))),
        ("before is too old", Some(expects(6))),
        ("before has no label", Some(Expected::Nothing)),
        ("before unreadable", Some(Expected::Unreadable("404".into()))),
        ("no labels at all", None),
    ];
    let automatic = [("", true), (", automatic: false", false)];
    let mut heading = vec!["failed at".to_owned()];
    for (name, _) in &befores {
        heading.extend(automatic.iter().map(|(words, _)| format!("{name}{words}")));
    }
    let mut rows = vec![heading];
    for step in Step::FORWARD {
        let mut row = vec![step.to_string()];
        for (_, previous) in &befores {
            for (_, automatic) in automatic {
                let stage = Stage::Forward { step, cancel: None };
                let mut before = promotion(Kind::Promote, stage, Some(running("old")));
                before.migrated = step > Step::Migrate;
                before.schema = previous.as_ref().map(|_| database);
                let after = previous.clone().map(|previous| AfterMigration { database, previous });
                before.undo.as_mut().unwrap().database = after;
                row.push(cell(&before, failed(step, automatic)));
            }
        }
        rows.push(row);
    }
    table(&rows)
}

/// Where a rollback without the log leads, by whether it moved traffic.
fn offline_table() -> String {
    let mut rows = vec![["state", "moved", "tags left", "not moved"].map(str::to_owned).to_vec()];
    for (name, stage) in states() {
        let mut row = vec![name];
        for moved in [true, false] {
            let before = promotion(Kind::Promote, stage.clone(), Some(running("old")));
            let mut after = before.clone();
            let failure = crate::testing::failure("went back");
            let ended = after.rolled_back_offline(moved, (&crate::testing::person("ana"), "it burns"), failure, at(1));
            assert_eq!(ended, after != before, "what has not ended is as it was");
            assert!(!ended || after.has_ended(), "whatever it did, it ended");
            row.push(if ended { words(&after.stage) } else { "-".into() });
            if moved {
                row.push(if after.unmoved_tags.is_empty() { "-" } else { "some" }.to_owned());
            }
        }
        rows.push(row);
    }
    table(&rows)
}

#[test]
fn a_rollback_without_the_log_ends_what_was_open() {
    insta::assert_snapshot!("offline", offline_table());
}

/// What counts as done when the driver reads what runs, by what ran before.
fn observed_table() -> String {
    let unknown = || Observed::Unknown { what: "a container without a digest".into() };
    let read = [
        ("reads new", running("new")),
        ("reads old", running("old")),
        ("reads nothing", Observed::Nothing),
        ("reads unknown", unknown()),
    ];
    let befores = [
        ("old ran", Some(running("old"))),
        ("nothing ran", Some(Observed::Nothing)),
        ("unknown ran", Some(unknown())),
        ("no record", None),
    ];
    let mut rows = vec![["state".to_owned()].into_iter().chain(read.iter().map(|(n, _)| (*n).to_owned())).collect()];
    for (name, stage) in states() {
        let Some(step @ (Step::Switch | Step::Restore)) = own_step(&stage) else { continue };
        for (ran, previous) in &befores {
            let before = promotion(Kind::Promote, stage.clone(), previous.clone());
            let mut row = vec![format!("{name} ({ran})")];
            for (_, running) in &read {
                let running = running.clone();
                let done = if step == Step::Switch {
                    super::super::Done::Switch { running }
                } else {
                    super::super::Done::Restore { running }
                };
                row.push(cell(&before, PromotionEvent::Done(done)));
            }
            rows.push(row);
        }
    }
    table(&rows)
}

/// Where the last step of a way back leads, by what ran before.
fn end_table() -> String {
    let befores = [("old ran", running("old")), ("nothing ran", Observed::Nothing)];
    let mut rows = vec![vec!["state".to_owned(), "old ran".to_owned(), "nothing ran".to_owned()]];
    for (name, stage) in states() {
        if let Stage::Back { step: Step::RestoreTags, .. } = stage {
            let mut row = vec![name];
            for (_, previous) in &befores {
                let before = promotion(Kind::Promote, stage.clone(), Some(previous.clone()));
                row.push(cell(&before, PromotionEvent::Done(done(Step::RestoreTags))));
            }
            rows.push(row);
        }
    }
    table(&rows)
}

/// Where a promotion goes that attests.
fn attesting_table() -> String {
    let mut rows = vec![["state", "done", "failed", "failed, automatic: false", "withdrawn"].map(str::to_owned).into()];
    for (name, before) in attesting_states() {
        let Some(step) = own_step(&before.stage) else { continue };
        let withdrawn = PromotionEvent::Withdrawn { by: None, reason: "not today".into() };
        let cells = [
            cell(&before, PromotionEvent::Done(done(step))),
            cell(&before, failed(step, true)),
            cell(&before, failed(step, false)),
            cell(&before, withdrawn),
        ];
        rows.push([name].into_iter().chain(cells).collect());
    }
    table(&rows)
}

#[test]
fn every_state_meets_every_event() {
    let text = format!(
        "`-` is illegal and changes nothing; capitals are ends; `+` leaves something behind; `/` joins different cells.\n\n\
         A promotion with an undo record that names a release:\n\n{}\n\
         A failure of the step under way, by what ran before (with `automatic: true`):\n\n{}\n\
         A failure once the database was migrated, or may have been, by what the release before expects:\n\n{}\n\
         What was read running, and whether that is done:\n\n{}\n\
         The end of a way back:\n\n{}\n\
         A promotion that attests, with an undo record that names a release:\n\n{}",
        main_table(),
        way_back_table(),
        database_table(),
        observed_table(),
        end_table(),
        attesting_table(),
    );
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("state_by_event", text);
    });
}

#[test]
fn what_is_over_accepts_nothing() {
    for (name, stage) in states() {
        if matches!(stage, Stage::Ended(_)) {
            for event in every_event() {
                let before = promotion(Kind::Promote, stage.clone(), Some(running("old")));
                assert_eq!(cell(&before, event.clone()), "-", "{name}: {event:?}");
            }
        }
    }
}
