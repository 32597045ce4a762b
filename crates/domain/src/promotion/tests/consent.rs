//! Taking consent back, freezes that are overridden, and what an expedited promotion leaves to be done.

use super::{
    super::{Cause, Ended, FreezeOverride, Intent, Kind, Next, Promotion, PromotionEvent, Stage, Status, Step},
    catalogue::{ID, admit, approval_wanted, done, judgement},
};
use crate::{
    approval::Decision,
    quantity::Period,
    testing::{approval, at, digest, judged, person, proof, request},
};

fn approved(who: &str) -> PromotionEvent {
    PromotionEvent::Approved(approval(ID, who, Decision::Approve))
}

fn revoked(who: &str) -> PromotionEvent {
    let mut revocation = approval(ID, who, Decision::Revoke);
    revocation.statement.nonce = format!("revocation of {who}");
    PromotionEvent::Revoked(revocation)
}

/// Approved by these, of whom `needed` are wanted, and at this step.
fn at_step(by: &[&str], needed: u32, step: Step) -> Promotion {
    let mut promotion = Promotion::request(ID, request(Kind::Promote), at(0));
    promotion.apply(judgement(true, Next::Wait(approval_wanted())), at(1)).unwrap();
    for who in by {
        promotion.apply(approved(who), at(1)).unwrap();
    }
    let consent = by.iter().map(|id| person(id)).collect();
    promotion.apply(judgement(true, Next::Admit { consent, needed, follow_up: None }), at(2)).unwrap();
    while promotion.intent() != Intent::Perform(step) {
        let Intent::Perform(now) = promotion.intent() else { panic!("never at {step}") };
        promotion.apply(PromotionEvent::Done(done(now)), at(3)).unwrap();
    }
    promotion
}

#[test]
fn attack_10_consent_that_is_taken_back_before_work_began_is_waited_for_again() {
    let mut promotion = Promotion::request(ID, request(Kind::Promote), at(0));
    promotion.apply(judgement(true, Next::Wait(approval_wanted())), at(1)).unwrap();
    assert!(promotion.apply(revoked("bo"), at(1)).is_err(), "there is nothing to take back");
    promotion.apply(approved("bo"), at(2)).unwrap();
    promotion.apply(revoked("bo"), at(3)).unwrap();
    assert_eq!((promotion.intent(), promotion.approvals[0].revoked), (Intent::Judge, Some(at(3))));
    // What was signed once is not used again; a new signature is.
    let again = promotion.apply(approved("bo"), at(4)).unwrap_err().to_string();
    assert!(again.contains("used before"), "{again}");
    let mut anew = approval(ID, "bo", Decision::Approve);
    anew.statement.nonce = "another".into();
    promotion.apply(PromotionEvent::Approved(anew), at(5)).unwrap();
    assert_eq!(promotion.approvals[1].revoked, None);
}

#[test]
fn attack_10_consent_that_is_taken_back_before_the_switch_ends_the_promotion() {
    for step in [Step::Copy, Step::TagImmutable, Step::RecordUndo, Step::Migrate, Step::Prepare] {
        let mut promotion = at_step(&["bo"], 1, step);
        promotion.apply(revoked("bo"), at(9)).unwrap();
        // The step under way is waited for, and no further one begins.
        promotion.apply(PromotionEvent::Done(done(step)), at(10)).unwrap();
        if step == Step::Prepare {
            assert_eq!(promotion.intent(), Intent::Perform(Step::Discard), "what was started is removed");
            promotion.apply(PromotionEvent::Done(done(Step::Discard)), at(11)).unwrap();
        }
        assert_eq!(promotion.status(), Status::Cancelled, "{step}");
        let Stage::Ended(Ended::Cancelled { by, reason, .. }) = &promotion.stage else { panic!("cancelled") };
        assert_eq!((by, reason.as_str()), (&Some(person("bo")), "bo took the approval back"));
    }
}

