//! The engine's `Prober`: one place that picks the code for each kind of check.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use sealift_domain::check::{AvailabilityCheck, Check};
use sealift_engine::ports::{
    clock::Clock,
    probe::{CheckContext, CheckResult, LogSource, Prober, Watch},
};

use crate::{availability, command, http, logs, text};

/// Runs checks from this machine.
pub struct Probes {
    clock: Arc<dyn Clock>,
    environment: BTreeMap<String, String>,
}

impl Probes {
    /// Probes that wait by `clock`. Commands get `environment`, usually just `PATH` and `HOME`, and what the check's
    /// context adds; the environment of this process is not passed on.
    ///
    /// HTTP clients are set up for each check, so a machine without root certificates still runs all checks but those
    /// of `https` URLs, which then fail and say so.
    pub fn new(clock: Arc<dyn Clock>, environment: BTreeMap<String, String>) -> Self {
        Self { clock, environment }
    }
}

#[async_trait]
impl Prober for Probes {
    async fn run(&self, check: &Check, context: &CheckContext, logs: &dyn LogSource) -> CheckResult {
        match check {
            Check::Http(check) => http::run(check, context, &*self.clock).await,
            Check::Run(check) => command::run(check, context, &self.environment).await,
            Check::Logs(check) => logs::run(check, context, logs, &*self.clock).await,
            Check::Availability(check) => CheckResult {
                check: format!("availability {}", text::shown_url(&check.availability)),
                passed: false,
                found: "availability is watched through a deployment, not checked after it".to_owned(),
                output: Vec::new(),
            },
        }
    }

    async fn watch(&self, check: &AvailabilityCheck, context: &CheckContext) -> Result<Box<dyn Watch>, String> {
        availability::start(check, context)
    }
}
