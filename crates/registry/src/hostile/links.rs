//! `Link` and `Location`: where a registry sends its clients.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use hyper::header::{HeaderName, HeaderValue, LINK, LOCATION};
use jiff::Timestamp;
use proptest::prelude::*;
use reqwest::{Method, Response, ResponseBuilderExt, Url};
use sealift_domain::quantity::Period;
use sealift_engine::ports::{clock::Clock, registry::RegistryErrorKind};

use super::{hostile, texts};
use crate::{
    client::{Client, Options},
    referrers::next_page,
    transport::{Call, Http},
};

const WORDS: &[&str] = &[
    "<",
    ">",
    ";",
    "rel=\"next\"",
    "http://",
    "https://",
    "//",
    "evil.example",
    "@",
    "127.0.0.1",
    "169.254.169.254",
    "[::1]",
    "localhost",
    ":443",
    "../",
    "?",
    "#",
    "%2f",
    "\\",
    "file:",
    "data:",
    "\u{0}",
    "é",
];

/// Time is not asked for here.
struct Never;

#[async_trait::async_trait]
impl Clock for Never {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    async fn sleep(&self, _: Period) {}
}

/// One for all cases: setting TLS up takes longer than everything else here.
static HTTP: LazyLock<Http> = LazyLock::new(|| {
    let options = Options { plain_http: vec!["lan.example:5000".to_owned()], ..Options::default() };
    Client::new(options, Arc::new(Never)).unwrap().http()
});

/// A call to a registry with TLS, and an answer to it with one header.
fn answered(name: HeaderName, value: &[u8]) -> Option<(Call, Response)> {
    let repository = "registry.example/team/app".parse().unwrap();
    let call = HTTP.call(Method::GET, &repository, "referrers/x", "referrers").unwrap();
    let value = HeaderValue::from_bytes(value).ok()?;
    let response = hyper::Response::builder().url(call.url.clone()).header(name, value).body("").unwrap();
    Some((call, response.into()))
}

/// The rule, said again: TLS, or this machine, or the host that was listed.
fn may_be_spoken_to(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let listed = (host, url.port()) == ("lan.example", Some(5000));
    !host.is_empty() && (url.scheme() == "https" || (url.scheme() == "http" && (here || listed)))
}

#[test]
fn seeds_are_understood() {
    for text in texts("link") {
        let (call, response) = answered(LINK, text.as_bytes()).unwrap();
        assert!(matches!(next_page(&call, &response), Ok(Some(_))), "{text}");
    }
    for text in texts("location") {
        let (call, response) = answered(LOCATION, text.as_bytes()).unwrap();
        assert!(HTTP.location(&call, &response).is_ok(), "{text}");
    }
}

#[test]
fn what_leaves_the_registry_or_tls_is_refused() {
    for text in [
        "<http://registry.example/v2/x>; rel=\"next\"",
        "<https://evil.example/v2/x>; rel=\"next\"",
        "<//evil.example/x>; rel=\"next\"",
        "<https://registry.example:444/x>; rel=\"next\"",
        "<https://registry.example@evil.example/>; rel=next",
        "<\\\\evil.example/x>; rel=\"next\"",
        "</v2/x",
        "/v2/x; rel=\"next\"",
    ] {
        let (call, response) = answered(LINK, text.as_bytes()).unwrap();
        let refused = next_page(&call, &response).unwrap_err();
        assert_eq!(refused.error.kind, RegistryErrorKind::Malformed, "{text}");
    }
    for text in [
        "http://registry.example/x",
        "http://lan.example/x",
        "http://lan.example:5001/x",
        "http://127.0.0.1.evil.example/x",
        "http://localhost.evil.example/x",
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "data:,x",
        "https://",
    ] {
        let (call, response) = answered(LOCATION, text.as_bytes()).unwrap();
        let refused = HTTP.location(&call, &response).unwrap_err();
        assert_eq!(refused.error.kind, RegistryErrorKind::Malformed, "{text}");
    }
}

proptest! {
    #[test]
    fn a_next_page_is_of_the_same_origin(bytes in hostile("link", WORDS)) {
        let Some((call, response)) = answered(LINK, &bytes) else { return Ok(()) };
        match next_page(&call, &response) {
            Ok(Some(url)) => prop_assert_eq!(url.origin(), call.url.origin()),
            Ok(None) => {}
            Err(refused) => prop_assert_eq!(refused.error.kind, RegistryErrorKind::Malformed),
        }
    }

    #[test]
    fn a_location_is_tls_or_allowed(bytes in hostile("location", WORDS)) {
        let Some((call, response)) = answered(LOCATION, &bytes) else { return Ok(()) };
        match HTTP.location(&call, &response) {
            Ok(url) => prop_assert!(may_be_spoken_to(&url), "{}", url),
            Err(refused) => prop_assert_eq!(refused.error.kind, RegistryErrorKind::Malformed),
        }
    }
}
