//! What single events leave on record, and how refusals read.

use super::{
    super::{
        Cause, Done, Ended, Intent, Judgement, Kind, Next, Promotion, PromotionEvent, PromotionId, Stage, Status, Step,
    },
    catalogue::{
        ID, STEPS, admit, approval_wanted, attachments, condition, done, every_event, failed, forward, judgement,
        promotion, states, withdrawal,
    },
};
use crate::{
    approval::Decision,
    notice::NoticeKind,
    schema::{AfterMigration, Expected, Schema},
    testing::{approval, at, digest, failure, person, request, running, undo},
};

fn fresh(kind: Kind) -> Promotion {
    Promotion::request(ID, request(kind), at(0))
}

/// The words of the refusal of `event`.
fn refusal(stage: Stage, event: PromotionEvent) -> String {
    promotion(Kind::Promote, stage, None).apply(event, at(1)).unwrap_err().to_string()
}

#[test]
fn a_promotion_that_only_advances_completes() {
    for kind in [Kind::Promote, Kind::Rollback] {
        let mut promotion = fresh(kind);
        assert_eq!((promotion.status(), promotion.ended_at()), (Status::Pending, None));
        promotion.apply(admit(true), at(1)).unwrap();
        for (second, step) in (2..).zip(Step::FORWARD) {
            assert_eq!((promotion.intent(), promotion.status()), (Intent::Perform(step), Status::InProgress));
            promotion.apply(PromotionEvent::Done(done(step)), at(second)).unwrap();
        }
        assert_eq!((promotion.status(), promotion.intent()), (Status::Completed, Intent::Rest));
        assert_eq!(promotion.ended_at(), Some(at(10)));
        let told: Vec<&str> = promotion.timeline.iter().map(|moment| moment.what.as_str()).collect();
        let steps = ["copy", "tag", "undo", "migrate", "prepare", "switch", "verify", "move tags", "retire"];
        assert_eq!((&told[..2], &told[2..]), (&["requested", "judged"][..], &steps[..]));
        assert_eq!(promotion.undo, Some(undo(running("old"))));
        assert_eq!(promotion.definition, Some(digest("definition")));
        assert_eq!(promotion.verification.map(|summary| summary.passed), Some(2));
        assert_eq!(promotion.restored, None);
    }
}

/// A judgement that admits, of an environment that attests.
fn admit_attesting() -> PromotionEvent {
    match admit(true) {
        PromotionEvent::Judged(judgement) => PromotionEvent::Judged(Judgement { attests: true, ..judgement }),
        other => other,
    }
}

#[test]
fn a_promotion_that_attests_takes_two_steps_more_and_a_rollback_never_does() {
    for (kind, steps) in [(Kind::Promote, &Step::ATTESTING[..]), (Kind::Rollback, &Step::FORWARD[..])] {
        let mut promotion = fresh(kind);
        promotion.apply(admit_attesting(), at(1)).unwrap();
        for (second, step) in (2..).zip(steps) {
            assert_eq!(promotion.intent(), Intent::Perform(*step), "{kind:?}");
            let counts = kind == Kind::Promote && *step > Step::Admit;
            assert_eq!(promotion.admission_counts(), counts, "{kind:?} at {step}");
            promotion.apply(PromotionEvent::Done(done(*step)), at(second)).unwrap();
        }
        assert_eq!(promotion.status(), Status::Completed);
        assert_eq!(promotion.admission_counts(), kind == Kind::Promote);
        let attested = promotion.attested.map(|attested| (attested.admitted, attested.verified));
        assert_eq!(attested, (kind == Kind::Promote).then(|| (attachments(), attachments())));
    }
}

