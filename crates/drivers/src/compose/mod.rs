//! The `compose` driver: one service of a Docker Compose file, on the engine of this host.
//!
//! With `blue-green`, two releases run side by side for as long as it takes to be sure. Each has a colour: a project of
//! its own (`hello-production-blue`, `-green`) and one of two ports of 127.0.0.1. nginx forwards to the live one; a switch is
//! one file replaced by rename, `nginx -t`, and a reload. The release before goes on running as nginx's backup until the
//! new one is verified; then it is drained and stopped, and its container is kept.
//!
//! ```text
//!                              ┌─ include: upstream { 127.0.0.1:18081; 127.0.0.1:18080 backup }
//! client ──▶ nginx ──proxy_pass┤
//!                              ├─▶ 18080  hello-production-blue   web  p7   verified, stopped after the switch
//!                              └─▶ 18081  hello-production-green  web  p9   live
//!                                         hello-production        db, cache, networks, volumes: never touched by a switch
//! ```
//!
//! With `recreate`, the one container is stopped and another takes its place: simple, and out of service meanwhile.
//!
//! # What is true
//! What runs is read from the engine, by the digests under which it pulled the image; which of it is live, from the file
//! that the front follows. The journal only remembers what was live before.
//!
//! # The state directory
//! | path | holds |
//! |---|---|
//! | `lock` | held (`flock`) by the one deployer at work, with its name, process and fencing number |
//! | `journal.json` | the highest fencing number, and what was made live, oldest first |
//! | `offline/` | what a rollback without the log needs, and the records of those that were made |
//! | `compose.yaml` | the Compose file of the definition that was used last |
//! | `blue.json`, `green.json`, `shared.json`, `in-place.json` | generated projects, there only while Compose works with them: they hold secrets |
//! | `upstream` | where there is no nginx: the address of what is live |

mod blue_green;
mod candidate;
mod command;
mod config;
mod driver;
mod engine;
mod fleet;
mod front;
mod host;
mod migrate;
mod offline;
mod preflight;
mod project;
mod recreate;
mod tool;

pub use config::{Config, Nginx, Strategy};
pub use driver::ComposeDriver;
