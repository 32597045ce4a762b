//! A client that asks steadily while something else happens, each time on a new connection.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::Failed;

/// Between two requests: 50 a second.
const EVERY: Duration = Duration::from_millis(20);

/// The longest that one request may take; one that takes longer failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests under way. They end when this is dropped or stopped.
pub(crate) struct Load {
    over: oneshot::Sender<()>,
    task: JoinHandle<Found>,
}

/// What the requests came to.
pub(crate) struct Found {
    /// How many were made.
    pub(crate) requests: usize,
    /// How many of them got no answer with status 200 in time.
    pub(crate) failed: usize,
    /// The longest time between two successes that follow each other.
    pub(crate) longest_gap: Duration,
}

impl Load {
    /// Asks for `/` on this port of 127.0.0.1 until it is stopped.
    pub(crate) fn start(port: u16) -> Self {
        let (over, ended) = oneshot::channel();
        Self { over, task: tokio::spawn(ask_until(port, ended)) }
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Result<Found, Failed> {
        drop(self.over);
        let found = self.task.await?;
        if found.failed == found.requests {
            return Err("no request of the client was answered".into());
        }
        Ok(found)
    }
}

async fn ask_until(port: u16, mut ended: oneshot::Receiver<()>) -> Found {
    let (mut asked, mut requests) = (JoinSet::new(), 0);
    let mut due = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            _ = &mut ended => break,
        }
        requests += 1;
        asked.spawn(async move {
            let good = tokio::time::timeout(PATIENCE, ask(port)).await;
            matches!(good, Ok(Ok(true))).then(Instant::now)
        });
    }
    let mut successes: Vec<Instant> = asked.join_all().await.into_iter().flatten().collect();
    successes.sort();
    let gaps = successes.windows(2).map(|pair| pair[1].duration_since(pair[0]));
    Found { requests, failed: requests - successes.len(), longest_gap: gaps.max().unwrap_or_default() }
}

/// Whether the answer is 200 (RFC 9112).
async fn ask(port: u16) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
    connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}