#[test]
fn consent_is_gone_when_too_few_are_left_and_not_before() {
    let mut promotion = at_step(&["ana", "bo", "cy"], 2, Step::Prepare);
    promotion.apply(revoked("ana"), at(9)).unwrap();
    assert!(matches!(promotion.stage, Stage::Forward { cancel: None, .. }), "two are left");
    promotion.apply(revoked("cy"), at(9)).unwrap();
    let Stage::Forward { cancel: Some(Cause::Withdrawn { by, .. }), .. } = &promotion.stage else { panic!("it ends") };
    assert_eq!(by, &Some(person("cy")));
    // An old log does not say how many were wanted: then all who consented were.
    let mut old = at_step(&["ana", "bo"], 0, Step::Prepare);
    old.apply(revoked("ana"), at(9)).unwrap();
    assert!(matches!(old.stage, Stage::Forward { cancel: Some(_), .. }));
}

#[test]
fn once_the_switch_has_begun_nothing_is_taken_back() {
    for step in [Step::Switch, Step::Verify, Step::MoveTags, Step::Retire] {
        let why = at_step(&["bo"], 1, step).apply(revoked("bo"), at(9)).unwrap_err().to_string();
        assert!(why.contains("roll back instead"), "{why}");
    }
}

#[test]
fn a_gate_is_waived_for_an_expedited_promotion_only_and_leaves_something_to_do() {
    let waived = || {
        let mut failing = judged(false);
        failing.waived = true;
        let PromotionEvent::Judged(mut judgement) = admit(true) else { panic!("a judgement") };
        judgement.gates = vec![judged(true), failing];
        judgement.next = Next::Admit { consent: vec![person("cy")], needed: 1, follow_up: Some(Period::from_secs(60)) };
        PromotionEvent::Judged(judgement)
    };
    let mut usual = Promotion::request(ID, request(Kind::Promote), at(0));
    let why = usual.apply(waived(), at(1)).unwrap_err().to_string();
    assert!(why.contains("only an expedited promotion"), "{why}");

    let mut expedited = request(Kind::Promote);
    expedited.expedited = true;
    let mut promotion = Promotion::request(ID, expedited, at(0));
    promotion.apply(waived(), at(1)).unwrap();
    let follow_up = promotion.follow_up.clone().unwrap();
    assert_eq!((follow_up.due, follow_up.closed), (at(61), None));
    assert!(follow_up.waived.contains("order"));
    assert!(!promotion.judged[1].passed() && promotion.judged[1].admits(), "the verdict stays what it is");

    // It is closed once, and long after the end, which stays when it was.
    for step in Step::FORWARD {
        promotion.apply(PromotionEvent::Done(done(step)), at(5)).unwrap();
    }
    let close = || PromotionEvent::FollowUpClosed { by: person("bo"), reason: "scanned".into(), proof: proof("bo") };
    promotion.apply(close(), at(100)).unwrap();
    assert_eq!(promotion.ended_at(), Some(at(5)));
    assert_eq!(promotion.follow_up.as_ref().unwrap().closed.as_ref().unwrap().by, person("bo"));
    assert!(promotion.apply(close(), at(101)).is_err());
}

#[test]
fn a_freeze_is_overridden_while_the_promotion_waits_and_by_each_person_once() {
    let given = |who: &str| {
        PromotionEvent::FreezeOverridden(FreezeOverride {
            freeze: digest("freeze"),
            by: person(who),
            reason: "fix".into(),
            proof: proof(who),
        })
    };
    let mut promotion = Promotion::request(ID, request(Kind::Promote), at(0));
    promotion.apply(given("ana"), at(1)).unwrap();
    assert!(promotion.apply(given("ana"), at(2)).is_err());
    promotion.apply(given("bo"), at(2)).unwrap();
    assert_eq!((promotion.overrides.len(), promotion.intent()), (2, Intent::Judge));
    assert!(at_step(&["bo"], 1, Step::Copy).apply(given("cy"), at(9)).is_err());
}
