//! The only place that picks adapters.

mod git_remote;
pub mod stores;

use std::{collections::BTreeMap, ffi::OsString, sync::Arc};

use jiff::Timestamp;
use sealift_domain::{
    evidence::{Evidence, Form, Trust},
    name::{ChannelName, EnvironmentName},
    policy::IdentityProvider,
};
use sealift_drivers::{compose::ComposeDriver, process::ProcessDriver};
use sealift_engine::{
    book,
    ports::{
        driver::Driver,
        evidence::{EvidenceReader, Found},
        notifier::Notifier,
        registry::Registry,
        signature::{Claims, Signatures},
        source::Sources,
    },
    world::World,
};
use sealift_evidence::{anchors::Anchors, oidc, read, sshsig};
use sealift_forge::git::Git;
use sealift_probes::{Probes, Webhook};
use sealift_registry::{
    client::{Client, Options},
    credentials::CredentialSource,
};

use crate::{
    config::{Channel, Config, Deploy, Registries},
    diagnostic::Diagnostic,
    failure,
    promotion_keys::PromotionKeys,
    shell::Shell,
    system::{SystemClock, ThisHost},
    writer_key,
};

/// The hidden subcommand under which this program is the process driver's agent.
pub const AGENT_COMMAND: &str = "__agent";

/// People's signatures, by SSH.
struct SshSignatures;

impl Signatures for SshSignatures {
    fn verify(&self, key: &str, namespace: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
        sshsig::verify(key, namespace, message, signature).map(drop).map_err(|error| error.to_string())
    }

    fn key_of(&self, signature: &[u8]) -> Result<String, String> {
        sshsig::key_of(signature).map(|key| key.openssh).map_err(|error| error.to_string())
    }

