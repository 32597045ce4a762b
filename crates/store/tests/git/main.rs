//! The log on a branch, with real git and repositories on this disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test, as tests do"
)]

mod attacks;
mod cold;
mod copying;
mod crash;
mod damage;
mod delta;
mod fixture;
mod inbox;
mod large;
mod refusals;
mod secrets;
mod suite;
