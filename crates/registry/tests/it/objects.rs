//! Large objects of a log in a repository.

use sealift_domain::digest::Digest;
use sealift_engine::ports::{large_objects::LargeObjects, log::LogError};
use sealift_registry::{
    objects::ObjectRepository,
    server::{
        Config, Server,
        script::{Fault, status},
    },
};

use crate::support::{client, count, repository};

const NAME: &str = "acme/evidence";

async fn objects() -> (Server, ObjectRepository) {
    let server = Server::start(Config::default()).await.unwrap();
    let repository = ObjectRepository::new(client(), repository(&server, NAME));
    (server, repository)
}

fn large(letter: u8) -> (Digest, Vec<u8>) {
    let bytes = vec![letter; 3 << 20];
    (Digest::of(&bytes), bytes)
}

#[tokio::test]
async fn an_object_comes_back_and_is_stored_once() {
    let (server, objects) = objects().await;
    let (digest, bytes) = large(b'a');
    assert_eq!(objects.get(digest).await.unwrap(), None);
    objects.put(digest, &bytes).await.unwrap();
    assert_eq!(objects.get(digest).await.unwrap(), Some(bytes.clone()));
    let tags: Vec<String> = server.tags(NAME).into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags, [format!("object-{}", digest.hex())]);
    let uploads = count(&server, |asked| asked.method == "POST");
    objects.put(digest, &bytes).await.unwrap();
    assert_eq!(count(&server, |asked| asked.method == "POST"), uploads, "what is there is not sent again");
    assert_eq!(objects.get(large(b'b').0).await.unwrap(), None, "another one is not there");
}

#[tokio::test]
async fn a_removed_object_is_gone_and_removing_it_again_is_no_error() {
    let (_server, objects) = objects().await;
    let (digest, bytes) = large(b'a');
    objects.put(digest, &bytes).await.unwrap();
    objects.remove(digest).await.unwrap();
    assert_eq!(objects.get(digest).await.unwrap(), None);
    objects.remove(digest).await.unwrap();
}

#[tokio::test]
async fn a_tag_that_names_another_object_is_refused() {
    let (server, objects) = objects().await;
    let ((mine, bytes), (other, more)) = (large(b'a'), large(b'b'));
    objects.put(mine, &bytes).await.unwrap();
    objects.put(other, &more).await.unwrap();
    let tags = server.tags(NAME);
    let digest_of = |digest: Digest| tags.iter().find(|(tag, _)| *tag == format!("object-{}", digest.hex())).unwrap().1;
    let wrong = server.manifest(NAME, digest_of(other)).unwrap();
    server.set_tag(NAME, &format!("object-{}", mine.hex()), wrong.digest);
    let refused = objects.get(mine).await.unwrap_err();
    assert!(refused.to_string().contains("not its own"), "{refused}");
}

#[tokio::test]
async fn a_registry_that_refuses_or_fails_is_told_apart() {
    let (server, objects) = objects().await;
    let (digest, bytes) = large(b'a');
    server.script(Fault::new("/v2/acme/evidence/blobs/uploads/*", status(403)));
    let refused = objects.put(digest, &bytes).await.unwrap_err();
    assert!(matches!(refused, LogError::Refused { .. }), "{refused}");
    assert!(server.tags(NAME).is_empty(), "nothing is half there");
}
