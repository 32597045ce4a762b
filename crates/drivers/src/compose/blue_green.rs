//! Two releases side by side, and traffic moved from one to the other.

use sealift_engine::ports::driver::{DriverError, DriverErrorKind, DriverObserver, Prepared};

use super::{
    driver::{ComposeDriver, Target},
    engine::Container,
    fleet::{Fleet, release_of},
    front::Route,
    preflight,
    tool::Compose,
};
use crate::failure;

/// One of the two places for a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Colour {
    name: &'static str,
    port: u16,
}

impl ComposeDriver {
    fn colours(&self) -> [Colour; 2] {
        // Without ports the strategy would not have been accepted.
        let [blue, green] = self.config.ports.unwrap_or_default();
        [Colour { name: "blue", port: blue }, Colour { name: "green", port: green }]
    }

    /// The colour that nothing live has.
    fn spare(&self, fleet: &Fleet) -> Result<Colour, DriverError> {
        let taken = self.front.live_port()?;
        let live = self.live(fleet)?.ok().flatten();
        let [blue, green] = self.colours();
        let is_taken = |colour: &Colour| {
            taken == Some(colour.port) || live.is_some_and(|live| live.ports().contains(&colour.port))
        };
        Ok(if is_taken(&blue) { green } else { blue })
    }

    /// Starts the candidate beside what is live and waits until it is healthy. Asked again, it goes on where it was.
    pub(super) async fn prepare_beside(
        &self,
        target: &Target<'_>,
        observer: &dyn DriverObserver,
    ) -> Result<Prepared, DriverError> {
        self.front.check().await?;
        let fleet = self.fleet().await?;
        if let Some(running) = fleet.of(target.key()).filter(|container| container.runs()) {
            let (found, wanted) = (&running.config.image, target.image.to_string());
            // Keys are unique within one log. Another log that deploys to the same project may have the same ones.
            if *found != wanted {
                let why = format!(
                    "{} is of a deployment {} as well, but runs {found} instead of {wanted}: another log deploys to the \
                     project `{}`; nothing was changed",
                    running.name(),
                    target.key(),
                    self.project
                );
                return Err(failure(DriverErrorKind::Preflight, why));
            }
            self.wait_until_healthy(target, running).await?;
            return Ok(Prepared { pulled_bytes: Some(0) });
        }
        let (container, pulled) = self.start_beside(target, &fleet, observer).await?;
        let container = self.wait_until_healthy(target, &container).await?;
        observer.note(&format!("{} is healthy", container.name()));
        Ok(Prepared { pulled_bytes: Some(pulled) })
    }

    async fn start_beside(
        &self,
        target: &Target<'_>,
        fleet: &Fleet,
        observer: &dyn DriverObserver,
    ) -> Result<(Container, u64), DriverError> {
        let info = self.engine.info().await?;
        let compose = Compose::find(self.config.compose.as_deref(), &self.engine).await?;
        preflight::check_compose(&compose, self.config.strategy)?;
        let file = self.resolve(target, &compose).await?;
        let colour = self.spare(fleet)?;
        let project = file.colour(&target.config, colour.port, &self.wanted(target));
        let project = project.map_err(|why| failure(DriverErrorKind::Preflight, why))?;
        preflight::check_disk(&self.engine, &info, &self.config)?;
        preflight::check_memory(&self.engine, &self.config, &file)?;
        let (image, pulled) = self.pull(target.image, observer).await?;
        preflight::check_health(&target.config, &file, &image)?;
        self.share(target, fleet, &compose, &file).await?;
        self.clear(colour, target.key(), fleet, observer).await?;
        self.may_migrate(&image)?;
        preflight::check_port(&self.engine, colour.port)?;
        let written = self.write_project(&format!("{}.json", colour.name), &project)?;
        let name = format!("{}-{}", self.project, colour.name);
        compose.create(self.project_file(&name, written.path()), &target.config.service).await?;
        let created = self.fleet().await?;
        let Some(container) = created.of(target.key()) else {
            let why = format!("Compose {} created no container for {}", compose.version, target.key());
            return Err(failure(DriverErrorKind::Preflight, why));
        };
        self.engine.start(&container.id).await?;
        observer.note(&format!("{} runs on port {}, waiting until it is healthy", container.name(), colour.port));
        // Read anew: what the engine said before the start is not how it is now.
        let started = self.engine.container(&container.id).await?.unwrap_or_else(|| container.clone());
        Ok((started, pulled))
    }

    /// Brings up what all colours share, as far as it is missing.
    pub(super) async fn share(
        &self,
        target: &Target<'_>,
        fleet: &Fleet,
        compose: &Compose,
        file: &super::project::Resolved,
    ) -> Result<(), DriverError> {
        let live_is_shared = self.live(fleet)?.ok().flatten().is_some_and(|live| fleet.is_shared(live));
        // What a team started by hand before it met Sealift is live: it is left as it is until another is verified.
        let shared = file.shared(&self.wanted(target), u32::from(live_is_shared));
        let written = self.write_project("shared.json", &shared)?;
        compose.up_missing(self.project_file(&self.project, written.path()), &[]).await
    }

