//! The `availability` watch: steady requests through a whole deployment.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use reqwest::{Client, Url, header};
use sealift_domain::check::AvailabilityCheck;
use sealift_engine::ports::probe::{Availability, CheckContext, Watch};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    client::{self, Connections},
    placeholders,
    tally::Tally,
};

/// The most time one request may take, to the end of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The most requests under way at once; one more counts as failed without being sent.
const MOST_OUTSTANDING: usize = 500;
/// The most requests a second that can be asked for.
const HIGHEST_RATE: u32 = 1000;
/// How many idle connections are kept.
const POOL: usize = 4;
/// How much of an answer is read; the rest would only load the endpoint.
const BODY_LIMIT: usize = 1024 * 1024;

/// Starts a watch: requests begin at the check's rate, whatever the answers do, every other one on a new connection.
pub(crate) fn start(check: &AvailabilityCheck, context: &CheckContext) -> Result<Box<dyn Watch>, String> {
    let url = placeholders::fill(&check.availability, &context.values).map_err(|e| e.to_string())?;
    let url = client::parse_url(&url)?;
    if !(1..=HIGHEST_RATE).contains(&check.rate) {
        return Err(format!("{} requests a second cannot be kept up: 1 to {HIGHEST_RATE} can", check.rate));
    }
    let target = Arc::new(Target {
        kept: client::build(&url, Connections::Kept(POOL))?,
        fresh: client::build(&url, Connections::Fresh)?,
        url,
        quickest_us: AtomicU64::new(0),
        tally: Mutex::new(Tally::starting(Instant::now())),
    });
    let (stop, stopped) = oneshot::channel();
    let mut driver = JoinSet::new();
    driver.spawn(send_steadily(Arc::clone(&target), Duration::from_secs(1) / check.rate, stopped));
    Ok(Box::new(Watching { target, stop, driver }))
}

// Dropping it aborts the driver, and with it all requests.
struct Watching {
    target: Arc<Target>,
    stop: oneshot::Sender<()>,
    driver: JoinSet<()>,
}

#[async_trait]
impl Watch for Watching {
    fn so_far(&self) -> Availability {
        self.target.tally().at(Instant::now())
    }

    async fn stop(mut self: Box<Self>) -> Availability {
        let at = Instant::now();
        // The driver only ends on this signal, so the signal always arrives.
        let _ = self.stop.send(());
        while self.driver.join_next().await.is_some() {}
        self.target.tally().at(at)
    }
}

async fn send_steadily(target: Arc<Target>, pace: Duration, mut stopped: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(MOST_OUTSTANDING));
    let mut under_way = JoinSet::new();
    let mut ticks = interval(pace);
    // A late tick is made up for, so that the number of requests stays that of the rate.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut kept = false;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = under_way.join_next() => {}
            _ = ticks.tick() => {
                kept = !kept;
                target.tally().sent();
                match Arc::clone(&room).try_acquire_owned() {
                    Ok(place) => {
                        let target = Arc::clone(&target);
                        under_way.spawn(async move {
                            target.request(kept).await;
                            drop(place);
                        });
                    }
                    Err(_) => target.tally().failed(),
                }
            }
        }
    }
    while under_way.join_next().await.is_some() {}
}

// What the requests of a watch share.
struct Target {
    url: Url,
    kept: Client,
    fresh: Client,
    // The quickest good answer on kept connections, in microseconds; 0 before the first.
    quickest_us: AtomicU64,
    tally: Mutex<Tally>,
}

// Why a request was no success.
enum Failure {
    // The connection ended before the answer did.
    Broke,
    Other,
}

impl Target {
    // Nothing is done under this lock that could panic half way.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request(&self, kept: bool) {
        let answered = if kept { self.on_kept_connection().await } else { self.once(&self.fresh).await };
        match answered {
            Ok(()) => self.tally().succeeded(Instant::now()),
            Err(_) => self.tally().failed(),
        }
    }

    // A server may close an idle connection at any time. If the client sees that before it sends, it takes another
    // connection (hyper's pool does so by itself). If request and close cross on the way, a client sends a GET again
    // (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1), and no user sees a failure. Such a crossing is known by its
    // speed: the connection ends before even the quickest answer could have come. Whatever ends later was cut by a
    // server that had the request, and counts.
    async fn on_kept_connection(&self) -> Result<(), Failure> {
        let sent = Instant::now();
        let answered = self.once(&self.kept).await;
        let took = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let quickest = self.quickest_us.load(Ordering::Relaxed);
        match answered {
            Ok(()) if quickest == 0 || took < quickest => {
                self.quickest_us.store(took, Ordering::Relaxed);
                Ok(())
            }
            Err(Failure::Broke) if took < quickest => self.once(&self.fresh).await,
            other => other,
        }
    }

    async fn once(&self, client: &Client) -> Result<(), Failure> {
        let mut request = client.get(self.url.clone()).timeout(REQUEST_TIMEOUT);
        if std::ptr::eq(client, &self.fresh) {
            request = request.header(header::CONNECTION, "close");
        }
        let mut response = request.send().await.map_err(|e| failure(&e))?;
        if response.status().is_server_error() {
            return Err(Failure::Other);
        }
        let mut read = 0;
        while let Some(chunk) = response.chunk().await.map_err(|_| Failure::Other)? {
            read += chunk.len();
            if read > BODY_LIMIT {
                break;
            }
        }
        Ok(())
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() || error.is_connect() { Failure::Other } else { Failure::Broke }
}
