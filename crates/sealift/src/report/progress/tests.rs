//! What people and programs see of the same stories, as snapshots.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use jiff::Timestamp;
use sealift_domain::{
    gate::Judged,
    promotion::{Kind, PromotionId, Status, Step},
    quantity::Period,
};
use sealift_engine::{
    ports::{clock::Clock, copy::CopyEvent, probe::CheckResult},
    progress::{Observer, Progress},
};
use serde_json::json;

use super::{CopyOnly, Ticking, Ticks, Watching};
use crate::{
    report::{style::Style, text::width},
    shell::Stream,
};

/// A clock that stands until it is moved.
#[derive(Clone)]
struct Hand(Arc<Mutex<Timestamp>>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(Mutex::new("2026-11-21T01:57:28Z".parse().unwrap())))
    }

    fn forward(&self, millis: u64) {
        let mut now = self.0.lock().unwrap();
        *now = Period::from_millis(millis).after(*now);
    }
}

#[async_trait]
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, _: Period) {}
}

/// What was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The screen of a terminal that knows carriage return and "erase in line".
    fn screen(&self) -> String {
        let text = self.text();
        let lines: Vec<String> = text
            .split('\n')
            .map(|line| {
                let drawn = line.rsplit_once("\r\u{1b}[2K").map_or(line, |(_, last)| last);
                assert!(!drawn.contains('\r'), "{drawn:?}");
                drawn.to_owned()
            })
            .collect();
        lines.join("\n")
    }
}

fn gates(failing: &[(&str, &str, Option<&str>)]) -> Progress {
    let gate = |value| serde_json::from_value::<Judged>(value).unwrap();
    let pass = ["digest", "hold", "order", "verified"]
        .map(|name| gate(json!({"gate": name, "code": "G001", "verdict": "pass", "found": "well"})));
    let fail = failing.iter().map(|(name, reason, clears)| {
        gate(json!({
            "gate": name, "code": "G003", "verdict": "fail", "reason": reason, "remedy": "mend it", "clears_at": clears,
        }))
    });
    Progress::Gates { gates: pass.into_iter().chain(fail).collect(), took: Period::from_millis(412) }
}

fn began(live: Option<&str>, release: &str) -> Progress {
    Progress::Began {
        promotion: PromotionId(75),
        app: "hello".parse().unwrap(),
        kind: Kind::Promote,
        live: live.map(str::to_owned),
        release: release.to_owned(),
        to: "production".parse().unwrap(),
        resumed: false,
    }
}

fn step(step: Step, usually: Option<u64>) -> Progress {
    Progress::StepBegan { step, usually: usually.map(Period::from_millis) }
}

fn done(step: Step, found: &str, took: u64) -> Progress {
    Progress::StepDone { step, found: found.to_owned(), took: Period::from_millis(took) }
}

fn failed(step: Step, why: &str, took: u64) -> Progress {
    let code = "E0410".to_owned();
    Progress::StepFailed { step, code, why: why.to_owned(), took: Period::from_millis(took) }
}

fn note(step: Step, text: &str) -> Progress {
    Progress::Note { step, text: text.to_owned() }
}

fn check(passed: bool, found: &str) -> Progress {
    let (check, found) = ("http http://127.0.0.1:8080/health".to_owned(), found.to_owned());
    Progress::Check { result: CheckResult { check, passed, found, output: Vec::new() } }
}

fn rested(status: Status) -> Progress {
    Progress::Rested { promotion: PromotionId(75), status }
}

fn bytes() -> Vec<(u64, Progress)> {
    let event = |event| Progress::Copy { event };
    vec![
        (20, event(CopyEvent::Found { blobs: 3, bytes: 52_100_000 })),
        (5, event(CopyEvent::BlobSkipped(2_100_000))),
        (100, event(CopyEvent::Moved(10_000_000))),
        (2000, event(CopyEvent::Moved(10_000_000))),
        (5, event(CopyEvent::BlobCopied(20_000_000))),
        (5, event(CopyEvent::BlobMounted(30_000_000))),
    ]
}

