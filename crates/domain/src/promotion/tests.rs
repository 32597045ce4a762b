//! The state machine as a table, and its rules as properties of random histories.

mod catalogue;
mod matrix;
mod properties;
mod rules;
