//! Every kind of event, and a representative of every state.

use std::collections::BTreeMap;

use super::super::{
    Attachment, Attested, Cause, Done, Ended, Judgement, Kind, Next, Promotion, PromotionEvent, PromotionId, Stage,
    Step, VerificationSummary, Wait,
};
use crate::{
    approval::Decision,
    name::ComponentName,
    schema::{AfterMigration, Expected, Schema},
    testing::{approval, at, digest, failure, judged, person, proof, request, running, undo},
    undo::{Observed, Undo},
};

pub(super) const ID: PromotionId = PromotionId(7);

/// Every step, those forward first.
pub(super) const STEPS: [Step; 16] = [
    Step::Copy,
    Step::Admit,
    Step::TagImmutable,
    Step::RecordUndo,
    Step::Migrate,
    Step::Prepare,
    Step::Switch,
    Step::Verify,
    Step::AttestVerified,
    Step::MoveTags,
    Step::Retire,
    Step::Discard,
    Step::Restore,
    Step::ConfirmRestored,
    Step::RestoreTags,
    Step::WithdrawAdmission,
];

pub(super) fn promotion(kind: Kind, stage: Stage, previous: Option<Observed>) -> Promotion {
    Promotion { stage, undo: previous.map(undo), ..Promotion::request(ID, request(kind), at(0)) }
}

pub(super) fn forward(step: Step, cancelled: bool) -> Stage {
    Stage::Forward { step, cancel: cancelled.then(withdrawal) }
}

pub(super) fn withdrawal() -> Cause {
    Cause::Withdrawn { by: Some(person("bo")), reason: "not today".into() }
}

pub(super) fn approval_wanted() -> Wait {
    Wait::Approval { until: at(3600), missing: 1 }
}

pub(super) fn condition() -> Wait {
    Wait::Condition { until: at(60), reason: "soak".into() }
}

/// A representative of every state, named.
pub(super) fn states() -> Vec<(String, Stage)> {
    let mut states = vec![
        ("judging".into(), Stage::Judging),
        ("waiting for approval".into(), Stage::Waiting(approval_wanted())),
        ("waiting for a condition".into(), Stage::Waiting(condition())),
    ];
    for step in Step::FORWARD {
        states.push((format!("at {step}"), forward(step, false)));
        states.push((format!("at {step}, withdrawn"), forward(step, true)));
    }
    for step in [Step::Discard, Step::Restore, Step::ConfirmRestored, Step::RestoreTags] {
        let cause = Cause::Failed { step: Step::Verify, failure: failure("it broke") };
        states.push((format!("back at {step}, failed"), Stage::Back { step, cause }));
        states.push((format!("back at {step}, withdrawn"), Stage::Back { step, cause: withdrawal() }));
    }
    let (cancelled, stuck) = (
        Ended::Cancelled { reason: "no".into(), by: None, superseded_by: None },
        Ended::Stuck { failure: failure("it broke"), blocked: failure("no way back") },
    );
    for ended in [
        Ended::Completed { leftover: None },
        Ended::Failed { failure: failure("it broke"), leftover: None },
        Ended::RolledBack { failure: failure("it broke") },
        cancelled,
        stuck,
    ] {
        let stage = Stage::Ended(ended);
        states.push((format!("over: {}", promotion(Kind::Promote, stage.clone(), None).status()), stage));
    }
    states
}

/// A promotion that attests, named by its state.
pub(super) fn attesting_states() -> Vec<(String, Promotion)> {
    let attesting = |stage, previous| Promotion {
        attested: Some(Attested::default()),
        definition: None,
        ..promotion(Kind::Promote, stage, Some(previous))
    };
    let old = || running("old");
    let mut states: Vec<_> = Step::ATTESTING
        .into_iter()
        .map(|step| (format!("at {step}"), attesting(forward(step, false), old())))
        .collect();
    for step in Step::ATTESTING.into_iter().filter(|step| !step.touches_live()) {
        states.push((format!("at {step}, withdrawn"), attesting(forward(step, true), old())));
    }
    let (failure, blocked) = (failure("it broke"), failure("no way back"));
    let causes = [
        ("withdrawn", withdrawal()),
        ("failed at tag", Cause::Failed { step: Step::TagImmutable, failure: failure.clone() }),
        ("failed at prepare", Cause::Failed { step: Step::Prepare, failure: failure.clone() }),
        ("failed at verify", Cause::Failed { step: Step::Verify, failure: failure.clone() }),
        ("blocked", Cause::Blocked { failure, blocked }),
    ];
    for (name, cause) in causes {
        let step = Step::WithdrawAdmission;
        states.push((format!("back at {step}, {name}"), attesting(Stage::Back { step, cause }, old())));
    }
    let with_candidate = Stage::Back { step: Step::WithdrawAdmission, cause: withdrawal() };
    let candidate = Promotion { definition: Some(digest("definition")), ..attesting(with_candidate, old()) };
    states.push(("back at withdraw admission, withdrawn with a candidate".into(), candidate));
    for step in [Step::Restore, Step::ConfirmRestored, Step::RestoreTags] {
        let cause = Cause::Failed { step: Step::Verify, failure: crate::testing::failure("it broke") };
        states.push((format!("back at {step}, failed at verify"), attesting(Stage::Back { step, cause }, old())));
    }
    states
}

