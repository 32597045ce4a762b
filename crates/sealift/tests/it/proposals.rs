//! Changes of the policy that one person proposes and others sign.

use crate::place::Place;

fn with_eve(place: &Place, role: &str) {
    let eve = format!("  - {{id: eve, ssh: \"{}\", roles: [{role}]}}\nenvironments:", place.public_key("eve"));
    place.edit("environments:", &eve);
}

/// Proposes sealift.yaml as it is, and returns the proposal.
fn propose(place: &Place, key: &str) -> String {
    let proposed = place.json(&["policy", "propose", "--reason", "because", "--identity", key]);
    proposed["proposal"].to_string()
}

#[test]
fn a_proposal_is_signed_from_elsewhere_and_becomes_the_policy() {
    let place = Place::initialised();
    let original = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    with_eve(&place, "platform-lead");
    place.run(&["policy", "propose", "--reason", "x", "--identity", "keys/eve"]).ends(2).says("E0604");
    let id = propose(&place, "keys/bob");
    assert_eq!(propose(&place, "keys/bob"), id, "the same is proposed once");
    // Whoever signs needs no copy of the file.
    place.write("sealift.yaml", &original);
    place.run(&["status"]).ends(0).says(&format!("proposed policy {id} by bob: because"));
    let sign = |key: &str| place.run(&["policy", "accept", &id, "--identity", key]);
    sign("keys/bob").ends(2).says("E0612");
    sign("keys/eve").ends(2).says("E0604");
    sign("keys/ana").ends(0).says("+ people.eve").says("accepted; approvals given under the policy before");
    sign("keys/ana").ends(2).says("E0613");
    assert!(place.ledger().policy.as_ref().unwrap().people.contains_key(&"eve".parse().unwrap()));
    assert_eq!(place.json(&["status"])["proposals"], serde_json::json!([]));
    place.audited();
}

#[test]
fn a_proposal_waits_until_the_quorum_of_the_present_policy_has_signed() {
    let place = Place::new();
    with_eve(&place, "platform-lead");
    place.edit("roles: [platform-lead], expires", "roles: [platform-lead], count: 2, expires");
    place.run(&["init"]).ends(0);
    place.edit("max_size: 100MB", "max_size: 200MB");
    let id = propose(&place, "keys/bob");
    let sign = |key: &str| place.run(&["policy", "accept", &id, "--identity", key]);
    sign("keys/ana").ends(0).says("wants 2 of its approvers to sign a change, 1 did");
    sign("keys/ana").ends(0).says("1 did");
    place.run(&["policy", "diff"]).ends(0).says("max_size");
    sign("keys/eve").ends(0).says("accepted");
    place.run(&["policy", "diff"]).ends(0).says("sealift.yaml is the accepted policy");
    place.audited();
}

#[test]
fn a_proposal_dies_when_it_is_refused_or_the_policy_changes_otherwise() {
    let place = Place::initialised();
    place.edit("max_size: 100MB", "max_size: 200MB");
    let (first, refuse) = (propose(&place, "keys/bob"), |id: &str, key: &str| {
        place.run(&["policy", "reject", id, "--reason", "too large", "--identity", key])
    });
    refuse(&first, "keys/ana").ends(0);
    refuse(&first, "keys/ana").ends(2).says("E0613");
    let second = propose(&place, "keys/bob");
    place.edit("max_size: 200MB", "max_size: 300MB");
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(0);
    place.run(&["policy", "accept", &second, "--identity", "keys/ana"]).ends(2).says("E0613");
    place.audited();
}

#[test]
fn attack_25_whoever_proposes_a_change_does_not_accept_it() {
    let place = Place::initialised();
    place.edit("not: [requester]", "not: []");
    let id = propose(&place, "keys/ana");
    place.run(&["policy", "accept", &id, "--identity", "keys/ana"]).ends(2).says("E0612");
    assert!(
        place
            .ledger()
            .policy
            .as_ref()
            .unwrap()
            .environments
            .values()
            .any(|environment| { environment.approval.as_ref().is_some_and(|rule| !rule.not.is_empty()) })
    );
}

