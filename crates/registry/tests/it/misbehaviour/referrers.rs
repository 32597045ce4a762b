//! What refers to an image: lists with holes, lists that lie, and registries that keep none.

use hyper::Method;
use sealift_domain::digest::Digest;
use sealift_engine::ports::registry::{
    RawManifest, RegistryError,
    RegistryErrorKind::{Corrupt, Malformed, NotFound, Transient},
};
use sealift_registry::{
    image::{Builder, Built, Format, Layer, index},
    manifest::OCI_INDEX,
    server::{
        Config, Server,
        script::{Action, Fault, Nth, listing, status},
    },
};
use serde_json::{Value, json};

use super::{FROM, Pair, TO, careless, is, requests};
use crate::{
    honest::assert_honest,
    support::{assert_complete, image_for, multi_platform},
};

/// An artifact that refers to `subject`.
fn refers(subject: &Built, text: &str) -> Built {
    Builder::new()
        .artifact_type("application/x-note")
        .layer(Layer::of_type("text/plain", text.to_owned()))
        .subject(subject)
        .build()
}

fn no_list(config: Config) -> Config {
    Config { referrers: false, ..config }
}

/// The fallback tag of an image ("Referrers Tag Schema").
fn fallback(image: &Built) -> String {
    format!("sha256-{}", image.digest.hex())
}

/// Writes a fallback tag that lists these.
fn list_by_tag(server: &Server, name: &str, subject: &Built, referrers: &[&Built]) {
    let entry = |built: &&Built| {
        let raw = built.root().unwrap();
        json!({"mediaType": raw.media_type, "digest": raw.digest, "size": raw.bytes.len(), "artifactType": "application/x-note"})
    };
    let list: Vec<Value> = referrers.iter().map(entry).collect();
    let bytes = bytes::Bytes::from(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list}).to_string());
    let raw = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_INDEX.to_owned() };
    server.put_manifest(name, raw, Some(&fallback(subject)));
}

