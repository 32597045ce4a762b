//! The road: a build becomes what production runs, through two real registries, as the same bytes.

use sealift::demo::images;
use sealift_domain::digest::Digest;
use sealift_registry::image::{Built, Format, Layer, index};

use crate::{
    place::Place,
    real_registry::{self, RealRegistry},
};

const VERSION: &str = "4.2.0";

fn travels(image: &Built, format: Format) {
    let (first, second) = (RealRegistry::start(), RealRegistry::start());
    let place = Place::new();
    place.edit(&place.staging.address().to_string(), &first.address());
    place.edit(&place.production.address().to_string(), &second.address());
    place.run(&["init"]).ends(0);

    first.push(image, format, VERSION);
    place.run(&["record", "build", &format!("{}/hello:{VERSION}", first.address())]).ends(0);
    place.run(&["promote", "--to", "staging"]).ends(0);
    assert_eq!(place.answers("staging").as_deref(), Some(VERSION));
    let id = place.request();
    assert_eq!(place.answers("production"), None, "nothing runs before somebody approved");
    place.approve();
    place.run(&["promote", "--to", "production"]).ends(0);

    let named = format!("@{}", image.digest);
    let bytes = first.raw(&named);
    assert_eq!(Digest::of(&bytes), image.digest);
    assert_eq!(bytes, image.root().unwrap().bytes);
    assert_eq!(second.raw(&named), bytes, "production's registry holds the same bytes");
    for child in &image.manifests {
        assert_eq!(second.raw(&format!("@{}", child.digest)), child.bytes);
    }
    let commit: String = images::commit(VERSION).chars().take(7).collect();
    let immutable = format!("main-{commit}");
    assert_eq!(second.tags(), ["main", &immutable]);
    for tag in ["main", &immutable] {
        assert_eq!(second.raw(&format!(":{tag}")), bytes, "{tag}");
    }
    assert_eq!(first.tags(), [VERSION, "staging", &format!("staging-{commit}")]);

    assert_eq!(place.answers("production").as_deref(), Some(VERSION));
    assert_eq!((place.live("staging"), place.live("production")), (Some(image.digest), Some(image.digest)));
    let record = place.promotion(id);
    assert_eq!(record["state"], "completed");
    assert_eq!(record["artifacts"][0]["digest"], image.digest.to_string());
    assert_eq!(record["artifacts"][0]["tag"], immutable);
    assert_eq!((&record["requester"], &record["approver"][0]), (&"bob".into(), &"ana@example.com".into()));
    assert_eq!(place.runs("production"), Some(image.digest), "what the driver reads from its process");
    assert!(place.audited() > 10);
}

#[test]
fn a_single_image_travels_to_production_as_the_same_bytes() {
    if real_registry::are_there("a_single_image_travels_to_production_as_the_same_bytes") {
        travels(&images::service(VERSION, None).build(), Format::Oci);
    }
}

#[test]
fn an_index_of_two_platforms_travels_whole() {
    if real_registry::are_there("an_index_of_two_platforms_travels_whole") {
        let foreign = images::service(VERSION, None).platform("linux", "s390x", None).layer(Layer::tar("more"));
        let both = [foreign.build(), images::service(VERSION, None).build()];
        travels(&index(Format::Oci, &both), Format::Oci);
    }
}

#[test]
fn a_docker_schema_2_image_keeps_its_media_types() {
    if real_registry::are_there("a_docker_schema_2_image_keeps_its_media_types") {
        travels(&images::service(VERSION, None).format(Format::Docker).build(), Format::Docker);
    }
}