#[test]
fn attack_25_whoever_asks_for_a_promotion_changes_neither_people_nor_rules_meanwhile() {
    let place = Place::new();
    place.edit("roles: [developer]", "roles: [platform-lead, developer]");
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place.run(&["promote", "--to", "production", "--identity", "keys/ana"]).ends(5);
    let original = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    let entries = place.ledger().size;
    let (bob, eve) = (place.public_key("bob"), place.public_key("eve"));
    let friend = format!("  - {{id: eve, ssh: \"{eve}\", roles: [platform-lead]}}\nenvironments:");
    let edits = [
        ("not: [requester]", "not: []"),
        ("environments:", &friend),
        (&bob, &eve),
        ("roles: [platform-lead, developer]", "roles: [platform-lead]"),
    ];
    for (from, to) in edits {
        place.write("sealift.yaml", &original);
        place.edit(from, to);
        let accepted = place.run(&["policy", "accept", "--identity", "keys/ana"]);
        accepted.ends(2).says("wants 1 of its approvers to sign a change, 0 did");
        // And until then the file counts for nothing.
        place.run(&["approve", "--identity", "keys/ana"]).ends(2).says("E0106");
    }
    assert_eq!(place.ledger().size, entries, "nothing was written");
}

#[test]
fn a_signature_under_a_change_makes_it_no_second_time() {
    let place = Place::initialised();
    let accept = || place.run(&["policy", "accept", "--identity", "keys/ana"]);
    let original = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    place.edit("max_size: 100MB", "max_size: 200MB");
    let session = place.session();
    let contacts = std::collections::BTreeMap::new();
    let message = |ledger: &sealift_domain::ledger::Ledger| {
        sealift_engine::init::acceptance(ledger, &session.config.policy, &contacts).unwrap()
    };
    let before = message(&place.ledger());
    accept().ends(0);
    place.write("sealift.yaml", &original);
    accept().ends(0);
    // The same policies, from one to the other, and other bytes to sign.
    assert_ne!(message(&place.ledger()), before);
}

#[test]
fn an_account_tells_who_asks_so_another_one_is_a_change_that_is_signed() {
    let place = Place::new();
    place.edit("{id: bob, email: bob@example.com,", "{id: bob, email: bob@example.com, github: bob-gh,");
    place.run(&["init"]).ends(0);
    assert_eq!(place.json(&["policy", "diff"])["same"], true);
    place.edit("github: bob-gh", "github: ana-gh");
    place.run(&["policy", "diff"]).ends(0).says("~ people.bob.github: bob-gh → ana-gh");
    place.run(&["policy", "accept", "--identity", "keys/bob"]).ends(2).says("E0601");
    let id = propose(&place, "keys/bob");
    let signed = place.run(&["policy", "accept", &id, "--identity", "keys/ana"]);
    signed.ends(0).says("~ people.bob.github: bob-gh → ana-gh").says("accepted");
    assert_eq!(place.json(&["policy", "diff"])["same"], true);
    place.audited();
}

/// Cat approves for staging, ana for production.
fn with_cat() -> Place {
    let place = Place::new();
    with_eve(&place, "tester");
    place.edit(
        "    deploy: {process: {listen: STAGING".replace("STAGING", &place.ports[0].to_string()).as_str(),
        &format!(
            "    approval: {{roles: [tester], expires: 1h, not: []}}\n    deploy: {{process: {{listen: {}",
            place.ports[0]
        ),
    );
    place.run(&["init"]).ends(0);
    place
}

#[test]
fn attack_25_who_approves_for_staging_alone_opens_no_other_way_into_production() {
    let place = with_cat();
    let original = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
    let (staging, production) = (place.staging.address(), place.production.address());
    let another = format!(
        "environments:\n  side: {{image: {production}/hello, approval: none, verify: [{{http: \"http://127.0.0.1:1/\"}}]}}"
    );
    let image = (format!("image: {staging}/hello"), format!("image: {production}/hello"));
    let edits = [
        ("environments:", another.as_str()),
        (&image.0, &image.1),
        ("app: hello", "app: other"),
        ("https://example.com/hello", "https://example.com/other"),
    ];
    for (from, to) in edits {
        place.write("sealift.yaml", &original);
        place.edit(from, to);
        place.run(&["policy", "accept", "--identity", "keys/eve"]).ends(2).says("the change touches production");
    }
    // What is staging's own is hers.
    place.write("sealift.yaml", &original);
    place.edit("roles: [tester], expires: 1h", "roles: [tester], expires: 2h");
    place.run(&["policy", "accept", "--identity", "keys/eve"]).ends(0);
    place.edit("environments:", &another);
    place.run(&["policy", "accept", "--identity", "keys/eve", "--identity", "keys/ana"]).ends(0);
    place.audited();
}

