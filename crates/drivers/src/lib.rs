//! Adapters that make a release live.
//!
//! Each module holds one implementation of [`sealift_engine::ports::driver::Driver`].

pub mod compose;
mod files;
mod health;
pub mod process;
mod shelf;
mod usage;

use sealift_engine::ports::driver::{DriverError, DriverErrorKind};

/// A failure without output of the release.
fn failure(kind: DriverErrorKind, message: impl Into<String>) -> DriverError {
    DriverError { kind, message: message.into(), output: Vec::new() }
}