/// Milliseconds to wait, and what happens then.
type Story = Vec<(u64, Progress)>;

/// From the copy to the switch.
fn deployed(live: Option<&str>, release: &str) -> Story {
    let consent = Progress::Consent { by: vec!["ana".parse().unwrap()], at: Hand::new().now() };
    let mut story = vec![(0, began(live, release)), (412, gates(&[])), (0, consent), (3, step(Step::Copy, Some(900)))];
    story.extend(bytes());
    story.extend([
        (1, done(Step::Copy, "1 of 3 blobs mounted, 20.0 MB moved", 2_141)),
        (1, step(Step::TagImmutable, None)),
        (9, done(Step::TagImmutable, "main-7a3f9c2", 9)),
        (1, step(Step::RecordUndo, None)),
        (3, done(Step::RecordUndo, "1.8.1 runs", 3)),
        (1, step(Step::Migrate, None)),
        (0, done(Step::Migrate, "none to run", 0)),
        (1, step(Step::Prepare, Some(21_000))),
        (40, note(Step::Prepare, "pulling registry.example.com/hello@sha256:7a3f9c2e11b0: 3 layers, 52.1 MB")),
        (12_000, note(Step::Prepare, "p75 runs on port 4101, waiting for /health")),
        (9_000, done(Step::Prepare, "candidate is up", 21_040)),
        (1, step(Step::Switch, Some(300))),
        (250, done(Step::Switch, "1.8.2 is live", 250)),
        (1, step(Step::Verify, Some(30_000))),
    ]);
    story
}

fn good() -> Story {
    let mut story = deployed(Some("1.8.1"), "1.8.2");
    story.extend([
        (30_000, check(true, "200 after 1.2 s, stable for 30 s")),
        (10, done(Step::Verify, "2 checks hold, 0 of 2114 requests failed", 30_010)),
        (1, step(Step::MoveTags, None)),
        (12, done(Step::MoveTags, "main", 12)),
        (1, step(Step::Retire, None)),
        (80, done(Step::Retire, "the release before is stopped and kept ready", 80)),
        (2, rested(Status::Completed)),
    ]);
    story
}

fn rolled_back() -> Story {
    let mut story = deployed(Some("1.8.1"), "1.9.0");
    let said = "503 for 30 s, the last one said {\"status\":\"error\",\"database\":\"unavailable\"}";
    story.extend([
        (30_000, check(false, said)),
        (10, failed(Step::Verify, &format!("http http://127.0.0.1:8080/health: {said}"), 30_010)),
        (1, step(Step::Restore, None)),
        (500, note(Step::Restore, "traffic is back on p71, stopping p75")),
        (100, done(Step::Restore, "1.8.1 runs", 600)),
        (1, step(Step::ConfirmRestored, None)),
        (900, check(true, "200 after 0.1 s")),
        (90, done(Step::ConfirmRestored, "1.8.1 restored, 2 checks hold, 0 of 2114 requests failed", 990)),
        (1, step(Step::RestoreTags, None)),
        (8, done(Step::RestoreTags, "tags never moved", 8)),
        (2, rested(Status::RolledBack)),
    ]);
    story
}

fn refused() -> Story {
    let failing = [
        ("max_size", "linux/amd64 has 212.0 MB, 100.0 MB allowed", None),
        ("metadata", "the label org.opencontainers.image.revision is missing in linux/amd64 and linux/arm64", None),
    ];
    vec![(0, began(None, "1.8.2")), (412, gates(&failing)), (2, rested(Status::Failed))]
}

fn waiting() -> Story {
    let soak = ("soak", "verified in staging 0.2 s ago, 1 s wanted", Some("2026-11-21T01:57:30Z"));
    let until = "2026-11-21T02:57:30Z".parse().unwrap();
    vec![
        (0, began(Some("1.8.1"), "1.8.2")),
        (412, gates(&[soak])),
        (1600, gates(&[])),
        (0, Progress::Waiting { reason: "an approval".to_owned(), until }),
        (2, rested(Status::Pending)),
    ]
}

