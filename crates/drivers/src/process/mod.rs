//! The `process` driver: blue-green on one machine without a container engine.
//!
//! An image is pulled by digest, unpacked below the state directory, and run as an ordinary child process of a small
//! supervisor, the *agent*, which outlives the command line. Two backend ports take turns; in front of them the agent
//! listens on the environment's address and forwards to the one that is live. Moving traffic is the swap of a pointer,
//! so no connection is closed and no request is lost.
//!
//! ```text
//!                   ┌─────────── agent (one per environment) ───────────┐
//! client ──▶ listen │ front ──▶ live backend ──▶ 127.0.0.1:ports[0]  p1 │
//!                   │      ╌╌▶ candidate    ──▶ 127.0.0.1:ports[1]  p2 │
//!                   └──────────▲────────────────────────────────────────┘
//! driver (CLI, CI, server) ────┘ agent.sock, see [`agent::protocol`]
//! ```
//!
//! # The state directory
//! | path | holds |
//! |---|---|
//! | `agent.lock` | held (`flock`) by the one agent |
//! | `agent.sock` | where the agent listens |
//! | `agent.json` | the agent's journal, replaced by rename: services, what is live, the highest fence |
//! | `agent.log` | what the agent itself says |
//! | `secrets/<key>.json` | values of `env_from`, mode 0600, needed to start a live service again; removed with it |
//! | `images/<hex>/` | an unpacked image: `rootfs/` and `image.json`; complete or absent, never half |
//! | `offline/` | what a rollback without the log needs, and the records of those that were made |
//! | `logs/<key>.log` | output of a service; beyond 8 MiB it goes on as `<key>.log.1` |
//! | `migrations/<key>.json` | whether the migration of a deployment started, and how it ended |
//! | `starts.log` | one line for every start of a service: time, key, digest, process id |
//!
//! # What it is not
//! It is **not a sandbox**. The program runs as the user of the agent, with that user's rights and the machine's
//! libraries; the unpacked root is its working directory and nothing more (`User` of the image is not honoured). Its environment is exactly the
//! image's `Env`, the configured `env` and `env_from`, and `HOST` and `PORT`, where it must listen.
//!
//! It needs Linux: processes are told apart by pid and start time, read from `/proc`.

pub mod agent;
mod client;
mod config;
mod driver;
mod image;
mod launch;
mod offline;

pub use client::stop_agent;
pub use config::{Config, Listen};
pub use driver::ProcessDriver;
pub(crate) use image::stored_layers;

use crate::failure;
