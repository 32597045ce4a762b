//! What persons sign is anybody's to bring, and nobody's to invent: it would say whose facts count.

use std::collections::BTreeMap;

use sealift_domain::{
    approval::Proof,
    digest::Digest,
    event::{Event, HoldReleased, PolicyAccepted, PromotionChanged},
    freeze::HoldScope,
    name::PersonId,
    personal::{Personal, Salt},
    policy::{ApprovalRule, Contact, Person, Policy},
    promotion::PromotionEvent,
};
use sealift_engine::{
    init::{self, Acceptance},
    ports::writer::Writer,
};

use super::{Keys, append, become_writer, entry, next, refused, staged_with, tampered};
use crate::stubs::{NoSignatures, Stage, environment};

const KEY: &str = "ssh-ed25519 AAAA";

fn ana() -> PersonId {
    "ana".parse().unwrap()
}

/// The same policy with ana in it, whose key the stubs find in every signature.
fn with_ana(mut policy: Policy) -> Policy {
    policy.people = [(ana(), Person { roles: ["lead".parse().unwrap()].into(), ssh: [KEY.to_owned()].into() })].into();
    policy
}

/// The policy in force, but with the stranger's key for staging.
async fn opened_to_a_stranger(stage: &Stage, keys: &Keys) -> Policy {
    let mut policy = stage.book().await.ledger().await.unwrap().policy.clone().unwrap();
    policy.environments.get_mut(&environment("staging")).unwrap().writer.push(keys.stranger.key().unwrap());
    policy
}

async fn message(stage: &Stage, policy: &Policy) -> Vec<u8> {
    init::acceptance(&stage.book().await.ledger().await.unwrap(), policy, &BTreeMap::new()).unwrap()
}

/// Writes that a policy was accepted, by ana if there are objects: what she signed, and her signature.
async fn forge_policy(stage: &Stage, policy: Policy, objects: Option<[&[u8]; 2]>, stored: bool) {
    let signed = objects.map(|[statement, signature]| {
        let (statement, signature) = (Digest::of(statement), Digest::of(signature));
        (ana(), Proof::Sshsig { key: KEY.to_owned(), statement, signature })
    });
    let event = Event::PolicyAccepted(Box::new(PolicyAccepted {
        policy,
        contacts: BTreeMap::new(),
        accepted_by: signed.into_iter().collect(),
        registers: true,
        proposal: None,
    }));
    let sealed = entry(stage, event).seal().unwrap();
    let beside = objects.into_iter().flatten().filter(|_| stored).map(<[u8]>::to_vec);
    append(stage, sealed.leaf, sealed.objects.into_iter().chain(beside).collect(), false).await;
}

#[tokio::test]
async fn attack_26_a_policy_that_nobody_signed_gives_no_key_a_voice() {
    for (what, words) in [
        ("nobody", "nobody signed a `policy-accepted`"),
        ("nothing beside the log", "is not beside the log"),
        ("a bad signature", "the signature of an acceptance of a policy does not hold"),
        ("another policy", "an acceptance of a policy is not what was signed"),
        ("another change", "a policy was accepted in place of another one"),
        ("other contacts", "a policy was accepted in place of another one"),
    ] {
        let (stage, keys) = staged_with(with_ana).await;
        let policy = opened_to_a_stranger(&stage, &keys).await;
        let place = next(&stage).await;
        let right = message(&stage, &policy).await;
        let in_force = message(&stage, &stage.book().await.ledger().await.unwrap().policy.clone().unwrap()).await;
        let since = String::from_utf8(right.clone()).unwrap().replacen("\"since\":0", "\"since\":1", 1).into_bytes();
        assert_ne!(since, right);
        let github = Contact { email: None, github: Some(Personal::new("eve", Salt([2; 32]))) };
        let ledger = stage.book().await.ledger().await.unwrap();
        let accounts = init::acceptance(&ledger, &policy, &[(ana(), github)].into()).unwrap();
        let (objects, stored): (Option<[&[u8]; 2]>, bool) = match what {
            "nobody" => (None, true),
            "nothing beside the log" => (Some([&right, b"signature"]), false),
            "a bad signature" => (Some([&right, b"forged"]), true),
            "another policy" => (Some([&in_force, b"signature"]), true),
            "another change" => (Some([&since, b"signature"]), true),
            _ => (Some([&accounts, b"signature"]), true),
        };
        forge_policy(&stage, policy, objects, stored).await;
        let (told, at) = tampered(&stage, &keys).await;
        assert!(told.contains(words), "{what}: {told}");
        assert_eq!(at, place.index, "{what}");
    }
}

