//! Probes and webhooks against real servers and real commands.

// Clippy's allowances for tests do not reach the helper functions beside them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod availability;
mod command;
mod http;
mod logs;
mod support;
mod webhook;
