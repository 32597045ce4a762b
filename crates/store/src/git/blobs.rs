//! Objects of git's by their names, read one after the other.

use std::{fmt, io, time::Duration};

use sealift_engine::ports::log::LogError;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

use super::{
    program::{Git, Trouble},
    repository::Fault,
};

/// The largest file that is read, in bytes: more than any that is written (`layout::MAX_ON_BRANCH`, `layout::MAX_WRITTEN`), and
/// no more memory than that for whoever may push and puts another one there.
const MAX_FILE: u64 = 64 << 20;

/// The name of an object of git's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Oid(String);

impl Oid {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let right = matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        right.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Blobs that are read one after the other.
pub(super) struct Blobs {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    patience: Duration,
}

impl Blobs {
    /// Starts reading from the repository of this git.
    pub(super) fn start(git: &Git, patience: Duration) -> Result<Self, Trouble> {
        let mut child = git.talk(&["cat-file", "--batch"])?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { child, input, output: BufReader::new(output), patience }),
            _ => Err(Trouble::Broken("git cannot be talked to".into())),
        }
    }

    /// The bytes of a blob that is here.
    pub(super) async fn get(&mut self, oid: &Oid) -> Result<Vec<u8>, Fault> {
        let patience = self.patience;
        let read = timeout(patience, self.read(oid)).await;
        read.unwrap_or_else(|_| Err(Fault::Cache("git does not answer".into())))
    }

    async fn read(&mut self, oid: &Oid) -> Result<Vec<u8>, Fault> {
        let broken = |why: io::Error| Fault::Cache(format!("git cannot be asked for a file: {why}"));
        self.input.write_all(format!("{oid}\n").as_bytes()).await.map_err(broken)?;
        self.input.flush().await.map_err(broken)?;
        let mut line = String::new();
        (&mut self.output).take(1024).read_line(&mut line).await.map_err(broken)?;
        let size = line.trim_end().strip_prefix(oid.as_str()).and_then(|rest| rest.strip_prefix(" blob "));
        let Some(size) = size.and_then(|size| size.parse::<u64>().ok()) else {
            let ended = self.child.try_wait().ok().flatten().is_some();
            return Err(Fault::Cache(format!(
                "the file {oid} is not readable{}",
                if ended { ": git has ended" } else { "" }
            )));
        };
        if size > MAX_FILE {
            let what = format!("a file of {size} bytes is too large: at most {MAX_FILE} are read");
            return Err(LogError::Tampered { what, at: None }.into());
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.output.read_exact(&mut bytes).await.map_err(broken)?;
        let mut end = [0; 1];
        self.output.read_exact(&mut end).await.map_err(broken)?;
        Ok(bytes)
    }
}
