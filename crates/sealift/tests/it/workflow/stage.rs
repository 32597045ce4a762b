//! Where the workflow's tests play: two real registries, a relay in front of production's, a receiver of notices, and a
//! driver that the tests do not know.

use sealift_registry::image::{Built, Format};
use serde_json::Value;

use super::relay::Relay;
use crate::{
    place::{Place, Ran},
    real_registry::{self, RealRegistry},
    webhook::Receiver,
};

/// What differs from driver to driver.
pub(crate) trait Deploys {
    /// Whether what it needs is there; otherwise the test is skipped.
    fn is_there(&self, test: &str) -> bool;
    /// Edits of the configuration that make it the driver of both environments, as texts and their replacements.
    fn edits(&mut self, place: &mut Place) -> Vec<(String, String)>;
    /// A release of the web service as it deploys them, whose image sets these variables.
    fn image(&self, version: &str, variables: &[(&str, &str)]) -> Built;
    /// The version that answers in an environment.
    fn answers(&self, place: &Place, environment: &str) -> Option<String>;
}

/// The stage.
pub(crate) struct Stage<D> {
    pub(crate) place: Place,
    /// Staging's registry.
    pub(crate) staging: RealRegistry,
    /// Production's registry.
    pub(crate) production: RealRegistry,
    /// Between Sealift and production's registry.
    pub(crate) relay: Relay,
    receiver: Receiver,
    /// What differs from driver to driver.
    pub(crate) driver: D,
}

impl<D: Deploys> Stage<D> {
    /// A stage with a log, after these edits of the configuration. `None` if something is not there that it needs.
    pub(crate) fn new(test: &str, mut driver: D, edits: &[(&str, &str)]) -> Option<Self> {
        if !real_registry::are_there(test) || !driver.is_there(test) {
            return None;
        }
        let (mut place, receiver) = (Place::new(), Receiver::start());
        let (staging, production) = (RealRegistry::start(), RealRegistry::start());
        let relay = Relay::to(&production.address());
        place.edit(&place.staging.address().to_string(), &staging.address());
        place.edit(&place.production.address().to_string(), &relay.address());
        for (from, to) in driver.edits(&mut place) {
            place.edit(&from, &to);
        }
        for (from, to) in edits {
            place.edit(from, to);
        }
        let every = "[approval-wanted, started, completed, failed, rolled-back, cancelled, stuck]";
        let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
        place.write("sealift.yaml", &format!("{text}notify:\n  - {{webhook: \"{}\", on: {every}}}\n", receiver.url()));
        place.run(&["init"]).ends(0);
        Some(Self { place, staging, production, relay, receiver, driver })
    }

    /// An image of the web service that sets these variables.
    pub(crate) fn image(&self, version: &str, variables: &[(&str, &str)]) -> Built {
        self.driver.image(version, variables)
    }

    /// Pushes an image to staging's registry and records its build.
    pub(crate) fn record(&self, version: &str, image: &Built) {
        self.staging.push(image, Format::Oci, version);
        let name = format!("{}/hello:{version}", self.staging.address());
        self.place.run(&["record", "build", &name]).ends(0);
    }

    /// A release that was verified in staging.
    pub(crate) fn staged(&self, version: &str) -> Built {
        let image = self.image(version, &[]);
        self.record(version, &image);
        self.place.to_staging();
        image
    }

    /// The same, brought to production.
    pub(crate) fn released(&self, version: &str) -> Built {
        let image = self.staged(version);
        self.place.to_production();
        image
    }

    /// Bob asks for production; the gates refuse at once. Returns the promotion.
    pub(crate) fn refused(&self) -> u64 {
        let ask = ["promote", "--to", "production", "--identity", "keys/bob", "--output", "json"];
        let ran = self.place.run(&ask);
        ran.ends(3);
        ran.json()["promotion_id"].as_u64().unwrap()
    }

    /// What was verified in staging is asked for and approved. Returns the promotion.
    pub(crate) fn approved(&self) -> u64 {
        let id = self.place.request();
        self.place.approve();
        id
    }

    /// The promotion that waits is worked on.
    pub(crate) fn promote(&self) -> Ran {
        self.place.run(&["promote", "--to", "production"])
    }

    /// How a promotion ended: by the record, in what was told, and in production. `runs` is what is live there and whose
    /// version answers, and `main` what the moving tag names, both `None` for nothing.
    #[track_caller]
    pub(crate) fn ended(&self, id: u64, state: &str, code: &str, exit: u8, runs: Option<(&str, &Built)>) -> Value {
        let record = self.ended_but_for_tags(id, state, code, exit, runs);
        let tags = self.tags();
        assert_eq!(tags.iter().any(|tag| tag == "main"), runs.is_some(), "{tags:?}");
        if let Some((_, image)) = runs {
            assert_eq!(self.production.raw(":main"), image.root().unwrap().bytes, "what `main` names");
        }
        record
    }

    /// The same without a look at production's registry, which may be stopped.
    #[track_caller]
    pub(crate) fn ended_but_for_tags(
        &self,
        id: u64,
        state: &str,
        code: &str,
        exit: u8,
        runs: Option<(&str, &Built)>,
    ) -> Value {
        let record = self.place.promotion(id);
        assert_eq!((&record["state"], &record["exit_code"]), (&state.into(), &exit.into()), "{record:#}");
        let failure = &record["stage"];
        assert!(code.is_empty() || failure.to_string().contains(&format!("\"{code}\"")), "{code}: {failure:#}");
        let version = runs.map(|(version, _)| version.to_owned());
        assert_eq!(self.driver.answers(&self.place, "production"), version, "what answers");
        let digest = runs.map(|(_, image)| image.digest);
        assert_eq!(self.place.runs("production"), digest, "what the driver reads");
        assert_eq!(self.place.live("production"), digest, "what is live by the record");
        let last = self.notices(id).pop();
        let told = format!("promotion.{state}");
        assert_eq!(last.as_deref(), Some(told.as_str()), "{:?}", self.notices(id));
        self.place.audited();
        record
    }

    /// A promotion got stuck with this code of what blocked the way back: people were told, and production is on hold.
    #[track_caller]
    pub(crate) fn stuck(&self, id: u64, code: &str) -> Value {
        let record = self.place.promotion(id);
        assert_eq!((&record["state"], &record["exit_code"]), (&"stuck".into(), &7.into()), "{record:#}");
        assert!(record["stage"].to_string().contains(&format!("\"{code}\"")), "{code}: {record:#}");
        assert_eq!(self.notices(id).last().map(String::as_str), Some("promotion.stuck"));
        self.place.run(&["hold", "list"]).ends(0).says("production");
        self.place.audited();
        record
    }

    /// The tags of production.
    pub(crate) fn tags(&self) -> Vec<String> {
        self.production.all_tags()
    }

    /// What the newest notice about a promotion says of its tags.
    pub(crate) fn told_of_tags(&self, id: u64) -> Option<String> {
        self.receiver.of(id).pop()?.body["tags"].as_str().map(str::to_owned)
    }

    /// The types of the notices about a promotion.
    pub(crate) fn notices(&self, id: u64) -> Vec<String> {
        let types = self.receiver.of(id).into_iter().map(|notice| notice.body["type"].as_str().unwrap().to_owned());
        types.collect()
    }
}
