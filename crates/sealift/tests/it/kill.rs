//! The kill matrix: a run is killed just before and just after each of its commits, and the same command run again.
//!
//! A commit is the only thing that is durable about a promotion, so two cases for each commit are every point at which a
//! crash can make a difference: what was done and not yet written down, and what was written down and not yet gone on with.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use sealift::{
    session::Session,
    shell::{Shell, Stream, WrapLog},
};
use sealift_domain::{
    digest::Digest,
    freeze::HoldScope,
    ledger::Ledger,
    promotion::{PromotionId, Status},
    release::Release,
};
use sealift_engine::ports::log::{AuditReport, Head, Log, LogError, NewLeaf};

use crate::{
    place::{self, Place, Ran},
    webhook::Receiver,
};

/// The child's command line, one word a line.
const ARGUMENTS: &str = "SEALIFT_TEST_ARGUMENTS";
/// Where the child dies: `before 3`, `after 0`. Without it, it lives.
const DEATH: &str = "SEALIFT_TEST_DEATH";
/// The file of an image to which its migration writes.
const MIGRATIONS: &str = "migrations";
/// Where the child says how many commits it made.
const COUNT: &str = "SEALIFT_TEST_COUNT";

/// On which side of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// A log that ends its own process at a commit.
struct Deadly {
    log: Arc<dyn Log>,
    commits: Arc<AtomicU64>,
    death: Option<(Side, u64)>,
}

impl Deadly {
    fn die_at(&self, side: Side, commit: u64) {
        if self.death == Some((side, commit)) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is on its way; nothing may happen until it is here.
            loop {
                std::thread::park();
            }
        }
    }
}

#[async_trait]
impl Log for Deadly {
    async fn append(&self, expected: Head, batch: Vec<NewLeaf>) -> Result<Head, LogError> {
        let commit = self.commits.fetch_add(1, Ordering::SeqCst);
        self.die_at(Side::Before, commit);
        let head = self.log.append(expected, batch).await?;
        self.die_at(Side::After, commit);
        Ok(head)
    }

    async fn head(&self) -> Result<Head, LogError> {
        self.log.head().await
    }

    async fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, LogError> {
        self.log.leaves(from, to).await
    }

    async fn objects(&self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LogError> {
        self.log.objects(digests).await
    }

    async fn last_snapshot(&self, size: u64) -> Result<Option<u64>, LogError> {
        self.log.last_snapshot(size).await
    }

    async fn checkpoint(&self) -> Result<String, LogError> {
        self.log.checkpoint().await
    }

    async fn audit(&self, kept: Option<&str>) -> Result<AuditReport, LogError> {
        self.log.audit(kept).await
    }
}

/// No test of its own: the process that the others start and that kills itself. Without its variables it does nothing.
#[test]
fn child() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let death = std::env::var(DEATH).ok().map(|text| {
        let (side, commit) = text.split_once(' ').unwrap();
        (if side == "before" { Side::Before } else { Side::After }, commit.parse().unwrap())
    });
    let commits = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&commits);
    let wrap: WrapLog = Arc::new(move |log| Arc::new(Deadly { log, commits: Arc::clone(&counted), death }));
    let shell = Shell {
        variables: std::env::vars().collect(),
        directory: std::env::current_dir().unwrap(),
        stdout: Stream::new(std::io::stdout()),
        stderr: Stream::new(std::io::stderr()),
        stdout_terminal: None,
        stdin_terminal: false,
        stderr_terminal: None,
        program: PathBuf::from(env!("CARGO_BIN_EXE_sealift")),
        wrap_log: Some(wrap),
    };
    let words = std::iter::once("sealift").chain(arguments.lines()).map(Into::into);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let code = runtime.block_on(sealift::cli::run(words, &shell));
    if let Ok(file) = std::env::var(COUNT) {
        std::fs::write(file, commits.load(Ordering::SeqCst).to_string()).unwrap();
    }
    std::process::exit(code.into());
}

/// What is promoted, and how it must end.
struct Scenario {
    /// Makes everything ready, up to the approval, and returns the promotion.
    prepare: fn(&Place, u32) -> u64,
    /// The command that is killed and run again.
    command: &'static [&'static str],
    /// How it ends when nobody disturbs it.
    exit: i32,
    status: Status,
    /// Whether the candidate may be started twice: one that never gets healthy is stopped before that is committed, so a
    /// run that is killed between the two has to try again. Elsewhere each deployment is started once, whatever happens.
    restarts: bool,
}

