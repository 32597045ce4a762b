//! The Merkle log of Sealift: RFC 6962 tree, C2SP signed checkpoints, static export, and the store on SQLite.
//!
//! Leaves and objects are opaque bytes here; what they mean is the business of `sealift-domain`. Start at
//! [`sqlite::SqliteLog`] for the store, at [`merkle`] for the tree, at [`checkpoint`] for what is signed.

pub mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod export;
pub mod key;
pub mod key_file;
pub mod merkle;
pub mod note;
pub mod sqlite;
pub mod tile;
pub mod writer;
