//! Registries over HTTP: an OCI distribution client made for promotion, and a strict in-process registry.
//!
//! - [`client::Client`] implements the engine's registry port: raw manifests by digest, graph copy, tags, inspection.
//! - [`server::Server`] is a registry in memory that is strict about the OCI Distribution Specification 1.1 and can be
//!   scripted to fail. The demo and the tests run against it.
//! - [`image`] builds small images for both.

pub mod client;
pub mod credentials;
pub mod evidence;
pub mod graph;
pub mod image;
pub mod manifest;
pub mod objects;
pub mod referrers;
pub mod secret;
pub mod server;
pub mod tls;

mod attach;
mod auth;
mod blob;
mod budget;
mod challenge;
mod copy;
mod cosign_tag;
mod endpoint;
mod error;
mod fallback;
mod inspect;
mod manifest_http;
mod mirrors;
mod rate;
mod resume;
mod retry;
mod scope;
mod shelf;
mod tags;
mod transport;
mod upload;
mod verified;

#[cfg(test)]
mod hostile;