/// What a promotion left, in words that are the same for every promotion of a scenario.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: Status,
    /// Every event of the promotion, in order.
    events: Vec<String>,
    /// What is live by the record, what the driver reads, what answers, what `main` names: `candidate` or `before`.
    live: &'static str,
    runs: &'static str,
    answers: &'static str,
    main: &'static str,
    /// How often the candidate's migration began.
    migrations: usize,
    /// Whether the candidate has its immutable tag.
    tagged: bool,
    /// How often a process was started for this promotion's deployment, and for any other.
    starts: (usize, usize),
    notices: Vec<String>,
    held: bool,
    /// Notices that nobody was told.
    owed: usize,
}

struct Stage {
    place: Place,
    receiver: Receiver,
    /// Opened once: reading what runs needs no fresh one.
    session: Session,
}

impl Stage {
    /// A stage with a release in production, after these edits of the configuration.
    fn new(edits: &[(&str, &str)]) -> Self {
        Self::at(Place::new(), edits)
    }

    fn at(place: Place, edits: &[(&str, &str)]) -> Self {
        let receiver = Receiver::start();
        let every = "[approval-wanted, started, completed, failed, rolled-back, cancelled, stuck]";
        let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
        place.write("sealift.yaml", &format!("{text}notify:\n  - {{webhook: \"{}\", on: {every}}}\n", receiver.url()));
        for (from, to) in edits {
            place.edit(from, to);
        }
        place.run(&["init"]).ends(0);
        place.release("1.0.0");
        let session = place.session();
        Self { place, receiver, session }
    }

    /// Prepares case `number`, runs it with or without a death, and says what came of it and how many commits it made.
    fn play(&self, scenario: &Scenario, number: u32, death: Option<(Side, u64)>) -> (Outcome, u64) {
        let place = &self.place;
        let before = live(&place.ledger()).unwrap();
        let id = (scenario.prepare)(place, number);
        let candidate = only(&place.ledger().promotions[&PromotionId(id)].release);
        assert_ne!(candidate, before);
        let (old, new) = (place.answers("production").unwrap(), self.starts().len());
        let commits = match death {
            None => {
                let (ran, commits) = self.child(scenario, None);
                ran.ends(scenario.exit);
                commits
            }
            Some(death) => {
                let (killed, _) = self.child(scenario, Some(death));
                assert_eq!(killed.code, None, "it was to be killed {death:?}: {killed:?}");
                self.again(scenario, id);
                0
            }
        };
        let side = |is: Option<Digest>| match is {
            Some(digest) if digest == candidate => "candidate",
            Some(digest) if digest == before => "before",
            _ => "something else",
        };
        let tags: BTreeMap<String, Digest> = place.production.tags("hello").into_iter().collect();
        let ledger = place.ledger();
        let promotion = &ledger.promotions[&PromotionId(id)];
        let key = format!("p{id}");
        let started = self.starts().split_off(new);
        let own = started.iter().filter(|started| **started == key).count();
        let outcome = Outcome {
            status: promotion.status(),
            events: promotion.timeline.iter().map(|moment| moment.what.clone()).collect(),
            live: side(live(&ledger)),
            runs: side(place.runs_in(&self.session, "production")),
            answers: if place.answers("production") == Some(old) { "before" } else { "candidate" },
            main: side(tags.get("main").copied()),
            migrations: self.migrations(candidate),
            tagged: tags.iter().any(|(tag, digest)| tag.starts_with("main-") && *digest == candidate),
            starts: (own, started.len() - own),
            notices: self
                .receiver
                .of(id)
                .iter()
                .map(|notice| notice.body["type"].as_str().unwrap().to_owned())
                .collect(),
            held: ledger.holds.contains_key(&HoldScope::Digest(candidate)),
            owed: ledger.outbox.pending().count(),
        };
        (outcome, commits)
    }

    /// Runs the same command again after a death.
    fn again(&self, scenario: &Scenario, id: u64) {
        let over = self.place.ledger().promotions[&PromotionId(id)].has_ended();
        let ran = self.place.run(scenario.command);
        if over {
            // It was over when the run was killed: to ask again is to ask for another one, which wants a signature.
            ran.ends(2).says("E0603");
        } else {
            ran.ends(scenario.exit);
        }
    }

    fn child(&self, scenario: &Scenario, death: Option<(Side, u64)>) -> (Ran, u64) {
        run_child(&self.place, scenario.command, death)
    }

    /// How often the migration of a release began, where one is configured: it writes to a file of its image.
    fn migrations(&self, release: Digest) -> usize {
        let file = self.place.path(&format!("production/images/{}/rootfs/{MIGRATIONS}", release.hex()));
        std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
    }

