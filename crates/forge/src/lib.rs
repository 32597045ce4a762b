//! What source repositories say of commits. [`git`] asks any remote that git speaks to.

pub mod git;
