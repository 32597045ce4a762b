//! What is stored beside an image: signatures under their tag, and referrers.

use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::{Referrer, Registry, RegistryErrorKind, SimpleSignature};
use sealift_registry::{
    image::{Builder, Built, Format, Layer},
    manifest::OCI_INDEX,
    referrers::MAX_PAGES,
    server::{
        Server,
        script::{Action, Fault, status},
    },
    signatures::{SIGNATURE_ANNOTATION, SIMPLE_SIGNING, signature_tag},
};
use serde_json::json;

use crate::support::{client, image, repository, server};

fn signed(payload: &str) -> Layer {
    Layer::of_type(SIMPLE_SIGNING, payload.to_owned()).annotation(SIGNATURE_ANNOTATION, "c2lnbmF0dXJl")
}

fn stored(layers: Vec<Layer>) -> Built {
    layers.into_iter().fold(Builder::new(), Builder::layer).build()
}

fn sig(digest: Digest) -> String {
    signature_tag(digest).unwrap().to_string()
}

/// A page of a list of referrers, and how the answer names the next one.
fn page(kinds: &[&str], link: Option<&str>) -> Action {
    let listed: Vec<_> =
        kinds.iter().map(|kind| json!({"digest": Digest::of(kind.as_bytes()), "artifactType": kind})).collect();
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).to_string();
    let link = link.map(|link| ("link".to_owned(), link.to_owned()));
    Action::Answer { status: 200, headers: link.into_iter().collect(), body: body.into() }
}

/// How many requests of this method were about a path with this text.
fn count(server: &Server, method: &str, text: &str) -> usize {
    crate::support::count(server, |logged| logged.method == method && logged.path.contains(text))
}

fn kinds(referrers: &[Referrer]) -> Vec<&str> {
    referrers.iter().map(|referrer| referrer.artifact_type.as_str()).collect()
}

#[tokio::test]
async fn signatures_are_read_by_digest_with_their_exact_bytes() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    assert_eq!(client().signatures(&pinned).await.unwrap().simple, []);
    let unsigned = Layer::of_type(SIMPLE_SIGNING, " { } ");
    let signatures = stored(vec![signed("{\"a\":1}"), unsigned, Layer::tar("tar")]);
    a.push("app", &signatures, Some(&sig(image.digest)));
    a.clear_log();
    let read = client().signatures(&pinned).await.unwrap();
    let signature = Some("c2lnbmF0dXJl".to_owned());
    let first = SimpleSignature { payload: "{\"a\":1}".into(), signature };
    assert_eq!(read.simple, [first, SimpleSignature { payload: " { } ".into(), signature: None }]);
    assert_eq!(read.other, ["application/vnd.oci.image.layer.v1.tar"]);
    assert_eq!(count(&a, "GET", ".sig"), 0, "the tag is resolved, and read by digest: {:?}", a.log());
}

#[tokio::test]
async fn a_tag_that_leads_nowhere_is_an_error_and_not_an_image_without_signatures() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    let signatures = stored(vec![signed("{}")]);
    a.push("app", &signatures, Some(&sig(image.digest)));
    a.script(Fault::new(&format!("*/manifests/{}", signatures.digest), status(404)));
    let refused = client().signatures(&pinned).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::NotFound, "{refused}");
}

#[tokio::test]
async fn something_else_under_the_tag_is_refused() {
    let a = server().await;
    let image = image(Format::Oci);
    let index = sealift_registry::image::index(Format::Oci, std::slice::from_ref(&image));
    a.push("app", &index, Some(&sig(image.digest)));
    let refused = client().signatures(&repository(&a, "app").at(image.digest)).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Malformed);
    assert!(refused.message.contains("it is an index, not signatures"), "{refused}");
}

/// A server whose list of referrers is scripted, and an image on it.
async fn listing(pages: impl IntoIterator<Item = (String, Action)>) -> (Server, sealift_domain::reference::Pinned) {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    for (query, action) in pages {
        a.script(Fault::new(&format!("/v2/app/referrers/{}?{query}", image.digest), action));
    }
    let pinned = repository(&a, "app").at(image.digest);
    (a, pinned)
}

#[tokio::test]
async fn every_page_of_the_list_of_referrers_is_read() {
    let next = |n: u32| format!("<?page={n}>; rel=\"next\"");
    let (_a, image) = listing([
        (String::new(), page(&["one", "two"], Some(&next(2)))),
        ("page=2".to_owned(), page(&[], Some(&next(3)))),
        ("page=3".to_owned(), page(&["three"], None)),
    ])
    .await;
    assert_eq!(kinds(&client().referrers(&image).await.unwrap()), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_list_that_loses_a_page_or_never_ends_is_an_error() {
    let second = "<?page=2>; rel=\"next\"";
    for (what, pages) in [
        ("a page is gone", vec![(String::new(), page(&[], Some(second))), ("page=2".to_owned(), status(404))]),
        ("more than 16 pages", vec![("*".to_owned(), page(&["one"], Some(second)))]),
        ("cannot be used", vec![("*".to_owned(), page(&[], Some("<https://elsewhere.example/v2/>; rel=\"next\"")))]),
        ("cannot be used", vec![("*".to_owned(), page(&[], Some("next")))]),
    ] {
        let (a, image) = listing(pages).await;
        let refused = client().referrers(&image).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{refused}");
        assert!(refused.message.contains(what), "not `{what}`: {refused}");
        assert!(count(&a, "GET", "referrers") <= MAX_PAGES);
    }
}

#[tokio::test]
async fn a_registry_without_a_list_has_a_fallback_tag_or_nothing() {
    for answer in [400, 404, 405, 501] {
        let (a, image) = listing([(String::new(), status(answer))]).await;
        assert_eq!(client().referrers(&image).await.unwrap(), [], "{answer}");
        assert_eq!(count(&a, "GET", &format!("manifests/sha256-{}", image.digest.hex())), 1, "{answer}");
    }
    for answer in [401, 403] {
        let (_a, image) = listing([(String::new(), status(answer))]).await;
        assert!(client().referrers(&image).await.is_err(), "{answer}");
    }
}