#[test]
fn what_was_attested_is_withdrawn_on_every_way_that_ends_otherwise_than_live() {
    for (at_step, automatic) in Step::ATTESTING.into_iter().flat_map(|step| [(step, true), (step, false)]) {
        let mut promotion = fresh(Kind::Promote);
        promotion.apply(admit_attesting(), at(1)).unwrap();
        while promotion.intent() != Intent::Perform(at_step) {
            let Intent::Perform(step) = promotion.intent() else { panic!("{at_step}") };
            promotion.apply(PromotionEvent::Done(done(step)), at(2)).unwrap();
        }
        promotion.apply(failed(at_step, automatic), at(3)).unwrap();
        let mut withdrawn = false;
        while let Intent::Perform(step) = promotion.intent() {
            assert!(!promotion.admission_counts(), "{at_step}: it counts on the way back at {step}");
            withdrawn |= step == Step::WithdrawAdmission;
            promotion.apply(PromotionEvent::Done(done(step)), at(4)).unwrap();
        }
        assert_eq!(withdrawn, !matches!(at_step, Step::Copy | Step::Retire), "{at_step}");
        assert_eq!(promotion.admission_counts(), at_step == Step::Retire, "{at_step}");
        let discarded = promotion.timeline.iter().any(|moment| moment.what == "discard");
        assert_eq!(discarded, at_step == Step::Prepare, "{at_step}");
    }
}

#[test]
fn what_a_registry_would_not_remove_is_on_record_and_changes_no_end() {
    let mut promotion = fresh(Kind::Promote);
    promotion.apply(admit_attesting(), at(1)).unwrap();
    for step in [Step::Copy, Step::Admit] {
        promotion.apply(PromotionEvent::Done(done(step)), at(2)).unwrap();
    }
    promotion.apply(failed(Step::TagImmutable, true), at(3)).unwrap();
    promotion.apply(failed(Step::WithdrawAdmission, true), at(4)).unwrap();
    assert_eq!(promotion.status(), Status::Failed);
    let left = promotion.attested.unwrap().left;
    assert_eq!(left, [(crate::name::ComponentName::only(), "it broke".to_owned())].into());
}

#[test]
fn an_attestation_is_of_every_image_of_the_release_and_of_no_other() {
    let mut promotion = fresh(Kind::Promote);
    promotion.apply(admit_attesting(), at(1)).unwrap();
    promotion.apply(PromotionEvent::Done(done(Step::Copy)), at(2)).unwrap();
    let mut more = attachments();
    more.insert("web".parse().unwrap(), *more.values().next().unwrap());
    for attestations in [std::collections::BTreeMap::new(), more] {
        let refused = promotion.apply(PromotionEvent::Done(super::super::Done::Admit { attestations }), at(3));
        assert!(refused.unwrap_err().to_string().ends_with("(not every image was attested, or others were)"));
    }
}

#[test]
fn a_judgement_is_kept_and_so_is_the_consent_it_found() {
    let mut promotion = fresh(Kind::Promote);
    promotion.apply(judgement(true, Next::Wait(approval_wanted())), at(3)).unwrap();
    assert_eq!(promotion.judged.len(), 2);
    assert_eq!((promotion.evidence, promotion.policy), (Some(digest("evidence")), digest("policy 2")));
    assert_eq!((promotion.consent.clone(), promotion.intent()), (None, Intent::Await(&approval_wanted())));
    promotion.apply(admit(true), at(4)).unwrap();
    assert_eq!(promotion.consent, Some((at(4), vec![person("cy")])));

    let mut without = fresh(Kind::Promote);
    without.apply(judgement(true, Next::Admit { consent: Vec::new(), needed: 0, follow_up: None }), at(3)).unwrap();
    assert_eq!(without.consent, None, "no consent was needed, so none is on record");
}

#[test]
fn nothing_is_decided_without_judging_a_gate() {
    for next in [
        Next::Admit { consent: Vec::new(), needed: 0, follow_up: None },
        Next::Wait(condition()),
        Next::Refuse(failure("no")),
    ] {
        let event = PromotionEvent::Judged(Judgement {
            gates: Vec::new(),
            evidence: digest("evidence"),
            policy: digest("policy"),
            next,
            schema: None,
            attests: false,
            facts: None,
            objects: std::collections::BTreeSet::new(),
        });
        assert!(refusal(Stage::Judging, event).ends_with("(no gate was judged)"));
    }
}

