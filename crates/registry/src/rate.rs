//! How fast a host may be asked: places for requests under way, and pauses that it asked for. Shared by everything that the
//! process does with that host, since the host does not tell one operation from another either.
//!
//! The number of places follows additive increase, multiplicative decrease (Chiu and Jain 1989): half of it after an answer that
//! says "too much", one more after as many good answers as there are places.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use reqwest::Method;
use sealift_domain::quantity::Period;
use sealift_engine::ports::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many places a lane has at most, as a multiple of what it begins with.
const GROWTH: usize = 2;

/// Kinds of requests, each with places of its own: a crowd of blobs never keeps a manifest waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Tokens.
    Token,
    /// Manifests and tags.
    Manifest,
    /// Lists of referrers and of tags.
    List,
    /// Questions for blobs, mounts, and the opening of uploads.
    Blob,
    /// Bodies of blobs that are read. The place is for the answer to begin; the bytes have a budget.
    Read,
    /// Bodies of blobs that are written.
    Write,
}

const LANES: usize = 6;

impl Lane {
    /// The lane of a request to the API; `path` is what follows the repository.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let reads = *method == Method::GET;
        match path.split_once('/').map_or(path, |(first, _)| first) {
            "blobs" if *method == Method::PUT => Self::Write,
            "blobs" if reads => Self::Read,
            "blobs" => Self::Blob,
            "referrers" | "tags" => Self::List,
            _ => Self::Manifest,
        }
    }
}

/// All hosts.
pub(crate) struct Rates {
    start: usize,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// One host.
pub(crate) struct Host {
    not_before: Mutex<Timestamp>,
    lanes: [Places; LANES],
}

/// The places of one lane.
struct Places {
    start: usize,
    free: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    /// How many requests may be under way.
    limit: usize,
    /// How many places are still occupied that are to be taken away.
    owed: usize,
    /// Good answers since the limit changed.
    good: usize,
    /// How often the limit was halved: what was sent before the last time says nothing new.
    halved: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rates {
    /// Every lane of every host begins with `start` places.
    pub(crate) fn new(start: usize) -> Self {
        Self { start: start.max(1), hosts: Mutex::default() }
    }

    /// The host of an origin, `scheme://host:port`.
    pub(crate) fn host(&self, origin: &str) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(origin) {
            return Arc::clone(host);
        }
        let lanes = std::array::from_fn(|_| Places::new(self.start));
        let host = Arc::new(Host { not_before: Mutex::new(Timestamp::MIN), lanes });
        hosts.insert(origin.to_owned(), Arc::clone(&host));
        host
    }
}

impl Places {
    fn new(start: usize) -> Self {
        let state = State { limit: start, owed: 0, good: 0, halved: 0 };
        Self { start, free: Arc::new(Semaphore::new(start)), state: Mutex::new(state) }
    }

    fn good(&self) {
        let mut state = lock(&self.state);
        state.good += 1;
        // Back to where it began it goes with every good answer, beyond that with caution.
        let enough = if state.limit < self.start { 1 } else { state.limit };
        if state.good < enough || state.limit >= self.start * GROWTH {
            return;
        }
        state.good = 0;
        state.limit += 1;
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.free.add_permits(1);
        }
    }

    fn too_much(&self, sent_after: u64) {
        let mut state = lock(&self.state);
        if sent_after < state.halved {
            return;
        }
        let limit = (state.limit / 2).max(1);
        let taken = state.limit - limit;
        state.owed += taken - self.free.forget_permits(taken);
        state.limit = limit;
        state.good = 0;
        state.halved += 1;
    }
}

impl Host {
    /// Waits for the end of a pause and for a place.
    pub(crate) async fn enter(self: &Arc<Self>, lane: Lane, clock: &dyn Clock) -> Place {
        let places = &self.lanes[lane as usize];
        // The semaphore is never closed, so there is always a permit to come.
        let permit = Arc::clone(&places.free).acquire_owned().await.ok();
        loop {
            let wait = Period::between(clock.now(), *lock(&self.not_before));
            if wait == Period::default() {
                break;
            }
            clock.sleep(wait).await;
        }
        let sent_after = lock(&places.state).halved;
        Place { host: Arc::clone(self), lane, permit, sent_after }
    }

