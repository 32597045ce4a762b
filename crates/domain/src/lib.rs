//! The pure heart of Sealift: ids, releases, gates, approvals, promotions and the fold of the log.
//!
//! Nothing in here reads a clock, a disk, a network or a random number. Whoever wants to understand the program
//! starts at [`promotion`] and goes on to [`ledger`].

pub mod check;
pub mod digest;
pub mod image;
pub mod name;
pub mod personal;
pub mod quantity;
pub mod reference;
pub mod release;
mod text;
pub mod undo;
