//! Registries that fail.

use bytes::Bytes;
use futures_util::TryStreamExt;
use hyper::Method;
use sealift_domain::{digest::Digest, quantity::Period};
use sealift_engine::ports::registry::{RawManifest, Registry, RegistryErrorKind};
use sealift_registry::{
    client::{Client, Options},
    image::{Built, Format},
    server::{
        Server,
        script::{Action, Fault, Gate, Nth, status},
    },
};

use crate::support::{FakeClock, assert_complete, client, client_with, copy, count, image, repository, server};

async fn source() -> (Server, Built) {
    let server = server().await;
    let image = image(Format::Oci);
    server.push("app", &image, Some("v1"));
    (server, image)
}

/// The path pattern of the large layer.
fn layer(image: &Built) -> String {
    format!("/v2/app/blobs/{}", Digest::of(&image.blobs[1]))
}

#[tokio::test]
async fn wrong_bytes_never_complete_an_upload_and_are_not_tried_again() {
    for offset in [0, 299_999] {
        let ((a, image), b) = (source().await, server().await);
        a.script(Fault::new(&layer(&image), Action::Corrupt(offset)).method(Method::GET));
        let refused =
            copy(&client(), &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Corrupt, "{refused}");
        assert!(b.blob("app", Digest::of(&image.blobs[1])).is_none());
        assert!(b.manifest("app", image.digest).is_none());
        assert_eq!(count(&a, |logged| logged.path == layer(&image)), 1);
    }
}

#[tokio::test]
async fn a_truncated_blob_is_started_again() {
    let ((a, image), b) = (source().await, server().await);
    a.script(Fault::new(&layer(&image), Action::Truncate(100_000)).method(Method::GET).nth(Nth::First(2)));
    let copied = copy(&client(), &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap();
    assert_complete(&b, "app", &image);
    assert_eq!((copied.blobs_copied, count(&a, |logged| logged.path == layer(&image))), (3, 3));
}

#[tokio::test]
async fn a_blob_that_always_breaks_off_is_given_up_after_three_tries() {
    let ((a, image), b) = (source().await, server().await);
    a.script(Fault::new(&layer(&image), Action::Truncate(0)).method(Method::GET));
    let refused =
        copy(&client(), &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Transient, "{refused}");
    assert_eq!(count(&a, |logged| logged.path == layer(&image)), 3);
    assert!(b.manifest("app", image.digest).is_none());
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_is_started_again() {
    let ((a, image), b) = (source().await, server().await);
    b.script(Fault::new("/v2/app/blobs/uploads/*", Action::Reset).method(Method::PUT).nth(Nth::Only(1)));
    b.script(Fault::new("/v2/app/blobs/uploads/*", Action::ResetAfter).method(Method::PUT).nth(Nth::Only(3)));
    b.script(Fault::new("/v2/app/manifests/*", status(502)).method(Method::PUT).nth(Nth::Only(1)));
    copy(&client(), &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap();
    assert_complete(&b, "app", &image);
}

#[tokio::test]
async fn a_lying_digest_header_is_noticed() {
    let (a, image) = source().await;
    let lie = Action::Header("docker-content-digest".to_owned(), Digest::of(b"lie").to_string());
    a.script(Fault::new("*/manifests/*", lie).method(Method::GET));
    let refused = client().manifest(&repository(&a, "app").at(image.digest)).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Corrupt, "{refused}");
}

#[tokio::test]
async fn another_manifest_than_the_one_asked_for_is_noticed() {
    let (a, image) = source().await;
    let asked = Digest::of(b"asked");
    let other = image.root().unwrap();
    let liar = RawManifest { bytes: other.bytes.clone(), media_type: other.media_type.clone(), digest: asked };
    a.put_manifest("app", liar, None);
    for header in [asked, other.digest] {
        a.script(
            Fault::new("*", Action::Header("docker-content-digest".to_owned(), header.to_string())).nth(Nth::Only(1)),
        );
        let refused = client().manifest(&repository(&a, "app").at(asked)).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Corrupt, "{refused}");
    }
}

#[tokio::test]
async fn a_content_type_that_the_bytes_contradict_is_refused() {
    let (a, image) = source().await;
    let docker = "application/vnd.docker.distribution.manifest.v2+json".to_owned();
    a.script(Fault::new("*/manifests/*", Action::Header("content-type".to_owned(), docker)));
    let refused = client().manifest(&repository(&a, "app").at(image.digest)).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{refused}");
}

#[tokio::test]
async fn an_endless_manifest_stops_at_four_mebibytes() {
    let (a, image) = source().await;
    a.script(Fault::new("*/manifests/*", Action::Endless).method(Method::GET));
    let refused = client().manifest(&repository(&a, "app").at(image.digest)).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Malformed);
    assert!(refused.message.contains("4194304"), "{refused}");
    assert_eq!(count(&a, |_| true), 1, "what is too long once is not asked for again");
}

