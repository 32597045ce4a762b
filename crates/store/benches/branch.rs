//! `cargo bench -p sealift-store --bench branch`: what a ledger on a branch costs, beside plain git on the same repository.
//!
//! A ledger of 1000 entries and one of 100,000 (`-- --quick`: the small one only) with leaves of about 500 bytes, bodies of 1 to
//! 3 KB, two openings of 100 bytes, and a snapshot every 1024 entries. It is written by copying, many commits in a push; then a
//! reader opens it with an empty cache and reads up to the newest entry as a fold does, and a writer pushes three tiles of
//! entries, two at a time. Beside them, in the same run, `git clone --depth 1` and `git push` of a commit that changes one line.
//! The remote is a bare repository on the same disk that keeps what it receives in packs. Bytes sent are those of a pack's objects
//! that the remote did not have: it adds what others are differences to. Of opening and cloning the shortest round counts, of
//! pushes the median. Nothing is asserted about time: whoever reads the figures knows the machine.

// A benchmark speaks to whoever runs it, and has nothing better to do than to stop.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use sealift_domain::digest::Digest;
use sealift_engine::ports::log::{Log as _, NewLeaf};
use sealift_store::{
    copy::Commits as _,
    git::{GitLog, GitOptions, Remote},
    key::{Keyring, SigningKey},
    record::{Base, Record},
    sqlite::SqliteLog,
};

/// How many rounds there are of each.
const ROUNDS: u32 = 5;
/// A fold may begin at each of these.
const SNAPSHOT_EVERY: u64 = 1024;
/// Entries of a commit.
const COMMIT: u64 = 2;
/// Entries that are pushed, a commit at a time: three tiles.
const PUSHED: u64 = 3 * 256;
/// How many of our pushes there are for each of plain git's.
const ONE_IN: u64 = 16;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes: &[u64] = if quick { &[1000] } else { &[1000, 100_000] };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("| entries | what | time | bytes |\n|---|---|---|---|");
    for size in sizes {
        runtime.block_on(measure(*size));
    }
}

async fn measure(size: u64) {
    let dir = tempfile::tempdir().unwrap();
    let secret = SigningKey::generate("log.example/shop").unwrap().secret_text().unwrap();
    let key = || SigningKey::from_text(&secret).unwrap();
    let remote = dir.path().join("remote.git");
    git(dir.path(), &["init", "--quiet", "--bare", "remote.git"]);
    for (name, value) in [("uploadpack.allowFilter", "true"), ("receive.unpackLimit", "1"), ("receive.autogc", "false")]
    {
        git(&remote, &["config", name, value]);
    }
    let address: Remote = format!("git+file://{}#sealift", remote.display()).parse().unwrap();
    let options = |name: &str| GitOptions::new(dir.path().join(name));
    let source = source(dir.path(), key(), size).await;
    let begun = Instant::now();
    let first = source.first().await.unwrap();
    let log = GitLog::create_copy(address.clone(), options("writer"), Keyring::writer(key()), &first).await.unwrap();
    let mut after = 0;
    loop {
        let page = source.records(after).unwrap();
        let Some(last) = page.last() else { break };
        after = last.size;
        log.import(page).await.unwrap();
    }
    say(size, "written by copying", begun.elapsed(), None);
    let stored = |what: &str, time| say(size, what, time, Some(bytes(&remote.join("objects"))));
    stored("the remote, as received", Duration::ZERO);
    cold(size, dir.path(), &address, &key).await;
    clone(size, dir.path(), &remote);
    let gc = || {
        let begun = Instant::now();
        git(&remote, &["gc", "--quiet", "--prune=now"]);
        begun.elapsed()
    };
    stored("the remote, after `git gc`", gc());
    pushes(size, dir.path(), &remote, &log).await;
    stored("the remote, with these pushes as received", Duration::ZERO);
    // What pushes have found out is forgotten, as where a forge unpacks what it receives.
    let begun = Instant::now();
    git(&remote, &["repack", "-a", "-d", "-f", "-q"]);
    stored("the remote, after `git repack -a -d -f`", begun.elapsed());
    cold(size, dir.path(), &address, &key).await;
}

