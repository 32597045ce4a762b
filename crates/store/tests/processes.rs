//! Several processes at one log, and processes that die while they write. Children are this test binary itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test, as tests do"
)]

use std::{
    io::{self, BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use sealift_engine::ports::log::{Log as _, LogError, NewLeaf};
use sealift_store::{
    key::{Keyring, SigningKey},
    sqlite::SqliteLog,
};

const DIR: &str = "SEALIFT_TEST_LOG_DIR";

fn create(dir: &Path) -> SqliteLog {
    let key = SigningKey::generate("log.example/shop").unwrap();
    sealift_store::key_file::write_new(&dir.join("key"), &key).unwrap();
    SqliteLog::create(&dir.join("log.db"), key).unwrap()
}

fn open(dir: &Path) -> SqliteLog {
    let key = sealift_store::key_file::read(&dir.join("key")).unwrap();
    SqliteLog::open(&dir.join("log.db"), Keyring::writer(key)).unwrap()
}

/// A child that runs one of the ignored tests below. Killed at the latest when dropped.
struct Running {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(test: &str, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--quiet"])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output).lines() }
    }

    /// The next line that the child says behind `> `, past what the test harness says.
    fn hear(&mut self) -> Option<String> {
        self.output.find_map(|line| line.unwrap().strip_prefix("> ").map(str::to_owned))
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn say(line: &str) {
    io::stdout().write_all(format!("> {line}\n").as_bytes()).unwrap();
}

fn dir_of_child() -> PathBuf {
    std::env::var_os(DIR).expect("started by the test of several processes").into()
}

fn batch(text: &str) -> Vec<NewLeaf> {
    let leaf = |i: usize| NewLeaf {
        bytes: format!("{text} {i}").into_bytes(),
        objects: vec![format!("object of {text} {i}").repeat(200).into_bytes()],
        snapshot: false,
    };
    (0..3).map(leaf).collect()
}

#[tokio::test]
#[ignore = "a child process of the next test"]
async fn child_appends_until_it_is_killed() {
    let log = open(&dir_of_child());
    for round in 0.. {
        log.append(log.head().await.unwrap(), batch(&format!("round {round}"))).await.unwrap();
        say(&hex::encode(log.checkpoint().await.unwrap()));
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_a_whole_log_with_everything_it_had_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    let mut before = 0;
    for round in 0..6 {
        let mut child = Running::start("child_appends_until_it_is_killed", dir.path());
        let mut acknowledged = None;
        for _ in 0..=(round * 7) {
            acknowledged = child.hear();
        }
        child.child.kill().unwrap();
        child.child.wait().unwrap();
        // What it said between the last line heard and its end counts too.
        while let Some(line) = child.hear() {
            acknowledged = Some(line);
        }
        let kept = String::from_utf8(hex::decode(acknowledged.unwrap()).unwrap()).unwrap();
        let report = open(dir.path()).audit(Some(&kept)).await.unwrap();
        assert!(report.size > before && report.size.is_multiple_of(3), "{report:?} after {before}");
        assert_eq!((report.checkpoints, report.erased), (report.size / 3 + 1, vec![]));
        before = report.size;
    }
}

#[tokio::test]
#[ignore = "a child process of the next test"]
async fn child_appends_when_told_to() {
    let log = open(&dir_of_child());
    let mut orders = io::stdin().lines().map(Result::unwrap);
    while orders.next().is_some_and(|order| order == "read") {
        let head = log.head().await.unwrap();
        say("ready");
        assert_eq!(orders.next().as_deref(), Some("append"));
        match log.append(head, batch(&format!("process {}", std::process::id()))).await {
            Ok(_) => say("won"),
            Err(LogError::Conflict { expected, .. }) if expected == head => say("conflict"),
            Err(error) => say(&error.to_string()),
        }
    }
}

#[tokio::test]
async fn of_processes_that_saw_the_same_head_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let log = create(dir.path());
    let mut children: Vec<_> = (0..3).map(|_| Running::start("child_appends_when_told_to", dir.path())).collect();
    for round in 1..=8 {
        for child in &mut children {
            child.tell("read");
            assert_eq!(child.hear().as_deref(), Some("ready"));
        }
        children.iter_mut().for_each(|child| child.tell("append"));
        let mut outcomes: Vec<_> = children.iter_mut().filter_map(Running::hear).collect();
        outcomes.sort();
        assert_eq!(outcomes, ["conflict", "conflict", "won"], "round {round}");
        assert_eq!(log.head().await.unwrap().size, round * 3);
    }
    assert_eq!(log.audit(None).await.unwrap().checkpoints, 9);
}

#[test]
fn of_threads_that_saw_the_same_head_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    let barrier = std::sync::Barrier::new(4);
    let won = std::thread::scope(|scope| {
        let race = || {
            let log = open(dir.path());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let head = runtime.block_on(log.head()).unwrap();
            barrier.wait();
            match runtime.block_on(log.append(head, batch("thread"))) {
                Ok(_) => true,
                Err(LogError::Conflict { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(race)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
}
