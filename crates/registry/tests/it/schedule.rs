//! How many requests a copy takes, and how many of them one after the other. Token requests aside, these are the figures that
//! `docs/copy.md` promises.

use hyper::Method;
use sealift_domain::reference::{Reference, Tag};
use sealift_engine::ports::{
    copy::{Copied, CopyRequest},
    registry::Registry,
};
use sealift_registry::{
    client::Client,
    image::{Built, Format},
    server::{
        Config, Logged, Server,
        script::{Action, Fault, Nth},
    },
};

use crate::support::{assert_complete, client, image, image_for, multi_platform, repository, server};

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// `SERVER/app:v1` to `SERVER/name:v1`, as `sealift copy` asks for it.
fn request(from: &Server, to: &Server, name: &str) -> CopyRequest {
    let from = Reference { repository: repository(from, "app"), tag: Some(tag("v1")), digest: None };
    CopyRequest::new(from, repository(to, name)).tagged(Some(tag("v1")))
}

async fn run(client: &Client, request: &CopyRequest) -> Copied {
    client.copy(request, &()).await.unwrap()
}

/// The requests at these servers, which are forgotten.
fn asked(servers: &[&Server]) -> Vec<Logged> {
    let all = servers.iter().flat_map(|server| server.log()).collect();
    servers.iter().for_each(|server| server.clear_log());
    all
}

async fn source(image: &Built) -> Server {
    let a = server().await;
    a.push("app", image, Some("v1"));
    a
}

#[tokio::test]
async fn a_blob_takes_three_requests_and_everything_around_it_four() {
    let image = image(Format::Oci);
    let (a, b) = (source(&image).await, server().await);
    let copied = run(&client(), &request(&a, &b, "app").without_referrers()).await;
    assert_complete(&b, "app", &image);
    assert_eq!(b.tags("app"), [("v1".to_owned(), image.digest)]);
    let asked = asked(&[&a, &b]);
    assert_eq!(asked.len(), image.blobs.len() * 3 + 4, "{asked:#?}");
    assert_eq!(asked.len() as u64, copied.tally.requests);
    assert!(!asked.iter().any(|logged| logged.method == Method::HEAD), "nothing is asked that an answer to come tells");
}

#[tokio::test]
async fn an_index_takes_two_more_for_each_child() {
    let image = multi_platform(Format::Oci);
    let (a, b) = (source(&image).await, server().await);
    run(&client(), &request(&a, &b, "app").without_referrers()).await;
    assert_complete(&b, "app", &image);
    let blobs: std::collections::BTreeSet<_> = image.blobs.iter().collect();
    assert_eq!(asked(&[&a, &b]).len(), blobs.len() * 3 + (image.manifests.len() - 1) * 2 + 4);
}

#[tokio::test]
async fn a_mount_takes_one_request() {
    let image = image(Format::Oci);
    let a = source(&image).await;
    let copied = run(&client(), &request(&a, &a, "prod").without_referrers()).await;
    assert_complete(&a, "prod", &image);
    assert_eq!(copied.tally.blobs_mounted as usize, image.blobs.len());
    assert_eq!(asked(&[&a]).len(), image.blobs.len() + 4);
}

#[tokio::test]
async fn what_is_there_takes_three_requests_of_which_one_makes_the_registry_look() {
    for image in [image(Format::Oci), multi_platform(Format::Oci)] {
        let (a, b) = (source(&image).await, server().await);
        run(&client(), &request(&a, &b, "app").without_referrers()).await;
        asked(&[&a, &b]);
        let copied = run(&client(), &request(&a, &b, "app").without_referrers()).await;
        let asked = asked(&[&a, &b]);
        assert_eq!(asked.len(), 3, "{asked:#?}");
        assert!(asked[2].method == Method::PUT && asked[2].path.ends_with(&image.digest.to_string()), "{asked:#?}");
        assert_eq!((copied.tally.blobs_copied, copied.tally.bytes), (0, 0));
    }
}

#[tokio::test]
async fn what_is_there_and_lost_a_blob_is_made_whole() {
    let image = image(Format::Oci);
    let (a, b) = (source(&image).await, server().await);
    run(&client(), &request(&a, &b, "app")).await;
    for blob in &image.blobs {
        let digest = sealift_domain::digest::Digest::of(blob);
        assert!(b.remove_blob("app", digest));
        let copied = run(&client(), &request(&a, &b, "app")).await;
        assert_complete(&b, "app", &image);
        assert_eq!((copied.tally.blobs_copied, copied.tally.blobs_skipped), (1, 2));
    }
}

