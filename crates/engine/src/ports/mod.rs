//! What the use cases need from the world. Each trait is a port; the adapters live in crates of their own.

pub mod attest;
pub mod clock;
pub mod copy;
pub mod driver;
pub mod evidence;
pub mod host;
pub mod inbox;
pub mod large_objects;
pub mod log;
pub mod notifier;
pub mod offline;
pub mod probe;
pub mod registry;
pub mod signature;
pub mod source;
pub mod writer;
