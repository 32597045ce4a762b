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
    if !container.runs() {
        let what = format!("{} should be live, but {}", container.name(), container.how());
        return Ok(Observed::Unknown { what });
    }
    let definition = container.label(label::DEFINITION).and_then(|digest| digest.parse().ok());
    Ok(match release_of(engine, container).await? {
        Ok(release) => Observed::Running { release, definition },
        Err(what) => Observed::Unknown { what },
    })
}

/// The release that a container is of, running or not; `Err` in [`Result`] has words for what it is of instead.
pub(super) async fn release_of(engine: &Engine, container: &Container) -> Result<Result<Release, String>, DriverError> {
    let name = container.name();
    let Some(image) = engine.image(&container.image).await? else {
        let what = format!("{name} is of the image {}, which the engine does not have any more", container.image);
        return Ok(Err(what));
    };
    let written = &container.config.image;
    let digests: Vec<&str> = image.digests_in(repository(written)).collect();
    // A name by digest must be among the names that the image really has.
    let digest = match written.split_once('@') {
        Some((_, digest)) => digests.into_iter().find(|found| *found == digest),
        None => match digests.as_slice() {
            [digest] => Some(*digest),
            _ => None,
        },
    };
    let component = container.label(label::COMPONENT).and_then(|name| name.parse().ok());
    let release = digest
        .and_then(|digest| digest.parse::<Digest>().ok())
        .and_then(|digest| Release::new([(component.unwrap_or_else(ComponentName::only), digest)].into()));
    Ok(release.ok_or_else(|| format!("{name} runs {written}, for which the engine knows no digest of a registry")))
}

/// The repository of an image's name: what stands before `@`, or before a `:` that follows the last `/`.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::repository;

    #[test]
    fn the_repository_is_what_stands_before_tag_and_digest() {
        assert_eq!(repository("127.0.0.1:5000/team/a:1.0"), "127.0.0.1:5000/team/a");
        assert_eq!(repository("127.0.0.1:5000/team/a"), "127.0.0.1:5000/team/a");
        assert_eq!(repository("r/a:1@sha256:00"), "r/a");
        assert_eq!(repository("a"), "a");
    }
}