fn soaking() -> Story {
    let soak = ("soak", "verified in staging 20 min ago, 1 h wanted", Some("2026-11-21T02:37:28Z"));
    let reason = format!("{}: {}", soak.0, soak.1);
    let until = "2026-11-21T02:37:28Z".parse().unwrap();
    vec![
        (0, began(Some("1.8.1"), "1.8.2")),
        (412, gates(&[soak])),
        (0, Progress::Waiting { reason, until }),
        (2, rested(Status::Pending)),
    ]
}

fn retried() -> Story {
    let retry = Progress::Retry { step: Step::Copy, attempt: 1, why: "PUT of a blob: 502 Bad Gateway".to_owned() };
    let mut story = vec![(0, began(None, "1.8.2")), (412, gates(&[])), (3, step(Step::Copy, None))];
    story.extend(bytes());
    story.push((5, retry));
    story.extend(bytes());
    story.push((1, done(Step::Copy, "2 of 3 blobs, 40.0 MB moved", 4_300)));
    story.push((1, failed(Step::Prepare, "p75 ended with status 1 before it was healthy", 1_200)));
    story.push((1, done(Step::Discard, "the candidate is removed", 200)));
    story.push((1, rested(Status::Failed)));
    story
}

/// Tells a story; before each event the view looks at the clock.
fn tell(view: &impl Ticks, hand: &Hand, story: Story) {
    for (millis, progress) in story {
        hand.forward(millis);
        view.tick();
        view.on(&progress);
    }
    view.finish();
}

fn in_terminal(style: Style, story: Story) -> String {
    let (written, hand) = (Written::default(), Hand::new());
    let view = super::terminal(Stream::new(written.clone()), style, Arc::new(hand.clone()));
    tell(&view, &hand, story);
    let screen = written.screen();
    assert!(screen.lines().all(|line| width(line) <= style.width), "{screen}");
    assert!(screen.is_empty() || screen.ends_with('\n'), "no half line is left: {screen}");
    screen
}

fn in_pipe(style: Style, story: Story) -> String {
    let (written, hand) = (Written::default(), Hand::new());
    let view = super::plain(Stream::new(written.clone()), style, Arc::new(hand.clone()));
    tell(&view, &hand, story);
    assert!(!written.text().contains(['\u{1b}', '\r']), "{}", written.text());
    written.text()
}

fn in_json(story: Story) -> String {
    let (written, hand) = (Written::default(), Hand::new());
    let view = super::json(Stream::new(written.clone()), Arc::new(hand.clone()));
    for (millis, progress) in story {
        hand.forward(millis);
        view.on(&progress);
    }
    view.finish();
    written.text()
}

const COLOR: Style = Style { color: true, ..Style::plain() };
const NARROW: Style = Style { width: 60, ..Style::plain() };
const ASCII: Style = Style { unicode: false, ..Style::plain() };

