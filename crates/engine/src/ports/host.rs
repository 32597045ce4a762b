//! The machine and the process that this program is.

use sealift_domain::event::Holder;

/// Who we are, and whether another run of the program on this machine is gone.
pub trait Host: Send + Sync {
    /// This run.
    fn holder(&self) -> Holder;

    /// Whether `holder` certainly runs no more: it was a process of this machine, and there is no such process.
    fn is_gone(&self, holder: &Holder) -> bool;
}
