//! What people and machines see: styles, tables, words for quantities, and views of the progress stream.

pub mod cost;
pub mod human;
pub mod progress;
pub mod style;
pub mod table;
pub mod text;
