//! The Compose driver on a real engine beside `docker compose up -d --wait`: the same service, registry and engine in the
//! same run, each with a client that asks 50 times a second, and what a deployment takes beside a rebuild.
//!
//! Production changes blue-green behind nginx; the peer's service publishes its port itself, as one Compose project does.

mod load;
mod nginx;
mod site;

use std::time::Duration;

use sealift::demo::images;
use sealift_domain::cost::Cost;
use sealift_registry::image::{Built, Layer};
use serde_json::Value;

use crate::{
    Failed, Options,
    figures::{Figures, Table},
    place::Place,
    process::{Ran, Run, SEALIFT},
    rounds::{DONE, ROLLED_BACK, WAITS, between, parts, timeline},
    say,
};
use load::Load;
use site::Site;

/// The series.
pub(crate) const PROMOTE: &str = "promotion after its approval, blue-green";
pub(crate) const FAILS: &str = "promotion whose check fails and that is rolled back";
pub(crate) const BACK: &str = "from the failed check to the confirmed release before";
pub(crate) const ROLLBACK: &str = "rollback by hand, after its approval";
pub(crate) const UP: &str = "`docker compose up -d --wait` to a new digest";
pub(crate) const DOWN: &str = "`docker compose up -d --wait` to the digest before";
pub(crate) const DEPLOYMENT: &str = "deployment: what the promotion's steps took";
pub(crate) const REBUILD: &str = "rebuild: `rustc` on one file, then `docker build --no-cache` of a `COPY`";

/// The size of the layer that each release has for itself, in bytes.
const BALLAST: usize = 4 << 20;

/// Builds the service as `build.rs` does, then an image that holds nothing else; no base image is pulled.
const BUILD: &str = "rustc --edition 2024 --crate-name hello --crate-type bin -C target-feature=+crt-static \
                     -C panic=abort -C opt-level=s -C strip=symbols -o build/hello build/service.rs && \
                     docker build --quiet --no-cache --tag \"$0\" build";

/// All rounds, fewer than of the other roads because each takes longer. Without an engine nothing is measured, and the
/// figures say why.
pub(crate) async fn measure(place: &Place, options: &Options, figures: &mut Figures) -> Result<(), Failed> {
    let site = match Site::new(place)? {
        Ok(site) => site,
        Err(why) => {
            figures.no_engine = Some(why);
            return Ok(());
        }
    };
    let source = crate::repository().join("crates/sealift/src/demo/service.rs");
    std::fs::copy(source, site.directory.join("build/service.rs"))?;
    std::fs::write(site.directory.join("build/Dockerfile"), "FROM scratch\nCOPY hello /hello\n")?;
    let stage = Stage { place, site };
    say("setting up Compose");
    let first = stage.prepare().await?;
    for round in 0..=options.compose_rounds() {
        say(&format!(
            "Compose, round {round} of {}{}",
            options.compose_rounds(),
            if round == 0 { ", not timed" } else { "" }
        ));
        stage.ours(round, figures).await?;
        stage.theirs(round, &first, figures).await?;
        stage.rebuild(round, figures).await?;
    }
    Ok(())
}

struct Stage<'a> {
    place: &'a Place,
    site: Site,
}

