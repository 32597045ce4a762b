//! The demo: the main job before the user's eyes, on real parts that this program brings along.

mod containers;
pub mod images;
mod nginx;
mod place;
mod report;

use std::path::PathBuf;

use sealift_domain::check::AvailabilityCheck;
use sealift_engine::ports::probe::{Availability, CheckContext, Prober, Watch};

use crate::{
    cli::{self, Global},
    diagnostic::{Diagnostic, catalogue::Exit},
    failure,
    report::{style::Tone, text},
    shell::{self, Shell},
    system::SystemClock,
};
use place::Place;

/// What releases run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Driver {
    /// Containers where an engine, Compose 2 and nginx are there; otherwise child processes.
    Auto,
    /// Child processes.
    Process,
    /// Containers behind nginx.
    Compose,
}

/// How the demo is played.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where; `None` is a temporary directory.
    pub directory: Option<PathBuf>,
    /// Whether it is left running until Ctrl-C, and its directory for ever.
    pub keep: bool,
    /// What releases run in.
    pub driver: Driver,
}

/// Plays the demo, and clears away what it started, also where it fails or is ended by Ctrl-C.
pub async fn run(shell: &Shell, global: &Global, settings: Settings) -> Result<Exit, Diagnostic> {
    let keep = settings.keep;
    let mut place = Place::new(shell, settings.directory, settings.driver).await?;
    if global.json() {
        place.silence();
    }
    let stage = Stage { shell, global, place: &place };
    let played = tokio::select! {
        played = stage.play() => played,
        Ok(()) = tokio::signal::ctrl_c() => {
            Err(failure::usage("the demo was ended by Ctrl-C").state("what it started was stopped and removed"))
        }
    };
    if keep && played.is_ok() {
        stage.stay().await;
    }
    place.clear_away(keep).await;
    played
}

/// The stage that the commands are run on.
struct Stage<'a> {
    shell: &'a Shell,
    global: &'a Global,
    place: &'a Place,
}

