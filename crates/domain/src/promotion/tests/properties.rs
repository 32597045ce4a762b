//! Rules that hold for every history.

use proptest::prelude::*;

use super::{
    super::{Done, Intent, Judgement, Kind, Promotion, PromotionEvent, Stage, Step},
    catalogue::{ID, admit, done, every_event, failed},
};
use crate::{
    gate::Judged,
    schema::{AfterMigration, Expected, Schema},
    testing::{at, request, running, undo},
    undo::Undo,
};

/// One turn of a history: mostly what moves a promotion on, sometimes anything at all.
#[derive(Clone, Debug)]
enum Turn {
    /// The step under way is done, or the gates let it in.
    Advance,
    /// The step under way fails.
    Fail { automatic: bool },
    /// The undo record says that the release before does not work on what the candidate migrates.
    Closed,
    /// Any event of the catalogue.
    Any(prop::sample::Index),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        10 => Just(Turn::Advance),
        1 => any::<bool>().prop_map(|automatic| Turn::Fail { automatic }),
        1 => Just(Turn::Closed),
        4 => any::<prop::sample::Index>().prop_map(Turn::Any),
    ]
}

fn event(turn: &Turn, promotion: &Promotion) -> PromotionEvent {
    match (turn, promotion.intent()) {
        (Turn::Advance, Intent::Perform(step)) => PromotionEvent::Done(done(step)),
        (Turn::Advance, _) => admit(true),
        (Turn::Fail { automatic }, Intent::Perform(step)) => failed(step, *automatic),
        (Turn::Fail { .. }, _) => PromotionEvent::Lapsed,
        (Turn::Closed, _) => closed(promotion),
        (Turn::Any(index), _) => index.get(&every_event()).clone(),
    }
}

/// With an admission the labels, and later an undo record whose way back is closed.
fn closed(promotion: &Promotion) -> PromotionEvent {
    let database = Schema::new(8, 8).unwrap();
    match (promotion.intent(), admit(true)) {
        (Intent::Perform(_), _) => {
            let previous = Expected::Schema(Schema::new(7, 7).unwrap());
            let database = Some(AfterMigration { database, previous });
            PromotionEvent::Done(Done::RecordUndo(Undo { database, ..undo(running("old")) }))
        }
        (_, PromotionEvent::Judged(judgement)) => {
            PromotionEvent::Judged(Judgement { schema: Some(database), attests: true, ..judgement })
        }
        (_, other) => other,
    }
}

fn is_at(promotion: &Promotion, wanted: Step) -> bool {
    promotion.intent() == Intent::Perform(wanted)
}

/// Checks the rules that concern a state by itself.
fn check_state(now: &Promotion) -> Result<(), TestCaseError> {
    prop_assert_eq!(now.intent() == Intent::Rest, now.has_ended());
    prop_assert_eq!(now.ended_at().is_some(), now.has_ended());
    if let Intent::Perform(step) = now.intent()
        && step.touches_live()
    {
        prop_assert!(now.undo.is_some(), "{step} without a record of what to go back to");
        prop_assert!(now.definition.is_some(), "{step} without a candidate");
    }
    if let Intent::Perform(step) = now.intent()
        && step > Step::Admit
        && step != Step::Discard
        && let Some(attested) = &now.attested
    {
        let back = matches!(now.stage, Stage::Back { .. });
        prop_assert!(back || !attested.admitted.is_empty(), "{step} without what attests the admission");
        prop_assert_eq!(now.admission_counts(), !back && matches!(now.stage, Stage::Forward { cancel: None, .. }));
    }
    let in_progress = matches!(now.stage, Stage::Forward { .. } | Stage::Back { .. });
    prop_assert!(!in_progress || (!now.judged.is_empty() && now.judged.iter().all(Judged::passed)));
    prop_assert!(!now.migrated || now.kind == Kind::Promote, "a rollback migrated");
    if is_at(now, Step::Restore) {
        let database = now.undo.as_ref().and_then(|undo| undo.database.as_ref());
        prop_assert!(database.is_none_or(AfterMigration::is_open), "what does not work on the database is restored");
    }
    if now.kind == Kind::Rollback {
        prop_assert!(!is_at(now, Step::Restore), "a rollback is being rolled back");
    }
    Ok(())
}

/// Checks the rules that concern what changed.
fn check_change(before: &Promotion, event: &PromotionEvent, after: &Promotion) -> Result<(), TestCaseError> {
    prop_assert!(!before.has_ended(), "something happened to what is over");
    if before.undo.is_some() {
        prop_assert_eq!(&before.undo, &after.undo, "the undo record was lost or changed");
    }
    prop_assert!(!before.migrated || after.migrated, "what was migrated is so for ever");
    if is_at(after, Step::Switch) {
        prop_assert!(after.undo.is_some());
    }
    prop_assert!(after.timeline.len() == before.timeline.len() + 1);
    let grown = after.approvals.len() - before.approvals.len();
    prop_assert_eq!(grown, usize::from(matches!(event, PromotionEvent::Approved(_))));
    if let (PromotionEvent::Withdrawn { .. }, Intent::Perform(step)) = (event, before.intent()) {
        prop_assert!(!step.touches_live(), "withdrawn at {step}");
    }
    if let PromotionEvent::Judged(judgement) = event
        && matches!(after.stage, Stage::Forward { .. })
    {
        prop_assert!(!judgement.gates.is_empty() && judgement.gates.iter().all(Judged::passed));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_rules(rollback: bool, turns in prop::collection::vec(turn(), 0..60)) {
        let kind = if rollback { Kind::Rollback } else { Kind::Promote };
        let mut promotion = Promotion::request(ID, request(kind), at(0));
        check_state(&promotion)?;
        for (second, turn) in (1u64..).zip(&turns) {
            let before = promotion.clone();
            let event = event(turn, &before);
            match promotion.apply(event.clone(), at(second)) {
                Ok(()) => {
                    check_change(&before, &event, &promotion)?;
                    check_state(&promotion)?;
                }
                Err(_) => prop_assert_eq!(&before, &promotion, "an illegal event changed something"),
            }
        }
    }
}
