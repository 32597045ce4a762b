//! The `logs` check.

use std::sync::Mutex;

use async_trait::async_trait;
use sealift_engine::ports::probe::{CheckResult, LogSource};
use serde_json::{Value, json};

use crate::support::{ManualClock, run};

// What each look at the log sees; the last stays.
struct Looks(Mutex<(usize, Vec<Result<&'static str, &'static str>>)>);

impl Looks {
    fn new(looks: &[Result<&'static str, &'static str>]) -> Self {
        Self(Mutex::new((0, looks.to_vec())))
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().0
    }
}

#[async_trait]
impl LogSource for Looks {
    async fn read(&self) -> Result<Vec<u8>, String> {
        let (count, looks) = &mut *self.0.lock().unwrap();
        let look = looks[(*count).min(looks.len() - 1)];
        *count += 1;
        look.map(|log| log.as_bytes().to_vec()).map_err(str::to_owned)
    }
}

async fn watch(patterns: Value, looks: &Looks) -> CheckResult {
    run(json!({"logs": patterns}), ManualClock::new(), looks).await
}

#[tokio::test]
async fn a_quiet_log_passes_after_the_whole_window() {
    let looks = Looks::new(&[Ok("starting\n"), Ok("starting\nready\n")]);
    let result = watch(json!({"none": "ERROR|FATAL", "for": "30s"}), &looks).await;
    assert_eq!((result.passed, result.found.as_str()), (true, "no `ERROR` or `FATAL` in 30 s"));
    assert_eq!(result.check, "logs none `ERROR|FATAL`");
    assert_eq!(looks.count(), 31);
}

#[tokio::test]
async fn a_line_that_must_not_appear_fails_at_once() {
    let looks = Looks::new(&[Ok("starting\n"), Ok("starting\nFATAL: no\x1b[31m disk")]);
    let result = watch(json!({"none": "ERROR | FATAL", "for": "30s"}), &looks).await;
    assert_eq!((result.passed, result.found.as_str()), (false, "`FATAL` in: FATAL: no [31m disk"));
    assert_eq!(looks.count(), 2);
    assert_eq!(result.output, b"starting\nFATAL: no\x1b[31m disk");
}

#[tokio::test]
async fn a_line_that_appears_in_the_last_moment_is_seen() {
    let mut looks = vec![Ok(""); 10];
    looks.push(Ok("ERROR late"));
    let result = watch(json!({"none": "ERROR", "for": "10s"}), &Looks::new(&looks)).await;
    assert!(!result.passed, "{result:?}");
}

#[tokio::test]
async fn a_line_that_must_appear_passes_as_soon_as_it_does() {
    let looks = Looks::new(&[Ok(""), Ok("release 0123456 is ready")]);
    let result = watch(json!({"some": "release {commit7}", "for": "30s"}), &looks).await;
    assert_eq!((result.passed, looks.count()), (true, 2));
    assert_eq!(result.found, "`release 0123456` in: release 0123456 is ready");
}

#[tokio::test]
async fn a_line_that_never_appears_fails() {
    let result = watch(json!({"some": "ready|listening", "for": "5s"}), &Looks::new(&[Ok("Ready\n")])).await;
    assert_eq!((result.passed, result.found.as_str()), (false, "no `ready` or `listening` in 5 s"));
    assert_eq!(result.output, b"Ready\n");
}

#[tokio::test]
async fn with_both_patterns_the_whole_window_is_watched() {
    let looks = Looks::new(&[Ok("ready"), Ok("ready"), Ok("ready\nERROR x")]);
    let patterns = json!({"some": "ready", "none": "ERROR", "for": "5s"});
    assert!(!watch(patterns.clone(), &looks).await.passed);
    let result = watch(patterns, &Looks::new(&[Ok("ready")])).await;
    assert_eq!((result.passed, result.found.as_str()), (true, "`ready` in: ready; no `ERROR` in 5 s"));
}

#[tokio::test]
async fn a_log_that_cannot_be_read_at_the_end_fails() {
    let result = watch(json!({"none": "ERROR", "for": "2s"}), &Looks::new(&[Ok(""), Err("no such\ncontainer")])).await;
    assert_eq!((result.passed, result.found.as_str()), (false, "the log could not be read: no such container"));
    let recovered = Looks::new(&[Err("not yet"), Ok("fine")]);
    assert!(watch(json!({"none": "ERROR", "for": "2s"}), &recovered).await.passed);
}

#[tokio::test]
async fn patterns_that_could_never_fail_or_pass_are_refused() {
    let looks = Looks::new(&[Ok("")]);
    assert!(watch(json!({"for": "2s"}), &looks).await.found.contains("looks for nothing"));
    assert!(watch(json!({"none": "ERROR||FATAL"}), &looks).await.found.contains("empty alternative"));
    assert!(watch(json!({"some": ""}), &looks).await.found.contains("empty alternative"));
    assert!(watch(json!({"some": "{version}"}), &looks).await.found.contains("`{version}` has no value"));
    assert_eq!(looks.count(), 0);
}
