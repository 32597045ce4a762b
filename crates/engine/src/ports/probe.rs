//! Verification: checks after a deployment, and availability through it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sealift_domain::check::{AvailabilityCheck, Check};
use serde::{Deserialize, Serialize};

/// What a check may know of the release under verification.
#[derive(Clone, Debug, Default)]
pub struct CheckContext {
    /// Values for `{commit}`, `{commit7}`, `{digest}`, `{version}` in the texts of a check. A name without a value fails the check.
    pub values: BTreeMap<String, String>,
    /// Extra environment for commands: `SEALIFT_APP`, `SEALIFT_ENVIRONMENT`, `SEALIFT_DIGEST`, …
    pub environment: BTreeMap<String, String>,
}

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check in a few words, for instance `http http://127.0.0.1:8080/health`.
    pub check: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was seen, for instance `200 after 1.2 s, stable for 30 s` or `503 {"status":"error"}`.
    pub found: String,
    /// The failing response or output, cut to 64 KiB. Kept as evidence.
    #[serde(skip)]
    pub output: Vec<u8>,
}

/// Requests counted through a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// Requests sent.
    pub requests: u64,
    /// Requests that were refused, broke off, timed out, or answered with 5xx.
    pub failed: u64,
    /// Successes among them that took a second try: the kept connection was closed before any answer, and a new one answered.
    #[serde(default)]
    pub retried: u64,
    /// The longest time between the ends of two successful requests one after the other, in milliseconds.
    pub longest_gap_ms: u64,
}

/// Where the log of the release under verification comes from.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// What the release has logged so far, cut to the newest 1 MiB.
    async fn read(&self) -> Result<Vec<u8>, String>;
}

/// Runs checks.
#[async_trait]
pub trait Prober: Send + Sync {
    /// Runs one check to its end. [`Check::Availability`] is not a check to run but to watch: see [`Prober::watch`].
    async fn run(&self, check: &Check, context: &CheckContext, logs: &dyn LogSource) -> CheckResult;

    /// Starts steady requests, half on kept and half on fresh connections, until the watch is stopped.
    async fn watch(&self, check: &AvailabilityCheck, context: &CheckContext) -> Result<Box<dyn Watch>, String>;
}

/// A running availability probe.
#[async_trait]
pub trait Watch: Send + Sync {
    /// The counts so far.
    fn so_far(&self) -> Availability;
    /// Waits for requests under way and returns the final counts.
    async fn stop(self: Box<Self>) -> Availability;
}
