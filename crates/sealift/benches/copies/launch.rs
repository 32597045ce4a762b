//! Running a program and measuring it.
//!
//! The program is started by a small process of its own (this binary, in a hidden mode), which has no other child: so what the
//! kernel says of its children is of that program alone, and its own memory, which the kernel counts to a child until that
//! runs its program, is less than that of anything measured here.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use serde::{Deserialize, Serialize};

use crate::Failed;

/// The word that asks for [`launch`].
pub(crate) const MODE: &str = "--launch-and-measure";

/// What a process took.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ran {
    /// From before it was started until its end was known.
    pub(crate) wall: Duration,
    /// What it computed and what the kernel did for it: `ru_utime` and `ru_stime`, getrusage(2).
    pub(crate) cpu: Duration,
    /// The most memory that was resident, in bytes: `ru_maxrss`, getrusage(2).
    pub(crate) memory: u64,
}

/// The hidden mode: runs the program and writes what it took to a file. `words` are the file, the program and its arguments.
pub(crate) fn launch(words: &[String]) -> Result<(), Failed> {
    let [file, program, arguments @ ..] = words else { return Err("a file and a program are missing".into()) };
    let began = Instant::now();
    let status = Command::new(program).args(arguments).status()?;
    let wall = began.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cpu = Duration::from_micros(u64::try_from(microseconds)?);
    let ran = Ran { wall, cpu, memory: u64::try_from(usage.max_rss())? * 1024 };
    std::fs::write(file, serde_json::to_vec(&ran)?)?;
    if status.success() { Ok(()) } else { Err(format!("`{program}` ended with {status}").into()) }
}

/// Runs a command to its good end, in a home of its own that is empty, and says what it took. Nothing of the environment
/// reaches it but `PATH`.
pub(crate) async fn measure(home: &Path, command: &[String]) -> Result<Ran, Failed> {
    let file = home.join("took.json");
    let mut launcher = Command::new(std::env::current_exe()?);
    launcher.arg(MODE).arg(&file).args(command).current_dir(home).env_clear();
    launcher.envs(environment(home)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Waiting blocks a thread that the proxies do without.
    let output = tokio::task::spawn_blocking(move || launcher.output()).await??;
    if !output.status.success() {
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return Err(format!("`{}` failed\n{said}{told}", command.join(" ")).into());
    }
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// What a program is told. The last two keep what `skopeo` remembers of blobs in the home, where every run begins without
/// it; as root it would use a directory of the whole machine, unless it takes itself for rootless.
pub(crate) fn environment(home: &Path) -> Vec<(&'static str, std::ffi::OsString)> {
    vec![
        ("PATH", std::env::var_os("PATH").unwrap_or_default()),
        ("HOME", home.into()),
        ("XDG_RUNTIME_DIR", home.into()),
        ("XDG_DATA_HOME", home.join("data").into()),
        ("_CONTAINERS_ROOTLESS_UID", "1000".into()),
    ]
}
