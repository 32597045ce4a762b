//! Token servers that give less than was asked for, or nothing, and tokens that end early.

use sealift_engine::ports::{
    copy::CopyRequest,
    registry::RegistryErrorKind::{Denied, Transient, Unauthenticated},
};
use sealift_registry::server::{
    Access, Config, Server, Several,
    script::{Action, Fault, Gate, Nth, Wait, status, too_many},
};

use super::{FROM, Pair, TO, careless, is, tag};
use crate::{
    honest::assert_honest,
    support::{ana, assert_complete, count, logged_in, reader, repository},
};

fn tokens(several: Several) -> Access {
    Access::Token {
        accounts: vec![ana(), reader()],
        anonymous_pull: false,
        expires_in: Some(300),
        realm: None,
        several,
    }
}

fn guarded(several: Several, config: Config) -> Config {
    Config { access: tokens(several), ..config }
}

/// Both registries give out tokens; `user` logs in at both.
async fn pair(several: Several, user: &str, password: &str) -> Pair {
    let pair = Pair::between(guarded(several, Config::default()), guarded(several, careless())).await;
    let options = logged_in(&[&pair.a, &pair.b], user, password);
    pair.options(options)
}

fn tokens_of(server: &Server) -> usize {
    count(server, |logged| logged.path == "/token")
}

const ALL: [Several; 3] = [Several::Granted, Several::Refused, Several::FirstOnly];

#[tokio::test]
async fn a_copy_between_registries_works_whatever_becomes_of_several_scopes() {
    for several in ALL {
        let pair = pair(several, "ana", "s3cret").await;
        pair.succeeds().await;
        let all = tokens_of(&pair.a) + tokens_of(&pair.b);
        assert!(all <= 8, "{several:?}: {all} tokens");
    }
}

#[tokio::test]
async fn a_copy_within_a_registry_works_whatever_becomes_of_several_scopes() {
    for several in ALL {
        // The source's name comes before the destination's, or after it: the first scope is another one then.
        for to in ["prod/app", "zone/app"] {
            let pair = pair(several, "ana", "s3cret").await;
            let request = CopyRequest { to: repository(&pair.a, to), ..pair.request() }.tagged(Some(tag("v1")));
            let copied = pair.send_unjudged(&request).await;
            copied.unwrap_or_else(|refused| panic!("{several:?} {to}: {refused}"));
            assert_honest(&pair.a, to);
            assert_complete(&pair.a, to, &pair.image);
            assert!(tokens_of(&pair.a) <= 12, "{several:?}: {} tokens", tokens_of(&pair.a));
        }
    }
}

#[tokio::test]
async fn a_token_that_ends_while_the_source_is_read_is_fetched_again() {
    let pair = pair(Several::Granted, "ana", "s3cret").await;
    let gate = Gate::new();
    pair.a.script(Fault::new("*/blobs/*", Action::Hold(gate.clone())));
    let request = pair.request();
    let revoke = async {
        gate.arrived().await;
        pair.a.revoke_tokens();
        pair.b.revoke_tokens();
        gate.open();
    };
    let (copied, ()) = tokio::join!(pair.send(&request), revoke);
    copied.unwrap();
    pair.is_complete();
}

#[tokio::test]
async fn a_token_that_ends_while_a_body_is_read_is_fetched_again_for_the_rest() {
    let pair = pair(Several::Granted, "ana", "s3cret").await;
    let gate = Gate::new();
    pair.a.script(pair.on_layer(Action::Truncate(100_000)).nth(Nth::Only(1)));
    pair.a.script(pair.on_layer(Action::Hold(gate.clone())).nth(Nth::Only(2)));
    let request = pair.request();
    let revoke = async {
        gate.arrived().await;
        pair.a.revoke_tokens();
        gate.open();
    };
    let (copied, ()) = tokio::join!(pair.send(&request), revoke);
    copied.unwrap();
    pair.is_complete();
}

#[tokio::test]
async fn a_wrong_password_is_unauthenticated_and_nothing_is_written() {
    let pair = pair(Several::Granted, "ana", "wrong").await;
    let refused = pair.fails(Unauthenticated, &[FROM]).await;
    assert!(!refused.message.contains("wrong\""), "{refused}");
    assert!(pair.b.repositories().is_empty(), "{:?}", pair.b.repositories());
}

#[tokio::test]
async fn an_account_that_may_only_read_is_denied_and_nothing_is_written() {
    let pair = pair(Several::Granted, "ron", "pw").await;
    pair.fails(Denied, &[TO, "right"]).await;
    assert!(pair.b.repositories().is_empty(), "{:?}", pair.b.repositories());
}

#[tokio::test]
async fn a_token_server_with_a_limit_is_waited_for() {
    let pair = pair(Several::Granted, "ana", "s3cret").await;
    pair.b.script(Fault::new("/token", too_many(Wait::Seconds(9))).nth(Nth::Only(1)));
    pair.succeeds().await;
    let longest = pair.clock.slept().into_iter().max().unwrap();
    assert_eq!(longest, sealift_domain::quantity::Period::from_secs(9));
}

#[tokio::test]
async fn a_token_server_that_stays_broken_is_transient() {
    let pair = pair(Several::Granted, "ana", "s3cret").await;
    pair.b.script(Fault::new("/token", status(503)));
    pair.fails(Transient, &["token", "503"]).await;
}

#[tokio::test]
async fn answers_of_a_token_server_that_are_no_tokens_are_unauthenticated_and_not_repeated() {
    for body in ["", "{", "{}", "[1]", r#"{"token":""}"#, r#"{"token":"se\u0001cret"}"#, "<html>login</html>"] {
        let pair = pair(Several::Granted, "ana", "s3cret").await;
        let action = Action::Answer { status: 200, headers: Vec::new(), body: body.into() };
        pair.b.script(Fault::new("/token", action));
        let refused = pair.copy().await.unwrap_err();
        is(&refused, Unauthenticated, &["token"]);
        assert!(!refused.message.contains("cret"), "{refused}");
        pair.is_untouched();
    }
}

#[tokio::test]
async fn a_registry_that_refuses_its_own_tokens_is_not_asked_for_ever() {
    let pair = pair(Several::Granted, "ana", "s3cret").await;
    let challenge = format!("Bearer realm=\"http://{0}/token\",service=\"{0}\"", pair.b.address());
    let headers = vec![("www-authenticate".to_owned(), challenge)];
    pair.b.script(Fault::new("*/uploads/*", Action::Answer { status: 401, headers, body: "".into() }));
    let refused = pair.copy().await.unwrap_err();
    is(&refused, Unauthenticated, &[TO]);
    pair.is_untouched();
    assert!(pair.b.log().len() < 60, "{} requests", pair.b.log().len());
}
