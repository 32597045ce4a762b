//! HTTP clients for probes.

use std::net::IpAddr;

use reqwest::{Client, ClientBuilder, Url, redirect};

use crate::{reuse, text};

/// What Sealift calls itself in requests.
const USER_AGENT: &str = concat!("sealift/", env!("CARGO_PKG_VERSION"));

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// Each request opens a connection of its own, as a newly arrived visitor does.
    Fresh,
    /// Up to this many idle connections wait for the next request, as in a browser or a reverse proxy.
    Kept(usize),
}

/// Reads the URL of a check. Only `http` and `https` are possible.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let shown = text::shown_url(text);
    let url = Url::parse(text).map_err(|e| format!("`{shown}` is not a URL: {e}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("`{shown}` has scheme `{other}`: only http and https can be asked")),
    }
}

/// A client for `url` that follows no redirect, fit for [`Connections`].
///
/// It speaks HTTP/1.1, because one connection then carries one request at a time.
pub(crate) fn build(url: &Url, connections: Connections) -> Result<Client, String> {
    let idle = match connections {
        Connections::Fresh => 0,
        Connections::Kept(most) => most,
    };
    let builder = reuse::observable(builder(url)).http1_only().pool_max_idle_per_host(idle);
    builder.build().map_err(|e| format!("the HTTP client cannot be set up: {}", text::innermost(&e)))
}

/// What every client for `url` has in common.
///
/// No redirect is followed: it is an answer to compare, and could lead anywhere. The system's proxy settings are
/// followed, except towards this machine itself, which no proxy could reach. For plain `http` no root certificates are
/// loaded, so that it works on a machine that has none.
pub(crate) fn builder(url: &Url) -> ClientBuilder {
    let mut builder = Client::builder().user_agent(USER_AGENT).redirect(redirect::Policy::none()).referer(false);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    builder
}

/// Why there was no answer, without the URL.
pub(crate) fn no_answer(error: &reqwest::Error) -> String {
    let reason = text::innermost(error);
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        format!("cannot connect: {reason}")
    } else {
        format!("the connection broke: {reason}")
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_the_system_proxy() {
        for (url, expected) in [
            ("http://127.0.0.1:80/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://app.localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn other_schemes_are_refused_without_showing_secrets() {
        assert!(parse_url("http://h/").is_ok() && parse_url("https://h/").is_ok());
        let error = parse_url("ftp://u:secret@h/?secret").unwrap_err();
        assert!(error.contains("`ftp`") && !error.contains("secret"), "{error}");
        let error = parse_url("http://?secret").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
