//! The surroundings of a command: variables, directory, streams. Injected, so that the demo and tests run commands in
//! process and nothing else reads the environment.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use sealift_engine::ports::log::Log;

use crate::{
    promotion_keys,
    report::style::{ColorChoice, Style, Surroundings},
    wiring::stores,
    writer_key,
};

/// A stream that several parts of a command may write to.
#[derive(Clone)]
pub struct Stream(Arc<Mutex<Box<dyn Write + Send>>>, Arc<OnceLock<String>>);

/// Replaces the log by one that behaves otherwise. For tests that end the program at a given commit.
pub type WrapLog = Arc<dyn Fn(Arc<dyn Log>) -> Arc<dyn Log> + Send + Sync>;

/// The surroundings of a command.
#[derive(Clone)]
pub struct Shell {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The working directory, absolute.
    pub directory: PathBuf,
    /// Where results go.
    pub stdout: Stream,
    /// Where progress and errors go.
    pub stderr: Stream,
    /// Whether standard output is a terminal, and how wide.
    pub stdout_terminal: Option<usize>,
    /// Whether standard error is a terminal, and how wide.
    pub stderr_terminal: Option<usize>,
    /// Whether standard input is a terminal, so that somebody can be asked.
    pub stdin_terminal: bool,
    /// The program itself, for what it starts as another process of its own.
    pub program: PathBuf,
    /// See [`WrapLog`].
    pub wrap_log: Option<WrapLog>,
}

impl Stream {
    /// A stream that writes to `writer`.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(writer))), Arc::default())
    }
}

impl Stream {
    /// Why something could not be written, if so. A reader that has gone away is no failure of ours.
    pub fn broken(&self) -> Option<&str> {
        self.1.get().map(String::as_str)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl Shell {
    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The variables for commands of others, such as checks: all but the keys that sign for this run.
    pub fn variables_for_others(&self) -> BTreeMap<String, String> {
        let own = [promotion_keys::VARIABLE, writer_key::VARIABLE, stores::KEY_VARIABLE, stores::TOKEN_VARIABLE];
        let others = self.variables.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        others.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// `path` as seen from the working directory.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// The surroundings of standard output.
    pub fn out(&self, json: bool, color: ColorChoice) -> Surroundings {
        self.surroundings(self.stdout_terminal, json, color)
    }

    /// The surroundings of standard error.
    pub fn err(&self, json: bool, color: ColorChoice) -> Surroundings {
        self.surroundings(self.stderr_terminal, json, color)
    }

    fn surroundings(&self, terminal: Option<usize>, json: bool, color: ColorChoice) -> Surroundings {
        let seen = Surroundings::of(terminal.is_some(), terminal, |name| self.variable(name));
        Surroundings { json, color, ..seen }
    }

    /// Writes a result. Whether all of it could be written is known at the end: [`Stream::broken`].
    pub fn print(&self, text: &str) {
        let mut stdout = self.stdout.clone();
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            // The first reason is the one that is told.
            drop(self.stdout.1.set(error.to_string()));
        }
    }

    /// Writes a message.
    pub fn tell(&self, text: &str) {
        let mut stderr = self.stderr.clone();
        drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
    }
}

/// The style for results.
pub fn style(shell: &Shell, color: ColorChoice) -> Style {
    shell.out(false, color).style()
}
