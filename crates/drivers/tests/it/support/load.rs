//! Steady requests whose outcome is counted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle, time::MissedTickBehavior};

/// What came of the requests of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Good answers by their body.
    pub(crate) good: BTreeMap<String, u64>,
    /// Anything else, in words.
    pub(crate) bad: Vec<String>,
    /// Connections opened.
    pub(crate) connections: u64,
}

/// Requests on one kept connection and on fresh ones, 100 a second of each kind.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    kept: (Arc<Mutex<Counts>>, JoinHandle<()>),
    fresh: (Arc<Mutex<Counts>>, JoinHandle<()>),
}

impl Load {
    pub(crate) fn on(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |keep: bool| {
            let counts = Arc::new(Mutex::new(Counts::default()));
            (counts.clone(), tokio::spawn(run(port, keep, stop.clone(), counts)))
        };
        let (kept, fresh) = (start(true), start(false));
        Self { stop, kept, fresh }
    }

    /// The number of good answers so far that said `body`, on both kinds of connection.
    pub(crate) fn seen(&self, body: &str) -> u64 {
        let of = |counts: &Mutex<Counts>| counts.lock().unwrap().good.get(body).copied().unwrap_or(0);
        of(&self.kept.0).min(of(&self.fresh.0))
    }

    /// Ends it: what happened on the kept connection, and on the fresh ones.
    pub(crate) async fn stop(self) -> (Counts, Counts) {
        self.stop.store(true, Ordering::SeqCst);
        self.kept.1.await.unwrap();
        self.fresh.1.await.unwrap();
        let counts = |counts: &Mutex<Counts>| counts.lock().unwrap().clone();
        (counts(&self.kept.0), counts(&self.fresh.0))
    }
}

type Sender = http1::SendRequest<Empty<Bytes>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn run(port: u16, keep: bool, stop: Arc<AtomicBool>, counts: Arc<Mutex<Counts>>) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sender: Option<Sender> = None;
    while !stop.load(Ordering::SeqCst) {
        tick.tick().await;
        let answer = one(port, &mut sender, &counts).await;
        if !keep {
            sender = None;
        }
        let mut counts = counts.lock().unwrap();
        match answer {
            Ok(body) => *counts.good.entry(body).or_default() += 1,
            Err(error) => {
                sender = None;
                counts.bad.push(error.to_string());
            }
        }
    }
}

async fn one(port: u16, sender: &mut Option<Sender>, counts: &Mutex<Counts>) -> Result<String, Failure> {
    if sender.is_none() {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let (opened, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        counts.lock().unwrap().connections += 1;
        *sender = Some(opened);
    }
    let sender = sender.as_mut().ok_or("no connection")?;
    sender.ready().await?;
    let request = Request::get("/").header("host", "shop.test").body(Empty::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
    if status.is_success() { Ok(body) } else { Err(format!("{status} {body}").into()) }
}
