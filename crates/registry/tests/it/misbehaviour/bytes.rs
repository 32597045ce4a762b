//! Bytes that are wrong, too few, too many, or from somewhere else.

use hyper::Method;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::RegistryErrorKind::{Corrupt, Malformed, NotFound, Transient};
use sealift_registry::server::script::{Action, Fault, Nth, status};

use super::{Pair, is, requests};

#[tokio::test]
async fn attack_02_a_layer_with_one_wrong_bit_completes_no_upload() {
    for offset in [0, 150_000, 299_999] {
        let pair = Pair::new().await;
        pair.a.script(pair.on_layer(Action::Corrupt(offset)));
        pair.fails(Corrupt, &[&pair.layer().to_string(), super::FROM]).await;
        assert_eq!(pair.reads(), 1, "wrong bytes are not asked for again");
        assert!(pair.b.blob(super::TO, pair.layer()).is_none());
    }
}

#[tokio::test]
async fn a_configuration_with_one_wrong_bit_completes_no_upload() {
    let pair = Pair::new().await;
    let config = Digest::of(&pair.image.blobs[0]);
    pair.a.script(Fault::new(&format!("*/blobs/{config}"), Action::Corrupt(3)).method(Method::GET));
    pair.fails(Corrupt, &[&config.to_string()]).await;
}

#[tokio::test]
async fn attack_02_a_manifest_with_one_wrong_bit_under_a_right_header_is_corrupt() {
    let pair = Pair::new().await;
    // A bit inside of a digest: the bytes are still JSON, and still a manifest.
    let root = String::from_utf8(pair.image.root().unwrap().bytes.to_vec()).unwrap();
    let within = root.find("sha256:").unwrap() + 10;
    pair.a.script(pair.on_root(Action::Corrupt(within)));
    pair.fails(Corrupt, &["digest"]).await;
}

#[tokio::test]
async fn attack_02_a_right_manifest_under_a_wrong_digest_header_is_corrupt() {
    let pair = Pair::new().await;
    let lie = Digest::of(b"lie").to_string();
    pair.a.script(pair.on_root(Action::Header("docker-content-digest".to_owned(), lie.clone())));
    pair.fails(Corrupt, &[&lie]).await;
}

#[tokio::test]
async fn the_bytes_of_a_blob_count_and_not_what_a_header_calls_them() {
    let pair = Pair::new().await;
    let lie = Digest::of(b"lie").to_string();
    pair.a.script(pair.on_layer(Action::Header("docker-content-digest".to_owned(), lie.clone())));
    match pair.copy().await {
        Ok(_) => pair.is_complete(),
        Err(refused) => {
            is(&refused, Corrupt, &[&lie]);
            pair.is_untouched();
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_gone_on_with_in_the_same_upload() {
    for bytes in [1, 100_000, 299_999] {
        let pair = Pair::new().await;
        pair.a.script(pair.on_layer(Action::Truncate(bytes)).nth(Nth::Only(1)));
        pair.succeeds().await;
        let ranges: Vec<Option<String>> = ranges(&pair);
        assert_eq!(ranges, [None, Some(format!("bytes={bytes}-"))], "{bytes}");
        let puts = requests(&pair.b, &Method::PUT, "/blobs/uploads/");
        assert_eq!(puts, 3, "one for each blob");
    }
}

/// The `Range` headers with which the large layer was read.
fn ranges(pair: &Pair) -> Vec<Option<String>> {
    let path = format!("/v2/{}/blobs/{}", super::FROM, pair.layer());
    let reads = pair.a.log().into_iter().filter(|logged| logged.method == Method::GET && logged.path == path);
    reads.map(|logged| logged.range).collect()
}

#[tokio::test]
async fn a_body_that_breaks_off_ten_times_takes_one_upload_and_ten_ranges() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(Action::Truncate(20_000)).nth(Nth::First(10)));
    pair.succeeds().await;
    let expected: Vec<Option<String>> = (0..=10).map(|n| (n > 0).then(|| format!("bytes={}-", n * 20_000))).collect();
    assert_eq!(ranges(&pair), expected);
    let about_layer = |method: Method| {
        let digest = pair.layer().to_string().replace(':', "%3A");
        crate::support::count(&pair.b, |logged| logged.method == method && logged.query.contains(&digest))
    };
    assert_eq!((about_layer(Method::POST), about_layer(Method::PUT)), (1, 1), "{:?}", pair.b.log());
    assert_eq!(crate::honest::digest(&pair.b.blob(super::TO, pair.layer()).unwrap()), pair.layer().to_string());
}

#[tokio::test]
async fn a_body_that_always_breaks_off_at_its_beginning_is_given_up() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(Action::Truncate(0)));
    pair.fails(Transient, &[&pair.layer().to_string()]).await;
    assert!(pair.reads() <= 12, "{} reads", pair.reads());
}

