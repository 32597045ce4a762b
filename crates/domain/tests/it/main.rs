//! What the domain promises as a whole, through its public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod believed;
mod gates;
mod ledger;
mod references;
