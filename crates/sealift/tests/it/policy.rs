//! Whose policy counts: the one that was accepted in the log, not the file.

use sealift::wiring;
use sealift_domain::{
    approval::{APPROVAL_NAMESPACE, ApprovalStatement, Proof},
    promotion::PromotionId,
};
use sealift_engine::{act::Signed, decide};
use sealift_evidence::signer::{Dialogue, Signer};
use sealift_registry::image::Layer;

use crate::place::{Place, Ran};

const APPROVAL: &str = "    approval: {roles: [platform-lead], expires: 1h, not: [requester]}";
const ASK: [&str; 5] = ["promote", "--to", "production", "--identity", "keys/bob"];

fn staged() -> Place {
    let place = Place::initialised();
    place.build("1.0.0");
    place.to_staging();
    place
}

/// Refused because the file is not the policy, and nothing was written.
fn refused_as_foreign(place: &Place, ran: &Ran, entries: u64) {
    ran.ends(2).says("E0106").says("sealift policy diff");
    assert_eq!(place.ledger().size, entries);
    assert_eq!(place.answers("production"), None);
}

#[test]
fn an_approval_does_not_cover_what_is_edited_into_the_deployment_afterwards() {
    let place = staged();
    place.request();
    place.approve();
    place.edit("state: production, drain", "state: production, env: {DATABASE_URL: \"evil\"}, drain");
    place.run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(place.answers("production"), None, "nothing was started");
    place.edit("state: production, env: {DATABASE_URL: \"evil\"}, drain", "state: production, drain");
    place.run(&["promote", "--to", "production"]).ends(0);
}

#[test]
fn attack_25_whoever_edits_the_file_cannot_approve_himself() {
    let place = staged();
    let entries = place.ledger().size;
    let original = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    // Without the approval, with a further approver, with his own key in the place of another's.
    let eve = format!("  - {{id: eve, ssh: \"{}\", roles: [platform-lead]}}\nenvironments:", place.public_key("eve"));
    let swap = (place.public_key("ana"), place.public_key("eve"));
    let edits = [(APPROVAL, "    approval: none"), ("environments:", &eve), (&swap.0, &swap.1)];
    for (from, to) in edits {
        place.write("sealift.yaml", &original);
        place.edit(from, to);
        for command in [&ASK[..], &["approve", "--identity", "keys/eve"], &["check", "--to", "production"]] {
            refused_as_foreign(&place, &place.run(command), entries);
        }
    }
    place.write("sealift.yaml", &original);
    place.run(&ASK).ends(5);
}

