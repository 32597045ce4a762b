//! Mirrors are asked for bytes with a digest, and whatever they do wrong harms nothing.

use std::{collections::BTreeMap, sync::Arc};

use hyper::Method;
use sealift_domain::{
    digest::Digest,
    reference::{Reference, Tag},
};
use sealift_engine::ports::{
    copy::CopyRequest,
    registry::{Registry, RegistryErrorKind, TagMode},
};
use sealift_registry::{
    client::{Client, Options},
    credentials::Credential,
    image::{Built, Format},
    secret::Secret,
    server::{
        Access, Account, Config, Logged, Server, Several,
        script::{Action, Fault, status},
    },
};

use crate::support::{
    FakeClock, ana, assert_complete, copy, count, image, logged_in, multi_platform, repository, server,
};

/// Options with mirrors of `of`, the first one first.
fn mirrored(of: &Server, mirrors: &[&str], options: Options) -> Options {
    let list = mirrors.iter().map(|host| (*host).to_owned()).collect();
    Options { mirrors: BTreeMap::from([(of.address().to_string(), list)]), ..options }
}

fn host(server: &Server) -> String {
    server.address().to_string()
}

/// A client, and its clock, which knows how often it waited.
fn client(options: Options) -> (Client, Arc<FakeClock>) {
    let clock = FakeClock::new();
    (Client::new(options, clock.clone()).unwrap(), clock)
}

async fn with(image: &Built) -> Server {
    let server = server().await;
    server.push("team/app", image, Some("v1"));
    server
}

/// Whether a request reads bytes by digest.
fn reads(logged: &Logged) -> bool {
    logged.method == Method::GET && logged.path.contains("/sha256:")
}

#[tokio::test]
async fn bytes_come_from_the_mirror_and_everything_else_from_the_registry() {
    let image = multi_platform(Format::Oci);
    let (a, m, b) = (with(&image).await, with(&image).await, server().await);
    let options = mirrored(&a, &[&host(&m)], Options::default());
    let mirrors = BTreeMap::from([(host(&a), vec![host(&m)]), (host(&b), vec![host(&m)])]);
    let (client, _) = client(Options { mirrors, ..options });
    let v1: Tag = "v1".parse().unwrap();
    let (from, to) = (repository(&a, "team/app"), repository(&b, "app"));
    assert_eq!(client.resolve(&from, &v1).await.unwrap(), Some(image.digest));
    assert_eq!(m.log().len(), 0, "a tag is not asked of a mirror");
    let copied = copy(&client, &from.at(image.digest), &to, &()).await.unwrap();
    client.tag(&to.at(image.digest), &v1, TagMode::Moving).await.unwrap();
    assert_complete(&b, "app", &image);
    assert_eq!(count(&a, reads), 0);
    assert_eq!(count(&m, reads), image.manifests.len() + usize::try_from(copied.blobs_copied).unwrap());
    assert_eq!(count(&m, |logged| !reads(logged)), 0, "a mirror is neither written nor asked what it has");
    assert!(m.log().iter().all(|logged| logged.path.starts_with("/v2/team/app/")), "the target is read back itself");
    m.clear_log();
    client.inspect(&from.at(image.digest)).await.unwrap();
    copy(&client, &from.at(image.digest), &from, &()).await.unwrap();
    let config = |logged: &Logged| logged.path.contains("/blobs/");
    assert_eq!(count(&m, |logged| !config(logged)), 0, "what a registry has is asked of itself");
}

