//! Registries that send to other hosts. What is meant for the registry stays with the registry.

use hyper::Method;
use sealift_engine::ports::registry::RegistryErrorKind::{Denied, Malformed, Unauthenticated};
use sealift_registry::server::{
    Access, Config, Server, Several,
    script::{Action, Fault, Nth, status},
};

use super::{FROM, Pair, TO, careless};
use crate::support::{ana, logged_in, server};

fn tokens() -> Access {
    Access::Token {
        accounts: vec![ana()],
        anonymous_pull: false,
        expires_in: None,
        realm: None,
        several: Several::Granted,
    }
}

/// A source with tokens whose blobs are on another host. The other host has them and asks for nothing.
async fn with_store() -> (Pair, Server) {
    let pair = Pair::between(Config { access: tokens(), ..Config::default() }, careless()).await;
    let options = logged_in(&[&pair.a], "ana", "s3cret");
    let pair = pair.options(options);
    let store = server().await;
    store.push(FROM, &pair.image, None);
    pair.a.script(Fault::new("*/blobs/*", to(&store)).method(Method::GET));
    (pair, store)
}

fn to(server: &Server) -> Action {
    Action::Redirect(format!("http://{}", server.address()))
}

fn nothing_authorised(server: &Server) {
    assert!(!server.log().is_empty(), "the other host was asked");
    assert!(server.log().iter().all(|logged| !logged.authorized), "{:?}", server.log());
}

#[tokio::test]
async fn attack_18_blobs_come_from_another_host_and_the_token_does_not_go_there() {
    let (pair, store) = with_store().await;
    pair.succeeds().await;
    nothing_authorised(&store);
    assert!(pair.a.log().iter().any(|logged| logged.authorized));
}

#[tokio::test]
async fn a_body_that_breaks_off_on_another_host_is_gone_on_with() {
    let (pair, store) = with_store().await;
    store.script(pair.on_layer(Action::Truncate(100_000)).nth(Nth::Only(1)));
    pair.succeeds().await;
    nothing_authorised(&store);
    assert!(store.log().iter().any(|logged| logged.range.as_deref() == Some("bytes=100000-")), "{:?}", store.log());
}

#[tokio::test]
async fn wrong_bytes_from_another_host_complete_nothing() {
    let (pair, store) = with_store().await;
    store.script(pair.on_layer(Action::Corrupt(7)));
    pair.fails(sealift_engine::ports::registry::RegistryErrorKind::Corrupt, &[&pair.layer().to_string()]).await;
}

#[tokio::test]
async fn another_host_that_refuses_is_not_shown_a_credential() {
    let (pair, store) = with_store().await;
    store.script(pair.on_layer(status(403)));
    pair.fails(Denied, &["403"]).await;
    nothing_authorised(&store);
}

#[tokio::test]
async fn another_host_that_asks_for_a_login_does_not_get_one() {
    let (pair, store) = with_store().await;
    let challenge = vec![("www-authenticate".to_owned(), "Basic realm=\"give\"".to_owned())];
    store.script(pair.on_layer(Action::Answer { status: 401, headers: challenge, body: "".into() }));
    pair.fails(Unauthenticated, &["401"]).await;
    nothing_authorised(&store);
}

#[tokio::test]
async fn two_hosts_that_send_to_each_other_are_left() {
    let (pair, store) = with_store().await;
    store.script(Fault::new("*/blobs/*", to(&pair.a)));
    pair.fails(Malformed, &["redirects"]).await;
    assert!(store.log().len() < 60, "{} requests", store.log().len());
    nothing_authorised(&store);
}

#[tokio::test]
async fn attack_17_a_host_in_the_clear_is_not_spoken_to() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(Action::Redirect("http://169.254.169.254".to_owned())));
    pair.fails(Malformed, &["http://169.254.169.254"]).await;
    assert_eq!(pair.reads(), 1);
}

#[tokio::test]
async fn manifests_are_redirected_too() {
    let pair = Pair::between(Config { access: tokens(), ..Config::default() }, careless()).await;
    let options = logged_in(&[&pair.a], "ana", "s3cret");
    let pair = pair.options(options);
    let store = server().await;
    store.push(FROM, &pair.image, Some("v1"));
    pair.a.script(Fault::new("*/manifests/*", to(&store)).method(Method::GET));
    pair.succeeds().await;
    nothing_authorised(&store);
}

#[tokio::test]
async fn attack_18_an_upload_location_on_another_host_gets_the_bytes_and_no_credential() {
    let pair = Pair::between(Config::default(), Config { access: Access::Basic(vec![ana()]), ..careless() }).await;
    let options = logged_in(&[&pair.b], "ana", "s3cret");
    let pair = pair.options(options);
    let other = server().await;
    let place = format!("http://{}/v2/{TO}/blobs/uploads/x?_state=y", other.address());
    pair.b.script(Fault::new("*/blobs/uploads/*", Action::Header("location".to_owned(), place)).method(Method::POST));
    // The other host knows no such upload; what matters is what it was told.
    let refused = pair.copy().await.unwrap_err();
    assert_eq!(pair.b.tags(TO), [], "{refused}");
    nothing_authorised(&other);
}