impl Stage<'_> {
    async fn play(&self) -> Result<Exit, Diagnostic> {
        self.say("Two registries, two environments, one approver (ana) and one developer (bob).");
        self.say(&self.place.means);
        self.command(&["init"], 0).await?;
        self.first_release().await?;
        let traffic = self.traffic().await?;
        self.second_release().await?;
        self.third_release().await?;
        self.rollback_by_hand().await?;
        let availability = traffic.stop().await;
        self.command(&["status"], 0).await?;
        let audit = self.audit().await?;
        report::summary(self.shell, self.global, self.place, &availability, &audit).await
    }

    async fn first_release(&self) -> Result<(), Diagnostic> {
        self.say("Release 1.8.1 goes through staging to production.");
        self.build("1.8.1").await?;
        self.command(&["promote", "--to", "staging"], 0).await?;
        self.to_production("new front page").await
    }

    async fn second_release(&self) -> Result<(), Diagnostic> {
        self.say("Release 1.8.2 soaks in staging, is approved by signature, and replaces 1.8.1 under traffic.");
        self.build("1.8.2").await?;
        self.command(&["promote", "--to", "staging"], 0).await?;
        self.to_production("faster search").await?;
        self.say("Whoever has the public key sees what may run in production, without the log and without this program's word.");
        let image = self.place.production_image();
        let words = ["attest", "verify", &image, "--environment", "production", "--key", "promotion.pub"];
        self.command(&[&words[..], &["--level", "verified"]].concat(), 0).await
    }

    async fn third_release(&self) -> Result<(), Diagnostic> {
        self.say("Release 1.9.0 needs a variable that only staging has: healthy there, broken in production.");
        self.build("1.9.0").await?;
        self.command(&["promote", "--to", "staging"], 0).await?;
        self.ask(&["promote", "--to", "production", "--wait", "--reason", "the big one"]).await?;
        self.command(&["promote", "--to", "production"], Exit::RolledBack.code()).await?;
        Ok(())
    }

    async fn rollback_by_hand(&self) -> Result<(), Diagnostic> {
        self.say("And back by hand, to the release before: a promotion like any other, with its own approval.");
        self.ask(&["rollback", "--in", "production", "--reason", "search is slow after all"]).await?;
        self.command(&["rollback", "--in", "production"], 0).await
    }

    /// Asks for production, has it approved, and lets it happen.
    async fn to_production(&self, reason: &str) -> Result<(), Diagnostic> {
        self.ask(&["promote", "--to", "production", "--wait", "--reason", reason]).await?;
        self.command(&["promote", "--to", "production"], 0).await
    }

    /// Bob asks, and ana approves.
    async fn ask(&self, command: &[&str]) -> Result<(), Diagnostic> {
        let asks = [command, &["--identity", "keys/bob"]].concat();
        self.command(&asks, Exit::Waiting.code()).await?;
        self.command(&["approve", "--identity", "keys/ana"], 0).await
    }

    async fn build(&self, version: &str) -> Result<(), Diagnostic> {
        let image = self.place.push(version);
        self.command(&["record", "build", &image], 0).await
    }

    async fn audit(&self) -> Result<report::Audit, Diagnostic> {
        self.say("The log proves itself; then one byte of a copy of it is changed.");
        self.place.keep_checkpoint().await?;
        self.command(&["audit", "verify", "--checkpoint", "checkpoint"], 0).await?;
        self.place.tampered_copy()?;
        let found = self.run(&["--config", "copy/sealift.yaml", "audit", "verify", "--checkpoint", "checkpoint"]).await;
        Ok(report::Audit { tamper_detected: found == Exit::Internal.code() })
    }

    async fn traffic(&self) -> Result<Box<dyn Watch>, Diagnostic> {
        let prober = sealift_probes::Probes::new(std::sync::Arc::new(SystemClock), self.place.shell.variables.clone());
        let url = self.place.production_url();
        self.say(&format!("From here on, 100 requests a second to {url}, on kept and on fresh connections."));
        let check = AvailabilityCheck { availability: url, min: Default::default(), rate: 100 };
        prober.watch(&check, &CheckContext::default()).await.map_err(failure::usage)
    }

    /// Runs a command as a person would, and expects it to end so.
    async fn command(&self, arguments: &[&str], expected: u8) -> Result<(), Diagnostic> {
        let code = self.run(arguments).await;
        if code == expected {
            return Ok(());
        }
        Err(Diagnostic::new(
            "E0001",
            format!("`sealift {}` ended with {code}, not with {expected}", arguments.join(" ")),
        )
        .state(format!("the demo stops here; its files are in {}", self.place.directory.display())))
    }

    async fn run(&self, arguments: &[&str]) -> u8 {
        let shown: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        if !self.global.json() {
            let style = shell::style(self.shell, self.global.color());
            self.shell.print(&format!("{}\n", style.paint(Tone::Command, &format!("$ sealift {}", shown.join(" ")))));
        }
        let words = std::iter::once("sealift").chain(arguments.iter().copied()).map(Into::into);
        let code = Box::pin(cli::run(words, &self.place.shell)).await;
        if !self.global.json() {
            self.shell.print("\n");
        }
        code
    }

    fn say(&self, text: &str) {
        if !self.global.json() {
            let style = shell::style(self.shell, self.global.color());
            let text = text::hang("# ", text, style.width);
            self.shell.print(&format!("{}\n", style.paint(Tone::Strong, &text)));
        }
    }

    async fn stay(&self) {
        let directory = self.place.directory.display();
        let url = self.place.production_url();
        self.shell.tell(&format!("It runs: {url}\nPlay with it:  cd {directory} && sealift status\nCtrl-C ends it.\n"));
        drop(tokio::signal::ctrl_c().await);
    }
}

/// A word as a shell would want it.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}

/// The counts of the traffic, in words.
fn in_words(found: &Availability) -> String {
    format!("{} of {} requests failed, longest gap {} ms", found.failed, found.requests, found.longest_gap_ms)
}