/// The digests that a fallback tag lists.
fn listed_by_tag(server: &Server, name: &str, subject: &Built) -> Vec<String> {
    let tags = server.tags(name);
    let Some((_, digest)) = tags.iter().find(|(tag, _)| *tag == fallback(subject)) else { return Vec::new() };
    let document: Value = serde_json::from_slice(&server.manifest(name, *digest).unwrap().bytes).unwrap();
    document["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// An image with two referrers, the second of which has one of its own.
struct Annotated {
    pair: Pair,
    first: Built,
    second: Built,
    nested: Built,
}

impl Annotated {
    async fn between(a: Config, b: Config) -> Self {
        let by_tag = !a.referrers;
        let pair = Pair::between(a, b).await;
        let (first, second) = (refers(&pair.image, "first"), refers(&pair.image, "second"));
        let nested = refers(&second, "nested");
        for built in [&first, &second, &nested] {
            pair.a.push(FROM, built, None);
        }
        if by_tag {
            list_by_tag(&pair.a, FROM, &pair.image, &[&first, &second]);
            list_by_tag(&pair.a, FROM, &second, &[&nested]);
        }
        Self { pair, first, second, nested }
    }

    fn is_complete(&self) {
        self.pair.is_complete();
        for built in [&self.first, &self.second, &self.nested] {
            assert_complete(&self.pair.b, TO, built);
        }
    }
}

#[tokio::test]
async fn referrers_come_along_with_or_without_lists_at_either_side() {
    for (at_source, at_destination) in [(true, true), (true, false), (false, true), (false, false)] {
        let a = Config { referrers: at_source, referrers_page: Some(1), ..Config::default() };
        let b = Config { referrers: at_destination, ..careless() };
        let annotated = Annotated::between(a, b).await;
        let copied = annotated.pair.copy().await;
        let copied = copied.unwrap_or_else(|refused| panic!("{at_source} {at_destination}: {refused}"));
        annotated.is_complete();
        assert_eq!(copied.tally.referrers, 3, "{at_source} {at_destination}");
        if !at_destination {
            let Annotated { pair, first, second, nested } = &annotated;
            let mut expected = [first.digest.to_string(), second.digest.to_string()];
            expected.sort();
            let mut listed = listed_by_tag(&pair.b, TO, &pair.image);
            listed.sort();
            assert_eq!(listed, expected, "{at_source}");
            assert_eq!(listed_by_tag(&pair.b, TO, second), [nested.digest.to_string()], "{at_source}");
        }
    }
}

#[tokio::test]
async fn referrers_of_children_and_tags_of_cosign_come_along() {
    let pair = Pair::of(multi_platform(Format::Oci), Config::default(), careless()).await;
    let child = image_for(Format::Oci, "arm64", 2);
    let note = refers(&child, "of a child");
    pair.a.push(FROM, &note, None);
    let beside = |suffix: &str| Builder::new().layer(Layer::of_type("application/x", suffix.to_owned())).build();
    let tagged: Vec<(String, Built)> =
        [(&pair.image, ".sig"), (&pair.image, ".att"), (&child, ".sbom"), (&child, ".sig")]
            .map(|(image, suffix)| (format!("{}{suffix}", fallback(image)), beside(suffix)))
            .into();
    for (tag, built) in &tagged {
        pair.a.push(FROM, built, Some(tag));
    }
    pair.succeeds().await;
    assert_complete(&pair.b, TO, &note);
    for (tag, built) in &tagged {
        assert_complete(&pair.b, TO, built);
        assert!(pair.b.tags(TO).contains(&(tag.clone(), built.digest)), "{tag}: {:?}", pair.b.tags(TO));
    }
}

#[tokio::test]
async fn a_referrer_that_came_later_comes_along_with_the_next_copy() {
    let pair = Pair::of(multi_platform(Format::Oci), Config::default(), careless()).await;
    let child = image_for(Format::Oci, "arm64", 2);
    pair.succeeds().await;
    for (subject, text) in [(&pair.image, "of the index"), (&child, "of a child")] {
        let later = refers(subject, text);
        pair.a.push(FROM, &later, None);
        pair.succeeds().await;
        assert!(pair.b.manifest(TO, later.digest).is_some(), "the referrer {text} is not there");
        assert_complete(&pair.b, TO, &later);
    }
}

#[tokio::test]
async fn without_referrers_none_is_asked_for() {
    let annotated = Annotated::between(Config::default(), careless()).await;
    let pair = &annotated.pair;
    pair.send(&pair.request().without_referrers()).await.unwrap();
    pair.is_complete();
    assert!(pair.b.manifest(TO, annotated.first.digest).is_none());
    assert_eq!(requests(&pair.a, &Method::GET, "/referrers/"), 0);
}

#[tokio::test]
async fn attack_14_a_page_that_is_gone_is_an_error_and_not_a_shorter_list() {
    let annotated = Annotated::between(Config { referrers_page: Some(1), ..Config::default() }, careless()).await;
    annotated.pair.a.script(Fault::new("*/referrers/*?*last=*", status(404)));
    annotated.pair.fails(Malformed, &["referrers", "page"]).await;
}

#[tokio::test]
async fn a_page_that_is_late_is_waited_for() {
    let annotated = Annotated::between(Config { referrers_page: Some(1), ..Config::default() }, careless()).await;
    annotated.pair.a.script(Fault::new("*/referrers/*?*last=*", status(503)).nth(Nth::Only(1)));
    annotated.pair.copy().await.unwrap();
    annotated.is_complete();
}

#[tokio::test]
async fn a_list_that_goes_on_elsewhere_or_for_ever_is_malformed() {
    for link in ["<http://127.0.0.1:9/v2/x/referrers/y>; rel=\"next\"", "<?last=same>; rel=\"next\"", "nonsense"] {
        let annotated = Annotated::between(Config::default(), careless()).await;
        let action = Action::Header("link".to_owned(), link.to_owned());
        annotated.pair.a.script(Fault::new("*/referrers/*", action));
        annotated.pair.fails(Malformed, &["referrers"]).await;
        let asked = requests(&annotated.pair.a, &Method::GET, "/referrers/");
        assert!(asked <= 16 * 4, "{link}: {asked} requests");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_an_error_and_not_an_image_without_referrers() {
    let body = |text: &'static str| Action::Answer { status: 200, headers: Vec::new(), body: text.into() };
    for action in [body("{"), body("[]"), body(r#"{"manifests":[{"digest":"sha256:x"}]}"#), Action::Endless] {
        let annotated = Annotated::between(Config::default(), careless()).await;
        annotated.pair.a.script(Fault::new("*/referrers/*", action));
        annotated.pair.fails(Malformed, &["referrers"]).await;
    }
    let annotated = Annotated::between(Config::default(), careless()).await;
    annotated.pair.a.script(Fault::new("*/referrers/*", status(503)));
    annotated.pair.fails(Transient, &["referrers", "503"]).await;
}

#[tokio::test]
async fn a_referrer_that_is_listed_and_missing_fails_by_its_digest() {
    let annotated = Annotated::between(no_list(Config::default()), careless()).await;
    let lost = annotated.first.digest;
    annotated.pair.a.remove_manifest(FROM, lost);
    annotated.pair.fails(NotFound, &[&lost.to_string()]).await;
    let annotated = Annotated::between(Config::default(), careless()).await;
    let lost = Digest::of(&annotated.nested.blobs[1]);
    annotated.pair.a.remove_blob(FROM, lost);
    annotated.pair.fails(NotFound, &[&lost.to_string()]).await;
}

#[tokio::test]
async fn a_list_that_lists_its_own_subject_ends() {
    let pair = Pair::new().await;
    let root = pair.image.root().unwrap().clone();
    pair.a.script(Fault::new("*/referrers/*", listing(&[&root])));
    ends(&pair, pair.copy().await);
}

#[tokio::test]
async fn attack_06_two_manifests_that_are_listed_as_each_others_referrers_end() {
    let pair = Pair::new().await;
    let other = refers(&pair.image, "other");
    pair.a.push(FROM, &other, None);
    let (root, note) = (pair.image.root().unwrap(), other.root().unwrap());
    pair.a.script(Fault::new(&format!("*/referrers/{}", root.digest), listing(&[note])));
    pair.a.script(Fault::new(&format!("*/referrers/{}", note.digest), listing(&[root])));
    ends(&pair, pair.copy().await);
}

/// Either such a list is refused, or everything is there; neither takes many requests.
fn ends(pair: &Pair, copied: Result<sealift_engine::ports::copy::Copied, RegistryError>) {
    match copied {
        Ok(_) => pair.is_complete(),
        Err(refused) => {
            is(&refused, Corrupt, &["is listed as a referrer of", "does not refer to it"]);
            pair.is_untouched();
        }
    }
    assert!(pair.a.log().len() < 40, "{} requests", pair.a.log().len());
}

#[tokio::test]
async fn referrers_that_refer_to_each_other_without_end_are_refused() {
    let pair = Pair::new().await;
    let mut subject = pair.image.clone();
    for n in 0..100 {
        let next = refers(&subject, &n.to_string());
        pair.a.push(FROM, &next, None);
        subject = next;
    }
    let refused = pair.copy().await;
    match refused {
        Err(refused) => is(&refused, Malformed, &["deep"]),
        Ok(copied) => assert_eq!(copied.tally.referrers, 100),
    }
    assert_honest(&pair.b, TO);
}

#[tokio::test]
async fn an_index_may_refer_to_an_image_too() {
    let pair = Pair::new().await;
    let mut parts = index(Format::Oci, &[image_for(Format::Oci, "arm64", 5)]);
    let raw = parts.manifests.pop().unwrap();
    let mut document: Value = serde_json::from_slice(&raw.bytes).unwrap();
    let root = pair.image.root().unwrap();
    document["subject"] = json!({"mediaType": root.media_type, "digest": root.digest, "size": root.bytes.len()});
    let bytes = bytes::Bytes::from(document.to_string());
    let raw = RawManifest { digest: Digest::of(&bytes), bytes, media_type: OCI_INDEX.to_owned() };
    parts.digest = raw.digest;
    parts.manifests.push(raw);
    pair.a.push(FROM, &parts, None);
    pair.succeeds().await;
    assert_complete(&pair.b, TO, &parts);
}

#[tokio::test]
async fn what_others_listed_under_the_fallback_tag_stays_listed() {
    let annotated = Annotated::between(Config::default(), no_list(careless())).await;
    let Annotated { pair, first, second, .. } = &annotated;
    let theirs = refers(&pair.image, "theirs");
    pair.b.push(TO, &theirs, None);
    list_by_tag(&pair.b, TO, &pair.image, &[&theirs, first]);
    // The subject and what refers to it already are not there yet, and that is no damage of the copy's.
    pair.b.push(TO, first, None);
    annotated.pair.copy().await.unwrap();
    let mut listed = listed_by_tag(&pair.b, TO, &pair.image);
    listed.sort();
    let mut expected = [first, second, &theirs].map(|built| built.digest.to_string());
    expected.sort();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn a_fallback_tag_that_somebody_else_writes_at_the_same_time_is_written_again() {
    let annotated = Annotated::between(Config::default(), no_list(careless())).await;
    let Annotated { pair, first, second, .. } = &annotated;
    let theirs = refers(&pair.image, "theirs");
    pair.b.push(TO, &theirs, None);
    list_by_tag(&pair.b, TO, &pair.image, &[&theirs]);
    overwrite_tag(pair, Nth::Only(1));
    annotated.pair.copy().await.unwrap();
    let mut listed = listed_by_tag(&pair.b, TO, &pair.image);
    listed.sort();
    let mut expected = [first, second, &theirs].map(|built| built.digest.to_string());
    expected.sort();
    assert_eq!(listed, expected);
}

/// Each write of the image's fallback tag that `nth` counts is overwritten at once with what the tag names now.
fn overwrite_tag(pair: &Pair, nth: Nth) {
    let tag = fallback(&pair.image);
    let (_, digest) = pair.b.tags(TO).into_iter().find(|(name, _)| *name == tag).unwrap();
    let pattern = format!("*/manifests/{tag}");
    let moved = Action::MoveTag { repository: TO.to_owned(), tag, digest };
    pair.b.script(Fault::new(&pattern, moved).method(Method::PUT).nth(nth));
}

#[tokio::test]
async fn a_fallback_tag_that_never_stays_is_an_error() {
    let annotated = Annotated::between(Config::default(), no_list(careless())).await;
    let pair = &annotated.pair;
    let theirs = refers(&pair.image, "theirs");
    pair.b.push(TO, &theirs, None);
    list_by_tag(&pair.b, TO, &pair.image, &[&theirs]);
    overwrite_tag(pair, Nth::Each);
    is(&pair.copy().await.unwrap_err(), Transient, &["list of referrers", &pair.image.digest.to_string()]);
    assert!(pair.b.log().len() < 400, "{} requests", pair.b.log().len());
}