    /// Removes what a colour holds, which is not live: an older release that was kept, or a candidate that was given up.
    async fn clear(
        &self,
        colour: Colour,
        key: &str,
        fleet: &Fleet,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        let project = format!("{}-{}", self.project, colour.name);
        let there = fleet.all().iter().filter(|container| {
            container.label("com.docker.compose.project") == Some(&project)
                && container.label(super::project::label::KEY) != Some(key)
        });
        let live = self.host.journal()?.past.last().map(|past| past.key.clone());
        for container in there {
            if container.runs() && container.label(super::project::label::KEY) == live.as_deref() {
                let why = format!(
                    "{} runs and was made live last, but traffic does not go to it: another hand changed where the front \
                     points; put that right first. Nothing was changed",
                    container.name()
                );
                return Err(failure(DriverErrorKind::Preflight, why));
            }
            observer.note(&format!("removing {}, which port {} was kept by", container.name(), colour.port));
            self.engine.remove(&container.id).await?;
        }
        Ok(())
    }

    /// Moves traffic to the candidate. What was live goes on running, as the front's backup.
    pub(super) async fn switch_front(
        &self,
        target: &Target<'_>,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        let fleet = self.fleet().await?;
        let Some(candidate) = fleet.of(target.key()).filter(|container| container.runs()) else {
            let how = fleet.of(target.key()).map_or_else(|| "it is not there".to_owned(), Container::how);
            let why = format!("the candidate {} cannot become live: {how}", target.key());
            return Err(failure(DriverErrorKind::Switch, why));
        };
        let Some(port) = self.own_port(candidate) else {
            let why = format!("{} is published on none of the two ports", candidate.name());
            return Err(failure(DriverErrorKind::Switch, why));
        };
        let before = self.live(&fleet)?.ok().flatten().filter(|live| live.id != candidate.id && live.runs());
        let backup = match before {
            Some(before) => before.ports().first().copied(),
            // Asked again after the switch: the other colour is the backup, if it runs.
            None => self
                .colours()
                .into_iter()
                .find(|c| c.port != port)
                .map(|c| c.port)
                .filter(|other| fleet.on_port(*other).is_some_and(Container::runs)),
        };
        self.front.send_to(&Route { key: target.key().to_owned(), port: Some(port), backup }).await?;
        observer.note(&format!("traffic goes to {} on port {port}", candidate.name()));
        Ok(())
    }

    fn own_port(&self, container: &Container) -> Option<u16> {
        let ports = container.ports();
        let colour = self.colours().into_iter().map(|colour| colour.port).find(|port| ports.contains(port));
        colour.or_else(|| ports.first().copied())
    }

    /// Moves traffic back, and removes what failed. In the other order than forward: first the old one is up and has the
    /// traffic, then the new one goes.
    pub(super) async fn front_back(
        &self,
        failed: &str,
        previous: Option<&Target<'_>>,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        match previous {
            None => self.front.send_to(&Route { key: "nothing".to_owned(), port: None, backup: None }).await?,
            Some(previous) => {
                let container = self.bring_back(previous, observer).await?;
                let port = self.own_port(&container);
                self.front.send_to(&Route { key: previous.key().to_owned(), port, backup: None }).await?;
                observer.note(&format!("traffic is back on {}", container.name()));
            }
        }
        let fleet = self.fleet().await?;
        if let Some(container) = fleet.of(failed) {
            if container.state.running {
                for port in container.ports() {
                    self.drain(port, observer).await;
                }
                self.stop(container, observer).await?;
            }
            self.engine.remove(&container.id).await?;
        }
        Ok(())
    }

    /// The previous release, running and healthy: as it runs, or started again, or made anew from the image that is still
    /// there.
    async fn bring_back(&self, previous: &Target<'_>, observer: &dyn DriverObserver) -> Result<Container, DriverError> {
        let fleet = self.fleet().await?;
        let by_image = || {
            let mut with: Vec<_> = fleet.with_image(previous.image).collect();
            with.sort_by_key(|container| !container.runs());
            with.first().copied()
        };
        let adopted = self.adopted(previous, &fleet).await?;
        let container = match fleet.of(previous.key()).or_else(by_image).or(adopted) {
            Some(container) => {
                if !container.runs() {
                    observer.note(&format!("starting {} again", container.name()));
                    self.engine.start(&container.id).await?;
                }
                self.engine.container(&container.id).await?.unwrap_or_else(|| container.clone())
            }
            None => self.start_beside(previous, &fleet, observer).await?.0,
        };
        self.wait_until_healthy(previous, &container).await
    }

    /// The container that a team started by hand before, if it is of the release to go back to.
    async fn adopted<'a>(&self, previous: &Target<'_>, fleet: &'a Fleet) -> Result<Option<&'a Container>, DriverError> {
        for container in fleet.all().iter().filter(|container| fleet.is_shared(container)) {
            if release_of(&self.engine, container).await?.ok() == previous.deployment.release() {
                return Ok(Some(container));
            }
        }
        Ok(None)
    }

    /// Takes the backup out of the front, then drains and stops everything but what is live. Containers are kept.
    pub(super) async fn retire_before(
        &self,
        key: &str,
        live: &Container,
        fleet: &Fleet,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        if self.config.strategy == super::Strategy::BlueGreen {
            self.front.send_to(&Route { key: key.to_owned(), port: self.own_port(live), backup: None }).await?;
        }
        for old in fleet.all().iter().filter(|old| old.id != live.id && old.state.running) {
            for port in old.ports() {
                self.drain(port, observer).await;
            }
            observer.note(&format!("stopping {}, and keeping it", old.name()));
            self.stop(old, observer).await?;
        }
        Ok(())
    }
}