#[test]
fn attack_25_of_several_approvers_none_changes_alone_that_requesters_may_not_approve() {
    let place = Place::new();
    with_eve(&place, "platform-lead");
    place.run(&["init"]).ends(0);
    place.edit("not: [requester]", "not: []");
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(2).says("nobody changes it alone");
    place.run(&["policy", "accept", "--identity", "keys/ana", "--identity", "keys/ana"]).ends(2);
    let id = propose(&place, "keys/bob");
    place.run(&["policy", "accept", &id, "--identity", "keys/ana"]).ends(0).says("accepted");
    place.audited();
}

#[test]
fn who_asks_for_an_open_promotion_is_told_why_their_signature_does_not_count() {
    let place = Place::new();
    place.edit("roles: [developer]", "roles: [platform-lead]");
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place.run(&["promote", "--to", "production", "--identity", "keys/ana"]).ends(5);
    place.edit("max_size: 100MB", "max_size: 200MB");
    place.run(&["policy", "accept", "--identity", "keys/ana"]).ends(2).says("does not count until it has ended");
}

#[test]
fn what_nobody_could_ever_approve_is_not_asked_for() {
    let place = Place::initialised();
    place.build("1.0.0");
    place.to_staging();
    let entries = place.ledger().size;
    let asked = place.run(&["promote", "--to", "production", "--identity", "keys/ana"]);
    asked.ends(2).says("E0612").says("beside `ana` there are 0").says("policy accept");
    assert_eq!(place.ledger().size, entries, "nothing was written");
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(5);
}

#[test]
fn what_leads_to_safety_does_not_wait_until_the_file_is_in_order() {
    let place = Place::initialised();
    place.release("1.0.0");
    place.release("1.1.0");
    place.build("1.2.0");
    place.to_staging();
    let id = place.request();
    place.edit("max_size: 100MB", "max_size: 200MB");
    let rejected = place.run(&["reject", &id.to_string(), "--reason", "no", "--identity", "keys/ana"]);
    rejected.ends(0).says("warning: sealift.yaml says something else");
    place.run(&["verify", "--in", "production"]).ends(0).says("warning");
    place.run(&["rollback", "--in", "production", "--identity", "keys/bob"]).ends(5).says("warning");
    let id = place.ledger().promotions.keys().last().unwrap().to_string();
    place.run(&["cancel", &id, "--reason", "x"]).ends(0).says("warning");
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(2).says("E0106");
    place.audited();
}

#[test]
fn a_hold_that_somebody_signed_is_released_by_an_approver_who_signs() {
    let place = Place::initialised();
    let hold = |verb: &str, key: &[&str]| place.run(&[&["hold", verb, "production", "--reason", "look"], key].concat());
    hold("place", &["--identity", "keys/bob"]).ends(0);
    hold("release", &[]).ends(2).says("signed this hold");
    hold("release", &["--identity", "keys/bob"]).ends(2).says("E0612");
    hold("release", &["--identity", "keys/ana"]).ends(0);
    hold("place", &[]).ends(0);
    hold("release", &[]).ends(0);
    place.audited();
}

#[cfg(unix)]
#[test]
fn the_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::initialised();
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".sealift"), mode(".sealift/log.sqlite")), (0o700, 0o600));
}

#[test]
fn a_key_is_made_that_the_file_names_already() {
    let place = Place::new();
    place.edit(
        "    approval: {roles: [platform-lead]",
        "    attest: {key: promotion.pub}\n    approval: {roles: [platform-lead]",
    );
    place.run(&["init"]).ends(2).says("E0101").says("sealift keys generate");
    place.run(&["keys", "generate"]).ends(0);
    place.run(&["init"]).ends(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let place = Place::initialised();
    let mut command = place.command(std::path::Path::new(env!("CARGO_BIN_EXE_sealift")));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = command.arg("status").stdout(full).output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("could not be written"), "{ran:?}");
}
