//! Objects that are too large for a branch.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use sealift_domain::digest::Digest;
use sealift_engine::ports::{
    large_objects::LargeObjects,
    log::{Log as _, LogError, NewLeaf},
};
use sealift_store::{conformance::leaf, git::GitLog, key::Keyring};

use crate::fixture::Place;

#[derive(Default)]
struct Shelf(Mutex<BTreeMap<Digest, Vec<u8>>>);

#[async_trait]
impl LargeObjects for Shelf {
    async fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), LogError> {
        self.0.lock().unwrap().insert(digest, bytes.to_vec());
        Ok(())
    }

    async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, LogError> {
        Ok(self.0.lock().unwrap().get(&digest).cloned())
    }

    async fn remove(&self, digest: Digest) -> Result<(), LogError> {
        self.0.lock().unwrap().remove(&digest);
        Ok(())
    }
}

async fn open(place: &Place, cache: &str, shelf: Option<Arc<Shelf>>) -> GitLog {
    let mut options = place.options(cache);
    options.large = shelf.map(|shelf| shelf as Arc<dyn LargeObjects>);
    GitLog::open(place.remote(), options, Keyring::writer(place.key())).await.unwrap()
}

#[tokio::test]
async fn a_large_object_lies_elsewhere_where_there_is_such_a_place() {
    let place = Place::new();
    drop(place.create("a").await);
    let shelf = Arc::new(Shelf::default());
    let log = open(&place, "a", Some(shelf.clone())).await;
    let (large, medium) = (vec![1u8; 2 << 20], vec![2u8; 1 << 20]);
    let digests = [Digest::of(&large), Digest::of(&medium)];
    let new = NewLeaf { objects: vec![large.clone(), medium.clone()], ..leaf("x") };
    log.append(log.head().await.unwrap(), vec![new]).await.unwrap();
    let objects: Vec<String> = place.files().into_keys().filter(|path| path.starts_with("objects/")).collect();
    assert_eq!(objects.len(), 2, "{objects:?}");
    let sign = objects.iter().find(|path| path.ends_with(".large")).unwrap();
    assert_eq!(place.file(sign), b"2097152\n");
    assert!(sign.contains(&digests[0].hex()));

    let other = open(&place, "b", Some(shelf.clone())).await;
    assert_eq!(other.objects(&digests).await.unwrap(), [Some(large.clone()), Some(medium.clone())]);
    assert_eq!(other.audit(None).await.unwrap().erased, []);
    let without = open(&place, "c", None).await;
    let refused = without.objects(&digests).await;
    assert!(matches!(&refused, Err(LogError::Unavailable { why, .. }) if why.contains("large_objects")), "{refused:?}");
    assert_eq!(without.objects(&digests[1..]).await.unwrap(), [Some(medium)]);
    assert!(without.audit(None).await.is_err(), "absent is not erased");

    shelf.0.lock().unwrap().insert(digests[0], b"forged".to_vec());
    let forged = open(&place, "d", Some(shelf.clone())).await.objects(&digests[..1]).await;
    assert!(matches!(forged, Err(LogError::Tampered { .. })), "{forged:?}");
    shelf.0.lock().unwrap().insert(digests[0], large);
    assert!(log.erase_object(digests[0]).await.unwrap());
    assert!(shelf.0.lock().unwrap().is_empty());
    assert_eq!(log.audit(None).await.unwrap().erased, [(0, digests[0])]);
}

#[tokio::test]
async fn without_such_a_place_there_is_a_limit() {
    let place = Place::new();
    let log = place.create("a").await;
    let head = log.head().await.unwrap();
    let refused = log.append(head, vec![NewLeaf { objects: vec![vec![0; (48 << 20) + 1]], ..leaf("x") }]).await;
    assert!(
        matches!(&refused, Err(LogError::Refused { why, .. }) if why.contains("`store: {large_objects: …}`")),
        "{refused:?}"
    );
    // Nor as many small ones that nobody would read the file of their commit.
    let small = (0..980u32).map(|n| [n.to_be_bytes().to_vec(), vec![0; 65_000]].concat()).collect();
    let refused = log.append(head, vec![NewLeaf { objects: small, ..leaf("x") }]).await;
    assert!(refused.as_ref().is_err_and(|why| why.to_string().contains("at most")), "{refused:?}");
    assert_eq!(log.head().await.unwrap(), head);
    let large = vec![3u8; 2 << 20];
    log.append(head, vec![NewLeaf { objects: vec![large.clone()], ..leaf("x") }]).await.unwrap();
    let other = place.reader("b").await.unwrap();
    assert_eq!(other.objects(&[Digest::of(&large)]).await.unwrap(), [Some(large)]);
}
