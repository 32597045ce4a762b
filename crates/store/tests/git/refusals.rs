//! Remotes that answer no.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use sealift_engine::ports::log::{Log as _, LogError, NewLeaf};
use sealift_store::{
    conformance::leaf,
    git::{GitLog, GitOptions},
    key::Keyring,
};

use crate::fixture::{Place, append, git};

fn hook(place: &Place, name: &str, script: &str) {
    let path = place.repository().join("hooks").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn why(outcome: Result<impl std::fmt::Debug, LogError>) -> String {
    match outcome {
        Err(LogError::Refused { why, .. }) => why,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_hook_that_declines_is_an_answer() {
    let place = Place::new();
    let log = place.create("writer").await;
    let head = append(&log, 1).await;
    for (name, script, words) in [
        ("pre-receive", "echo 'not on fridays' >&2; exit 1", "a hook of the server declined it"),
        ("update", "echo 'GH006: Protected branch update failed' >&2; exit 1", "the branch is protected"),
        (
            "pre-receive",
            "echo 'File objects/a exceeds GitHub'\"'\"'s file size limit of 100.00 MB' >&2; exit 1",
            "large_objects",
        ),
        ("pre-receive", "echo 'fatal: No space left on device' >&2; exit 1", "is full"),
    ] {
        hook(&place, name, script);
        let before = place.tip();
        let why = why(log.append(head, vec![leaf("x")]).await);
        assert!(why.contains(words) && why.contains("git: "), "{why}");
        assert_eq!((place.tip(), log.head().await.unwrap()), (before, head));
        fs::remove_file(place.repository().join("hooks").join(name)).unwrap();
    }
    assert_eq!(log.append(head, vec![leaf("x")]).await.unwrap().size, 2, "with the same cache");
}

#[tokio::test]
async fn a_server_that_forbids_force_does_not_erase() {
    let place = Place::new();
    git(&place.repository(), &["config", "receive.denyNonFastForwards", "true"]);
    let log = place.create("writer").await;
    let object = b"personal".to_vec();
    let digest = sealift_domain::digest::Digest::of(&object);
    let new = NewLeaf { objects: vec![object.clone()], ..leaf("x") };
    log.append(log.head().await.unwrap(), vec![new]).await.unwrap();
    let why = why(log.erase_object(digest).await);
    assert!(why.contains("forced pushes"), "{why}");
    assert_eq!(log.objects(&[digest]).await.unwrap(), [Some(object)]);
    git(&place.repository(), &["config", "receive.denyNonFastForwards", "false"]);
    assert!(log.erase_object(digest).await.unwrap());
}

#[tokio::test]
async fn what_is_erased_is_gone_from_the_remote_and_kept_checkpoints_hold() {
    let place = Place::new();
    let log = place.create("writer").await;
    let secret = b"jane.doe@example.org".repeat(30);
    let digest = sealift_domain::digest::Digest::of(&secret);
    let new = NewLeaf { objects: vec![secret.clone()], ..leaf("one") };
    log.append(log.head().await.unwrap(), vec![new]).await.unwrap();
    let other = place.reader("other").await.unwrap();
    assert_eq!(other.objects(&[digest]).await.unwrap(), [Some(secret.clone())]);
    append(&log, 2).await;
    let kept = log.checkpoint().await.unwrap();
    assert!(log.erase_object(digest).await.unwrap());
    assert!(!log.erase_object(digest).await.unwrap());
    git(&place.repository(), &["-c", "gc.reflogExpire=now", "gc", "--quiet", "--prune=now"]);
    let all = git(&place.repository(), &["cat-file", "--batch-check", "--batch-all-objects"]);
    for object in all.lines().filter(|line| line.contains(" blob ")) {
        let show = ["cat-file", "blob", &object[..40]];
        let bytes = Command::new("git").args(show).current_dir(place.repository()).output().unwrap().stdout;
        assert!(!bytes.windows(8).any(|part| part == b"jane.doe"), "{object}");
    }
    assert_eq!(log.audit(Some(&kept)).await.unwrap().erased, [(0, digest)]);
    let head = append(&log, 1).await;
    assert_eq!(other.head().await.unwrap(), head, "the log goes on for those who have seen it before");
    assert_eq!(other.objects(&[digest]).await.unwrap(), [None]);
    assert_eq!(
        log.append(head, vec![NewLeaf { objects: vec![secret.clone()], ..leaf("again") }]).await.unwrap().size,
        5
    );
    assert_eq!(place.reader("new").await.unwrap().objects(&[digest]).await.unwrap(), [Some(secret)], "stored anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_create_at_the_same_time_one_wins() {
    let place = Place::new();
    let create = |cache: &str| GitLog::create(place.remote(), place.options(cache), place.key());
    let (one, two) = tokio::join!(create("one"), create("two"));
    let lost = match (one, two) {
        (Ok(_), lost) | (lost, Ok(_)) => lost,
        (Err(one), Err(two)) => panic!("{one}; {two}"),
    };
    assert!(why(lost).contains("exists already"));
    let tip = place.tip();
    assert!(why(create("three").await).contains("exists already"));
    assert_eq!(place.tip(), tip);
}

#[tokio::test]
async fn a_branch_of_something_else_is_left_as_it_is() {
    let place = Place::new();
    let work = place.dir.path().join("work");
    git(place.dir.path(), &["init", "--quiet", "-b", "sealift", "work"]);
    fs::write(work.join("README"), "code\n").unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "code"]);
    git(&work, &["push", "--quiet", &place.repository().display().to_string(), "sealift"]);
    let tip = place.tip();
    assert!(why(GitLog::create(place.remote(), place.options("a"), place.key()).await).contains("exists already"));
    let refused = place.open("a").await.unwrap_err();
    assert!(
        matches!(&refused, LogError::Tampered { what, .. } if what.contains("`checkpoint` is missing")),
        "{refused}"
    );
    assert_eq!(place.tip(), tip);
}

#[tokio::test]
async fn a_repository_or_branch_that_is_not_there_cannot_be_read() {
    let place = Place::new();
    let unreachable = |outcome: Result<GitLog, LogError>| match outcome {
        Err(LogError::Unreachable { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    assert!(unreachable(place.open("a").await).contains("`sealift init`"));
    let nowhere = format!("git+file://{}/nowhere.git#sealift", place.dir.path().display()).parse().unwrap();
    let why = unreachable(GitLog::open(nowhere, place.options("a"), Keyring::writer(place.key())).await);
    assert!(why.contains("there is no such repository"), "{why}");
    let mut options = place.options("a");
    options.program = "/nowhere/git".into();
    let why = unreachable(GitLog::open(place.remote(), options, Keyring::writer(place.key())).await);
    assert!(why.contains("cannot be started"), "{why}");
}

/// A remote on a disk of one megabyte. Needs the right to mount one.
#[tokio::test]
async fn a_full_remote_is_an_answer_and_leaves_the_log_whole() {
    let place = Place::new();
    let disk = place.dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = |verb: &str, arguments: &[&str]| {
        Command::new(verb).args(arguments).arg(&disk).output().is_ok_and(|output| output.status.success())
    };
    if !mounted("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs"]) {
        use std::io::Write as _;
        writeln!(std::io::stderr(), "skipped: no small disk can be mounted here").unwrap();
        return;
    }
    let outcome = fill(&place, &disk).await;
    assert!(mounted("umount", &[]));
    let (words, size, audited) = outcome;
    assert!(words.contains("full"), "{words}");
    assert_eq!(audited, size);
}

async fn fill(place: &Place, disk: &Path) -> (String, u64, u64) {
    git(disk, &["init", "--quiet", "--bare", "remote.git"]);
    let remote = format!("git+file://{}/remote.git#sealift", disk.display()).parse().unwrap();
    let options: GitOptions = place.options("full");
    let log = GitLog::create(remote, options, place.key()).await.unwrap();
    let mut head = log.head().await.unwrap();
    let mut noise = sealift_domain::digest::Digest::of(b"seed");
    loop {
        let mut object = Vec::new();
        while object.len() < 60_000 {
            noise = sealift_domain::digest::Digest::of(noise.as_bytes());
            object.extend_from_slice(noise.as_bytes());
        }
        match log.append(head, vec![NewLeaf { objects: vec![object], ..leaf("x") }]).await {
            Ok(next) => head = next,
            Err(error) => {
                let words = error.to_string();
                assert!(matches!(error, LogError::Refused { .. }), "{words}");
                assert_eq!(log.head().await.unwrap(), head);
                let audited = log.audit(None).await.unwrap().size;
                return (words, head.size, audited);
            }
        }
    }
}
