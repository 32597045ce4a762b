//! Mounts that are refused, misunderstood, or only said to have been made.

use hyper::Method;
use sealift_domain::digest::Digest;
use sealift_engine::ports::{copy::CopyRequest, registry::RegistryErrorKind::Corrupt};
use sealift_registry::server::{
    Config,
    script::{Action, Fault, Nth, status},
};

use super::{FROM, Pair, TO, careless, is, requests, tag};
use crate::{
    honest::assert_honest,
    support::{assert_complete, repository},
};

/// Copies within the source's registry, where mounts are tried.
async fn within(
    pair: &Pair,
) -> Result<sealift_engine::ports::copy::Copied, sealift_engine::ports::registry::RegistryError> {
    let copied = pair.send_unjudged(&inside(pair)).await;
    assert_honest(&pair.a, TO);
    copied
}

fn inside(pair: &Pair) -> CopyRequest {
    CopyRequest { to: repository(&pair.a, TO), ..pair.request() }.tagged(Some(tag("v1")))
}

async fn one_registry(config: Config) -> Pair {
    Pair::between(config, careless()).await
}

#[tokio::test]
async fn mounts_answered_with_202_go_on_in_the_upload_that_was_opened() {
    let pair = one_registry(careless()).await;
    pair.a.script(Fault::new("*/blobs/uploads/*?*mount=*", Action::RefuseMount));
    let copied = within(&pair).await.unwrap();
    assert_complete(&pair.a, TO, &pair.image);
    assert_eq!((copied.tally.blobs_copied, copied.tally.blobs_mounted), (3, 0));
    assert_eq!(requests(&pair.a, &Method::POST, "/blobs/uploads/"), 3, "one upload for each blob");
    assert_eq!(pair.a.open_uploads(TO), 0);
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_a_plain_upload() {
    for code in [400, 403, 404, 405] {
        let pair = one_registry(careless()).await;
        pair.a.script(Fault::new("*/blobs/uploads/*?*mount=*", status(code)));
        let copied = within(&pair).await.unwrap_or_else(|refused| panic!("{code}: {refused}"));
        assert_complete(&pair.a, TO, &pair.image);
        assert_eq!(copied.tally.blobs_copied, 3, "{code}");
    }
}

#[tokio::test]
async fn a_mount_that_fails_for_a_while_is_tried_again() {
    let pair = one_registry(careless()).await;
    pair.a.script(Fault::new("*/blobs/uploads/*?*mount=*", status(502)).nth(Nth::First(2)));
    pair.a.script(Fault::new("*/blobs/uploads/*?*mount=*", Action::ResetAfter).nth(Nth::Only(3)));
    within(&pair).await.unwrap();
    assert_complete(&pair.a, TO, &pair.image);
}

#[tokio::test]
async fn a_mount_that_was_never_made_is_noticed_when_the_manifest_is_refused() {
    let pair = one_registry(Config::default()).await;
    pair.a.script(Fault::new("*/blobs/uploads/*?*mount=*", status(201)).nth(Nth::First(2)));
    within(&pair).await.unwrap();
    assert_complete(&pair.a, TO, &pair.image);
    assert!(pair.a.tags(TO).contains(&("v1".to_owned(), pair.image.digest)));
}

#[tokio::test]
async fn mounts_that_are_never_made_are_an_error_that_names_a_blob() {
    let pair = one_registry(Config::default()).await;
    pair.a.script(Fault::new("*/blobs/uploads/*?*mount=*", status(201)));
    match within(&pair).await {
        Ok(_) => assert_complete(&pair.a, TO, &pair.image),
        Err(refused) => {
            let named = pair.image.blobs.iter().any(|blob| refused.message.contains(&Digest::of(blob).to_string()));
            assert!(named, "{refused}");
            assert_eq!(pair.a.tags(TO), []);
        }
    }
}

#[tokio::test]
async fn a_mount_under_another_digest_is_corrupt() {
    let pair = one_registry(careless()).await;
    let lie = Action::Header("docker-content-digest".to_owned(), Digest::of(b"lie").to_string());
    pair.a.script(Fault::new("*/blobs/uploads/*?*mount=*", lie));
    is(&within(&pair).await.unwrap_err(), Corrupt, &[&Digest::of(b"lie").to_string()]);
    assert_eq!(pair.a.tags(TO), []);
}

#[tokio::test]
async fn a_mount_from_the_destination_itself_finds_what_is_there() {
    let pair = Pair::new().await;
    for blob in &pair.image.blobs[1..] {
        pair.b.put_blob(TO, blob.clone());
    }
    let copied = pair.succeeds().await;
    assert_eq!(copied.tally.blobs_copied, 1, "{:?}", copied.tally);
    assert_eq!(requests(&pair.b, &Method::PUT, "/blobs/uploads/"), 1);
}

#[tokio::test]
async fn a_destination_that_cannot_say_what_it_has_is_given_everything() {
    for code in [202, 400, 405] {
        let pair = Pair::new().await;
        pair.b.put_blob(TO, pair.image.blobs[1].clone());
        let action = if code == 202 { Action::RefuseMount } else { status(code) };
        pair.b.script(Fault::new("*/blobs/uploads/*?*mount=*", action));
        pair.succeeds().await;
    }
}

#[tokio::test]
async fn a_source_within_the_same_registry_that_may_not_be_read_by_mounts_is_copied() {
    let pair = one_registry(Config { mounts: false, careless: true, ..Config::default() }).await;
    within(&pair).await.unwrap();
    assert_complete(&pair.a, TO, &pair.image);
    assert_complete(&pair.a, FROM, &pair.image);
}
