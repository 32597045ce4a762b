//! `make bench-copy`: `sealift copy` beside its peers, on two real registries.
//!
//! Every figure is one process of an optimised program from its start to its end. Both registries are `docker-registry`, on the
//! loopback interface and in one temporary directory; the far cases go through a proxy that delays. Nothing is asserted about
//! time: whoever reads the figures knows the machine. A copy that does not end right fails the run.

mod baseline;
mod cases;
mod chart;
#[path = "../shared/document.rs"]
mod document;
mod figures;
mod http;
mod huge;
mod image;
mod launch;
#[path = "../shared/machine.rs"]
mod machine;
mod options;
mod page;
mod place;
mod proxy;
mod registry;
mod rounds;
#[path = "../shared/spread.rs"]
mod spread;
#[path = "../shared/table.rs"]
mod table;
mod targets;
mod tools;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use figures::Figures;
use options::Options;
use place::Place;
use tools::Tools;

/// What this program fails with.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The command that writes the document, as the document names it.
const WRITES: &str = "make bench-copy ARGS=\"--write docs/performance.md\"";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = match words.split_first() {
        Some((mode, words)) if mode == launch::MODE => launch::launch(words),
        Some((mode, words)) if mode == baseline::MODE => baseline::hash_and_relay(words),
        _ => options::parse(&words).and_then(|options| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let ended = runtime.block_on(bench(&options));
            // After a failure a thread may still wait for a program that never came.
            runtime.shutdown_background();
            ended
        }),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            drop(writeln!(std::io::stderr(), "bench: {why}"));
            ExitCode::FAILURE
        }
    }
}

async fn bench(options: &Options) -> Result<(), Failed> {
    if options.smoke && !registry::installed() && std::env::var_os("SEALIFT_REQUIRE_REAL").is_none() {
        std::io::stdout().write_all(b"SKIPPED the benchmark of copies: docker-registry is not installed\n")?;
        return Ok(());
    }
    let (tools, measured) = (Tools::found()?, tools::measured()?);
    let figures = tokio::select! {
        figures = measure(&tools, options) => figures?,
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    if tools::measured()? != measured {
        return Err("the program was built anew while it was measured".into());
    }
    if options.smoke {
        let done = format!("{} copies arrived, and were measured without contradiction\n", figures.copies());
        std::io::stdout().write_all(done.as_bytes())?;
        return Ok(());
    }
    let text = page::render(&figures, &tools, options);
    std::io::stdout().write_all(format!("{text}\n").as_bytes())?;
    if let Some(file) = &options.write {
        let path = repository().join(file);
        document::write(&path, "figures of copies", WRITES, &text)?;
        std::fs::write(path.with_file_name(chart::FILE), chart::render(&figures, options))?;
    }
    Ok(())
}

async fn measure(tools: &Tools, options: &Options) -> Result<Figures, Failed> {
    let place = Place::new().await?;
    let mut figures = Figures::default();
    rounds::play(&place, tools, options, &mut figures).await?;
    if options.huge {
        huge::measure(&place, tools, &mut figures).await?;
    }
    Ok(figures)
}

/// A line about what is going on, on standard error.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "bench: {text}"));
}

/// Where the workspace is.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