    /// The deployments whose processes were started in production, in order.
    fn starts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.place.path("production/starts.log")).unwrap();
        text.lines().map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    }
}

/// Runs a command of the program in a process that dies at a commit, if it is to. Returns how it ended, and if it lived, how
/// many commits it made.
pub(crate) fn run_child(place: &Place, command: &[&str], death: Option<(Side, u64)>) -> (Ran, u64) {
    let count = place.path("commits");
    let mut child = place.command(&std::env::current_exe().unwrap());
    child.args(["kill::child", "--exact", "--nocapture"]).env(ARGUMENTS, command.join("\n"));
    child.env(COUNT, &count);
    if let Some((side, commit)) = death {
        child.env(DEATH, format!("{} {commit}", if side == Side::Before { "before" } else { "after" }));
    }
    let ran = place::finish(child, "the child");
    let commits = if death.is_none() { read_count(&count) } else { 0 };
    (ran, commits)
}

fn read_count(file: &Path) -> u64 {
    std::fs::read_to_string(file).unwrap().parse().unwrap()
}

/// What is live in production by the record.
fn live(ledger: &Ledger) -> Option<Digest> {
    let record = ledger.environments.get(&"production".parse().unwrap())?;
    record.live.as_ref().map(|live| only(&live.release))
}

fn only(release: &Release) -> Digest {
    release.components().next().unwrap().1
}

/// Plays a scenario undisturbed, then killed on both sides of each of its commits.
fn survives(stage: &Stage, scenario: &Scenario) -> Outcome {
    let (undisturbed, commits) = stage.play(scenario, 0, None);
    assert_eq!(undisturbed.status, scenario.status);
    assert!(commits >= 8, "{commits} commits are no promotion");
    let mut number = 0;
    for commit in 0..commits {
        for side in [Side::Before, Side::After] {
            number += 1;
            let (mut outcome, _) = stage.play(scenario, number, Some((side, commit)));
            let case = format!("killed {side:?} commit {commit} of {commits}");
            if scenario.restarts {
                assert!((1..=2).contains(&outcome.starts.0), "{case}: {outcome:?}");
                outcome.starts.0 = undisturbed.starts.0;
            }
            assert_eq!(outcome, undisturbed, "{case}");
        }
    }
    // Whatever was killed when, the log as a whole holds.
    stage.place.audited();
    undisturbed
}

fn version(number: u32) -> String {
    format!("2.0.{number}")
}

fn ask_and_approve(place: &Place) -> u64 {
    place.to_staging();
    let id = place.request();
    place.approve();
    id
}

#[test]
fn a_promotion_that_is_killed_anywhere_completes_when_it_is_run_again() {
    let stage = Stage::new(&[
        ("stable_for: 100ms", "stable_for: 20ms"),
        ("    approval:", "    migrate: {run: [/hello, migrate]}\n    approval:"),
        ("state: production,", &format!("state: production, env: {{DATABASE: {MIGRATIONS}}},")),
    ]);
    let scenario = Scenario {
        prepare: |place, number| {
            place.build(&version(number));
            ask_and_approve(place)
        },
        command: &["promote", "--to", "production"],
        exit: 0,
        status: Status::Completed,
        restarts: false,
    };
    let outcome = survives(&stage, &scenario);
    assert_eq!(
        (outcome.live, outcome.runs, outcome.answers, outcome.main),
        ("candidate", "candidate", "candidate", "candidate")
    );
    assert_eq!((outcome.starts, outcome.tagged, outcome.migrations), ((1, 0), true, 1));
    assert_eq!(outcome.notices, ["promotion.approval-wanted", "promotion.started", "promotion.completed"]);
}

/// A stage whose production attests, by a key that lies beside the log.
fn attesting() -> Stage {
    let place = Place::new();
    place.run(&["keys", "generate"]).ends(0);
    let from = "    from: staging\n";
    Stage::at(
        place,
        &[(from, &format!("{from}    attest: {{key: promotion.pub}}\n")), ("stable_for: 100ms", "stable_for: 20ms")],
    )
}

/// How many attestations lie beside an image, as admitted and as verified.
fn attested(stage: &Stage, digest: Digest) -> [bool; 2] {
    let image = format!("{}/hello@{digest}", stage.place.production.address());
    ["admitted", "verified"].map(|level| {
        let words = ["--environment", "production", "--key", "promotion.pub", "--level", level];
        let ran = stage.place.run(&[&["attest", "verify", &image][..], &words].concat());
        assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
        ran.code == Some(0)
    })
}

