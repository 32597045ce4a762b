//! The Merkle log of Sealift: RFC 6962 tree, C2SP signed checkpoints, static export, and the stores on
//! SQLite and on a branch of a git repository.
//!
//! Leaves and objects are opaque bytes here; what they mean is the business of `sealift-domain`. Start at
//! [`sqlite::SqliteLog`] and [`git::GitLog`] for the stores, at [`merkle`] for the tree, at [`checkpoint`] for what is signed.

mod annex;
pub mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod copy;
pub mod export;
pub mod git;
pub mod key;
pub mod key_file;
pub mod merkle;
pub mod note;
pub mod record;
pub mod sqlite;
pub mod tile;
pub mod writer;
