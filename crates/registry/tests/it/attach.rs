//! Artifacts that are attached to an image and taken off again, with and without a registry that lists them itself.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use hyper::Method;
use jiff::Timestamp;
use sealift_domain::{digest::Digest, quantity::Period, reference::Pinned};
use sealift_engine::ports::{
    clock::Clock,
    registry::{Detached, NewReferrer, Registry, RegistryErrorKind},
};
use sealift_registry::{
    client::{Client, Options},
    image::{Built, Format},
    manifest::{Content, read},
    server::{
        Config, Server,
        script::{Action, Fault, Nth, status},
    },
};
use serde_json::Value;

use crate::support::{client, count, image, repository};

const NAME: &str = "production/app";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn note(text: &str) -> NewReferrer {
    NewReferrer {
        artifact_type: BUNDLE.to_owned(),
        media_type: BUNDLE.to_owned(),
        bytes: text.to_owned().into(),
        annotations: BTreeMap::from([(
            "dev.sigstore.bundle.predicateType".to_owned(),
            "https://x.example/v1".to_owned(),
        )]),
    }
}

async fn with(config: Config) -> (Server, Pinned, Built) {
    let server = Server::start(config).await.unwrap();
    let built = image(Format::Oci);
    server.push(NAME, &built, Some("main"));
    let pinned = repository(&server, NAME).at(built.digest);
    (server, pinned, built)
}

fn fallback(image: &Pinned) -> String {
    format!("sha256-{}", image.digest.hex())
}

/// The entries under the fallback tag.
fn listed(server: &Server, image: &Pinned) -> Vec<Value> {
    let tags = server.tags(NAME);
    let Some((_, digest)) = tags.iter().find(|(tag, _)| *tag == fallback(image)) else { return Vec::new() };
    let document: Value = serde_json::from_slice(&server.manifest(NAME, *digest).unwrap().bytes).unwrap();
    document["manifests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_is_attached_is_found_beside_the_image_with_or_without_a_list_of_the_registry() {
    for referrers in [true, false] {
        let (server, image, built) = with(Config { referrers, ..Config::default() }).await;
        let client = client();
        let digest = client.attach(&image, &note("one")).await.unwrap();
        let found = client.referrers(&image).await.unwrap();
        assert_eq!(found.iter().map(|r| (r.digest, r.artifact_type.as_str())).collect::<Vec<_>>(), [(digest, BUNDLE)]);

        let raw = server.manifest(NAME, digest).unwrap();
        let manifest = read(&raw).unwrap();
        let subject = manifest.subject.unwrap();
        let root = built.root().unwrap();
        assert_eq!((subject.digest, subject.size), (image.digest, root.bytes.len() as u64));
        assert_eq!(subject.media_type, root.media_type);
        assert_eq!(manifest.annotations["dev.sigstore.bundle.predicateType"], "https://x.example/v1");
        let Content::Image { config, layers } = manifest.content else { panic!("an index") };
        assert_eq!((config.media_type.as_str(), config.size), ("application/vnd.oci.empty.v1+json", 2));
        assert_eq!(server.blob(NAME, config.digest).unwrap(), "{}");
        assert_eq!((layers.len(), layers[0].media_type.as_str()), (1, BUNDLE));
        assert_eq!(server.blob(NAME, layers[0].digest).unwrap(), "one");
        let evidence = client.evidence(&image, &[]).await.unwrap();
        assert_eq!((evidence.len(), &evidence[0].bytes[..]), (1, &b"one"[..]));

        let entries = listed(&server, &image);
        assert_eq!(entries.len(), usize::from(!referrers));
        if let Some(entry) = entries.first() {
            assert_eq!(entry["artifactType"], BUNDLE);
            assert_eq!(entry["annotations"]["dev.sigstore.bundle.predicateType"], "https://x.example/v1");
        }
    }
}

#[tokio::test]
async fn the_same_artifact_again_writes_nothing_twice() {
    for referrers in [true, false] {
        let (server, image, _) = with(Config { referrers, ..Config::default() }).await;
        let first = client().attach(&image, &note("one")).await.unwrap();
        let (manifests, blobs) = (server.manifests(NAME).len(), server.blobs(NAME).len());
        server.clear_log();
        assert_eq!(client().attach(&image, &note("one")).await.unwrap(), first);
        assert_eq!((server.manifests(NAME).len(), server.blobs(NAME).len()), (manifests, blobs));
        assert_eq!(count(&server, |logged| logged.path.contains("/uploads/")), 0, "no blob is sent again");
        assert_eq!(client().referrers(&image).await.unwrap().len(), 1);
        assert_eq!(listed(&server, &image).len(), usize::from(!referrers));
    }
}

#[tokio::test]
async fn what_is_taken_off_is_gone_and_everything_else_stays() {
    for referrers in [true, false] {
        let (server, image, _) = with(Config { referrers, ..Config::default() }).await;
        let client = client();
        let (first, second) =
            (client.attach(&image, &note("one")).await.unwrap(), client.attach(&image, &note("two")).await.unwrap());
        assert_eq!(client.detach(&image, first).await.unwrap(), Detached::Removed);
        assert!(server.manifest(NAME, first).is_none());
        let left: Vec<Digest> = client.referrers(&image).await.unwrap().iter().map(|r| r.digest).collect();
        assert_eq!(left, [second]);
        assert_eq!(client.detach(&image, first).await.unwrap(), Detached::Removed, "once more changes nothing");
        assert_eq!(client.evidence(&image, &[]).await.unwrap().len(), 1, "no list names what is not there");
        assert!(server.manifest(NAME, image.digest).is_some());
    }
}

#[tokio::test]
async fn a_registry_that_removes_nothing_says_so_unless_nothing_lists_the_artifact_any_more() {
    let (_server, image, _) = with(Config { deletes: false, ..Config::default() }).await;
    let first = client().attach(&image, &note("one")).await.unwrap();
    let refused = client().detach(&image, first).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Unsupported, "{refused}");
    assert!(refused.message.contains(&first.to_string()), "{refused}");

    let (server, image, _) = with(Config { deletes: false, referrers: false, ..Config::default() }).await;
    let first = client().attach(&image, &note("one")).await.unwrap();
    assert_eq!(client().detach(&image, first).await.unwrap(), Detached::Unlisted);
    assert_eq!(client().referrers(&image).await.unwrap(), Vec::new());
    assert!(server.manifest(NAME, first).is_some());
}

