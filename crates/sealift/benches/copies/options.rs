//! The command line.

use std::path::PathBuf;

use crate::{
    Failed,
    cases::{CASES, Case},
};

/// What is asked for.
pub(crate) struct Options {
    /// How many rounds are counted.
    pub(crate) runs: u32,
    /// Only the cases of these names; all, where there is none.
    pub(crate) only: Vec<String>,
    /// A document whose part between the markers is written anew; the chart is written beside it.
    pub(crate) write: Option<PathBuf>,
    /// Whether images of 1 GB and of 10 GB are copied too, by this program alone.
    pub(crate) huge: bool,
    /// Whether this only shows that the benchmark works: tiny images, one round.
    pub(crate) smoke: bool,
}

impl Options {
    /// The rounds, of which the first is counted only in a smoke run.
    pub(crate) fn rounds(&self) -> std::ops::RangeInclusive<u32> {
        if self.smoke { 1..=1 } else { 0..=self.runs }
    }

    /// Whether the case is asked for.
    pub(crate) fn wants(&self, case: &Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case.name)
    }
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: &[String]) -> Result<Options, Failed> {
    let mut options = Options { runs: 7, only: Vec::new(), write: None, huge: false, smoke: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runs" => options.runs = value()?.parse()?,
            "--case" => options.only.push(known(value()?)?),
            "--write" => options.write = Some(value()?.into()),
            "--quick" => options.runs = 2,
            "--huge" => options.huge = true,
            "--smoke" => (options.smoke, options.runs) = (true, 1),
            // Cargo says so to every benchmark.
            "--bench" => {}
            other => {
                let known = "--runs N, --case NAME, --write FILE, --quick, --huge, --smoke";
                return Err(format!("unknown argument `{other}`: there are {known}").into());
            }
        }
    }
    if options.runs == 0 {
        return Err("--runs must be at least 1".into());
    }
    Ok(options)
}

fn known(name: &str) -> Result<String, Failed> {
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    if !names.contains(&name) {
        return Err(format!("no case `{name}`: there are {}", names.join(", ")).into());
    }
    Ok(name.to_owned())
}
