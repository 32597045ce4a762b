//! A configuration, its log and its adapters, opened for one command.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sealift_domain::{
    ledger::Ledger,
    name::{ComponentName, EnvironmentName},
    policy::Policy,
    release::Release,
};
use sealift_engine::{book::Book, world::World};

use crate::{
    cli::Global,
    config::Config,
    diagnostic::Diagnostic,
    failure,
    shell::Shell,
    system::{SystemClock, SystemEntropy},
    wiring::{self, stores::Opened},
};

/// What a command works with.
pub struct Session {
    /// The configuration.
    pub config: Config,
    /// The log, where it is kept.
    pub store: Opened,
    /// The log, as it is read and written.
    pub book: Book,
    /// The adapters.
    pub world: World,
}

/// Reads the configuration that `global` names.
pub fn configuration(shell: &Shell, global: &Global) -> Result<Config, Vec<Diagnostic>> {
    let path = configuration_path(shell, global);
    let read = std::fs::read_to_string(&path).map_err(|error| {
        let shown = global.config.display();
        let next = "`sealift init` writes one; another is named by `--config FILE`";
        vec![Diagnostic::new("E0101", format!("cannot read {shown}: {error}")).state("nothing was changed").next(next)]
    })?;
    Config::parse(&read, &global.config.display().to_string(), path.parent().unwrap_or(Path::new("")))
}

/// Where the configuration is.
pub fn configuration_path(shell: &Shell, global: &Global) -> PathBuf {
    shell.resolve(&global.config)
}

impl Session {
    /// Opens everything. What is written must be under the policy of the log, so a command that writes calls
    /// [`Session::same_policy`] too.
    pub async fn open(shell: &Shell, global: &Global) -> Result<Self, Vec<Diagnostic>> {
        let config = configuration(shell, global)?;
        let one = |diagnostic| vec![diagnostic];
        let store = wiring::stores::open(shell, &config).await.map_err(one)?;
        // Whoever has the log's key would be the writer.
        let key = store.public_key().map_err(one)?;
        let writers = config
            .policy
            .environments
            .iter()
            .filter(|(_, rules)| rules.writer.iter().any(|writer| key.ends_with(writer.material())));
        if let Some((environment, _)) = writers.into_iter().next() {
            return Err(one(failure::writer_is_log(environment)));
        }
        let mut log = store.log();
        if let Some(wrap) = &shell.wrap_log {
            log = wrap(log);
        }
        let mut world = wiring::world(shell, &config).map_err(one)?;
        world.inbox = store.inbox();
        let trust = wiring::trust(shell, &config).map_err(one)?;
        let book = Book::open_with(log, Arc::new(SystemClock), Arc::new(SystemEntropy), account(shell), trust)
            .await
            .map_err(|error| one(failure::of_engine(error)))?;
        Ok(Self { config, store, book, world })
    }

    /// What is so now.
    pub async fn ledger(&self) -> Result<Arc<Ledger>, Diagnostic> {
        self.book.ledger().await.map_err(failure::of_engine)
    }

    /// The policy in force, if the file still says the same. Whoever changes the file changes nothing by that.
    pub async fn same_policy(&self) -> Result<Policy, Diagnostic> {
        let ledger = self.ledger().await?;
        let Some(accepted) = ledger.policy.clone() else { return Err(failure::no_log(&self.config.store)) };
        if accepted == self.config.policy {
            return Ok(accepted);
        }
        let differs = crate::cli::policy::differences(&accepted, &self.config.policy);
        let mut diagnostic =
            Diagnostic::new("E0106", "sealift.yaml says something else than the policy accepted in the log")
                .found(differs.first().cloned().unwrap_or_default())
                .state("nothing was changed; the accepted policy counts")
                .next("`sealift policy diff` shows every difference")
                .next(
                    "`sealift policy accept` makes the file the policy, with the signatures that the present one wants",
                );
        for more in differs.iter().skip(1).take(4) {
            diagnostic = diagnostic.note(more.clone());
        }
        Err(diagnostic)
    }

    /// The policy in force, whatever the file says: for what leads to safety, and must not wait until a file is in order.
    pub async fn accepted_policy(&self, shell: &Shell) -> Result<Policy, Diagnostic> {
        let ledger = self.ledger().await?;
        let Some(accepted) = ledger.policy.clone() else { return Err(failure::no_log(&self.config.store)) };
        if accepted != self.config.policy {
            shell.tell("warning: sealift.yaml says something else than the accepted policy, which counts\n");
        }
        Ok(accepted)
    }

    /// The release that somebody named: digests, one for each component, the component named where there are several.
    pub fn named_release(
        &self,
        environment: &EnvironmentName,
        texts: &[String],
    ) -> Result<Option<Release>, Diagnostic> {
        named_in(&self.config.policy, environment, texts)
    }
}

/// The release that somebody named, by `policy`: digests, one for each component, the component named where there are several.
pub fn named_in(
    policy: &Policy,
    environment: &EnvironmentName,
    texts: &[String],
) -> Result<Option<Release>, Diagnostic> {
    if texts.is_empty() {
        return Ok(None);
    }
    let rules = policy.environments.get(environment);
    let only = rules.filter(|rules| rules.components.len() == 1).and_then(|rules| rules.components.keys().next());
    let mut components = std::collections::BTreeMap::new();
    for text in texts {
        let (name, digest) = match text.split_once('=') {
            Some((name, digest)) => (name.parse::<ComponentName>().map_err(|e| failure::usage(e.to_string()))?, digest),
            None => match only {
                Some(name) => (name.clone(), text.as_str()),
                None => return Err(failure::usage(format!("`{text}` names no component: write `web=sha256:…`"))),
            },
        };
        let digest = digest.rsplit('@').next().unwrap_or(digest);
        let digest = digest.parse().map_err(|_| {
            failure::usage(format!("`{text}` is no digest; a tag can move, so only `sha256:…` names a release"))
                .next("leave it out, and what was verified is promoted")
        })?;
        components.insert(name, digest);
    }
    Ok(Release::new(components))
}

/// The account that entries name, in an erasable opening: a pipeline's run, or user and machine.
fn account(shell: &Shell) -> String {
    match (shell.variable("GITHUB_REPOSITORY"), shell.variable("GITHUB_RUN_ID")) {
        (Some(repository), Some(run)) => format!("github:{repository}/runs/{run}"),
        _ => {
            let user =
                shell.variable("USER").or_else(|| shell.variable("LOGNAME")).unwrap_or_else(|| "unknown".to_owned());
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            format!("{user}@{}", host.trim())
        }
    }
}