/// The whole set of stories.
fn stories() -> [(&'static str, Story); 7] {
    [
        ("good", good()),
        ("refused", refused()),
        ("waiting", waiting()),
        ("soaking", soaking()),
        ("rolled_back", rolled_back()),
        ("retried", retried()),
        ("copy", bytes()),
    ]
}

#[test]
fn a_terminal_keeps_one_line_a_phase() {
    for (name, story) in stories() {
        insta::assert_snapshot!(format!("terminal_{name}"), in_terminal(Style::plain(), story.clone()));
        insta::assert_snapshot!(format!("terminal_60_{name}"), in_terminal(NARROW, story.clone()));
        insta::assert_snapshot!(format!("terminal_ascii_{name}"), in_terminal(ASCII, story.clone()));
        let colored = in_terminal(COLOR, story.clone());
        insta::assert_snapshot!(
            format!("terminal_color_{name}"),
            colored.escape_debug().to_string().replace("\\n", "\n")
        );
    }
}

#[test]
fn a_pipe_gets_a_line_a_change() {
    for (name, story) in stories() {
        insta::assert_snapshot!(format!("pipe_{name}"), in_pipe(Style::plain(), story.clone()));
        let ascii = in_pipe(ASCII, story);
        assert!(ascii.is_ascii(), "{ascii}");
    }
}

#[test]
fn programs_get_an_object_a_line() {
    for (name, story) in stories() {
        let lines = in_json(story);
        for line in lines.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["schema_version"], 1, "{line}");
            assert!(value["time"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{line}");
            assert!(value["promotion"] == 75 || name == "copy", "{line}");
        }
        insta::assert_snapshot!(format!("json_{name}"), lines);
    }
}

#[test]
fn the_running_line_shows_what_is_known() {
    let (written, hand) = (Written::default(), Hand::new());
    let view = super::terminal(Stream::new(written.clone()), Style::plain(), Arc::new(hand.clone()));
    let mut frames = String::new();
    for (millis, progress) in deployed(Some("1.8.1"), "1.8.2") {
        hand.forward(millis);
        view.on(&progress);
        hand.forward(1000);
        view.tick();
        let last = written.screen().lines().last().unwrap_or_default().to_owned();
        assert!(width(&last) < 100, "{last}");
        frames.push_str(&format!("{last}\n"));
    }
    insta::assert_snapshot!("terminal_frames", frames);
    view.finish();
    let over = written.text();
    view.on(&rested(Status::Completed));
    view.tick();
    view.finish();
    assert_eq!(written.text(), over, "nothing is drawn when it is over");
}

#[test]
fn a_heartbeat_breaks_a_minute_of_silence() {
    let (written, hand) = (Written::default(), Hand::new());
    let view = super::plain(Stream::new(written.clone()), Style::plain(), Arc::new(hand.clone()));
    let pass = |seconds: u64| {
        for _ in 0..seconds {
            hand.forward(1000);
            view.tick();
        }
    };
    pass(120);
    assert_eq!(written.text(), "", "nothing is being done");
    view.on(&began(None, "1.8.2"));
    view.on(&step(Step::Copy, None));
    for (_, event) in bytes() {
        view.on(&event);
    }
    pass(61);
    view.on(&step(Step::Verify, None));
    pass(130);
    view.on(&check(true, "200"));
    pass(59);
    view.on(&rested(Status::Completed));
    pass(600);
    insta::assert_snapshot!("pipe_heartbeat", written.text());
}

#[test]
fn a_view_that_is_dropped_ends_its_thread_and_its_line() {
    struct Counts(Arc<Mutex<(u64, bool)>>, std::sync::mpsc::SyncSender<()>);
    impl Observer for Counts {
        fn on(&self, _: &Progress) {}
    }
    impl Watching for Counts {
        fn finish(&self) {
            self.0.lock().unwrap().1 = true;
        }
    }
    impl Ticks for Counts {
        fn tick(&self) {
            let mut counts = self.0.lock().unwrap();
            assert!(!counts.1, "no tick after the end");
            counts.0 += 1;
            self.1.try_send(()).ok();
        }
    }
    let counts = Arc::new(Mutex::new((0, false)));
    let (ticked, ticks) = std::sync::mpsc::sync_channel(1);
    let view = Ticking::start(Counts(Arc::clone(&counts), ticked), std::time::Duration::from_millis(1));
    ticks.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    drop(view);
    let after = *counts.lock().unwrap();
    assert!(after.0 > 0 && after.1);
    assert_eq!(Arc::strong_count(&counts), 1, "the thread is gone");
}

#[test]
fn a_copy_without_a_promotion_is_watched_too() {
    let (written, hand) = (Written::default(), Hand::new());
    let view = super::plain(Stream::new(written.clone()), Style::plain(), Arc::new(hand));
    let copy: &dyn sealift_engine::ports::copy::CopyObserver = &CopyOnly(&view);
    copy.on(CopyEvent::Found { blobs: 1, bytes: 459 });
    copy.on(CopyEvent::Moved(459));
    copy.on(CopyEvent::BlobCopied(459));
    assert_eq!(written.text(), "2026-11-21T01:57:28Z copy: 1 blob of 459 B\n");
}
