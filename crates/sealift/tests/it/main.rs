//! The program as a whole: one test binary, a module for each subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod architecture;
mod commands;
mod dependencies;
mod glossary;
