//! The expedited way: what is waived is one finding, and everything else stays as it is.

use sealift_domain::{
    failure::Code,
    gate::{Finding, Judged, Verdict},
    policy::{Excluded, Expedited, Policy},
    promotion::{Kind, PromotionId, Requester, Status, Step},
    quantity::Period,
};
use sealift_engine::{
    gather::Gathered,
    judge,
    ports::clock::Clock,
    proven::Proven,
    request::{self, Ask},
};

use super::{
    stubs::{Stage, artifact_says, attesting, environment, key, policy, release},
    waiting::{approve, staged, with_approval},
};

/// Production takes images of at most a byte, and whoever approves can waive that.
fn waivable() -> Policy {
    let mut policy = with_approval();
    let rules = policy.environments.get_mut(&environment("production")).unwrap();
    rules.gates = serde_json::from_value(serde_json::json!({"max_size": "1B"})).unwrap();
    rules.expedited = Some(Expedited {
        roles: rules.approval.as_ref().unwrap().roles.clone(),
        count: 1,
        waive: ["max_size".to_owned()].into(),
        follow_up: Period::from_secs(86_400),
        expires: None,
    });
    policy
}

async fn ask(stage: &Stage) -> PromotionId {
    let ask = Ask {
        kind: Kind::Promote,
        from: None,
        to: environment("production"),
        release: release(1),
        by_hand: false,
        requester: Requester::Unknown,
        proof: Vec::new(),
        reason: Some("cannot wait".into()),
        run_id: None,
        expedited: true,
    };
    request::ask(&stage.book().await, &ask).await.unwrap().id()
}

fn found(gate: &str, verdict: Verdict, waived: bool) -> Judged {
    let finding = Finding { verdict, evidence: Vec::new() };
    Judged { gate: gate.into(), code: Code::new("G100"), version: 1, finding, waived }
}

#[test]
fn attack_09_a_waiver_of_one_finding_is_none_of_another() {
    let fail = |reason: &str| Verdict::Fail { reason: reason.into(), remedy: "mend it".into(), clears_at: None };
    let error = |reason: &str| Verdict::Error { reason: reason.into(), remedy: "mend it".into() };
    let bound = |judged: Judged| judge::evidence_digest(&[judged], None);
    let waived = |verdict: Verdict| bound(found("vulnerabilities", verdict, true));
    let one = waived(fail("CVE-1 is high"));
    assert_eq!(one, waived(fail("CVE-1 is high")));
    let mut newer = found("vulnerabilities", fail("CVE-1 is high"), true);
    newer.version = 2;
    for other in [
        waived(fail("CVE-2 is critical")),
        waived(error("CVE-1 is high")),
        waived(Verdict::Pass { found: "CVE-1 is high".into() }),
        bound(found("licenses", fail("CVE-1 is high"), true)),
        bound(newer),
    ] {
        assert_ne!(one, other);
    }
    let until = |words: &str, second: i64| {
        let clears_at = Some(jiff::Timestamp::from_second(second).unwrap());
        let verdict = Verdict::Fail { reason: words.into(), remedy: "wait".into(), clears_at };
        bound(found("soak", verdict, true))
    };
    assert_eq!(until("1h of 2h", 7200), until("1h 1m of 2h", 7200), "what the clock changes is no other finding");
    assert_ne!(until("1h of 2h", 7200), until("1h of 2h", 7201));
}

#[tokio::test]
async fn attack_09_a_gate_that_could_not_be_judged_is_not_waived() {
    let stage = staged(waivable()).await;
    let id = ask(&stage).await;
    let ledger = stage.book().await.ledger().await.unwrap();
    // Nothing was gathered, so no image was read.
    let promotion = &ledger.promotions[&id];
    let facts = judge::facts(&ledger, promotion, Gathered::default(), stage.clock.now()).unwrap();
    let judgement = judge::judge(&ledger, promotion, &facts, None, (false, &Proven::default())).unwrap();
    let size = judgement.gates.iter().find(|judged| judged.gate == "max_size").unwrap();
    assert!(matches!(size.finding.verdict, Verdict::Error { .. }), "{size:?}");
    assert!(!size.waived && !size.admits());
}

#[tokio::test]
async fn what_is_waived_is_attested_as_waived() {
    let stage = staged(attesting(waivable(), "production")).await;
    stage.script.keys.lock().unwrap().push(key("production"));
    let id = ask(&stage).await;
    assert_eq!(stage.run(id).await, Status::Pending);
    approve(&stage, id).await;
    assert_eq!(stage.run(id).await, Status::Completed);
    let attached = stage.script.attached.lock().unwrap();
    let says = |(.., artifact): &(_, _, _)| artifact_says(artifact, r#"\"verdict\":\"waived\""#);
    assert_eq!(attached.iter().filter(|attached| says(attached)).count(), 2, "admitted and verified");
}

#[tokio::test]
async fn a_follow_up_is_open_for_what_went_live_and_for_nothing_else() {
    for (step, open) in [(Step::Migrate, false), (Step::Prepare, false), (Step::Verify, true), (Step::Retire, true)] {
        let stage = staged(waivable()).await;
        let id = ask(&stage).await;
        assert_eq!(stage.run(id).await, Status::Pending);
        approve(&stage, id).await;
        stage.fail(step, 1);
        stage.run(id).await;
        let ledger = stage.book().await.ledger().await.unwrap();
        assert!(ledger.promotions[&id].has_ended(), "{step}");
        assert_eq!(ledger.promotions[&id].follow_up.is_some(), open, "{step}");
    }
}

#[tokio::test]
async fn a_rollback_is_approved_although_nobody_knows_who_wrote_the_old_commit() {
    let stage = Stage::new(policy()).await;
    stage.bring(1).await;
    stage.bring(2).await;
    let mut changed = with_approval();
    let rules = changed.environments.get_mut(&environment("production")).unwrap();
    let rule = rules.approval.as_mut().unwrap();
    rule.not = [Excluded::Author, Excluded::Committer, Excluded::Actor].into();
    stage.accept(changed).await;
    let id = stage.ask(Kind::Rollback, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    approve(&stage, id).await;
    assert_eq!(stage.run(id).await, Status::Completed);
}
