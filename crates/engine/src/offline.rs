//! Going back to an earlier release when neither log nor registry can be reached: over what the host itself remembers.
//!
//! 1. [`choose`] asks the host's journal and says what a rollback would do; nothing is changed.
//! 2. The person signs that, and [`begin`] keeps the signed record on the host. From then on the host refuses everybody else.
//! 3. [`go_on`] does it, and writes into the record how it ended. Killed at any point and run again, it goes on there.
//! 4. [`merge`] takes the record into the log, when there is one again, and lets the host serve promotions again.
//!
//! **Numbers.** A rollback has the fencing number after the highest that its host has seen, so whoever was at work there is
//! refused from then on. Somebody who takes a lease later has a higher number, and is refused by the record itself. When the
//! log has the record, under entry *n*, the host refuses every number below *n*: every lease that was taken while the log did
//! not know. Every lease from then on is a later entry and so has a higher number, also than the rollback's own: each rollback
//! took one number and brought one entry.

mod choose;
mod merge;
mod perform;
mod record;

pub use choose::{Chosen, Wish, choose};
pub use merge::{Merged, merge, merge_bytes, none_waits, waiting};
pub use perform::{Site, begin, go_on, open};
pub use record::{Asked, End, RECORD_VERSION, Record, act};
