//! How registries are reached: through proxies, by TLS with authorities and client certificates, by way of mirrors.

use sealift::demo::images;
use sealift_registry::image::Built;

use crate::{
    certificates::Authority,
    place::{Place, Ran},
    proxy::Proxy,
    real,
    real_registry::RealRegistry,
};

/// The host name of the registry that only the proxy can find. `.test` is never in the DNS (RFC 6761).
const HOST: &str = "registry.test";

fn release() -> Built {
    images::service("1.0.0", None).build()
}

/// A place whose staging registry has a release.
fn place() -> Place {
    let place = Place::new();
    place.staging.push("hello", &release(), Some("v1"));
    place
}

#[test]
fn a_registry_behind_a_proxy_is_found_by_it_and_this_machine_is_not_asked_for_there() {
    let place = place();
    let (staging, production) = (place.staging.address().to_string(), place.production.address().to_string());
    let proxy = Proxy::start(&[(HOST, &production)]);
    let url = proxy.url();
    let copy = |variables: &[(&str, &str)]| {
        let (from, to) = (format!("{staging}/hello:v1"), format!("{HOST}/hello:v1"));
        place.run_with(&["copy", &from, &to, "--plain-http", HOST], variables)
    };
    copy(&[("HTTP_PROXY", &url)]).ends(0);
    assert_eq!(place.production.tags("hello"), [("v1".to_owned(), release().digest)]);
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|line| line.contains(&format!(" http://{HOST}/v2/"))), "{asked:?}");
    for name in ["http_proxy", "ALL_PROXY"] {
        let before = proxy.asked().len();
        copy(&[(name, &url)]).ends(0);
        assert!(proxy.asked().len() > before, "{name}");
    }
    let before = proxy.asked();
    copy(&[("HTTP_PROXY", &url), ("NO_PROXY", HOST)]).ends(9).says("E0304").says(HOST);
    let local = place.run_with(&["look", &format!("{staging}/hello:v1")], &[("HTTP_PROXY", &url), ("ALL_PROXY", &url)]);
    local.ends(0).says("all there");
    assert_eq!(proxy.asked(), before);
}

#[test]
fn a_host_that_was_not_named_is_not_spoken_to_in_the_clear() {
    let place = place();
    let production = place.production.address().to_string();
    let proxy = Proxy::start(&[(HOST, &production)]);
    let look = format!("{HOST}/hello:v1");
    let variables = [("HTTP_PROXY", proxy.url()), ("HTTPS_PROXY", proxy.url())];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, url)| (*name, url.as_str())).collect();
    place.run_with(&["look", &look], &variables).ends(4).says("E0309").says("--plain-http HOST");
    assert_eq!(proxy.asked(), [format!("CONNECT {HOST}:443")], "there is one attempt, and it is TLS");
    assert!(place.production.log().iter().all(|logged| logged.path != "/v2/hello/manifests/v1"));
}

/// A docker-registry that speaks TLS as `HOST`, the proxy that leads to it, and who issued its certificate.
struct Secure {
    place: Place,
    authority: Authority,
    stranger: Authority,
    proxy: Proxy,
    _registry: RealRegistry,
}

impl Secure {
    /// Starts it, unless a program is missing. With `clients`, it wants a certificate of the same authority.
    fn start(test: &str, clients: bool) -> Option<Self> {
        if !real::is_complete(test, &real::absent(&["docker-registry", "openssl"])) {
            return None;
        }
        let place = place();
        let authority = Authority::new(place.path("tls"));
        let stranger = Authority::new(place.path("stranger"));
        ["ana.test", HOST].iter().for_each(|name| authority.issue(name));
        stranger.issue("ana.test");
        let (certificate, key) = (authority.file(&format!("{HOST}.pem")), authority.file(&format!("{HOST}.key")));
        let mut http = format!("  tls:\n    certificate: {certificate}\n    key: {key}\n");
        if clients {
            http.push_str(&format!("    clientcas: [{}]\n", authority.file("ca.pem")));
        }
        let registry = RealRegistry::start_with(&http);
        let address = registry.address();
        let proxy = Proxy::start(&[(HOST, &address), ("other.test", &address)]);
        Some(Self { place, authority, stranger, proxy, _registry: registry })
    }

    /// Copies the release of staging to `host`.
    fn copy_to(&self, host: &str, flags: &[&str], variables: &[(&str, &str)]) -> Ran {
        let (from, to) = (format!("{}/hello:v1", self.place.staging.address()), format!("{host}/hello:v1"));
        self.run(&[&["copy", &from, &to], flags].concat(), variables)
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let url = self.proxy.url();
        self.place.run_with(arguments, &[&[("HTTPS_PROXY", url.as_str())], variables].concat())
    }

    /// What `HOST` has under the tag; `None` if it has no such tag.
    fn there(&self, flags: &[&str]) -> Option<String> {
        let look = ["look", &format!("{HOST}/hello:v1"), "--output", "json"];
        let seen = self.run(&[&look, flags].concat(), &[]).ends(0).json();
        seen["images"][0]["image"]["digest"].as_str().map(str::to_owned)
    }
}

