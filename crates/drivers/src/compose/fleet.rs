//! The containers of an environment: which there are, which is live, and which release each runs.

use sealift_domain::{digest::Digest, name::ComponentName, reference::Pinned, release::Release, undo::Observed};
use sealift_engine::ports::driver::DriverError;

use super::{
    engine::{Container, Engine},
    project::label,
};

/// The labels that Compose itself gives its containers.
const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_ONEOFF: &str = "com.docker.compose.oneoff";

/// The containers of the promoted service in one environment, running or not, migrations left out.
#[derive(Debug)]
pub(super) struct Fleet {
    containers: Vec<Container>,
    project: String,
}

impl Fleet {
    /// Asks the engine: for the containers that this driver started, and for one that somebody started before with Compose.
    pub(super) async fn read(engine: &Engine, project: &str, service: &str) -> Result<Self, DriverError> {
        let mut containers = engine.containers(&format!("{}={project}", label::PROJECT)).await?;
        containers.retain(|container| container.label(label::ROLE) == Some("service") && is_no_oneoff(container));
        let others = engine.containers(&format!("{COMPOSE_PROJECT}={project}")).await?;
        containers.extend(others.into_iter().filter(|container| {
            container.label(label::KEY).is_none()
                && container.label(COMPOSE_SERVICE) == Some(service)
                && is_no_oneoff(container)
        }));
        Ok(Self { containers, project: project.to_owned() })
    }

    /// The container of a deployment.
    pub(super) fn of(&self, key: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.label(label::KEY) == Some(key))
    }

    /// The container that is published on a port; of several, the one that runs.
    pub(super) fn on_port(&self, port: u16) -> Option<&Container> {
        let mut on_it: Vec<_> = self.containers.iter().filter(|container| container.ports().contains(&port)).collect();
        on_it.sort_by_key(|container| !container.runs());
        on_it.first().copied()
    }

    /// The one container where there is no front: that of the shared project, else one that runs all the same.
    pub(super) fn in_place(&self) -> Option<&Container> {
        let own = self.containers.iter().find(|container| self.is_shared(container));
        own.or_else(|| self.containers.iter().find(|container| container.runs()))
    }

    /// Whether a container belongs to the project that all colours share, and not to a colour.
    pub(super) fn is_shared(&self, container: &Container) -> bool {
        container.label(COMPOSE_PROJECT) == Some(&self.project)
    }

    /// The containers that run an image.
    pub(super) fn with_image(&self, image: &Pinned) -> impl Iterator<Item = &Container> {
        let name = image.to_string();
        self.containers.iter().filter(move |container| container.config.image == name)
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Container] {
        &self.containers
    }
}

fn is_no_oneoff(container: &Container) -> bool {
    container.label(COMPOSE_ONEOFF).is_none_or(|oneoff| oneoff.eq_ignore_ascii_case("false"))
}

/// What a container is, by what the engine says of it and of its image; nothing is assumed.
pub(super) async fn identify(engine: &Engine, container: &Container) -> Result<Observed, DriverError> {
    let unknown = |what: String| Ok(Observed::Unknown { what });
    let name = container.name();
    if !container.runs() {
        return unknown(format!("{name} should be live, but {}", container.how()));
    }
    let Some(image) = engine.image(&container.image).await? else {
        return unknown(format!("{name} runs the image {}, which the engine does not have any more", container.image));
    };
    let written = &container.config.image;
    // The repository as the container names it; what stands behind `@`, or behind a `:` after the last `/`, is no part of it.
    let repository = written.split('@').next().unwrap_or(written);
    let repository = match repository.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => repository,
    };
    let digests: Vec<&str> = image.digests_in(repository).collect();
    // A name by digest must be among the names that the image really has.
    let digest = match written.split_once('@') {
        Some((_, digest)) => digests.into_iter().find(|found| *found == digest),
        None => match digests.as_slice() {
            [digest] => Some(*digest),
            _ => None,
        },
    };
    let Some(digest) = digest.and_then(|digest| digest.parse::<Digest>().ok()) else {
        return unknown(format!("{name} runs {written}, for which the engine knows no digest of a registry"));
    };
    let component =
        container.label(label::COMPONENT).and_then(|name| name.parse().ok()).unwrap_or_else(ComponentName::only);
    let definition = container.label(label::DEFINITION).and_then(|digest| digest.parse().ok());
    Ok(match Release::new([(component, digest)].into()) {
        Some(release) => Observed::Running { release, definition },
        None => Observed::Nothing,
    })
}
