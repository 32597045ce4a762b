//! How `make bench-copy` counts round trips that had to wait for each other.

#[path = "../../benches/copies/proxy/exchanges.rs"]
mod exchanges;

use std::time::Duration;

use exchanges::{Exchanges, longest_chain};
use tokio::time::Instant;

/// What happens on one connection: a byte of the client at a time in milliseconds, or one of the server.
enum Byte {
    Client(u64),
    Server(u64),
}
use Byte::{Client, Server};

fn chain(connections: &[&[Byte]]) -> usize {
    let start = Instant::now();
    let at = |ms: &u64| start + Duration::from_millis(*ms);
    let mut all = Vec::new();
    for bytes in connections {
        let exchanges = Exchanges::default();
        for byte in *bytes {
            match byte {
                Client(ms) => exchanges.asked(at(ms)),
                Server(ms) => exchanges.answered(at(ms)),
            }
        }
        all.extend(exchanges.all());
    }
    longest_chain(&all)
}

#[test]
fn requests_after_each_other_count_each() {
    assert_eq!(chain(&[&[Client(0), Server(40), Client(40), Server(80), Client(90), Server(130)]]), 3);
}

#[test]
fn pieces_of_one_request_or_of_one_answer_are_one() {
    assert_eq!(chain(&[&[Client(0), Client(5), Client(50), Server(90), Server(95), Client(96), Server(140)]]), 2);
}

#[test]
fn requests_at_the_same_time_count_once() {
    let each = || [Client(0), Server(40)];
    assert_eq!(chain(&[&each(), &each(), &each()]), 1);
}

#[test]
fn a_chain_goes_from_one_connection_to_the_other() {
    let (one, other) = ([Client(0), Server(40), Client(81), Server(121)], [Client(41), Server(81)]);
    assert_eq!(chain(&[&one, &other]), 3);
    // Nothing else fits beside one long answer.
    assert_eq!(chain(&[&[Client(0), Server(200)], &[Client(10), Server(50)], &[Client(60), Server(100)]]), 2);
    assert_eq!(chain(&[&[Client(0), Server(200)], &[Client(10), Server(50)], &[Client(49), Server(100)]]), 1);
}

#[test]
fn what_was_never_answered_is_no_round_trip() {
    assert_eq!(chain(&[&[Client(0)], &[Server(10)], &[]]), 0);
}
