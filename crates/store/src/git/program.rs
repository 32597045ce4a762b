//! The program `git`: how it is started, so that it asks nobody, runs nothing of others, and ends.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    sync::OnceCell,
    time::timeout,
};

use super::{GitOptions, Remote};

/// What may be spoken; above all not `ext`, which runs a command.
const TRANSPORTS: &str = "https:http:ssh:file";
/// The most that is read of what git says beside its output, in bytes.
const MAX_WORDS: u64 = 64 << 10;
/// Variables that would lead git to another repository, or to ask somebody.
const LEADING_ASTRAY: [&str; 16] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_CURL_VERBOSE",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EXTERNAL_DIFF",
];

/// Why a call of git has no result.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It cannot be started.
    NotStarted(String),
    /// It took too long and was ended.
    TooLong(String),
    /// It wrote more than is read.
    TooMuch(String),
    /// It ended in the middle of a conversation.
    Broken(String),
}

/// What a call of git led to.
#[derive(Debug)]
pub(super) struct Said {
    /// Whether it ended well.
    pub(super) well: bool,
    /// Its output.
    pub(super) out: Vec<u8>,
    /// What it said beside, without the token.
    pub(super) words: String,
}

/// What git reads.
pub(super) enum Input<'a> {
    /// Nothing. It holds the lock of the cache meanwhile, and goes on holding it should this process be killed.
    Lock(&'a File),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Git in one repository.
#[derive(Clone, Debug)]
pub(super) struct Git {
    options: Arc<GitOptions>,
    settings: Vec<(String, String)>,
    repository: PathBuf,
    /// Whether this machine's configuration says how `ssh` is started; asked once, and only where it is.
    ssh: Option<Arc<OnceCell<bool>>>,
}

impl Git {
    pub(super) fn new(
        options: Arc<GitOptions>,
        remote: &Remote,
        repository: PathBuf,
        ssh: Arc<OnceCell<bool>>,
    ) -> Self {
        let settings = settings(&options, remote);
        Self { options, settings, repository, ssh: remote.over_ssh().then_some(ssh) }
    }

    /// The directory of the repository.
    pub(super) fn repository(&self) -> &Path {
        &self.repository
    }

    /// A call, not started yet.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.options.program);
        command.args(arguments).current_dir(&self.repository).kill_on_drop(true).process_group(0);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            // Helpers of git's are programs of others, and no business of theirs are our keys. Traces could show the token.
            if text.starts_with("SEALIFT_") || text.starts_with("GIT_TRACE") || LEADING_ASTRAY.contains(&text.as_ref())
            {
                command.env_remove(&name);
            }
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", TRANSPORTS).env("LC_ALL", "C");
        // What is needed is fetched at once and by name, except what the server takes for granted because it is in a commit
        // that is here: git fetches that by itself where a file comes as the difference to it.
        let lazily = arguments.first() == Some(&"fetch");
        command.env("GIT_NO_LAZY_FETCH", if lazily { "0" } else { "1" }).env("GIT_DIR", &self.repository);
        let given =
            |name: &str| self.options.environment.iter().any(|(n, _)| n == name) || std::env::var_os(name).is_some();
        // The variable would win over the configuration.
        let configured = self.ssh.as_ref().and_then(|ssh| ssh.get()).is_some_and(|configured| *configured);
        if !configured && !given("GIT_SSH_COMMAND") && !given("GIT_SSH") {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        for (name, value) in &self.options.environment {
            command.env(name, value);
        }
        let before = std::env::var("GIT_CONFIG_COUNT").ok().and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
        for (i, (key, value)) in self.settings.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{}", before + i), key)
                .env(format!("GIT_CONFIG_VALUE_{}", before + i), value);
        }
        command.env("GIT_CONFIG_COUNT", (before + self.settings.len()).to_string());
        command
    }

    /// Runs git to its end. At most `limit` bytes of output are taken.
    pub(super) async fn run(&self, arguments: &[&str], input: Input<'_>, limit: u64) -> Result<Said, Trouble> {
        if let Some(ssh) = &self.ssh {
            let question = ["config", "--get", "core.sshCommand"];
            let asked = || async { self.run_now(&question, Input::Bytes(Vec::new()), MAX_WORDS).await };
            ssh.get_or_try_init(|| async { asked().await.map(|said| said.well && !said.out.trim_ascii().is_empty()) })
                .await?;
        }
        self.run_now(arguments, input, limit).await
    }

    async fn run_now(&self, arguments: &[&str], input: Input<'_>, limit: u64) -> Result<Said, Trouble> {
        let verb = arguments.first().copied().unwrap_or_default();
        let mut command = self.command(arguments);
        let bytes = match input {
            Input::Lock(lock) => {
                command.stdin(lock.try_clone().map_or_else(|_| Stdio::null(), Stdio::from));
                None
            }
            Input::Bytes(bytes) => {
                command.stdin(Stdio::piped());
                Some(bytes)
            }
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(&self.options, command)?;
        let ended = timeout(self.options.timeout, running.converse(bytes, limit)).await;
        match ended {
            Ok(Ok(Some((well, out, words)))) => {
                running.over = true;
                Ok(Said { well, out, words: self.options.redact(&words) })
            }
            Ok(Ok(None)) => Err(Trouble::TooMuch(format!("`git {verb}` wrote more than {limit} bytes"))),
            Ok(Err(why)) => Err(Trouble::Broken(format!("`git {verb}`: {why}"))),
            Err(_) => {
                let seconds = self.options.timeout.as_secs();
                Err(Trouble::TooLong(format!("`git {verb}` took more than {seconds} s")))
            }
        }
    }

    /// Starts git for a conversation over its input and output. What it says beside goes nowhere.
    pub(super) fn talk(&self, arguments: &[&str]) -> Result<Child, Trouble> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().map_err(|why| not_started(&self.options.program, &why))
    }
}

