//! `sealift rollback --in ENVIRONMENT --offline`

use std::path::{Path, PathBuf};

use sealift_domain::{
    ledger::Ledger,
    name::EnvironmentName,
    offline::{Outcome, not_entitled},
    policy::Policy,
    undo::Observed,
};
use sealift_engine::{
    error::EngineError,
    offline::{self, Record, Site, Wish},
    ports::offline::Kept,
    progress::{Observer, Progress},
    world::World,
};
use serde_json::json;

use super::{
    super::{Ends, Global},
    outcome_in_words,
};
use crate::{
    config::Config,
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, files, identity, private,
    session::{configuration, named_in},
    shell::Shell,
    wiring,
};

/// What `sealift rollback --in ENVIRONMENT --offline` is told.
pub(crate) struct Offline {
    /// Where.
    pub(crate) environment: EnvironmentName,
    /// Named digests.
    pub(crate) digest: Vec<String>,
    /// The key of the person.
    pub(crate) identity: Option<PathBuf>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Whether the release is to run although it is not known to work on the database.
    pub(crate) despite_schema: bool,
    /// Where the record is written, beside the host's own.
    pub(crate) record: Option<PathBuf>,
}

/// Lines as they come.
struct Lines<'a>(&'a Shell);

impl Observer for Lines<'_> {
    fn on(&self, progress: &Progress) {
        match progress {
            Progress::Note { text, .. } => self.0.tell(&format!("  {text}\n")),
            Progress::Check { result } => {
                let word = if result.passed { "holds" } else { "FAILS" };
                self.0.tell(&format!("  {word}  {}  {}\n", result.check, result.found));
            }
            _ => {}
        }
    }
}

/// Everything that is there without the log.
struct Here<'a> {
    shell: &'a Shell,
    global: &'a Global,
    config: Config,
    world: World,
    /// Nothing but the policy of the file.
    ledger: Ledger,
    asked: Offline,
}

/// Goes back over the host's own journal. The log is not opened.
pub(crate) async fn run(asked: Offline, global: &Global, shell: &Shell) -> Ends {
    let one = |d| vec![d];
    let config = configuration(shell, global)?;
    let world = wiring::world(shell, &config).map_err(one)?;
    let ledger = Ledger { policy: Some(config.policy.clone()), ..Ledger::default() };
    let here = Here { shell, global, config, world, ledger, asked };
    here.run().await.map_err(one)
}

