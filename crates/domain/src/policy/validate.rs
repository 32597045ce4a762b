//! What makes a policy impossible.

use std::collections::{BTreeMap, BTreeSet};

use super::{Environment, NEVER_WAIVED, Policy};
use crate::{
    freeze::FreezeRule,
    gate,
    name::{EnvironmentName, PersonId, Role},
};

/// What makes a policy impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// `from` names no environment.
    #[error("environment `{environment}` comes from `{from}`, which does not exist")]
    UnknownFrom {
        /// The environment that says so.
        environment: EnvironmentName,
        /// What it names.
        from: EnvironmentName,
    },
    /// `from` leads in a circle.
    #[error("environment `{0}` comes, in the end, from itself")]
    Circle(EnvironmentName),
    /// The environments do not have the same components.
    #[error("environment `{environment}` has other components than `{from}`; a release moves as one")]
    Components {
        /// The environment.
        environment: EnvironmentName,
        /// Where it comes from.
        from: EnvironmentName,
    },
    /// Nobody could ever approve.
    #[error("environment `{environment}` wants {count} {what} by {roles}, and {people} of its people have such a role")]
    NoApprovers {
        /// The environment.
        environment: EnvironmentName,
        /// What is wanted.
        what: &'static str,
        /// How many are wanted.
        count: u32,
        /// The roles, for people.
        roles: String,
        /// How many people there are.
        people: usize,
    },
    /// No proof that this program can verify is accepted.
    #[error("environment `{0}` accepts no proof that this version can verify: `accepts` must name `sshsig`")]
    NoProof(EnvironmentName),
    /// The expedited way wants no more people than the usual one.
    #[error(
        "environment `{environment}` wants {count} for an expedited promotion and {usual} for any other: `expedited.count` must be higher"
    )]
    TooFew {
        /// The environment.
        environment: EnvironmentName,
        /// How many the expedited way wants.
        count: u32,
        /// How many are wanted otherwise.
        usual: u32,
    },
    /// A gate is to be waived that never may be.
    #[error(
        "environment `{environment}` would waive `{gate}`, which is never waived: it guards the digest, a signature or the record"
    )]
    NeverWaived {
        /// The environment.
        environment: EnvironmentName,
        /// The gate.
        gate: String,
    },
    /// A gate is to be waived that does not exist.
    #[error("environment `{environment}` would waive `{gate}`, and there is no such gate")]
    UnknownGate {
        /// The environment.
        environment: EnvironmentName,
        /// The name.
        gate: String,
    },
    /// A freeze is in a time zone that nobody knows.
    #[error(
        "environment `{environment}` has a freeze in the time zone `{zone}`, which is not known; `Europe/Berlin` is one"
    )]
    UnknownZone {
        /// The environment.
        environment: EnvironmentName,
        /// The name.
        zone: String,
    },
    /// Two people share a key, so that one could sign as two.
    #[error("`{0}` and `{1}` have the same SSH key: two persons need two keys")]
    SharedKey(PersonId, PersonId),
    /// Two environments take facts from one key, so that either could write those of the other.
    #[error("environments `{other}` and `{environment}` have the same writer key, {key}: each needs a key of its own")]
    SharedWriter {
        /// The second environment.
        environment: EnvironmentName,
        /// The first.
        other: EnvironmentName,
        /// The id of the key.
        key: String,
    },
    /// A key is named twice.
    #[error("environment `{environment}` names the writer key {key} twice")]
    WriterTwice {
        /// The environment.
        environment: EnvironmentName,
        /// The id of the key.
        key: String,
    },
}

impl Policy {
    /// Checks what the shape of the configuration cannot say.
    pub fn validate(&self) -> Result<(), PolicyError> {
        for (name, environment) in &self.environments {
            self.validate_origin(name, environment)?;
            self.validate_approvers(name, environment)?;
            self.validate_exceptions(name, environment)?;
            validate_zones(name, environment)?;
        }
        self.validate_writers()?;
        self.validate_keys()
    }

