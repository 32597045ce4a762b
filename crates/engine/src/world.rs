//! Everything outside that the use cases act through, picked by the binary.

use std::{collections::BTreeMap, sync::Arc};

use sealift_domain::name::{ChannelName, EnvironmentName};

use crate::{
    error::EngineError,
    ports::{
        attest::Attestor, clock::Clock, driver::Driver, evidence::EvidenceReader, host::Host, inbox::Inbox,
        notifier::Notifier, probe::Prober, registry::Registry, signature::Signatures, source::Sources,
    },
};

/// The adapters of this run.
#[derive(Clone)]
pub struct World {
    /// Registries.
    pub registry: Arc<dyn Registry>,
    /// What deploys to each environment.
    pub drivers: BTreeMap<EnvironmentName, Arc<dyn Driver>>,
    /// What runs checks.
    pub prober: Arc<dyn Prober>,
    /// What sends notices to each channel.
    pub notifiers: BTreeMap<ChannelName, Arc<dyn Notifier>>,
    /// What checks people's signatures.
    pub signatures: Arc<dyn Signatures>,
    /// What reads evidence about images.
    pub evidence: Arc<dyn EvidenceReader>,
    /// What signs and verifies what is attested of images.
    pub attestor: Arc<dyn Attestor>,
    /// Source repositories.
    pub sources: Arc<dyn Sources>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// This machine.
    pub host: Arc<dyn Host>,
    /// Where people who cannot write to the log hand in what they signed; `None` where the log has no such place.
    pub inbox: Option<Arc<dyn Inbox>>,
}

impl World {
    /// The driver of an environment.
    pub fn driver(&self, environment: &EnvironmentName) -> Result<&Arc<dyn Driver>, EngineError> {
        self.drivers.get(environment).ok_or_else(|| EngineError::NoDriver(environment.clone()))
    }
}
