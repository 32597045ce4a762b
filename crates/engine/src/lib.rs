//! The use cases of Sealift. They decide with `sealift-domain`, act through [`ports`], and append to the log.

pub mod ports;
pub mod progress;
