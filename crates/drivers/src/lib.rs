//! Adapters that make a release live.
//!
//! Each module holds one implementation of [`sealift_engine::ports::driver::Driver`].

pub mod process;