#[test]
fn only_an_unused_approval_of_this_promotion_is_taken() {
    let event = |id, decision| PromotionEvent::Approved(approval(id, "cy", decision));
    let foreign = "(the statement is not an approval of this promotion)";
    assert!(refusal(Stage::Judging, event(PromotionId(8), Decision::Approve)).ends_with(foreign));
    assert!(refusal(Stage::Judging, event(ID, Decision::Reject)).ends_with(foreign));

    let mut promotion = promotion(Kind::Promote, Stage::Waiting(approval_wanted()), None);
    promotion.apply(event(ID, Decision::Approve), at(1)).unwrap();
    assert_eq!((promotion.approvals.len(), promotion.intent()), (1, Intent::Judge));
    let again = promotion.apply(event(ID, Decision::Approve), at(2)).unwrap_err();
    assert!(again.to_string().ends_with("(the statement was used before)"), "{again}");
    promotion.apply(PromotionEvent::Approved(approval(ID, "bo", Decision::Approve)), at(2)).unwrap();
    assert_eq!(promotion.approvals.len(), 2);
}

#[test]
fn refusals_say_where_the_promotion_is_and_what_cannot_happen() {
    let withdraw = || PromotionEvent::Withdrawn { by: None, reason: "no".into() };
    let over = Stage::Ended(Ended::Completed { leftover: None });
    let back = Stage::Back { step: Step::Restore, cause: withdrawal() };
    for (stage, event, words) in [
        (Stage::Judging, PromotionEvent::Lapsed, "promotion 7 is judging its gates: `lapsed` cannot happen to it"),
        (
            Stage::Waiting(approval_wanted()),
            failed(Step::Copy, true),
            "waiting for approval: `failed` cannot happen to it (copy)",
        ),
        (Stage::Waiting(condition()), PromotionEvent::Lapsed, "waiting for a condition: `lapsed` cannot happen to it"),
        (
            forward(Step::Copy, false),
            PromotionEvent::Done(done(Step::Verify)),
            "at copy: `done` cannot happen to it (verify)",
        ),
        (
            forward(Step::Copy, true),
            withdraw(),
            "at copy: `withdrawn` cannot happen to it (it is being withdrawn already)",
        ),
        (
            forward(Step::Verify, false),
            withdraw(),
            "at verify: `withdrawn` cannot happen to it (the switch has begun; roll back instead)",
        ),
        (back, withdraw(), "on its way back at restore: `withdrawn` cannot happen to it"),
        (over, admit(true), "over (Completed): `judged` cannot happen to it"),
        (Stage::Judging, admit(false), "judging its gates: `judged` cannot happen to it (a gate does not pass)"),
        (Stage::Judging, PromotionEvent::Superseded { by: ID }, "judging its gates: `superseded` cannot happen to it"),
    ] {
        let said = refusal(stage, event);
        assert!(said.ends_with(words), "{said}");
    }
}

#[test]
fn an_end_says_who_and_why() {
    let end = |stage: Stage, event: PromotionEvent| {
        let mut promotion = promotion(Kind::Promote, stage, Some(running("old")));
        promotion.apply(event, at(1)).unwrap();
        match promotion.stage {
            Stage::Ended(ended) => ended,
            other => panic!("{other:?}"),
        }
    };
    let cancelled = |reason: &str, by: Option<&str>, superseded_by| Ended::Cancelled {
        reason: reason.into(),
        by: by.map(person),
        superseded_by,
    };
    let waiting = || Stage::Waiting(approval_wanted());
    let superseded = end(waiting(), PromotionEvent::Superseded { by: PromotionId(8) });
    assert_eq!(superseded, cancelled("promotion 8 is newer", None, Some(PromotionId(8))));
    let lapsed = end(waiting(), PromotionEvent::Lapsed);
    assert_eq!(lapsed, cancelled("nobody approved before 2026-01-01T01:00:00Z", None, None));
    let withdrawn = end(forward(Step::Copy, true), PromotionEvent::Done(done(Step::Copy)));
    assert_eq!(withdrawn, cancelled("not today", Some("bo"), None));

    let first = || failure("the first");
    let back = |step| Stage::Back { step, cause: Cause::Failed { step: Step::Verify, failure: first() } };
    let stuck = end(back(Step::Restore), failed(Step::Restore, true));
    assert_eq!(stuck, Ended::Stuck { failure: first(), blocked: failure("it broke") });
    let left = end(back(Step::Discard), failed(Step::Discard, true));
    assert_eq!(left, Ended::Failed { failure: first(), leftover: Some(failure("it broke")) });
    let rolled_back = end(back(Step::RestoreTags), PromotionEvent::Done(done(Step::RestoreTags)));
    assert_eq!(rolled_back, Ended::RolledBack { failure: first() });
    let kept = end(forward(Step::Retire, false), failed(Step::Retire, true));
    assert_eq!(kept, Ended::Completed { leftover: Some(failure("it broke")) });
}

