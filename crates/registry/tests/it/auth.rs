//! Logging in, and where credentials go.

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use sealift_domain::{digest::Digest, quantity::Period};
use sealift_engine::ports::registry::{Registry, RegistryErrorKind};
use sealift_registry::{
    client::{Client, Options},
    credentials::{Credential, CredentialSource},
    image::Format,
    secret::Secret,
    server::{
        Access, Config, Server, Several,
        script::{Action, Fault, Gate, Nth},
    },
};

use crate::support::{
    FakeClock, ana, assert_complete, client, client_with, copy, count, image, logged_in, multi_platform, reader,
    repository, server,
};

async fn with_access(access: Access) -> Server {
    Server::start(Config { access, ..Config::default() }).await.unwrap()
}

fn tokens(anonymous_pull: bool, expires_in: Option<u64>) -> Access {
    Access::Token {
        accounts: vec![ana(), reader()],
        anonymous_pull,
        expires_in,
        realm: None,
        several: Several::Granted,
    }
}

fn token_requests(server: &Server) -> usize {
    count(server, |logged| logged.path == "/token")
}

#[tokio::test]
async fn a_copy_between_two_registries_with_tokens_works_and_tokens_are_reused() {
    let (a, b) = (with_access(tokens(false, Some(300))).await, with_access(tokens(false, Some(300))).await);
    let image = multi_platform(Format::Oci);
    a.push("team/app", &image, None);
    let client = client_with(logged_in(&[&a, &b], "ana", "s3cret"));
    let (from, to) = (repository(&a, "team/app").at(image.digest), repository(&b, "app"));
    let copied = copy(&client, &from, &to, &()).await.unwrap();
    assert_complete(&b, "app", &image);
    assert_eq!(token_requests(&a), 1, "reading");
    assert_eq!(token_requests(&b), 1, "reading and writing with one token");
    assert_eq!(copied.requests as usize, a.log().len() + b.log().len());
}