#[tokio::test]
async fn server_errors_are_tried_three_times_with_growing_pauses() {
    for code in [408, 429, 500, 503] {
        let (a, image) = source().await;
        a.script(Fault::new("*/manifests/*", status(code)));
        let clock = FakeClock::new();
        let client = Client::new(Options::default(), clock.clone()).unwrap();
        let refused = client.manifest(&repository(&a, "app").at(image.digest)).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Transient);
        assert!(refused.message.contains(&code.to_string()) && refused.message.contains("3 tries"), "{refused}");
        assert_eq!(a.log().len(), 3);
        let waits: Vec<u64> = clock.slept().iter().map(Period::as_millis).collect();
        assert!((250..=500).contains(&waits[0]) && (500..=1000).contains(&waits[1]) && waits.len() == 2, "{waits:?}");
    }
}

#[tokio::test]
async fn refusals_are_not_tried_again() {
    for (code, kind) in [
        (400, RegistryErrorKind::Unsupported),
        (401, RegistryErrorKind::Unauthenticated),
        (403, RegistryErrorKind::Denied),
        (404, RegistryErrorKind::NotFound),
        (501, RegistryErrorKind::Unsupported),
    ] {
        let (a, image) = source().await;
        a.script(Fault::new("*", status(code)));
        let refused = client().manifest(&repository(&a, "app").at(image.digest)).await.unwrap_err();
        assert_eq!((refused.kind, a.log().len()), (kind, 1), "{refused}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured_to_the_second() {
    let (a, image) = source().await;
    let too_many = |wait: &str, body: &'static str| Action::Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), wait.to_owned())],
        body: Bytes::from_static(body.as_bytes()),
    };
    a.script(Fault::new("*", too_many("17", "")).nth(Nth::Only(1)));
    // The clock begins at 2026-01-01T00:00:00Z and has slept 17 s by then.
    a.script(Fault::new("*", too_many("Thu, 01 Jan 2026 00:01:00 GMT", "")).nth(Nth::Only(2)));
    let clock = FakeClock::new();
    let client = Client::new(Options::default(), clock.clone()).unwrap();
    client.manifest(&repository(&a, "app").at(image.digest)).await.unwrap();
    assert_eq!(clock.slept(), [Period::from_secs(17), Period::from_secs(43)]);
}

#[tokio::test]
async fn a_secondary_rate_limit_is_waited_out_although_it_is_a_403() {
    let (a, image) = source().await;
    let body =
        Bytes::from_static(br#"{"errors":[{"code":"DENIED","message":"secondary rate limit, retry-after: 1.5s"}]}"#);
    a.script(Fault::new("*", Action::Answer { status: 403, headers: Vec::new(), body }).nth(Nth::Only(1)));
    let clock = FakeClock::new();
    let client = Client::new(Options::default(), clock.clone()).unwrap();
    client.manifest(&repository(&a, "app").at(image.digest)).await.unwrap();
    assert_eq!(clock.slept(), [Period::from_millis(1500)]);
}

#[tokio::test]
async fn a_wait_of_days_fails_at_once() {
    let (a, image) = source().await;
    let headers = vec![("retry-after".to_owned(), "86400".to_owned())];
    a.script(Fault::new("*", Action::Answer { status: 503, headers, body: Bytes::new() }));
    let refused = client().manifest(&repository(&a, "app").at(image.digest)).await.unwrap_err();
    assert_eq!((refused.kind, a.log().len()), (RegistryErrorKind::Transient, 1));
    assert!(refused.message.contains("1d"), "{refused}");
}

#[tokio::test]
async fn a_wait_of_days_is_slept_through_by_nobody() {
    let days = || Action::Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "86400".to_owned())],
        body: Bytes::new(),
    };
    let (a, image) = source().await;
    a.script(Fault::new("*/manifests/*", days()).nth(Nth::Only(1)));
    let clock = FakeClock::new();
    let client = Client::new(Options::default(), clock.clone()).unwrap();
    let place = repository(&a, "app");
    client.manifest(&place.at(image.digest)).await.unwrap_err();
    client.manifest(&place.at(image.digest)).await.unwrap();
    assert_eq!(clock.slept(), [], "what others ask for is not held up");

    // The same where a body broke off and its rest is asked for.
    a.script(Fault::new(&layer(&image), Action::Truncate(1000)).method(Method::GET).nth(Nth::Only(1)));
    a.script(Fault::new(&layer(&image), days()).method(Method::GET).nth(Nth::From(2)));
    let stream = client.blob(&place, Digest::of(&image.blobs[1]), 300_000).await.unwrap();
    let refused = stream.try_collect::<Vec<Bytes>>().await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Transient, "{refused}");
    assert!(clock.slept().iter().all(|slept| *slept < Period::from_secs(60)), "{:?}", clock.slept());
}