#[tokio::test]
async fn a_registry_that_does_not_find_for_a_moment_what_it_has_is_given_that_moment() {
    let image = image(Format::Oci);
    let (a, b) = (source(&image).await, server().await);
    // As docker-registry answers while somebody else writes the same.
    let body = r#"{"errors":[{"code":"DIGEST_INVALID","message":"x"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"x"}]}"#;
    let action = Action::Answer { status: 400, headers: Vec::new(), body: body.into() };
    b.script(Fault::new("*/manifests/v1", action).method(Method::PUT).nth(Nth::First(2)));
    run(&client(), &request(&a, &b, "app")).await;
    assert_complete(&b, "app", &image);
    assert_eq!(b.tags("app"), [("v1".to_owned(), image.digest)]);
}

#[tokio::test]
async fn a_release_like_the_one_before_moves_only_what_is_new() {
    let (before, now) = (image_for(Format::Oci, "amd64", 1), image_for(Format::Oci, "amd64", 2));
    let (a, b) = (source(&before).await, server().await);
    run(&client(), &request(&a, &b, "app")).await;
    a.push("app", &now, Some("v1"));
    asked(&[&a, &b]);
    let copied = run(&client(), &request(&a, &b, "app").without_referrers()).await;
    assert_complete(&b, "app", &now);
    // One layer is shared and, thanks to the tag, not even asked for; the other one and the configuration are new.
    assert_eq!((copied.tally.blobs_copied, copied.tally.blobs_skipped), (2, 1));
    assert_eq!(asked(&[&a, &b]).len(), 2 * 3 + 4);
}

#[tokio::test]
async fn without_a_hint_the_registry_itself_tells_what_it_has() {
    let image = image(Format::Oci);
    let (a, b) = (source(&image).await, server().await);
    run(&client(), &request(&a, &b, "app")).await;
    asked(&[&a, &b]);
    let other = request(&a, &b, "app").without_referrers().tagged(Some(tag("v2")));
    let copied = run(&client(), &other).await;
    assert_eq!((copied.tally.blobs_copied, copied.tally.blobs_skipped), (0, 3));
    let puts = asked(&[&a, &b]).iter().filter(|l| l.method == Method::PUT && l.path.contains("/blobs/")).count();
    assert_eq!(puts, 0);
    assert_eq!(b.tags("app").len(), 2);
}

#[tokio::test]
async fn an_image_without_referrers_takes_no_longer_way_with_them() {
    let image = image(Format::Oci);
    let (a, b) = (source(&image).await, server().await);
    run(&client(), &request(&a, &b, "app")).await;
    // The list, its fallback tag and three tags of cosign, all at once while the blobs are under way.
    assert_eq!(asked(&[&a, &b]).len(), image.blobs.len() * 3 + 4 + 5);
    run(&client(), &request(&a, &b, "app")).await;
    assert_eq!(asked(&[&a, &b]).len(), 3 + 5);
}

#[tokio::test]
async fn a_tag_within_one_repository_takes_a_question_for_each_blob_and_four_requests() {
    let image = image(Format::Oci);
    let a = source(&image).await;
    run(&client(), &request(&a, &a, "app").tagged(Some(tag("v2")))).await;
    assert_eq!(a.tags("app").len(), 2);
    assert_eq!(asked(&[&a]).len(), image.blobs.len() + 4);
}

#[tokio::test]
async fn twenty_writers_at_once_lose_no_entry_of_a_fallback_list() {
    use std::sync::Arc;

    use sealift_domain::{digest::Digest, quantity::Period};
    use sealift_engine::ports::clock::Clock;
    use sealift_registry::{
        client::Options,
        image::{Builder, Layer},
    };

    /// Every writer is a process of its own, so each has its own client and waits for real.
    struct Real;
    #[async_trait::async_trait]
    impl Clock for Real {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::now()
        }
        async fn sleep(&self, period: Period) {
            tokio::time::sleep(period.as_duration()).await;
        }
    }

    let image = image(Format::Oci);
    let b = Server::start(Config { referrers: false, ..Config::default() }).await.unwrap();
    let mut writers = Vec::new();
    let mut wanted = Vec::new();
    for n in 0..20 {
        let a = source(&image).await;
        let sbom = Builder::new()
            .artifact_type("application/spdx+json")
            .subject(&image)
            .layer(Layer::tar(format!("sbom {n}")))
            .build();
        a.push("app", &sbom, None);
        wanted.push(sbom.digest);
        let request = request(&a, &b, "app");
        writers.push(async move {
            let client = Client::new(Options::default(), Arc::new(Real)).unwrap();
            client.copy(&request, &()).await.unwrap();
            drop(a);
        });
    }
    futures_util::future::join_all(writers).await;
    let fallback = format!("sha256-{}", image.digest.hex());
    let named = b.tags("app").into_iter().find(|(tag, _)| *tag == fallback).unwrap().1;
    let list: serde_json::Value = serde_json::from_slice(&b.manifest("app", named).unwrap().bytes).unwrap();
    let listed: Vec<Digest> = list["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(listed.len(), 20, "each one once");
    assert!(wanted.iter().all(|digest| listed.contains(digest)));
}
