//! The pure heart of Sealift: ids, releases, gates, approvals, promotions and the fold of the log.
//!
//! Nothing in here reads a clock, a disk, a network or a random number. Whoever wants to understand the program
//! starts at [`promotion`] and goes on to [`ledger`].

pub mod approval;
pub mod attestation;
pub mod check;
pub mod cost;
pub mod digest;
pub mod entry;
pub mod event;
pub mod evidence;
pub mod failure;
pub mod freeze;
pub mod gate;
pub mod image;
pub mod ledger;
pub mod name;
pub mod notice;
pub mod offline;
pub mod personal;
pub mod policy;
pub mod promotion;
pub mod quantity;
pub mod record;
pub mod reference;
pub mod release;
pub mod schema;
pub mod signature;
pub mod tag;
#[cfg(test)]
mod testing;
mod text;
pub mod undo;
pub mod writer;
