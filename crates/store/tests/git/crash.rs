//! Processes that are killed at any moment of an append, and pushes that are cut. Children are this test binary itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sealift_engine::ports::log::{Log as _, LogError};
use sealift_store::{
    conformance::leaf,
    git::{GitLog, GitOptions},
    key::{Keyring, SigningKey},
};

use crate::fixture::{Place, append};

/// A program in place of git, in the words of a shell. Its first argument is `$1`; `$DIR` is a directory of its own.
pub(crate) fn program(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("git-of-test");
    fs::write(&path, format!("#!/bin/sh\nDIR='{}'\n{script}\n", dir.display())).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Kills who called it at the n-th call, before or after the real one.
const KILLER: &str = r#"
n=$(($(cat "$DIR/calls") + 1)); echo $n > "$DIR/calls"
if env | grep -q '^SEALIFT_'; then touch "$DIR/leak"; fi
if [ "$n" = "$(cat "$DIR/stop")" ] && [ -e "$DIR/before" ]; then kill -9 $PPID; exit 1; fi
git "$@"; code=$?
if [ "$n" = "$(cat "$DIR/stop")" ]; then kill -9 $PPID; fi
exit $code"#;

const CHILD: &str = "SEALIFT_TEST_GIT_LOG";

#[tokio::test]
#[ignore = "a child process of the next test"]
async fn child_appends_one_entry() {
    let told = std::env::var(CHILD).expect("started by the next test");
    let [remote, cache, program, secret, text] = told.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let mut options = GitOptions::new(cache.into());
    options.program = program.into();
    options.environment.push(("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()));
    let keys = Keyring::writer(SigningKey::from_text(secret).unwrap());
    let log = GitLog::open(remote.parse().unwrap(), options, keys).await.unwrap();
    log.append(log.known_head().await.unwrap(), vec![leaf(text)]).await.unwrap();
}

#[tokio::test]
async fn a_process_may_be_killed_at_every_step_of_an_append() {
    let place = Place::new();
    let writer = place.create("cache").await;
    let mut written = append(&writer, 1).await.size;
    let dir = place.dir.path().to_owned();
    let program = program(&dir, KILLER);
    let secret = place.key().secret_text().unwrap();
    let run = |text: &str| {
        let told =
            format!("{}\n{}\n{}\n{secret}\n{text}", place.remote(), dir.join("cache").display(), program.display());
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "crash::child_appends_one_entry", "--ignored", "--quiet"]).env(CHILD, told);
        child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    let (mut arrived, mut lost) = (0, 0);
    for before in [true, false] {
        if before {
            fs::write(dir.join("before"), "").unwrap()
        } else {
            fs::remove_file(dir.join("before")).unwrap()
        }
        for stop in 1.. {
            fs::write(dir.join("calls"), "0").unwrap();
            fs::write(dir.join("stop"), stop.to_string()).unwrap();
            let text = format!("{before} {stop}");
            let whole = run(&text);
            let log = place.open("cache").await.unwrap();
            let head = log.head().await.unwrap();
            assert!(head.size == written || head.size == written + 1, "{text}: {head:?} after {written}");
            let there = log.leaves(written, head.size).await.unwrap() == [text.as_bytes()];
            assert_eq!(there, head.size > written, "{text}");
            assert!(there || !whole, "{text}: it was acknowledged");
            match there {
                true => arrived += 1,
                // What a run does that goes on.
                false => {
                    lost += 1;
                    log.append(head, vec![leaf(text.clone())]).await.unwrap();
                }
            }
            written += 1;
            if whole {
                break;
            }
        }
    }
    assert!(arrived >= 2 && lost > 8, "both happened: {arrived}, {lost}");
    assert!(!dir.join("leak").exists(), "git was told of variables that are none of its business");
    let stranger = place.reader("stranger").await.unwrap();
    assert_eq!(stranger.audit(None).await.unwrap().size, written);
    let mut leaves = stranger.leaves(1, written).await.unwrap();
    leaves.sort();
    leaves.dedup();
    assert_eq!(leaves.len() as u64, written - 1, "nothing is doubled");
}

async fn with_program(place: &Place, cache: &str, script: &str) -> GitLog {
    drop(place.open(cache).await.unwrap());
    let mut options = place.options(cache);
    options.program = program(place.dir.path(), script).into();
    GitLog::open(place.remote(), options, Keyring::writer(place.key())).await.unwrap()
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_has_arrived() {
    let place = Place::new();
    let head = append(&place.create("writer").await, 1).await;
    let cut = r#"if [ "$1" = push ]; then git "$@" >/dev/null 2>&1; echo 'fatal: the remote end hung up unexpectedly' >&2; exit 128; fi
exec git "$@""#;
    let log = with_program(&place, "cut", cut).await;
    let next = log.append(head, vec![leaf("arrived")]).await.unwrap();
    assert_eq!(place.reader("other").await.unwrap().head().await.unwrap(), next);
}

#[tokio::test]
async fn a_push_that_was_cut_and_has_not_arrived_is_uncertain() {
    let place = Place::new();
    let head = append(&place.create("writer").await, 1).await;
    let cut = r#"if [ "$1" = push ]; then echo 'fatal: the remote end hung up unexpectedly' >&2; exit 128; fi
exec git "$@""#;
    let log = with_program(&place, "cut", cut).await;
    let outcome = log.append(head, vec![leaf("lost")]).await;
    assert!(matches!(&outcome, Err(LogError::Uncertain { why, .. }) if why.contains("hung up")), "{outcome:?}");
    assert_eq!(log.head().await.unwrap(), head);
    let again = place.open("cut").await.unwrap();
    assert_eq!(again.append(head, vec![leaf("lost")]).await.unwrap().size, 2);
}

#[tokio::test]
async fn a_remote_that_falls_silent_leaves_it_uncertain_and_the_next_run_finds_out() {
    let place = Place::new();
    let head = append(&place.create("writer").await, 1).await;
    for (i, arrives) in [true, false].into_iter().enumerate() {
        let push = if arrives { r#"git "$@" >/dev/null 2>&1;"# } else { "" };
        let script = format!(
            r#"if [ "$1" = push ]; then {push} touch "$DIR/silent"; echo 'fatal: the remote end hung up unexpectedly' >&2; exit 128; fi
if [ "$1" = ls-remote ] && [ -e "$DIR/silent" ]; then echo 'fatal: Could not resolve host: host' >&2; exit 128; fi
exec git "$@""#
        );
        let log = with_program(&place, &format!("cut {i}"), &script).await;
        let head = log.head().await.unwrap();
        let outcome = log.append(head, vec![leaf([i as u8])]).await;
        assert!(matches!(outcome, Err(LogError::Uncertain { .. })), "{outcome:?}");
        let silent = log.head().await;
        assert!(matches!(silent, Err(LogError::Unreachable { .. })), "{silent:?}");
        assert_eq!(log.known_head().await.unwrap(), head, "what is known is still known");
        fs::remove_file(place.dir.path().join("silent")).unwrap();
        assert_eq!(log.head().await.unwrap().size, head.size + u64::from(arrives));
    }
    assert_eq!(head.size, 1);
}

/// The push arrives, its answer is lost, and before this run looks, somebody else has appended on top.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_arrived_is_found_below_what_others_wrote_since() {
    for arrives in [true, false] {
        let place = Place::new();
        let other = place.create("other").await;
        let head = append(&other, 1).await;
        let push = if arrives { r#"git "$@" >/dev/null 2>&1;"# } else { "" };
        let script = format!(
            r#"if [ "$1" = push ]; then {push} touch "$DIR/pushed"; while [ ! -e "$DIR/go" ]; do sleep 0.02; done
echo 'fatal: the remote end hung up unexpectedly' >&2; exit 128; fi
exec git "$@""#
        );
        let log = with_program(&place, "cut", &script).await;
        let writing = tokio::spawn(async move { (log.append(head, vec![leaf("same")]).await, log) });
        while !place.dir.path().join("pushed").exists() {
            tokio::task::yield_now().await;
        }
        // The very same entry: the log alone could not tell who wrote it.
        let seen = other.head().await.unwrap();
        let batch = if arrives { "on top" } else { "same" };
        let newest = other.append(seen, vec![leaf(batch)]).await.unwrap();
        fs::write(place.dir.path().join("go"), "").unwrap();
        let (outcome, log) = writing.await.unwrap();
        match arrives {
            true => assert_eq!(outcome.unwrap().size, 2),
            false => {
                assert!(matches!(outcome, Err(LogError::Conflict { found, .. }) if found == newest), "{outcome:?}")
            }
        }
        assert_eq!(log.head().await.unwrap(), newest);
    }
}

#[tokio::test]
async fn a_git_that_does_not_end_is_ended() {
    let place = Place::new();
    let head = append(&place.create("writer").await, 1).await;
    let script = r#"if [ "$1" = push ]; then sleep 600; fi
exec git "$@""#;
    let mut options = place.options("slow");
    drop(place.open("slow").await.unwrap());
    options.program = program(place.dir.path(), script).into();
    options.timeout = std::time::Duration::from_secs(3);
    let log = GitLog::open(place.remote(), options, Keyring::writer(place.key())).await.unwrap();
    let outcome = log.append(head, vec![leaf("x")]).await;
    assert!(
        matches!(&outcome, Err(LogError::Uncertain { why, .. }) if why.contains("took more than 3 s")),
        "{outcome:?}"
    );
}