#[test]
fn what_was_found_after_a_restore_is_kept_beside_what_was_found_before() {
    let cause = Cause::Failed { step: Step::MoveTags, failure: failure("it broke") };
    let mut promotion = promotion(Kind::Promote, forward(Step::Verify, false), Some(running("old")));
    promotion.apply(PromotionEvent::Done(done(Step::Verify)), at(1)).unwrap();
    promotion.apply(failed(Step::MoveTags, true), at(2)).unwrap();
    assert_eq!(promotion.stage, Stage::Back { step: Step::Restore, cause });
    promotion.apply(PromotionEvent::Done(done(Step::Restore)), at(3)).unwrap();
    promotion.apply(PromotionEvent::Done(done(Step::ConfirmRestored)), at(4)).unwrap();
    assert!(promotion.verification.is_some() && promotion.restored.is_some());
}

#[test]
fn people_are_told_of_every_state_that_they_can_ask_for_and_of_no_other() {
    for (name, stage) in states() {
        let expected = match name.as_str() {
            "waiting for approval" => Some(NoticeKind::ApprovalWanted),
            "at copy" => Some(NoticeKind::Started),
            "over: Completed" => Some(NoticeKind::Completed),
            "over: Failed" => Some(NoticeKind::Failed),
            "over: Rolled back" => Some(NoticeKind::RolledBack),
            "over: Cancelled" => Some(NoticeKind::Cancelled),
            "over: Stuck" => Some(NoticeKind::Stuck),
            _ => None,
        };
        let notice = promotion(Kind::Promote, stage, None).notice();
        assert_eq!(notice, expected, "{name}");
        if let Some(kind) = notice {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str(), "configuration and reports agree");
        }
    }
}

#[test]
fn states_and_events_survive_json() {
    for (name, stage) in states() {
        let before = promotion(Kind::Rollback, stage, Some(running("old")));
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Promotion>(&text).unwrap(), before, "{name}");
    }
    for event in every_event() {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<PromotionEvent>(&text).unwrap(), event, "{text}");
    }
}

#[test]
fn every_step_has_one_result_and_one_name() {
    let mut names: Vec<String> = STEPS.iter().map(|step| format!("{step:>4}")).collect();
    for step in STEPS {
        assert_eq!(done(step).step(), step);
        let live = [Step::Switch, Step::Verify, Step::AttestVerified, Step::MoveTags, Step::Retire].contains(&step);
        assert_eq!(step.touches_live(), live);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), STEPS.len());
    assert!(matches!(done(Step::Copy), Done::Copy { .. }));
}

#[test]
fn names_of_promotions_and_states_read_well() {
    assert_eq!((ID.to_string(), format!("{ID:?}"), format!("{ID:>3}")), ("7".into(), "#7".into(), "  7".into()));
    assert_eq!("7".parse::<PromotionId>(), Ok(ID));
    assert!("#7".parse::<PromotionId>().is_err());
    assert_eq!(format!("{:<12}|", Status::RolledBack), "Rolled back |");
    let all = [
        (Status::Pending, "Pending"),
        (Status::InProgress, "In progress"),
        (Status::Completed, "Completed"),
        (Status::Failed, "Failed"),
        (Status::Cancelled, "Cancelled"),
        (Status::Stuck, "Stuck"),
    ];
    for (status, words) in all {
        assert_eq!(status.to_string(), words);
    }
}

