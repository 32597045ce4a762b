//! The `run` check: a command exits with 0.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use sealift_domain::{check::RunCheck, quantity::Period};
use sealift_engine::ports::probe::{CheckContext, CheckResult};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    placeholders,
    text::{OUTPUT_LIMIT, excerpt, human},
};

/// How long a command that took too long has to clean up between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How long output may still come after the command itself has ended, from what it left running.
const DRAIN: Duration = Duration::from_millis(500);

/// Runs the check to its end.
///
/// The command gets no standard input, and no environment but `base` and the context's. It leads a process group of
/// its own, which is stopped as a whole. `within` is real time, as the command's is.
pub(crate) async fn run(check: &RunCheck, context: &CheckContext, base: &BTreeMap<String, String>) -> CheckResult {
    let label = format!("run {}", excerpt(check.run.join(" ").as_bytes()));
    match Running::start(check, context, base) {
        Ok(running) => {
            let (end, output, took) = running.finish(check.within).await;
            let (passed, found) = judge(&end, &output, check.within, took);
            let output = if passed { Vec::new() } else { output };
            CheckResult { check: label, passed, found, output }
        }
        Err(found) => CheckResult { check: label, passed: false, found, output: Vec::new() },
    }
}

// How the command ended.
enum End {
    Exited(ExitStatus),
    TimedOut,
    Lost(std::io::Error),
}

struct Running {
    child: Child,
    group: Group,
    output: pipe::Receiver,
    started: Instant,
}

// A process group; dropping it kills what is left, also when the check itself is cancelled.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // It fails only if the group is gone already.
            let _ = kill_process_group(leader, signal);
        }
    }

    // The group's number may be given to strangers once its last process is gone.
    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Running {
    fn start(check: &RunCheck, context: &CheckContext, base: &BTreeMap<String, String>) -> Result<Self, String> {
        let fill = |text: &String| placeholders::fill(text, &context.values).map_err(|e| e.to_string());
        let arguments = check.run.iter().map(fill).collect::<Result<Vec<_>, _>>()?;
        let (program, arguments) = arguments.split_first().ok_or("`run` names no program")?;
        let told = |e: std::io::Error| format!("cannot start `{}`: {e}", excerpt(program.as_bytes()));
        // One pipe for both streams keeps their lines in the order in which they were written.
        let (output, writer) = std::io::pipe().map_err(told)?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).map_err(told)?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(base).envs(&context.environment);
        command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(told)?).stderr(writer);
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(told)?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group: Group(leader), output, started: Instant::now() })
    }

    async fn finish(self, within: Period) -> (End, Vec<u8>, Period) {
        let Self { mut child, mut group, mut output, started } = self;
        let mut kept = Tail::default();
        let end = tokio::select! {
            status = child.wait() => status.map_or_else(End::Lost, End::Exited),
            () = kept.read_for_ever(&mut output) => End::TimedOut,
            () = tokio::time::sleep(within.as_duration()) => End::TimedOut,
        };
        let took = Period::from_millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        if matches!(end, End::TimedOut) {
            group.signal(Signal::TERM);
            let stopping = async { tokio::join!(child.wait(), kept.read_to_end(&mut output)) };
            if timeout(GRACE, stopping).await.is_ok() {
                group.forget();
            }
        } else if timeout(DRAIN, kept.read_to_end(&mut output)).await.is_ok() {
            // Nothing holds the output any more, so nothing of the group is known to be left.
            group.forget();
        }
        // Not everything listens to SIGTERM, or ends with its parent: what is left gets SIGKILL.
        drop(group);
        (end, kept.bytes(), took)
    }
}

// The newest output.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read_to_end(&mut self, output: &mut pipe::Receiver) {
        let mut buffer = [0; 8192];
        // A pipe that cannot be read any more is at its end as well.
        while let Ok(read @ 1..) = output.read(&mut buffer).await {
            self.0.extend_from_slice(&buffer[..read]);
            if self.0.len() > 2 * OUTPUT_LIMIT {
                self.0.drain(..self.0.len() - OUTPUT_LIMIT);
            }
        }
    }

    // As above, but goes on waiting at the end: a command may close its output and work on.
    async fn read_for_ever(&mut self, output: &mut pipe::Receiver) {
        self.read_to_end(output).await;
        std::future::pending::<()>().await;
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.drain(..self.0.len().saturating_sub(OUTPUT_LIMIT));
        self.0
    }
}

fn judge(end: &End, output: &[u8], within: Period, took: Period) -> (bool, String) {
    use std::os::unix::process::ExitStatusExt;
    let said = match last_line(output) {
        line if line.is_empty() => String::new(),
        line => format!(": {line}"),
    };
    match end {
        End::Exited(status) if status.success() => (true, format!("exit code 0 after {}", human(took))),
        End::Exited(status) => match (status.code(), status.signal()) {
            (Some(code), _) => (false, format!("exit code {code} after {}{said}", human(took))),
            (None, signal) => (false, format!("killed by signal {} after {}{said}", signal.unwrap_or(0), human(took))),
        },
        End::TimedOut => (false, format!("stopped: not finished after {}{said}", human(within))),
        End::Lost(error) => (false, format!("its end could not be observed: {error}")),
    }
}

fn last_line(output: &[u8]) -> String {
    let lines = output.split(|b| *b == b'\n' || *b == b'\r').map(excerpt);
    lines.rev().find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_quoted() {
        assert_eq!(last_line(b"one\ntwo\r\n  \n"), "two");
        assert_eq!(last_line(b"\n"), "");
    }

    #[test]
    fn the_newest_output_is_kept() {
        let mut tail = Tail(vec![b'a'; OUTPUT_LIMIT]);
        tail.0.extend_from_slice(b"end");
        let bytes = tail.bytes();
        assert_eq!(bytes.len(), OUTPUT_LIMIT);
        assert!(bytes.ends_with(b"aend"));
    }
}
