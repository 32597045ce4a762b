//! The log on a branch, with real git and repositories on this disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test, as tests do"
)]

mod dbg;
mod fixture;
mod suite;
