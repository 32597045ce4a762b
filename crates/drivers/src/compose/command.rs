//! Running the tools of the host: an argument vector, never a shell line, bounded in time and output.

use std::{
    ffi::OsString,
    fs::File,
    io,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealift_engine::ports::driver::{DriverError, DriverErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::failure;

/// How much of each stream of a tool is kept, in bytes. More is read and dropped.
const MAX_OUTPUT: usize = 4 << 20;
/// How much of a tool's words goes into an error, in characters.
const MAX_WORDS: usize = 2000;

/// The lock under which tools work. Each holds it as well while it runs: if this program is killed, its last tool may still
/// be at work, and nobody else may begin before that has ended too.
#[derive(Clone, Debug, Default)]
pub(super) struct Leash(Arc<Mutex<Option<File>>>, Arc<Mutex<Vec<String>>>);

/// Values shorter than this are not masked: they would be found everywhere, and are no secrets.
const SHORTEST_SECRET: usize = 4;

impl Leash {
    /// Ties tools to a lock that was taken.
    pub(super) fn tie(&self, lock: &File) -> io::Result<()> {
        let lock = lock.try_clone()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        Ok(())
    }

    /// Remembers values that must not stand in any error, which goes into the log for ever.
    pub(super) fn keep_secret(&self, values: impl IntoIterator<Item = String>) {
        let values = values.into_iter().filter(|value| value.len() >= SHORTEST_SECRET);
        self.1.lock().unwrap_or_else(PoisonError::into_inner).extend(values);
    }

    fn masked(&self, text: &str) -> String {
        let secrets = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }

    /// Lets go, once no tool is needed any more.
    pub(super) fn untie(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What a tool gets as its standard input: the lock, of which it inherits a descriptor that way, at its end, so that
    /// there is nothing to read; or nothing.
    fn stdin(&self) -> Stdio {
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lock.as_ref().and_then(|lock| lock.try_clone().ok()).map_or_else(Stdio::null, Stdio::from)
    }
}

/// A tool with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Call {
    argv: Vec<OsString>,
    variables: Vec<(String, String)>,
    within: Duration,
    leash: Leash,
}

/// How a tool ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    /// What it printed.
    pub(super) stdout: Vec<u8>,
    /// What it complained about.
    pub(super) stderr: Vec<u8>,
}

impl Call {
    /// A call that may take `within`.
    pub(super) fn new(argv: impl IntoIterator<Item = impl Into<OsString>>, within: Duration) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { argv, variables: Vec::new(), within, leash: Leash::default() }
    }

    /// The same with more arguments.
    pub(super) fn args(mut self, more: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.argv.extend(more.into_iter().map(Into::into));
        self
    }

    /// The same with variables on top of those that the tools need themselves.
    pub(super) fn variables(mut self, more: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(more);
        self
    }

    /// The same under the lock that `leash` is tied to.
    pub(super) fn under(mut self, leash: &Leash) -> Self {
        self.leash = leash.clone();
        self
    }

    /// The command line for people; nobody runs this text.
    pub(super) fn words(&self) -> String {
        let words = self.argv.iter().map(|word| word.to_string_lossy());
        words
            .map(|word| if word.contains(' ') { format!("'{word}'") } else { word.into_owned() })
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs the tool to its end. Its exit code is for the caller to judge.
    ///
    /// # Errors
    /// [`DriverErrorKind::Unreachable`] if it cannot be started or takes too long.
    pub(super) async fn run(&self) -> Result<Ran, DriverError> {
        let unreachable = |why: String| failure(DriverErrorKind::Unreachable, format!("`{}`: {why}", self.words()));
        let mut child = self.command().spawn().map_err(|e| unreachable(format!("cannot be started: {e}")))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ended = async { tokio::join!(read(out), read(err), child.wait()) };
        let Ok((stdout, stderr, status)) = tokio::time::timeout(self.within, ended).await else {
            // Dropping the child kills it.
            return Err(unreachable(format!("it did not end within {:?}", self.within)));
        };
        let status = status.map_err(|e| unreachable(e.to_string()))?;
        Ok(Ran { code: status.code(), stdout, stderr })
    }

    /// Runs the tool, which must end with 0.
    ///
    /// # Errors
    /// `kind` with the tool's own words if it does not.
    pub(super) async fn succeed(&self, kind: DriverErrorKind) -> Result<Ran, DriverError> {
        let ran = self.run().await?;
        if ran.code == Some(0) { Ok(ran) } else { Err(self.failed(&ran, kind)) }
    }

    /// An error that says how the tool ended.
    pub(super) fn failed(&self, ran: &Ran, kind: DriverErrorKind) -> DriverError {
        let words = ran.words();
        // What the tool could not do, it could not do for want of an engine: that is the thing to say.
        let kind = if engine_is_gone(&words) { DriverErrorKind::Unreachable } else { kind };
        let how = ran.code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with {code}"));
        failure(kind, self.leash.masked(&format!("`{}` {how}: {words}", self.words())))
    }

    fn command(&self) -> tokio::process::Command {
        let program = self.argv.first().cloned().unwrap_or_default();
        let mut command = tokio::process::Command::new(program);
        command.args(self.argv.iter().skip(1)).env_clear();
        // What the tools need to find their files and the engine; nothing else of this account leaks into a project.
        let own = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            matches!(&*name, "PATH" | "HOME" | "TMPDIR" | "SSH_AUTH_SOCK" | "XDG_RUNTIME_DIR" | "XDG_CONFIG_HOME")
                || name.starts_with("DOCKER_")
                || name.to_ascii_lowercase().ends_with("_proxy")
        });
        command.envs(own).envs(self.variables.iter().cloned());
        command.stdin(self.leash.stdin()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // A Ctrl-C at the terminal is for this program to handle: the tool is not torn out of its work.
        command.process_group(0);
        command
    }
}

