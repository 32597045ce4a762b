//! `sealift copy --file`: what is in place is only looked at, what is missing is done, and what cannot be done keeps nothing
//! else from its place.

use sealift_domain::digest::Digest;
use sealift_registry::{
    image::{Builder, Built, Layer},
    server::{
        Server,
        script::{Fault, Method, Nth, Wait, status, too_many},
    },
};
use serde_json::json;

use crate::place::Place;

const REPOSITORIES: usize = 4;

fn image(seed: &str) -> Built {
    Builder::new().platform("linux", "amd64", None).layer(Layer::tar(seed.to_owned())).build()
}

/// An edge from staging's `app` to a repository of production.
fn edge(place: &Place, digest: Digest, repository: &str, tags: &str) -> String {
    let (from, to) = (place.staging.address(), place.production.address());
    format!("  - {{from: '{from}/app@{digest}', to: '{to}/{repository}', tags: [{tags}]}}\n")
}

fn write(place: &Place, edges: &[String]) {
    place.write("edges.yaml", &format!("edges:\n{}", edges.concat()));
}

fn count(server: &Server, method: &Method, text: &str) -> usize {
    server.log().iter().filter(|logged| logged.method == *method && logged.path.contains(text)).count()
}

/// What is asked of staging is only read.
fn writes(server: &Server) -> usize {
    server.log().iter().filter(|logged| ![Method::GET, Method::HEAD].contains(&logged.method)).count()
}

#[test]
fn ten_thousand_edges_in_place_cost_one_question_each_and_one_list_a_repository() {
    const EDGES: usize = 10_000;
    let (place, image) = (Place::new(), image("same"));
    place.staging.push("app", &image, None);
    let root = image.manifests.last().unwrap();
    let mut edges = Vec::new();
    for n in 0..EDGES {
        let repository = format!("team/app-{}", n % REPOSITORIES);
        if n < REPOSITORIES {
            place.production.push(&repository, &image, None);
        }
        place.production.put_manifest(&repository, root.clone(), Some(&format!("v{n}")));
        edges.push(edge(&place, image.digest, &repository, &format!("v{n}")));
    }
    write(&place, &edges);
    let ran = place.run(&["copy", "--file", "edges.yaml", "--output", "json"]);
    let summary = ran.ends(0).json();
    assert_eq!(summary["tags"], json!({"in_place": EDGES, "written": 0, "failed": 0}), "{summary}");
    assert_eq!(count(&place.production, &Method::HEAD, "/manifests/"), EDGES);
    // 2,500 tags are three pages of a thousand.
    assert_eq!(count(&place.production, &Method::GET, "/tags/list"), REPOSITORIES * 3);
    assert_eq!(place.production.log().len(), EDGES + REPOSITORIES * 3, "and nothing else");
    assert_eq!(place.staging.log().len(), 0, "the source is not asked about what is in place");
}

#[test]
fn missing_tags_are_found_by_the_list_alone_and_only_they_are_done() {
    let (place, old, new) = (Place::new(), image("old"), image("new"));
    for image in [&old, &new] {
        place.staging.push("app", image, None);
    }
    place.production.push("web", &old, Some("main"));
    place.production.push("web", &old, Some("v1"));
    write(
        &place,
        &[
            edge(&place, old.digest, "web", "{immutable: v1}"),
            edge(&place, new.digest, "web", "main, {immutable: v2}, extra"),
            edge(&place, new.digest, "worker", "main"),
        ],
    );
    place.run(&["copy", "--file", "edges.yaml", "--dry-run"]).ends(0).says("REPOSITORY").says("worker");
    let heads = count(&place.production, &Method::HEAD, "/manifests/");
    assert_eq!(
        (heads, writes(&place.production)),
        (2, 0),
        "only the tags that exist are asked for, and nothing is written"
    );

    let planned = place.run(&["copy", "--file", "edges.yaml", "--dry-run", "--output", "json"]).ends(0).json();
    assert_eq!(planned["asked"], json!({"lists": 2, "tags": 2}));
    assert_eq!(planned["todo"][0]["elsewhere"], json!([{"tag": "main", "names": old.digest}]), "{planned}");
    let summary = place.run(&["copy", "--file", "edges.yaml", "--output", "json"]).ends(0).json();
    assert_eq!(summary["tags"], json!({"in_place": 1, "written": 4, "failed": 0}), "{summary}");
    let tags = |repository: &str| place.production.tags(repository);
    let named = |tag: &str, image: &Built| (tag.to_owned(), image.digest);
    assert_eq!(
        tags("web"),
        [named("extra", &new), named("main", &new), named("v1", &old), named("v2", &new)],
        "what is named otherwise is moved, what is missing is written"
    );
    assert_eq!(tags("worker"), [named("main", &new)]);
    assert_eq!(writes(&place.staging), 0);

    let again = place.run(&["copy", "--file", "edges.yaml", "--output", "json"]).ends(0).json();
    assert_eq!(again["tags"], json!({"in_place": 5, "written": 0, "failed": 0}));
}

