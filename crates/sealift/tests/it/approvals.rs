//! What an approval is bound to, and how it ends.

use std::process::Stdio;

use sealift_domain::{approval::Proof, promotion::PromotionId};

use crate::place::Place;

const ASK: [&str; 5] = ["promote", "--to", "production", "--identity", "keys/bob"];
const AGAIN: [&str; 3] = ["promote", "--to", "production"];

fn staged() -> Place {
    let place = Place::initialised();
    place.build("1.0.0");
    place.to_staging();
    place
}

/// Ana has approved what bob asked for, and nobody has gone on with it yet.
fn approved() -> Place {
    let place = staged();
    place.request();
    place.approve();
    place
}

/// It waits for approval again, and nothing was started.
#[track_caller]
fn waits_again(place: &Place) {
    place.run(&AGAIN).ends(5).says("waits for an approval");
    assert_eq!(place.answers("production"), None, "nothing was started");
}

#[test]
fn attack_09_an_approval_does_not_outlive_the_policy_by_one_byte() {
    let place = approved();
    place.edit("max_size: 100MB", "max_size: 101MB");
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    waits_again(&place);
    place.approve();
    place.run(&AGAIN).ends(0);
}

#[test]
fn attack_09_an_approval_of_one_digest_is_none_of_another() {
    let place = approved();
    place.build("1.1.0");
    place.to_staging();
    // Staging has another release, so this is another promotion: the one that was approved gives way to it.
    place.run(&ASK).ends(5);
    assert_eq!(place.answers("production"), None);
    assert!(place.ledger().promotions.values().last().unwrap().approvals.is_empty());
}

#[test]
fn attack_09_an_approval_does_not_outlive_the_evidence_that_the_gates_used() {
    let place = approved();
    // Verified anew: the same release and digest, and another verification that the gates rest on.
    place.build("1.1.0");
    place.to_staging();
    place.run(&["rollback", "--in", "staging"]).ends(0);
    assert_eq!(place.answers("staging").as_deref(), Some("1.0.0"));
    waits_again(&place);
    place.approve();
    place.run(&AGAIN).ends(0);
}

#[test]
fn attack_09_an_approval_for_one_target_is_none_for_another_repository() {
    let place = approved();
    let here = format!("image: {}/hello", place.production.address());
    place.edit(&here, &format!("{here}-elsewhere"));
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    waits_again(&place);
}

#[test]
fn attack_09_an_approval_does_not_outlive_the_definition_and_the_approver_is_shown_what_changed() {
    let place = approved();
    place.run(&AGAIN).ends(0);
    place.build("1.1.0");
    place.to_staging();
    place.request();
    place.approve();
    place.edit("state: production, drain", "state: production, env: {COLOUR: blue}, drain");
    place.run(&AGAIN).ends(5);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    let shown = place.run(&["approve", "--identity", "keys/ana"]);
    shown.ends(0).says("CHANGED").says("COLOUR");
    place.run(&AGAIN).ends(0);
}

#[test]
fn an_approver_with_another_file_is_told_that_the_definition_is_not_what_is_shown() {
    let place = staged();
    place.request();
    place.edit("state: production, drain", "state: production, env: {COLOUR: blue}, drain");
    place.run(&["approve", "--identity", "keys/ana"]).ends(0).says("judged with ANOTHER than sealift.yaml has here");
    // The approval is for what was judged, and not for the file of either.
    waits_again(&place);
}

#[test]
fn an_approver_is_shown_what_is_signed() {
    let place = staged();
    let asked = place.run(&[&ASK[..], &["--reason", "the fix for customers"]].concat());
    asked.ends(5);
    let digest = place.live("staging").unwrap().to_string();
    let shown = place.run(&["approve", "--identity", "keys/ana"]);
    shown.ends(0);
    for words in [
        "nothing → 1.0.0",
        "in production, from staging",
        digest.as_str(),
        "bob (signed)",
        "the fix for customers",
        "pass verified:",
        "pass max_size:",
        "the first one",
        "nothing is live, so there is nothing to go back to",
        "approval by ana, which counts until",
    ] {
        shown.says(words);
    }
}

#[test]
fn attack_10_an_approval_that_was_taken_back_is_gone() {
    let place = approved();
    let taken = place.run(&["approve", "--revoke", "--reason", "a customer called", "--identity", "keys/ana"]);
    taken.ends(0).says("that ana no longer approves").says("approval taken back by ana");
    waits_again(&place);
    // There is nothing more to take back, and nobody takes back another's.
    place.run(&["approve", "--revoke", "--identity", "keys/ana"]).ends(2).says("E0403");
    place.approve();
    place.run(&["approve", "--revoke", "--identity", "keys/bob"]).ends(2).says("E0403");
    place.run(&AGAIN).ends(0);
    let id = place.ledger().promotions.keys().last().unwrap().to_string();
    place.run(&["approve", "--revoke", &id, "--identity", "keys/ana"]).ends(2).says("nothing left to stop");
    place.run(&["explain", &id]).ends(0).says("taken back by ana");
    place.audited();
}

