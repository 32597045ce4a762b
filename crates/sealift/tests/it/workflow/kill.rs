//! The kill matrix on the real engine: a run is killed before and after its commits, and the same command run again.
//!
//! `make chaos` (`SEALIFT_LONG=1`) plays every point; `make test` a few of them that a seed picks, `SEALIFT_SEED` another few.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use sealift_domain::promotion::PromotionId;
use sealift_registry::image::Built;

use super::{
    compose::{Compose, How},
    stage::Stage,
};
use crate::{
    kill::{Side, run_child},
    place::NEEDED,
};

/// How many points the short form plays of each scenario.
const FEW: u64 = 3;

/// What a promotion left, in words that are the same for every promotion of a scenario.
#[derive(Debug, PartialEq)]
struct Outcome {
    state: String,
    events: Vec<String>,
    /// Whether the record, the driver and who answers agree on the candidate; on the one before; or do not agree.
    runs: &'static str,
    /// Containers by state.
    containers: BTreeMap<String, usize>,
    /// How often a container of this deployment was started.
    starts: usize,
    notices: Vec<String>,
    owed: usize,
}

struct Scenario {
    test: &'static str,
    /// Variables of the candidate's image.
    image: &'static [(&'static str, &'static str)],
    driver: fn() -> Compose,
    exit: i32,
    /// Who runs in the end: `candidate` or `before`.
    runs: &'static str,
}

/// The points to play out of `all`.
fn points(all: u64) -> Vec<(Side, u64)> {
    let every = (0..all).flat_map(|commit| [(Side::Before, commit), (Side::After, commit)]);
    let every: Vec<_> = every.collect();
    if std::env::var("SEALIFT_LONG").as_deref() == Ok("1") {
        return every;
    }
    let seed: u64 = std::env::var("SEALIFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    // The steps of a linear congruential generator (Knuth, TAOCP 2, 3.3.4) are spread well enough for this.
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    (0..FEW).map(|_| every[next() % every.len()]).collect()
}

fn play(
    stage: &Stage<Compose>,
    starts: &Starts,
    scenario: &Scenario,
    number: u64,
    death: Option<(Side, u64)>,
) -> (Outcome, u64) {
    let before = stage.place.live("production").unwrap();
    let version = format!("2.0.{number}");
    let image: Built = stage.image(&version, scenario.image);
    stage.record(&version, &image);
    stage.place.to_staging();
    let id = stage.approved();
    let command = ["promote", "--to", "production"];
    let (ran, commits) = run_child(&stage.place, &command, death);
    match death {
        None => drop(ran.ends(scenario.exit)),
        Some(_) => {
            assert_eq!(ran.code, None, "it was to be killed {death:?}: {ran:?}");
            let again = stage.place.run(&command);
            // Where it was over when it was killed, asking again is asking for another one, which wants a signature.
            let over = again.code == Some(2) && again.stderr.contains("E0603");
            assert!(over || again.code == Some(scenario.exit), "{death:?}: {again:?}");
        }
    }
    let ledger = stage.place.ledger();
    let promotion = &ledger.promotions[&PromotionId(id)];
    let (live, runs) = (stage.place.live("production"), stage.place.runs("production"));
    let answers = stage.driver.nginx().version();
    let runs = match (live == runs, live) {
        (true, Some(digest)) if digest == image.digest && answers.as_deref() == Some(&version) => "candidate",
        (true, Some(digest)) if digest == before && answers.as_deref() != Some(&version) => "before",
        _ => "nobody agrees",
    };
    let mut containers = BTreeMap::new();
    for (_, state) in stage.driver.containers() {
        *containers.entry(state).or_default() += 1;
    }
    let outcome = Outcome {
        state: stage.place.promotion(id)["state"].as_str().unwrap().to_owned(),
        events: promotion.timeline.iter().map(|moment| moment.what.clone()).collect(),
        runs,
        containers,
        starts: starts.count(&format!("p{id}")),
        notices: stage.notices(id),
        owed: ledger.outbox.pending().count(),
    };
    (outcome, commits)
}

/// Writes down which deployments' containers the engine starts, as it happens: it remembers but few events.
struct Starts {
    listener: Child,
    file: PathBuf,
}

impl Drop for Starts {
    fn drop(&mut self) {
        drop(self.listener.kill());
        drop(self.listener.wait());
    }
}

impl Starts {
    fn of(stage: &Stage<Compose>) -> Self {
        let file = stage.place.path("starts");
        let label = format!("label=dev.sealift.project={}", stage.driver.project());
        let form = "{{index .Actor.Attributes \"dev.sealift.key\"}}";
        let listener = Command::new("docker")
            .args(["events", "--filter", "event=start", "--filter", &label, "--format", form])
            .stdin(Stdio::null())
            .stdout(File::create(&file).unwrap())
            .spawn()
            .unwrap();
        Self { listener, file }
    }

    /// How often a container of a deployment was started. Keys are unique within one log.
    fn count(&self, key: &str) -> usize {
        std::fs::read_to_string(&self.file).unwrap().lines().filter(|started| *started == key).count()
    }
}

fn survives(scenario: &Scenario) {
    let Some(stage) = Stage::new(scenario.test, (scenario.driver)(), &[]) else { return };
    stage.released("1.0.0");
    let (starts, already) = (Starts::of(&stage), stage.driver.nginx().failed_in_log().failed.len());
    // The second release finds both colours taken, as every later one does.
    stage.released("1.1.0");
    let (undisturbed, commits) = play(&stage, &starts, scenario, 0, None);
    assert_eq!(undisturbed.runs, scenario.runs, "{undisturbed:?}");
    assert_eq!((undisturbed.starts, undisturbed.owed), (1, 0), "{undisturbed:?}");
    assert!(commits >= 8, "{commits} commits are no promotion");
    for (number, death) in points(commits).into_iter().enumerate() {
        let (outcome, _) = play(&stage, &starts, scenario, 1 + u64::try_from(number).unwrap(), Some(death));
        assert_eq!(outcome, undisturbed, "killed {death:?} of {commits} commits");
    }
    // Before the first release was live, nginx had nothing to answer with; and a sick release says so where it is asked.
    let failed = stage.driver.nginx().failed_in_log().failed.split_off(already);
    let failed: Vec<_> = failed.into_iter().filter(|line| !line.contains("GET /health ")).collect();
    assert_eq!(failed, Vec::<String>::new());
    stage.place.audited();
}

#[test]
fn a_promotion_that_is_killed_completes_when_it_is_run_again() {
    survives(&Scenario {
        test: "workflow::kill::a_promotion_that_is_killed_completes_when_it_is_run_again",
        image: &[],
        driver: || Compose::new(How::BlueGreen),
        exit: 0,
        runs: "candidate",
    });
}

#[test]
fn a_promotion_that_fails_and_is_killed_is_rolled_back_when_it_is_run_again() {
    survives(&Scenario {
        test: "workflow::kill::a_promotion_that_fails_and_is_killed_is_rolled_back_when_it_is_run_again",
        image: &[("NEEDS", NEEDED)],
        driver: super::deploy::easily_content,
        exit: 6,
        runs: "before",
    });
}
