//! Consent by a comment on GitHub. The deliveries here are fakes, in the published shape of the webhook `issue_comment`.

use serde_json::{Value, json};

use crate::place::{Place, Ran};

/// Ana has an account, the policy takes comments, and bob has asked. What to write.
fn waiting(change: impl FnOnce(&Place)) -> (Place, u64, String) {
    let place = Place::new();
    place.edit("source: https://example.com/hello", "source: https://github.com/acme/hello");
    place.edit("{id: ana, email: ana@example.com,", "{id: ana, email: ana@example.com, github: Ana-Acme,");
    place.edit("not: [requester]}", "not: [requester], accepts: [sshsig, github-comment]}");
    change(&place);
    place.run(&["init"]).ends(0);
    place.build("1.0.0");
    place.to_staging();
    let id = place.request();
    let words = place.promotion(id)["comment"].as_str().map(str::to_owned);
    (place, id, words.unwrap_or_default())
}

/// A fake delivery.
fn fake(body: &str, number: u64) -> Value {
    let now = jiff::Timestamp::now().strftime("%FT%TZ").to_string();
    let account = json!({"login": "ana-acme", "id": 7, "type": "User", "site_admin": false});
    json!({
        "action": "created",
        "issue": {"number": 1, "title": "Release 1.0.0", "user": account},
        "comment": {
            "id": number, "body": body, "user": account, "created_at": now, "updated_at": now,
            "author_association": "MEMBER", "performed_via_github_app": null,
            "html_url": format!("https://github.com/acme/hello/pull/1#issuecomment-{number}"),
        },
        "repository": {"id": 3, "full_name": "acme/hello", "html_url": "https://github.com/acme/hello"},
        "sender": account,
    })
}

fn import(place: &Place, delivery: &Value) -> Ran {
    place.write("event.json", &delivery.to_string());
    place.run(&["approve", "import", "--comment", "event.json"])
}

#[test]
fn a_comment_with_the_code_approves_once_and_is_called_what_it_is() {
    let (place, id, words) = waiting(|_| {});
    assert!(words.starts_with("/sealift approve "), "{words}");
    place.run(&["status"]).ends(0).says(&words);
    place.run(&["promote", "--to", "production"]).ends(5).says(&words).says("GitHub's word alone");
    place.run(&["request", "export"]).ends(0).says(&words);
    let delivery = fake(&format!("{words}\r\n"), 11);
    import(&place, &delivery).ends(0).says("approved by ana").says("could have made it up");
    let size = place.audited();
    import(&place, &delivery).ends(0).says("which the log had already");
    assert_eq!(place.audited(), size);
    place.run(&["promote", "--to", "production"]).ends(0);
    assert_eq!(place.promotion(id)["approver"], json!(["ana@example.com"]));
    assert_eq!(place.answers("production").as_deref(), Some("1.0.0"));
    place.audited();
}

#[test]
fn attack_09_a_comment_that_is_not_the_persons_own_fresh_word_does_not_count() {
    let (place, _, words) = waiting(|_| {});
    let other = words.replace(|c: char| c.is_ascii_digit(), "Z");
    type Change = fn(&mut Value);
    let same: Change = |_| {};
    let cases: [(String, Change, &str); 12] = [
        (words.clone(), |v| v["action"] = "edited".into(), "it was edited"),
        (words.clone(), |v| v["comment"]["updated_at"] = "2999-01-01T00:00:00Z".into(), "edited since"),
        (words.clone(), |v| v["comment"]["user"]["type"] = "Bot".into(), "no person's own account"),
        (words.clone(), |v| v["comment"]["user"]["login"] = "eve".into(), "exactly one person"),
        (words.clone(), |v| v["repository"]["full_name"] = "acme/x".into(), "not on github.com"),
        (
            words.clone(),
            |v| {
                v["repository"] = json!({"full_name": "eve/hello", "html_url": "https://github.com/eve/hello"});
                v["comment"]["html_url"] = "https://github.com/eve/hello/pull/1#issuecomment-1".into();
            },
            "expected acme/hello, the source of hello; found eve/hello",
        ),
        (
            words.clone(),
            |v| v["comment"]["html_url"] = "https://github.com/eve/hello/pull/1#issuecomment-1".into(),
            "one in its repository begins with",
        ),
        (format!("do not do this:\n{words}"), same, "write the command alone"),
        (other, same, "is that of no promotion that waits"),
        (format!("> {words}"), same, "write the command alone"),
        (format!("LGTM {words}"), same, "write the command alone"),
        (
            words.clone(),
            |v| {
                v["comment"]["created_at"] = "2020-01-01T00:00:00Z".into();
                v["comment"]["updated_at"] = "2020-01-01T00:00:00Z".into();
            },
            "expired",
        ),
    ];
    let size = place.audited();
    for (number, (body, change, why)) in cases.into_iter().enumerate() {
        let mut delivery = fake(&body, number as u64);
        change(&mut delivery);
        import(&place, &delivery).ends(2).says(why);
        assert_eq!(place.audited(), size, "{why}");
    }
    place.write("event.json", "{}");
    place.run(&["approve", "import", "--comment", "event.json"]).ends(2).says("E0619");
    place.run(&["promote", "--to", "production"]).ends(5);
    assert_eq!(place.answers("production"), None);
}

#[test]
fn attack_09_the_code_of_an_older_judgement_is_none_of_the_next() {
    let (place, _, words) = waiting(|_| {});
    // The same release and digest, verified anew in staging: other evidence.
    place.build("1.1.0");
    place.to_staging();
    place.run(&["rollback", "--in", "staging"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(5);
    import(&place, &fake(&words, 11)).ends(2).says("is that of no promotion that waits");
    let id = place.ledger().promotions.values().rev().find(|open| !open.has_ended()).unwrap().id.0;
    let now = place.promotion(id)["comment"].as_str().unwrap().to_owned();
    assert_ne!(now, words);
    import(&place, &fake(&now, 12)).ends(0);
    place.run(&["promote", "--to", "production"]).ends(0);
}

#[test]
fn an_account_of_two_people_and_a_policy_that_takes_no_comments_say_no() {
    let (place, _, words) = waiting(|place| {
        place.edit("{id: bob, email: bob@example.com,", "{id: bob, email: bob@example.com, github: ANA-acme,");
    });
    import(&place, &fake(&words, 11)).ends(2).says("exactly one person");
    let (place, _, words) = waiting(|place| place.edit(", accepts: [sshsig, github-comment]", ""));
    assert_eq!(words, "", "nobody is told to write what does not count");
    let (code, _) = ("/sealift approve 01234567-89ABCDEF-GHJKMNPQ-RSTVWXYZ", ());
    import(&place, &fake(code, 11)).ends(2).says("E0619");
}

#[test]
fn a_comment_is_taken_back_by_signature_and_does_not_count_again() {
    let (place, _, words) = waiting(|_| {});
    let delivery = fake(&words, 11);
    import(&place, &delivery).ends(0);
    place.run(&["approve", "--revoke", "--identity", "keys/ana"]).ends(0);
    place.run(&["promote", "--to", "production"]).ends(5);
    import(&place, &delivery).ends(2).says("it was revoked");
    place.run(&["promote", "--to", "production"]).ends(5);
    place.audited();
}