impl Ran {
    /// What it printed, as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// What it complained about, on one line and not too long; what it printed, if it did not complain.
    pub(super) fn words(&self) -> String {
        let said = if self.stderr.iter().all(u8::is_ascii_whitespace) { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(said);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let text: String = lines.join("; ").chars().filter(|c| !c.is_control()).collect();
        // The end says most.
        let skip = text.chars().count().saturating_sub(MAX_WORDS);
        if text.is_empty() { "it said nothing".to_owned() } else { text.chars().skip(skip).collect() }
    }
}

/// Whether a tool's words mean that no engine answers. The engine's client and both versions of Compose say so differently.
fn engine_is_gone(words: &str) -> bool {
    [
        "Cannot connect to the Docker daemon",
        "Couldn't connect to Docker daemon",
        "error during connect",
        "Is the docker daemon running",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut buffer = vec![0; 16 << 10];
    // A tool whose output cannot be read has still ended somehow, and that is judged by its exit code.
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        let room = MAX_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(buffer.get(..n.min(room)).unwrap_or_default());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_call_ends_with_its_code_and_words() {
        let ran = Call::new(["sh", "-c", "echo out; echo bad >&2; exit 3"], SOON).run().await.unwrap();
        assert_eq!((ran.code, ran.text().as_str(), ran.words().as_str()), (Some(3), "out", "bad"));
        let call = Call::new(["sh", "-c", "echo one >&2; echo two >&2; exit 1"], SOON);
        let error = call.succeed(DriverErrorKind::Start).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Start);
        assert!(error.message.ends_with("ended with 1: one; two"), "{}", error.message);
    }

    #[tokio::test]
    async fn what_hangs_is_ended_and_what_is_missing_is_said() {
        let error = Call::new(["sleep", "600"], Duration::from_millis(50)).run().await.unwrap_err();
        assert!(error.message.contains("did not end within 50ms"), "{}", error.message);
        let error = Call::new(["no-such-program"], SOON).run().await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Unreachable);
        assert!(error.message.contains("`no-such-program`: cannot be started"), "{}", error.message);
    }

    #[tokio::test]
    async fn what_is_secret_stands_in_no_error() {
        let leash = Leash::default();
        leash.keep_secret(["hunter2".to_owned(), "x".to_owned()]);
        let call = Call::new(["sh", "-c", "echo no hunter2 for x >&2; exit 1"], SOON).under(&leash);
        let error = call.succeed(DriverErrorKind::Start).await.unwrap_err();
        assert!(error.message.contains("no *** for x") && !error.message.contains("hunter2"), "{}", error.message);
    }

    #[tokio::test]
    async fn a_flood_of_output_is_cut() {
        let flood = Call::new(["head", "-c", "9000000", "/dev/zero"], SOON).run().await.unwrap();
        assert_eq!((flood.code, flood.stdout.len()), (Some(0), MAX_OUTPUT));
    }

    #[tokio::test]
    async fn variables_of_this_account_do_not_leak() {
        let call = Call::new(["env"], SOON).variables([("GIVEN".to_owned(), "1".to_owned())]);
        let text = call.run().await.unwrap().text();
        assert!(text.contains("GIVEN=1") && text.contains("PATH="), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
    }
}
