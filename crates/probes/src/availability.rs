//! The `availability` watch: steady requests through a whole deployment.
//!
//! Every other request is on a new connection; the others reuse kept ones where they can. A server may close a kept
//! connection at any time, and the close may cross the next request on its way. A client then sends an idempotent request
//! again by itself (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1), and no user sees a failure. So a request on a *reused*
//! connection that is closed before any answer is asked once more, on a new connection: it is a success, told apart as
//! *retried*, if that one answers well. All else is a failure: a new connection that is refused or closed, a timeout, a 5xx,
//! an answer that breaks off in its body, and a second try that does not succeed.
//!
//! What this can hide: a server that took a request on a reused connection, worked on it and dropped it looks the same from
//! here as one that never saw it; so does an answer that breaks off within its head, before the empty line. That is
//! harmless for GET, and clients hide it from their users just as well, but a client that does not ask again would see it:
//! the count of retried requests is shown for that reason. What it cannot hide: a server that drops requests as such, for
//! the new connections, every other request at least, and every second try fail then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    placeholders, reuse,
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
    tally: Mutex<Tally>,
}

// Which try was answered well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    First,
    Second,
}

// Why a request was no success.
enum Failure {
    // The connection was closed before the head of an answer was there.
    Closed,
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
            Ok(answer) => {
                let mut tally = self.tally();
                if answer == Answer::Second {
                    tally.retried();
                }
                tally.succeeded(Instant::now());
            }
            Err(_) => self.tally().failed(),
        }
    }

    // See the rules at the top of this file. The second try is on a connection of its own.
    async fn on_kept_connection(&self) -> Result<Answer, Failure> {
        let (answered, reused) = reuse::observed(self.once(&self.kept)).await;
        match answered {
            Err(Failure::Closed) if reused => self.once(&self.fresh).await.map(|_| Answer::Second),
            other => other,
        }
    }

    async fn once(&self, client: &Client) -> Result<Answer, Failure> {
        let mut request = client.get(self.url.clone()).timeout(REQUEST_TIMEOUT);
        if std::ptr::eq(client, &self.fresh) {
            request = request.header(header::CONNECTION, "close");
        }
        let mut response =
            request.send().await.map_err(|e| if reuse::was_closed(&e) { Failure::Closed } else { Failure::Other })?;
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
        Ok(Answer::First)
    }
}