/// A log in SQLite to copy from. It is a mirror only because those are not synced to disk.
async fn source(dir: &Path, key: SigningKey, size: u64) -> SqliteLog {
    let first = Record::create(&key);
    let base = Base { frontier: Default::default(), note: first.note, annex: first.annex };
    let log = SqliteLog::create_mirror(&dir.join("source.db"), Keyring::writer(key), &base).unwrap();
    let mut head = log.head().await.unwrap();
    while head.size < size {
        let next = head.size..(head.size + COMMIT).min(size);
        let batch = next.map(|index| entry(index, index % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1)).collect();
        head = log.append(head, batch).await.unwrap();
    }
    log
}

/// An entry with its body and two openings. A tenth of the text repeats, as field names do.
fn entry(index: u64, snapshot: bool) -> NewLeaf {
    let filler = |length: usize, salt: u64| {
        let mut text = String::new();
        for i in 0.. {
            text.push_str(&Digest::of(format!("{index}/{salt}/{i}").as_bytes()).hex());
            text.push_str("\":{\"k\":");
            if text.len() >= length {
                break;
            }
        }
        text.truncate(length);
        text
    };
    let body = 1000 + usize::try_from(index * 37 % 2000).unwrap();
    let objects = [(body, 1), (100, 2), (100, 3)].map(|(length, salt)| filler(length, salt).into_bytes());
    NewLeaf { bytes: filler(500, 0).into_bytes(), objects: objects.to_vec(), snapshot }
}

/// Opens with an empty cache and reads from the newest snapshot on, with all objects.
async fn cold(size: u64, dir: &Path, address: &Remote, key: &impl Fn() -> SigningKey) {
    let mut best: Option<(Duration, Duration, u64)> = None;
    for round in 0..ROUNDS {
        let cache = dir.join(format!("cold-{round}"));
        let begun = Instant::now();
        let keys = Keyring::reader(key().verifier().clone());
        let log = GitLog::open(address.clone(), GitOptions::new(cache.clone()), keys).await.unwrap();
        let opened = begun.elapsed();
        let head = log.known_head().await.unwrap();
        let from = log.last_snapshot(head.size).await.unwrap().unwrap_or(0);
        let leaves = log.leaves(from, head.size).await.unwrap();
        let digests: Vec<Digest> = (from..size)
            .zip(&leaves)
            .flat_map(|(i, _)| entry(i, false).objects)
            .map(|object| Digest::of(&object))
            .collect();
        let found = log.objects(&digests).await.unwrap();
        assert!(found.iter().all(Option::is_some), "every object is there");
        let all = begun.elapsed();
        let fetched = bytes(&log.cache_directory().join("repository/objects"));
        best = best.filter(|best| best.1 <= all).or(Some((opened, all, fetched)));
        fs::remove_dir_all(cache).unwrap();
    }
    let (opened, all, fetched) = best.unwrap();
    say(size, "cold open, empty cache", opened, Some(fetched));
    say(size, "cold open, and every entry and object since the newest snapshot read", all, Some(fetched));
}