#[test]
fn a_rejection_is_signed_with_its_reason() {
    let place = staged();
    let id = place.request();
    place.run(&["reject", "--identity", "keys/ana"]).ends(2);
    place.run(&["reject", "--reason", " ", "--identity", "keys/ana"]).ends(2).says("say why");
    place.run(&["reject", "--reason", "not on a Friday", "--identity", "keys/ana"]).ends(0);
    place.run(&AGAIN).ends(2);
    let session = place.session();
    let log = session.book.log();
    let entries = place.ledger().size;
    let found = place.block_on(async {
        let leaves = log.leaves(0, entries).await.unwrap();
        let mut reasons = Vec::new();
        for bytes in leaves {
            let leaf = sealift_domain::entry::Leaf::parse(&bytes).unwrap();
            if leaf.kind == "promotion.rejected" {
                for digest in leaf.evidence {
                    let object = session.book.object(digest).await.unwrap().unwrap();
                    reasons.extend(serde_json::from_slice::<serde_json::Value>(&object).ok());
                }
            }
        }
        reasons
    });
    assert_eq!((&found[0]["reason"], &found[0]["promotion"]), (&"not on a Friday".into(), &id.into()));
    assert_eq!(found[0]["decision"], "reject");
    place.audited();
}

#[test]
fn openssh_itself_believes_an_approval() {
    let place = approved();
    let session = place.session();
    let ledger = place.block_on(session.book.ledger()).unwrap();
    let promotion = ledger.promotions.values().last().unwrap();
    let Proof::Sshsig { statement, signature, .. } = &promotion.approvals[0].proof else { panic!("an SSH signature") };
    let object = |digest| place.block_on(session.book.object(digest)).unwrap().unwrap();
    std::fs::write(place.path("statement"), object(*statement)).unwrap();
    std::fs::write(place.path("statement.sig"), object(*signature)).unwrap();
    place.write("allowed_signers", &format!("ana {}\n", place.public_key("ana")));
    let verify = |namespace: &str| {
        let mut command = place.command("ssh-keygen".as_ref());
        command.args(["-Y", "verify", "-f", "allowed_signers", "-I", "ana", "-n", namespace, "-s", "statement.sig"]);
        command.stdin(std::fs::File::open(place.path("statement")).unwrap());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(verify("promotion-approval@sealift.dev/v1"));
    assert!(!verify("promotion-request@sealift.dev/v1"), "it is an approval and nothing else");
}

#[test]
fn attack_11_whoever_comes_into_the_policy_after_the_request_does_not_approve_it() {
    let place = staged();
    place.request();
    let eve = format!("  - {{id: eve, ssh: \"{}\", roles: [platform-lead]}}\nenvironments:", place.public_key("eve"));
    place.edit("environments:", &eve);
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    place.run(&AGAIN).ends(5);
    let late = place.run(&["approve", "--identity", "keys/eve"]);
    late.ends(2).says("E0601").says("came into the policy with entry");
    place.approve();
    place.run(&AGAIN).ends(0);
}

#[test]
fn attack_11_a_second_key_of_the_requester_is_the_same_person() {
    let place = Place::new();
    let (ana, eve) = (place.public_key("ana"), place.public_key("eve"));
    place.edit(&format!("ssh: \"{ana}\""), &format!("ssh: [\"{ana}\", \"{eve}\"]"));
    place.edit("roles: [developer]", "roles: [platform-lead]");
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place.run(&["promote", "--to", "production", "--identity", "keys/ana"]).ends(5);
    // The key called eve is ana's second one.
    let own = place.run(&["approve", "--identity", "keys/eve"]);
    own.ends(2).says("E0601").says("`ana` asked for this promotion");
    assert_eq!(place.answers("production"), None);
}

#[test]
fn who_committed_and_who_had_it_built_may_be_excluded_and_must_then_be_known() {
    let place = Place::new();
    place.edit("not: [requester]", "not: [requester, committer, actor]");
    place.run(&["init"]).ends(0);
    let image = sealift::demo::images::service("1.0.0", None).build();
    place.staging.push("hello", &image, Some("1.0.0"));
    let name = format!("{}/hello:1.0.0", place.staging.address());
    place.run(&["record", "build", &name, "--committer", "nobody"]).ends(2).says("not under `people`");
    place.run(&["record", "build", &name, "--committer", "bob"]).ends(0);
    place.to_staging();
    let id = place.request();
    place.run(&["approve", "--identity", "keys/ana"]).ends(2).says("nobody knows who started the run");
    assert!(place.ledger().promotions[&PromotionId(id)].approvals.is_empty());
}

#[test]
fn a_hold_names_who_placed_it() {
    let place = staged();
    place.run(&["hold", "place", "production", "--reason", "holiday", "--identity", "keys/eve"]).ends(2).says("E0604");
    place.run(&["hold", "place", "production", "--reason", "holiday", "--identity", "keys/bob"]).ends(0);
    place.run(&["hold", "list"]).ends(0).says("production bob holiday");
    place.run(&["status"]).ends(0).says("holiday, by bob");
    place.run(&["hold", "release", "production", "--reason", "", "--identity", "keys/ana"]).ends(2);
    place.run(&["hold", "release", "production", "--reason", "over", "--identity", "keys/ana"]).ends(0);
    place.audited();
}
