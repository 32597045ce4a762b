//! The workflow's flowcharts, box by box: `docs/workflow-boxes.txt` lists the boxes, each test says at its end in which ones
//! it was and what it found there, and `docs/workflow-coverage.md` is the table of that.

mod compose;
mod coverage;
mod deploy;
mod host;
mod images;
mod kill;
mod offline;
pub(crate) mod record;
mod registry;
mod relay;
mod stage;
mod traffic;