/// A running git. Ends with whatever it started when it is given up.
struct Running {
    child: Child,
    over: bool,
}

impl Running {
    fn start(options: &GitOptions, mut command: Command) -> Result<Self, Trouble> {
        let child = command.spawn().map_err(|why| not_started(&options.program, &why))?;
        Ok(Self { child, over: false })
    }

    /// Writes all input, reads all output, and waits. `None` if there is too much output.
    async fn converse(&mut self, bytes: Option<Vec<u8>>, limit: u64) -> io::Result<Option<(bool, Vec<u8>, String)>> {
        let (input, output, words) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let write = async {
            if let (Some(mut input), Some(bytes)) = (input, bytes) {
                // A git that has seen enough closes its input; what it says then counts.
                drop(input.write_all(&bytes).await);
                drop(input.shutdown().await);
            }
        };
        let read = read_bounded(output, limit + 1);
        let listen = async {
            let Some(mut words) = words else { return Ok(Vec::new()) };
            let heard = read_bounded(Some(&mut words), MAX_WORDS).await?;
            tokio::io::copy(&mut words, &mut tokio::io::sink()).await?;
            Ok::<_, io::Error>(heard)
        };
        let ((), out, words) = tokio::join!(write, read, listen);
        let (out, words) = (out?, words?);
        if out.len() as u64 > limit {
            return Ok(None);
        }
        let status = self.child.wait().await?;
        Ok(Some((status.success(), out, String::from_utf8_lossy(&words).into_owned())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let (false, Some(group)) = (self.over, group) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn read_bounded(from: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn not_started(program: &OsStr, why: &io::Error) -> Trouble {
    Trouble::NotStarted(format!("`{}` cannot be started: {why}", Path::new(program).display()))
}

/// Settings that hold whatever the configuration of this machine says. They go through the environment: arguments can be
/// read by every process.
fn settings(options: &GitOptions, remote: &Remote) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = [
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("core.askPass", ""),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("protocol.version", "2"),
        ("transfer.fsckObjects", "true"),
        ("fetch.fsckObjects", "true"),
        ("fetch.recurseSubmodules", "false"),
        ("fetch.writeCommitGraph", "false"),
        ("fetch.prune", "false"),
        ("push.followTags", "false"),
        ("push.gpgSign", "false"),
        ("push.recurseSubmodules", "no"),
        ("push.useForceIfIncludes", "false"),
        ("submodule.recurse", "false"),
        ("advice.objectNameWarning", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    if let Some(header) = options.authorization().filter(|_| remote.over_http()) {
        // For this address only. An empty value drops headers of the machine's own configuration; a redirection would
        // take the header along to wherever it leads.
        let key = format!("http.{}.extraHeader", remote.url());
        settings.extend([(key.clone(), String::new()), (key, header)]);
        settings.push(("http.followRedirects".to_owned(), "false".to_owned()));
        settings.push((format!("http.{}.followRedirects", remote.url()), "false".to_owned()));
        settings.push(("credential.helper".to_owned(), String::new()));
    }
    settings
}
