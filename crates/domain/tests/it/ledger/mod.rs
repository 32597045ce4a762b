//! The fold of the log: rules that hold for every history, and single entries.

mod acts;
mod engine;
mod examples;
mod histories;
mod offline;
mod oracle;
mod refusals;
mod steps;
mod values;
mod world;