/// A promotion of schema 8 over a release that expects `previous`, at `step`.
fn migrating(step: Step, kind: Kind, previous: Option<Expected>) -> Promotion {
    let database = Schema::new(8, 7).unwrap();
    let mut at_step = promotion(kind, forward(step, false), Some(running("old")));
    at_step.schema = previous.as_ref().map(|_| database);
    if let (Some(undo), Some(previous)) = (&mut at_step.undo, previous) {
        undo.database = Some(AfterMigration { database, previous });
    }
    at_step
}

fn old(at: u64) -> Option<Expected> {
    Some(Expected::Schema(Schema::new(at, at).unwrap()))
}

#[test]
fn a_database_counts_as_migrated_from_what_may_have_changed_it_on() {
    let untouched = |step| PromotionEvent::Failed { step, failure: failure("no"), automatic: true, untouched: true };
    let ran = |ran| PromotionEvent::Done(Done::Migrate { ran, output: None });
    let (labelled, without) = (|| old(7), || None);
    for (step, labels, event, migrated) in [
        (Step::RecordUndo, labelled(), PromotionEvent::Done(done(Step::RecordUndo)), false),
        (Step::RecordUndo, labelled(), failed(Step::RecordUndo, true), false),
        (Step::Migrate, labelled(), ran(true), true),
        (Step::Migrate, labelled(), ran(false), false),
        (Step::Migrate, labelled(), failed(Step::Migrate, true), true),
        (Step::Migrate, labelled(), untouched(Step::Migrate), false),
        (Step::Migrate, without(), ran(true), true),
        // A labelled release may migrate when it starts.
        (Step::Prepare, labelled(), PromotionEvent::Done(done(Step::Prepare)), true),
        (Step::Prepare, labelled(), failed(Step::Prepare, true), true),
        (Step::Prepare, labelled(), untouched(Step::Prepare), false),
        (Step::Prepare, without(), PromotionEvent::Done(done(Step::Prepare)), false),
    ] {
        let mut promotion = migrating(step, Kind::Promote, labels.clone());
        promotion.apply(event.clone(), at(1)).unwrap();
        assert_eq!(promotion.migrated, migrated, "{step}: {event:?}");
        let mut back = migrating(step, Kind::Rollback, labels);
        back.apply(event, at(1)).unwrap();
        assert!(!back.migrated, "a rollback migrates nothing");
    }
}

#[test]
fn what_ends_before_the_switch_says_what_the_live_release_runs_on() {
    let left = |previous| {
        let mut promotion = migrating(Step::Migrate, Kind::Promote, previous);
        promotion.apply(failed(Step::Migrate, true), at(1)).unwrap();
        promotion.left_database().unwrap()
    };
    let begin = "the live release now runs on a database that was migrated, or may have been: ";
    let database = "the database, at schema 8, for releases from schema 7 on";
    assert_eq!(left(old(7)), format!("{begin}it expects schema 7 and works on {database}"));
    assert_eq!(left(old(6)), format!("{begin}it expects schema 6 and DOES NOT WORK on {database}"));
    assert_eq!(left(None), format!("{begin}no schema label says whether it works on it"));
    let mut early = migrating(Step::Copy, Kind::Promote, old(6));
    early.apply(failed(Step::Copy, true), at(1)).unwrap();
    assert_eq!(early.left_database(), None, "nothing was migrated");
}

#[test]
fn a_release_that_does_not_work_on_the_database_is_not_restored() {
    let mut promotion = migrating(Step::Prepare, Kind::Promote, old(6));
    promotion.apply(PromotionEvent::Done(done(Step::Prepare)), at(1)).unwrap();
    promotion.apply(failed(Step::Switch, true), at(2)).unwrap();
    let Stage::Ended(Ended::Stuck { blocked, .. }) = &promotion.stage else { panic!("{:?}", promotion.stage) };
    assert_eq!(blocked.code.as_str(), "E0420");
    for words in [
        "expects schema 6",
        "`sealift hold release production --reason \"…\"`",
        "`sealift record database --in production --schema 6 --reason \"…\"`",
    ] {
        assert!(blocked.message.contains(words), "{words}: {}", blocked.message);
    }
}
