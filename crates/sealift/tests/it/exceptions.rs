//! The ways around the usual ones: expedited promotions, and freezes that are overridden.

use crate::place::Place;

const AGAIN: [&str; 3] = ["promote", "--to", "production"];
const EXPEDITED: [&str; 8] =
    ["promote", "--to", "production", "--expedited", "--reason", "CVE-2026-1", "--identity", "keys/bob"];

/// Ana and eve are leads; `rules` are added to production.
fn place(rules: &str) -> Place {
    let place = Place::new();
    let eve = format!("  - {{id: eve, ssh: \"{}\", roles: [platform-lead]}}\nenvironments:", place.public_key("eve"));
    place.edit("environments:", &eve);
    place.edit("    gates: {max_size: 100MB, layers: required}", rules);
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    place
}

const SOAK: &str = "    gates: {max_size: 100MB, soak: 1h}
    expedited: {roles: [platform-lead], count: 2, waive: [soak], follow_up: 3d}";

#[test]
fn an_expedited_promotion_waives_what_the_policy_lets_it_and_wants_more_people() {
    let place = place(SOAK);
    // The usual way waits for the soak.
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(5).says("soak");
    place.run(&["promote", "--to", "production", "--expedited", "--identity", "keys/bob"]).ends(2);
    let asked = place.run(&EXPEDITED);
    asked.ends(5).says("2 approvals");
    let first = place.run(&["approve", "--identity", "keys/ana"]);
    first.ends(0).says("WAIVED soak:").says("EXPEDITED approval by ana, WAIVING soak");
    place.run(&AGAIN).ends(5).says("an approval");
    assert_eq!(place.answers("production"), None);
    // Taken back and given anew, and the other need not wait for a run in between.
    place.run(&["approve", "--revoke", "--identity", "keys/ana"]).ends(0);
    place.run(&["approve", "--identity", "keys/ana"]).ends(0);
    place.run(&["approve", "--identity", "keys/eve"]).ends(0);
    place.run(&AGAIN).ends(0);
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));

    // What was waived is on record as what it was, and is to be made good.
    let id = place.ledger().promotions.keys().last().unwrap().to_string();
    place.run(&["explain", &id]).ends(0).says("waived").says("expedited way").says("follow-up open");
    place.run(&["status"]).ends(0).says("expedited promotion").says("waived soak");
    assert_eq!(place.json(&["follow-up", "list"])["follow_ups"][0]["promotion"].to_string(), id);
    let close = |key: &str| place.run(&["follow-up", "close", &id, "--reason", "it soaked since", "--identity", key]);
    close("keys/bob").ends(2).says("E0612");
    close("keys/ana").ends(0);
    close("keys/ana").ends(2).says("E0403");
    assert_eq!(place.json(&["status"])["follow_ups"], serde_json::json!([]));
    place.audited();
}

#[test]
fn an_expedited_promotion_does_not_pass_a_gate_that_is_not_waived() {
    let place = place(&SOAK.replace("max_size: 100MB", "max_size: 1B"));
    place.run(&EXPEDITED).ends(3).says("max_size");
    assert_eq!(place.answers("production"), None);
}

#[test]
fn there_is_no_expedited_way_unless_the_policy_has_one() {
    let place = place("    gates: {soak: 1h}");
    let entries = place.ledger().size;
    place.run(&EXPEDITED).ends(2).says("E0611");
    assert_eq!(place.ledger().size, entries, "nothing was written");
}

#[test]
fn what_holds_everything_together_is_never_waived() {
    let place = place(SOAK);
    for gate in ["same_digest", "by_hand", "order", "signature"] {
        place.write("other.yaml", &std::fs::read_to_string(place.path("sealift.yaml")).unwrap());
        let text = std::fs::read_to_string(place.path("other.yaml")).unwrap();
        place.write("other.yaml", &text.replace("waive: [soak]", &format!("waive: [{gate}]")));
        let refused = place.run(&["policy", "diff", "--config", "other.yaml"]);
        refused.ends(2).says("E0105").says(&format!("`{gate}`, which is never waived"));
    }
}

fn frozen(rule: &str) -> Place {
    place(&format!(
        "    freezes: [{{from: 2020-01-01T00:00:00Z, until: 2100-01-01T00:00:00Z, reason: the holidays}}]\n{rule}"
    ))
}

#[test]
fn a_freeze_is_overridden_for_one_promotion_by_as_many_as_the_policy_says() {
    let place = frozen("    freeze_override: {roles: [platform-lead], count: 2}");
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(5).says("the holidays");
    let sign = |key: &str| place.run(&["freeze", "override", "production", "--reason", "an outage", "--identity", key]);
    sign("keys/bob").ends(2).says("E0612");
    sign("keys/ana").ends(0).says("1 more must sign");
    sign("keys/ana").ends(2).says("said so already");
    place.run(&AGAIN).ends(5).says("the holidays");
    sign("keys/eve").ends(0).says("is not stopped by this freeze");
    place.run(&AGAIN).ends(5).says("waits for an approval");
    let shown = place.run(&["approve", "--identity", "keys/ana"]);
    shown.ends(0).says("overridden for this promotion: the holidays (ana and eve)");
    place.run(&AGAIN).ends(0);
    // The next one is frozen as before.
    place.build("1.1.0");
    place.to_staging();
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(5).says("the holidays");
    place.audited();
}

#[test]
fn nobody_overrides_a_freeze_unless_the_policy_says_who() {
    let place = frozen("");
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(5);
    let sign = place.run(&["freeze", "override", "production", "--reason", "now", "--identity", "keys/ana"]);
    sign.ends(2).says("E0611");
}

#[test]
fn a_freeze_by_the_week_is_in_a_place_that_is_known() {
    let place = Place::new();
    // Whenever it is, it is one of the two.
    let weekly = |zone: &str| {
        let rule = |every: &str| format!("{{every: {every}, zone: {zone}, reason: mostly}}");
        let rules = [rule("Mon 00:00 to Thu 12:00"), rule("Thu 11:00 to Mon 01:00")].join(", ");
        format!("    freezes: [{rules}]\n    gates: {{layers: required}}")
    };
    let gates = "    gates: {max_size: 100MB, layers: required}";
    place.edit(gates, &weekly("Europe/Atlantis"));
    place.run(&["init"]).ends(2).says("E0105").says("Europe/Atlantis");
    place.edit("Europe/Atlantis", "Europe/Berlin");
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    let asked = place.run(&["promote", "--to", "production", "--identity", "keys/bob"]);
    asked.ends(5).says("mostly");
}

#[test]
fn freezes_that_overlap_are_overridden_together() {
    let place = frozen("    freeze_override: {roles: [platform-lead], count: 2}");
    place.run(&["freeze", "production", "--for", "2h", "--reason", "an incident"]).ends(0);
    place.run(&["promote", "--to", "production", "--identity", "keys/bob"]).ends(5);
    let sign = |key: &str| place.run(&["freeze", "override", "production", "--reason", "an outage", "--identity", key]);
    sign("keys/ana").ends(0).says("the holidays").says("an incident").says("1 more must sign");
    // One that comes later is signed by itself, by those who signed the others too.
    place.run(&["freeze", "production", "--for", "3h", "--reason", "another"]).ends(0);
    sign("keys/eve").ends(0).says("another");
    sign("keys/ana").ends(0).says("another").says("is not stopped by this freeze");
    place.run(&AGAIN).ends(5).says("waits for an approval");
    place.run(&["approve", "--identity", "keys/ana"]).ends(0);
    place.run(&AGAIN).ends(0);
    place.audited();
}
