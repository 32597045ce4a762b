//! Running a program and measuring it from outside.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Failed, place::Place};

/// The optimised binary.
pub(crate) const SEALIFT: &str = env!("CARGO_BIN_EXE_sealift");

/// How often memory is read while it is watched.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How a process went.
pub(crate) struct Ran {
    /// From before it was started until its end was known.
    pub(crate) wall: Duration,
    /// What it printed.
    pub(crate) stdout: Vec<u8>,
    /// Requests that the registries answered meanwhile.
    pub(crate) requests: usize,
    /// The most memory that was resident, if it was watched.
    pub(crate) memory: Option<u64>,
}

/// What to run.
pub(crate) struct Run<'a> {
    /// The program.
    pub(crate) program: &'a str,
    /// Its arguments.
    pub(crate) arguments: &'a [&'a str],
    /// Where.
    pub(crate) directory: &'a Path,
    /// The exit code that it must end with.
    pub(crate) expected: i32,
    /// Whether to watch its memory, which takes time from it.
    pub(crate) watched: bool,
}

impl Run<'_> {
    /// Runs it to its end.
    pub(crate) async fn measure(&self, place: &Place) -> Result<Ran, Failed> {
        let mut command = Command::new(self.program);
        command.args(self.arguments).current_dir(self.directory).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &place.directory);
        // Where the engine is, for programs that use one.
        command.envs(std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DOCKER_")));
        // The toolchain, for the rebuild: rustup looks for it in the real home unless it is told.
        let home = std::env::var("HOME").unwrap_or_default();
        command.env("RUSTUP_HOME", std::env::var("RUSTUP_HOME").unwrap_or_else(|_| format!("{home}/.rustup")));
        command.envs(std::env::var_os("RUSTUP_TOOLCHAIN").map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let watched = self.watched;
        let name = Path::new(self.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        place.clear_requests();
        // Waiting blocks a thread that the registries do without.
        let (wall, output, memory) = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let child = command.spawn()?;
            let watch = watched.then(|| Watch::start(child.id(), &name));
            let output = child.wait_with_output()?;
            Ok::<_, std::io::Error>((began.elapsed(), output, watch.and_then(Watch::stop)))
        })
        .await??;
        let requests = place.requests();
        if output.status.code() != Some(self.expected) {
            let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            let what = format!("`{} {}`", self.program, self.arguments.join(" "));
            return Err(format!("{what} ended with {}, not {}\n{said}{told}", output.status, self.expected).into());
        }
        Ok(Ran { wall, stdout: output.stdout, requests, memory })
    }
}

/// Reads the peak of a process's resident memory until it ends: `VmHWM` of `/proc/<pid>/status`, proc(5). The kernel keeps
/// the peak, so only what is allocated in the last moment is missed.
struct Watch {
    over: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(pid: u32, program: &str) -> Self {
        let (over, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, highest) = (over.clone(), peak.clone());
        let name = format!("Name:\t{program}\n");
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                if let Some(bytes) = resident_peak(pid, &name) {
                    highest.fetch_max(bytes, Ordering::Relaxed);
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { over, peak, thread }
    }

    /// The peak, unless the process was over before anybody looked.
    fn stop(self) -> Option<u64> {
        self.over.store(true, Ordering::Relaxed);
        drop(self.thread.join());
        Some(self.peak.load(Ordering::Relaxed)).filter(|peak| *peak > 0)
    }
}

/// Before it runs the program, the new process still has the memory of this one, and its name.
fn resident_peak(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok().filter(|text| text.starts_with(name))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
