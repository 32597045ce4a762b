//! The client against the strict in-process registry, and against a real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod attach;
mod auth;
mod copy;
mod evidence;
mod faults;
mod graphs;
mod honest;
mod inspect;
mod mirrors;
mod misbehaviour;
mod objects;
mod real_registry;
mod schedule;
mod server;
mod support;
mod tags;