#[tokio::test]
async fn a_mirror_that_fails_is_made_up_for_at_once_and_not_asked_again() {
    let image = image(Format::Oci);
    for (name, action, asked_again) in [
        ("not there", status(404), true),
        ("refused", status(403), false),
        ("broken", status(500), false),
        ("overloaded", status(503), false),
        ("too many", status(429), false),
        ("reset", Action::Reset, false),
        ("other bytes", Action::Corrupt(5), false),
        ("cut", Action::Truncate(7), false),
    ] {
        for pattern in ["*/manifests/*", "*/blobs/*"] {
            let (a, m, b) = (with(&image).await, with(&image).await, server().await);
            m.script(Fault::new(pattern, action.clone()));
            let (client, clock) = client(Options { concurrency: 1, ..mirrored(&a, &[&host(&m)], Options::default()) });
            let (from, to) = (repository(&a, "team/app").at(image.digest), repository(&b, "app"));
            copy(&client, &from, &to, &()).await.unwrap_or_else(|error| panic!("{name} {pattern}: {error}"));
            assert_complete(&b, "app", &image);
            assert!(clock.slept().is_empty(), "{name} {pattern}: {:?}", clock.slept());
            let failing = |logged: &Logged| logged.path.contains(pattern.trim_matches('*'));
            // Blobs are under way together, so each may find out for itself; whatever comes after knows.
            let most = if pattern == "*/blobs/*" { image.blobs.len() } else { 1 };
            let asked = count(&m, failing);
            assert!((1..=most).contains(&asked) && (!asked_again || asked == most), "{name} {pattern}: {asked}");
            m.clear_log();
            copy(&client, &from, &repository(&b, "again"), &()).await.unwrap();
            assert_eq!(count(&m, failing) > 0, asked_again, "{name} {pattern}");
        }
    }
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_a_dead_one_is_passed_over() {
    let image = image(Format::Oci);
    let (a, second, b) = (with(&image).await, with(&image).await, server().await);
    let dead = {
        let gone = server().await;
        host(&gone)
    };
    let (client, clock) = client(mirrored(&a, &[&dead, &host(&second)], Options::default()));
    copy(&client, &repository(&a, "team/app").at(image.digest), &repository(&b, "app"), &()).await.unwrap();
    assert_complete(&b, "app", &image);
    assert_eq!((count(&a, reads), clock.slept().len()), (0, 0));
    assert_eq!(count(&second, reads), image.manifests.len() + image.blobs.len());
}

#[tokio::test]
async fn a_crowd_of_requests_asks_a_dead_mirror_once() {
    let image = image(Format::Oci);
    let (a, m, b) = (with(&image).await, with(&image).await, server().await);
    m.script(Fault::new("*", Action::Reset));
    let (client, clock) = client(mirrored(&a, &[&host(&m)], Options::default()));
    // By tag, the manifest comes from the registry itself: the first that is asked of the mirror are all blobs at once.
    let from = Reference { repository: repository(&a, "team/app"), tag: Some("v1".parse().unwrap()), digest: None };
    let request = CopyRequest::new(from, repository(&b, "app")).without_referrers();
    client.copy(&request, &()).await.unwrap();
    assert_complete(&b, "app", &image);
    assert_eq!((m.log().len(), clock.slept().len()), (1, 0));
}

#[tokio::test]
async fn with_lying_mirrors_only_the_registrys_own_failure_counts() {
    let image = image(Format::Oci);
    let (a, first, second, b) = (with(&image).await, with(&image).await, with(&image).await, server().await);
    for mirror in [&first, &second] {
        mirror.script(Fault::new("*/blobs/*", Action::Corrupt(0)));
    }
    let layer = format!("*/blobs/{}", Digest::of(&image.blobs[1]));
    a.script(Fault::new(&layer, Action::Truncate(0)).method(Method::GET));
    let (client, clock) =
        client(Options { concurrency: 1, ..mirrored(&a, &[&host(&first), &host(&second)], Options::default()) });
    let refused = copy(&client, &repository(&a, "team/app").at(image.digest), &repository(&b, "app"), &()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Transient, "{refused}");
    assert!(refused.message.contains("given up after 3 tries"), "{refused}");
    assert_eq!(clock.slept().len(), 2, "mirrors cost no wait");
    for mirror in [&first, &second] {
        let asked = count(mirror, |logged| logged.path.contains("/blobs/"));
        assert!((1..=image.blobs.len()).contains(&asked), "{asked}");
    }
    assert!(b.manifest("app", image.digest).is_none());
}

#[tokio::test]
async fn when_nobody_has_it_the_registry_is_named_first_and_its_mirrors_after_it() {
    let image = image(Format::Oci);
    let (a, m) = (server().await, server().await);
    let (client, _) = client(mirrored(&a, &[&host(&m)], Options::default()));
    let refused = client.manifest(&repository(&a, "team/app").at(image.digest)).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::NotFound);
    let (own, mirror) = (refused.message.find(&host(&a)).unwrap(), refused.message.find(&host(&m)).unwrap());
    assert!(own < mirror, "{refused}");
}

#[tokio::test]
async fn a_mirror_gets_its_own_login_and_never_the_registrys() {
    let image = image(Format::Oci);
    let stranger = Account { user: "mia".to_owned(), password: "m1rror".to_owned(), ..ana() };
    let tokens = |account| Access::Token {
        accounts: vec![account],
        anonymous_pull: false,
        expires_in: None,
        realm: None,
        several: Several::Granted,
    };
    for access in [Access::Basic(vec![ana()]), tokens(ana())] {
        for knows_mirror in [false, true] {
            let own = Config { access: access.clone(), ..Config::default() };
            // The mirror would take the registry's login, so that it is surely not for lack of a match that it gets none.
            let a = Server::start(own.clone()).await.unwrap();
            let m = Server::start(if knows_mirror {
                Config { access: tokens(stranger.clone()), ..Config::default() }
            } else {
                own
            })
            .await
            .unwrap();
            let b = server().await;
            a.push("team/app", &image, None);
            m.push("team/app", &image, None);
            let mut options = logged_in(&[&a], "ana", "s3cret");
            if knows_mirror {
                let theirs = Credential::Password { user: "mia".to_owned(), password: Secret::new("m1rror") };
                options.credentials = options.credentials.with(host(&m), theirs);
            }
            let (client, _) = client(mirrored(&a, &[&host(&m)], options));
            copy(&client, &repository(&a, "team/app").at(image.digest), &repository(&b, "app"), &()).await.unwrap();
            assert_complete(&b, "app", &image);
            let authorized = count(&m, |logged| logged.authorized && logged.status == 200);
            assert_eq!(authorized > 0, knows_mirror, "{:?}", m.log());
            assert_eq!(count(&a, reads) > 0, !knows_mirror);
        }
    }
}

#[test]
fn what_is_no_host_is_refused_as_a_mirror() {
    let mirrors = BTreeMap::from([("r.example".to_owned(), vec!["https://m.example".to_owned()])]);
    let refused = Client::new(Options { mirrors, ..Options::default() }, FakeClock::new()).map(drop).unwrap_err();
    assert!(refused.message.contains("`https://m.example` is not the host of a registry"), "{refused}");
}