/// An attachment for every image of `new`.
pub(super) fn attachments() -> BTreeMap<ComponentName, Attachment> {
    let (statement, envelope, manifest) = (digest("statement"), digest("envelope"), digest("manifest"));
    [(ComponentName::only(), Attachment { statement, envelope, manifest })].into()
}

pub(super) fn judgement(passed: bool, next: Next) -> PromotionEvent {
    let gates = vec![judged(true), judged(passed)];
    PromotionEvent::Judged(Judgement {
        gates,
        evidence: digest("evidence"),
        policy: digest("policy 2"),
        next,
        schema: None,
        attests: false,
        facts: None,
        objects: std::collections::BTreeSet::new(),
    })
}

pub(super) fn admit(passed: bool) -> PromotionEvent {
    judgement(passed, Next::Admit { consent: vec![person("cy")], needed: 0, follow_up: None })
}

pub(super) fn failed(step: Step, automatic: bool) -> PromotionEvent {
    PromotionEvent::Failed { step, failure: failure("it broke"), automatic, untouched: false }
}

/// What `step` leaves when it goes well, where `old` runs and `new` is to run.
pub(super) fn done(step: Step) -> Done {
    let summary = VerificationSummary { passed: 2, requests: 100, failed: 0, longest_gap_ms: 3, report: None };
    match step {
        Step::Copy => Done::Copy { bytes: 9, copied: 2, mounted: 1, skipped: 0, tries: 1 },
        Step::Admit => Done::Admit { attestations: attachments() },
        Step::TagImmutable => Done::TagImmutable { tags: BTreeMap::new() },
        Step::RecordUndo => Done::RecordUndo(undo(running("old"))),
        Step::Migrate => Done::Migrate { ran: true, output: None },
        Step::Prepare => Done::Prepare { definition: digest("definition") },
        Step::Switch => Done::Switch { running: running("new") },
        Step::Verify => Done::Verify(summary),
        Step::AttestVerified => Done::AttestVerified { attestations: attachments() },
        Step::MoveTags => Done::MoveTags { tags: BTreeMap::new(), unmoved: BTreeMap::new() },
        Step::Retire => Done::Retire,
        Step::Discard => Done::Discard,
        Step::Restore => Done::Restore { running: running("old") },
        Step::ConfirmRestored => Done::ConfirmRestored(summary),
        Step::RestoreTags => Done::RestoreTags { left: Vec::new(), unmoved: BTreeMap::new() },
        Step::WithdrawAdmission => Done::WithdrawAdmission { left: BTreeMap::new() },
    }
}

/// Every event that is not about a step, named.
pub(super) fn decisions() -> Vec<(&'static str, PromotionEvent)> {
    let reason = || "not today".to_owned();
    vec![
        ("requested", PromotionEvent::Requested(request(Kind::Promote))),
        ("admit", admit(true)),
        ("admit, gate fails", admit(false)),
        ("ask", judgement(true, Next::Wait(approval_wanted()))),
        ("ask, gate fails", judgement(false, Next::Wait(approval_wanted()))),
        ("wait", judgement(false, Next::Wait(condition()))),
        ("refuse", judgement(false, Next::Refuse(failure("no")))),
        ("approved", PromotionEvent::Approved(approval(ID, "cy", Decision::Approve))),
        ("rejected", PromotionEvent::Rejected { by: person("bo"), reason: reason(), proof: proof("bo") }),
        ("withdrawn", PromotionEvent::Withdrawn { by: Some(person("bo")), reason: reason() }),
        ("superseded", PromotionEvent::Superseded { by: PromotionId(8) }),
        ("by an older", PromotionEvent::Superseded { by: PromotionId(6) }),
        ("lapsed", PromotionEvent::Lapsed),
    ]
}

/// Every event there is, those about steps in all their forms.
pub(super) fn every_event() -> Vec<PromotionEvent> {
    let mut events: Vec<PromotionEvent> = decisions().into_iter().map(|(_, event)| event).collect();
    for step in STEPS {
        events.push(PromotionEvent::Done(done(step)));
        events.extend([failed(step, true), failed(step, false)]);
    }
    let unknown = || Observed::Unknown { what: "a container without a digest".into() };
    for observed in [running("other"), Observed::Nothing, unknown()] {
        events.push(PromotionEvent::Done(Done::RecordUndo(undo(observed.clone()))));
        events.push(PromotionEvent::Done(Done::Switch { running: observed.clone() }));
        events.push(PromotionEvent::Done(Done::Restore { running: observed }));
    }
    // Labels, and undo records that leave the way back open or closed.
    let database = Schema::new(8, 7).unwrap();
    if let PromotionEvent::Judged(judgement) = admit(true) {
        events.push(PromotionEvent::Judged(Judgement { attests: true, ..judgement.clone() }));
        events.push(PromotionEvent::Judged(Judgement { schema: Some(database), ..judgement }));
    }
    for expects in [7, 6] {
        let previous = Expected::Schema(Schema::new(expects, expects).unwrap());
        let after = Some(AfterMigration { database, previous });
        events.push(PromotionEvent::Done(Done::RecordUndo(Undo { database: after, ..undo(running("old")) })));
    }
    events.push(PromotionEvent::Approved(approval(ID, "bo", Decision::Approve)));
    events.extend(["cy", "bo"].map(|who| PromotionEvent::Revoked(approval(ID, who, Decision::Revoke))));
    events
}
