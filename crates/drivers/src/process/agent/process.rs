//! Processes of services: started, adopted after the agent was replaced, watched, stopped.

use std::{
    fs, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::files;

use super::protocol::{Ended, Launch, Secrets};

/// The environment variables by which a process is found whose agent died before it could note the process id.
const MARK_STATE: &str = "SEALIFT_STATE";
const MARK_KEY: &str = "SEALIFT_KEY";
/// How often an adopted process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One process, also after its pid was given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: i32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`, see proc_pid_stat(5).
    started: u64,
}

/// What `/proc/<pid>/stat` says.
struct Stat {
    state: char,
    group: i32,
    threads: u32,
    started: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name in parentheses, may hold anything: what counts begins after the last parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        group: fields.get(2)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

impl ProcessId {
    fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// Whether this very process runs. A zombie does not, unless other threads of it still hold its files and ports.
    pub(super) fn alive(&self) -> bool {
        let runs = |stat: &Stat| stat.threads > 1 || !matches!(stat.state, 'Z' | 'X');
        stat(self.pid).is_some_and(|stat| stat.started == self.started && runs(&stat))
    }
}

/// The process of the service `key` of this state directory, if one runs.
pub(super) fn find_marked(state: &Path, key: &str) -> Option<ProcessId> {
    let marks = [mark(MARK_STATE, &state.display().to_string()), mark(MARK_KEY, key)];
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|stat| stat.group == *pid))
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let variables: Vec<&[u8]> = environment.split(|b| *b == 0).collect();
            marks.iter().all(|mark| variables.contains(&mark.as_bytes()))
        })
        .find_map(|pid| ProcessId::of(pid).filter(ProcessId::alive))
}

fn mark(name: &str, value: &str) -> String {
    format!("{name}={value}")
}

/// A process under watch.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) id: ProcessId,
    ended: watch::Receiver<Option<Ended>>,
}

/// Where a program is started.
pub(super) struct Surroundings<'a> {
    /// The state directory.
    pub(super) state: &'a Path,
    /// The key of the deployment.
    pub(super) key: &'a str,
    /// The port on which it is to listen, if any.
    pub(super) port: Option<u16>,
    /// The file that takes its output.
    pub(super) log: &'a Path,
}

impl Running {
    /// Starts a program in a process group of its own, with the given environment and nothing of the agent's.
    pub(super) fn spawn(launch: &Launch, secrets: &Secrets, around: &Surroundings<'_>) -> io::Result<Self> {
        let log = files::appended(around.log)?;
        let mut command = std::process::Command::new(&launch.program);
        command.arg0(launch.argv.first().map_or("", String::as_str)).args(launch.argv.iter().skip(1));
        command.env_clear().envs(&launch.env).envs(secrets.expose()).env("HOST", "127.0.0.1");
        command.envs(around.port.map(|port| ("PORT", port.to_string())));
        command.env(MARK_STATE, around.state).env(MARK_KEY, around.key).current_dir(&launch.directory);
        // The file itself and no pipe: a pipe would break with the agent, and the service with it.
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child = tokio::process::Command::from(command).spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        // Not reaped before it is waited for, so a child that has ended already can still be read.
        let id = pid.and_then(ProcessId::of).ok_or_else(|| io::Error::other("the process is not in /proc"))?;
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            let status = child.wait().await;
            let _ = tell.send(Some(match status {
                Ok(status) => Ended { success: status.success(), status: describe(status) },
                Err(e) => Ended { success: false, status: e.to_string() },
            }));
        });
        Ok(Self { id, ended })
    }

    /// Watches a process that an earlier agent started; `None` if it does not run any more. Only a parent is told of an end,
    /// so it is looked at again and again.
    pub(super) fn adopt(id: ProcessId) -> Option<Self> {
        if !id.alive() {
            return None;
        }
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            while id.alive() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let status = "ended (it was started by an earlier agent, so its exit status is not known)".to_owned();
            let _ = tell.send(Some(Ended { success: false, status }));
        });
        Some(Self { id, ended })
    }

    /// Whether it runs now.
    pub(super) fn alive(&self) -> bool {
        self.ended.borrow().is_none() && self.id.alive()
    }

    /// How it ended, once it has.
    pub(super) async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let unknown = || Ended { success: false, status: "ended".to_owned() };
        ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone()).unwrap_or_else(unknown)
    }

    /// SIGTERM to its process group, SIGKILL to whatever is left of the group when it has ended or after `grace`.
    pub(super) async fn stop(&self, grace: Duration) {
        self.signal(Signal::TERM);
        // What is killed after its grace has ended too, as far as anybody can tell.
        let _ = tokio::time::timeout(grace, self.ended()).await;
        if self.alive() {
            self.signal(Signal::KILL);
        }
        let _ = tokio::time::timeout(Duration::from_secs(10), self.ended()).await;
        self.signal_group(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if self.alive() {
            self.signal_group(signal);
        }
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.id.pid) {
            // A group that is gone already is what is wanted.
            let _ = kill_process_group(pid, signal);
        }
    }
}

fn describe(status: std::process::ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shell(script: &str) -> Launch {
        Launch {
            program: "/bin/sh".into(),
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            directory: "/".into(),
        }
    }

    fn spawn(state: &Path, key: &str, script: &str) -> Running {
        let log = state.join("log");
        let around = Surroundings { state, key, port: Some(4711), log: &log };
        Running::spawn(&shell(script), &Secrets::default(), &around).unwrap()
    }

    #[tokio::test]
    async fn a_program_sees_its_environment_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let ended = spawn(dir.path(), "p1", "echo $GREETING $HOST $PORT ${CARGO:-clean}; exit 3").ended().await;
        assert_eq!(ended, Ended { success: false, status: "exit status 3".to_owned() });
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), "hello 127.0.0.1 4711 clean\n");
    }

    #[tokio::test]
    async fn a_program_that_ignores_the_request_to_end_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let running = spawn(dir.path(), "p1", "trap '' TERM; sleep 600 & echo $!; wait; wait");
        let child = loop {
            let said = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
            if let Some(pid) = said.strip_suffix('\n') {
                break ProcessId::of(pid.parse().unwrap()).unwrap();
            }
            tokio::task::yield_now().await;
        };
        assert!(running.alive() && child.alive());
        running.stop(Duration::from_millis(50)).await;
        assert!(!running.alive());
        let gone = async {
            while child.alive() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the child outlives its group");
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_mark_and_adopted() {
        let dir = tempfile::tempdir().unwrap();
        let running = spawn(dir.path(), "p1", "exec sleep 600");
        // While the shell makes room for the program, its environment cannot be read for a moment.
        let found = async {
            while find_marked(dir.path(), "p1") != Some(running.id) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), found).await.expect("the mark is not found");
        assert_eq!(find_marked(dir.path(), "p2"), None);
        let adopted = Running::adopt(running.id).unwrap();
        assert!(adopted.alive());
        adopted.stop(Duration::from_secs(10)).await;
        assert!(!adopted.alive() && adopted.ended().await.status.contains("earlier agent"));
        assert!(Running::adopt(running.id).is_none());
        assert_eq!(running.ended().await.status, "killed by signal 15");
        let reused = ProcessId { started: 1, ..ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap() };
        assert!(!reused.alive() && Running::adopt(reused).is_none());
    }
}
