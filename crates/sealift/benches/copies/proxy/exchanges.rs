//! Requests and their answers, told apart by time alone, and how many of them had to wait for each other.
//!
//! On one connection of HTTP/1.1 without pipelining an exchange begins with the first byte of the client after one of the
//! server, and ends with the last byte of the server before the next one of the client.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A request and its answer, as the client saw them.
#[derive(Clone, Copy)]
pub(crate) struct Exchange {
    /// When the first byte of the request left the client.
    began: Instant,
    /// When the last byte of the answer reached it, unless none ever did.
    ended: Option<Instant>,
}

/// The exchanges of one connection.
#[derive(Default)]
pub(crate) struct Exchanges(Mutex<Vec<Exchange>>);

impl Exchanges {
    /// The client sent something.
    pub(crate) fn asked(&self, at: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.last().is_none_or(|last| last.ended.is_some()) {
            all.push(Exchange { began: at, ended: None });
        }
    }

    /// Something came back.
    pub(crate) fn answered(&self, at: Instant) {
        if let Some(last) = self.0.lock().unwrap_or_else(PoisonError::into_inner).last_mut() {
            last.ended = Some(at);
        }
    }

    /// What there was so far.
    pub(crate) fn all(&self) -> Vec<Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The sequential round trips: the length of the longest chain of exchanges of which each began after the one before had ended.
///
/// Taking what ends first, again and again, finds such a chain (interval scheduling; Kleinberg and Tardos, "Algorithm Design",
/// section 4.1).
pub(crate) fn longest_chain(exchanges: &[Exchange]) -> usize {
    let mut all: Vec<(Instant, Instant)> =
        exchanges.iter().filter_map(|exchange| Some((exchange.ended?, exchange.began))).collect();
    all.sort_unstable();
    let mut free = None;
    let mut length = 0;
    for (ended, began) in all {
        if free.is_none_or(|free| began >= free) {
            length += 1;
            free = Some(ended);
        }
    }
    length
}
