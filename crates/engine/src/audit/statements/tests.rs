use std::collections::BTreeMap;

use sealift_domain::{
    approval::STATEMENT_VERSION,
    event::{HoldPlaced, HoldReleased},
    freeze::{Hold, HoldScope},
    policy::Person,
};

use super::*;

/// Believes every signature in the right namespace.
struct Believes(&'static str);

impl Signatures for Believes {
    fn verify(&self, _: &str, namespace: &str, _: &[u8], _: &[u8]) -> Result<(), String> {
        if namespace == self.0 { Ok(()) } else { Err(format!("made for {namespace}")) }
    }

    fn key_of(&self, _: &[u8]) -> Result<String, String> {
        Ok("key".to_owned())
    }
}

fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

fn policy() -> Policy {
    let one = |id: &str| (person(id), Person { roles: Default::default(), ssh: [id.to_owned()].into() });
    Policy {
        app: "shop".parse().unwrap(),
        source: None,
        people: [one("ana"), one("bo")].into(),
        identities: Vec::new(),
        environments: BTreeMap::new(),
        notify: BTreeMap::new(),
    }
}

fn proof(key: &str) -> Proof {
    Proof::Sshsig { key: key.to_owned(), statement: Digest::of(b"s"), signature: Digest::of(b"g") }
}

fn signed(act: Act, by: &str, reason: &str) -> Vec<u8> {
    let statement = ActStatement {
        v: STATEMENT_VERSION,
        app: "shop".parse().unwrap(),
        act,
        person: person(by),
        reason: reason.to_owned(),
        issued_at: Timestamp::UNIX_EPOCH,
        nonce: "n".to_owned(),
    };
    serde_json::to_vec(&statement).unwrap()
}

/// Whether the one claim of an event holds, if these bytes were signed.
fn verified(event: &Event, message: &[u8]) -> Result<(), String> {
    let claims = of(event);
    assert_eq!(claims.len(), 1);
    let objects = [message.to_vec(), b"signature".to_vec()];
    claims[0].verify(&Believes(ACT_NAMESPACE), Some(&policy()), &objects, Timestamp::UNIX_EPOCH)
}

fn scope() -> HoldScope {
    HoldScope::Environment("production".parse().unwrap())
}

fn placed(by: &str, key: &str, reason: &str) -> Event {
    let hold = Hold { scope: scope(), reason: reason.to_owned(), by: Some(person(by)) };
    Event::HoldPlaced(HoldPlaced { hold, proof: Some(proof(key)) })
}

#[test]
fn an_event_says_what_was_signed_by_whom_it_names_with_a_key_of_theirs() {
    let message = signed(Act::PlaceHold { scope: scope() }, "ana", "holiday");
    assert_eq!(verified(&placed("ana", "ana", "holiday"), &message), Ok(()));
    for (event, why) in [
        (placed("ana", "ana", "another reason"), "not what was signed"),
        (placed("bo", "bo", "holiday"), "not what was signed"),
        (placed("ana", "bo", "holiday"), "not its author's"),
        (placed("ana", "a key of nobody", "holiday"), "not its author's"),
        (placed("eve", "ana", "holiday"), "not its author's"),
    ] {
        let wrong = verified(&event, &message).unwrap_err();
        assert!(wrong.contains(why), "{wrong}");
    }
    // Released with the signature under placing it.
    let released = HoldReleased {
        scope: scope(),
        reason: "holiday".to_owned(),
        by: Some(person("ana")),
        proof: Some(proof("ana")),
    };
    let wrong = verified(&Event::HoldReleased(released), &message).unwrap_err();
    assert!(wrong.contains("not what was signed"), "{wrong}");
    assert!(verified(&placed("ana", "ana", "holiday"), b"{}").is_err());
}

#[test]
fn a_signature_in_another_namespace_and_a_proof_that_nothing_verifies_do_not_hold() {
    let message = signed(Act::PlaceHold { scope: scope() }, "ana", "holiday");
    let event = placed("ana", "ana", "holiday");
    let objects = [message, b"signature".to_vec()];
    let claims = of(&event);
    let at = Timestamp::UNIX_EPOCH;
    let elsewhere = claims[0].verify(&Believes(APPROVAL_NAMESPACE), Some(&policy()), &objects, at).unwrap_err();
    assert!(elsewhere.contains("does not hold"), "{elsewhere}");
    assert!(claims[0].verify(&Believes(ACT_NAMESPACE), None, &objects, at).is_err(), "there was no policy then");
    let review = Proof::GithubComment { comment: 1, author: 2, delivered_at: at, delivery: Digest::of(b"d") };
    let claim = Claim::new(claims[0].who, &review, Said::Policy(None));
    assert!(claim.verify(&Believes(POLICY_NAMESPACE), Some(&policy()), &objects, at).is_err());
}

#[test]
fn what_nobody_signed_is_no_claim() {
    let hold = Hold { scope: scope(), reason: "it failed".to_owned(), by: None };
    assert!(of(&Event::HoldPlaced(HoldPlaced { hold, proof: None })).is_empty());
    for kind in ["hold-placed", "promotion.revoked", "policy-signed"] {
        assert!(is_signed(kind), "{kind}");
    }
    assert!(!is_signed("lease-taken"));
}