    fn validate_origin(&self, name: &EnvironmentName, environment: &Environment) -> Result<(), PolicyError> {
        let Some(from) = &environment.from else { return Ok(()) };
        let Some(origin) = self.environments.get(from) else {
            return Err(PolicyError::UnknownFrom { environment: name.clone(), from: from.clone() });
        };
        if !origin.components.keys().eq(environment.components.keys()) {
            return Err(PolicyError::Components { environment: name.clone(), from: from.clone() });
        }
        let mut steps = 0;
        let mut at = Some(from);
        while let Some(here) = at {
            steps += 1;
            if here == name || steps > self.environments.len() {
                return Err(PolicyError::Circle(name.clone()));
            }
            at = self.environments.get(here).and_then(|e| e.from.as_ref());
        }
        Ok(())
    }

    fn validate_approvers(&self, name: &EnvironmentName, environment: &Environment) -> Result<(), PolicyError> {
        let Some(rule) = &environment.approval else { return Ok(()) };
        if !rule.accepts.iter().any(|kind| kind.is_verifiable()) {
            return Err(PolicyError::NoProof(name.clone()));
        }
        self.enough_people(name, "approvals", &rule.roles, rule.count)
    }

    fn enough_people(
        &self,
        name: &EnvironmentName,
        what: &'static str,
        roles: &BTreeSet<Role>,
        count: u32,
    ) -> Result<(), PolicyError> {
        let people = self.people.values().filter(|p| !p.roles.is_disjoint(roles)).count();
        if count > 0 && people >= count as usize {
            return Ok(());
        }
        let roles: Vec<&str> = roles.iter().map(Role::as_str).collect();
        let (environment, roles) = (name.clone(), roles.join(" or "));
        Err(PolicyError::NoApprovers { environment, what, count, roles, people })
    }

    /// The ways around the usual ones: each wants more than the usual, and none leads around what holds everything together.
    fn validate_exceptions(&self, name: &EnvironmentName, environment: &Environment) -> Result<(), PolicyError> {
        if let Some(rule) = &environment.freeze_override {
            self.enough_people(name, "signatures to override a freeze", &rule.roles, rule.count)?;
        }
        let Some(expedited) = &environment.expedited else { return Ok(()) };
        let usual = environment.approval.as_ref().map_or(0, |rule| rule.count);
        if expedited.count <= usual {
            let (environment, count) = (name.clone(), expedited.count);
            return Err(PolicyError::TooFew { environment, count, usual });
        }
        for gate in &expedited.waive {
            let environment = name.clone();
            if NEVER_WAIVED.contains(&gate.as_str()) {
                return Err(PolicyError::NeverWaived { environment, gate: gate.clone() });
            }
            if !gate::ALL.iter().any(|known| known.name == gate) {
                return Err(PolicyError::UnknownGate { environment, gate: gate.clone() });
            }
        }
        self.enough_people(name, "approvals of an expedited promotion", &expedited.roles, expedited.count)
    }

    fn validate_keys(&self) -> Result<(), PolicyError> {
        let mut owners: BTreeMap<&str, &PersonId> = BTreeMap::new();
        for (id, person) in &self.people {
            for key in &person.ssh {
                if let Some(other) = owners.insert(key, id) {
                    return Err(PolicyError::SharedKey(other.clone(), id.clone()));
                }
            }
        }
        Ok(())
    }
}

/// Whether every freeze can be told on any machine.
fn validate_zones(name: &EnvironmentName, environment: &Environment) -> Result<(), PolicyError> {
    for rule in &environment.freezes {
        if let FreezeRule::Every(every) = rule
            && !every.zone_is_known()
        {
            return Err(PolicyError::UnknownZone { environment: name.clone(), zone: every.zone.clone() });
        }
    }
    Ok(())
}