#[tokio::test]
async fn attack_26_a_policy_that_too_few_signed_gives_no_key_a_voice() {
    let (stage, keys) = staged_with(|policy| {
        let mut policy = with_ana(policy);
        policy.people.insert(
            "bo".parse().unwrap(),
            Person { ssh: ["ssh-ed25519 BBBB".to_owned()].into(), ..policy.people[&ana()].clone() },
        );
        let rule = serde_json::from_str::<ApprovalRule>(r#"{"roles": ["lead"], "count": 2}"#).unwrap();
        policy.environments.get_mut(&environment("production")).unwrap().approval = Some(rule);
        policy
    })
    .await;
    let policy = opened_to_a_stranger(&stage, &keys).await;
    let right = message(&stage, &policy).await;
    forge_policy(&stage, policy, Some([&right, b"signature"]), true).await;
    let (told, _) = tampered(&stage, &keys).await;
    assert!(told.contains("wants 2 of its approvers to sign a change, 1 did"), "{told}");
}

#[tokio::test]
async fn a_policy_that_its_people_signed_is_brought_by_any_run() {
    let (stage, keys) = staged_with(with_ana).await;
    let policy = opened_to_a_stranger(&stage, &keys).await;
    become_writer(&stage, keys.reader());
    let given = [Acceptance { signature: b"signature".to_vec() }];
    init::change(&stage.book().await, &NoSignatures, policy.clone(), BTreeMap::new(), &given).await.unwrap();
    assert_eq!(stage.book().await.ledger().await.unwrap().policy, Some(policy));
    assert!(refused(&stage, &keys).await.is_none());
}

#[tokio::test]
async fn attack_26_a_hold_is_not_released_in_the_name_of_a_person_who_did_not_sign() {
    let scope = || HoldScope::Environment(environment("production"));
    for (signature, by, words) in [
        (b"forged".as_slice(), Some(ana()), "the signature of a statement does not hold"),
        (b"signature", Some(ana()), "a statement is not what was signed"),
        (b"signature", None, "nobody signed a `hold-released`"),
    ] {
        let (stage, keys) = staged_with(with_ana).await;
        let placed = entry(&stage, super::hold("look first")).seal().unwrap();
        append(&stage, placed.leaf, placed.objects, false).await;
        let proof =
            Proof::Sshsig { key: KEY.to_owned(), statement: Digest::of(b"{}"), signature: Digest::of(signature) };
        let event = Event::HoldReleased(HoldReleased { scope: scope(), reason: "r".into(), by, proof: Some(proof) });
        let sealed = entry(&stage, event).seal().unwrap();
        let objects = sealed.objects.into_iter().chain([b"{}".to_vec(), signature.to_vec()]).collect();
        append(&stage, sealed.leaf, objects, false).await;
        let (told, _) = tampered(&stage, &keys).await;
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test]
async fn attack_26_a_follow_up_is_not_closed_in_the_name_of_a_person_who_did_not_sign() {
    let (stage, keys) = staged_with(with_ana).await;
    let promotion = *stage.book().await.ledger().await.unwrap().promotions.keys().next().unwrap();
    let proof = Proof::Sshsig { key: KEY.to_owned(), statement: Digest::of(b"{}"), signature: Digest::of(b"forged") };
    let change = PromotionEvent::FollowUpClosed { by: ana(), reason: "done".into(), proof };
    let event = Event::Promotion(Box::new(PromotionChanged { promotion, lease: None, cost: None, change }));
    let sealed = entry(&stage, event).seal().unwrap();
    let objects = sealed.objects.into_iter().chain([b"{}".to_vec(), b"forged".to_vec()]).collect();
    append(&stage, sealed.leaf, objects, false).await;
    let (told, _) = tampered(&stage, &keys).await;
    assert!(told.contains("the signature of a statement does not hold"), "{told}");
}
