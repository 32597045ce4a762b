//! Whose facts about an environment count.

use std::collections::BTreeMap;

use super::{Policy, PolicyError};
use crate::{name::EnvironmentName, writer::WriterKey};

impl Policy {
    /// Whether any environment takes facts only from a key of its own.
    pub fn has_writers(&self) -> bool {
        self.environments.values().any(|environment| !environment.writer.is_empty())
    }

    /// Every key of a writer, with its environment.
    pub fn writers(&self) -> impl Iterator<Item = (&EnvironmentName, &WriterKey)> {
        self.environments.iter().flat_map(|(name, environment)| environment.writer.iter().map(move |key| (name, key)))
    }

    /// The writer key with that id. There is at most one.
    pub fn writer(&self, id: &str) -> Option<(&EnvironmentName, &WriterKey)> {
        self.writers().find(|(_, key)| key.id() == id)
    }

    /// The environments that nothing comes from.
    pub fn last(&self) -> impl Iterator<Item = &EnvironmentName> {
        self.environments.keys().filter(|name| self.next_after(name).next().is_none())
    }

    /// The environments that come from nothing.
    pub fn first(&self) -> impl Iterator<Item = &EnvironmentName> {
        self.environments.iter().filter(|(_, environment)| environment.from.is_none()).map(|(name, _)| name)
    }

    /// A key speaks for one environment, and its id tells it from all others. One key under two names is one key.
    pub(super) fn validate_writers(&self) -> Result<(), PolicyError> {
        let mut owners: BTreeMap<&str, &EnvironmentName> = BTreeMap::new();
        for (environment, key) in self.writers() {
            for mark in [key.id(), key.material()] {
                let Some(other) = owners.insert(mark, environment) else { continue };
                return Err(match other == environment {
                    true => PolicyError::WriterTwice { environment: environment.clone(), key: key.id().to_owned() },
                    false => PolicyError::SharedWriter {
                        environment: environment.clone(),
                        other: other.clone(),
                        key: key.id().to_owned(),
                    },
                });
            }
        }
        Ok(())
    }
}
