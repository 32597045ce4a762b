//! One release in place of another: stop, update, start. Out of service for that long.

use sealift_domain::quantity::Period;
use sealift_engine::ports::driver::{DriverError, DriverErrorKind, DriverObserver, Prepared};
use tokio::time::Instant;

use super::{
    driver::{ComposeDriver, Target},
    engine::Container,
    preflight,
    tool::Compose,
};
use crate::failure;

/// The file that holds the one project.
const FILE: &str = "in-place.json";

impl ComposeDriver {
    /// Everything that can be done and can fail before anything is stopped.
    pub(super) async fn prepare_in_place(
        &self,
        target: &Target<'_>,
        observer: &dyn DriverObserver,
    ) -> Result<Prepared, DriverError> {
        let info = self.engine.info().await?;
        let compose = Compose::find(self.config.compose.as_deref(), &self.engine).await?;
        let file = self.resolve(target, &compose).await?;
        preflight::check_disk(&self.engine, &info, &self.config)?;
        let (image, pulled) = self.pull(target.image, observer).await?;
        preflight::check_health(&target.config, &file, &image)?;
        observer.note("everything is at hand; the service is stopped at the switch");
        Ok(Prepared { pulled_bytes: Some(pulled) })
    }

    /// Stops what runs and starts the target in its place.
    pub(super) async fn replace(&self, target: &Target<'_>, observer: &dyn DriverObserver) -> Result<(), DriverError> {
        let fleet = self.fleet().await?;
        if let Some(running) = fleet.of(target.key()).filter(|container| container.runs()) {
            return self.wait_until_healthy(target, running).await.map(drop);
        }
        let compose = Compose::find(self.config.compose.as_deref(), &self.engine).await?;
        // All that can be refused is refused before anything is stopped; the way back has the image already.
        let file = self.resolve(target, &compose).await?;
        let (image, _) = self.pull(target.image, observer).await?;
        self.may_migrate(&image)?;
        let written = self.write_project(FILE, &file.in_place(&self.wanted(target)))?;
        let project = self.project_file(&self.project, written.path());
        let others = file.others();
        if !others.is_empty() {
            compose.up_missing(project, &others).await?;
        }
        let began = Instant::now();
        for old in fleet.all().iter().filter(|old| old.state.running) {
            observer.note(&format!("stopping {}", old.name()));
            self.stop(old, observer).await?;
        }
        compose.create(project, &target.config.service).await?;
        let started = self.start_created(target, &compose).await?;
        self.wait_until_healthy(target, &started).await?;
        let out = Period::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        observer.note(&format!("{} took over; the service was out for {out}", started.name()));
        Ok(())
    }

    async fn start_created(&self, target: &Target<'_>, compose: &Compose) -> Result<Container, DriverError> {
        let created = self.fleet().await?;
        let Some(container) = created.of(target.key()) else {
            // Versions of Compose have left a container alone whose image differs in its digest only.
            let why = format!("Compose {} created no container for {}", compose.version, target.key());
            return Err(failure(DriverErrorKind::Start, why));
        };
        self.engine.start(&container.id).await?;
        Ok(self.engine.container(&container.id).await?.unwrap_or_else(|| container.clone()))
    }

    /// The same the other way round. With nothing before, the failed one is only stopped and removed.
    pub(super) async fn replace_back(
        &self,
        failed: &str,
        previous: Option<&Target<'_>>,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        if let Some(previous) = previous {
            self.replace(previous, observer).await?;
        }
        let fleet = self.fleet().await?;
        if let Some(container) = fleet.of(failed) {
            if container.state.running {
                self.stop(container, observer).await?;
            }
            self.engine.remove(&container.id).await?;
        }
        Ok(())
    }
}
