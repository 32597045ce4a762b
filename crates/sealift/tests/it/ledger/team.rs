//! A team without a server: each command runs in a directory of its own that has nothing but the configuration, as a job of a
//! hosted CI does. What they share is a branch.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use sealift::demo::images;
use sealift_domain::digest::Digest;
use sealift_store::key::SigningKey;

use super::remote::{Remote, Transport};
use crate::place::{self, Place, Ran};

/// The team: registries, hosts and people's keys of a [`Place`], and the repository.
pub(crate) struct Team {
    /// Where the hosts and the registries are. Its own directory holds no log.
    pub(crate) place: Place,
    /// Where the log is.
    pub(crate) remote: Remote,
    /// The configuration that every checkout has.
    pub(crate) configuration: String,
    /// The private key of the log, a secret of the repository.
    pub(crate) log_key: String,
    /// The private keys of the environments' writers, each a secret of its environment; none unless the test wants them.
    writers: BTreeMap<&'static str, String>,
}

/// A job: a fresh directory, and the secrets that it is given.
pub(crate) struct Runner {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a job is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// A token that may push, and the key of the log.
    All,
    /// A token that may push.
    Push,
    /// A token that may read.
    Read,
}

impl Team {
    /// A team with an empty log on the branch.
    pub(crate) fn start(transport: Transport) -> Self {
        Self::with(transport, |_| {})
    }

    /// The same with another configuration.
    pub(crate) fn with(transport: Transport, edit: impl FnOnce(&mut String)) -> Self {
        let (place, remote) = (Place::new(), Remote::start(transport));
        let mut configuration = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
        for environment in ["staging", "production"] {
            // The host is nobody's checkout.
            let state = format!("state: {}", place.path(environment).display());
            configuration = configuration.replace(&format!("state: {environment}"), &state);
        }
        edit(&mut configuration);
        let writers = BTreeMap::new();
        let mut team = Self { place, remote, configuration, log_key: String::new(), writers };
        team.initialise();
        team
    }

    /// The same where each environment has a writer of its own.
    pub(crate) fn with_writers(transport: Transport) -> Self {
        let mut writers = BTreeMap::new();
        let mut team = Self::with(transport, |configuration| {
            for environment in ["staging", "production"] {
                let key = SigningKey::generate(&format!("hello/{environment}")).unwrap();
                let named = format!("  {environment}:\n");
                let line = format!("{named}    writer: \"{}\"\n", key.verifier());
                *configuration = configuration.replacen(&named, &line, 1);
                writers.insert(environment, key.secret_text().unwrap());
            }
        });
        team.writers = writers;
        team
    }

    /// Somebody makes the log, on a laptop.
    fn initialise(&mut self) {
        let url = self.remote.store();
        let plain = self.configuration.clone();
        self.configuration = format!("{plain}store: {url}\n");
        let laptop = self.runner(Secrets::Push);
        laptop.run(&["init"]).ends(0);
        self.log_key = std::fs::read_to_string(laptop.path(".sealift/log.key")).unwrap().trim().to_owned();
        let public = std::fs::read_to_string(laptop.path(".sealift/log.pub")).unwrap();
        self.configuration = format!("{plain}store: {{url: \"{url}\", key: \"{}\"}}\n", public.trim());
    }

    /// A job with an empty disk.
    pub(crate) fn runner(&self, secrets: Secrets) -> Runner {
        self.runner_with(secrets, &[])
    }

    /// The same with more variables.
    pub(crate) fn runner_with(&self, secrets: Secrets, more: &[(&str, &str)]) -> Runner {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("sealift.yaml"), &self.configuration).unwrap();
        let mut variables = self.remote.access(secrets != Secrets::Read);
        if secrets == Secrets::All {
            variables.push(("SEALIFT_LOG_KEY".to_owned(), self.log_key.clone()));
        }
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Runner { directory, variables }
    }

    /// A job of an environment, with an empty disk and its secrets.
    pub(crate) fn job(&self, environment: &str) -> Runner {
        match self.writers.get(environment) {
            Some(key) => self.runner_with(Secrets::All, &[("SEALIFT_WRITER_KEY", key)]),
            None => self.runner(Secrets::All),
        }
    }

    /// The private key of a person.
    pub(crate) fn key(&self, person: &str) -> String {
        self.place.path("keys").join(person).display().to_string()
    }

    /// A job builds a version and records it.
    pub(crate) fn build(&self, version: &str) -> Digest {
        let image = images::service(version, None).build();
        self.place.staging.push("hello", &image, Some(version));
        let name = format!("{}/hello:{version}", self.place.staging.address());
        self.job("staging").run(&["record", "build", &name]).ends(0);
        image.digest
    }

    /// A job brings what was built last to staging.
    pub(crate) fn to_staging(&self) {
        self.job("staging").run(&["promote", "--to", "staging"]).ends(0);
    }

    /// A job asks for production in Bob's name.
    pub(crate) fn request(&self) -> u64 {
        let bob = self.key("bob");
        let asks = ["promote", "--to", "production", "--identity", &bob, "--output", "json"];
        let asked = self.job("staging").run(&asks);
        asked.ends(5);
        asked.json()["promotion_id"].as_u64().unwrap()
    }

    /// Ana approves on her own machine, which has no key of the log.
    pub(crate) fn approve(&self) {
        let ana = self.key("ana");
        self.runner(Secrets::Push).run(&["approve", "--identity", &ana]).ends(0);
    }

    /// How often a process was started in production for a promotion.
    pub(crate) fn starts(&self, id: u64) -> usize {
        let text = std::fs::read_to_string(self.place.path("production/starts.log")).unwrap_or_default();
        let key = format!("p{id}");
        text.lines().filter(|line| line.split_whitespace().nth(1) == Some(&key)).count()
    }

    /// How many entries the log has, for somebody who may only read; the audit must hold.
    pub(crate) fn audited(&self) -> u64 {
        let audit = self.runner(Secrets::Read).run(&["audit", "verify", "--output", "json"]);
        audit.ends(0);
        assert_eq!(audit.json()["verified"], true);
        audit.json()["entries"].as_u64().unwrap()
    }
}

impl Runner {
    /// A path in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Gives it one more variable, or another value for one.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs the binary.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        place::finish(self.command(arguments), &format!("sealift {}", arguments.join(" ")))
    }

    /// Starts the binary, and says how it ended when it is asked to.
    pub(crate) fn start(self, arguments: &[&str]) -> thread::JoinHandle<Ran> {
        let command = self.command(arguments);
        let what = format!("sealift {}", arguments.join(" "));
        thread::spawn(move || {
            let ran = place::finish(command, &what);
            drop(self);
            ran
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_sealift")));
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.directory.path()).env("USER", "runner");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}