#[test]
fn a_change_of_the_policy_wants_those_whom_the_present_policy_names() {
    let place = staged();
    let eve = format!("  - {{id: eve, ssh: \"{}\", roles: [platform-lead]}}\nenvironments:", place.public_key("eve"));
    place.edit("environments:", &eve);
    let before = place.ledger();
    let diff = place.json(&["policy", "diff"]);
    assert_eq!(diff["same"], false);
    assert!(diff["differences"][0].as_str().unwrap().starts_with("+ people.eve"), "{diff}");

    place.run(&["policy", "accept"]).ends(2).says("1 of its approvers to sign a change, 0 did");
    place.run(&["policy", "accept", "--identity", "keys/bob"]).ends(2).says("0 did");
    // Eve is in the file, and not in the policy.
    place.run(&["policy", "accept", "--identity", "keys/eve"]).ends(2).says("E0604");
    assert_eq!(place.ledger().policy, before.policy);
    assert_eq!(place.ledger().size, before.size);

    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    assert_eq!(place.json(&["policy", "diff"])["same"], true);
    place.run(&ASK).ends(5);
    place.run(&["approve", "--identity", "keys/eve"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(0);
    place.audited();
}

#[test]
fn an_approval_given_before_a_change_of_the_policy_no_longer_counts() {
    let place = staged();
    place.request();
    place.approve();
    place.edit("max_size: 100MB", "max_size: 200MB");
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(place.answers("production"), None);
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(0);
}

#[test]
fn who_asked_cannot_approve_and_who_does_not_say_who_he_is_cannot_ask() {
    let place = staged();
    let entries = place.ledger().size;
    place.run(&["promote", "--to", "production"]).ends(2).says("E0603");
    assert_eq!(place.ledger().size, entries, "nothing was written");
    place.run(&["promote", "--to", "production", "--identity", "keys/eve"]).ends(2).says("E0604");

    // Ana is the only one who may approve, so she does not ask.
    place.run(&["promote", "--to", "production", "--identity", "keys/ana"]).ends(2).says("E0612");
    place.run(&ASK).ends(5);
    // Bob may ask, and has no role that may approve.
    place.run(&["approve", "--identity", "keys/bob"]).ends(2).says("E0601");
    place.run(&["approve", "--identity", "keys/eve"]).ends(2).says("E0604");
    place.run(&["approve"]).ends(2).says("E0603");
    place.run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(place.answers("production"), None);
}

#[test]
fn attack_10_an_approval_is_for_one_promotion_and_is_used_once() {
    let place = staged();
    let first = place.request();
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(0);
    place.build("1.1.0");
    place.to_staging();
    let second = place.request();

    // What ana signed lies beside the log, where anybody may find it.
    let session = place.session();
    let ledger = place.block_on(session.book.ledger()).unwrap();
    let Proof::Sshsig { statement, signature, .. } = &ledger.promotions[&PromotionId(first)].approvals[0].proof else {
        panic!("an SSH signature");
    };
    let object = |digest| place.block_on(session.book.object(digest)).unwrap().unwrap();
    let (statement, signature) = (object(*statement), object(*signature));
    let signatures = wiring::signatures();
    let accept = |statement: &[u8], signature: &[u8]| {
        let signed = Signed { statement: statement.to_vec(), signature: signature.to_vec() };
        let accepted = decide::accept(&session.book, signatures.as_ref(), &signed);
        place.block_on(accepted).map(|_| ()).map_err(|error| error.to_string())
    };
    let again = accept(&statement, &signature).unwrap_err();
    assert!(again.contains("waits for no decision"), "{again}");

    // The same words about the other promotion are not what was signed.
    let mut other: ApprovalStatement = serde_json::from_slice(&statement).unwrap();
    other.promotion = PromotionId(second);
    let forged = accept(&serde_json::to_vec(&other).unwrap(), &signature).unwrap_err();
    assert!(forged.contains("signature"), "{forged}");

    // Signed by ana herself, but about the release of the first: it is bound to its digest.
    let ssh = Signer::new(std::ffi::OsStr::new("ssh-keygen"), Dialogue::Captured);
    let bytes = serde_json::to_vec(&other).unwrap();
    let signed = ssh.sign(APPROVAL_NAMESPACE, &place.path("keys/ana"), &bytes).unwrap();
    let foreign = accept(&bytes, &signed).unwrap_err();
    assert!(foreign.contains("does not count"), "{foreign}");

    assert_eq!(place.promotion(second)["state"], "pending");
    place.run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
}

#[test]
fn a_tag_that_moves_between_staging_and_production_changes_nothing() {
    let place = staged();
    let verified = place.live("staging").unwrap();
    place.request();
    place.approve();
    let other = sealift::demo::images::service("6.6.6", None).layer(Layer::tar("not what was tested")).build();
    for tag in ["1.0.0", "staging", "latest"] {
        place.staging.push("hello", &other, Some(tag));
    }
    place.run(&["promote", "--to", "production"]).ends(0);
    assert_eq!(place.runs("production"), Some(verified));
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    let tags = place.production.tags("hello");
    assert!(tags.iter().all(|(_, digest)| *digest == verified), "{tags:?}");
}

#[test]
fn a_digest_by_hand_must_be_the_verified_one_and_no_environment_is_skipped() {
    let place = staged();
    let verified = place.live("staging").unwrap().to_string();
    let untested = place.build("1.1.0").to_string();
    let by_hand = |digest: &str| place.run(&[&ASK[..], &["--digest", digest]].concat());
    by_hand(&untested).ends(3).says("G002");
    by_hand("hello:1.0.0").ends(2).says("is no digest");
    let skips = place.run(&[&ASK[..], &["--from", "production"]].concat());
    skips.ends(3).says("G003");
    assert_eq!(place.answers("production"), None);
    by_hand(&verified).ends(5);
}