#[test]
fn a_certificate_is_trusted_by_the_system_or_by_name_and_otherwise_not_at_all() {
    let test = "a_certificate_is_trusted_by_the_system_or_by_name_and_otherwise_not_at_all";
    let Some(secure) = Secure::start(test, false) else { return };
    let (ca, other) = (secure.authority.file("ca.pem"), secure.stranger.file("ca.pem"));
    let digest = release().digest.to_string();
    let refused = secure.copy_to(HOST, &[], &[]);
    refused.ends(4).says("E0309").says("UnknownIssuer").says("--ca-file FILE").says("no tag was written");
    secure.copy_to(HOST, &["--ca-file", &other], &[]).ends(4).says("E0309").says("UnknownIssuer");
    assert_eq!(secure.there(&["--ca-file", &ca]), None);
    secure.copy_to(HOST, &["--ca-file", &ca], &[]).ends(0);
    assert_eq!(secure.there(&["--ca-file", &other, "--ca-file", &ca]).as_ref(), Some(&digest));
    // The system's roots, which `SSL_CERT_FILE` names as it does for OpenSSL and Go.
    secure.copy_to(HOST, &[], &[("SSL_CERT_FILE", &ca)]).ends(0);
    secure.copy_to("other.test", &["--ca-file", &ca], &[]).ends(4).says("E0309").says("not valid for name");
    let asked = secure.proxy.asked();
    let only = [format!("CONNECT {HOST}:443"), "CONNECT other.test:443".to_owned()];
    assert!(asked.iter().all(|line| only.contains(line)), "{asked:?}");
}

#[test]
fn a_registry_that_wants_a_client_certificate_gets_the_one_that_is_named() {
    let test = "a_registry_that_wants_a_client_certificate_gets_the_one_that_is_named";
    let Some(secure) = Secure::start(test, true) else { return };
    let ca = secure.authority.file("ca.pem");
    let (certificate, key) = (secure.authority.file("ana.test.pem"), secure.authority.file("ana.test.key"));
    let (foreign, foreign_key) = (secure.stranger.file("ana.test.pem"), secure.stranger.file("ana.test.key"));
    let flags = ["--ca-file", &ca, "--client-cert", &certificate, "--client-key", &key];
    for _ in 0..5 {
        secure.copy_to(HOST, &["--ca-file", &ca], &[]).ends(4).says("E0309").says("received fatal alert");
    }
    let stranger = ["--ca-file", &ca, "--client-cert", &foreign, "--client-key", &foreign_key];
    secure.copy_to(HOST, &stranger, &[]).ends(4).says("E0309").says("received fatal alert");
    assert_eq!(secure.there(&flags), None);
    secure.copy_to(HOST, &flags, &[]).ends(0);
    assert_eq!(secure.there(&flags), Some(release().digest.to_string()));
    from_configuration(&secure);
    secure.place.edit("key: tls/ana.test.key", "key: stranger/ana.test.key");
    let refused = secure.run(&["look"], &[]);
    refused.ends(2).says("E0104").says("not the key of the certificate").says("registries.client_key");
    let refused = secure.copy_to(HOST, &["--client-cert", &certificate, "--client-key", &foreign_key], &[]);
    refused.ends(2).says("E0002").says("not the key of the certificate").says("--client-key FILE");
    secure.copy_to(HOST, &["--client-cert", &certificate], &[]).ends(2).says("--client-key");
    secure.copy_to(HOST, &["--ca-file", "nothing.pem"], &[]).ends(2).says("E0101").says("nothing.pem");
    secure.copy_to(HOST, &["--ca-file", &key], &[]).ends(2).says("E0002").says("no PEM certificate");
}

/// What the configuration names works as the flags do.
fn from_configuration(secure: &Secure) {
    let text = std::fs::read_to_string(secure.place.path("sealift.yaml")).unwrap();
    let image = format!("{}/hello", secure.place.staging.address());
    let text = text.replace(&image, &format!("{HOST}/hello")).replacen("tags: [staging", "tags: [v1, staging", 1);
    let registries = "registries: {ca_file: tls/ca.pem, client_cert: tls/ana.test.pem, client_key: tls/ana.test.key}\n";
    secure.place.write("sealift.yaml", &format!("{text}{registries}"));
    secure.run(&["look"], &[]).ends(0).says(&release().digest.short());
}

#[test]
fn a_mirror_that_is_named_gives_the_bytes_and_one_that_is_dead_costs_nothing() {
    let place = place();
    let (staging, production) = (place.staging.address().to_string(), place.production.address().to_string());
    place.production.push("hello", &release(), None);
    let target = format!("{production}/copy:v1");
    let from_mirror = format!("{staging}={production}");
    place.run(&["copy", &format!("{staging}/hello:v1"), &target, "--mirror", &from_mirror]).ends(0);
    let asked: Vec<String> = place.staging.log().iter().map(|logged| logged.path.clone()).collect();
    assert!(asked.iter().all(|path| !path.contains("/blobs/")), "all bytes come from the mirror: {asked:?}");
    let dead = format!("{staging}=127.0.0.1:{}", place.ports[0]);
    place.run(&["copy", &format!("{staging}/hello:v1"), &format!("{production}/again"), "--mirror", &dead]).ends(0);
    place.run(&["copy", "a.test/x", "b.test/x", "--mirror", "a.test"]).ends(2).says("two hosts");
}
