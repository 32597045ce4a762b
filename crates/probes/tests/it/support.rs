//! A scripted HTTP server, a manual clock, and other parts that the tests share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use sealift_domain::{check::Check, quantity::Period};
use sealift_engine::ports::{
    clock::Clock,
    probe::{CheckContext, CheckResult, LogSource, Prober},
};
use sealift_probes::Probes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A clock whose sleeps pass at once.
pub(crate) struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap())))
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, period: Period) {
        let now = self.now();
        *self.0.lock().unwrap() = period.after(now);
        tokio::task::yield_now().await;
    }
}

/// The real time.
pub(crate) struct RealClock;

#[async_trait]
impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, period: Period) {
        tokio::time::sleep(period.as_duration()).await;
    }
}

/// No log at all.
pub(crate) struct NoLogs;

#[async_trait]
impl LogSource for NoLogs {
    async fn read(&self) -> Result<Vec<u8>, String> {
        Err("there is no log".to_owned())
    }
}

/// Probes with only `PATH` in the environment of commands.
pub(crate) fn probes(clock: Arc<dyn Clock>) -> Probes {
    let path = std::env::var("PATH").unwrap_or_default();
    Probes::new(clock, BTreeMap::from([("PATH".to_owned(), path)]))
}

/// Values as the engine gives them.
pub(crate) fn context() -> CheckContext {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    CheckContext {
        values: map(&[("commit", "0123456789abcdef"), ("commit7", "0123456")]),
        environment: map(&[("SEALIFT_APP", "shop")]),
    }
}

/// Runs one check, given as JSON.
pub(crate) async fn run(check: serde_json::Value, clock: Arc<dyn Clock>, logs: &dyn LogSource) -> CheckResult {
    let check: Check = serde_json::from_value(check).unwrap();
    probes(clock).run(&check, &context(), logs).await
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// How many requests came before, on all connections.
    pub(crate) nth: usize,
    /// How many requests came before on the same connection.
    pub(crate) nth_here: usize,
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: &'static str,
        body: Vec<u8>,
    },
    /// Answers, and closes the connection soon afterwards, while it is idle.
    ThenClose(u16),
    /// Waits, then replies.
    After(Duration, Box<Reply>),
    /// Closes the connection without an answer.
    Close,
    /// Says exactly this, and closes the connection.
    Raw(&'static str),
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::text(status, "")
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: "", body: body.as_bytes().to_vec() }
    }

    pub(crate) fn after(self, ms: u64) -> Self {
        Self::After(Duration::from_millis(ms), Box::new(self))
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server on 127.0.0.1; it ends when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            script: Box::new(script),
            requests: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { url, state, _tasks: tasks }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        state.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut nth_here = 0;
    while let Some((head, body)) = read_request(&mut stream).await {
        let closing = head.to_ascii_lowercase().contains("connection: close");
        let request = {
            let mut requests = state.requests.lock().unwrap();
            let request = Request { nth: requests.len(), nth_here, head, body };
            requests.push(request.clone());
            request
        };
        let open = reply(&mut stream, (state.script)(&request)).await;
        if closing || !open {
            return;
        }
        nth_here += 1;
    }
}

// Whether the connection stays open.
async fn reply(stream: &mut TcpStream, mut reply: Reply) -> bool {
    loop {
        let (status, headers, body, open) = match reply {
            Reply::After(wait, next) => {
                tokio::time::sleep(wait).await;
                reply = *next;
                continue;
            }
            Reply::Close => return false,
            Reply::Raw(text) => {
                drop(stream.write_all(text.as_bytes()).await);
                return false;
            }
            Reply::ThenClose(status) => (status, "", Vec::new(), false),
            Reply::Answer { status, headers, body } => (status, headers, body, true),
        };
        let head = format!("HTTP/1.1 {status} Some\r\n{headers}content-length: {}\r\n\r\n", body.len());
        let written = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        if !open {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        return open && written.is_ok();
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = bytes[end..].to_vec();
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}