#[test]
fn an_edge_that_fails_keeps_no_other_from_its_place_and_the_next_run_goes_on() {
    let (place, good, lost, other) = (Place::new(), image("good"), image("lost"), image("other"));
    for image in [&good, &lost, &other] {
        place.staging.push("app", image, None);
    }
    let layer = Digest::of(&lost.blobs[1]);
    assert!(place.staging.remove_blob("app", layer));
    place.production.push("taken", &other, Some("v1"));
    write(
        &place,
        &[
            edge(&place, lost.digest, "lost", "main"),
            edge(&place, good.digest, "good", "main"),
            edge(&place, good.digest, "taken", "{immutable: v1}, main"),
        ],
    );
    let ran = place.run(&["copy", "--file", "edges.yaml"]);
    assert_ne!(ran.code, Some(0));
    ran.says(&layer.to_string()).says("edge 1").says("is immutable and names").says("edge 3");
    assert!(ran.stdout.contains("0 tags in place, 2 written, 2 not as asked"), "{}", ran.stdout);
    assert_eq!(place.production.tags("good"), [("main".to_owned(), good.digest)]);
    assert_eq!(place.production.tags("lost"), []);
    let taken = [("main".to_owned(), good.digest), ("v1".to_owned(), other.digest)];
    assert_eq!(place.production.tags("taken"), taken, "a tag that must not move stays as it is");

    place.staging.push("app", &lost, None);
    write(&place, &[edge(&place, lost.digest, "lost", "main"), edge(&place, good.digest, "good", "main")]);
    place.run(&["copy", "--file", "edges.yaml"]).ends(0).says("1 tag in place, 1 written");
    assert_eq!(place.production.tags("lost"), [("main".to_owned(), lost.digest)]);
}

#[test]
fn a_host_that_has_had_enough_is_waited_for_by_all_edges() {
    let (place, image) = (Place::new(), image("a"));
    place.staging.push("app", &image, None);
    place.production.push("web", &image, Some("v1"));
    place.production.script(Fault::new("*/manifests/*", too_many(Wait::Seconds(1))).nth(Nth::First(3)));
    write(&place, &["v1", "v2", "v3"].map(|tag| edge(&place, image.digest, "web", tag)));
    place.run(&["copy", "--file", "edges.yaml"]).ends(0).says("1 tag in place, 2 written");
}

#[test]
fn a_list_that_cannot_be_read_fails_its_edges_and_no_others() {
    let (place, image) = (Place::new(), image("a"));
    place.staging.push("app", &image, None);
    place.production.script(Fault::new("*/tags/list", status(403)));
    write(&place, &[edge(&place, image.digest, "web", "v1")]);
    place.run(&["copy", "--file", "edges.yaml"]).ends(4).says("E0303").says("nothing was changed");
    place.run(&["copy", "--file", "edges.yaml", "--dry-run"]).ends(4).says("E0303");
    assert_eq!(writes(&place.production), 0);
    let (from, here) = (place.staging.address(), image.digest);
    let there = format!("  - {{from: '{from}/app@{here}', to: '{from}/mirror', tags: [v1, {{immutable: v1}}]}}\n");
    write(&place, &[edge(&place, image.digest, "web", "v1"), there]);
    place
        .run(&["copy", "--file", "edges.yaml"])
        .ends(4)
        .says("edge 1")
        .says("0 tags in place, 1 written, 1 not as asked");
    assert_eq!(place.staging.tags("mirror"), [("v1".to_owned(), image.digest)]);
    place.run(&["copy", "--file", "nowhere.yaml"]).ends(2).says("E0101").says("nowhere.yaml");
    place.write("edges.yaml", "edges:\n  - {from: x}\n");
    place.run(&["copy", "--file", "edges.yaml"]).ends(2).says("edges.yaml:2:");
}

