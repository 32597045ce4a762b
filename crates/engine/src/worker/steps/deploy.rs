//! Making the candidate live.

use sealift_domain::{
    digest::Digest,
    ledger::Ledger,
    promotion::{Done, Kind, Promotion},
    undo::Observed,
};

use super::{Context, Outcome, StepError};
use crate::{
    code, places,
    ports::{driver::Deployment, probe::CheckContext},
    worker::Worker,
};

/// How much of what a migration wrote is kept, in bytes.
const KEPT_OUTPUT: usize = 16 << 10;

impl Worker<'_> {
    pub(super) async fn migrate(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let environment = places::environment(context.ledger, &context.promotion.to)?;
        // Going back runs no migration: what the old release needs of the database is for its schema labels to say.
        let argv = environment.migrate.as_ref().filter(|_| context.promotion.kind == Kind::Promote);
        let Some(argv) = argv else {
            return Ok(Outcome::new(Done::Migrate { ran: false, output: None }, "none to run"));
        };
        let candidate = self.candidate(context).await?;
        let driver = self.world.driver(&context.promotion.to)?;
        let took = driver.migrate(&candidate, argv, &self.notes(context.step)).await?;
        // It succeeded; what it wrote is worth keeping, and not worth failing for.
        let output = driver.migration_output(&candidate, KEPT_OUTPUT).await.unwrap_or_default();
        let digest = (!output.is_empty()).then(|| Digest::of(&output));
        let done = Done::Migrate { ran: true, output: digest };
        let evidence = digest.map(|_| output).into_iter().collect();
        Ok(Outcome { done, evidence, pulled: took.pulled_bytes, found: format!("`{}` succeeded", argv.join(" ")) })
    }

    pub(super) async fn prepare(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let candidate = self.candidate(context).await?;
        // Where something is live, it is watched from before the candidate starts.
        let previous = context.promotion.undo.as_ref().map(|undo| &undo.previous);
        if matches!(previous, Some(Observed::Running { .. })) {
            self.start_watching(context).await?;
        }
        let driver = self.world.driver(&context.promotion.to)?;
        let took = driver.prepare(&candidate, &self.notes(context.step)).await?;
        let definition = Digest::of(&candidate.definition);
        let mut outcome = Outcome::new(Done::Prepare { definition }, "candidate is up");
        outcome.evidence.push(candidate.definition);
        outcome.pulled = took.pulled_bytes;
        Ok(outcome)
    }

    pub(super) async fn switch(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let candidate = self.candidate(context).await?;
        let previous = context.promotion.undo.as_ref().map(|undo| &undo.previous);
        if matches!(previous, Some(Observed::Running { .. })) {
            self.start_watching(context).await?;
        }
        let driver = self.world.driver(&context.promotion.to)?;
        let running = driver.switch(&candidate, &self.notes(context.step)).await?;
        let right = matches!(&running, Observed::Running { release, .. } if *release == context.promotion.release);
        if !right {
            let words = observed_in_words(context.ledger, &running);
            let message = format!("after the switch to {}, {words}", context.promotion.release);
            return Err(StepError::new(code::NOT_RUNNING, message));
        }
        let found = format!("{} is live", places::called(context.ledger, &context.promotion.release));
        Ok(Outcome::new(Done::Switch { running }, found))
    }

    pub(super) async fn retire(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let candidate = self.candidate(context).await?;
        let keep = places::environment(context.ledger, &context.promotion.to)?.rollback.keep;
        let driver = self.world.driver(&context.promotion.to)?;
        driver.retire(&candidate, keep, &self.notes(context.step)).await?;
        Ok(Outcome::new(Done::Retire, "the release before is stopped and kept ready"))
    }

    pub(super) async fn discard(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let candidate = self.candidate(context).await?;
        let driver = self.world.driver(&context.promotion.to)?;
        driver.discard(&candidate, &self.notes(context.step)).await?;
        Ok(Outcome::new(Done::Discard, "the candidate is removed"))
    }

    /// The deployment of the promotion's release: from the definition that it was prepared with; before that, from the
    /// configuration, or for a rollback from the definition recorded when the release was live.
    pub(super) async fn candidate(&self, context: &Context<'_>) -> Result<Deployment, StepError> {
        let recorded = context.promotion.definition.or_else(|| recorded_definition(context.ledger, context.promotion));
        let definition = self.definition(context, recorded).await?;
        Ok(self.deployment(context.ledger, context.promotion, context.fence, definition)?)
    }

    /// The recorded definition if it is still beside the log, else what the configuration says now.
    pub(super) async fn definition(
        &self,
        context: &Context<'_>,
        recorded: Option<Digest>,
    ) -> Result<Vec<u8>, StepError> {
        if let Some(digest) = recorded
            && let Some(bytes) = self.book.object(digest).await?
        {
            return Ok(bytes);
        }
        Ok(self.world.driver(&context.promotion.to)?.definition()?)
    }

    pub(super) async fn start_watching(&self, context: &Context<'_>) -> Result<(), StepError> {
        let checks = &places::environment(context.ledger, &context.promotion.to)?.verify;
        let check_context: CheckContext = self.check_context(context, &context.promotion.release)?;
        let started = self.watches.start(checks, self.world.prober.as_ref(), &check_context).await;
        started.map_err(|why| StepError::new(code::VERIFICATION, format!("availability cannot be probed: {why}")))
    }
}

/// The definition under which the release of a rollback was live before.
fn recorded_definition(ledger: &Ledger, promotion: &Promotion) -> Option<Digest> {
    if promotion.kind != Kind::Rollback {
        return None;
    }
    let known = &ledger.environments.get(&promotion.to)?.known_good;
    known.iter().find(|past| past.release == promotion.release)?.definition
}

/// What a driver found, in words.
pub(super) fn observed_in_words(ledger: &Ledger, observed: &Observed) -> String {
    match observed {
        Observed::Nothing => "nothing runs".to_owned(),
        Observed::Running { release, .. } => format!("{} runs", places::called(ledger, release)),
        Observed::Unknown { what } => format!("something unknown runs: {what}"),
    }
}