async fn pushes(size: u64, dir: &Path, remote: &Path, log: &GitLog) {
    let (mut ours, mut looked, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let work = dir.join("work");
    git(dir, &["clone", "--quiet", "--depth", "1", "--branch", "sealift", &url(remote), "work"]);
    git(&work, &["checkout", "--quiet", "-B", "line"]);
    // Now, while both have the same: later a shallow clone would send all that it has.
    git(&work, &["push", "--quiet", "origin", "line"]);
    let mut received = Received::new(remote);
    let mut head = log.head().await.unwrap();
    let end = head.size + PUSHED;
    while head.size < end {
        let batch = (head.size..head.size + COMMIT).map(|index| entry(index, false)).collect();
        let begun = Instant::now();
        head = log.append(head, batch).await.unwrap();
        ours.push((begun.elapsed(), received.next(remote)));
        if !(head.size / COMMIT).is_multiple_of(ONE_IN) {
            continue;
        }
        let begun = Instant::now();
        log.head().await.unwrap();
        looked.push((begun.elapsed(), 0));
        fs::write(work.join("snapshots"), format!("{}\n", head.size)).unwrap();
        git(&work, &["add", "snapshots"]);
        git(&work, &["commit", "--quiet", "--message", "a line"]);
        let begun = Instant::now();
        git(&work, &["push", "--quiet", "origin", "line"]);
        theirs.push((begun.elapsed(), received.next(remote)));
    }
    git(remote, &["update-ref", "-d", "refs/heads/line"]);
    spread(size, "a look whether the log has moved", looked);
    spread(size, "two entries appended", ours);
    spread(size, "beside it: `git push` of a one-line change", theirs);
}

/// Says the median time, and of bytes the median, the mean, the most and all together.
fn spread(size: u64, what: &str, all: Vec<(Duration, u64)>) {
    let (mut times, mut sent): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    times.sort_unstable();
    sent.sort_unstable();
    let (median, sum) = (sent[sent.len() / 2], sent.iter().sum::<u64>());
    say(size, what, times[times.len() / 2], Some(median).filter(|bytes| *bytes > 0));
    if sum > 0 {
        say(size, &format!("{what}: mean of {}", sent.len()), Duration::ZERO, Some(sum / sent.len() as u64));
        say(size, &format!("{what}: most"), Duration::ZERO, sent.last().copied());
        say(size, &format!("{what}: all"), Duration::ZERO, Some(sum));
    }
}

/// What the remote has received.
struct Received {
    packs: HashSet<PathBuf>,
    objects: HashSet<String>,
}

impl Received {
    fn new(remote: &Path) -> Self {
        let all = git(remote, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
        Self { packs: packs(remote).collect(), objects: all.lines().map(str::to_owned).collect() }
    }

    /// The bytes of the objects that came since the last time.
    fn next(&mut self, remote: &Path) -> u64 {
        let mut sent = 0;
        for pack in packs(remote).filter(|pack| !self.packs.contains(pack)).collect::<Vec<_>>() {
            for line in git(remote, &["verify-pack", "-v", &pack.display().to_string()]).lines() {
                let columns: Vec<&str> = line.split_whitespace().collect();
                if matches!(columns.len(), 5 | 7) && self.objects.insert(columns[0].to_owned()) {
                    sent += columns[3].parse::<u64>().unwrap();
                }
            }
            self.packs.insert(pack);
        }
        sent
    }
}

fn packs(remote: &Path) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(remote.join("objects/pack")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "idx"))
}

fn clone(size: u64, dir: &Path, remote: &Path) {
    let mut best: Option<(Duration, u64)> = None;
    for _ in 0..ROUNDS {
        let work = dir.join("clone");
        let begun = Instant::now();
        git(dir, &["clone", "--quiet", "--depth", "1", "--branch", "sealift", &url(remote), "clone"]);
        let found = (begun.elapsed(), bytes(&work.join(".git/objects")));
        best = best.filter(|best| *best <= found).or(Some(found));
        fs::remove_dir_all(work).unwrap();
    }
    let (time, fetched) = best.unwrap();
    say(size, "beside it: `git clone --depth 1`", time, Some(fetched));
}

fn url(remote: &Path) -> String {
    format!("file://{}", remote.display())
}

fn say(size: u64, what: &str, time: Duration, bytes: Option<u64>) {
    let time = if time.is_zero() { String::new() } else { format!("{:.0} ms", time.as_secs_f64() * 1000.0) };
    let bytes = bytes.map_or_else(String::new, |bytes| format!("{:.1} KB", bytes as f64 / 1000.0));
    println!("| {size} | {what} | {time} | {bytes} |");
}

/// The bytes of all files below a directory.
fn bytes(path: &Path) -> u64 {
    let mut open: Vec<PathBuf> = vec![path.to_owned()];
    let mut sum = 0;
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.metadata().unwrap();
            if kind.is_dir() { open.push(entry.path()) } else { sum += kind.len() }
        }
    }
    sum
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Bench").env(format!("GIT_{who}_EMAIL"), "bench@example.org");
    }
    let output = command.args(arguments).current_dir(at).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
