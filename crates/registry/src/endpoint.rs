//! Where a registry's API is, and which URLs may be spoken to at all.

use std::{collections::BTreeSet, net::IpAddr};

use reqwest::Url;
use sealift_domain::reference::Repository;
use sealift_engine::ports::registry::{RegistryError, RegistryErrorKind};

/// Decides between `https` and plain `http` per host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    plain: BTreeSet<String>,
}

/// Whether `host` (no port; IPv6 with or without brackets) is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    }
}

fn is_docker_hub(registry: &str) -> bool {
    matches!(registry, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// The one name of a registry that has several: Docker Hub is `docker.io`.
pub(crate) fn canonical(registry: &str) -> &str {
    if is_docker_hub(registry) { "docker.io" } else { registry }
}

/// The repository's name in API paths and scopes: on Docker Hub, official images live under `library/`.
pub(crate) fn api_name(repository: &Repository) -> String {
    let name = repository.name();
    if is_docker_hub(repository.registry()) && !name.contains('/') {
        format!("library/{name}")
    } else {
        name.to_owned()
    }
}

/// The part of a URL that credentials are bound to: scheme, host and port.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Hosts {
    /// `plain` lists further hosts, `host` or `host:port`, that speak plain HTTP.
    pub(crate) fn new(plain: impl IntoIterator<Item = String>) -> Self {
        Self { plain: plain.into_iter().collect() }
    }

    fn is_plain(&self, authority: &str) -> bool {
        let host = without_port(authority);
        is_loopback(host) || self.plain.contains(authority) || self.plain.contains(host)
    }

    /// Whether a URL that somebody else gave (a redirect, an upload location, a token realm) may be requested: `https`
    /// always, plain `http` only where it is allowed.
    pub(crate) fn admits(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        url.scheme() == "https" || (url.scheme() == "http" && self.is_plain(&authority))
    }

    /// The URL of `rest` (for instance `manifests/latest`) in the API of `repository`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Result<Url, RegistryError> {
        let registry = repository.registry();
        let scheme = if self.is_plain(registry) { "http" } else { "https" };
        let host = if is_docker_hub(registry) { "registry-1.docker.io" } else { registry };
        let text = format!("{scheme}://{host}/v2/{}/{rest}", api_name(repository));
        text.parse().map_err(|why| RegistryError {
            kind: RegistryErrorKind::Malformed,
            message: format!("`{repository}` does not make a URL: {why}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(hosts: &Hosts, repository: &str) -> String {
        hosts.url(&repository.parse().unwrap(), "manifests/x").unwrap().to_string()
    }

    #[test]
    fn only_this_machine_and_listed_hosts_speak_plain_http() {
        let hosts = Hosts::new(["lan.example:5000".to_owned(), "old.example".to_owned()]);
        for plain in
            ["127.0.0.1:5000/a", "127.9.9.9/a", "localhost/a", "[::1]:5000/a", "lan.example:5000/a", "old.example:81/a"]
        {
            assert!(url(&hosts, plain).starts_with("http://"), "{plain}");
        }
        for tls in
            ["ghcr.io/a", "lan.example:5001/a", "lan.example/a", "128.0.0.1/a", "localhost.example/a", "[::2]:5000/a"]
        {
            assert!(url(&hosts, tls).starts_with("https://"), "{tls}");
        }
    }

    #[test]
    fn foreign_urls_must_be_https_or_allowed() {
        let hosts = Hosts::new(["lan.example:5000".to_owned()]);
        for (text, admitted) in [
            ("https://anywhere.example/x", true),
            ("http://127.0.0.1:9/x", true),
            ("http://[::1]:9/x", true),
            ("http://lan.example:5000/x", true),
            ("http://lan.example/x", false),
            ("http://169.254.169.254/latest", false),
            ("ftp://127.0.0.1/x", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(hosts.admits(&text.parse().unwrap()), admitted, "{text}");
        }
    }

    #[test]
    fn docker_hub_has_its_own_host_and_library() {
        let hosts = Hosts::default();
        assert_eq!(url(&hosts, "docker.io/nginx"), "https://registry-1.docker.io/v2/library/nginx/manifests/x");
        assert_eq!(url(&hosts, "docker.io/acme/app"), "https://registry-1.docker.io/v2/acme/app/manifests/x");
    }
}
