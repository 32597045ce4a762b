//! What is stored beside an image: signatures under their tag, and referrers.

use sealift_domain::{digest::Digest, evidence::Form};
use sealift_engine::ports::registry::{RawManifest, Referrer, Registry, RegistryErrorKind, StoredEvidence};
use sealift_registry::{
    evidence::{
        ENVELOPE, MAX_PIECE, MAX_PIECES, REFERENCE_TYPE, SIGNATURE_ANNOTATION, SIMPLE_SIGNING, STATEMENT,
        attestation_tag, signature_tag,
    },
    image::{Builder, Built, Format, Layer},
    manifest::{OCI_INDEX, OCI_MANIFEST},
    referrers::MAX_PAGES,
    server::{
        Server,
        script::{Action, Fault, status},
    },
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

/// What was found, in short: form, bytes and whether it is part of the index.
fn told(found: &[StoredEvidence]) -> Vec<(Option<Form>, &[u8], bool)> {
    found.iter().map(|piece| (piece.form, piece.bytes.as_ref(), piece.index.is_some())).collect()
}

#[tokio::test]
async fn signatures_and_attestations_are_read_by_digest_with_their_exact_bytes() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    assert_eq!(client().evidence(&pinned, &[]).await.unwrap(), []);
    let unsigned = Layer::of_type(SIMPLE_SIGNING, " { } ");
    let signatures = stored(vec![signed("{\"a\":1}"), unsigned, Layer::tar("tar")]);
    a.push("app", &signatures, Some(&sig(image.digest)));
    let attestations = stored(vec![Layer::of_type(ENVELOPE, "envelope")]);
    a.push("app", &attestations, Some(&attestation_tag(image.digest).unwrap().to_string()));
    a.clear_log();
    let read = client().evidence(&pinned, &[]).await.unwrap();
    let simple = Some(Form::SimpleSigning);
    assert_eq!(
        told(&read),
        [
            (simple, &b"{\"a\":1}"[..], false),
            (simple, b" { } ", false),
            (None, b"", false),
            (Some(Form::Envelope), b"envelope", false)
        ]
    );
    assert_eq!(read[0].detached.as_ref().map(|d| d.signature.as_str()), Some("c2lnbmF0dXJl"));
    assert_eq!((&read[1].detached, read[2].kind.as_str()), (&None, "application/vnd.oci.image.layer.v1.tar"));
    assert_eq!(count(&a, "GET", ".sig"), 0, "the tag is resolved, and read by digest: {:?}", a.log());
}

#[tokio::test]
async fn bundles_are_read_from_referrers_and_what_nothing_reads_is_named() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let notation = "application/vnd.cncf.notary.signature";
    for (kind, layer) in
        [(bundle, Layer::of_type(bundle, "bundle")), (notation, Layer::of_type("application/jose+json", "jws"))]
    {
        let referrer = Builder::new().artifact_type(kind).subject(&image).layer(layer).build();
        a.push("app", &referrer, None);
    }
    let read = client().evidence(&repository(&a, "app").at(image.digest), &[]).await.unwrap();
    let mut kinds: Vec<_> = read.iter().map(|piece| (piece.form, piece.kind.as_str())).collect();
    kinds.sort();
    assert_eq!(kinds, [(None, notation), (Some(Form::Bundle), bundle)]);
}

#[tokio::test]
async fn what_is_in_the_index_is_told_from_what_lies_beside_it_or_beside_a_platform() {
    let a = server().await;
    let platform = image(Format::Oci);
    let statement = Builder::new().layer(Layer::of_type(STATEMENT, "in the index")).build();
    let listed = |built: &Built, annotations: serde_json::Value| json!({"mediaType": OCI_MANIFEST, "digest": built.digest, "size": built.root().unwrap().bytes.len(), "annotations": annotations});
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        listed(&platform, json!({})),
        listed(&statement, json!({REFERENCE_TYPE: "attestation-manifest"})),
    ]});
    let bytes = bytes::Bytes::from(body.to_string());
    let index = Digest::of(&bytes);
    for built in [&platform, &statement] {
        a.push("app", built, None);
    }
    a.put_manifest("app", RawManifest { bytes, media_type: OCI_INDEX.to_owned(), digest: index }, None);
    let injected = Builder::new().subject(&platform).layer(Layer::of_type(STATEMENT, "injected")).build();
    a.push("app", &injected, None);
    let read = client().evidence(&repository(&a, "app").at(index), &[platform.digest]).await.unwrap();
    let mut told = told(&read);
    told.sort();
    let form = Some(Form::Statement);
    assert_eq!(told, [(form, &b"in the index"[..], true), (form, b"injected", false)]);
}

#[tokio::test]
async fn attack_14_a_tag_or_a_list_that_leads_nowhere_is_an_error_and_not_a_lack_of_evidence() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    let signatures = stored(vec![signed("{}")]);
    a.push("app", &signatures, Some(&sig(image.digest)));
    a.script(Fault::new(&format!("*/manifests/{}", signatures.digest), status(404)));
    let refused = client().evidence(&pinned, &[]).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::NotFound, "{refused}");

    let (_a, pinned) = listing([(String::new(), page(&["gone"], None))]).await;
    let refused = client().evidence(&pinned, &[]).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::NotFound, "{refused}");
}

#[tokio::test]
async fn more_pieces_than_are_read_are_an_error() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    a.push("app", &stored(vec![signed("{}"); MAX_PIECES + 1]), Some(&sig(image.digest)));
    let refused = client().evidence(&pinned, &[]).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{refused}");
    assert!(refused.message.contains("more than 256 pieces"), "{refused}");
}

#[tokio::test]
async fn attack_05_evidence_that_says_it_is_too_large_is_not_even_asked_for() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    let honest = stored(vec![Layer::of_type(ENVELOPE, "envelope")]);
    let text = std::str::from_utf8(&honest.root().unwrap().bytes).unwrap().to_owned();
    for (size, words) in [(MAX_PIECE + 1, "the limit is 67108864"), (10_000_000_000, "has 10000000000 bytes")] {
        let text = text.replacen("\"size\":8", &format!("\"size\":{size}"), 1);
        assert!(text.contains(&size.to_string()), "{text}");
        let bytes = bytes::Bytes::from(text);
        let raw = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_MANIFEST.to_owned() };
        a.put_manifest("app", raw, Some(&attestation_tag(image.digest).unwrap().to_string()));
        a.clear_log();
        let refused = client().evidence(&pinned, &[]).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{refused}");
        assert!(refused.message.contains(words), "{refused}");
        assert_eq!(count(&a, "GET", "/blobs/"), 0, "{:?}", a.log());
    }
}

#[tokio::test]
async fn attack_05_evidence_that_is_larger_than_it_says_is_cut_and_is_none() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, None);
    let pinned = repository(&a, "app").at(image.digest);
    let envelope = Layer::of_type(ENVELOPE, "envelope");
    a.push("app", &stored(vec![envelope]), Some(&attestation_tag(image.digest).unwrap().to_string()));
    let endless = Action::Answer { status: 200, headers: Vec::new(), body: vec![b'x'; 1 << 20].into() };
    a.script(Fault::new(&format!("*/blobs/{}", Digest::of(b"envelope")), endless));
    let refused = client().evidence(&pinned, &[]).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Corrupt, "{refused}");
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
