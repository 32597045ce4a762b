//! The `sealift` program: commands, configuration, reports, and the wiring of adapters to use cases.

pub mod cli;
pub mod config;
pub mod demo;
pub mod diagnostic;
pub mod failure;
pub mod files;
pub mod identity;
pub mod private;
pub mod promotion_keys;
pub mod report;
pub mod session;
pub mod shell;
pub mod system;
pub mod tls_files;
pub mod wiring;
pub mod writer_key;
