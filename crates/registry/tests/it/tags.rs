//! Tags.

use hyper::Method;
use sealift_domain::reference::Tag;
use sealift_engine::ports::registry::{Registry, RegistryErrorKind, TagMode};
use sealift_registry::{
    image::Format,
    server::{
        Config, Server,
        script::{Action, Fault, Nth, status},
    },
};

use crate::support::{client, count, image, image_for, repository, server};

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_moving_tag_moves_and_reads_back() {
    let a = server().await;
    let (old, new) = (image(Format::Oci), image_for(Format::Oci, "amd64", 9));
    a.push("app", &old, Some("main"));
    a.push("app", &new, None);
    let (client, place) = (client(), repository(&a, "app"));
    assert_eq!(client.resolve(&place, &tag("main")).await.unwrap(), Some(old.digest));
    client.tag(&place.at(new.digest), &tag("main"), TagMode::Moving).await.unwrap();
    assert_eq!(a.tags("app"), [("main".to_owned(), new.digest)]);
    assert_eq!(client.resolve(&place, &tag("none")).await.unwrap(), None);
    assert_eq!(client.resolve(&repository(&a, "nowhere"), &tag("none")).await.unwrap(), None);
}

#[tokio::test]
async fn an_immutable_tag_is_written_once() {
    let a = server().await;
    let (old, new) = (image(Format::Oci), image_for(Format::Oci, "amd64", 9));
    a.push("app", &old, None);
    a.push("app", &new, None);
    let (client, place, v1) = (client(), repository(&a, "app"), tag("v1"));
    client.tag(&place.at(old.digest), &v1, TagMode::Immutable).await.unwrap();
    a.clear_log();
    client.tag(&place.at(old.digest), &v1, TagMode::Immutable).await.unwrap();
    assert_eq!(count(&a, |logged| logged.method == Method::PUT), 0, "the same digest needs no write");
    let taken = client.tag(&place.at(new.digest), &v1, TagMode::Immutable).await.unwrap_err();
    assert_eq!(taken.kind, RegistryErrorKind::TagTaken);
    assert!(taken.message.contains(&old.digest.to_string()), "{taken}");
    assert_eq!(a.tags("app"), [("v1".to_owned(), old.digest)]);
}

#[tokio::test]
async fn tagging_what_is_not_there_fails() {
    let a = server().await;
    a.push("app", &image(Format::Oci), None);
    let absent = repository(&a, "app").at(image_for(Format::Oci, "amd64", 9).digest);
    let refused = client().tag(&absent, &tag("v1"), TagMode::Moving).await.unwrap_err();
    assert_eq!((refused.kind, a.tags("app").len()), (RegistryErrorKind::NotFound, 0));
}

#[tokio::test]
async fn a_tag_that_names_something_else_after_writing_is_noticed() {
    let a = server().await;
    let (old, new) = (image(Format::Oci), image_for(Format::Oci, "amd64", 9));
    a.push("app", &old, Some("main"));
    a.push("app", &new, None);
    a.script(Fault::new("*/manifests/main", status(201)).method(Method::PUT));
    let refused = client().tag(&repository(&a, "app").at(new.digest), &tag("main"), TagMode::Moving).await.unwrap_err();
    assert_eq!(refused.kind, RegistryErrorKind::Corrupt, "{refused}");
}

#[tokio::test]
async fn a_registry_that_does_not_tell_the_digest_of_a_tag_is_read() {
    for action in [status(405), Action::Header("docker-content-digest".to_owned(), String::new())] {
        let a = server().await;
        let image = image(Format::Oci);
        a.push("app", &image, Some("v1"));
        a.script(Fault::new("*/manifests/*", action).method(Method::HEAD));
        assert_eq!(client().resolve(&repository(&a, "app"), &tag("v1")).await.unwrap(), Some(image.digest));
    }
}

#[tokio::test]
async fn untag_removes_the_name_and_leaves_the_manifest() {
    let a = server().await;
    let image = image(Format::Oci);
    a.push("app", &image, Some("v1"));
    let (client, place) = (client(), repository(&a, "app"));
    client.untag(&place, &tag("v1")).await.unwrap();
    assert_eq!(a.tags("app"), []);
    assert!(a.manifest("app", image.digest).is_some());
    assert!(a.log().iter().all(|logged| logged.method != Method::DELETE || logged.path.ends_with("/v1")));
    assert_eq!(client.untag(&place, &tag("v1")).await.unwrap_err().kind, RegistryErrorKind::NotFound);
}

#[tokio::test]
async fn a_registry_without_deletion_is_unsupported() {
    let a = Server::start(Config { deletes: false, ..Config::default() }).await.unwrap();
    a.push("app", &image(Format::Oci), Some("v1"));
    for code in [405, 404, 400, 202] {
        a.script(Fault::new("*", status(code)).method(Method::DELETE).nth(Nth::Only(1)));
        let refused = client().untag(&repository(&a, "app"), &tag("v1")).await.unwrap_err();
        assert_eq!(refused.kind, RegistryErrorKind::Unsupported, "{code}: {refused}");
        assert_eq!(a.tags("app").len(), 1);
    }
}
