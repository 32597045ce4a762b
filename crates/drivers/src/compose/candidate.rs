//! Bringing a release up: its image by digest, and the wait until it is healthy.

use std::collections::BTreeSet;

use sealift_domain::{quantity::ByteSize, reference::Pinned};
use sealift_engine::ports::driver::{DriverError, DriverErrorKind, DriverObserver};
use tokio::time::Instant;

use super::{
    driver::{ComposeDriver, LOOK_EVERY, Target},
    engine::{Container, LocalImage},
    fleet::Fleet,
    host::Journal,
};
use crate::{failure, process::stored_layers};

/// How much of a log goes into an error, in bytes.
const ERROR_OUTPUT: usize = 64 << 10;

impl ComposeDriver {
    /// Makes sure that the engine has the image under its digest. What is there needs no registry.
    pub(super) async fn pull(
        &self,
        image: &Pinned,
        observer: &dyn DriverObserver,
    ) -> Result<(LocalImage, u64), DriverError> {
        let name = image.to_string();
        if let Some(local) = self.engine.image(&name).await?.filter(|local| local.is(image)) {
            return Ok((local, 0));
        }
        observer.note(&format!("pulling {image}"));
        let moved = self.engine.pull(image).await?;
        let Some(local) = self.engine.image(&name).await?.filter(|local| local.is(image)) else {
            let why = format!("{image} was pulled, and the engine does not have it under that digest");
            return Err(failure(DriverErrorKind::Pull, why));
        };
        let bytes = self.size_of(image, &moved).await;
        observer.note(&match moved.len() {
            0 => "the engine had every layer already".to_owned(),
            1 => format!("pulled 1 layer, {}", ByteSize::from_bytes(bytes).human()),
            n => format!("pulled {n} layers, {}", ByteSize::from_bytes(bytes).human()),
        });
        Ok((local, bytes))
    }

    /// What the layers that were pulled weigh in the registry. Nobody's deployment fails because a sum cannot be done.
    async fn size_of(&self, image: &Pinned, moved: &[String]) -> u64 {
        let layers = stored_layers(self.registry.as_ref(), image).await.unwrap_or_default();
        let pulled = layers.iter().filter(|(digest, _)| {
            let hex = digest.hex();
            moved.iter().any(|short| !short.is_empty() && hex.starts_with(short.as_str()))
        });
        pulled.map(|(_, size)| size).sum()
    }

    /// Waits until the container of `key` is healthy and stays so, and returns it.
    pub(super) async fn wait_until_healthy(
        &self,
        target: &Target<'_>,
        container: &Container,
    ) -> Result<Container, DriverError> {
        let within = target.config.start_within;
        let deadline = Instant::now() + within.as_duration();
        let restarts = container.restart_count;
        let mut well_since: Option<Instant> = None;
        loop {
            let Some(now) = self.engine.container(&container.id).await? else {
                return Err(failure(
                    DriverErrorKind::Start,
                    format!("{} was removed by another hand", container.name()),
                ));
            };
            if !now.runs() || now.restart_count > restarts {
                return Err(self.say(DriverErrorKind::Start, &now, format!("started, and then {}", now.how())).await);
            }
            match self.unwell(target, &now).await {
                None => {
                    let since = *well_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= target.config.stable_for.as_duration() {
                        return Ok(now);
                    }
                }
                Some(why) if Instant::now() >= deadline || why.is_final => {
                    let what = format!("is not healthy within {within} of its start: {}", why.words);
                    return Err(self.say(DriverErrorKind::Unhealthy, &now, what).await);
                }
                Some(_) => well_since = None,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Why a running container is not healthy yet, by its own check and by a request to its port.
    async fn unwell(&self, target: &Target<'_>, container: &Container) -> Option<Unwell> {
        if let Some(health) = &container.state.health
            && health.status != "healthy"
        {
            let last = health.last().map(|last| format!(", last {last}")).unwrap_or_default();
            // The engine calls it unhealthy after as many failed checks in a row as the file allows: that is a verdict.
            return Some(Unwell { words: format!("{}{last}", health.status), is_final: health.status == "unhealthy" });
        }
        let path = target.config.health.as_ref()?;
        let Some(port) = container.ports().first().copied() else {
            return Some(Unwell { words: "it has no published port to ask".to_owned(), is_final: true });
        };
        let found = self.probe.ask(port, path).await.err()?;
        Some(Unwell { words: format!("http://127.0.0.1:{port}{path}: {}", found.found), is_final: false })
    }

    async fn say(&self, kind: DriverErrorKind, container: &Container, what: String) -> DriverError {
        // The error that the log would explain is told in any case.
        let output = self.engine.logs(&container.id, ERROR_OUTPUT).await.unwrap_or_default();
        DriverError { kind, message: format!("{} {what}", container.name()), output }
    }

    /// Removes the images of releases that nobody goes back to any more: all but what containers use and the newest `keep`.
    pub(super) async fn prune(
        &self,
        journal: &Journal,
        fleet: &Fleet,
        keep: u32,
        observer: &dyn DriverObserver,
    ) -> Result<(), DriverError> {
        // The live one, and at least one to go back to.
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).max(1).saturating_add(1);
        let mut kept: BTreeSet<String> = fleet.all().iter().map(|container| container.config.image.clone()).collect();
        let mut newest: Vec<String> = Vec::new();
        for past in journal.past.iter().rev() {
            let name = past.image.to_string();
            if newest.len() < keep && !newest.contains(&name) {
                newest.push(name);
            }
        }
        kept.extend(newest);
        for past in &journal.past {
            if !kept.contains(&past.image.to_string()) && self.engine.remove_image(&past.image).await? {
                observer.note(&format!("removed the image {}", past.image));
            }
        }
        Ok(())
    }
}

struct Unwell {
    words: String,
    /// Whether waiting cannot mend it.
    is_final: bool,
}
