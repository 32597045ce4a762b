use super::*;

const CODE: &str = "01234567-89ABCDEF-GHJKMNPQ-RSTVWXYZ";

/// A fake delivery in the published shape of `issue_comment`, with a change.
fn fake(body: &str, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let account = serde_json::json!({"login": "Ana-Acme", "id": 7, "type": "User", "site_admin": false});
    let mut value = serde_json::json!({
        "action": "created",
        "issue": {"number": 1, "title": "Release"},
        "comment": {
            "id": 11, "body": body, "user": account, "author_association": "MEMBER",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "performed_via_github_app": null,
            "html_url": "https://github.com/acme/web/issues/1#issuecomment-11",
        },
        "repository": {"id": 3, "full_name": "acme/web", "html_url": "https://github.com/acme/web"},
        "sender": account,
    });
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn attack_09_only_a_fresh_comment_of_a_person_with_the_words_alone_counts() {
    let line = format!("{COMMAND}{CODE}");
    let says = |body: &str| read(&fake(body, |_| {}));
    let comment = says(&format!(" {line}\r\n")).unwrap();
    assert_eq!((comment.id, comment.author, comment.login.as_str()), (11, 7, "Ana-Acme"));
    assert_eq!(comment.code().map(|code| code.to_string()), Ok(CODE.to_owned()));
    assert_eq!(comment.is_where_it_says(), Ok(()));
    let alone = "write the command alone";
    for (body, why) in [
        (format!("Looks good.\r\n\r\n{line}\r\n"), alone),
        (format!("do not do this:\n{line}"), alone),
        (format!("{line}\n{line}"), alone),
        (format!("{line}\r{line}"), alone),
        (format!("> {line}"), alone),
        (format!("> quoted\n{line}"), alone),
        (format!("please write {line}"), alone),
        (format!("```\n{line}\n```"), alone),
        (format!("`{line}`"), alone),
        (format!("`\n{line}\n`"), alone),
        (format!("<pre>\n{line}\n</pre>"), alone),
        (format!("<template>\n{line}\n</template>"), alone),
        (format!("[text](https://example.com '\n{line}\n')"), alone),
        (format!("<!--\n{line}\n-->"), alone),
        (format!("{line} unless it breaks"), "is no code"),
        (format!("{line} <!-- -->"), "is no code"),
        (COMMAND.to_owned(), alone),
        ("/sealift approve".to_owned(), alone),
        (String::new(), alone),
    ] {
        let refused = says(&body).unwrap().code().unwrap_err();
        assert!(refused.contains(why), "{body}: {refused}");
    }
    for (address, why) in [
        (serde_json::Value::Null, "no address"),
        ("https://github.com/eve/web/issues/1#issuecomment-11".into(), "`https://github.com/acme/web/`"),
        ("https://github.com/acme/website/issues/1".into(), "`https://github.com/acme/web/`"),
    ] {
        let elsewhere = read(&fake(&line, |v| v["comment"]["html_url"] = address)).unwrap();
        let refused = elsewhere.is_where_it_says().unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 12] = [
        (|v| v["action"] = "edited".into(), "it was edited"),
        (|v| v["action"] = "deleted".into(), "it was deleted"),
        (|v| v["comment"]["updated_at"] = "2026-01-01T00:00:01Z".into(), "edited since"),
        (|v| v["comment"]["user"]["type"] = "Bot".into(), "no person's own account"),
        (|v| v["comment"]["performed_via_github_app"] = serde_json::json!({"id": 1}), "no person's own account"),
        (|v| v["sender"]["id"] = 8.into(), "another account"),
        (|v| v["sender"]["type"] = "Bot".into(), "another account"),
        (|v| v["repository"]["html_url"] = "https://git.example.com/acme/web".into(), "not on github.com"),
        (|v| v["comment"]["id"] = "11".into(), "no delivery"),
        (|v| v["comment"]["created_at"] = "yesterday".into(), "no delivery"),
        (|v| drop(v.as_object_mut().unwrap().remove("repository")), "no delivery"),
        (|v| v["comment"]["user"] = serde_json::Value::Null, "no delivery"),
    ];
    for (at, (change, why)) in changes.into_iter().enumerate() {
        let refused = read(&fake(&line, change)).unwrap_err();
        assert!(refused.contains(why), "change {at}: {refused}");
    }
    assert!(read(b"").is_err() && read(b"[]").is_err());
    let large = fake(&format!("{}\n{line}", "x".repeat(MAX_DELIVERY)), |_| {});
    assert!(read(&large).unwrap_err().contains("more than"));
    // A key twice: two readers could read two things.
    let twice = String::from_utf8(fake(&line, |_| {})).unwrap().replace("\"action\":", "\"action\":\"x\",\"action\":");
    assert!(read(twice.as_bytes()).unwrap_err().contains("duplicate"));
}

#[test]
fn a_repository_is_compared_where_the_source_is_on_github() {
    for url in ["https://github.com/acme/web", "https://github.com/acme/web.git", "git@github.com:acme/web.git"] {
        assert_eq!(on_github(url), Some("acme/web"), "{url}");
    }
    assert_eq!(on_github("https://git.example.com/acme/web"), None);
    assert_eq!(on_github("https://github.com.example.com/acme/web"), None);
}
