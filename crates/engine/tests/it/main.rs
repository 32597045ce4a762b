//! The use cases over the real log and a scripted world: every step fails once, every step is done twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod attest;
mod back_offline;
mod costs;
mod exchange;
mod expedited;
mod forged;
mod inbox;
mod known_head;
mod leases;
mod offline;
mod rehearsals;
mod steps;
mod still;
mod stubs;
mod waiting;
mod writers;
