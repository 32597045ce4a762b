//! The program as a whole: one test binary, a module for each subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod architecture;
mod baseline;
mod certificates;
mod commands;
mod containers;
mod copy_edges;
mod copy_failures;
mod copy_killed;
mod costs;
mod demo;
mod dependencies;
mod engine;
mod exits;
mod fixture_log;
mod glossary;
mod kill;
mod load;
mod nginx;
mod output;
mod place;
mod policy;
mod promotion_requests;
mod proxy;
mod race;
mod reach;
mod real;
mod real_registry;
mod rehearse;
mod road;
mod round_trips;
mod schema;
mod second_engine;
mod signature;
mod webhook;
mod workflow;
