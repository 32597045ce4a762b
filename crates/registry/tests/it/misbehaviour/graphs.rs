//! Images whose parts are missing, lied about, or too many.

use hyper::Method;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::{
    RawManifest,
    RegistryErrorKind::{Corrupt, Malformed, NotFound, Unsupported},
};
use sealift_registry::{
    image::{Builder, Built, Format, Layer, index},
    manifest::{OCI_INDEX, OCI_MANIFEST},
    server::{
        Config,
        script::{Action, Fault, Nth},
    },
};
use serde_json::{Value, json};

use super::{FROM, Pair, TO, careless, is, requests, tag};
use crate::support::{image_for, multi_platform};

async fn of(image: Built) -> Pair {
    Pair::of(image, Config::default(), careless()).await
}

/// An image of this media type that is only a manifest, and whose bytes nobody has looked at.
fn bare(media_type: &str, document: &Value) -> Built {
    let bytes = bytes::Bytes::from(document.to_string());
    let mut built = Builder::new().build();
    built.digest = Digest::of(&bytes);
    built.blobs.clear();
    built.manifests = vec![RawManifest { digest: built.digest, bytes, media_type: media_type.to_owned() }];
    built
}

fn children(count: usize) -> Value {
    let child = |n: usize| json!({"mediaType": OCI_MANIFEST, "digest": Digest::of(&n.to_le_bytes()), "size": 7});
    let list: Vec<Value> = (0..count).map(child).collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list})
}

#[tokio::test]
async fn a_child_that_is_missing_fails_by_its_digest() {
    let pair = of(multi_platform(Format::Oci)).await;
    let child = pair.image.manifests[1].digest;
    pair.a.remove_manifest(FROM, child);
    pair.fails(NotFound, &[&child.to_string(), FROM]).await;
}

#[tokio::test]
async fn a_blob_that_is_missing_fails_by_its_digest_and_the_other_images_stay_untagged() {
    let pair = of(multi_platform(Format::Oci)).await;
    let lost = Digest::of(&pair.image.blobs[1]);
    pair.a.remove_blob(FROM, lost);
    pair.fails(NotFound, &[&lost.to_string(), FROM]).await;
}

#[tokio::test]
async fn an_image_or_tag_that_does_not_exist_is_named() {
    let pair = Pair::new().await;
    let mut request = pair.request();
    request.from = format!("{}/{FROM}:gone", pair.a.address()).parse().unwrap();
    is(&pair.send(&request).await.unwrap_err(), NotFound, &["gone", FROM]);
    let absent = Digest::of(b"absent");
    request.from = format!("{}/{FROM}@{absent}", pair.a.address()).parse().unwrap();
    is(&pair.send(&request).await.unwrap_err(), NotFound, &[&absent.to_string()]);
    pair.is_untouched();
}

#[tokio::test]
async fn attack_06_an_index_of_too_many_children_is_malformed_before_any_of_them_is_read() {
    // 30,000 of them make 4 MiB.
    for (count, words) in [(100_000, "4194304"), (20_000, "1000")] {
        let pair = of(bare(OCI_INDEX, &children(count))).await;
        pair.fails(Malformed, &[words]).await;
        assert!(requests(&pair.a, &Method::GET, "/manifests/") <= 1 + 1, "{} requests", pair.a.log().len());
    }
}

#[tokio::test]
async fn attack_06_indexes_that_are_nested_too_deeply_are_malformed() {
    let mut image = image_for(Format::Oci, "amd64", 1);
    for _ in 0..40 {
        image = index(Format::Oci, &[image]);
    }
    let pair = of(image).await;
    pair.fails(Malformed, &["deep"]).await;
    assert!(pair.a.log().len() < 200, "{} requests", pair.a.log().len());
}

#[tokio::test]
async fn what_an_index_says_about_its_child_must_be_true() {
    let child = image_for(Format::Oci, "amd64", 1);
    let raw = child.root().unwrap();
    for (media_type, size) in
        [(OCI_MANIFEST, raw.bytes.len() + 1), ("application/vnd.docker.distribution.manifest.v2+json", raw.bytes.len())]
    {
        let entry = json!({"mediaType": media_type, "digest": child.digest, "size": size});
        let top = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
        let pair = of(bare(OCI_INDEX, &top)).await;
        pair.a.push(FROM, &child, None);
        pair.fails(Corrupt, &[&child.digest.to_string()]).await;
    }
}

