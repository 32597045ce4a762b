//! What was measured.

use std::time::Duration;

use crate::{
    launch::Ran,
    spread,
    tools::{Program, Tool, Variant},
};

/// All of it.
#[derive(Default)]
pub(crate) struct Figures {
    series: Vec<Series>,
    /// What hashing and relaying as many bytes took as the large image has.
    pub(crate) baseline: Vec<Ran>,
    /// Copies of images of many gigabytes by this program: what, and what it took.
    pub(crate) huge: Vec<(&'static str, Sample)>,
}

/// One tool in one case.
pub(crate) struct Series {
    case: &'static str,
    /// As people write it.
    pub(crate) tool: String,
    /// Which it is.
    pub(crate) program: Program,
    variant: Variant,
    samples: Vec<Sample>,
}

/// One copy.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// What the process took.
    pub(crate) ran: Ran,
    /// The requests that both registries logged.
    pub(crate) requests: usize,
    /// The sequential round trips, where the registries were far.
    pub(crate) trips: Option<usize>,
}

impl Figures {
    /// Adds a copy.
    pub(crate) fn add(&mut self, case: &'static str, tool: &Tool, sample: Sample) {
        let known = self.series.iter_mut().find(|series| series.case == case && series.tool == tool.name);
        if let Some(series) = known {
            series.samples.push(sample);
            return;
        }
        let (tool, program, variant) = (tool.name.clone(), tool.program, tool.variant);
        self.series.push(Series { case, tool, program, variant, samples: vec![sample] });
    }

    /// How many copies there were.
    pub(crate) fn copies(&self) -> usize {
        self.series.iter().map(|series| series.samples.len()).sum()
    }

    /// The tools of a case: this program first, then its peers by their names.
    pub(crate) fn of(&self, case: &str) -> Vec<&Series> {
        let mut all: Vec<&Series> = self.series.iter().filter(|series| series.case == case).collect();
        let ours = |series: &Series| (series.program == Program::Sealift, series.variant == Variant::Plain);
        all.sort_by_key(|series| (std::cmp::Reverse(ours(series)), series.tool.clone()));
        all
    }

    /// A tool as it comes, or this program without looking for referrers.
    pub(crate) fn find(&self, case: &str, program: Program) -> Option<&Series> {
        let mut all = self.series.iter();
        all.find(|series| series.case == case && series.program == program && series.variant == Variant::Plain)
    }

    /// The middle of what the baseline computed.
    pub(crate) fn baseline_cpu(&self) -> Option<Duration> {
        let cpu: Vec<Duration> = self.baseline.iter().map(|ran| ran.cpu).collect();
        (!cpu.is_empty()).then(|| spread::median(&cpu))
    }

    /// The most memory that any copy of this program had, in bytes.
    pub(crate) fn most_memory(&self) -> Option<u64> {
        let ours = self.series.iter().filter(|series| series.program == Program::Sealift);
        ours.map(Series::memory).chain(self.huge.iter().map(|(_, sample)| sample.ran.memory)).max()
    }
}

impl Series {
    /// The walls of all copies.
    pub(crate) fn walls(&self) -> Vec<Duration> {
        self.samples.iter().map(|sample| sample.ran.wall).collect()
    }

    /// The middle of the walls.
    pub(crate) fn wall(&self) -> Duration {
        spread::median(&self.walls())
    }

    /// The middle of the processor times.
    pub(crate) fn cpu(&self) -> Duration {
        spread::median(&self.samples.iter().map(|sample| sample.ran.cpu).collect::<Vec<_>>())
    }

    /// The most memory of a copy, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.samples.iter().map(|sample| sample.ran.memory).max().unwrap_or_default()
    }

    /// The fewest and the most requests of a copy.
    pub(crate) fn requests(&self) -> Option<(usize, usize)> {
        range(self.samples.iter().map(|sample| sample.requests))
    }

    /// The fewest and the most sequential round trips of a copy.
    pub(crate) fn trips(&self) -> Option<(usize, usize)> {
        range(self.samples.iter().filter_map(|sample| sample.trips))
    }

    /// How long this takes for each second that another takes.
    pub(crate) fn times(&self, other: &Self) -> f64 {
        self.wall().as_secs_f64() / other.wall().as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn range(values: impl Iterator<Item = usize> + Clone) -> Option<(usize, usize)> {
    Some((values.clone().min()?, values.max()?))
}
