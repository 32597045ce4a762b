//! What an image is.

use hyper::Method;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::{Registry, RegistryErrorKind};
use sealift_registry::{
    image::{Format, index},
    server::script::{Action, Fault},
};

use crate::support::{client, count, image, multi_platform, repository, server};

#[tokio::test]
async fn a_single_image_tells_its_size_labels_and_date() {
    for format in [Format::Oci, Format::Docker] {
        let a = server().await;
        let image = image(format);
        a.push("app", &image, None);
        let read = client().inspect(&repository(&a, "app").at(image.digest)).await.unwrap();
        assert_eq!((read.digest, &read.media_type), (image.digest, &image.root().unwrap().media_type));
        let [platform] = read.platforms.as_slice() else { panic!("one platform") };
        assert_eq!((platform.platform.as_str(), platform.digest), ("linux/amd64", image.digest));
        assert_eq!((platform.compressed_bytes, platform.layers), (300_010, 2));
        assert_eq!(platform.missing, []);
        assert_eq!(platform.labels["org.opencontainers.image.revision"], "abc");
        assert_eq!(platform.created.as_deref(), Some("2026-01-02T03:04:05Z"));
    }
}

#[tokio::test]
async fn an_index_tells_its_platforms_and_not_its_attestations() {
    let a = server().await;
    let image = index(Format::Oci, &[multi_platform(Format::Oci)]);
    a.push("app", &image, None);
    let read = client().inspect(&repository(&a, "app").at(image.digest)).await.unwrap();
    let platforms: Vec<&str> = read.platforms.iter().map(|platform| platform.platform.as_str()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let asked = count(&a, |logged| logged.method == Method::HEAD);
    assert_eq!(asked, 5, "two configurations and three distinct layers are asked for once");
}

#[tokio::test]
async fn missing_and_shortened_blobs_are_reported() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let (config, large, small) =
        (Digest::of(&image.blobs[0]), Digest::of(&image.blobs[1]), Digest::of(&image.blobs[2]));
    assert!(a.remove_blob("app", small));
    a.script(
        Fault::new(&format!("*{large}"), Action::Header("content-length".to_owned(), "5".to_owned()))
            .method(Method::HEAD),
    );
    let (client, pinned) = (client(), repository(&a, "app").at(image.digest));
    let read = client.inspect(&pinned).await.unwrap();
    let mut expected = vec![large, small];
    expected.sort();
    assert_eq!(read.platforms[0].missing, expected);
    assert!(a.remove_blob("app", config));
    let read = client.inspect(&pinned).await.unwrap();
    assert_eq!((read.platforms[0].missing.len(), read.platforms[0].platform.as_str()), (3, "unknown"));
}

#[tokio::test]
async fn an_index_whose_child_is_missing_cannot_be_inspected() {
    let a = server().await;
    let image = multi_platform(Format::Oci);
    a.put_manifest("app", image.root().unwrap().clone(), None);
    let refused = client().inspect(&repository(&a, "app").at(image.digest)).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::NotFound, "{refused}");
}
