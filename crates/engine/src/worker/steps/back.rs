//! The way back: the previous release live again, read and checked before anyone is told so.

use sealift_domain::{check::Check, promotion::Done, quantity::Period, release::Release, undo::Observed};

use super::{
    Context, Outcome, StepError,
    deploy::observed_in_words,
    verify::{availability_result, summarise, verified_in_words},
};
use crate::{
    checks::askable,
    code, places,
    ports::driver::Deployment,
    worker::{Worker, key, watch},
};

impl Worker<'_> {
    pub(super) async fn restore(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let failed = self.candidate(context).await?;
        let previous = match self.previous(context)? {
            Some((release, definition)) => Some(self.previous_deployment(context, release, definition).await?),
            None => None,
        };
        let driver = self.world.driver(&context.promotion.to)?;
        let running = driver.restore(&failed, previous.as_ref(), &self.notes(context.step)).await?;
        let right = match (&running, previous.as_ref().and_then(Deployment::release)) {
            (Observed::Running { release, .. }, Some(wanted)) => *release == wanted,
            (Observed::Nothing, None) => true,
            _ => false,
        };
        let words = observed_in_words(context.ledger, &running);
        if !right {
            return Err(StepError::new(code::NOT_RUNNING, format!("after the restore, {words}")));
        }
        Ok(Outcome::new(Done::Restore { running }, words))
    }

    pub(super) async fn confirm_restored(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let Some((release, definition)) = self.previous(context)? else {
            return Ok(Outcome::new(Done::ConfirmRestored(Default::default()), "nothing ran before, and nothing runs"));
        };
        let observed = self.world.driver(&context.promotion.to)?.observe().await?;
        if !matches!(&observed, Observed::Running { release: running, .. } if *running == release) {
            let words = observed_in_words(context.ledger, &observed);
            return Err(StepError::new(code::NOT_RUNNING, format!("{release} was to be restored, and {words}")));
        }
        let deployment = self.previous_deployment(context, release.clone(), definition).await?;
        let checks = &places::environment(context.ledger, &context.promotion.to)?.verify;
        let checks = askable(checks, context.ledger, &release);
        let checks: Vec<Check> = checks.into_iter().filter_map(for_known_good).collect();
        let check_context = self.check_context(context, &release)?;
        let mut results = self.run_checks(context, &deployment, &checks, &check_context).await?;
        if let Some(bad) = results.iter().find(|result| !result.passed) {
            let message = format!("the restored release fails {}: {}", bad.check, bad.found);
            return Err(StepError::new(code::VERIFICATION, message).keep(bad.output.clone()));
        }
        let watched = self.watches.finish().await;
        results.extend(watched.iter().map(|(check, found)| availability_result(check, found)));
        let (summary, report) = summarise(&results, &watch::total(&watched));
        let found = format!("{} restored, {}", places::called(context.ledger, &release), verified_in_words(&summary));
        Ok(Outcome { done: Done::ConfirmRestored(summary), evidence: vec![report], found, pulled: None })
    }

    /// What ran before: `None` where nothing did. Where nobody knows, there is no way back.
    fn previous(
        &self,
        context: &Context<'_>,
    ) -> Result<Option<(Release, Option<sealift_domain::digest::Digest>)>, StepError> {
        match context.promotion.undo.as_ref().map(|undo| &undo.previous) {
            Some(Observed::Running { release, definition }) => Ok(Some((release.clone(), *definition))),
            Some(Observed::Nothing) => Ok(None),
            Some(Observed::Unknown { what }) => {
                Err(StepError::new("E0407", format!("there is no release to go back to: what ran before is {what}")))
            }
            None => Err(StepError::new("E0407", "there is no record of what ran before")),
        }
    }

    /// The deployment that made the previous release live: by the key of the promotion that brought it.
    async fn previous_deployment(
        &self,
        context: &Context<'_>,
        release: Release,
        definition: Option<sealift_domain::digest::Digest>,
    ) -> Result<Deployment, StepError> {
        let record = context.ledger.environments.get(&context.promotion.to);
        let known = record.and_then(|record| record.known_good.iter().find(|past| past.release == release));
        let key = match known.and_then(|past| past.promotion) {
            Some(id) => key(id),
            None => format!("baseline-{release}").replace(' ', "-"),
        };
        let definition = self.definition(context, definition.or(known.and_then(|past| past.definition))).await?;
        Ok(Deployment {
            key,
            fence: context.fence,
            app: places::policy(context.ledger)?.app.clone(),
            environment: context.promotion.to.clone(),
            images: places::targets(context.ledger, &release, &context.promotion.to)?,
            definition,
        })
    }
}

/// A check as it is asked of a release that was verified before: whether it holds now, not whether it goes on holding.
pub(crate) fn for_known_good(check: Check) -> Option<Check> {
    match check {
        Check::Http(http) => {
            Some(Check::Http(sealift_domain::check::HttpCheck { stable_for: Period::default(), ..http }))
        }
        Check::Run(_) => Some(check),
        // Its log speaks of times past, and availability was already probed.
        Check::Logs(_) | Check::Availability(_) => None,
    }
}