impl Here<'_> {
    fn policy(&self) -> &Policy {
        &self.config.policy
    }

    async fn run(&self) -> Result<Exit, Diagnostic> {
        let environment = &self.asked.environment;
        self.asked.record.as_deref().map_or(Ok(()), |path| files::free(self.shell, path))?;
        let driver = self.world.driver(environment).map_err(failure::of_engine)?.as_ref();
        let host = driver.offline().ok_or_else(|| {
            let what = format!("the driver `{}` keeps no journal on its host that could be gone back by", driver.kind());
            Diagnostic::new("E0422", what)
                .state("nothing was changed")
                .next("make the earlier release live by hand, and record it when the log is back: `sealift record deployment --in ENVIRONMENT`")
        })?;
        let site = Site {
            ledger: &self.ledger,
            environment,
            driver,
            host,
            signatures: self.world.signatures.as_ref(),
            prober: self.world.prober.as_ref(),
            clock: self.world.clock.as_ref(),
            observer: &Lines(self.shell),
        };
        let person = self.person()?;
        let _reserved = host.reserve().await.map_err(|error| failure::of_driver(&error))?;
        let (kept, record) = match self.open(&site).await? {
            Some(open) => open,
            None => self.begin(&site, &person).await?,
        };
        self.keep_here(&record);
        let (_, record) = offline::go_on(&site, kept, record).await.map_err(|e| self.broken_off(e))?;
        let here = self.keep_here(&record);
        let file = self.keep_there(&record).or(here);
        self.conclude(&record, file.as_deref())
    }

    /// Who rolls back: a person who may, by the policy of the file.
    fn person(&self) -> Result<identity::Identity, Diagnostic> {
        let Some(key) = self.asked.identity.as_deref() else {
            return Err(Diagnostic::new("E0603", "a rollback without the log is signed by the person who makes it")
                .state("nothing was changed")
                .next("name your SSH key: `--identity ~/.ssh/id_ed25519`"));
        };
        if self.asked.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
            return Err(failure::usage("say why: `--reason \"…\"`"));
        }
        let person = identity::require(self.shell, self.policy(), Some(key))?;
        if let Some(why) = not_entitled(self.policy(), &self.asked.environment, &person.person) {
            let who = person.person.clone();
            return Err(failure::of_engine(EngineError::MayNot { who, why }));
        }
        Ok(person)
    }

    /// A rollback that was begun before, or made: it is gone on with, or told again.
    async fn open(&self, site: &Site<'_>) -> Result<Option<(Kept, Record)>, Diagnostic> {
        let named = named_in(self.policy(), site.environment, &self.asked.digest)?;
        let open = offline::open(site, named.as_ref()).await.map_err(failure::of_engine)?;
        if let Some((_, record)) = &open {
            let release = record.release().map(|release| release.to_string()).unwrap_or_default();
            let key = &record.key;
            self.shell.tell(&match record.end {
                None => format!(
                    "going on with the rollback to {release} that was begun before ({key}), as it was signed then\n"
                ),
                Some(_) => format!(
                    "the rollback to {release} was made before ({key}), and is not made again; `--digest` names a release to go \
                     back further\n"
                ),
            });
        }
        Ok(open)
    }

    async fn begin(&self, site: &Site<'_>, person: &identity::Identity) -> Result<(Kept, Record), Diagnostic> {
        let named = named_in(self.policy(), site.environment, &self.asked.digest)?;
        let despite_schema = self.asked.despite_schema;
        let wish = Wish { environment: site.environment.clone(), named, despite_schema };
        let chosen = offline::choose(site.ledger, (site.driver, site.host), &wish).await;
        let chosen = chosen.map_err(failure::of_engine)?;
        let mut text = format!(
            "{}: {}; going back to {} without log and registry\n",
            site.environment,
            runs(&chosen.before),
            chosen.release
        );
        for note in &chosen.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        text.push_str(
            "  note: the log is not asked: whether sealift.yaml says what the accepted policy says, nobody could compare\n",
        );
        self.shell.tell(&text);
        let reason = self.asked.reason.clone().unwrap_or_default();
        let signed = person.act(site.ledger, chosen.act.clone(), &reason)?;
        offline::begin(site, chosen, signed).await.map_err(failure::of_engine)
    }

    /// Writes the record where `--record` says, once it is whole. Returns where.
    fn keep_there(&self, record: &Record) -> Option<PathBuf> {
        let path = self.asked.record.as_deref()?;
        match files::write(self.shell, path, &record.bytes()) {
            Ok(()) => Some(path.to_owned()),
            Err(diagnostic) => {
                self.shell.tell(&format!("warning: the record is not where `--record` says: {}\n", diagnostic.title));
                None
            }
        }
    }

    /// Writes the record to a file of its own, so that whoever made it has it too. Returns where.
    fn keep_here(&self, record: &Record) -> Option<PathBuf> {
        let path = self.config.directory.join(".sealift/offline").join(format!("{}.json", record.key));
        match write(&path, &record.bytes()) {
            Ok(()) => Some(path),
            Err(error) => {
                // The host has it. That it is nowhere else is no reason to leave what is broken live.
                self.shell.tell(&format!("warning: the record is on the host only: {}: {error}\n", path.display()));
                None
            }
        }
    }

    /// It may have done a part, and the record is on the host.
    fn broken_off(&self, error: EngineError) -> Diagnostic {
        let environment = &self.asked.environment;
        let state = format!(
            "the rollback of {environment} was begun and is not over: a step may have been done; the host refuses everything else \
             until it is"
        );
        failure::of_engine(error).state(state).next(format!(
            "the same command goes on with it: `sealift rollback --in {environment} --offline --identity FILE --reason \"…\"`"
        ))
    }

    fn conclude(&self, record: &Record, file: Option<&Path>) -> Result<Exit, Diagnostic> {
        let environment = &self.asked.environment;
        let Some(end) = &record.end else {
            return Err(Diagnostic::new("E0001", "the rollback has no end").state("the record is on the host"));
        };
        let take_in = format!("when the log is back: `sealift record offline --in {environment}`");
        let runs = runs(&end.running);
        match &end.outcome {
            Outcome::Verified { .. } => {}
            Outcome::Failing { why } => {
                return Err(Diagnostic::new("E0425", format!("{environment} was rolled back, and a person is needed"))
                    .found(why.clone())
                    .state(format!("in {environment}, {runs}; the record is on the host"))
                    .next("go back further: the same command with `--digest sha256:…`")
                    .next(take_in));
            }
            Outcome::Unchanged { code, why } => {
                return Err(Diagnostic::new(code.as_str(), format!("{environment} could not be rolled back"))
                    .found(why.clone())
                    .state(format!("nothing live was changed: {runs} in {environment}; the record is on the host"))
                    .next(take_in));
            }
        }
        if self.global.json() {
            let value = json!({
                "schema_version": 1, "environment": environment, "release": record.release(), "running": end.running,
                "outcome": end.outcome, "checks": end.checks, "record": record.key, "file": file, "merged": false,
            });
            self.shell.print(&format!("{value}\n"));
            return Ok(Exit::Ok);
        }
        let mut text =
            format!("ROLLED BACK without the log: {runs} in {environment}, {}\n", outcome_in_words(&end.outcome));
        text.push_str("  moving tags in the registry were not touched: they still name what they named\n");
        if let Some(file) = file {
            text.push_str(&format!("  the record is on the host and in {}\n", file.display()));
        }
        text.push_str(&format!("next: {take_in}\n"));
        self.shell.print(&text);
        Ok(Exit::Ok)
    }
}

fn runs(observed: &Observed) -> String {
    match observed {
        Observed::Nothing => "nothing runs".to_owned(),
        Observed::Running { release, .. } => format!("{release} runs"),
        Observed::Unknown { what } => format!("something unknown runs: {what}"),
    }
}

/// Replaces a file, for its owner alone.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    private::directory(path.parent().unwrap_or(Path::new("")))?;
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)?;
    private::file(&new)?;
    std::fs::rename(&new, path)
}
