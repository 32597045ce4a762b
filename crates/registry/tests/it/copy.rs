//! Copies between and within registries.

use hyper::Method;
use sealift_domain::digest::Digest;
use sealift_engine::ports::{
    copy::{CopyEvent, CopyPlan},
    registry::RegistryErrorKind,
};
use sealift_registry::{
    image::Format,
    server::{Config, Server},
};

use crate::support::{Events, assert_complete, client, copy, count, image, multi_platform, plan, repository, server};

#[tokio::test]
async fn an_image_arrives_byte_for_byte_and_no_tag_is_written() {
    for format in [Format::Oci, Format::Docker] {
        let (a, b) = (server().await, server().await);
        let image = image(format);
        a.push("app", &image, Some("v1"));
        let (events, client) = (Events::default(), client());
        let (from, to) = (repository(&a, "app").at(image.digest), repository(&b, "prod/app"));
        let copied = copy(&client, &from, &to, &events).await.unwrap();
        assert_complete(&b, "prod/app", &image);
        assert_eq!(b.tags("prod/app"), []);
        let total: u64 = image.blobs.iter().map(|blob| blob.len() as u64).sum();
        assert_eq!((copied.blobs_copied, copied.bytes, copied.manifests), (3, total, 1));
        assert_eq!(copied.requests as usize, a.log().len() + b.log().len());
        let events = events.0.into_inner().unwrap();
        assert_eq!(events[0], CopyEvent::Found { blobs: 3, bytes: total });
        let moved: u64 = events.iter().map(|event| if let CopyEvent::Moved(n) = event { *n } else { 0 }).sum();
        assert_eq!(moved, total);
        assert_eq!(events.iter().filter(|event| matches!(event, CopyEvent::BlobCopied(_))).count(), 3);
    }
}

#[tokio::test]
async fn an_index_arrives_with_all_platforms_and_attestations_and_its_root_comes_last() {
    for format in [Format::Oci, Format::Docker] {
        let a = server().await;
        let b = Server::start(Config { absolute_locations: true, ..Config::default() }).await.unwrap();
        let image = multi_platform(format);
        a.push("app", &image, None);
        let copied =
            copy(&client(), &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap();
        assert_complete(&b, "app", &image);
        assert_eq!(copied.manifests, 4);
        let puts: Vec<String> = b
            .log()
            .into_iter()
            .filter(|l| l.method == Method::PUT && l.path.contains("/manifests/"))
            .map(|l| l.path)
            .collect();
        assert_eq!(puts.len(), 4);
        assert!(puts[3].ends_with(&image.digest.to_string()));
    }
}

#[tokio::test]
async fn a_second_copy_moves_no_blob() {
    let (a, b) = (server().await, server().await);
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let client = client();
    let (from, to) = (repository(&a, "app").at(image.digest), repository(&b, "app"));
    assert_eq!(
        plan(&client, &from, &to).await.unwrap(),
        CopyPlan {
            bytes: copy(&client, &from, &to, &()).await.unwrap().bytes,
            blobs_missing: 3,
            manifests: 1,
            requests: 13,
            ..CopyPlan::default()
        }
    );
    b.clear_log();
    let again = copy(&client, &from, &to, &()).await.unwrap();
    assert_eq!((again.blobs_skipped, again.blobs_copied, again.bytes), (3, 0, 0));
    assert_eq!(count(&b, |logged| logged.method == Method::POST), 0);
    let price = plan(&client, &from, &to).await.unwrap();
    assert_eq!((price.blobs_present, price.bytes), (3, 0));
}

#[tokio::test]
async fn blobs_are_mounted_within_one_registry() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("staging", &image, None);
    let client = client();
    let (from, to) = (repository(&a, "staging").at(image.digest), repository(&a, "prod"));
    assert_eq!(plan(&client, &from, &to).await.unwrap().blobs_mountable, 3);
    let copied = copy(&client, &from, &to, &()).await.unwrap();
    assert_complete(&a, "prod", &image);
    assert_eq!((copied.blobs_mounted, copied.blobs_copied, copied.bytes), (3, 0, 0));
}

#[tokio::test]
async fn a_mount_answered_with_202_goes_on_in_the_same_upload() {
    let a = Server::start(Config { mounts: false, ..Config::default() }).await.unwrap();
    let image = image(Format::Oci);
    a.push("staging", &image, None);
    let (from, to) = (repository(&a, "staging").at(image.digest), repository(&a, "prod"));
    let copied = copy(&client(), &from, &to, &()).await.unwrap();
    assert_complete(&a, "prod", &image);
    assert_eq!((copied.blobs_mounted, copied.blobs_copied), (0, 3));
    assert_eq!(count(&a, |logged| logged.method == Method::POST), 3, "one upload for each blob");
    assert_eq!(a.open_uploads("prod"), 0);
}

#[tokio::test]
async fn within_one_repository_everything_must_be_there_and_nothing_moves() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let (client, place) = (client(), repository(&a, "app"));
    let copied = copy(&client, &place.at(image.digest), &place, &()).await.unwrap();
    assert_eq!((copied.blobs_skipped, copied.manifests), (3, 0));
    assert_eq!(count(&a, |logged| logged.method != Method::GET && logged.method != Method::HEAD), 0);
    assert!(a.remove_blob("app", Digest::of(&image.blobs[1])));
    let refused = copy(&client, &place.at(image.digest), &place, &()).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::NotFound);
}

#[tokio::test]
async fn a_blob_missing_at_the_source_fails_the_copy_and_leaves_no_manifest() {
    let (a, b) = (server().await, server().await);
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let lost = Digest::of(&image.blobs[2]);
    assert!(a.remove_blob("app", lost));
    let refused =
        copy(&client(), &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::NotFound);
    assert!(refused.message.contains(&lost.to_string()) && refused.message.contains("BLOB_UNKNOWN"), "{refused}");
    assert!(b.manifest("app", image.digest).is_none());
}
