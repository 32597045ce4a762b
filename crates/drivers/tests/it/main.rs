//! The drivers against real processes, sockets and files.

// Helpers of tests count as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod crash;
mod deploy;
mod front;
mod refusal;
mod support;

/// Not a test: this program plays the agent and the service too. As a test it does nothing.
#[test]
fn role() {
    match std::env::var("SEALIFT_TEST_ROLE").as_deref() {
        Ok("agent") => support::roles::agent(),
        Ok("service") => support::roles::service(),
        _ => {}
    }
}
