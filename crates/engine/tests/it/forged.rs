//! Whoever has the log's key can write anything into the log. Consent that nobody gave is still none.

use sealift_domain::{
    approval::{Approval, ApprovalStatement, Decision as Verdict, Proof, ProofKind},
    digest::Digest,
    event::{Event, PromotionChanged},
    freeze::{Freeze, FreezeRule},
    policy::OverrideRule,
    promotion::{FreezeOverride, Kind, PromotionEvent, PromotionId, Status, Step},
    quantity::Period,
};
use sealift_engine::{
    audit,
    book::{Decision, Draft},
    decide,
    ports::clock::Clock,
};

use super::{
    stubs::{NoSignatures, Stage, environment, nonce, proof},
    waiting::{approve, staged, with_approval},
};

/// Writes an event as the program itself would, with objects beside the log.
async fn write(stage: &Stage, id: PromotionId, change: PromotionEvent, evidence: Vec<Vec<u8>>) {
    let changed = PromotionChanged { promotion: id, lease: None, cost: None, change };
    let event = Event::Promotion(Box::new(changed));
    let draft = || Draft { event: event.clone(), evidence: evidence.clone() };
    stage.book().await.commit(|_| Ok(Decision { drafts: vec![draft()], value: () })).await.unwrap();
}

/// What ana would have signed.
async fn statement(stage: &Stage, id: PromotionId) -> ApprovalStatement {
    let ledger = stage.book().await.ledger().await.unwrap();
    let ana = "ana".parse().unwrap();
    decide::statement(&ledger, id, &ana, (Verdict::Approve, None), stage.clock.now(), nonce("n")).unwrap()
}

async fn refused_by_the_audit(stage: &Stage) -> String {
    let audited = audit::verify(&stage.book().await, &NoSignatures, None).await;
    audited.map(|report| format!("{report:?}")).unwrap_err().to_string()
}

#[tokio::test]
async fn attack_15_consent_without_its_signature_is_no_consent_and_is_found_by_the_audit() {
    let (other, missing, forged) = (b"{}".to_vec(), b"missing".to_vec(), b"forged".to_vec());
    for (objects, stored, words) in [
        (None, [true, true], None),
        (Some((None, missing.clone())), [true, false], Some("nothing proves an approval")),
        (Some((None, missing.clone())), [false, true], Some("nothing proves an approval")),
        (Some((None, missing)), [false, false], Some("nothing proves an approval")),
        (Some((None, forged)), [true, true], Some("the signature of an approval does not hold")),
        (Some((Some(other), b"signature".to_vec())), [true, true], Some("an approval is not what was signed")),
    ] {
        let stage = staged(with_approval()).await;
        let id = stage.ask(Kind::Promote, 1, "production").await;
        assert_eq!(stage.run(id).await, Status::Pending);
        let Some((signed, signature)) = objects else {
            approve(&stage, id).await;
            assert_eq!(stage.run(id).await, Status::Completed);
            audit::verify(&stage.book().await, &NoSignatures, None).await.unwrap();
            continue;
        };
        let statement = statement(&stage, id).await;
        let signed = signed.unwrap_or_else(|| serde_json::to_vec(&statement).unwrap());
        let proof = Proof::Sshsig {
            key: "ssh-ed25519 AAAA".into(),
            statement: Digest::of(&signed),
            signature: Digest::of(&signature),
        };
        let approval = Approval { statement, proof, at: stage.clock.now(), revoked: None };
        let kept = [signed, signature].into_iter().zip(stored).filter(|(_, stored)| *stored).map(|(bytes, _)| bytes);
        write(&stage, id, PromotionEvent::Approved(approval), kept.collect()).await;
        assert_eq!(stage.run(id).await, Status::Pending, "{words:?} {stored:?}");
        assert_eq!(stage.script.count(Step::Copy), 0);
        let why = refused_by_the_audit(&stage).await;
        assert!(why.contains(words.unwrap()), "{why}");
    }
}

#[tokio::test]
async fn attack_15_a_freeze_that_nobody_overrode_by_signature_stays() {
    let mut policy = with_approval();
    let rules = policy.environments.get_mut(&environment("production")).unwrap();
    let roles = rules.approval.take().unwrap().roles;
    rules.freeze_override = Some(OverrideRule { roles, count: 1 });
    let from = "2026-01-01T00:00:00Z".parse().unwrap();
    let freeze = Freeze { from, until: Period::from_secs(86_400).after(from), reason: "sale".into() };
    rules.freezes = vec![FreezeRule::Once(freeze.clone())];
    let stage = staged(policy).await;
    let id = stage.ask(Kind::Promote, 1, "production").await;
    assert_eq!(stage.run(id).await, Status::Pending);
    let given =
        FreezeOverride { by: "ana".parse().unwrap(), freeze: freeze.digest(), reason: "urgent".into(), proof: proof() };
    write(&stage, id, PromotionEvent::FreezeOverridden(given), Vec::new()).await;
    assert_eq!(stage.run(id).await, Status::Pending);
    assert_eq!(stage.script.count(Step::Copy), 0);
    assert!(refused_by_the_audit(&stage).await.contains("nothing proves a statement"));
}

#[tokio::test]
async fn attack_15_a_comment_that_nobody_wrote_is_no_consent() {
    let mut policy = with_approval();
    let rules = policy.environments.get_mut(&environment("production")).unwrap();
    rules.approval.as_mut().unwrap().accepts = [ProofKind::GithubComment].into();
    for (case, proven) in [("nothing stored", false), ("another code", false), ("another's account", true)] {
        let stage = staged(policy.clone()).await;
        let id = stage.ask(Kind::Promote, 1, "production").await;
        assert_eq!(stage.run(id).await, Status::Pending);
        let mut statement = statement(&stage, id).await;
        statement.nonce = "github-comment-11".into();
        let code = if case == "another code" { "0".repeat(32) } else { statement.binding().code().to_string() };
        let (at, user) = (statement.issued_at, serde_json::json!({"login": "eve", "id": 7, "type": "User"}));
        let delivery = serde_json::json!({
            "action": "created",
            "comment": {
                "id": 11, "body": format!("/sealift approve {code}"), "user": user, "created_at": at, "updated_at": at,
            },
            "repository": {"full_name": "acme/web", "html_url": "https://github.com/acme/web"},
            "sender": user,
        });
        let delivery = delivery.to_string().into_bytes();
        let proof = Proof::GithubComment { comment: 11, author: 7, delivered_at: at, delivery: Digest::of(&delivery) };
        let approval = Approval { statement, proof, at: stage.clock.now(), revoked: None };
        let kept = if case == "nothing stored" { Vec::new() } else { vec![delivery] };
        write(&stage, id, PromotionEvent::Approved(approval), kept).await;
        assert_eq!(stage.run(id).await, Status::Pending, "{case}");
        assert_eq!(stage.script.count(Step::Copy), 0, "{case}");
        // That the words were said by that account is all that an audit can tell.
        let audited = audit::verify(&stage.book().await, &NoSignatures, None).await;
        assert_eq!(audited.is_ok(), proven, "{case}: {audited:?}");
    }
}
