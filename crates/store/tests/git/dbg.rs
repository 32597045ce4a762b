use crate::fixture::Place;
use sealift_engine::ports::log::Log as _;
#[tokio::test]
async fn dbg() {
    let place = Place::new();
    let one = place.create("a").await;
    let mut o = place.options("b");
    o.program = "/tmp/gt/wrap2.sh".into();
    let two = sealift_store::git::GitLog::open(place.remote(), o, sealift_store::key::Keyring::writer(place.key()))
        .await
        .unwrap();
    let empty = one.head().await.unwrap();
    one.append(empty, vec![sealift_store::conformance::leaf("first")]).await.unwrap();
    println!("{:?}", two.append(empty, vec![sealift_store::conformance::leaf("second")]).await);
    println!("{}", crate::fixture::git(&place.repository(), &["log", "--graph", "--all", "--oneline"]));
}
