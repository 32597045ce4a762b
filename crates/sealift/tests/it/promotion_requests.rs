//! What a whole promotion asks of its registries, request by request: the table in `docs/copy.md`.

use std::collections::BTreeMap;

use sealift::demo::images;
use sealift_registry::{
    image::{Builder, Layer},
    server::{Access, Account, Config, Logged, Several, script::Method},
};

use crate::place::Place;

/// A registry with logins and tokens; `lists` says whether it keeps lists of referrers.
fn closed(lists: bool) -> Config {
    let account =
        Account { user: "ana".to_owned(), password: "pw".to_owned(), refresh_token: String::new(), push: true };
    let access = Access::Token {
        accounts: vec![account],
        anonymous_pull: false,
        expires_in: Some(300),
        realm: None,
        several: Several::Granted,
    };
    Config { access, referrers: lists, ..Config::default() }
}

/// What a request is for.
fn purpose(at_source: bool, logged: &Logged) -> &'static str {
    let (get, head, put) = (Method::GET, Method::HEAD, Method::PUT);
    let has = |text: &str| logged.path.contains(text);
    let tag = |name: &str| logged.path.ends_with(&format!("/manifests/{name}"));
    match &logged.method {
        _ if has("/token") => "token",
        _ if logged.status == 401 => "challenge",
        m if at_source && (*m == get || *m == head) && has("/manifests/sha256-") => {
            "look for cosign's tags and the fallback"
        }
        _ if at_source && has("/referrers/") => "look for referrers",
        m if at_source && *m == head && has("/blobs/") => "gates: is every blob there",
        _ if at_source && has("/blobs/") => "read blobs",
        _ if at_source => "read manifests",
        _ if has("/blobs/uploads/") => "open and fill uploads",
        _ if has("/blobs/") => "deployment: pull",
        m if *m == put && has("/manifests/sha256-") => "list in the fallback tag",
        _ if has("/manifests/sha256-") || has("/referrers/") => "look what refers to it there",
        m if *m == put && has("/manifests/sha256:") => "put manifests",
        m if *m == put => "write tags",
        _ if tag("main") || has("/manifests/main-") => "look at tags",
        _ => "manifests by digest",
    }
}

#[test]
fn a_whole_promotion_asks_for_nothing_that_cannot_be_explained() {
    let place = Place::with(closed(true), closed(false));
    std::fs::create_dir(place.path(".docker")).unwrap();
    // "ana:pw"
    let login = |address| format!(r#""{address}": {{"auth": "YW5hOnB3"}}"#);
    let auths = [login(place.staging.address()), login(place.production.address())].join(",");
    place.write(".docker/config.json", &format!(r#"{{"auths": {{{auths}}}}}"#));
    place.run(&["init"]).ends(0);
    place.release("1.0.0");
    let image = images::service("1.1.0", None).build();
    let sbom = Builder::new().artifact_type("application/spdx+json").subject(&image).layer(Layer::tar("sbom")).build();
    place.record("1.1.0", &image);
    place.staging.push("hello", &sbom, None);
    place.to_staging();
    place.request();
    place.approve();
    place.staging.clear_log();
    place.production.clear_log();
    place.run(&["promote", "--to", "production"]).ends(0);

    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for (at_source, server) in [(true, &place.staging), (false, &place.production)] {
        for logged in server.log() {
            *asked.entry(purpose(at_source, &logged)).or_default() += 1;
        }
    }
    let expected = BTreeMap::from([
        ("challenge", 2),
        ("token", 3),
        ("gates: is every blob there", 2),
        ("read manifests", 3),
        ("read blobs", 4),
        ("look for referrers", 2),
        ("look for cosign's tags and the fallback", 4),
        ("look what refers to it there", 4),
        ("open and fill uploads", 6),
        ("put manifests", 2),
        ("list in the fallback tag", 1),
        ("manifests by digest", 5),
        ("look at tags", 5),
        ("write tags", 2),
        ("deployment: pull", 2),
    ]);
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/copy.md")).unwrap();
    for (purpose, n) in &expected {
        assert!(table.contains(&format!("| {purpose} | {n} |")), "docs/copy.md has no row `| {purpose} | {n} |`");
    }
    let sum: usize = expected.values().sum();
    assert!(table.contains(&format!("| together | {sum} |")), "docs/copy.md: together {sum}");
    assert_eq!(asked, expected, "{:#?}\n{:#?}", place.staging.log(), place.production.log());
}