#[tokio::test]
async fn a_child_that_is_no_manifest_is_malformed() {
    let entry = json!({"mediaType": "application/octet-stream", "digest": Digest::of(b"x"), "size": 1});
    let top = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    let pair = of(bare(OCI_INDEX, &top)).await;
    pair.fails(Malformed, &["application/octet-stream"]).await;
}

#[tokio::test]
async fn a_blob_of_two_sizes_is_malformed() {
    let layer = |size: u64| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": Digest::of(b"{}"), "size": size});
    let config =
        json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(b"{}"), "size": 2});
    let top = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer(3)]});
    let pair = of(bare(OCI_MANIFEST, &top)).await;
    pair.a.put_blob(FROM, "{}".into());
    pair.fails(Malformed, &[&Digest::of(b"{}").to_string()]).await;
}

#[tokio::test]
async fn an_image_of_the_first_docker_schema_is_unsupported() {
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let top = json!({"schemaVersion": 1, "name": "a", "fsLayers": [{"blobSum": Digest::of(b"x")}]});
    let pair = of(bare(media_type, &top)).await;
    let refused = pair.copy().await.unwrap_err();
    // A registry that is asked for other types may as well say that it has none.
    assert!([Unsupported, NotFound].contains(&refused.kind), "{refused}");
    pair.is_untouched();
}

#[tokio::test]
async fn attack_01_a_source_tag_that_moves_while_it_is_copied_gives_what_it_named_first() {
    let pair = Pair::new().await;
    let other = image_for(Format::Oci, "amd64", 9);
    pair.a.push(FROM, &other, None);
    let moved = Action::MoveTag { repository: FROM.to_owned(), tag: "v1".to_owned(), digest: other.digest };
    pair.a.script(Fault::new("*/manifests/v1", moved).nth(Nth::Only(1)));
    let copied = pair.copy().await.unwrap();
    // Asked with HEAD and then by digest, or with GET at once: in either case one reading of the tag decides.
    assert_eq!(copied.digest, pair.image.digest);
    pair.is_complete();
    assert_eq!(crate::support::count(&pair.a, |logged| logged.path.ends_with("/manifests/v1")), 1);
}

#[tokio::test]
async fn attack_17_foreign_layers_stay_where_they_are() {
    let foreign = Layer::of_type("application/vnd.oci.image.layer.nondistributable.v1.tar", "far away");
    let image = Builder::new().layer(Layer::tar("near")).layer(foreign).build();
    let mut pair = of(image).await;
    let far = Digest::of(b"far away");
    pair.a.remove_blob(FROM, far);
    pair.copy().await.unwrap();
    assert!(pair.b.blob(TO, far).is_none());
    pair.image.blobs.retain(|blob| Digest::of(blob) != far);
    pair.is_complete();
}

#[tokio::test]
async fn a_hint_whose_image_lost_a_blob_is_looked_at_again() {
    for format in [Format::Oci, Format::Docker] {
        let image = image_for(format, "amd64", 1);
        let pair = Pair::of(image, Config::default(), Config::default()).await;
        // The release before shares the large layer, which the destination has lost.
        let before =
            Builder::new().format(format).label("v", "0").layer(Layer::tar(pair.image.blobs[1].clone())).build();
        pair.b.push(TO, &before, Some("v0"));
        pair.b.remove_blob(TO, pair.layer());
        let copied = pair.send_unjudged(&pair.request().hinted([tag("v0")])).await;
        copied.unwrap();
        pair.is_complete();
    }
}

#[tokio::test]
async fn an_image_that_lost_a_blob_gets_no_further_tag_in_its_own_repository() {
    let pair = Pair::between(careless(), careless()).await;
    pair.a.remove_blob(FROM, pair.layer());
    let mut request = pair.request().tagged(Some(tag("v2")));
    request.to = crate::support::repository(&pair.a, FROM);
    is(&pair.send_unjudged(&request).await.unwrap_err(), NotFound, &[&pair.layer().to_string()]);
    assert_eq!(pair.a.tags(FROM), [("v1".to_owned(), pair.image.digest)]);
}

#[tokio::test]
async fn hints_that_name_nothing_or_nonsense_do_no_harm() {
    let pair = Pair::strict().await;
    let junk = RawManifest { bytes: "{".into(), media_type: OCI_MANIFEST.to_owned(), digest: Digest::of(b"{") };
    pair.b.put_manifest(TO, junk, Some("junk"));
    let endless = Fault::new("*/manifests/endless", Action::Endless).method(Method::GET);
    pair.b.script(endless);
    pair.send_unjudged(&pair.request().hinted([tag("none"), tag("junk"), tag("endless")])).await.unwrap();
    pair.is_complete();
}
