//! `sealift copy` against registries that misbehave: which code, which exit, which words, and what is left at the destination.

use sealift::demo::images;
use sealift_domain::digest::Digest;
use sealift_registry::{
    image::Built,
    manifest::OCI_INDEX,
    server::{
        Access, Account, Config,
        script::{Action, Fault, Method, Wait, status, too_many},
    },
};

use crate::place::Place;

/// One misbehaviour and what comes of it.
struct Case {
    /// What the source does.
    source: Vec<Fault>,
    /// What the destination does.
    destination: Vec<Fault>,
    code: &'static str,
    exit: i32,
    says: Vec<String>,
}

fn image() -> Built {
    images::service("1.0.0", None).build()
}

fn layer(image: &Built) -> Digest {
    Digest::of(image.blobs.last().unwrap())
}

fn on(pattern: &str, method: Method, action: Action) -> Vec<Fault> {
    vec![Fault::new(pattern, action).method(method)]
}

fn source(source: Vec<Fault>, code: &'static str, exit: i32, says: &[&str]) -> Case {
    Case { source, destination: Vec::new(), code, exit, says: says.iter().map(|word| (*word).to_owned()).collect() }
}

fn destination(destination: Vec<Fault>, code: &'static str, exit: i32, says: &[&str]) -> Case {
    Case { source: Vec::new(), destination, ..source(Vec::new(), code, exit, says) }
}

fn cases(image: &Built) -> Vec<Case> {
    let layer = layer(image).to_string();
    let blob = format!("*/blobs/{layer}");
    let unavailable = too_many(Wait::Seconds(86_400));
    let empty_index = Action::Header("content-type".to_owned(), OCI_INDEX.to_owned());
    vec![
        source(on("*/manifests/*", Method::GET, status(404)), "E0301", 9, &["hello"]),
        source(on(&blob, Method::GET, status(404)), "E0301", 9, &[&layer]),
        source(on("*/manifests/*", Method::GET, status(401)), "E0302", 4, &["401", "docker login"]),
        source(on(&blob, Method::GET, status(403)), "E0303", 4, &["403", "docker login"]),
        source(on(&blob, Method::GET, status(503)), "E0304", 9, &["503", "run the command again"]),
        source(on(&blob, Method::GET, unavailable), "E0304", 9, &["TOOMANYREQUESTS", "1d"]),
        source(on(&blob, Method::GET, Action::Corrupt(3)), "E0305", 9, &[&layer]),
        source(on("*/manifests/*", Method::GET, empty_index), "E0306", 9, &["application/vnd.oci.image.index.v1+json"]),
        source(on("*/manifests/*", Method::GET, Action::Endless), "E0306", 9, &["4194304"]),
        destination(on("*/uploads/*", Method::POST, status(403)), "E0303", 4, &["403", "docker login"]),
        destination(on("*/uploads/*", Method::PUT, status(500)), "E0304", 9, &["500"]),
        destination(on("*/manifests/*", Method::PUT, status(201)), "E0305", 9, &["v1"]),
        destination(on("*/manifests/*", Method::PUT, status(405)), "E0308", 9, &["405"]),
    ]
}

#[test]
fn every_kind_of_failure_has_its_code_its_exit_and_its_words() {
    let image = image();
    for (n, case) in cases(&image).into_iter().enumerate() {
        let place = Place::new();
        place.staging.push("hello", &image, Some("v1"));
        case.source.into_iter().for_each(|fault| place.staging.script(fault));
        case.destination.into_iter().for_each(|fault| place.production.script(fault));
        let (from, to) =
            (format!("{}/hello:v1", place.staging.address()), format!("{}/hello:v1", place.production.address()));
        let ran = place.run(&["copy", &from, &to]);
        assert_eq!(ran.code, Some(case.exit), "case {n}, {}: {ran:?}", case.code);
        ran.says(case.code);
        for words in &case.says {
            ran.says(words);
        }
        assert_eq!(place.production.tags("hello"), [], "case {n}, {}", case.code);
        assert!(place.production.manifest("hello", image.digest).is_none(), "case {n}, {}", case.code);
    }
}

#[test]
fn a_login_that_may_only_read_is_told_from_one_that_is_missing() {
    let reader =
        Account { user: "ron".to_owned(), password: "pw".to_owned(), refresh_token: String::new(), push: false };
    let closed = Config { access: Access::Basic(vec![reader]), ..Config::default() };
    let place = Place::with(Config::default(), closed);
    place.staging.push("hello", &image(), Some("v1"));
    let (from, to) =
        (format!("{}/hello:v1", place.staging.address()), format!("{}/hello:v1", place.production.address()));
    place.run(&["copy", &from, &to]).ends(4).says("E0302");
    std::fs::create_dir(place.path(".docker")).unwrap();
    // "ron:pw"
    let auths = format!(r#"{{"auths": {{"{}": {{"auth": "cm9uOnB3"}}}}}}"#, place.production.address());
    place.write(".docker/config.json", &auths);
    place.run(&["copy", &from, &to]).ends(4).says("E0303").says("this account may only read");
    assert_eq!(place.production.tags("hello"), []);
}
