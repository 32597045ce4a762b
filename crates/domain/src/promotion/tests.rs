//! The state machine as a table, and its rules as properties of random histories.

mod catalogue;
mod consent;
mod matrix;
mod properties;
mod rules;
