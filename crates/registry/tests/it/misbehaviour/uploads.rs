//! Destinations that lose, refuse or forget what they are given.

use hyper::Method;
use sealift_domain::{digest::Digest, quantity::Period};
use sealift_engine::ports::registry::RegistryErrorKind::{Corrupt, Denied, Malformed, Transient};
use sealift_registry::{
    client::Options,
    server::{
        Config,
        script::{Action, Fault, Gate, Nth, status},
    },
};

use super::{Pair, TO, is, requests};
use crate::support::image_for;

fn on_put(action: Action) -> Fault {
    Fault::new("*/blobs/uploads/*", action).method(Method::PUT)
}

fn on_post(action: Action) -> Fault {
    Fault::new("*/blobs/uploads/*", action).method(Method::POST)
}

fn on_manifest(action: Action) -> Fault {
    Fault::new("*/manifests/*", action).method(Method::PUT)
}

#[tokio::test]
async fn an_upload_that_is_reset_in_the_middle_of_its_body_is_started_again() {
    for bytes in [0, 1, 100_000, 299_999] {
        let pair = Pair::new().await;
        pair.b.script(on_put(Action::ResetWithin(bytes)).nth(Nth::First(3)));
        pair.succeeds().await;
    }
}

#[tokio::test]
async fn an_upload_that_is_always_reset_is_given_up() {
    let pair = Pair::new().await;
    pair.b.script(on_put(Action::ResetWithin(50_000)));
    pair.fails(Transient, &[TO]).await;
    let puts = requests(&pair.b, &Method::PUT, "/blobs/uploads/");
    assert!(puts <= 3 * 12, "{puts} tries");
}

#[tokio::test]
async fn an_upload_that_was_completed_but_not_answered_is_complete() {
    let pair = Pair::new().await;
    pair.b.script(on_put(Action::ResetAfter).nth(Nth::First(3)));
    pair.succeeds().await;
}

#[tokio::test]
async fn an_upload_that_the_registry_forgot_is_started_again() {
    for code in [404, 416] {
        let pair = Pair::new().await;
        pair.b.script(on_put(status(code)).nth(Nth::Only(1)));
        match pair.copy().await {
            Ok(_) => pair.is_complete(),
            Err(refused) => {
                assert!(refused.message.contains(&code.to_string()), "{refused}");
                pair.is_untouched();
            }
        }
    }
}

#[tokio::test]
async fn an_opened_upload_without_a_usable_location_is_malformed() {
    for place in ["http://169.254.169.254/x", "ftp://127.0.0.1/x", "http://[", ""] {
        let pair = Pair::new().await;
        pair.b.script(on_post(Action::Header("location".to_owned(), place.to_owned())));
        let refused = pair.copy().await.unwrap_err();
        // An empty location is the URL that was asked, which opens no upload.
        if !place.is_empty() {
            is(&refused, Malformed, &[TO]);
        }
        pair.is_untouched();
    }
    let pair = Pair::new().await;
    pair.b.script(on_post(status(202)));
    pair.fails(Malformed, &["location"]).await;
}

#[tokio::test]
async fn blobs_that_were_only_said_to_be_stored_are_noticed_and_brought_again() {
    let pair = Pair::strict().await;
    pair.b.script(on_put(status(201)).nth(Nth::First(2)));
    pair.succeeds().await;
}

#[tokio::test]
async fn blobs_that_are_never_stored_are_an_error_that_names_one() {
    let pair = Pair::strict().await;
    pair.b.script(on_put(status(201)));
    let refused = pair.copy().await.unwrap_err();
    let named = pair.image.blobs.iter().any(|blob| refused.message.contains(&Digest::of(blob).to_string()));
    assert!(named, "{refused}");
    pair.is_untouched();
    let puts = requests(&pair.b, &Method::PUT, "/manifests/");
    assert!(puts <= 2 * 3, "one careful second pass and no third: {puts} puts");
}

#[tokio::test]
async fn a_manifest_that_was_only_said_to_be_stored_is_noticed() {
    let pair = Pair::new().await;
    pair.b.script(on_manifest(status(201)));
    is(&pair.copy().await.unwrap_err(), Corrupt, &[&pair.image.digest.to_string()]);
    pair.is_untouched();
}

#[tokio::test]
async fn attack_03_a_tag_that_names_something_else_when_it_is_read_back_is_corrupt() {
    let pair = Pair::new().await;
    let other = image_for(sealift_registry::image::Format::Oci, "amd64", 9);
    pair.b.push(TO, &other, None);
    let moved = Action::MoveTag { repository: TO.to_owned(), tag: "v1".to_owned(), digest: other.digest };
    pair.b.script(Fault::new("*/manifests/v1", moved).method(Method::PUT));
    let refused = pair.copy().await.unwrap_err();
    is(&refused, Corrupt, &["v1", &other.digest.to_string(), &pair.image.digest.to_string()]);
}

#[tokio::test]
async fn attack_03_a_digest_that_the_destination_does_not_find_in_the_bytes_is_corrupt() {
    let pair = Pair::new().await;
    let body = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#;
    pair.b.script(on_put(Action::Answer { status: 400, headers: Vec::new(), body: body.into() }));
    pair.fails(Corrupt, &["DIGEST_INVALID"]).await;
}

#[tokio::test]
async fn refusals_of_the_destination_are_repeated_in_its_own_words() {
    let full = r#"{"errors":[{"code":"DENIED","message":"storage quota of prod exceeded"}]}"#;
    let quota = Action::Answer { status: 403, headers: Vec::new(), body: full.into() };
    let pair = Pair::new().await;
    pair.b.script(on_put(quota.clone()));
    pair.fails(Denied, &["storage quota of prod exceeded", TO]).await;
    let pair = Pair::new().await;
    pair.b.script(on_manifest(quota));
    pair.fails(Denied, &["storage quota of prod exceeded", TO]).await;
}

#[tokio::test]
async fn an_upload_whose_last_byte_is_never_answered_is_given_up() {
    let pair = Pair::new().await;
    let (gate, short) = (Gate::new(), Period::from_millis(50));
    pair.b.script(on_put(Action::Hold(gate.clone())));
    let pair = pair.options(Options { commit_timeout: short, idle_timeout: short, ..Options::default() });
    pair.fails(Transient, &["nothing moved for"]).await;
    gate.open();
}

#[tokio::test]
async fn a_slow_source_is_waited_for_as_long_as_it_takes() {
    let pair = Pair::new().await;
    let gate = Gate::new();
    pair.a.script(pair.on_layer(Action::Stall(100_000, gate.clone())));
    let request = pair.request();
    let opened = async {
        gate.arrived().await;
        assert_eq!(pair.b.tags(TO), [], "nothing is tagged while a layer is on its way");
        assert!(pair.b.manifest(TO, pair.image.digest).is_none());
        gate.open();
    };
    let (copied, ()) = tokio::join!(pair.send(&request), opened);
    copied.unwrap();
    pair.is_complete();
}

#[tokio::test]
async fn uploads_elsewhere_and_absolute_locations_work() {
    let pair = Pair::between(Config::default(), Config { absolute_locations: true, ..Config::default() }).await;
    pair.succeeds().await;
    assert_eq!(pair.b.open_uploads(TO), 0);
}
