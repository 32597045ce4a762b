//! Registries that have had enough, or are broken for a while.

use hyper::Method;
use sealift_domain::quantity::Period;
use sealift_engine::ports::registry::RegistryErrorKind::Transient;
use sealift_registry::server::script::{Action, Fault, Nth, Wait, secondary_limit, status, too_many};

use super::Pair;

/// Where requests of a copy go: whether to the source, which method, and which path.
const PLACES: [(bool, Method, &str); 7] = [
    (true, Method::HEAD, "*/manifests/*"),
    (true, Method::GET, "*/manifests/*"),
    (true, Method::GET, "*/blobs/*"),
    (false, Method::POST, "*/blobs/uploads/*"),
    (false, Method::PUT, "*/blobs/uploads/*"),
    (false, Method::PUT, "*/manifests/sha256:*"),
    (false, Method::PUT, "*/manifests/v1"),
];

async fn with_fault(place: &(bool, Method, &str), action: Action, nth: Nth) -> Pair {
    let pair = Pair::new().await;
    let (at_source, method, pattern) = place;
    let server = if *at_source { &pair.a } else { &pair.b };
    server.script(Fault::new(pattern, action).method(method.clone()).nth(nth));
    pair
}

#[tokio::test]
async fn a_wait_that_a_registry_asks_for_is_waited_in_every_form_it_is_said() {
    let second = Period::from_secs(1);
    for (action, waited) in [
        (too_many(Wait::Seconds(17)), Period::from_secs(17)),
        // The clock begins at 2026-01-01T00:00:00Z.
        (too_many(Wait::Until("Thu, 01 Jan 2026 00:00:31 GMT")), Period::from_secs(31)),
        (too_many(Wait::Message("1m2.5s")), Period::from_millis(62_500)),
        (secondary_limit(Wait::Seconds(19)), Period::from_secs(19)),
        (secondary_limit(Wait::Message("1.5s")), Period::from_millis(1500)),
    ] {
        let pair = Pair::new().await;
        pair.a.script(pair.on_layer(action.clone()).nth(Nth::Only(1)));
        pair.succeeds().await;
        let longest = pair.clock.slept().into_iter().max().unwrap_or_default();
        assert!(
            longest >= waited && longest.as_millis() <= waited.as_millis() + second.as_millis(),
            "{action:?}: {longest}"
        );
        assert_eq!(pair.reads(), 2, "{action:?}");
    }
}

#[tokio::test]
async fn a_limit_at_any_request_of_a_copy_delays_it_and_spoils_nothing() {
    for place in &PLACES {
        let pair = with_fault(place, too_many(Wait::Seconds(7)), Nth::First(2)).await;
        pair.succeeds().await;
    }
}

#[tokio::test]
async fn a_server_error_at_any_request_of_a_copy_delays_it_and_spoils_nothing() {
    for place in &PLACES {
        for code in [500, 502, 503, 504] {
            let pair = with_fault(place, status(code), Nth::Only(1)).await;
            pair.succeeds().await;
        }
    }
}

#[tokio::test]
async fn a_registry_that_stays_broken_is_given_up_and_no_tag_is_written() {
    // The source's HEAD is a question that a copy need not ask, and with a tag the image is never put by digest.
    for place in PLACES.iter().filter(|(_, method, path)| *method != Method::HEAD && !path.ends_with("sha256:*")) {
        let pair = with_fault(place, status(503), Nth::Each).await;
        let refused = pair.copy().await.unwrap_err();
        super::is(&refused, Transient, &["503"]);
        assert_eq!(pair.b.tags(super::TO), []);
    }
}

#[tokio::test]
async fn a_limit_that_never_ends_is_given_up() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(too_many(Wait::Seconds(1))));
    pair.fails(Transient, &["429", "TOOMANYREQUESTS"]).await;
    assert!(pair.reads() <= 10, "{} reads", pair.reads());
}

#[tokio::test]
async fn a_wait_of_a_day_is_an_error_at_once() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(too_many(Wait::Seconds(86_400))));
    pair.fails(Transient, &["429", "1d"]).await;
    assert_eq!(pair.reads(), 1);
    assert!(pair.clock.slept().into_iter().all(|slept| slept < Period::from_secs(3600)));
}

#[tokio::test]
async fn a_secondary_limit_that_outlasts_all_patience_is_no_refusal_of_rights() {
    for wait in [Wait::Unsaid, Wait::Seconds(86_400)] {
        let pair = Pair::new().await;
        pair.a.script(pair.on_layer(secondary_limit(wait)));
        pair.fails(Transient, &["403", "secondary rate limit"]).await;
    }
}

#[tokio::test]
async fn a_burst_of_limits_does_not_become_a_storm() {
    let pair = Pair::new().await;
    pair.a.script(Fault::new("*/blobs/*", too_many(Wait::Seconds(2))).method(Method::GET).nth(Nth::First(4)));
    pair.succeeds().await;
    let reads = super::requests(&pair.a, &Method::GET, "/blobs/");
    assert!(reads <= 3 + 4, "{reads} requests for 3 blobs and 4 refusals");
}

#[tokio::test]
async fn a_refusal_that_is_no_limit_is_not_waited_for() {
    let pair = Pair::new().await;
    pair.a.script(pair.on_layer(status(403)));
    pair.fails(sealift_engine::ports::registry::RegistryErrorKind::Denied, &["403"]).await;
    assert_eq!((pair.reads(), pair.clock.slept()), (1, vec![]));
}