impl Stage<'_> {
    /// Brings a first release to production, and to the peer's service. Returns it.
    async fn prepare(&self) -> Result<Built, Failed> {
        self.sealift(&["init"], DONE).await?;
        let first = release("1.0.0");
        self.staged(&first, "1.0.0").await?;
        self.approved(&["promote", "--to", "production", "--wait"]).await?;
        self.sealift(&["promote", "--to", "production"], DONE).await?;
        self.up(&first).await?;
        Ok(first)
    }

    /// A good promotion, one that is rolled back, and a rollback by hand.
    async fn ours(&self, round: u32, figures: &mut Figures) -> Result<(), Failed> {
        let ask = ["promote", "--to", "production", "--wait"];
        let promote = ["promote", "--to", "production", "--output", "json"];
        let version = format!("1.{}.0", round + 1);
        self.staged(&release(&version), &version).await?;
        self.approved(&ask).await?;
        let ran = self.watched(round, figures, PROMOTE, &promote, DONE).await?;
        let moments = timeline(&ran)?;
        parts(Table::EnginePart, figures, round, PROMOTE, &moments, &["prepare", "switch", "verify", "retire"])?;
        let verified = between(&moments, "approved", "verify")?;
        keep(figures, round, Table::EnginePart, &format!("{PROMOTE}: from the approval to verified"), verified);
        let record: Value = serde_json::from_slice(&ran.stdout)?;
        self.cost(round, figures, DEPLOYMENT, &self.shown(&record["promotion_id"]).await?["cost"])?;

        let version = format!("1.{}.1", round + 1);
        self.staged(&release(&version), &version).await?;
        self.approved(&ask).await?;
        std::fs::write(self.site.directory.join("fails"), "")?;
        let ran = self.watched(round, figures, FAILS, &promote, ROLLED_BACK).await?;
        let moments = timeline(&ran)?;
        parts(Table::EnginePart, figures, round, FAILS, &moments, &["restore"])?;
        keep(figures, round, Table::Engine, BACK, between(&moments, "failed", "confirm")?);

        self.approved(&["rollback", "--in", "production"]).await?;
        let rollback = ["rollback", "--in", "production", "--output", "json"];
        let ran = self.watched(round, figures, ROLLBACK, &rollback, DONE).await?;
        parts(Table::EnginePart, figures, round, ROLLBACK, &timeline(&ran)?, &["prepare", "switch", "verify"])
    }

    /// The same service by Compose alone: to a release that the engine has to pull, and back.
    async fn theirs(&self, round: u32, first: &Built, figures: &mut Figures) -> Result<(), Failed> {
        let next = release(&format!("2.{round}.0"));
        self.place.production.push("web", &next, None);
        for (name, image) in [(UP, &next), (DOWN, first)] {
            let load = Load::start(self.site.peer);
            let ran = self.up(image).await?;
            self.seen(round, figures, name, load).await?;
            keep(figures, round, Table::Engine, name, ran.wall);
        }
        Ok(())
    }

    async fn up(&self, image: &Built) -> Result<Ran, Failed> {
        let (file, project) = (self.site.name_for_peer(image)?, self.site.project());
        let (program, start) = self.site.compose.split_first().ok_or("no Compose")?;
        let start: Vec<&str> = start.iter().map(String::as_str).collect();
        let up = ["--file", &file, "--project-name", &project, "up", "--detach", "--wait"];
        self.run(program, &[&start[..], &up].concat(), DONE).await
    }

    /// Measured by Sealift with the meter that deployments are measured with.
    async fn rebuild(&self, round: u32, figures: &mut Figures) -> Result<(), Failed> {
        let built = self.site.built();
        let command = ["record", "rebuild", "--in", "production", "--output", "json", "--", "sh", "-c", BUILD, &built];
        let ran = self.sealift(&command, DONE).await?;
        self.cost(round, figures, REBUILD, &serde_json::from_slice::<Value>(&ran.stdout)?["cost"])
    }

    fn cost(&self, round: u32, figures: &mut Figures, name: &'static str, cost: &Value) -> Result<(), Failed> {
        let cost: Cost = serde_json::from_value(cost.clone()).map_err(|error| format!("{name}: {error}: {cost}"))?;
        if round > 0 {
            figures.costs.push((name, cost));
        }
        Ok(())
    }

    /// The record of a promotion.
    async fn shown(&self, id: &Value) -> Result<Value, Failed> {
        let ran = self.sealift(&["status", &id.to_string(), "--output", "json"], DONE).await?;
        Ok(serde_json::from_slice(&ran.stdout)?)
    }

    /// A release that staging runs.
    async fn staged(&self, image: &Built, version: &str) -> Result<(), Failed> {
        self.place.staging.push("web", image, Some(version));
        let name = format!("{}/web:{version}", self.place.staging.address());
        self.sealift(&["record", "build", &name], DONE).await?;
        self.sealift(&["promote", "--to", "staging"], DONE).await.map(drop)
    }

    /// Bob asks, and Ana approves.
    async fn approved(&self, ask: &[&str]) -> Result<(), Failed> {
        let (ana, bob) = ("../keys/ana", "../keys/bob");
        self.sealift(&[ask, &["--reason", "measured", "--identity", bob]].concat(), WAITS).await?;
        self.sealift(&["approve", "--identity", ana], DONE).await.map(drop)
    }

    /// A command of ours whose time is kept, with a client at production's front.
    async fn watched(
        &self,
        round: u32,
        figures: &mut Figures,
        name: &str,
        arguments: &[&str],
        expected: i32,
    ) -> Result<Ran, Failed> {
        let load = Load::start(self.site.front);
        let ran = self.sealift(arguments, expected).await?;
        self.seen(round, figures, name, load).await?;
        keep(figures, round, Table::Engine, name, ran.wall);
        Ok(ran)
    }

    /// What the client saw.
    async fn seen(&self, round: u32, figures: &mut Figures, name: &str, load: Load) -> Result<(), Failed> {
        let found = load.stop().await?;
        keep(figures, round, Table::Outage, name, found.longest_gap);
        if round > 0 {
            figures.clients.push((name.to_owned(), found.requests, found.failed));
        }
        Ok(())
    }

    async fn sealift(&self, arguments: &[&str], expected: i32) -> Result<Ran, Failed> {
        self.run(SEALIFT, arguments, expected).await
    }

    async fn run(&self, program: &str, arguments: &[&str], expected: i32) -> Result<Ran, Failed> {
        Run { program, arguments, directory: &self.site.directory, expected, watched: false }.measure(self.place).await
    }
}

/// A time, unless the round is the one that warms caches.
fn keep(figures: &mut Figures, round: u32, table: Table, name: &str, time: Duration) {
    if round > 0 {
        figures.time(table, name, time);
    }
}

/// The demo's service for a container, with a layer that no other release has.
fn release(version: &str) -> Built {
    images::contained(version).layer(Layer::tar(ballast(version))).build()
}

/// A tar archive of one file that does not compress (POSIX.1-2017, pax, "ustar Interchange Format").
fn ballast(version: &str) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "ballast");
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{BALLAST:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    // xorshift64 (Marsaglia 2003), from a state that is odd and hence not 0.
    let mut state = version.bytes().fold(1_u64, |state, byte| state.wrapping_mul(257) + u64::from(byte)) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    header.extend(words.take(BALLAST / 8).flatten());
    header.resize(header.len() + 1024, 0);
    header
}
