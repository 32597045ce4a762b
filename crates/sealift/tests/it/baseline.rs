//! A team that begins: what runs was brought there by others, and is the first release to go back to.

use sealift_domain::{digest::Digest, name::ComponentName, promotion::Status};
use sealift_engine::ports::driver::Deployment;

use crate::place::Place;
use sealift::demo::images;

/// Has production run an image that no log knows of.
fn runs_already(place: &Place, version: &str) -> Digest {
    let image = images::service(version, None).build();
    place.production.push("hello", &image, Some(version));
    let session = place.session();
    let production = "production".parse().unwrap();
    let driver = session.world.driver(&production).unwrap();
    let repository = place.production.repository("hello").unwrap();
    let deployment = Deployment {
        key: "by-hand".to_owned(),
        fence: 0,
        app: "hello".parse().unwrap(),
        environment: production,
        images: [(ComponentName::only(), repository.at(image.digest))].into(),
        definition: driver.definition().unwrap(),
    };
    place.block_on(async {
        driver.prepare(&deployment, &()).await.unwrap();
        driver.switch(&deployment, &()).await.unwrap();
    });
    image.digest
}

#[test]
fn a_bad_release_rolls_back_to_what_ran_before_there_was_a_log() {
    let place = Place::initialised();
    let old = runs_already(&place, "0.9.0");
    assert_eq!(place.answers("production").as_deref(), Some("0.9.0"));
    place.run(&["rollback", "--in", "production", "--identity", "keys/bob"]).ends(2).says("E0412");
    let recorded = place.json(&["record", "deployment", "--in", "production", "--baseline"]);
    assert_eq!(recorded["baseline"], true);
    assert_eq!(place.live("production"), Some(old));

    place.build_broken("1.0.0");
    place.to_staging();
    let id = place.request();
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(6).says("ROLLED BACK");
    assert_eq!(place.promotion(id)["state"], "rolled-back");
    assert_eq!((place.runs("production"), place.live("production")), (Some(old), Some(old)));
    assert_eq!(place.answers("production").as_deref(), Some("0.9.0"));

    // And a good one replaces it, and can be taken back by hand.
    place.release("1.1.0");
    assert_eq!(place.answers("production").as_deref(), Some("1.1.0"));
    let back = place.request_by(&["rollback", "--in", "production"]);
    place.approve();
    place.run(&["rollback", "--in", "production"]).ends(0);
    assert_eq!(place.ledger().promotions[&sealift_domain::promotion::PromotionId(back)].status(), Status::Completed);
    assert_eq!(place.answers("production").as_deref(), Some("0.9.0"));
    place.audited();
}

#[test]
fn a_digest_that_the_driver_does_not_find_running_is_not_recorded() {
    let place = Place::initialised();
    let image = images::service("0.9.0", None).build();
    place.production.push("hello", &image, None);
    let digest = image.digest.to_string();
    let command = ["record", "deployment", "--in", "production", "--baseline", "--digest", &digest];
    place.run(&command).ends(2).says("nothing runs in production");
    assert_eq!(place.live("production"), None);
    // Where something runs, another digest is no more believed.
    place.release("1.0.0");
    place.run(&command).ends(2).says("does not run in production");
    place.audited();
}