    /// Nothing is sent to this host before `until`.
    pub(crate) fn pause(&self, until: Timestamp) {
        let mut not_before = lock(&self.not_before);
        *not_before = (*not_before).max(until);
    }
}

/// The right to have one request under way. Dropping it makes room for the next.
pub(crate) struct Place {
    host: Arc<Host>,
    lane: Lane,
    permit: Option<OwnedSemaphorePermit>,
    sent_after: u64,
}

impl Place {
    /// The host answered, and did not say that it is too much.
    pub(crate) fn good(&self) {
        self.host.lanes[self.lane as usize].good();
    }

    /// The host answered that it is too much.
    pub(crate) fn too_much(&self) {
        self.host.lanes[self.lane as usize].too_much(self.sent_after);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = lock(&self.host.lanes[self.lane as usize].state);
        if state.owed > 0 {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// Sleeping moves it at once.
    struct Still(Mutex<Timestamp>);

    #[async_trait]
    impl Clock for Still {
        fn now(&self) -> Timestamp {
            *lock(&self.0)
        }

        async fn sleep(&self, period: Period) {
            let mut now = lock(&self.0);
            *now = period.after(*now);
        }
    }

    fn still() -> Still {
        Still(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap()))
    }

    fn free(host: &Host) -> usize {
        host.lanes[Lane::Blob as usize].free.available_permits()
    }

    async fn enter(host: &Arc<Host>, n: usize) -> Vec<Place> {
        let mut places = Vec::new();
        for _ in 0..n {
            places.push(host.enter(Lane::Blob, &still()).await);
        }
        places
    }

    #[test]
    fn requests_find_their_lane() {
        for (method, path, lane) in [
            (Method::GET, "manifests/v1", Lane::Manifest),
            (Method::PUT, "manifests/v1", Lane::Manifest),
            (Method::HEAD, "blobs/sha256:x", Lane::Blob),
            (Method::GET, "blobs/sha256:x", Lane::Read),
            (Method::POST, "blobs/uploads/", Lane::Blob),
            (Method::PUT, "blobs/uploads/", Lane::Write),
            (Method::GET, "referrers/sha256:x", Lane::List),
            (Method::GET, "tags/list?n=1000", Lane::List),
        ] {
            assert_eq!(Lane::of(&method, path), lane, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn a_crowd_that_is_refused_halves_the_places_once() {
        let host = Rates::new(8).host("https://a");
        let crowd = enter(&host, 6).await;
        crowd.iter().for_each(Place::too_much);
        drop(crowd);
        assert_eq!(free(&host), 4);
        let crowd = enter(&host, 4).await;
        crowd.iter().for_each(Place::too_much);
        drop(crowd);
        assert_eq!(free(&host), 2);
        for _ in 0..5 {
            enter(&host, 1).await.iter().for_each(Place::too_much);
        }
        assert_eq!(free(&host), 1, "one request is always possible");
    }

    #[tokio::test]
    async fn good_answers_bring_places_back_quickly_and_new_ones_slowly() {
        let host = Rates::new(8).host("https://a");
        enter(&host, 1).await.iter().for_each(Place::too_much);
        for expected in [5, 6, 7, 8, 8, 8, 8, 8, 8, 8, 8, 9] {
            enter(&host, 1).await.iter().for_each(Place::good);
            assert_eq!(free(&host), expected);
        }
        for _ in 0..1000 {
            enter(&host, 1).await.iter().for_each(Place::good);
        }
        assert_eq!(free(&host), 16);
    }

    #[tokio::test]
    async fn a_pause_holds_every_lane_of_its_host_and_no_other() {
        let rates = Rates::new(2);
        let clock = still();
        let began = clock.now();
        rates.host("https://a").pause(Period::from_secs(30).after(began));
        rates.host("https://a").pause(Period::from_secs(10).after(began));
        drop(rates.host("https://b").enter(Lane::Token, &clock).await);
        assert_eq!(clock.now(), began);
        drop(rates.host("https://a").enter(Lane::Token, &clock).await);
        assert_eq!(clock.now(), Period::from_secs(30).after(began));
    }
}
