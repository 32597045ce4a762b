//! `make bench`: how long the main roads take, measured on the whole program.
//!
//! Every figure is one process of the optimised binary from its start to its end, or a step out of the time line that this
//! process wrote to its log. Registries run in this process; the service is the demo's, under the process driver and, where a
//! container engine answers, under the Compose driver; everything is on the loopback interface and in one temporary directory. Nothing is asserted about time: whoever reads
//! the figures knows the machine, a test would not. A road that does not end as it must fails the run.

mod commits;
mod compose;
#[path = "../shared/document.rs"]
mod document;
mod engine_page;
mod figures;
mod ledger;
mod long_log;
#[path = "../shared/machine.rs"]
mod machine;
mod page;
mod peers;
mod place;
mod process;
mod rounds;
#[path = "../shared/spread.rs"]
mod spread;
#[path = "../shared/table.rs"]
mod table;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use figures::Figures;
use place::Place;

/// The command that writes the document, as the document names it.
const WRITES: &str = "make bench ARGS=\"--write docs/performance.md\"";

/// What this program fails with.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The command line.
struct Options {
    /// How many rounds are measured.
    runs: u32,
    /// How many entries the long log has at least.
    entries: u64,
    /// A document whose part between the markers is written anew.
    write: Option<PathBuf>,
    /// Only this part.
    only: Option<Part>,
}

/// What can be measured by itself, and is a part of the document by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The roads under the process driver.
    Processes,
    /// The Compose driver on a container engine.
    Engine,
    /// The log on a branch; only when it is asked for, because a long log takes long to write.
    Ledger,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    /// A round on the engine takes most of a minute.
    fn compose_rounds(&self) -> u32 {
        self.runs.div_ceil(2)
    }
}

fn options() -> Result<Options, Failed> {
    let mut options = Options { runs: 7, entries: 10_000, write: None, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runs" => options.runs = value()?.parse()?,
            "--entries" => options.entries = value()?.parse()?,
            "--write" => options.write = Some(value()?.into()),
            "--quick" => (options.runs, options.entries) = (2, 2_000),
            "--engine" => options.only = Some(Part::Engine),
            "--ledger" => options.only = Some(Part::Ledger),
            "--processes" => options.only = Some(Part::Processes),
            // Cargo says so to every benchmark.
            "--bench" => {}
            other => {
                let known = "--runs N, --entries N, --write FILE, --quick, --engine, --processes, --ledger";
                return Err(format!("unknown argument `{other}`: there are {known}").into());
            }
        }
    }
    if options.runs == 0 {
        return Err("--runs must be at least 1".into());
    }
    Ok(options)
}

fn main() -> ExitCode {
    let ended = options().and_then(|options| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(bench(&options))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            drop(writeln!(std::io::stderr(), "bench: {why}"));
            ExitCode::FAILURE
        }
    }
}

async fn bench(options: &Options) -> Result<(), Failed> {
    let place = Place::new().await?;
    if options.only == Some(Part::Ledger) {
        let measured = ledger::measure(&place, options).await;
        place.clear_away().await;
        return Ok(std::io::stdout().write_all(measured?.as_bytes())?);
    }
    let measured = tokio::select! {
        measured = measure(&place, options) => measured,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    place.clear_away().await;
    let (figures, machine) = (measured?, machine::describe());
    for (part, heading, text) in [
        (Part::Processes, "figures", page::render(&figures, options, &machine)),
        (Part::Engine, "figures of an engine", engine_page::render(&figures, options, &machine)),
    ] {
        if !options.wants(part) {
            continue;
        }
        std::io::stdout().write_all(format!("{text}\n").as_bytes())?;
        if let Some(file) = &options.write {
            document::write(&repository().join(file), heading, WRITES, &text)?;
        }
    }
    Ok(())
}

async fn measure(place: &Place, options: &Options) -> Result<Figures, Failed> {
    let mut figures = Figures::default();
    if options.wants(Part::Processes) {
        measure_processes(place, options, &mut figures).await?;
    }
    if options.wants(Part::Engine) {
        compose::measure(place, options, &mut figures).await?;
    }
    Ok(figures)
}

async fn measure_processes(place: &Place, options: &Options, figures: &mut Figures) -> Result<(), Failed> {
    say("setting up");
    rounds::prepare(place).await?;
    let long = long_log::build(place, options.entries).await?;
    commits::measure(place, &long, options, figures).await?;
    // The first round warms caches and is where memory is watched, which costs time; it is not counted.
    for round in 0..=options.runs {
        say(&format!("round {round} of {}{}", options.runs, if round == 0 { ", not timed" } else { "" }));
        rounds::play(place, round, figures).await?;
        peers::play(place, round, figures).await?;
        rounds::read_long_log(place, &long, round, figures).await?;
    }
    figures.entries = long.entries;
    Ok(())
}

/// A line about what is going on, on standard error.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "bench: {text}"));
}

/// Where the workspace is.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
