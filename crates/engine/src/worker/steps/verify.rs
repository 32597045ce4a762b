//! Verification: every check of the environment, and availability through the deployment.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sealift_domain::{
    check::Check,
    digest::Digest,
    promotion::{Done, VerificationSummary},
    release::Release,
    undo::Observed,
};

use super::{Context, Outcome, StepError, deploy::observed_in_words};
use crate::{
    checks::askable,
    code, places,
    ports::{
        driver::{Deployment, Driver},
        probe::{Availability, CheckContext, CheckResult, LogSource},
    },
    progress::Progress,
    worker::{
        Worker,
        watch::{self},
    },
};

/// How much of a release's log is kept when it fails, in bytes.
const KEPT_LOG: usize = 64 * 1024;

/// How much of a release's log a check may see, in bytes.
const CHECKED_LOG: usize = 1024 * 1024;

/// The log of a deployment.
struct DeploymentLog<'a> {
    driver: &'a dyn Driver,
    deployment: &'a Deployment,
}

#[async_trait]
impl LogSource for DeploymentLog<'_> {
    async fn read(&self) -> Result<Vec<u8>, String> {
        self.driver.logs(self.deployment, CHECKED_LOG).await.map_err(|error| error.message)
    }
}

impl Worker<'_> {
    pub(super) async fn verify(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        self.start_watching(context).await?;
        let candidate = self.candidate(context).await?;
        let checks = &places::environment(context.ledger, &context.promotion.to)?.verify;
        let checks = askable(checks, context.ledger, &context.promotion.release);
        let check_context = self.check_context(context, &context.promotion.release)?;
        let mut results = self.run_checks(context, &candidate, &checks, &check_context).await?;
        if results.iter().any(|result| !result.passed) {
            // What the release said is kept before anything is removed.
            return Err(self.verification_failed(context, &candidate, results).await);
        }
        let watched = self.watches.finish().await;
        results.extend(watched.iter().map(|(check, found)| availability_result(check, found)));
        if results.iter().any(|result| !result.passed) {
            return Err(self.verification_failed(context, &candidate, results).await);
        }
        // Checks ask whoever answers, and that may be the release before. What runs is read once more.
        if let Some(instead) = self.runs_instead(context).await? {
            let message = format!("every check holds, but {instead}");
            let log = self.log_of(context, &candidate).await;
            return Err(StepError::new(code::NOT_RUNNING, message).keep(log));
        }
        let (summary, report) = summarise(&results, &watch::total(&watched));
        let found = verified_in_words(&summary);
        Ok(Outcome { done: Done::Verify(summary), evidence: vec![report], found, pulled: None })
    }

    /// Runs the checks one after the other, and stops at the first that fails.
    pub(super) async fn run_checks(
        &self,
        context: &Context<'_>,
        deployment: &Deployment,
        checks: &[Check],
        check_context: &CheckContext,
    ) -> Result<Vec<CheckResult>, StepError> {
        let driver = self.world.driver(&context.promotion.to)?;
        let logs = DeploymentLog { driver: driver.as_ref(), deployment };
        let mut results = Vec::new();
        for check in checks.iter().filter(|check| !matches!(check, Check::Availability(_))) {
            let result = self.world.prober.run(check, check_context, &logs).await;
            self.observer.on(&Progress::Check { result: result.clone() });
            let passed = result.passed;
            results.push(result);
            if !passed {
                break;
            }
        }
        Ok(results)
    }

    async fn verification_failed(
        &self,
        context: &Context<'_>,
        candidate: &Deployment,
        results: Vec<CheckResult>,
    ) -> StepError {
        let failed = results.into_iter().find(|result| !result.passed);
        let (mut message, output) = match failed {
            Some(result) => (format!("{}: {}", result.check, result.found), result.output),
            None => ("no check was run".to_owned(), Vec::new()),
        };
        // A check that fails because the release is gone is told with that reason.
        if let Ok(Some(instead)) = self.runs_instead(context).await {
            message = format!("{message}; {instead}");
        }
        let log = self.log_of(context, candidate).await;
        StepError::new(code::VERIFICATION, message).keep(output).keep(log)
    }

    /// What runs, in words, if it is not the release that was made live.
    async fn runs_instead(&self, context: &Context<'_>) -> Result<Option<String>, StepError> {
        let observed = self.world.driver(&context.promotion.to)?.observe().await?;
        let right = matches!(&observed, Observed::Running { release, .. } if *release == context.promotion.release);
        Ok((!right).then(|| observed_in_words(context.ledger, &observed)))
    }

    /// The end of the candidate's log, as far as it can be had: the error that it would explain is told in any case.
    async fn log_of(&self, context: &Context<'_>, candidate: &Deployment) -> Vec<u8> {
        match self.world.driver(&context.promotion.to) {
            Ok(driver) => driver.logs(candidate, KEPT_LOG).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// What the checks may know of `release`.
    pub(super) fn check_context(&self, context: &Context<'_>, release: &Release) -> Result<CheckContext, StepError> {
        Ok(check_context(context.ledger, release, &context.promotion.to, &context.promotion.id.to_string())?)
    }
}

/// What checks of `release` in `environment` may know.
pub(crate) fn check_context(
    ledger: &sealift_domain::ledger::Ledger,
    release: &Release,
    environment: &sealift_domain::name::EnvironmentName,
    promotion: &str,
) -> Result<CheckContext, crate::error::EngineError> {
    let placeholders = places::placeholders(ledger, release);
    let single = placeholders.len() == 1;
    let mut values = BTreeMap::new();
    for (component, facts) in placeholders {
        for (key, value) in facts {
            let key = if single { key } else { format!("{component}.{key}") };
            values.insert(key, value);
        }
    }
    let mut variables = BTreeMap::from([
        ("SEALIFT_APP".to_owned(), places::policy(ledger)?.app.to_string()),
        ("SEALIFT_ENVIRONMENT".to_owned(), environment.to_string()),
        ("SEALIFT_PROMOTION".to_owned(), promotion.to_owned()),
    ]);
    for (component, image) in places::targets(ledger, release, environment)? {
        let suffix =
            if single { String::new() } else { format!("_{}", component.as_str().to_uppercase().replace('-', "_")) };
        variables.insert(format!("SEALIFT_IMAGE{suffix}"), image.to_string());
        variables.insert(format!("SEALIFT_DIGEST{suffix}"), image.digest.to_string());
    }
    Ok(CheckContext { values, environment: variables })
}

/// The verdict of an availability probe.
pub(crate) fn availability_result(
    check: &sealift_domain::check::AvailabilityCheck,
    found: &Availability,
) -> CheckResult {
    let answered = found.requests.saturating_sub(found.failed);
    let again = match found.retried {
        0 => String::new(),
        n => format!(" ({n} asked again on a new connection)"),
    };
    CheckResult {
        check: format!("availability {}", check.availability),
        passed: check.min.reached_by(answered, found.requests),
        found: format!(
            "{} of {} requests failed{again}, longest gap {} ms, {} wanted",
            found.failed, found.requests, found.longest_gap_ms, check.min
        ),
        output: Vec::new(),
    }
}

/// The short form for the log and the report in full.
pub(crate) fn summarise(results: &[CheckResult], availability: &Availability) -> (VerificationSummary, Vec<u8>) {
    let report = serde_json::to_vec(results).unwrap_or_default();
    let summary = VerificationSummary {
        passed: u32::try_from(results.iter().filter(|result| result.passed).count()).unwrap_or(u32::MAX),
        requests: availability.requests,
        failed: availability.failed,
        longest_gap_ms: availability.longest_gap_ms,
        report: Some(Digest::of(&report)),
    };
    (summary, report)
}

pub(super) fn verified_in_words(summary: &VerificationSummary) -> String {
    let checks = match summary.passed {
        0 => "no check is configured".to_owned(),
        1 => "1 check holds".to_owned(),
        n => format!("{n} checks hold"),
    };
    match summary.requests {
        0 => checks,
        requests => format!("{checks}, {} of {requests} requests failed", summary.failed),
    }
}