#[tokio::test]
async fn a_reset_connection_is_tried_again() {
    let (a, image) = source().await;
    a.script(Fault::new("*", Action::Reset).nth(Nth::First(2)));
    client().manifest(&repository(&a, "app").at(image.digest)).await.unwrap();
    assert_eq!(a.log().iter().map(|logged| logged.status).collect::<Vec<_>>(), [0, 0, 200]);
}

#[tokio::test]
async fn nobody_listening_is_a_transient_failure_that_names_its_cause() {
    let address = { server().await.address() };
    let image = format!("{address}/app@{}", Digest::of(b"x")).parse().unwrap();
    let refused = client().manifest(&image).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Transient);
    assert!(refused.message.contains("refused") && refused.message.starts_with("GET 127.0.0.1:"), "{refused}");
}

#[tokio::test]
async fn silence_is_given_up() {
    let (a, image) = source().await;
    let gate = Gate::new();
    a.script(Fault::new("*/manifests/*", Action::Stall(10, gate.clone())));
    a.script(Fault::new("*/blobs/*", Action::Hold(gate.clone())));
    let client = client_with(Options { idle_timeout: Period::from_millis(50), ..Options::default() });
    let refused = client.manifest(&repository(&a, "app").at(image.digest)).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Transient);
    assert!(refused.message.contains("no byte for"), "{refused}");
    let refused = client.blob(&repository(&a, "app"), Digest::of(&image.blobs[1]), 300_000).await.err().unwrap();
    assert!(refused.message.contains("no answer within"), "{refused}");
    gate.open();
}

#[tokio::test]
async fn an_upload_that_is_never_answered_is_given_up() {
    let ((a, image), b) = (source().await, server().await);
    let gate = Gate::new();
    b.script(Fault::new("/v2/app/blobs/uploads/*", Action::Hold(gate.clone())).method(Method::PUT));
    let short = Period::from_millis(50);
    let client =
        client_with(Options { idle_timeout: Period::from_secs(20), commit_timeout: short, ..Options::default() });
    let small = image.blobs[2].clone();
    assert_eq!(small.len(), 10, "a body that fits into the socket's buffers");
    for blob in [0, 1] {
        b.put_blob("app", image.blobs[blob].clone());
    }
    let refused =
        copy(&client, &repository(&a, "app").at(image.digest), &repository(&b, "app"), &()).await.unwrap_err();
    assert!(refused.message.contains("nothing moved for 0.05 s"), "{refused}");
    gate.open();
}

#[tokio::test]
async fn the_blob_stream_ends_with_its_last_chunk_or_with_an_error() {
    let (a, image) = source().await;
    let (client, place) = (client(), repository(&a, "app"));
    let (layer_digest, bytes) = (Digest::of(&image.blobs[1]), &image.blobs[1]);
    let chunks: Vec<Bytes> = client.blob(&place, layer_digest, 300_000).await.unwrap().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), bytes.to_vec());
    let wrong_size = client.blob(&place, layer_digest, 299_999).await.err().unwrap();
    assert_eq!(wrong_size.kind, RegistryErrorKind::Corrupt);
    a.script(Fault::new(&layer(&image), Action::Corrupt(5)));
    let mut stream = client.blob(&place, layer_digest, 300_000).await.unwrap();
    let mut passed = 0;
    let refused = loop {
        match stream.try_next().await {
            Ok(Some(chunk)) => passed += chunk.len(),
            Ok(None) => panic!("the stream must not end well"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.kind, RegistryErrorKind::Corrupt);
    assert!(passed < 300_000);
}
