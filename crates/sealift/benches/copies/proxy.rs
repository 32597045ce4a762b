//! A network in which the registry is far away: a TCP proxy on the loopback interface that passes every byte on, in order,
//! 20 ms after it came, in both directions and without a limit of bandwidth. Connecting is not delayed.

pub(crate) mod exchanges;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};

use crate::Failed;
use exchanges::{Exchange, Exchanges};

/// From one end to the other.
const ONE_WAY: Duration = Duration::from_millis(20);

/// There and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(40);

/// The most that is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// How many pieces may be under way in one direction of one connection: 64 MiB in 20 ms are no limit that a test machine reaches.
const UNDER_WAY: usize = 1024;

type Connections = Arc<Mutex<Vec<Arc<Exchanges>>>>;

/// The proxy of one registry.
pub(crate) struct Proxy {
    /// `host:port`
    pub(crate) address: String,
    connections: Connections,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts one in front of `upstream`, a `host:port`.
    pub(crate) async fn start(upstream: &str) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let connections = Connections::default();
        let (upstream, known) = (upstream.to_owned(), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let exchanges = Arc::new(Exchanges::default());
                known.lock().unwrap_or_else(PoisonError::into_inner).push(exchanges.clone());
                let upstream = upstream.clone();
                tokio::spawn(async move {
                    // Either end may go away at any time: then the other one is told by its connection.
                    drop(connect(client, &upstream, exchanges).await);
                });
            }
        });
        Ok(Self { address, connections, task })
    }

    /// The exchanges that were noticed since this was asked last.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        connections.iter().flat_map(|exchanges| exchanges.all()).collect()
    }
}

async fn connect(client: TcpStream, upstream: &str, exchanges: Arc<Exchanges>) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = exchanges.clone();
    let there = carry(from_client, to_server, move |at| asked.asked(at), |_| ());
    let back = carry(from_server, to_client, |_| (), move |at| exchanges.answered(at));
    tokio::join!(there, back);
    Ok(())
}

/// One direction, to its end. `came` hears of every piece when it has been read, `goes` just before it is written: so that an
/// answer is noticed before the request that follows it.
async fn carry(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    came: impl Fn(Instant),
    goes: impl Fn(Instant) + Send + 'static,
) {
    let (under_way, arrives) = mpsc::channel(UNDER_WAY);
    let delivery = tokio::spawn(deliver(arrives, to, goes));
    let mut buffer = vec![0; PIECE];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let now = Instant::now();
        came(now);
        if under_way.send((now + ONE_WAY, buffer[..n].to_vec())).await.is_err() {
            break;
        }
    }
    // The end is under way too.
    drop(under_way.send((Instant::now() + ONE_WAY, Vec::new())).await);
    drop(delivery.await);
}

async fn deliver(mut arrives: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf, goes: impl Fn(Instant)) {
    while let Some((due, piece)) = arrives.recv().await {
        tokio::time::sleep_until(due).await;
        if piece.is_empty() {
            break;
        }
        goes(Instant::now());
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
    drop(to.shutdown().await);
}
