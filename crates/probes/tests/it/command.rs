//! The `run` check.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sealift_domain::check::Check;
use sealift_domain::check::RunCheck;
use sealift_engine::ports::probe::{CheckResult, Prober};
use serde_json::json;

use crate::support::{ManualClock, NoLogs, context, probes};

async fn command(arguments: &[&str], within: &str) -> CheckResult {
    let check: RunCheck = serde_json::from_value(json!({"run": arguments, "within": within})).unwrap();
    probes(ManualClock::new()).run(&Check::Run(check), &context(), &NoLogs).await
}

#[tokio::test]
async fn a_command_that_exits_with_0_passes() {
    let result = command(&["true"], "1m").await;
    assert!(result.passed && result.found.starts_with("exit code 0 after "), "{result:?}");
    assert_eq!(result.check, "run true");
}

#[tokio::test]
async fn another_exit_code_fails_with_the_last_line_of_output() {
    let result = command(&["false"], "1m").await;
    assert!(!result.passed && result.found.starts_with("exit code 1 after "), "{result:?}");
    let result = command(&["sh", "-c", "echo one; echo two >&2; echo three; exit 7"], "1m").await;
    assert!(!result.passed && result.found.starts_with("exit code 7 after "), "{result:?}");
    assert!(result.found.ends_with(": three"), "{}", result.found);
    assert_eq!(String::from_utf8(result.output).unwrap(), "one\ntwo\nthree\n", "in the order in which it was written");
}

#[tokio::test]
async fn a_command_gets_no_input_and_only_the_given_environment() {
    let result = command(&["sh", "-c", "cat; env; exit 1"], "1m").await;
    let output = String::from_utf8(result.output).unwrap();
    let ours = |line: &&str| !["PWD=", "SHLVL=", "_=", "PATH=", "OLDPWD="].iter().any(|own| line.starts_with(own));
    assert_eq!(output.lines().filter(ours).collect::<Vec<_>>(), ["SEALIFT_APP=shop"]);
}

#[tokio::test]
async fn arguments_are_filled_and_reach_the_command_unparsed() {
    let result = command(&["sh", "-c", "printf '%s' \"$1\"; exit 1", "x", "$(id) {commit7}; 'a'"], "1m").await;
    assert_eq!(String::from_utf8(result.output).unwrap(), "$(id) 0123456; 'a'");
    let result = command(&["true", "{version}"], "1m").await;
    assert!(!result.passed && result.found.starts_with("`{version}` has no value"), "{result:?}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let result = command(&["no-such-program-here"], "1m").await;
    assert!(!result.passed && result.found.starts_with("cannot start `no-such-program-here`: "), "{result:?}");
    assert_eq!(command(&[], "1m").await.found, "`run` names no program");
}

#[tokio::test]
async fn the_whole_group_is_stopped_when_time_is_up() {
    let begun = Instant::now();
    let result = command(&["sh", "-c", "sleep 600 & echo $!; wait"], "500ms").await;
    assert!(!result.passed && result.found.starts_with("stopped: not finished after 500 ms"), "{result:?}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_gone(pid_in(&result)).await;
}

#[tokio::test]
async fn a_group_that_ignores_the_polite_signal_is_killed() {
    let result = command(&["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"], "500ms").await;
    assert!(!result.passed, "{result:?}");
    assert_gone(pid_in(&result)).await;
}

#[tokio::test]
async fn what_a_finished_command_leaves_running_is_killed() {
    let begun = Instant::now();
    let result = command(&["sh", "-c", "sleep 600 & echo $!; exit 3"], "5m").await;
    assert!(result.found.starts_with("exit code 3"), "{result:?}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_gone(pid_in(&result)).await;
}

#[tokio::test]
async fn a_cancelled_check_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", file.display());
    let arguments = ["sh", "-c", script.as_str()];
    let pid = async {
        loop {
            if let Some(pid) = std::fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n')) {
                return pid.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let pid = tokio::select! {
        result = command(&arguments, "5m") => panic!("{result:?}"),
        pid = pid => pid,
    };
    assert_gone(pid).await;
}

#[tokio::test]
async fn the_newest_64_kib_of_output_are_kept() {
    let result = command(&["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end; exit 1"], "1m").await;
    assert_eq!(result.output.len(), 64 * 1024);
    assert!(result.output.ends_with(b"xend\n"));
    assert!(result.found.len() < 1000);
}

#[tokio::test]
async fn a_command_killed_by_a_signal_fails() {
    let result = command(&["sh", "-c", "kill -9 $$"], "1m").await;
    assert!(!result.passed && result.found.starts_with("killed by signal 9 after "), "{result:?}");
}

fn pid_in(result: &CheckResult) -> String {
    String::from_utf8(result.output.clone()).unwrap().lines().next().unwrap().to_owned()
}

// A process that is dead but not yet collected by its new parent counts as gone.
async fn assert_gone(pid: String) {
    assert!(pid.parse::<u32>().is_ok(), "{pid}");
    let stat = Path::new("/proc").join(&pid).join("stat");
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "process {pid} is still running");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
