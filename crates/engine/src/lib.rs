//! The use cases of Sealift. They decide with `sealift-domain`, act through [`ports`], and append to the log.

pub mod attest;
pub mod audit;
pub mod book;
mod checks;
pub mod code;
pub mod database;
pub mod decide;
pub mod edges;
pub mod error;
pub mod gather;
pub mod init;
pub mod judge;
pub mod keep;
pub mod meter;
pub mod outbox;
pub mod places;
pub mod ports;
pub mod progress;
pub mod record;
pub mod rehearse;
pub mod request;
pub mod silent;
pub mod usual;
pub mod view;
pub mod worker;
pub mod world;