    fn token(&self, token: &[u8], providers: &[IdentityProvider], now: Timestamp) -> Result<Claims, String> {
        let mut why = "the policy names no provider whose tokens count (`identities`)".to_owned();
        for provider in providers {
            let IdentityProvider { issuer, jwks, audience, .. } = provider;
            match oidc::verify(token, oidc::Expected { issuer, audience, jwks }, now.as_second()) {
                Ok(claims) if provider.admits(&claims.sub) => {
                    return claims_of(claims, oidc::canonical(token), provider);
                }
                Ok(_) => why = "its subject is not one of the policy's `subjects`".to_owned(),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}

fn claims_of(claims: oidc::Claims, token: Vec<u8>, provider: &IdentityProvider) -> Result<Claims, String> {
    let expires_at = Timestamp::from_second(claims.exp).map_err(|_| "its time is none".to_owned())?;
    Ok(Claims {
        provider: provider.clone(),
        token,
        subject: claims.sub,
        expires_at,
        actor: claims.actor,
        actor_id: claims.actor_id,
        repository: claims.repository,
        run_id: claims.run_id,
        sha: claims.sha,
        reference: claims.reference,
        workflow_ref: claims.workflow_ref,
    })
}

/// Evidence about images.
struct Evidences;

impl EvidenceReader for Evidences {
    fn read(&self, found: &[Found], trusts: &[&Trust]) -> Result<Vec<Evidence>, String> {
        let anchors = Anchors::new(trusts.iter().copied()).map_err(|why| why.to_string())?;
        let read = |found: &Found| {
            let (form, origin) = (found.form, found.origin.clone());
            read::read(&read::Found { form, origin, bytes: &found.bytes, detached: found.detached.as_ref() }, &anchors)
        };
        Ok(found.iter().map(read).collect())
    }

    fn form_of(&self, bytes: &[u8]) -> Form {
        read::sniff(bytes)
    }
}

/// What reads evidence about images.
pub fn evidence() -> Arc<dyn EvidenceReader> {
    Arc::new(Evidences)
}

/// Source repositories, by git.
pub fn sources() -> Arc<dyn Sources> {
    Arc::new(Git::new())
}

/// What checks signatures of people.
pub fn signatures() -> Arc<dyn Signatures> {
    Arc::new(SshSignatures)
}

/// What a log is verified with, and written: persons' signatures, writers' keys, and the policy of the configuration.
pub fn trust(shell: &Shell, config: &Config) -> Result<book::Trust, Diagnostic> {
    let writer = writer_key::of(shell, config)?;
    Ok(book::Trust {
        writer: Some(Arc::new(writer)),
        signatures: Some(signatures()),
        policy: Some(config.policy.clone()),
    })
}

/// A client for all registries, with the credentials and the proxies of this account.
pub fn registry(shell: &Shell, registries: Registries) -> Result<Arc<dyn Registry>, Diagnostic> {
    Ok(Arc::new(client(shell, registries)?))
}

fn client(shell: &Shell, registries: Registries) -> Result<Client, Diagnostic> {
    let credentials = CredentialSource::from_variables(|name| shell.variable(name).map(OsString::from));
    let Registries { plain_http, authorities, identity, mirrors } = registries;
    let options = Options {
        credentials,
        plain_http,
        extra_roots: authorities,
        client_identity: identity,
        mirrors,
        system_proxy: true,
        ..Options::default()
    };
    Client::new(options, Arc::new(SystemClock)).map_err(|error| failure::of_registry(&error))
}

/// Every adapter that the configuration names.
pub fn world(shell: &Shell, config: &Config) -> Result<World, Diagnostic> {
    let registry = registry(shell, config.registries.clone())?;
    let mut drivers: BTreeMap<EnvironmentName, Arc<dyn Driver>> = BTreeMap::new();
    for (environment, deploy) in &config.deploy {
        drivers.insert(environment.clone(), driver(shell, config, environment, deploy, &registry)?);
    }
    let mut notifiers: BTreeMap<ChannelName, Arc<dyn Notifier>> = BTreeMap::new();
    for (name, channel) in &config.channels {
        // A channel whose secret is not at hand here stays silent here; its notices wait for a run that has it.
        if let Some(notifier) = notifier(shell, channel)? {
            notifiers.insert(name.clone(), notifier);
        }
    }
    Ok(World {
        registry,
        drivers,
        prober: Arc::new(Probes::new(Arc::new(SystemClock), shell.variables_for_others())),
        notifiers,
        signatures: signatures(),
        evidence: evidence(),
        attestor: Arc::new(PromotionKeys::of(shell, config)),
        sources: sources(),
        clock: Arc::new(SystemClock),
        host: Arc::new(ThisHost::new()),
        inbox: None,
    })
}

fn driver(
    shell: &Shell,
    config: &Config,
    environment: &EnvironmentName,
    deploy: &Deploy,
    registry: &Arc<dyn Registry>,
) -> Result<Arc<dyn Driver>, Diagnostic> {
    match deploy {
        Deploy::Process(process) => {
            let mut process = process.clone();
            process.state = config.directory.join(&process.state);
            let agent = vec![shell.program.clone().into_os_string(), OsString::from(AGENT_COMMAND)];
            let driver = ProcessDriver::new(process, registry.clone(), agent);
            Ok(Arc::new(driver.map_err(|error| failure::of_driver(&error))?))
        }
        Deploy::Compose(compose) => {
            let project = format!("{}-{environment}", config.policy.app);
            let driver = ComposeDriver::new(compose.clone().rooted(&config.directory), &project, registry.clone());
            Ok(Arc::new(driver.map_err(|error| failure::of_driver(&error))?))
        }
    }
}

fn notifier(shell: &Shell, channel: &Channel) -> Result<Option<Arc<dyn Notifier>>, Diagnostic> {
    let Channel::Webhook { url, secret } = channel;
    let Some(url) = url.read(|name| shell.variable(name)) else { return Ok(None) };
    let secret = match secret {
        None => None,
        Some(name) => match shell.variable(name) {
            None => return Ok(None),
            // Nobody is kept from rolling back by a channel that cannot be told of it.
            Some(text) => match text.parse() {
                Ok(secret) => Some(secret),
                Err(error) => {
                    shell.tell(&format!("warning: notices wait: {}\n", failure::secret(name, &error).title));
                    return Ok(None);
                }
            },
        },
    };
    let webhook = Webhook::new(&url, secret, Arc::new(SystemClock)).map_err(|error| failure::webhook(&error))?;
    Ok(Some(Arc::new(webhook)))
}
