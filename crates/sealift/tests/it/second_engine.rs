//! A second container engine beside the one that the tests use, on a disk of its own: it may fill up, and it may die.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{engine::try_docker, real};

/// How long it may take to answer, and to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// The engine. Its containers, its disk and itself are gone when this is dropped.
pub(crate) struct SecondEngine {
    process: Child,
    directory: tempfile::TempDir,
    /// Whether its containers go on without it.
    live_restore: bool,
}

/// Whether one can be started; see [`real::is_complete`].
pub(crate) fn is_possible(test: &str) -> bool {
    let mut absent = real::absent(&["dockerd", "mount", "umount"]);
    if !rustix::process::geteuid().is_root() {
        absent.push("only root can start a second engine".to_owned());
    }
    real::is_complete(test, &absent)
}

impl SecondEngine {
    /// Starts one whose disk has this many megabytes. With `live_restore` its containers go on while it does not run.
    pub(crate) fn start(disk_mb: u32, live_restore: bool) -> Self {
        let directory = tempfile::Builder::new().prefix("sealift-").tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let size = format!("size={disk_mb}m");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&data));
        let process = spawn(&directory, live_restore);
        let mut engine = Self { process, directory, live_restore };
        engine.wait_until_it_answers();
        engine
    }

    /// Its address, as in `DOCKER_HOST`.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.directory.path().join("docker.sock").display())
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// The directory that its disk is.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Bytes that are free on its disk.
    pub(crate) fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.disk()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Fills its disk until this many bytes are left.
    pub(crate) fn fill(&self, left: u64) {
        let size = self.free().checked_sub(left).unwrap();
        std::fs::write(self.disk().join("filled"), vec![1; usize::try_from(size).unwrap()]).unwrap();
    }

    /// Frees what [`fill`](Self::fill) took.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.disk().join("filled")).unwrap();
    }

    /// Kills it, as a crash would, and waits until it is dead.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.is_dead();
    }

    /// Waits until it is dead by another hand.
    pub(crate) fn is_dead(&mut self) {
        self.process.wait().unwrap();
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) {
        self.forget_containerd();
        self.process = spawn(&self.directory, self.live_restore);
        self.wait_until_it_answers();
    }

    /// A containerd that it started dies with it (`PR_SET_PDEATHSIG`). Where nobody waits for orphans at once, as in many
    /// containers, its number still looks alive to the next engine, which would wait for it in vain.
    fn forget_containerd(&self) {
        let file = self.directory.path().join("exec/containerd/containerd.pid");
        let Ok(process) = std::fs::read_to_string(&file) else { return };
        let deadline = Instant::now() + DEADLINE;
        while !has_ended(process.trim()) {
            assert!(Instant::now() < deadline, "containerd goes on without dockerd: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_file(file).unwrap();
    }

    fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        try_docker(&[&["--host", &self.address()], arguments].concat())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while self.docker(&["version"]).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "dockerd ended with {ended:?}: {}", self.log());
            assert!(Instant::now() < deadline, "dockerd does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it in good order: no container, network or process is left.
    fn end(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
            self.start_again();
        }
        let containers = self.docker(&["ps", "--all", "--quiet"]).unwrap_or_default();
        for container in containers.lines() {
            drop(self.docker(&["rm", "--force", "--volumes", container]));
        }
        drop(self.docker(&["network", "prune", "--force"]));
        let process = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        drop(self.process.wait());
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        // A test that failed is told of, whatever its engine does now.
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.end())));
        let under = format!("{}/", self.directory.path().display());
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| path.starts_with(&under));
        // Deepest first.
        for mount in mounts.collect::<Vec<_>>().into_iter().rev() {
            drop(Command::new("umount").args(["--lazy", mount]).stderr(Stdio::null()).status());
        }
    }
}

/// Whether a process is gone, or dead and not waited for (`Z`; proc_pid_stat(5)).
fn has_ended(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

fn spawn(directory: &tempfile::TempDir, live_restore: bool) -> Child {
    let path = |name: &str| directory.path().join(name);
    let name = directory.path().file_name().unwrap().to_string_lossy().to_ascii_lowercase();
    let log = std::fs::File::options().create(true).append(true).open(path("log")).unwrap();
    let mut command = Command::new(real::program("dockerd").unwrap());
    command.arg("--host").arg(format!("unix://{}", path("docker.sock").display()));
    command.arg("--data-root").arg(path("data")).arg("--exec-root").arg(path("exec")).arg("--pidfile").arg(path("pid"));
    // What would get in the way of another engine: a default network, the packet filter, names in a shared containerd.
    command.args([
        "--bridge",
        "none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
    ]);
    command.args(["--containerd-namespace", &name, "--containerd-plugins-namespace", &format!("plugins.{name}")]);
    command.args(live_restore.then_some("--live-restore"));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

#[track_caller]
fn run(command: &mut Command) {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