#[test]
fn one_platform_is_copied_alone_and_loudly() {
    let place = Place::new();
    let of = |architecture: &str| {
        Builder::new().platform("linux", architecture, None).layer(Layer::tar(architecture.to_owned())).build()
    };
    let (amd, arm) = (of("amd64"), of("arm64"));
    let index = sealift_registry::image::index(sealift_registry::image::Format::Oci, &[amd.clone(), arm.clone()]);
    place.staging.push("app", &index, Some("v1"));
    let (from, to) = (format!("{}/app:v1", place.staging.address()), format!("{}/app:v1", place.production.address()));
    let ran = place.run(&["copy", &from, &to, "--platform", "linux/arm64"]);
    ran.ends(0).says(&arm.digest.to_string());
    assert!(
        ran.stderr.contains("warning") && ran.stderr.contains("digest of the index does not exist"),
        "{}",
        ran.stderr
    );
    assert_eq!(place.production.tags("app"), [("v1".to_owned(), arm.digest)]);
    assert!(place.production.manifest("app", amd.digest).is_none());
    place.run(&["copy", &from, &to, "--platform", "linux/s390x"]).ends(9).says("linux/amd64, linux/arm64");
    for wrong in ["", "nonsense", "linux/", "/amd64", "LINUX/AMD64", "linux/arm/v7/x", "unknown/unknown"] {
        place.run(&["copy", &from, &to, "--platform", wrong]).ends(2);
    }
}

#[test]
fn a_copy_tells_programs_what_it_took_and_brings_referrers_unless_told_otherwise() {
    let (place, image) = (Place::new(), image("a"));
    let sbom = Builder::new().artifact_type("application/spdx+json").subject(&image).layer(Layer::tar("sbom")).build();
    place.staging.push("app", &image, Some("v1"));
    place.staging.push("app", &sbom, None);
    let (from, to) = (format!("{}/app:v1", place.staging.address()), format!("{}/app:v1", place.production.address()));
    let bare = place.run(&["copy", &from, &to, "--no-referrers", "--output", "json"]).ends(0).json();
    assert_eq!(bare["referrers"], 0);
    assert!(place.production.manifest("app", sbom.digest).is_none());
    assert_eq!(bare["blobs"], json!({"copied": 2, "mounted": 0, "skipped": 0}));
    assert_eq!(bare["digest"], json!(image.digest));
    let asked = place.staging.log().len() + place.production.log().len();
    assert_eq!(bare["requests"], asked);
    assert!(bare["seconds"].as_f64().unwrap() > 0.0 && bare["bytes"].as_u64().unwrap() > 0);
    let whole = place.run(&["copy", &from, &to, "--output", "json"]).ends(0).json();
    assert_eq!(whole["referrers"], 1);
    assert!(place.production.manifest("app", sbom.digest).is_some());
}

#[test]
fn what_was_not_meant_is_not_done() {
    let (place, first, second) = (Place::new(), image("first"), image("second"));
    place.staging.push("app", &first, Some("v1"));
    place.staging.push("app", &second, Some("v2"));
    let from = |tag: &str| format!("{}/app:{tag}", place.staging.address());
    let to = |rest: &str| format!("{}/app{rest}", place.production.address());
    place.run(&["copy", &from("v1"), &to(":v1"), "--dry-run"]).ends(2).says("--dry-run");
    let other = to(&format!(":v2@{}", first.digest));
    place.run(&["copy", &from("v2"), &other]).ends(2).says(&second.digest.to_string());
    assert_eq!(place.production.log().len(), 0, "nothing was asked there");
    place.run(&["copy", &from("v1"), &to(&format!(":v1@{}", first.digest))]).ends(0);
    assert_eq!(place.production.tags("app"), [("v1".to_owned(), first.digest)]);
}