#[test]
fn attack_23_a_promotion_that_attests_and_is_killed_anywhere_attests_each_thing_once() {
    let stage = attesting();
    let scenario = Scenario {
        prepare: |place, number| {
            place.build(&version(number));
            ask_and_approve(place)
        },
        command: &["promote", "--to", "production"],
        exit: 0,
        status: Status::Completed,
        restarts: false,
    };
    let outcome = survives(&stage, &scenario);
    assert_eq!((outcome.live, outcome.main, outcome.tagged), ("candidate", "candidate", true));
    let ledger = stage.place.ledger();
    let completed = ledger.promotions.values().filter(|p| p.to.as_str() == "production");
    for promotion in completed.filter(|promotion| promotion.status() == Status::Completed) {
        let digest = only(&promotion.release);
        assert_eq!(attested(&stage, digest), [true, true], "{}", promotion.id);
        // A run that was killed between attaching and writing that down found what it had attached.
        let subject = format!("\"subject\":{{\"digest\":\"{digest}\"");
        let manifests = stage.place.production.manifests("hello");
        let beside = manifests.iter().filter(|raw| String::from_utf8_lossy(&raw.bytes).contains(&subject)).count();
        assert_eq!(beside, 2, "{}", promotion.id);
    }
}

#[test]
fn attack_23_a_promotion_that_attests_and_fails_leaves_no_attestation_wherever_it_is_killed() {
    let stage = attesting();
    let scenario = Scenario {
        prepare: |place, number| {
            place.build_broken(&version(number));
            ask_and_approve(place)
        },
        command: &["promote", "--to", "production"],
        exit: 6,
        status: Status::RolledBack,
        restarts: false,
    };
    let outcome = survives(&stage, &scenario);
    assert_eq!((outcome.live, outcome.main, outcome.held), ("before", "before", true));
    for promotion in stage.place.ledger().promotions.values().filter(|p| p.status() == Status::RolledBack) {
        assert_eq!(attested(&stage, only(&promotion.release)), [false, false], "{}", promotion.id);
    }
}

#[test]
fn a_promotion_that_fails_and_is_killed_anywhere_is_rolled_back_when_it_is_run_again() {
    let stage = Stage::new(&[]);
    let scenario = Scenario {
        prepare: |place, number| {
            place.build_broken(&version(number));
            ask_and_approve(place)
        },
        command: &["promote", "--to", "production"],
        exit: 6,
        status: Status::RolledBack,
        restarts: false,
    };
    let outcome = survives(&stage, &scenario);
    assert_eq!((outcome.live, outcome.runs, outcome.answers, outcome.main), ("before", "before", "before", "before"));
    // The release before ran all the time, so going back to it starts nothing.
    assert_eq!((outcome.starts, outcome.held), ((1, 0), true));
    assert_eq!(outcome.notices, ["promotion.approval-wanted", "promotion.started", "promotion.rolled-back"]);
}

#[test]
fn a_promotion_whose_candidate_never_gets_up_changes_nothing_wherever_it_is_killed() {
    let stage = Stage::new(&[("state: production,", "state: production, health: /health, start_within: 600ms,")]);
    let scenario = Scenario {
        prepare: |place, number| {
            place.build_broken(&version(number));
            ask_and_approve(place)
        },
        command: &["promote", "--to", "production"],
        exit: 9,
        status: Status::Failed,
        restarts: true,
    };
    let outcome = survives(&stage, &scenario);
    assert_eq!((outcome.live, outcome.runs, outcome.answers, outcome.main), ("before", "before", "before", "before"));
    assert_eq!(outcome.starts, (1, 0));
    assert_eq!(outcome.notices, ["promotion.approval-wanted", "promotion.started", "promotion.failed"]);
}

#[test]
fn a_rollback_by_hand_that_is_killed_anywhere_completes_when_it_is_run_again() {
    let stage = Stage::new(&[("stable_for: 100ms", "stable_for: 20ms")]);
    stage.place.release("1.1.0");
    // Each rollback goes back to what the one before it left.
    let scenario = Scenario {
        prepare: |place, _| {
            let id = place.request_by(&["rollback", "--in", "production"]);
            place.approve();
            id
        },
        command: &["rollback", "--in", "production"],
        exit: 0,
        status: Status::Completed,
        restarts: false,
    };
    let outcome = survives(&stage, &scenario);
    assert_eq!(
        (outcome.live, outcome.runs, outcome.answers, outcome.main),
        ("candidate", "candidate", "candidate", "candidate")
    );
    assert_eq!(outcome.starts, (1, 0));
    assert_eq!(outcome.notices, ["promotion.approval-wanted", "promotion.started", "promotion.completed"]);
}