#[tokio::test]
async fn who_may_not_remove_is_told() {
    let (server, image, _) = with(Config::default()).await;
    let first = client().attach(&image, &note("one")).await.unwrap();
    server.script(Fault::new("*/manifests/*", status(403)).method(Method::DELETE));
    let refused = client().detach(&image, first).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Unsupported, "{refused}");
    assert!(refused.message.contains("403"), "{refused}");
}

#[tokio::test]
async fn attack_23_an_artifact_that_broke_off_is_not_listed_and_the_next_try_completes_it() {
    for (pattern, method) in [("*/blobs/uploads/*", Method::PUT), ("*/manifests/sha256:*", Method::PUT)] {
        let (server, image, _) = with(Config { referrers: false, ..Config::default() }).await;
        server.script(Fault::new(pattern, status(500)).method(method));
        client().attach(&image, &note("one")).await.unwrap_err();
        assert_eq!(listed(&server, &image), Vec::<Value>::new(), "{pattern}");
        server.clear_script();
        client().attach(&image, &note("one")).await.unwrap();
        assert_eq!(client().evidence(&image, &[]).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn attack_24_of_twenty_writers_at_one_fallback_tag_none_is_lost() {
    let (server, image, _) = with(Config { referrers: false, ..Config::default() }).await;
    let one = client();
    let texts: Vec<String> = (0..20).map(|n| format!("writer {n}")).collect();
    let attach = |text: &String| {
        let artifact = note(text);
        let (one, image) = (&one, &image);
        async move { one.attach(image, &artifact).await.unwrap() }
    };
    let mut written = futures_util::future::join_all(texts.iter().map(attach)).await;
    written.sort();
    let mut found: Vec<Digest> = client().referrers(&image).await.unwrap().iter().map(|r| r.digest).collect();
    found.sort();
    assert_eq!(found, written, "{} of 20 are listed", listed(&server, &image).len());
}

/// A clock that goes as clocks do: writers that share nothing need time to see each other.
struct RealClock;

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, period: Period) {
        tokio::time::sleep(period.as_duration()).await;
    }
}

#[tokio::test]
async fn attack_24_of_twenty_programs_that_know_nothing_of_each_other_none_loses_its_entry() {
    let (server, image, _) = with(Config { referrers: false, ..Config::default() }).await;
    let attach = |n: usize| {
        let client = Client::new(Options::default(), Arc::new(RealClock)).unwrap();
        let (artifact, image) = (note(&format!("program {n}")), &image);
        async move { client.attach(image, &artifact).await.unwrap() }
    };
    let mut written = futures_util::future::join_all((0..20).map(attach)).await;
    written.sort();
    let mut found: Vec<Digest> = client().referrers(&image).await.unwrap().iter().map(|r| r.digest).collect();
    found.sort();
    assert_eq!(found, written, "{} of 20 are listed", listed(&server, &image).len());
    let writes = count(&server, |logged| logged.method == Method::PUT && logged.path.contains("/manifests/sha256-"));
    assert!(writes > 20, "{writes} writes: nobody ever wrote over another, so nothing was shown");
}

#[tokio::test]
async fn attack_24_what_a_foreign_writer_loses_is_found_and_written_again() {
    let (server, image, _) = with(Config { referrers: false, ..Config::default() }).await;
    let theirs = client().attach(&image, &note("theirs")).await.unwrap();
    let before = server.tags(NAME).into_iter().find(|(tag, _)| *tag == fallback(&image)).unwrap().1;
    // Somebody who read the list before writes it back over ours, three times.
    for nth in 1..=3 {
        let moved = Action::MoveTag { repository: NAME.to_owned(), tag: fallback(&image), digest: before };
        let fault = Fault::new(&format!("*/manifests/{}", fallback(&image)), moved);
        server.script(fault.method(Method::PUT).nth(Nth::Only(nth)));
    }
    let ours = client().attach(&image, &note("ours")).await.unwrap();
    let found: Vec<Digest> = client().referrers(&image).await.unwrap().iter().map(|r| r.digest).collect();
    assert_eq!(found, [theirs, ours]);

    // And where ours is taken off, theirs coming back over it does not bring it back.
    let with_both = server.tags(NAME).into_iter().find(|(tag, _)| *tag == fallback(&image)).unwrap().1;
    server.clear_script();
    let moved = Action::MoveTag { repository: NAME.to_owned(), tag: fallback(&image), digest: with_both };
    let fault = Fault::new(&format!("*/manifests/{}", fallback(&image)), moved);
    server.script(fault.method(Method::PUT).nth(Nth::Only(1)));
    client().detach(&image, ours).await.unwrap();
    let found: Vec<Digest> = client().referrers(&image).await.unwrap().iter().map(|r| r.digest).collect();
    assert_eq!(found, [theirs]);
}

/// The envelopes under the tag that cosign 2 reads.
fn envelopes(server: &Server, image: &Pinned) -> Vec<Digest> {
    let tag = format!("{}.att", fallback(image));
    let Some((_, digest)) = server.tags(NAME).into_iter().find(|(name, _)| *name == tag) else { return Vec::new() };
    let Content::Image { config, layers } = read(&server.manifest(NAME, digest).unwrap()).unwrap().content else {
        panic!("an index")
    };
    let config: Value = serde_json::from_slice(&server.blob(NAME, config.digest).unwrap()).unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap().len();
    assert_eq!(diff_ids, layers.len(), "cosign counts the layers in the configuration too");
    for layer in &layers {
        assert_eq!(layer.media_type, "application/vnd.dsse.envelope.v1+json");
        assert_eq!(layer.annotations["predicateType"], "https://x.example/v1");
        assert_eq!(layer.annotations["dev.cosignproject.cosign/signature"], "");
    }
    layers.iter().map(|layer| layer.digest).collect()
}

#[tokio::test]
async fn envelopes_are_added_under_the_tag_of_cosign_2_and_those_there_stay() {
    let (server, image, _) = with(Config::default()).await;
    let client = client();
    for text in ["one", "two", "one"] {
        client.add_envelope(&image, text.as_bytes(), "https://x.example/v1").await.unwrap();
    }
    assert_eq!(envelopes(&server, &image), [Digest::of(b"one"), Digest::of(b"two")]);
    client.drop_envelope(&image, Digest::of(b"one")).await.unwrap();
    client.drop_envelope(&image, Digest::of(b"one")).await.unwrap();
    assert_eq!(envelopes(&server, &image), [Digest::of(b"two")]);
    assert_eq!(client.evidence(&image, &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_list_of_attestations_is_not_written_over() {
    let (server, image, built) = with(Config::default()).await;
    let raw = sealift_registry::image::index(Format::Oci, &[built]).root().unwrap().clone();
    server.put_manifest(NAME, raw.clone(), Some(&format!("{}.att", fallback(&image))));
    let refused = client().add_envelope(&image, b"one", "https://x.example/v1").await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Malformed, "{refused}");
    assert!(server.tags(NAME).iter().any(|(tag, digest)| tag.ends_with(".att") && *digest == raw.digest));
}