#[tokio::test]
async fn a_source_that_ignores_range_is_read_from_the_start_and_skipped() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(Action::Truncate(100_000)).nth(Nth::Only(1)));
    pair.a.script(pair.on_layer(Action::IgnoreRange).nth(Nth::From(2)));
    pair.succeeds().await;
    assert_eq!(pair.reads(), 2);
}

#[tokio::test]
async fn a_source_that_ignores_range_with_other_bytes_is_corrupt() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(Action::Truncate(100_000)).nth(Nth::Only(1)));
    // The whole blob with 200, and one byte in the part that follows is wrong.
    let mut bytes = pair.image.blobs[1].to_vec();
    bytes[200_000] ^= 1;
    let whole = Action::Answer { status: 200, headers: Vec::new(), body: bytes.into() };
    pair.a.script(pair.on_layer(whole).nth(Nth::From(2)));
    pair.fails(Corrupt, &[&pair.layer().to_string()]).await;
}

/// The source breaks off once, and then sends `sent` and calls it `told`.
async fn other_range(sent: &str, told: Option<&str>) -> Pair {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(Action::Truncate(100_000)).nth(Nth::Only(1)));
    let other = Action::OtherRange { sent: sent.to_owned(), told: told.map(str::to_owned) };
    pair.a.script(pair.on_layer(other).nth(Nth::From(2)));
    pair
}

#[tokio::test]
async fn another_range_than_the_one_asked_for_is_never_taken_for_it() {
    for (sent, told) in [
        // Told as what it is.
        ("bytes=90000-", None),
        ("bytes=0-", None),
        // Right bytes, wrong words.
        ("bytes=100000-", Some("bytes 0-199999/300000")),
        ("bytes=100000-", Some("nonsense")),
    ] {
        let pair = other_range(sent, told).await;
        let refused = pair.copy().await.unwrap_err();
        assert!([Malformed, Corrupt, Transient].contains(&refused.kind), "{sent} {told:?}: {refused}");
        is(&refused, refused.kind, &[&pair.layer().to_string()]);
        pair.is_untouched();
        assert!(pair.reads() <= 12, "{sent} {told:?}: {} reads", pair.reads());
    }
    // Where the range begins is right and the rest is nonsense: the bytes decide.
    other_range("bytes=100000-", Some("bytes 100000-5/400000")).await.succeeds().await;
}

#[tokio::test]
async fn another_range_under_the_right_words_is_corrupt() {
    let pair = other_range("bytes=50000-249999", Some("bytes 100000-299999/300000")).await;
    pair.fails(Corrupt, &[&pair.layer().to_string()]).await;
}

#[tokio::test]
async fn a_source_that_loses_the_blob_in_the_middle_of_it_fails_by_name() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(Action::Truncate(100_000)).nth(Nth::Only(1)));
    pair.a.script(pair.on_layer(status(404)).nth(Nth::From(2)));
    pair.fails(NotFound, &[&pair.layer().to_string()]).await;
}

#[tokio::test]
async fn a_body_that_is_longer_or_shorter_than_the_manifest_says_is_corrupt() {
    let whole = |body: Vec<u8>| Action::Answer { status: 200, headers: Vec::new(), body: body.into() };
    let bytes = Pair::new().await.image.blobs[1].to_vec();
    let longer = [bytes.as_slice(), b"x"].concat();
    for action in [whole(longer), whole(bytes[..299_999].to_vec()), whole(Vec::new()), Action::Endless] {
        let pair = Pair::new().await;
        pair.a.script(pair.on_layer(action));
        pair.fails(Corrupt, &[&pair.layer().to_string()]).await;
    }
}

#[tokio::test]
async fn a_media_type_that_the_bytes_contradict_is_malformed() {
    let pair = Pair::new().await;
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    pair.a.script(pair.on_root(Action::Header("content-type".to_owned(), docker.to_owned())));
    pair.fails(Malformed, &[docker]).await;
}

#[tokio::test]
async fn attack_04_an_endless_manifest_is_malformed_and_read_once() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_root(Action::Endless));
    pair.fails(Malformed, &["4194304"]).await;
    assert_eq!(requests(&pair.a, &Method::GET, "/manifests/"), 1);
}

#[tokio::test]
async fn a_destination_that_calls_what_it_was_given_by_another_digest_is_corrupt() {
    for pattern in ["*/manifests/sha256:*", "*/manifests/v1", "*/blobs/uploads/*"] {
        let pair = Pair::new().await;
        let lie = Action::Header("docker-content-digest".to_owned(), Digest::of(b"lie").to_string());
        pair.b.script(Fault::new(pattern, lie).method(Method::PUT));
        match pair.copy().await {
            Err(refused) => is(&refused, Corrupt, &[&Digest::of(b"lie").to_string()]),
            // A root that is put under its tag alone is never put by digest.
            Ok(_) => assert_eq!(
                (pattern, requests(&pair.b, &Method::PUT, "/manifests/sha256:")),
                ("*/manifests/sha256:*", 0)
            ),
        }
    }
}
