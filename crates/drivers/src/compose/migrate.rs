//! Migrations: a program of the candidate's image, run once, in a container whose name says for which deployment.
//!
//! The container is the journal. It is created under a name that can be had once only, it outlives this program, and its exit
//! code is the outcome, whoever asks and however often.

use std::time::Duration;

use sealift_engine::ports::driver::{Deployment, DriverError, DriverErrorKind, DriverObserver, Prepared};

use super::{
    config::Strategy,
    driver::{ComposeDriver, Target},
    project::label,
    tool::{Compose, Once},
};

/// How long a migration may take. Who needs longer migrates in the background.
const MIGRATE_WITHIN: Duration = Duration::from_secs(6 * 3600);
/// How much of its output is kept, in bytes.
const OUTPUT: usize = 256 << 10;

impl ComposeDriver {
    /// Runs the migration unless it ran already, waits for it, and reports how it ended.
    pub(super) async fn run_migration(
        &self,
        target: &Target<'_>,
        argv: &[String],
        observer: &dyn DriverObserver,
    ) -> Result<Prepared, DriverError> {
        let name = self.migration(target.key());
        let (container, pulled) = match self.engine.container(&name).await? {
            Some(container) => {
                observer.note(&format!("{name} was started before; {}", container.how()));
                (container, 0)
            }
            None => {
                let pulled = self.start_migration(target, argv, &name, observer).await?;
                let failed = || crate::failure(DriverErrorKind::Migrate, format!("{name} was not created"));
                (self.engine.container(&name).await?.ok_or_else(failed)?, pulled)
            }
        };
        if !container.state.running && container.state.exit_code == 0 && !container.has_started() {
            // Created and never started: a run was cut off between the two. Nothing has run yet.
            self.engine.start(&container.id).await?;
        }
        let code = self.engine.wait(&container.id, MIGRATE_WITHIN).await?;
        let output = self.engine.logs(&container.id, OUTPUT).await.unwrap_or_default();
        if code == 0 {
            return Ok(Prepared { pulled_bytes: Some(pulled) });
        }
        let message = format!("`{}` ended with exit code {code} in {name}", argv.join(" "));
        Err(DriverError { kind: DriverErrorKind::Migrate, message, output })
    }

    /// Starts it and returns how many bytes were pulled for it.
    async fn start_migration(
        &self,
        target: &Target<'_>,
        argv: &[String],
        name: &str,
        observer: &dyn DriverObserver,
    ) -> Result<u64, DriverError> {
        let compose = Compose::find(self.config.compose.as_deref(), &self.engine).await?;
        let file = self.resolve(target, &compose).await?;
        let (image, pulled) = self.pull(target.image, observer).await?;
        self.may_migrate(&image)?;
        let fleet = self.fleet().await?;
        if self.config.strategy == Strategy::BlueGreen {
            self.share(target, &fleet, &compose, &file).await?;
        }
        let written = self.write_project("in-place.json", &file.in_place(&self.wanted(target)))?;
        let labels = [format!("{}=migration", label::ROLE), format!("{}={}", label::PROJECT, self.project)];
        observer.note(&format!("running `{}` in {name}", argv.join(" ")));
        let once = Once { name, labels: &labels, argv };
        compose.run_once(self.project_file(&self.project, written.path()), &target.config.service, once).await?;
        Ok(pulled)
    }

    /// `error`, unless an earlier run began the migration or nobody can tell: then nobody knows how it ended, which is worse.
    pub(super) async fn unless_began(&self, deployment: &Deployment, error: DriverError) -> DriverError {
        let name = self.migration(&deployment.key);
        let what = match self.engine.container(&name).await {
            Ok(None) => return error,
            Ok(Some(container)) => format!("{name} was started by an earlier run; {}", container.how()),
            Err(_) => format!("whether {name} was started by an earlier run cannot be told"),
        };
        let message = format!("the outcome of the migration is unknown: {what}; {}", error.message);
        DriverError { kind: DriverErrorKind::Migrate, message, output: error.output }
    }

    /// The name of the container of a deployment's migration.
    pub(super) fn migration(&self, key: &str) -> String {
        format!("{}-{key}-migration", self.project)
    }

    /// Removes the container of a migration whose deployment is over.
    pub(super) async fn forget_migration(&self, key: &str) -> Result<(), DriverError> {
        match self.engine.container(&self.migration(key)).await? {
            Some(container) => self.engine.remove(&container.id).await,
            None => Ok(()),
        }
    }
}