#[tokio::test]
async fn a_crowd_of_requests_shares_one_token() {
    let a = with_access(tokens(false, None)).await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let client = client_with(logged_in(&[&a], "ana", "s3cret"));
    let pinned = repository(&a, "app").at(image.digest);
    let all = join_all((0..20).map(|_| client.manifest(&pinned))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(token_requests(&a), 1);
    assert_eq!(count(&a, |logged| logged.status == 401), 1, "only the first request was challenged");
}

#[tokio::test]
async fn a_token_is_fetched_again_when_it_expires_or_is_revoked() {
    for (expires_in, life) in [(None, 60), (Some(300), 300)] {
        let a = with_access(tokens(true, expires_in)).await;
        let image = image(Format::Oci);
        a.push("app", &image, None);
        let clock = FakeClock::new();
        let client = Client::new(Options::default(), clock.clone()).unwrap();
        let pinned = repository(&a, "app").at(image.digest);
        client.manifest(&pinned).await.unwrap();
        clock.advance(Period::from_secs(life * 8 / 10));
        client.manifest(&pinned).await.unwrap();
        assert_eq!(token_requests(&a), 1);
        clock.advance(Period::from_secs(life * 2 / 10));
        client.manifest(&pinned).await.unwrap();
        assert_eq!(token_requests(&a), 2);
        a.revoke_tokens();
        client.manifest(&pinned).await.unwrap();
        assert_eq!(token_requests(&a), 3);
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_between_post_and_put_starts_the_upload_again() {
    let (a, b) = (server().await, with_access(tokens(false, None)).await);
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let gate = Gate::new();
    // The source is held, so the revocation surely comes after the upload was opened.
    a.script(Fault::new("*/blobs/*", Action::Hold(gate.clone())).method(Method::GET));
    let client = client_with(Options { concurrency: 1, ..logged_in(&[&b], "ana", "s3cret") });
    let (from, to) = (repository(&a, "app").at(image.digest), repository(&b, "app"));
    let copy = copy(&client, &from, &to, &());
    let revoke = async {
        gate.arrived().await;
        b.revoke_tokens();
        gate.open();
    };
    let (copied, ()) = tokio::join!(copy, revoke);
    copied.unwrap();
    assert_complete(&b, "app", &image);
}

#[tokio::test]
async fn basic_and_identity_tokens_let_in() {
    let a = with_access(Access::Basic(vec![ana()])).await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let client = client_with(logged_in(&[&a], "ana", "s3cret"));
    copy(&client, &repository(&a, "app").at(image.digest), &repository(&a, "b"), &()).await.unwrap();
    assert_complete(&a, "b", &image);
    assert_eq!(count(&a, |logged| logged.status == 401), 2, "both repositories are asked at once");

    let a = with_access(tokens(false, None)).await;
    a.push("app", &image, None);
    let credential = Credential::IdentityToken(Secret::new("refresh-ana"));
    let credentials = CredentialSource::none().with(a.address().to_string(), credential);
    let client = client_with(Options { credentials, ..Options::default() });
    copy(&client, &repository(&a, "app").at(image.digest), &repository(&a, "b"), &()).await.unwrap();
    assert_complete(&a, "b", &image);
    assert!(count(&a, |logged| logged.path == "/token" && logged.method == Method::POST) > 0);
}

#[tokio::test]
async fn a_credential_file_lets_in() {
    let a = with_access(tokens(false, None)).await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    // base64 of `ana:s3cret`
    std::fs::write(&file, format!(r#"{{"auths":{{"{}":{{"auth":"YW5hOnMzY3JldA=="}}}}}}"#, a.address())).unwrap();
    let credentials = CredentialSource::none().with_files([directory.path().join("absent.json"), file]);
    let client = client_with(Options { credentials, ..Options::default() });
    client.manifest(&repository(&a, "app").at(image.digest)).await.unwrap();
}

#[tokio::test]
async fn wrong_missing_and_weak_logins_are_told_apart_and_no_error_shows_a_secret() {
    let image = image(Format::Oci);
    for access in [tokens(false, None), Access::Basic(vec![ana(), reader()])] {
        let a = with_access(access).await;
        a.push("app", &image, None);
        let pinned = repository(&a, "app").at(image.digest);
        for options in [logged_in(&[&a], "ana", "wr0ng"), Options::default()] {
            let refused = client_with(options).manifest(&pinned).await.unwrap_err();
            assert_eq!(refused.kind, RegistryErrorKind::Unauthenticated, "{refused}");
            assert!(!refused.message.contains("wr0ng") && !format!("{refused:?}").contains("YW5h"), "{refused}");
        }
        let weak = client_with(logged_in(&[&a], "ron", "pw"));
        weak.manifest(&pinned).await.unwrap();
        let refused = copy(&weak, &pinned, &repository(&a, "prod"), &()).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Denied, "{refused}");
    }
}

#[tokio::test]
async fn a_token_server_that_gives_one_scope_at_a_time_still_lets_a_copy_through() {
    let Access::Token { accounts, anonymous_pull, expires_in, realm, .. } = tokens(false, None) else {
        panic!("tokens")
    };
    let a = with_access(Access::Token { accounts, anonymous_pull, expires_in, realm, several: Several::Refused }).await;
    let image = image(Format::Oci);
    a.push("staging", &image, None);
    let client = client_with(logged_in(&[&a], "ana", "s3cret"));
    let copied =
        copy(&client, &repository(&a, "staging").at(image.digest), &repository(&a, "prod"), &()).await.unwrap();
    assert_complete(&a, "prod", &image);
    assert_eq!((copied.blobs_copied, copied.blobs_mounted), (3, 0), "the right to mount was not given");
}

#[tokio::test]
async fn attack_17_passwords_are_not_sent_to_a_realm_in_the_clear() {
    let realm = Some("http://tokens.example/token".to_owned());
    let access = Access::Token {
        accounts: vec![ana()],
        anonymous_pull: false,
        expires_in: None,
        realm,
        several: Several::Granted,
    };
    let a = with_access(access).await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let refused = client_with(logged_in(&[&a], "ana", "s3cret"))
        .manifest(&repository(&a, "app").at(image.digest))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Unauthenticated);
    assert!(refused.message.contains("tokens.example") && refused.message.contains("not an https URL"), "{refused}");
}

fn redirect(location: String) -> Action {
    Action::Answer { status: 307, headers: vec![("location".to_owned(), location)], body: Bytes::new() }
}

#[tokio::test]
async fn attack_18_a_redirect_to_another_host_is_followed_without_the_token() {
    for access in [tokens(false, None), Access::Basic(vec![ana()])] {
        let (a, storage) = (with_access(access).await, server().await);
        let image = image(Format::Oci);
        a.push("app", &image, None);
        storage.push("app", &image, None);
        let layer = format!("/v2/app/blobs/{}", Digest::of(&image.blobs[1]));
        let target = format!("http://{}{layer}?signature=x", storage.address());
        let client = client_with(logged_in(&[&a], "ana", "s3cret"));
        let b = server().await;
        client.manifest(&repository(&a, "app").at(image.digest)).await.unwrap();
        a.script(Fault::new(&layer, redirect(target)).method(Method::GET));
        copy(&client, &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap();
        assert_complete(&b, "app", &image);
        let seen = storage.log();
        assert_eq!((seen.len(), seen[0].query.as_str(), seen[0].authorized), (1, "signature=x", false));
        assert!(a.log().iter().any(|logged| logged.path == layer && logged.authorized));
    }
}

#[tokio::test]
async fn a_redirect_target_that_asks_for_a_login_gets_none() {
    for access in [Access::Basic(vec![ana()]), tokens(false, None)] {
        let (a, other) = (server().await, with_access(access).await);
        let image = image(Format::Oci);
        a.push("app", &image, None);
        let client = client_with(logged_in(&[&a, &other], "ana", "s3cret"));
        let pinned = repository(&a, "app").at(image.digest);
        let elsewhere = redirect(format!("http://{}/v2/app/manifests/x", other.address()));
        a.script(Fault::new("*/manifests/*", elsewhere).nth(Nth::First(2)));
        for _ in 0..2 {
            let refused = client.manifest(&pinned).await.unwrap_err();
            assert_eq!(refused.kind, RegistryErrorKind::Unauthenticated);
        }
        client.manifest(&pinned).await.unwrap();
        assert!(other.log().iter().all(|logged| !logged.authorized && logged.path != "/token"), "{:?}", other.log());
        assert!(a.log().iter().all(|logged| !logged.authorized), "the registry itself never asked");
    }
}

#[tokio::test]
async fn redirects_in_a_circle_or_to_plain_http_elsewhere_are_refused() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    a.script(Fault::new("*/manifests/*", redirect("?again".to_owned())).nth(Nth::First(6)));
    let refused = client().manifest(&pinned).await.unwrap_err();
    assert!(refused.message.contains("more than 5 redirects"), "{refused}");
    a.script(Fault::new("*/manifests/*", redirect("http://169.254.169.254/latest?signature=s3cret".to_owned())));
    let refused = client().manifest(&pinned).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Malformed);
    assert!(refused.message.contains("169.254.169.254") && !refused.message.contains("s3cret"), "{refused}");
}
